// What the platform remembers, in SQLite. Several processes may have one store open; within a process one
// thread uses an object at a time. A change is on disk when the call returns.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

struct sqlite3;

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
  std::string public_key;  // SubjectPublicKeyInfo in DER; the private key is the client's alone
  Seconds created = 0;
  bool revoked = false;
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

  Result<std::optional<Agent>> agent(std::string_view mrn);
  Result<void> add_agent(const Agent& agent);
  // Everything but mrn, space, service account and creation.
  Result<void> update_agent(const Agent& agent);
  // The account's agent on the machine with that platform id.
  Result<std::optional<Agent>> agent_of(std::string_view service_account, std::string_view platform_id);
  // Removes the agent; its service account is revoked with the last of its agents. False: no such agent.
  Result<bool> remove_agent(std::string_view mrn, Seconds now);
  // A token, a service account or an agent (as remove_agent does). False: nothing of that name, or already
  // revoked.
  Result<bool> revoke(std::string_view mrn, Seconds now);

  // By space, then age; an empty space means all of them.
  Result<std::vector<Token>> tokens(std::string_view space);
  Result<std::vector<ServiceAccount>> service_accounts(std::string_view space);
  Result<std::vector<Agent>> agents(std::string_view space);

 private:
  struct Close {
    void operator()(sqlite3* db) const;
  };
  explicit Store(std::unique_ptr<sqlite3, Close> db);
  std::unique_ptr<sqlite3, Close> db_;
};

}  // namespace cnspec::platform
