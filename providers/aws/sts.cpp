#include "sts.hpp"

#include <algorithm>
#include <ctime>
#include <pugixml.hpp>

#include "shared/web.hpp"

namespace cnspec::aws {
namespace {

using providers::one_line;
using providers::quoted;
using providers::Secret;
using sdk::Error;
using std::chrono::system_clock;

constexpr std::size_t kMaxAnswer = 1 << 20;

bool is_region(std::string_view text) {
  return !text.empty() && text.size() <= 40 && text.front() >= 'a' && text.front() <= 'z' &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

// The partitions aws, aws-cn and aws-us-gov; the first and the last share their domain.
std::string endpoint_of(const std::string& region) {
  return "https://sts." + region + (region.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com");
}

// The root of the answer, or an empty node when it is no such document.
pugi::xml_node root_of(pugi::xml_document& document, const std::string& body, const char* name) {
  if (body.size() > kMaxAnswer || !document.load_buffer(body.data(), body.size())) return {};
  return document.child(name);
}

std::string child_text(const pugi::xml_node& node, const char* name) { return node.child(name).text().get(); }

Error no_sense(const std::string& url, const sdk::HttpResponse& response) {
  return {CNSPEC_FAILED, url + " did not answer as AWS STS does (" + providers::described(response) +
                             "); is this the right endpoint?"};
}

// "14 minutes ahead of AWS", from the answer's Date header; empty when the clocks agree, or nobody knows.
std::string skew_of(const sdk::HttpResponse& response) {
  std::tm parts{};
  const std::string date(response.header("date"));
  if (!strptime(date.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &parts)) return {};
  const auto minutes = (system_clock::to_time_t(system_clock::now()) - timegm(&parts)) / 60;
  if (minutes == 0) return {};
  return std::to_string(minutes < 0 ? -minutes : minutes) + " minutes " +
         (minutes < 0 ? "behind" : "ahead of") + " AWS";
}

bool one_of(std::string_view code, std::initializer_list<std::string_view> codes) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

Credentials credentials_in(const pugi::xml_node& result, const std::string& url,
                           const sdk::HttpResponse& response) {
  const pugi::xml_node node = result.child("Credentials");
  Credentials out{child_text(node, "AccessKeyId"), Secret(child_text(node, "SecretAccessKey")),
                  Secret(child_text(node, "SessionToken"))};
  if (out.access_key.empty() || out.secret_key.empty() || out.session_token.empty())
    throw no_sense(url, response);
  return out;
}

}  // namespace

Sts::Sts(sdk::Call& call, std::string region, const std::string& endpoint)
    : call_(call), region_(std::move(region)) {
  if (!is_region(region_)) {
    throw Error(CNSPEC_INVALID,
                "the AWS region " + quoted(region_) + " is none, expected one like eu-central-1");
  }
  const auto url =
      providers::parse_base_url(endpoint.empty() ? endpoint_of(region_) : endpoint, "the AWS endpoint URL");
  scheme_ = url.scheme;
  authority_ = url.authority();
  path_ = url.path + '/';
}

Identity Sts::caller_identity(const Credentials& credentials, const std::string& source) const {
  const Exchange exchange{"ask AWS whose credentials these are",
                          source,
                          &credentials,
                          {credentials.secret_key, credentials.session_token}};
  const std::string body = post(exchange, {{"Action", "GetCallerIdentity"}});
  pugi::xml_document document;
  const auto result = root_of(document, body, "GetCallerIdentityResponse").child("GetCallerIdentityResult");
  Identity identity{child_text(result, "Account"), child_text(result, "Arn"), child_text(result, "UserId")};
  const bool is_number = std::all_of(identity.account.begin(), identity.account.end(),
                                     [](char c) { return c >= '0' && c <= '9'; });
  if (identity.account.size() != 12 || !is_number || !identity.arn.starts_with("arn:")) {
    throw Error(scheme_ + "://" + authority_ + " said that the credentials are those of account " +
                quoted(identity.account) + ", expected a number of 12 digits; is this the right endpoint?");
  }
  return identity;
}

Credentials Sts::assume_role(const Role& role, const Credentials& credentials,
                             const std::string& source) const {
  const Exchange exchange{"assume the role " + quoted(role.arn),
                          source,
                          &credentials,
                          {credentials.secret_key, credentials.session_token, Secret(role.external_id)}};
  std::vector<std::pair<std::string, std::string>> fields = {
      {"Action", "AssumeRole"},
      {"RoleArn", role.arn},
      {"RoleSessionName", role.session_name.empty() ? "cnspec" : role.session_name}};
  if (!role.external_id.empty()) fields.emplace_back("ExternalId", role.external_id);
  if (!role.duration.empty()) fields.emplace_back("DurationSeconds", role.duration);
  const std::string body = post(exchange, std::move(fields));
  pugi::xml_document document;
  const auto result = root_of(document, body, "AssumeRoleResponse").child("AssumeRoleResult");
  return credentials_in(result, scheme_ + "://" + authority_, {200, {}, body});
}

Credentials Sts::assume_role_with_web_identity(const Role& role, const Secret& token,
                                               const std::string& source) const {
  const Exchange exchange{
      "assume the role " + quoted(role.arn) + " with a web identity", source, nullptr, {token}};
  const std::string body =
      post(exchange, {{"Action", "AssumeRoleWithWebIdentity"},
                      {"RoleArn", role.arn},
                      {"RoleSessionName", role.session_name.empty() ? "cnspec" : role.session_name},
                      {"WebIdentityToken", token.reveal()}});
  pugi::xml_document document;
  const auto result =
      root_of(document, body, "AssumeRoleWithWebIdentityResponse").child("AssumeRoleWithWebIdentityResult");
  return credentials_in(result, scheme_ + "://" + authority_, {200, {}, body});
}

std::string Sts::post(const Exchange& exchange,
                      std::vector<std::pair<std::string, std::string>> fields) const {
  fields.emplace_back("Version", "2011-06-15");
  SignedParts parts{
      .method = "POST",
      .path = path_,
      .headers = {{"Host", authority_}, {"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"}},
      .body = providers::form(fields)};
  sdk::HttpRequest request{
      .method = "POST", .url = scheme_ + "://" + authority_ + path_, .headers = parts.headers};
  request.headers.emplace_back("Accept", "text/xml");
  if (exchange.credentials) {
    const auto now = std::chrono::floor<std::chrono::seconds>(system_clock::now());
    const auto added = sign(parts, *exchange.credentials, {region_, "sts", now});
    request.headers.insert(request.headers.end(), added.begin(), added.end());
  }
  request.body = std::move(parts.body);
  sdk::HttpResponse response = call_.http(request);
  if (response.status != 200) refused(exchange, response);
  pugi::xml_document document;
  // Whatever else the answer lacks, a page of HTML or a cut document is recognised here.
  if (response.body.size() > kMaxAnswer ||
      !document.load_buffer(response.body.data(), response.body.size()) ||
      !std::string_view(document.document_element().name()).ends_with("Response")) {
    throw no_sense(scheme_ + "://" + authority_, response);
  }
  return std::move(response.body);
}

void Sts::refused(const Exchange& exchange, const sdk::HttpResponse& response) const {
  const std::string url = scheme_ + "://" + authority_;
  pugi::xml_document document;
  const pugi::xml_node error = root_of(document, response.body, "ErrorResponse").child("Error");
  const std::string code = one_line(child_text(error, "Code"));
  // Before it is cut: half a secret would not be recognised.
  const std::string message = one_line(providers::without(child_text(error, "Message"), exchange.secrets));
  const std::string failed = "cannot " + exchange.what + ": ";
  if (code.empty()) {
    if (response.status < 500) throw no_sense(url, response);
    throw Error(CNSPEC_UNAVAILABLE,
                failed + url + " has an error of its own (" + providers::described(response) + ")")
        .retryable();
  }

  const std::string skew = skew_of(response);
  const bool about_time =
      one_of(code, {"RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"}) ||
      (code == "SignatureDoesNotMatch" &&
       (message.find("Signature expired") == 0 || message.find("Signature not yet current") == 0));
  if (about_time) {
    throw Error(CNSPEC_UNAUTHENTICATED,
                failed + "AWS refused the time of the request (" + code + "): " +
                    (skew.empty() ? "this machine's clock is wrong" : "this machine's clock is " + skew) +
                    "; set it, or let NTP do so");
  }
  if (code == "SignatureDoesNotMatch") {
    // AWS's own message repeats what was signed, the session token included.
    throw Error(CNSPEC_UNAUTHENTICATED,
                failed + "AWS refused the signature (SignatureDoesNotMatch): the secret access key from " +
                    exchange.source + " does not belong to the access key" +
                    (skew.empty() ? "" : ", or this machine's clock, which is " + skew + ", is to blame"));
  }
  if (one_of(code, {"ExpiredToken", "ExpiredTokenException"})) {
    throw Error(CNSPEC_UNAUTHENTICATED, failed + "the credentials from " + exchange.source +
                                            " have expired (" + code +
                                            "); get new ones, for example by logging in again");
  }
  if (one_of(code, {"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"})) {
    throw Error(CNSPEC_UNAUTHENTICATED,
                failed + "AWS does not know the credentials from " + exchange.source + " (" + code +
                    "); are they deleted, or of another partition than the region " + region_ + "?");
  }
  const std::string sentence = "AWS answered " + code + (message.empty() ? "" : ": " + message);
  if (one_of(code, {"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})) {
    throw Error(CNSPEC_PERMISSION_DENIED, failed + sentence + " (credentials from " + exchange.source + ")");
  }
  if (one_of(code, {"InvalidIdentityToken", "IDPRejectedClaim"})) {
    throw Error(CNSPEC_UNAUTHENTICATED, failed + sentence + " (token from " + exchange.source + ")");
  }
  if (one_of(code, {"Throttling", "ThrottlingException", "RequestLimitExceeded"}) || response.status >= 500) {
    throw Error(CNSPEC_UNAVAILABLE, failed + sentence).retryable();
  }
  throw Error(failed + sentence);
}

}  // namespace cnspec::aws
