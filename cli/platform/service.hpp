// The platform's methods, without the network: a request's parts go in, an answer comes out.
//
// What is believed of a request's signature (ES384, by a known service account that was not revoked):
//  - kid and sub name the account, iss is "mondoo/ams";
//  - iat, nbf and exp are all there, hold against this machine's clock with five minutes of leeway, and exp
//  is at
//    most ten minutes after iat (clients use one);
//  - chash is the lower-case hex SHA-256 of the body as sent.
// A registration token must be signed by this platform and be known to it, of that space, not revoked, and
// inside exp without leeway, since the clock that verifies is the clock that signed; for nbf there are the
// five minutes, since that clock may have been set back meanwhile.
//
// A service account without a key of its own is lent one for an hour. It is given to who asks
//  - with claims that name the account and its space, are not in the future and end within ten minutes,
//  signed by
//    one of the account's SSH keys (a proof that was overheard is good until it ends: the protocol has no
//    nonce);
//  - with a JWT of the account's issuer, signed by one of the keys that were registered for it, for the
//  audience and
//    of the subject that were, inside nbf and exp with a minute of leeway.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "crypto.hpp"
#include "store.hpp"
#include "wire.hpp"

namespace cnspec::platform {

struct Call {
  std::string method;  // "AgentManager/PingPong"
  std::string authorization;
  std::string content_type;
  std::string accept;
  std::string body;
};

struct ServiceOptions {
  std::string endpoint;  // where clients reach this platform
  std::chrono::milliseconds clock_skew{
      0};  // of the time that Health/Check reports; nothing is verified with it
  std::string latest_version;
};

class Service {
 public:
  Service(Store store, Authority authority, Key token_key, ServiceOptions options);
  Service(Service&&) noexcept;
  ~Service();

  // The names of all methods and documents, as they follow the first slash of a path.
  static std::vector<std::string> names();

  // A document for GET, such as "cnspec/latest.json". Any thread.
  std::optional<Answer> document(std::string_view name) const;
  static bool has_method(std::string_view name);
  // True when call() waits for nothing: neither for the database nor for arithmetic.
  static bool is_quick(std::string_view name);
  // Any thread; returns once what it changed is lasting.
  Answer call(const Call& call);

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace cnspec::platform
