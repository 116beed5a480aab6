#include "credentials.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

#include "profiles.hpp"
#include "shared/web.hpp"

namespace cnspec::aws {
namespace {

using providers::env;
using providers::quoted;
using providers::Secret;
using providers::trimmed;
using sdk::Error;

// A machine outside of EC2 has nobody at the metadata address, and mostly nobody who says so.
constexpr std::chrono::seconds kMetadataPatience(1);
constexpr std::chrono::seconds kContainerPatience(2);
constexpr const char* kDefaultRegion = "us-east-1";
// Of profiles that need a browser, a program or a second factor, AWS's own tool makes plain keys.
std::string instead_of(const Profile& profile, const std::string& ability) {
  return "the profile " + quoted(profile.name) + " uses " + ability +
         ", which cnspec does not do; put its keys into the environment with: eval \"$(aws configure "
         "export-credentials --format env --profile '" +
         providers::one_line(profile.name) + "')\", and leave --profile out";
}

struct Found {
  Credentials credentials;
  std::string source;
};

// What goes into a header must not end it.
void expect_printable(std::string_view text, const std::string& what) {
  if (text.empty() || std::any_of(text.begin(), text.end(), [](char c) { return c <= ' ' || c > '~'; })) {
    throw Error(CNSPEC_INVALID,
                what + " is empty or holds a blank, a line break or another character no credential has");
  }
}

Found checked(Found found) {
  expect_printable(found.credentials.access_key, "the access key from " + found.source);
  expect_printable(found.credentials.secret_key.reveal(), "the secret access key from " + found.source);
  if (!found.credentials.session_token.empty()) {
    expect_printable(found.credentials.session_token.reveal(), "the session token from " + found.source);
  }
  return found;
}

void expect_role_arn(std::string_view arn, const std::string& what) {
  if (arn.starts_with("arn:") && arn.find(":iam::") != std::string_view::npos &&
      arn.find(":role/") != std::string_view::npos) {
    return;
  }
  throw Error(CNSPEC_INVALID,
              what + " is " + quoted(arn) + ", expected a role like arn:aws:iam::123456789012:role/NAME");
}

class Chain {
 public:
  Chain(sdk::Call& call, const Settings& settings)
      : call_(call), settings_(settings), profiles_(Profiles::load()), name_(profile_name()) {
    profile_ = profiles_.find(name_);
    if (!profile_ && !settings_.profile.empty()) profiles_.missing(name_, " (--profile)");
    // Keys in the environment come before the profile there, so that one may be missing.
    const bool asked = env("AWS_PROFILE") || env("AWS_DEFAULT_PROFILE");
    if (!profile_ && asked && !env("AWS_ACCESS_KEY_ID")) profiles_.missing(name_, " (AWS_PROFILE)");
  }

  Session run() {
    if (!settings_.role.empty()) expect_role_arn(settings_.role, "--role");
    session_.endpoint_url = endpoint_url();
    session_.region = configured_region();
    Found found = first();
    if (session_.region.empty()) session_.region = kDefaultRegion;
    if (!settings_.role.empty()) found = assume({settings_.role, {}, {}, {}}, found);
    session_.credentials = std::move(found.credentials);
    session_.source = std::move(found.source);
    return std::move(session_);
  }

 private:
  std::string profile_name() const {
    if (!settings_.profile.empty()) return settings_.profile;
    if (const auto name = env("AWS_PROFILE")) return *name;
    return env("AWS_DEFAULT_PROFILE").value_or("default");
  }

  std::string endpoint_url() const {
    if (!settings_.endpoint_url.empty()) return settings_.endpoint_url;
    if (const auto url = env("AWS_ENDPOINT_URL_STS")) return *url;
    return env("AWS_ENDPOINT_URL").value_or("");
  }

  std::string configured_region() const {
    if (!settings_.region.empty()) return settings_.region;
    if (const auto region = env("AWS_REGION")) return *region;
    if (const auto region = env("AWS_DEFAULT_REGION")) return *region;
    return profile_ ? profile_->get("region") : std::string();
  }

  Sts sts() const {
    return {call_, session_.region.empty() ? kDefaultRegion : session_.region, session_.endpoint_url};
  }

  Found assume(const Role& role, const Found& with) const {
    return checked({sts().assume_role(role, with.credentials, with.source),
                    "the role " + quoted(role.arn) + ", assumed with those from " + with.source});
  }

  Found first() {
    if (settings_.profile.empty()) {
      if (auto found = environment()) return *found;
      if (auto found = web_identity()) return *found;
    }
    if (auto found = from_profile()) return *found;
    if (auto found = container()) return *found;
    if (auto found = instance()) return *found;
    std::string message = "there are no AWS credentials: ";
    for (std::size_t i = 0; i < looked_.size(); ++i) message += (i == 0 ? "" : "; ") + looked_[i];
    throw Error(CNSPEC_UNAUTHENTICATED, message);
  }

  // ---- Environment ----

  std::optional<Found> environment() {
    const auto key = env("AWS_ACCESS_KEY_ID");
    const auto secret = env("AWS_SECRET_ACCESS_KEY");
    if (!key && !secret) {
      looked_.push_back("AWS_ACCESS_KEY_ID is not set");
      return std::nullopt;
    }
    if (!key || !secret) {
      throw Error(CNSPEC_UNAUTHENTICATED,
                  std::string("the AWS credentials in the environment are incomplete: ") +
                      (key ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID") + " is not set");
    }
    return checked(
        {{*key, Secret(*secret), Secret(env("AWS_SESSION_TOKEN").value_or(""))}, "the environment"});
  }

  std::optional<Found> web_identity() const {
    const auto file = env("AWS_WEB_IDENTITY_TOKEN_FILE");
    if (!file) return std::nullopt;
    const auto role = env("AWS_ROLE_ARN");
    if (!role) {
      throw Error(CNSPEC_UNAUTHENTICATED,
                  "AWS_WEB_IDENTITY_TOKEN_FILE is set and AWS_ROLE_ARN is not: "
                  "which role is to be assumed?");
    }
    expect_role_arn(*role, "AWS_ROLE_ARN");
    return with_web_identity({*role, env("AWS_ROLE_SESSION_NAME").value_or(""), {}, {}}, *file);
  }

  Found with_web_identity(const Role& role, const std::string& file) const {
    const std::string source = "the web identity token in " + quoted(file);
    return checked({sts().assume_role_with_web_identity(role, token_in(file), source),
                    "the role " + quoted(role.arn) + ", assumed with " + source});
  }

  static Secret token_in(const std::string& file) {
    const auto text = providers::read_optional(file, "the token file");
    if (!text) throw Error(CNSPEC_UNAUTHENTICATED, "the token file " + quoted(file) + " does not exist");
    const std::string token(trimmed(*text));
    expect_printable(token, "the token in " + quoted(file));
    return Secret(token);
  }

  // ---- Profiles ----

  std::optional<Found> from_profile() {
    if (profile_) {
      std::vector<std::string> path;
      if (auto found = resolve(*profile_, path)) return found;
    }
    looked_.push_back("the profile " + quoted(name_) + (profile_ ? " has none" : " is not") + " in " +
                      profiles_.files());
    return std::nullopt;
  }

  static std::string named(const Profile& profile) { return "the profile " + quoted(profile.name); }

  // `path`: the profiles that led here, each by the source_profile of the one before.
  std::optional<Found> resolve(const Profile& profile, std::vector<std::string>& path) {
    path.push_back(profile.name);
    if (profile.has("role_arn")) return with_role(profile, path);
    if (auto found = keys_of(profile)) return found;
    for (const char* unsupported : {"sso_session", "sso_start_url", "credential_process", "login_session"}) {
      if (profile.has(unsupported)) {
        throw Error(CNSPEC_UNSUPPORTED, instead_of(profile, unsupported));
      }
    }
    return std::nullopt;
  }

  static std::optional<Found> keys_of(const Profile& profile) {
    const bool key = profile.has("aws_access_key_id");
    const bool secret = profile.has("aws_secret_access_key");
    if (!key && !secret) return std::nullopt;
    if (!key || !secret) {
      throw Error(CNSPEC_UNAUTHENTICATED, named(profile) + " is incomplete: it has no " +
                                              (key ? "aws_secret_access_key" : "aws_access_key_id"));
    }
    return checked({{profile.get("aws_access_key_id"), Secret(profile.get("aws_secret_access_key")),
                     Secret(profile.get("aws_session_token"))},
                    named(profile)});
  }

  Found with_role(const Profile& profile, std::vector<std::string>& path) {
    const Role role{profile.get("role_arn"), profile.get("role_session_name"), profile.get("external_id"),
                    profile.get("duration_seconds")};
    expect_role_arn(role.arn, "role_arn of " + named(profile));
    if (profile.has("mfa_serial")) {
      throw Error(CNSPEC_UNSUPPORTED, instead_of(profile, "mfa_serial"));
    }
    if (profile.has("web_identity_token_file"))
      return with_web_identity(role, profile.get("web_identity_token_file"));
    if (profile.has("source_profile") && profile.has("credential_source")) {
      throw Error(CNSPEC_INVALID,
                  named(profile) + " has both source_profile and credential_source, expected one");
    }
    if (profile.has("source_profile")) return assume(role, source_of(profile, path));
    if (profile.has("credential_source")) return assume(role, credential_source(profile));
    throw Error(
        CNSPEC_INVALID,
        named(profile) + " has role_arn, and neither source_profile nor credential_source to assume it with");
  }

  Found source_of(const Profile& profile, std::vector<std::string>& path) {
    const std::string name = profile.get("source_profile");
    const Profile* source = profiles_.find(name);
    if (!source) profiles_.missing(name, " (source_profile of " + quoted(profile.name) + ")");
    if (source == &profile) {
      // A profile may name itself: then its own keys assume its role.
      if (auto found = keys_of(profile)) return *found;
      throw Error(CNSPEC_INVALID, named(profile) + " is its own source_profile and has no keys");
    }
    if (std::find(path.begin(), path.end(), name) != path.end()) {
      std::string loop;
      for (const std::string& step : path) loop += quoted(step) + " -> ";
      throw Error(CNSPEC_INVALID, "the source_profile settings form a loop: " + loop + quoted(name));
    }
    if (auto found = resolve(*source, path)) return *found;
    throw Error(CNSPEC_UNAUTHENTICATED,
                named(*source) + " (source_profile of " + quoted(profile.name) + ") has no credentials");
  }

  Found credential_source(const Profile& profile) {
    const std::string source = profile.get("credential_source");
    std::optional<Found> found;
    if (source == "Environment") {
      found = environment();
    } else if (source == "EcsContainer") {
      found = container();
    } else if (source == "Ec2InstanceMetadata") {
      found = instance();
    } else {
      throw Error(CNSPEC_INVALID, "credential_source of " + named(profile) + " is " + quoted(source) +
                                      ", expected Environment, EcsContainer or Ec2InstanceMetadata");
    }
    if (found) return *found;
    throw Error(CNSPEC_UNAUTHENTICATED,
                "credential_source of " + named(profile) + " is " + source + ", and " + looked_.back());
  }

  // ---- Services of the machine ----

  // Empty when there is an answer, else how there is none. Our own impatience is no reason to end; the user's
  // is.
  std::string ask(const sdk::HttpRequest& request, sdk::HttpResponse& response) const {
    const int32_t code = call_.try_http(request, response);
    if (code == CNSPEC_CANCELLED || (code != CNSPEC_OK && call_.cancelled())) throw sdk::Stopped{code};
    if (code == CNSPEC_OK) return {};
    return code == CNSPEC_TIMEOUT ? " does not answer in time" : " cannot be reached";
  }

  // The document of both services: {"AccessKeyId", "SecretAccessKey", "Token", ...}.
  static Found credentials_in(const sdk::HttpResponse& response, const std::string& source) {
    rapidjson::Document document;
    if (!providers::parse_json_object(response.body, document)) {
      throw Error(source + " gave no credentials in JSON (" + providers::described(response) + ")");
    }
    const std::string code = providers::string_member(document, "Code");
    if (!code.empty() && code != "Success") {
      throw Error(CNSPEC_UNAUTHENTICATED, source + " has no credentials: " + quoted(code));
    }
    Found found{{providers::string_member(document, "AccessKeyId"),
                 Secret(providers::string_member(document, "SecretAccessKey")),
                 Secret(providers::string_member(document, "Token"))},
                source};
    if (found.credentials.access_key.empty() || found.credentials.secret_key.empty()) {
      throw Error(source + " gave JSON without AccessKeyId and SecretAccessKey");
    }
    return checked(std::move(found));
  }

  static std::string container_url() {
    if (const auto relative = env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")) {
      if (!relative->starts_with("/")) {
        throw Error(CNSPEC_INVALID, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with a slash");
      }
      return "http://169.254.170.2" + *relative;
    }
    const std::string full = env("AWS_CONTAINER_CREDENTIALS_FULL_URI").value_or("");
    if (full.empty()) return {};
    const std::string what = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    const auto url = providers::parse_base_url(full.substr(0, full.find('?')), what);
    const bool link_local = url.host == "169.254.170.2" || url.host == "169.254.170.23" ||
                            url.host == "[fd00:ec2::23]" || url.is_loopback();
    if (url.scheme == "http" && !link_local) {
      throw Error(CNSPEC_INVALID,
                  what + " names the host " + quoted(url.host) +
                      ", which is not to be trusted over plain http: expected https, a loopback "
                      "address, or the address of ECS or EKS");
    }
    return full;
  }

  std::optional<Found> container() {
    const std::string url = container_url();
    if (url.empty()) {
      looked_.push_back("no container endpoint is set (AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, _FULL_URI)");
      return std::nullopt;
    }
    sdk::HttpRequest request{.url = url, .headers = {{"Accept", "application/json"}}};
    request.flags = CNSPEC_HTTP_NO_PROXY;
    request.timeout = kContainerPatience;
    if (const auto file = env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) {
      request.headers.emplace_back("Authorization", token_in(*file).reveal());
    } else if (const auto token = env("AWS_CONTAINER_AUTHORIZATION_TOKEN")) {
      // "Bearer ..." is a usual one, so blanks are fine; line breaks are not.
      if (std::any_of(token->begin(), token->end(), [](char c) { return c < ' ' || c > '~'; })) {
        throw Error(CNSPEC_INVALID,
                    "AWS_CONTAINER_AUTHORIZATION_TOKEN holds a line break or another control character");
      }
      request.headers.emplace_back("Authorization", *token);
    }
    const std::string source = "the container endpoint " + url.substr(0, url.find('/', url.find("://") + 3));
    sdk::HttpResponse response;
    if (const std::string silence = ask(request, response); !silence.empty()) {
      throw Error(CNSPEC_UNAVAILABLE, source + silence).retryable();
    }
    if (response.status != 200) {
      throw Error(CNSPEC_UNAUTHENTICATED,
                  source + " gave no credentials (" + providers::described(response) + ")");
    }
    return credentials_in(response, source);
  }

  static std::string metadata_url() {
    if (const auto url = env("AWS_EC2_METADATA_SERVICE_ENDPOINT")) {
      return providers::parse_base_url(*url, "AWS_EC2_METADATA_SERVICE_ENDPOINT").text();
    }
    const auto mode = env("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    return mode == "IPv6" || mode == "ipv6" ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
  }

  std::optional<Found> instance() {
    const auto disabled = env("AWS_EC2_METADATA_DISABLED");
    if (disabled == "true" || disabled == "True" || disabled == "TRUE") {
      looked_.push_back("instance metadata is switched off (AWS_EC2_METADATA_DISABLED)");
      return std::nullopt;
    }
    const std::string url = metadata_url();
    const std::string source = "the instance metadata at " + url;
    sdk::HttpRequest request{.method = "PUT", .url = url + "/latest/api/token"};
    request.headers = {{"X-aws-ec2-metadata-token-ttl-seconds", "300"}};
    request.flags = CNSPEC_HTTP_NO_PROXY;
    request.timeout = kMetadataPatience;
    sdk::HttpResponse response;
    if (const std::string silence = ask(request, response); !silence.empty()) {
      looked_.push_back(source + silence);
      return std::nullopt;
    }
    const Secret token{std::string(trimmed(response.body))};
    if (response.status != 200 || token.empty() || token.reveal().size() > 4096) {
      looked_.push_back(source + " gave no session token (" + providers::described(response) + ")");
      return std::nullopt;
    }
    expect_printable(token.reveal(), "the session token of " + source);

    request.method = "GET";
    request.headers = {{"X-aws-ec2-metadata-token", token.reveal()}};
    const auto get = [&](const std::string& path) {
      request.url = url + "/latest/meta-data/" + path;
      if (const std::string silence = ask(request, response); !silence.empty()) {
        throw Error(CNSPEC_UNAVAILABLE, source + silence + " any more").retryable();
      }
      return response.status == 200;
    };
    if (!get("iam/security-credentials/")) {
      looked_.push_back(response.status == 404
                            ? "the instance has no role (" + source + ")"
                            : source + " does not say its role (" + providers::described(response) + ")");
      return std::nullopt;
    }
    const std::string role(trimmed(std::string_view(response.body).substr(0, response.body.find('\n'))));
    expect_printable(role, "the name of the role in " + source);
    if (!get("iam/security-credentials/" + providers::percent_encode(role))) {
      throw Error(CNSPEC_UNAUTHENTICATED, source + " gave no credentials for its role " + quoted(role) +
                                              " (" + providers::described(response) + ")");
    }
    Found found = credentials_in(response, source);
    if (session_.region.empty() && get("placement/region")) session_.region = trimmed(response.body);
    return found;
  }

  sdk::Call& call_;
  const Settings& settings_;
  const Profiles profiles_;
  const std::string name_;
  const Profile* profile_ = nullptr;
  Session session_;
  std::vector<std::string> looked_;  // where there were none, and why
};

}  // namespace

Session open_session(sdk::Call& call, const Settings& settings) { return Chain(call, settings).run(); }

}  // namespace cnspec::aws
