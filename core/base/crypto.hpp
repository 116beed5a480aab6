// What rooms without OpenSSL ask of it. The program gets it from its network module when it is first needed
// (runtime::load_network()->crypto); tests and tools may link cnspec_auth and take auth::openssl().
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace cnspec {

enum class HashKind { kSha256, kBlake2b512 };

// Fed piece by piece. One thread uses an object at a time.
class Hash {
 public:
  virtual ~Hash() = default;
  virtual void update(std::string_view bytes) = 0;
  // The raw digest: 32 bytes of SHA-256, 64 of BLAKE2b-512. Called once, at the end; empty when OpenSSL
  // failed, which no digest that is compared with it is.
  virtual std::string finish() = 0;
};

// Any thread may call these.
struct Crypto {
  std::unique_ptr<Hash> (*make_hash)(HashKind kind);
  // `key` has 32 bytes, `signature` 64; of any other length they verify nothing.
  bool (*verify_ed25519)(std::string_view key, std::string_view message, std::string_view signature);
};

}  // namespace cnspec
