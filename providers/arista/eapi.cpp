#include "eapi.hpp"

#include <algorithm>
#include <cmath>

namespace cnspec::arista {
namespace {

using providers::member;
using providers::one_line;
using providers::quoted;
using providers::Secret;
using providers::string_member;
using sdk::Error;

constexpr const char* kRequest =
    R"({"jsonrpc":"2.0","method":"runCmds","params":{"version":1,"cmds":["show version","show hostname"],)"
    R"("format":"json"},"id":"cnspec"})";

// Our words for those of the answer that a user meets; the password may be in none of them.
[[noreturn]] void refused(const Target& target, const std::vector<Secret>& secrets,
                          const sdk::HttpResponse& response) {
  const std::string who = target.url.authority();
  switch (response.status) {
    case 401:
      throw Error(CNSPEC_UNAUTHENTICATED, who + " does not accept the user " + quoted(target.user) +
                                              " with this password (status 401)");
    case 403:
      throw Error(CNSPEC_PERMISSION_DENIED,
                  who + " does not let the user " + quoted(target.user) + " use eAPI (status 403)");
    case 301:
    case 302:
    case 307:
    case 308: {
      std::string where = one_line(providers::without(std::string(response.header("location")), secrets));
      throw Error(who + " sends us elsewhere (status " + std::to_string(response.status) +
                  (where.empty() ? "" : ", to " + quoted(where)) +
                  "); name that host, port and --transport instead");
    }
    case 502:
    case 503:
    case 504:
      throw Error(CNSPEC_UNAVAILABLE, who + " cannot answer now (" + providers::described(response) + ")")
          .retryable();
    default: break;
  }
  throw Error(
      who + " did not answer as eAPI does (" + providers::described(response) +
      "); is it an Arista switch, with eAPI switched on (management api http-commands, no shutdown)?");
}

// {"code": 1002, "message": "CLI command 1 of 2 'show version' failed: ...", "data": [{"errors": ["..."]},
// ...]}
[[noreturn]] void failed(const Target& target, const std::vector<Secret>& secrets,
                         const rapidjson::Value& error) {
  const rapidjson::Value* number = member(error, "code");
  const int code = number && number->IsInt() ? number->GetInt() : 0;
  std::string sentence = one_line(providers::without(string_member(error, "message"), secrets));
  const rapidjson::Value* data = member(error, "data");
  for (rapidjson::SizeType i = 0; data && data->IsArray() && i < data->Size(); ++i) {
    const rapidjson::Value* errors = member((*data)[i], "errors");
    if (!errors || !errors->IsArray() || errors->Empty() || !(*errors)[0].IsString()) continue;
    sentence += " (" + one_line(providers::without((*errors)[0].GetString(), secrets)) + ')';
    break;
  }
  const std::string message = target.url.authority() + " did not run our commands: " +
                              (sentence.empty() ? "it does not say why" : sentence) + " [eAPI error " +
                              std::to_string(code) + ']';
  // 1005: the command is not authorised; 1004: it is not compatible.
  throw Error(code == 1005 ? CNSPEC_PERMISSION_DENIED : CNSPEC_FAILED, message);
}

std::optional<cnspec_time> time_in(const rapidjson::Value& value, const char* key) {
  const rapidjson::Value* number = member(value, key);
  if (!number || !number->IsNumber()) return std::nullopt;
  const double seconds = number->GetDouble();
  if (!(seconds >= 0 && seconds < 1e11)) return std::nullopt;
  const double whole = std::floor(seconds);
  const auto nanoseconds = static_cast<std::uint32_t>(std::min((seconds - whole) * 1e9, 999'999'999.0));
  return cnspec_time{static_cast<std::int64_t>(whole), nanoseconds, 0};
}

}  // namespace

Target parse_target(std::string_view text, std::string_view transport) {
  const auto at = text.rfind('@');
  const bool has_user = at != std::string_view::npos && at > 0;
  const std::string_view user = text.substr(0, has_user ? at : 0);
  // What follows a colon there is most likely a password.
  const std::string shown =
      user.find(':') == std::string_view::npos ? quoted(text) : "\"..." + one_line(text.substr(at)) + '"';
  const auto refuse = [&](const std::string& why) {
    throw Error(CNSPEC_INVALID, shown + ' ' + why + ", expected USER@HOST or USER@HOST:PORT");
  };
  if (transport != "https" && transport != "http") {
    throw Error(CNSPEC_INVALID, "--transport is " + quoted(transport) + ", expected https or http");
  }
  if (text.find("://") != std::string_view::npos)
    refuse("is a URL (for plain http there is --transport http)");
  if (!has_user) refuse("names no user");
  std::string host(text.substr(at + 1));
  if (host.empty()) refuse("names no host");
  // Basic authentication ends the name at its first colon.
  if (user.find(':') != std::string_view::npos) {
    refuse("has a colon in its user; give the password by --password or --ask-pass");
  }
  if (std::any_of(user.begin(), user.end(),
                  [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; })) {
    refuse("holds a control character");
  }
  if (!host.starts_with("[") && std::count(host.begin(), host.end(), ':') > 1) host = '[' + host + ']';
  if (host.find('/') != std::string::npos) refuse("has a slash in its host");
  Target target{std::string(user), providers::parse_base_url(std::string(transport) + "://" + host, shown)};
  return target;
}

Switch ask_switch(sdk::Call& call, const Target& target, const Secret& password, bool insecure) {
  const std::string credentials = providers::base64(target.user + ':' + password.reveal());
  const std::vector<Secret> secrets = {password, Secret(credentials)};
  sdk::HttpRequest request{.method = "POST", .url = target.url.text() + "/command-api", .body = kRequest};
  request.headers = {{"Content-Type", "application/json"},
                     {"Accept", "application/json"},
                     {"Authorization", "Basic " + credentials}};
  request.flags = insecure ? CNSPEC_HTTP_INSECURE : 0;
  const sdk::HttpResponse response = call.http(request);
  if (response.status != 200) refused(target, secrets, response);

  rapidjson::Document document;
  if (!providers::parse_json_object(response.body, document)) refused(target, secrets, response);
  if (const rapidjson::Value* error = member(document, "error"); error && error->IsObject()) {
    failed(target, secrets, *error);
  }
  const rapidjson::Value* results = member(document, "result");
  if (!results || !results->IsArray() || results->Size() != 2) refused(target, secrets, response);
  const rapidjson::Value& version = (*results)[0];
  const rapidjson::Value& hostname = (*results)[1];

  Switch out;
  out.version = string_member(version, "version");
  out.model = string_member(version, "modelName");
  out.serial_number = string_member(version, "serialNumber");
  out.system_mac = string_member(version, "systemMacAddress");
  out.architecture = string_member(version, "architecture");
  out.build = string_member(version, "internalVersion");
  out.boot_time = time_in(version, "bootupTimestamp");
  out.hostname = string_member(hostname, "hostname");
  out.fqdn = string_member(hostname, "fqdn");
  if (out.version.empty() || out.hostname.empty()) refused(target, secrets, response);
  return out;
}

}  // namespace cnspec::arista
