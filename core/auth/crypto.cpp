#include "auth/crypto.hpp"

#include <openssl/evp.h>

namespace cnspec::auth {
namespace {

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

class EvpHash final : public Hash {
 public:
  explicit EvpHash(const EVP_MD* kind)
      : context_(EVP_MD_CTX_new(), &EVP_MD_CTX_free),
        good_(context_ && EVP_DigestInit_ex(context_.get(), kind, nullptr) == 1) {}

  void update(std::string_view bytes) override {
    good_ = good_ && EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1;
  }

  std::string finish() override {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int size = 0;
    if (!good_ || EVP_DigestFinal_ex(context_.get(), digest, &size) != 1) return {};
    good_ = false;
    return {reinterpret_cast<const char*>(digest), size};
  }

 private:
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
  bool good_;
};

std::unique_ptr<Hash> make_hash(HashKind kind) {
  return std::make_unique<EvpHash>(kind == HashKind::kSha256 ? EVP_sha256() : EVP_blake2b512());
}

bool verify_ed25519(std::string_view key, std::string_view message, std::string_view signature) {
  constexpr std::size_t kKeySize = 32, kSignatureSize = 64;
  if (key.size() != kKeySize || signature.size() != kSignatureSize) return false;
  const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> pkey(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(key), key.size()), &EVP_PKEY_free);
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  return pkey && context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) == 1 &&
         EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(), bytes_of(message),
                          message.size()) == 1;
}

}  // namespace

const Crypto& openssl() {
  static constexpr Crypto kCrypto = {&make_hash, &verify_ed25519};
  return kCrypto;
}

}  // namespace cnspec::auth
