// One call on its way through the platform's methods; for the files of methods alone.
#pragma once

#include <chrono>
#include <mutex>
#include <set>
#include <string>

#include "api.pb.h"
#include "jwt.hpp"
#include "service.hpp"

namespace cnspec::platform {

// Tokens whose signature was found good. Many machines register with one, and verifying it is a third of the
// work each time. Any thread.
class GoodTokens {
 public:
  bool has(const Jwt& token) const {
    const std::lock_guard lock(mutex_);
    return known_.count(name_of(token)) != 0;
  }
  void add(const Jwt& token) {
    const std::lock_guard lock(mutex_);
    if (known_.size() >= kMost) known_.clear();
    known_.insert(name_of(token));
  }

 private:
  static constexpr std::size_t kMost = 1000;
  static std::string name_of(const Jwt& token) { return sha256(token.signed_text) + token.signature; }

  mutable std::mutex mutex_;
  std::set<std::string> known_;
};

// What all calls share; each part may be used on any thread.
struct Service::State {
  Store store;
  Authority authority;
  Key token_key;
  ServiceOptions options;
  GoodTokens good_tokens = {};
};

// What a stranger is told, whatever it was; the reason is for the platform's own log.
inline constexpr std::string_view kUnauthenticated = "request permission unauthenticated";

struct Refusal {
  Code code;
  std::string message;
  std::string reason = {};
};
template <class T>
using Outcome = tl::expected<T, Refusal>;

inline auto refuse(Code code, std::string message) {
  return tl::unexpected<Refusal>(Refusal{code, std::move(message)});
}
inline auto unauthenticated(std::string reason) {
  return tl::unexpected<Refusal>(
      Refusal{Code::kUnauthenticated, std::string(kUnauthenticated), std::move(reason)});
}
inline auto internal(const Error& error) {
  return tl::unexpected<Refusal>(Refusal{Code::kInternal, "the platform failed", error.message()});
}

struct Handling {
  Service::State& platform;
  const Call& call;
  Format in;
  Format out;
  std::string who = {};  // learnt on the way

  template <class In>
  Outcome<In> read() const {
    In message;
    std::string why;
    if (!decode(call.body, in, message, why)) return refuse(Code::kInvalidArgument, call.method + ": " + why);
    return message;
  }
};

// AgentManager
Outcome<AgentRegistrationConfirmation> register_agent(Handling& h);
Outcome<Confirmation> unregister_agent(Handling& h);
Outcome<Empty> ping_pong(Handling& h);
Outcome<Empty> check_agent(Handling& h);

// SecureTokenService
Outcome<ExchangeSSHKeyResponse> exchange_ssh(Handling& h);
Outcome<ExchangeExternalTokenResponse> exchange_external_token(Handling& h);

// The wall clock, since 1970.
inline double seconds_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace cnspec::platform
