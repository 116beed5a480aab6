// How a request proves who sends it. A new kind is one file and one line in the table of auth.cpp.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace cnspec::auth {

class Authenticator {
 public:
  virtual ~Authenticator() = default;
  // The value of the header Authorization for a request with exactly this body; empty: no such header.
  virtual Result<std::string> authorize(std::string_view body) = 0;
};

// What a kind may need; each takes its own.
struct Credentials {
  std::string method;                      // "none", "bearer", "service_account"
  std::string token;                       // bearer
  std::string mrn;                         // service_account
  std::string private_key;                 // service_account: PEM, PKCS#8, P-384
  std::chrono::nanoseconds clock_skew{0};  // service_account: added to this machine's time, known to be wrong
};

// kUsage for an unknown method, kConfig for credentials that cannot work. No error holds a secret.
Result<std::unique_ptr<Authenticator>> make_authenticator(const Credentials& credentials);

}  // namespace cnspec::auth
