#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <array>
#include <memory>

#include "auth/kinds.hpp"
#include "base/encoding.hpp"
#include "base/json.hpp"
#include "base/time.hpp"

namespace cnspec::auth {
namespace {

constexpr std::string_view kIssuer = "mondoo/ams";
constexpr std::int64_t kLifetimeSeconds = 60;
constexpr int kP384Bytes = 48;

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using Bio = std::unique_ptr<BIO, Freer<BIO_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freer<EVP_MD_CTX_free>>;
using Signature = std::unique_ptr<ECDSA_SIG, Freer<ECDSA_SIG_free>>;

tl::unexpected<Error> bad_key(const std::string& why) {
  ERR_clear_error();
  return fail(Error("the private key of the service account " + why, ErrorKind::kConfig)
                  .hint("log in again: cnspec login --token-file FILE"));
}

// A key that is encrypted must not make OpenSSL ask on the terminal.
int no_password(char*, int, int, void*) { return -1; }

Result<Key> read_key(std::string_view pem) {
  if (pem.empty()) return bad_key("is missing");
  if (pem.find("-----BEGIN ") == std::string_view::npos) return bad_key("is not PEM");
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, &no_password, nullptr));
  if (!key) return bad_key("cannot be read: it is damaged, encrypted or not PKCS#8");
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_EC)
    return bad_key("is no elliptic-curve key, expected P-384");
  std::array<char, 64> group{};
  if (EVP_PKEY_get_group_name(key.get(), group.data(), group.size(), nullptr) != 1 ||
      std::string_view(group.data()) != "secp384r1") {
    return bad_key("is on the curve " + std::string(group.data()) + ", expected P-384 (secp384r1)");
  }
  return key;
}

class ServiceAccount final : public Authenticator {
 public:
  ServiceAccount(std::string mrn, Key key, std::chrono::nanoseconds clock_skew)
      : mrn_(std::move(mrn)), key_(std::move(key)), clock_skew_(clock_skew) {}

  Result<std::string> authorize(std::string_view body) override {
    json::Document header(rapidjson::kObjectType);
    header.AddMember("alg", "ES384", header.GetAllocator());
    header.AddMember("kid", json::text(mrn_, header.GetAllocator()), header.GetAllocator());
    header.AddMember("typ", "JWT", header.GetAllocator());

    const std::int64_t now =
        std::chrono::floor<std::chrono::seconds>(Clock::now().time_since_epoch() + clock_skew_).count();
    json::Document claims(rapidjson::kObjectType);
    auto& alloc = claims.GetAllocator();
    claims.AddMember("sub", json::text(mrn_, alloc), alloc);
    claims.AddMember("iss", json::text(kIssuer, alloc), alloc);
    claims.AddMember("iat", now, alloc);
    claims.AddMember("nbf", now, alloc);
    claims.AddMember("exp", now + kLifetimeSeconds, alloc);
    claims.AddMember("chash", json::text(hex_encode(sha256(body)), alloc), alloc);

    const std::string signed_part =
        base64url_encode(json::write(header)) + "." + base64url_encode(json::write(claims));
    auto signature = sign(signed_part);
    if (!signature) return fail(signature.error());
    return "Bearer " + signed_part + "." + base64url_encode(*signature);
  }

 private:
  // JOSE wants both numbers of the signature at full length, one after the other; OpenSSL makes DER.
  Result<std::string> sign(std::string_view text) {
    const DigestContext context(EVP_MD_CTX_new());
    std::array<unsigned char, 256> der{};
    std::size_t size = der.size();
    if (EVP_DigestSignInit(context.get(), nullptr, EVP_sha384(), nullptr, key_.get()) != 1 ||
        EVP_DigestSign(context.get(), der.data(), &size, reinterpret_cast<const unsigned char*>(text.data()),
                       text.size()) != 1) {
      return bad_key("cannot sign");
    }
    const unsigned char* cursor = der.data();
    const Signature parts(d2i_ECDSA_SIG(nullptr, &cursor, static_cast<long>(size)));
    std::string out(2 * kP384Bytes, '\0');
    auto* bytes = reinterpret_cast<unsigned char*>(out.data());
    if (!parts || BN_bn2binpad(ECDSA_SIG_get0_r(parts.get()), bytes, kP384Bytes) < 0 ||
        BN_bn2binpad(ECDSA_SIG_get0_s(parts.get()), bytes + kP384Bytes, kP384Bytes) < 0) {
      return bad_key("cannot sign");
    }
    return out;
  }

  const std::string mrn_;
  const Key key_;
  const std::chrono::nanoseconds clock_skew_;
};

}  // namespace

std::string sha256(std::string_view bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr);
  return {reinterpret_cast<const char*>(digest.data()), size};
}

Result<std::unique_ptr<Authenticator>> make_service_account(const Credentials& credentials) {
  if (credentials.mrn.empty()) return fail("the service account has no mrn", ErrorKind::kConfig);
  auto key = read_key(credentials.private_key);
  if (!key) return fail(key.error());
  return std::make_unique<ServiceAccount>(credentials.mrn, std::move(*key), credentials.clock_skew);
}

}  // namespace cnspec::auth
