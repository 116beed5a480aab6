// Credentials that lie nowhere: who asks proves who it is, and the platform hands out a service account for a
// while. A new kind is one file and one line in the table of exchange.cpp.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/json.hpp"
#include "transport/transport.hpp"

namespace cnspec::auth {

// What a kind may need; each takes its own.
struct Claimant {
  std::string method;                // "ssh", "wif"
  std::string mrn;                   // ssh: the service account that it wants to be
  std::string scope_mrn;             // ssh: where
  std::string audience, issuer_uri;  // wif
  std::string jwt_token;             // wif: secret; empty: the environment and the machine's cloud are asked
};

// What it is given.
struct Account {
  std::string mrn, scope_mrn;
  std::string private_key;  // secret; PEM
};

// How a kind asks others than the platform.
struct Asking {
  std::chrono::steady_clock::time_point deadline;
  // Any thread. `done` is called once, on another thread. What has not been answered when prove() returns is
  // given up.
  std::function<void(transport::Request, transport::Transport::Done)> send;
};

class Exchange {
 public:
  virtual ~Exchange() = default;
  // Of the platform: "SecureTokenService/ExchangeSSH".
  virtual std::string_view call() const = 0;
  // The call's body, in JSON. Blocks, on a thread of its own, and not past the deadline.
  virtual Result<std::string> prove(const Asking& asking) = 0;
  virtual Result<Account> read(const json::Value& answer) const = 0;
};

// kConfig for an unknown method. No error holds a secret.
Result<std::unique_ptr<Exchange>> make_exchange(const Claimant& claimant);

}  // namespace cnspec::auth
