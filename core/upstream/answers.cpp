#include "upstream/answers.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "base/text.hpp"
#include "base/url.hpp"

namespace cnspec::upstream {
namespace {

using transport::Response;

constexpr std::size_t kMaxShownBody = 2048;

struct Code {
  int number;
  const char* name;
  int http_status;
};
constexpr std::array kCodes = {
    Code{16, "Unauthenticated", 401},  Code{7, "PermissionDenied", 403},
    Code{5, "NotFound", 404},          Code{3, "InvalidArgument", 400},
    Code{10, "Aborted", 409},          Code{6, "AlreadyExists", 409},
    Code{8, "ResourceExhausted", 429}, Code{14, "Unavailable", 503},
    Code{12, "Unimplemented", 501},    Code{4, "DeadlineExceeded", 504},
    Code{1, "Canceled", 408},          Code{9, "FailedPrecondition", 412},
    Code{13, "Internal", 500},         Code{2, "Unknown", 0},
    Code{11, "OutOfRange", 0},         Code{15, "DataLoss", 0},
};

bool is_code(int number) {
  return std::any_of(kCodes.begin(), kCodes.end(), [&](const Code& code) { return code.number == number; });
}

int code_of(int http_status) {
  for (const Code& code : kCodes) {
    if (code.http_status == http_status) return code.number;
  }
  return 2;
}

struct Status {
  int code;
  std::string message;
};

// What only the platform sends: a google.rpc.Status.
std::optional<Status> read_status(const std::string& body) {
  const auto object = json::parse(body);
  const json::Value* code = object ? json::find(*object, "code") : nullptr;
  if (!code || !code->IsInt() || !is_code(code->GetInt())) return std::nullopt;
  return Status{code->GetInt(), std::string(json::get_string(*object, "message"))};
}

// "rpc error: code = Unauthenticated desc = request permission unauthenticated", as operators know it.
Error rpc_error(int code, const std::string& text, ErrorKind kind) {
  return Error("rpc error: code = " + std::string(code_name(code)) + " desc = " + printable(text), kind);
}

Error refusal(const Status& status, std::string_view request_id) {
  const int code = status.code;
  const bool no = code == 16 || code == 7 || code == 5 || code == 3 || code == 9;
  return rpc_error(code, status.message, no ? ErrorKind::kRejected : ErrorKind::kUnavailable)
      .status(code)
      .hint("the platform's log knows this request as " + std::string(request_id));
}

// The page of somebody in between, which says nothing about what the platform thinks.
Error strange_answer(const Response& response) {
  std::string text(trim(std::string_view(response.body).substr(0, kMaxShownBody)));
  if (response.body.size() > kMaxShownBody) text += "... [truncated]";
  if (text.empty()) text = "HTTP status " + std::to_string(response.status);
  Error error = rpc_error(code_of(response.status), text, ErrorKind::kUnavailable);
  if (!response.via.empty()) {
    return Error::wrap(response.via + ", or what is behind it, answered and not the platform",
                       std::move(error))
        .hint("ask whoever runs the proxy, or except the host with NO_PROXY");
  }
  return std::move(error).hint(
      "this is no answer of the platform: is its address right, and what is in between?");
}

// The platform writes the names of its .proto; others may write them as JSON does.
std::string_view member(const json::Value& object, std::string_view snake, std::string_view camel) {
  const auto value = json::get_string(object, snake);
  return value.empty() ? json::get_string(object, camel) : value;
}

}  // namespace

const char* code_name(int grpc_code) {
  for (const Code& code : kCodes) {
    if (code.number == grpc_code) return code.name;
  }
  return "Unknown";
}

Error with_request_id(Error error, const std::string& url, std::string_view request_id) {
  const std::string_view place = split_url(url).place;
  const std::string more = error.hint().empty() ? "" : error.hint() + "; ";
  return std::move(error).hint(more + "the log of " + printable(place.substr(0, place.find('/'))) +
                               " knows this request as " + std::string(request_id));
}

Result<json::Document> read_answer(const Response& response, const std::string& url,
                                   std::string_view request_id) {
  if (response.status != 200) {
    const auto status = read_status(response.body);
    return fail(status ? refusal(*status, request_id) : strange_answer(response));
  }
  auto document = json::parse(response.body);
  if (document && document->IsObject()) return document;
  const std::string why = document ? "expected a JSON object" : document.error().message();
  return fail(shown_url(url) + " did not answer as the platform does: " + why, ErrorKind::kInvalid);
}

std::optional<std::chrono::nanoseconds> clock_skew(const Health& health) {
  constexpr std::chrono::seconds kNoMatter{30};
  const auto theirs = parse_rfc3339(health.time);
  if (!theirs) return std::nullopt;
  const auto skew = *theirs - health.asked;
  if (std::chrono::abs(skew) <= kNoMatter + (health.answered - health.asked)) return std::nullopt;
  return skew;
}

Health read_health(const json::Value& answer) {
  Health out;
  out.status = json::get_string(answer, "status");
  if (out.status.empty()) out.status = "UNKNOWN";  // the value that JSON leaves out
  out.time = json::get_string(answer, "time");
  out.api_version = member(answer, "apiVersion", "api_version");
  return out;
}

Result<Registration> read_registration(const json::Value& answer) {
  Registration out;
  out.agent_mrn = member(answer, "agent_mrn", "agentMrn");
  if (out.agent_mrn.empty()) {
    return fail("the platform registered no agent: its answer has no agent_mrn", ErrorKind::kInvalid);
  }
  if (const json::Value* credential = json::find(answer, "credential")) {
    out.credential.mrn = json::get_string(*credential, "mrn");
    out.credential.scope_mrn = member(*credential, "scope_mrn", "scopeMrn");
    if (out.credential.scope_mrn.empty())
      out.credential.scope_mrn = member(*credential, "parent_mrn", "parentMrn");
    out.credential.private_key = member(*credential, "private_key", "privateKey");
    out.credential.certificate = json::get_string(*credential, "certificate");
    out.credential.api_endpoint = member(*credential, "api_endpoint", "apiEndpoint");
  }
  return out;
}

Result<Versions> read_provider_versions(const Response& response, const std::string& url) {
  if (response.status == 404) return Versions();
  if (response.status != 200) {
    return fail(shown_url(url) + ": HTTP status " + std::to_string(response.status), ErrorKind::kUnavailable);
  }
  const auto document = json::parse(response.body);
  const json::Value* providers = document ? json::find(*document, "providers") : nullptr;
  if (!providers || !providers->IsArray()) {
    return fail(shown_url(url) + ": expected JSON with a list of \"providers\"", ErrorKind::kInvalid);
  }
  Versions versions;
  for (const json::Value& provider : providers->GetArray()) {
    const auto name = json::get_string(provider, "name");
    if (!name.empty()) versions.emplace(name, json::get_string(provider, "version"));
  }
  return versions;
}

Result<std::string> read_latest_version(const Response& response, const std::string& url) {
  if (response.status != 200) {
    return fail(shown_url(url) + ": HTTP status " + std::to_string(response.status), ErrorKind::kUnavailable);
  }
  const auto document = json::parse(response.body);
  std::string version(document ? json::get_string(*document, "version") : "");
  if (version.empty())
    return fail(shown_url(url) + ": expected JSON with a \"version\"", ErrorKind::kInvalid);
  return version;
}

}  // namespace cnspec::upstream
