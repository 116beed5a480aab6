#include "service.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <ctime>

#include "api.pb.h"
#include "base/encoding.hpp"
#include "base/json.hpp"
#include "base/time.hpp"
#include "base/version.hpp"
#include "jwt.hpp"

namespace cnspec::platform {
namespace {

constexpr double kLeewaySeconds = 300;
constexpr double kLongestLifeSeconds = 600;
constexpr double kTokenLeewaySeconds = 60;
constexpr std::chrono::minutes kClaimsLeeway{5};
constexpr std::chrono::minutes kLongestClaims{10};
constexpr int kMostSignatures = 256;
constexpr Seconds kLentSeconds = 3600;

constexpr std::string_view kSpaces = "//captain.api.mondoo.app/spaces/";
constexpr std::array<std::string_view, 6> kProviders = {"arista", "aws", "azure", "core", "mock", "os"};
constexpr std::array<std::string_view, 3> kDocuments = {"cnspec/latest.json", "mql/latest.json",
                                                        "providers/latest.json"};

// What a stranger is told, whatever it was; the reason is for the platform's own log.
constexpr std::string_view kUnauthenticated = "request permission unauthenticated";

struct Refusal {
  Code code;
  std::string message;
  std::string reason = {};
};
template <class T>
using Outcome = tl::expected<T, Refusal>;

auto refuse(Code code, std::string message) {
  return tl::unexpected<Refusal>(Refusal{code, std::move(message)});
}
auto unauthenticated(std::string reason) {
  return tl::unexpected<Refusal>(
      Refusal{Code::kUnauthenticated, std::string(kUnauthenticated), std::move(reason)});
}
auto internal(const Error& error) {
  return tl::unexpected<Refusal>(Refusal{Code::kInternal, "the platform failed", error.message()});
}

std::string agents_root(std::string_view space) {
  return "//agents.api.mondoo.app/spaces/" + std::string(space);
}

// The credentials of "Bearer x"; the scheme's case does not matter.
std::string_view bearer(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  const bool matches = authorization.size() >= kScheme.size() &&
                       std::equal(kScheme.begin(), kScheme.end(), authorization.begin(), [](char a, char b) {
                         return a == std::tolower(static_cast<unsigned char>(b));
                       });
  if (!matches) return {};
  authorization.remove_prefix(kScheme.size());
  const auto first = authorization.find_first_not_of(' ');
  return first == authorization.npos ? std::string_view() : authorization.substr(first);
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::string rfc3339(std::chrono::system_clock::time_point when) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 40> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

// What the client leaves out stays as it was known.
void describe(Agent& agent, const std::string& name, const AgentInfo& info) {
  const auto learn = [](std::string& known, const std::string& told) {
    if (!told.empty()) known = told;
  };
  learn(agent.version, info.version());
  const std::string& release = info.platform_release();
  learn(agent.platform, info.platform_name() + (release.empty() ? "" : " " + release));
  learn(agent.hostname, info.platform_hostname());
  learn(agent.ip, info.platform_ip());
  learn(agent.platform_id, info.platform_id());
  learn(agent.name, name);
  if (agent.name.empty()) agent.name = agent.hostname;
  agent.seen = now();
}

Result<Agent> new_agent(const std::string& space, const std::string& service_account) {
  const auto id = random_id();
  if (!id) return fail(id.error());
  Agent agent;
  agent.mrn = agents_root(space) + "/agents/" + *id;
  agent.space = space;
  agent.service_account = service_account;
  agent.created = now();
  return agent;
}

json::Value to_json(std::string_view text, json::Document::AllocatorType& allocator) {
  return json::Value(text.data(), static_cast<rapidjson::SizeType>(text.size()), allocator);
}

std::optional<std::string> hex_decode(std::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    unsigned byte = 0;
    const auto [end, error] = std::from_chars(hex.data() + i, hex.data() + i + 2, byte, 16);
    if (error != std::errc() || end != hex.data() + i + 2) return std::nullopt;
    out += static_cast<char>(byte);
  }
  return out;
}

}  // namespace

// One call, with what is learnt about it on the way.
struct Service::Handling {
  Service& service;
  const Call& call;
  Format in;
  Format out;
  std::string who = {};

  Store& store() { return service.store_; }

  template <class In>
  Outcome<In> read() {
    In message;
    std::string why;
    if (!decode(call.body, in, message, why)) return refuse(Code::kInvalidArgument, call.method + ": " + why);
    return message;
  }

  Outcome<ServiceAccount> authenticate() {
    const std::string_view token = bearer(call.authorization);
    if (token.empty()) return unauthenticated("there is no bearer token");
    const auto jwt = parse_jwt(token);
    if (!jwt) return unauthenticated(jwt.error().message());
    return authenticate(*jwt);
  }

  Outcome<ServiceAccount> authenticate(const Jwt& jwt) {
    const std::string kid(json::get_string(jwt.header, "kid"));
    if (kid.empty()) return unauthenticated("the token's header has no kid");
    auto account = store().service_account(kid);
    if (!account) return internal(account.error());
    if (!*account) return unauthenticated("kid is no service account known here: " + kid.substr(0, 200));
    const auto signed_by_it = is_signed_by(jwt, **account);
    if (!signed_by_it) return tl::unexpected(signed_by_it.error());
    if (!*signed_by_it) return unauthenticated("the signature is not by a key of " + kid);
    who = kid;
    if ((*account)->revoked) return unauthenticated("the service account was revoked");
    if (jwt.text("iss") != kIssuer) return unauthenticated("iss is not " + std::string(kIssuer));
    if (jwt.text("sub") != kid) return unauthenticated("sub is not the service account");
    if (std::string why = wrong_time(jwt); !why.empty()) return unauthenticated(std::move(why));
    if (jwt.text("chash") != sha256_hex(call.body))
      return unauthenticated("chash is not the hash of this body");
    return std::move(**account);
  }

  // Its own key, or one that is lent.
  Outcome<bool> is_signed_by(const Jwt& jwt, const ServiceAccount& account) {
    std::vector<std::string> keys;
    if (account.public_key.empty()) {
      auto lent = store().lent_keys(account.mrn, now());
      if (!lent) return internal(lent.error());
      keys = std::move(*lent);
    } else {
      keys.push_back(account.public_key);
    }
    for (const std::string& der : keys) {
      const auto key = public_key_from_der(der);
      if (!key) return internal(key.error());
      if (jwt.is_signed_by(*key)) return true;
    }
    return false;
  }

  static std::string wrong_time(const Jwt& jwt) {
    const auto issued = jwt.time("iat");
    const auto begins = jwt.time("nbf");
    const auto ends = jwt.time("exp");
    if (!issued || !begins || !ends) return "iat, nbf and exp must all be there, as numbers";
    const double clock = seconds_now();
    if (*issued > clock + kLeewaySeconds) return "iat is in the future";
    if (*begins > clock + kLeewaySeconds) return "nbf is in the future";
    if (*ends < clock - kLeewaySeconds) return "exp has passed";
    if (*ends - *issued > kLongestLifeSeconds) return "exp is too long after iat";
    return {};
  }

  // The space a registration token opens. Who holds a token that was good once may know what became of it.
  Outcome<std::string> authenticate_token(const Jwt& jwt) {
    if (!jwt.is_signed_by(service.token_key_))
      return unauthenticated("the registration token is not signed by this platform");
    if (jwt.text("iss") != kIssuer) return unauthenticated("iss is not " + std::string(kIssuer));
    const auto token = store().token(jwt.text("jti"));
    if (!token) return internal(token.error());
    if (!*token) return unauthenticated("the registration token is not known here");
    who = (*token)->mrn;
    if (jwt.text("space") != space_mrn((*token)->space)) {
      return unauthenticated("the registration token names another space than was recorded for it");
    }
    const auto begins = jwt.time("nbf");
    const auto ends = jwt.time("exp");
    if (!begins || !ends) return unauthenticated("nbf and exp must both be there, as numbers");
    if ((*token)->revoked) return refuse(Code::kUnauthenticated, "the registration token was revoked");
    if (*ends <= seconds_now()) return refuse(Code::kUnauthenticated, "the registration token has expired");
    if (*begins > seconds_now())
      return refuse(Code::kUnauthenticated, "the registration token is not valid yet");
    return (*token)->space;
  }

  Outcome<HealthCheckResponse> check_health() {
    if (const auto request = read<HealthCheckRequest>(); !request) return tl::unexpected(request.error());
    HealthCheckResponse response;
    response.set_status(HealthCheckResponse::SERVING);
    response.set_time(rfc3339(std::chrono::system_clock::now() + service.options_.clock_skew));
    response.set_apiversion(kApiVersion);
    response.set_build(kBuild);
    return response;
  }

  Outcome<Empty> ping_pong() {
    if (const auto account = authenticate(); !account) return tl::unexpected(account.error());
    return read<Empty>();
  }

  Outcome<AgentRegistrationConfirmation> register_agent() {
    std::string token(bearer(call.authorization));
    if (!call.authorization.empty() && token.empty())
      return unauthenticated("Authorization is no bearer token");
    const auto request = read<AgentRegistrationRequest>();
    if (!request) return tl::unexpected(request.error());
    if (token.empty()) token = request->token();
    if (token.empty()) return unauthenticated("there is no registration token");
    const auto jwt = parse_jwt(token);
    if (!jwt) return unauthenticated(jwt.error().message());
    // A service account names itself in kid; a registration token has none.
    if (json::find(jwt->header, "kid")) {
      const auto account = authenticate(*jwt);
      if (!account) return tl::unexpected(account.error());
      return register_again(*account, *request);
    }
    const auto space = authenticate_token(*jwt);
    if (!space) return tl::unexpected(space.error());
    return register_first(*space, *request);
  }

  Outcome<AgentRegistrationConfirmation> register_first(const std::string& space,
                                                        const AgentRegistrationRequest& request) {
    const auto id = random_id();
    if (!id) return internal(id.error());
    const auto key = make_key("P-384");
    if (!key) return internal(key.error());
    const auto certificate = issue_client(service.authority_, *key, *id, space);
    if (!certificate) return internal(certificate.error());
    ServiceAccount account;
    account.mrn = agents_root(space) + "/serviceaccounts/" + *id;
    account.space = space;
    account.public_key = public_key_to_der(*key);
    account.created = now();
    auto agent = new_agent(space, account.mrn);
    if (!agent) return internal(agent.error());
    describe(*agent, request.name(), request.agent_info());
    if (const auto added = store().add_registration(account, *agent); !added) return internal(added.error());

    AgentRegistrationConfirmation confirmation;
    confirmation.set_agent_mrn(agent->mrn);
    ServiceAccountCredentials& credential = *confirmation.mutable_credential();
    credential.set_mrn(account.mrn);
    credential.set_parent_mrn(space_mrn(space));
    credential.set_scope_mrn(space_mrn(space));
    credential.set_private_key(private_key_to_pem(*key));
    credential.set_certificate(certificate_to_pem(*certificate));
    credential.set_api_endpoint(service.options_.endpoint);
    return confirmation;
  }

  // Signed with the key of a service account, which stays as it is; a machine that is known gets its own MRN
  // again.
  Outcome<AgentRegistrationConfirmation> register_again(const ServiceAccount& account,
                                                        const AgentRegistrationRequest& request) {
    const std::string& platform_id = request.agent_info().platform_id();
    std::optional<Agent> known;
    if (!platform_id.empty()) {
      auto found = store().agent_of(account.mrn, platform_id);
      if (!found) return internal(found.error());
      known = std::move(*found);
    }
    auto agent = known ? Result<Agent>(*known) : new_agent(account.space, account.mrn);
    if (!agent) return internal(agent.error());
    describe(*agent, request.name(), request.agent_info());
    const auto saved = known ? store().update_agent(*agent) : store().add_agent(*agent);
    if (!saved) return internal(saved.error());
    AgentRegistrationConfirmation confirmation;
    confirmation.set_agent_mrn(agent->mrn);
    return confirmation;
  }

  // The agent, when it is one of the account's own.
  Outcome<Agent> own_agent(const ServiceAccount& account, const std::string& mrn) {
    if (mrn.empty()) return refuse(Code::kInvalidArgument, call.method + ": mrn is missing");
    auto agent = store().agent(mrn);
    if (!agent) return internal(agent.error());
    // The same answer for what exists in another space and what does not exist, so that nobody can tell.
    if (!*agent || (*agent)->space != account.space)
      return refuse(Code::kNotFound, "there is no agent " + mrn);
    if ((*agent)->service_account != account.mrn) {
      return refuse(Code::kPermissionDenied,
                    "the agent " + mrn + " was registered by another service account");
    }
    return std::move(**agent);
  }

  Outcome<Confirmation> unregister_agent() {
    const auto account = authenticate();
    if (!account) return tl::unexpected(account.error());
    const auto request = read<Mrn>();
    if (!request) return tl::unexpected(request.error());
    const auto agent = own_agent(*account, request->mrn());
    if (!agent) return tl::unexpected(agent.error());
    if (const auto removed = store().remove_agent(agent->mrn, now()); !removed)
      return internal(removed.error());
    Confirmation confirmation;
    confirmation.set_mrn(agent->mrn);
    return confirmation;
  }

  Outcome<Empty> check_agent() {
    const auto account = authenticate();
    if (!account) return tl::unexpected(account.error());
    const auto info = read<AgentInfo>();
    if (!info) return tl::unexpected(info.error());
    if (info->mrn().empty()) return Empty();  // a service account without a managed client
    auto agent = own_agent(*account, info->mrn());
    if (!agent) return tl::unexpected(agent.error());
    describe(*agent, "", *info);
    if (const auto saved = store().update_agent(*agent); !saved) return internal(saved.error());
    return Empty();
  }

  Outcome<ExchangeSSHKeyResponse> exchange_ssh() {
    const auto request = read<ExchangeSSHKeyRequest>();
    if (!request) return tl::unexpected(request.error());
    const Claims& claims = request->claims();
    if (const auto good = check_times(claims); !good) return tl::unexpected(good.error());
    const auto account = keyless(claims.subject());
    if (!account) return tl::unexpected(account.error());
    if (claims.resource() != space_mrn(account->space))
      return unauthenticated("the claims are for another resource than " + space_mrn(account->space));
    const auto known = is_signed_by(*request, *account);
    if (!known) return tl::unexpected(known.error());
    if (!*known) return unauthenticated("no key of " + account->mrn + " signed the claims");
    who = account->mrn;
    const auto credential = lend(*account);
    if (!credential) return tl::unexpected(credential.error());
    ExchangeSSHKeyResponse response;
    response.set_mrn(credential->mrn());
    response.set_parent_mrn(credential->parent_mrn());
    response.set_private_key(credential->private_key());
    response.set_certificate(credential->certificate());
    response.set_api_endpoint(credential->api_endpoint());
    return response;
  }

  // Told openly, since they are the caller's own words and its clock is what needs mending.
  static Outcome<void> check_times(const Claims& claims) {
    const auto issued = parse_rfc3339(claims.iat());
    const auto ends = parse_rfc3339(claims.exp());
    if (!issued || !ends)
      return refuse(Code::kInvalidArgument, "the claims need iat and exp, as RFC 3339 has them");
    const auto clock = std::chrono::system_clock::now();
    const auto refuse_time = [](const char* why) {
      return refuse(Code::kUnauthenticated, std::string(why) + "; is the clock of the client right?");
    };
    if (*ends <= clock) return refuse_time("the claims have expired");
    if (*issued > clock + kClaimsLeeway) return refuse_time("the claims are of the future");
    if (*ends - *issued > kLongestClaims) return refuse_time("the claims would be good for too long");
    return {};
  }

  Outcome<ServiceAccount> keyless(const std::string& mrn) {
    auto account = store().service_account(mrn);
    if (!account) return internal(account.error());
    if (!*account || !(*account)->public_key.empty())
      return unauthenticated("no keys are lent of " + mrn.substr(0, 200));
    if ((*account)->revoked) return unauthenticated("the service account was revoked: " + mrn);
    return std::move(**account);
  }

  Outcome<bool> is_signed_by(const ExchangeSSHKeyRequest& request, const ServiceAccount& account) {
    const Claims& claims = request.claims();
    const std::string text =
        sha256_hex("exp=" + form_encode(claims.exp()) + "&iat=" + form_encode(claims.iat()) + "&resource=" +
                   form_encode(claims.resource()) + "&subject=" + form_encode(claims.subject()) + "\n");
    int tried = 0;
    for (const SshSignature& signature : request.signatures()) {
      if (++tried > kMostSignatures) break;
      if (signature.alg() != "x5t#S256") continue;
      const auto blob = store().ssh_key(account.mrn, signature.kid());
      if (!blob) return internal(blob.error());
      const auto bytes = hex_decode(signature.sig());
      if (*blob && bytes && is_signed_by_ssh_key(**blob, text, *bytes)) return true;
    }
    return false;
  }

  Outcome<ExchangeExternalTokenResponse> exchange_external_token() {
    const auto request = read<ExchangeExternalTokenRequest>();
    if (!request) return tl::unexpected(request.error());
    const auto jwt = parse_foreign_jwt(request->jwt_token());
    if (!jwt) return unauthenticated(jwt.error().message());
    const auto issuer = issuer_of(*jwt, *request);
    if (!issuer) return tl::unexpected(issuer.error());
    const auto account = keyless(issuer->service_account);
    if (!account) return tl::unexpected(account.error());
    who = account->mrn;
    const auto credential = lend(*account);
    if (!credential) return tl::unexpected(credential.error());
    json::Document document(rapidjson::kObjectType);
    auto& allocator = document.GetAllocator();
    document.AddMember("mrn", to_json(credential->mrn(), allocator), allocator);
    document.AddMember("parent_mrn", to_json(credential->parent_mrn(), allocator), allocator);
    document.AddMember("space_mrn", to_json(credential->parent_mrn(), allocator), allocator);
    document.AddMember("private_key", to_json(credential->private_key(), allocator), allocator);
    document.AddMember("certificate", to_json(credential->certificate(), allocator), allocator);
    document.AddMember("api_endpoint", to_json(credential->api_endpoint(), allocator), allocator);
    ExchangeExternalTokenResponse response;
    response.set_base64_credential(base64_encode(json::write(document)));
    return response;
  }

  // The one that signed the token, where all it says holds. Who has a token that was signed for us may know
  // why it is not taken.
  Outcome<Issuer> issuer_of(const Jwt& jwt, const ExchangeExternalTokenRequest& request) {
    const std::string uri(jwt.text("iss"));
    if (uri.empty()) return unauthenticated("the token names no issuer");
    if (!request.issuer_uri().empty() && request.issuer_uri() != uri)
      return unauthenticated("the token is of the issuer " + uri.substr(0, 200) +
                             " and not of the one that is asked for");
    const auto issuers = store().issuers(uri);
    if (!issuers) return internal(issuers.error());
    std::string why = "the issuer is not known here: " + uri.substr(0, 200);
    bool genuine = false;
    for (const Issuer& issuer : *issuers) {
      const auto keys = store().issuer_keys(issuer.service_account);
      if (!keys) return internal(keys.error());
      if (!is_signed_by_issuer(jwt, *keys)) {
        if (!genuine) why = "no key of the issuer " + uri + " signed the token";
        continue;
      }
      genuine = true;
      why = wrong_claim(jwt, issuer, request.audience());
      if (why.empty()) return issuer;
    }
    if (genuine) return refuse(Code::kUnauthenticated, why);
    return unauthenticated(why);
  }

  static std::string wrong_claim(const Jwt& jwt, const Issuer& issuer, const std::string& asked_audience) {
    const auto ends = jwt.time("exp");
    const auto begins = jwt.time("nbf");
    if (!ends) return "the token has no exp";
    if (*ends <= seconds_now() - kTokenLeewaySeconds) return "the token has expired";
    if (json::find(jwt.claims, "nbf") && !begins) return "the token's nbf is no number";
    if (begins && *begins > seconds_now() + kTokenLeewaySeconds) return "the token is not valid yet";
    if (!is_for(jwt, issuer.audience) || (!asked_audience.empty() && asked_audience != issuer.audience))
      return "the token is for another audience";
    const std::string_view subject = issuer.subject;
    const bool prefix = subject.ends_with('*');
    const auto fits = prefix ? jwt.text("sub").starts_with(subject.substr(0, subject.size() - 1))
                             : subject.empty() || jwt.text("sub") == subject;
    return fits ? "" : "the token is of another subject than was registered";
  }

  static bool is_for(const Jwt& jwt, const std::string& audience) {
    const json::Value* aud = json::find(jwt.claims, "aud");
    if (!aud) return false;
    if (!aud->IsArray()) return aud->IsString() && json::view(*aud) == audience;
    return std::any_of(aud->Begin(), aud->End(),
                       [&](const json::Value& one) { return one.IsString() && json::view(one) == audience; });
  }

  // A key for the account, for an hour.
  Outcome<ServiceAccountCredentials> lend(const ServiceAccount& account) {
    const auto key = make_key("P-384");
    if (!key) return internal(key.error());
    const auto id = account.mrn.substr(account.mrn.rfind('/') + 1);
    const auto certificate = issue_client(service.authority_, *key, id, account.space);
    if (!certificate) return internal(certificate.error());
    const auto lent = store().lend_key(account.mrn, public_key_to_der(*key), now() + kLentSeconds, now());
    if (!lent) return internal(lent.error());
    ServiceAccountCredentials credential;
    credential.set_mrn(account.mrn);
    credential.set_parent_mrn(space_mrn(account.space));
    credential.set_private_key(private_key_to_pem(*key));
    credential.set_certificate(certificate_to_pem(*certificate));
    credential.set_api_endpoint(service.options_.endpoint);
    return credential;
  }

  template <class Out, Outcome<Out> (Handling::*Method)()>
  Answer run() {
    const Outcome<Out> outcome = (this->*Method)();
    Answer answer =
        outcome ? success(*outcome, out) : failure(outcome.error().code, outcome.error().message, out);
    if (!outcome) answer.reason = outcome.error().reason;
    answer.who = who;
    return answer;
  }

  struct Row {
    std::string_view name;
    Answer (Handling::*run)();
    bool quick;
  };
  static const std::array<Row, 7> kRows;
  static const Row* find(std::string_view name) {
    const auto row = std::find_if(kRows.begin(), kRows.end(), [&](const Row& r) { return r.name == name; });
    return row == kRows.end() ? nullptr : &*row;
  }
};

constinit const std::array<Service::Handling::Row, 7> Service::Handling::kRows = {{
    {"Health/Check", &Handling::run<HealthCheckResponse, &Handling::check_health>, true},
    {"AgentManager/RegisterAgent", &Handling::run<AgentRegistrationConfirmation, &Handling::register_agent>,
     false},
    {"AgentManager/UnRegisterAgent", &Handling::run<Confirmation, &Handling::unregister_agent>, false},
    {"AgentManager/PingPong", &Handling::run<Empty, &Handling::ping_pong>, false},
    {"AgentManager/HealthCheck", &Handling::run<Empty, &Handling::check_agent>, false},
    {"SecureTokenService/ExchangeSSH", &Handling::run<ExchangeSSHKeyResponse, &Handling::exchange_ssh>,
     false},
    {"SecureTokenService/ExchangeExternalToken",
     &Handling::run<ExchangeExternalTokenResponse, &Handling::exchange_external_token>, false},
}};

Service::Service(Store store, Authority authority, Key token_key, ServiceOptions options)
    : store_(std::move(store)),
      authority_(std::move(authority)),
      token_key_(std::move(token_key)),
      options_(std::move(options)) {}

std::vector<std::string> Service::names() {
  std::vector<std::string> result(kDocuments.begin(), kDocuments.end());
  for (const auto& row : Handling::kRows) result.emplace_back(row.name);
  std::sort(result.begin(), result.end());
  return result;
}

std::optional<Answer> Service::document(std::string_view name) const {
  if (std::find(kDocuments.begin(), kDocuments.end(), name) == kDocuments.end()) return std::nullopt;
  json::Document document(rapidjson::kObjectType);
  auto& allocator = document.GetAllocator();
  const auto version = [&] { return to_json(options_.latest_version, allocator); };
  if (name == "providers/latest.json") {
    json::Value providers(rapidjson::kArrayType);
    for (const std::string_view id : kProviders) {
      json::Value provider(rapidjson::kObjectType);
      provider.AddMember("name", to_json(id, allocator), allocator);
      provider.AddMember("version", version(), allocator);
      providers.PushBack(provider, allocator);
    }
    document.AddMember("providers", providers, allocator);
  } else {
    document.AddMember("version", version(), allocator);
  }
  return Answer{Code::kOk, 200, std::string(content_type(Format::kJson)), json::write(document)};
}

bool Service::has_method(std::string_view name) { return Handling::find(name) != nullptr; }

bool Service::is_quick(std::string_view name) {
  const auto* row = Handling::find(name);
  return !row || row->quick;
}

Answer Service::call(const Call& call) {
  const auto in = format_of(call.content_type);
  const Format out = accepted(call.accept, in.value_or(Format::kJson));
  const auto* row = Handling::find(call.method);
  if (!row) return failure(Code::kUnimplemented, "there is no method " + call.method.substr(0, 200), out);
  if (!in && (!call.content_type.empty() || !call.body.empty())) {
    const std::string given =
        call.content_type.empty() ? "missing" : "\"" + call.content_type.substr(0, 200) + "\"";
    return failure(Code::kInvalidArgument,
                   "the Content-Type is " + given + "; expected application/protobuf or application/json",
                   out);
  }
  Handling handling{*this, call, in.value_or(Format::kProtobuf), out};
  return (handling.*(row->run))();
}

std::string space_mrn(std::string_view space) { return std::string(kSpaces) + std::string(space); }

Seconds now() { return std::time(nullptr); }

Result<std::string> parse_space(std::string_view text) {
  const std::string_view id = text.starts_with(kSpaces) ? text.substr(kSpaces.size()) : text;
  const auto fits = [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.'; };
  if (id.empty() || id.size() > 63 || !std::isalnum(static_cast<unsigned char>(id.front())) ||
      !std::all_of(id.begin(), id.end(), fits)) {
    return fail("\"" + std::string(text) +
                    "\" is no space: expected 1 to 63 letters, digits, '-', '_' and '.', " +
                    "beginning with a letter or digit",
                ErrorKind::kUsage);
  }
  return std::string(id);
}

Result<ServiceAccount> keyless_account(const std::string& space) {
  const auto id = random_id();
  if (!id) return fail(id.error());
  ServiceAccount account;
  account.mrn = agents_root(space) + "/serviceaccounts/" + *id;
  account.space = space;
  account.created = now();
  return account;
}

Result<std::string> create_token(Store& store, const Key& key, const TokenRequest& request) {
  const auto id = random_id();
  if (!id) return fail(id.error());
  Token token;
  token.mrn = space_mrn(request.space) + "/tokens/" + *id;
  token.space = request.space;
  token.description = request.description;
  token.created = now();
  token.expires = token.created + request.lifetime.count();
  // One that is made expired was valid for an hour before that.
  const Seconds begins = token.expires > token.created ? token.created : token.expires - 3600;

  json::Document claims(rapidjson::kObjectType);
  auto& allocator = claims.GetAllocator();
  const auto add = [&](const char* name, std::string_view value) {
    claims.AddMember(rapidjson::StringRef(name), to_json(value, allocator), allocator);
  };
  const auto add_time = [&](const char* name, Seconds value) {
    claims.AddMember(rapidjson::StringRef(name), json::Value(value), allocator);
  };
  add("iss", kIssuer);
  add("jti", token.mrn);
  add("space", space_mrn(request.space));
  add("owner", space_mrn(request.space));
  if (!request.description.empty()) add("desc", request.description);
  if (!request.endpoint.empty()) add("api_endpoint", request.endpoint);
  add("cert_valid_until", rfc3339(std::chrono::system_clock::now() + std::chrono::hours(24 * 365)));
  add_time("iat", begins);
  add_time("nbf", begins);
  add_time("exp", token.expires);
  auto signed_token = sign_jwt(key, claims);
  if (!signed_token) return signed_token;
  if (auto added = store.add_token(token); !added) return fail(added.error());
  return signed_token;
}

}  // namespace cnspec::platform
