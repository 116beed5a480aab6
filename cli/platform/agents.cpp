// AgentManager: who may register, and who is who.
#include <algorithm>
#include <cctype>

#include "base/json.hpp"
#include "handling.hpp"
#include "jwt.hpp"
#include "spaces.hpp"

namespace cnspec::platform {
namespace {

constexpr double kLeewaySeconds = 300;
constexpr double kLongestLifeSeconds = 600;

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

Agent new_agent(const std::string& id, const ServiceAccount& account) {
  Agent agent;
  agent.mrn = agents_root(account.space) + "/agents/" + id;
  agent.space = account.space;
  agent.service_account = account.mrn;
  agent.created = now();
  return agent;
}

// Its own key, or one that is lent.
Outcome<bool> is_signed_by(Handling& h, const Jwt& jwt, const ServiceAccount& account) {
  std::vector<std::string> keys;
  if (account.public_key.empty()) {
    auto lent = h.platform.store.lent_keys(account.mrn, now());
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

std::string wrong_time(const Jwt& jwt) {
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

Outcome<ServiceAccount> authenticate(Handling& h, const Jwt& jwt) {
  const std::string kid(json::get_string(jwt.header, "kid"));
  if (kid.empty()) return unauthenticated("the token's header has no kid");
  auto account = h.platform.store.service_account(kid);
  if (!account) return internal(account.error());
  if (!*account) return unauthenticated("kid is no service account known here: " + kid.substr(0, 200));
  const auto signed_by_it = is_signed_by(h, jwt, **account);
  if (!signed_by_it) return tl::unexpected(signed_by_it.error());
  if (!*signed_by_it) return unauthenticated("the signature is not by a key of " + kid);
  h.who = kid;
  if ((*account)->revoked) return unauthenticated("the service account was revoked");
  if (jwt.text("iss") != kIssuer) return unauthenticated("iss is not " + std::string(kIssuer));
  if (jwt.text("sub") != kid) return unauthenticated("sub is not the service account");
  if (std::string why = wrong_time(jwt); !why.empty()) return unauthenticated(std::move(why));
  if (jwt.text("chash") != sha256_hex(h.call.body))
    return unauthenticated("chash is not the hash of this body");
  return std::move(**account);
}

Outcome<ServiceAccount> authenticate(Handling& h) {
  const std::string_view token = bearer(h.call.authorization);
  if (token.empty()) return unauthenticated("there is no bearer token");
  const auto jwt = parse_jwt(token);
  if (!jwt) return unauthenticated(jwt.error().message());
  return authenticate(h, *jwt);
}

bool is_signed_by_us(Handling& h, const Jwt& token) {
  if (h.platform.good_tokens.has(token)) return true;
  if (!token.is_signed_by(h.platform.token_key)) return false;
  h.platform.good_tokens.add(token);
  return true;
}

// The space a registration token opens. Who holds a token that was good once may know what became of it.
Outcome<std::string> authenticate_token(Handling& h, const Jwt& jwt) {
  if (!is_signed_by_us(h, jwt))
    return unauthenticated("the registration token is not signed by this platform");
  if (jwt.text("iss") != kIssuer) return unauthenticated("iss is not " + std::string(kIssuer));
  const auto token = h.platform.store.token(jwt.text("jti"));
  if (!token) return internal(token.error());
  if (!*token) return unauthenticated("the registration token is not known here");
  h.who = (*token)->mrn;
  if (jwt.text("space") != space_mrn((*token)->space)) {
    return unauthenticated("the registration token names another space than was recorded for it");
  }
  const auto begins = jwt.time("nbf");
  const auto ends = jwt.time("exp");
  if (!begins || !ends) return unauthenticated("nbf and exp must both be there, as numbers");
  if ((*token)->revoked) return refuse(Code::kUnauthenticated, "the registration token was revoked");
  if (*ends <= seconds_now()) return refuse(Code::kUnauthenticated, "the registration token has expired");
  if (*begins > seconds_now() + kLeewaySeconds)
    return refuse(Code::kUnauthenticated, "the registration token is not valid yet");
  return (*token)->space;
}

Outcome<AgentRegistrationConfirmation> register_first(Handling& h, const std::string& space,
                                                      const AgentRegistrationRequest& request) {
  const auto id = random_id();
  if (!id) return internal(id.error());
  const auto key = make_key("P-384");
  if (!key) return internal(key.error());
  const auto certificate = issue_client(h.platform.authority, *key, *id, space);
  if (!certificate) return internal(certificate.error());
  ServiceAccount account;
  account.mrn = agents_root(space) + "/serviceaccounts/" + *id;
  account.space = space;
  account.public_key = public_key_to_der(*key);
  account.created = now();
  const auto agent_id = random_id();
  if (!agent_id) return internal(agent_id.error());
  Agent agent = new_agent(*agent_id, account);
  describe(agent, request.name(), request.agent_info());
  if (const auto added = h.platform.store.add_registration(account, agent); !added)
    return internal(added.error());

  AgentRegistrationConfirmation confirmation;
  confirmation.set_agent_mrn(agent.mrn);
  ServiceAccountCredentials& credential = *confirmation.mutable_credential();
  credential.set_mrn(account.mrn);
  credential.set_parent_mrn(space_mrn(space));
  credential.set_scope_mrn(space_mrn(space));
  credential.set_private_key(private_key_to_pem(*key));
  credential.set_certificate(certificate_to_pem(*certificate));
  credential.set_api_endpoint(h.platform.options.endpoint);
  return confirmation;
}

// Signed with the key of a service account, which stays as it is; a machine that is known gets its own MRN
// again.
Outcome<AgentRegistrationConfirmation> register_again(Handling& h, const ServiceAccount& account,
                                                      const AgentRegistrationRequest& request) {
  const auto id = random_id();
  if (!id) return internal(id.error());
  const auto agent = h.platform.store.put_agent(
      account.mrn, request.agent_info().platform_id(), [&](std::optional<Agent> known) {
        Agent changed = known ? std::move(*known) : new_agent(*id, account);
        describe(changed, request.name(), request.agent_info());
        return changed;
      });
  if (!agent) return internal(agent.error());
  AgentRegistrationConfirmation confirmation;
  confirmation.set_agent_mrn(agent->mrn);
  return confirmation;
}

// The agent, when it is one of the account's own.
Outcome<Agent> own_agent(Handling& h, const ServiceAccount& account, const std::string& mrn) {
  if (mrn.empty()) return refuse(Code::kInvalidArgument, h.call.method + ": mrn is missing");
  auto agent = h.platform.store.agent(mrn);
  if (!agent) return internal(agent.error());
  // The same answer for what exists in another space and what does not exist, so that nobody can tell.
  if (!*agent || (*agent)->space != account.space) return refuse(Code::kNotFound, "there is no agent " + mrn);
  if ((*agent)->service_account != account.mrn) {
    return refuse(Code::kPermissionDenied, "the agent " + mrn + " was registered by another service account");
  }
  return std::move(**agent);
}

}  // namespace

Outcome<AgentRegistrationConfirmation> register_agent(Handling& h) {
  std::string token(bearer(h.call.authorization));
  if (!h.call.authorization.empty() && token.empty())
    return unauthenticated("Authorization is no bearer token");
  const auto request = h.read<AgentRegistrationRequest>();
  if (!request) return tl::unexpected(request.error());
  if (token.empty()) token = request->token();
  if (token.empty()) return unauthenticated("there is no registration token");
  const auto jwt = parse_jwt(token);
  if (!jwt) return unauthenticated(jwt.error().message());
  // A service account names itself in kid; a registration token has none.
  if (json::find(jwt->header, "kid")) {
    const auto account = authenticate(h, *jwt);
    if (!account) return tl::unexpected(account.error());
    return register_again(h, *account, *request);
  }
  const auto space = authenticate_token(h, *jwt);
  if (!space) return tl::unexpected(space.error());
  return register_first(h, *space, *request);
}

Outcome<Empty> ping_pong(Handling& h) {
  if (const auto account = authenticate(h); !account) return tl::unexpected(account.error());
  return h.read<Empty>();
}

Outcome<Confirmation> unregister_agent(Handling& h) {
  const auto account = authenticate(h);
  if (!account) return tl::unexpected(account.error());
  const auto request = h.read<Mrn>();
  if (!request) return tl::unexpected(request.error());
  const auto agent = own_agent(h, *account, request->mrn());
  if (!agent) return tl::unexpected(agent.error());
  if (const auto removed = h.platform.store.remove_agent(agent->mrn, now()); !removed)
    return internal(removed.error());
  Confirmation confirmation;
  confirmation.set_mrn(agent->mrn);
  return confirmation;
}

Outcome<Empty> check_agent(Handling& h) {
  const auto account = authenticate(h);
  if (!account) return tl::unexpected(account.error());
  const auto info = h.read<AgentInfo>();
  if (!info) return tl::unexpected(info.error());
  if (info->mrn().empty()) return Empty();  // a service account without a managed client
  auto agent = own_agent(h, *account, info->mrn());
  if (!agent) return tl::unexpected(agent.error());
  describe(*agent, "", *info);
  if (const auto saved = h.platform.store.update_agent(*agent); !saved) return internal(saved.error());
  return Empty();
}

}  // namespace cnspec::platform
