// What the platform remembers, in SQLite. Several processes may have one store open, and any thread may use
// an object. A change is on disk when the call returns; changes that come at once get there together.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "issuer_key.hpp"
#include "ssh_key.hpp"

namespace cnspec::platform {

using Seconds = std::int64_t;  // since 1970

struct Token {
  std::string mrn;
  std::string space;
  std::string description;
  Seconds created = 0;
  Seconds expires = 0;
  bool revoked = false;
};

struct ServiceAccount {
  std::string mrn;
  std::string space;
  // SubjectPublicKeyInfo in DER; the private key is the client's alone. Empty: the account has no key of its
  // own, and those who prove that they may get one for a while.
  std::string public_key;
  Seconds created = 0;
  bool revoked = false;
};

// Whose tokens open a service account.
struct Issuer {
  std::string service_account;
  std::string uri;
  std::string audience;
  std::string subject;  // with * at its end: what begins so; empty: any
};

struct Agent {
  std::string mrn;
  std::string space;
  std::string service_account;
  std::string name;
  std::string version;
  std::string platform;  // "debian 12"
  std::string hostname;
  std::string ip;
  std::string platform_id;  // empty: not told
  Seconds created = 0;
  Seconds seen = 0;
};

class Store {
 public:
  static Result<Store> open(const std::filesystem::path& file);
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();

  // Where the platform was last served; empty when it never was.
  Result<std::string> endpoint();
  Result<void> set_endpoint(std::string_view url);

  Result<void> add_token(const Token& token);  // makes its space, too
  Result<std::optional<Token>> token(std::string_view mrn);
  Result<void> add_registration(const ServiceAccount& account, const Agent& agent);
  Result<std::optional<ServiceAccount>> service_account(std::string_view mrn);

  // A service account without a key of its own, and its space; then who may have it.
  Result<void> add_ssh_account(const ServiceAccount& account, const std::vector<SshKey>& keys);
  Result<void> add_issuer_account(const ServiceAccount& account, const Issuer& issuer,
                                  const std::vector<IssuerKey>& keys);
  Result<std::optional<std::string>> ssh_key(std::string_view service_account, std::string_view fingerprint);
  Result<std::vector<Issuer>> issuers(std::string_view uri);
  Result<std::vector<IssuerKey>> issuer_keys(std::string_view service_account);
  // A key for a while; those whose time is over are forgotten.
  Result<void> lend_key(std::string_view service_account, std::string_view public_key, Seconds expires,
                        Seconds now);
  Result<std::vector<std::string>> lent_keys(std::string_view service_account, Seconds now);

  Result<std::optional<Agent>> agent(std::string_view mrn);
  // Everything but mrn, space, service account and creation.
  Result<void> update_agent(const Agent& agent);
  // The account's agent on the machine with that platform id (empty: none), as `make` changes it; or a new
  // one, made of nothing. `make` keeps mrn, space, service account and creation of one that is known.
  Result<Agent> put_agent(std::string_view service_account, std::string_view platform_id,
                          const std::function<Agent(std::optional<Agent>)>& make);
  // Removes the agent; its service account is revoked with the last of its agents, unless keys are lent of
  // it. False: no such agent.
  Result<bool> remove_agent(std::string_view mrn, Seconds now);
  // A token, a service account or an agent (as remove_agent does). False: nothing of that name, or already
  // revoked.
  Result<bool> revoke(std::string_view mrn, Seconds now);

  // By space, then age; an empty space means all of them.
  Result<std::vector<Token>> tokens(std::string_view space);
  Result<std::vector<ServiceAccount>> service_accounts(std::string_view space);
  Result<std::vector<Agent>> agents(std::string_view space);

 private:
  struct State;
  explicit Store(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cnspec::platform
