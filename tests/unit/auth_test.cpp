// What proves who sends a request, judged by OpenSSL and not by our own words.
#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <chrono>
#include <memory>

#include "auth/auth.hpp"
#include "base/encoding.hpp"
#include "base/json.hpp"

namespace cnspec::auth {
namespace {

using Key = std::shared_ptr<EVP_PKEY>;

Key held(EVP_PKEY* key) {
  EXPECT_NE(key, nullptr);
  return Key(key, EVP_PKEY_free);
}
Key on_curve(const char* curve) { return held(EVP_EC_gen(curve)); }

template <class Write>
std::string pem_of(Write write) {
  const std::unique_ptr<BIO, void (*)(BIO*)> bio(BIO_new(BIO_s_mem()), BIO_free_all);
  EXPECT_EQ(write(bio.get()), 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}
std::string private_pem(const Key& key) {
  return pem_of([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}
std::string encrypted_pem(const Key& key) {
  return pem_of([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key.get(), EVP_aes_256_cbc(), "secret", 6, nullptr, nullptr);
  });
}
std::string public_pem(const Key& key) {
  return pem_of([&](BIO* bio) { return PEM_write_bio_PUBKEY(bio, key.get()); });
}

constexpr char kMrn[] = "//agents.api.mondoo.app/spaces/s/serviceaccounts/a \"quoted\" \xc3\xa9";

Credentials account(const std::string& private_key, const std::string& mrn = kMrn) {
  Credentials out;
  out.method = "service_account";
  out.mrn = mrn;
  out.private_key = private_key;
  return out;
}

// The parts between the dots, decoded.
struct Jwt {
  std::string signed_part, signature;
  json::Document header, claims;

  explicit Jwt(const std::string& authorization) {
    constexpr std::string_view bearer = "Bearer ";
    EXPECT_EQ(authorization.rfind(bearer, 0), 0u) << authorization;
    const std::string jwt = authorization.substr(bearer.size());
    const auto first = jwt.find('.');
    const auto second = jwt.find('.', first + 1);
    EXPECT_EQ(jwt.find('.', second + 1), std::string::npos);
    signed_part = jwt.substr(0, second);
    signature = base64url_decode(jwt.substr(second + 1)).value();
    header = json::parse(base64url_decode(jwt.substr(0, first)).value()).value();
    claims = json::parse(base64url_decode(jwt.substr(first + 1, second - first - 1)).value()).value();
  }

  // ES384 as RFC 7518 has it: two numbers of 48 bytes, here made into what OpenSSL verifies.
  bool verified_by(const Key& key) const {
    if (signature.size() != 96) return false;
    const auto* bytes = reinterpret_cast<const unsigned char*>(signature.data());
    const std::unique_ptr<ECDSA_SIG, void (*)(ECDSA_SIG*)> sig(ECDSA_SIG_new(), ECDSA_SIG_free);
    ECDSA_SIG_set0(sig.get(), BN_bin2bn(bytes, 48, nullptr), BN_bin2bn(bytes + 48, 48, nullptr));
    unsigned char* der = nullptr;
    const int size = i2d_ECDSA_SIG(sig.get(), &der);
    const std::unique_ptr<unsigned char, void (*)(unsigned char*)> owned(
        der, [](unsigned char* p) { OPENSSL_free(p); });
    const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    return EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha384(), nullptr, key.get()) == 1 &&
           EVP_DigestVerify(context.get(), der, static_cast<std::size_t>(size),
                            reinterpret_cast<const unsigned char*>(signed_part.data()),
                            signed_part.size()) == 1;
  }
};

std::string sha256(std::string_view bytes) {
  unsigned char digest[32];
  unsigned size = 0;
  EXPECT_EQ(EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr), 1);
  return hex_encode({reinterpret_cast<const char*>(digest), size});
}

TEST(ServiceAccountTest, SignsAsThePlatformVerifies) {
  const Key key = on_curve("P-384"), other = on_curve("P-384");
  auto made = make_authenticator(account(private_pem(key)));
  ASSERT_TRUE(made) << made.error().message();
  // Numbers that begin with zero bytes come up once in 128 signatures, and must keep their length.
  for (int i = 0; i < 600; ++i) {
    const std::string body = "{\"n\":" + std::to_string(i) + "}";
    const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    const Jwt jwt((*made)->authorize(body).value());
    ASSERT_TRUE(jwt.verified_by(key)) << i;
    ASSERT_FALSE(jwt.verified_by(other));
    ASSERT_EQ(json::get_string(jwt.claims, "chash"), sha256(body));
    const std::int64_t issued = jwt.claims["iat"].GetInt64();
    ASSERT_GE(issued, now);
    ASSERT_LE(issued, now + 60);
    ASSERT_EQ(jwt.claims["nbf"].GetInt64(), issued);
    ASSERT_EQ(jwt.claims["exp"].GetInt64(), issued + 60);
  }
}

TEST(ServiceAccountTest, SaysWhoItIs) {
  auto made = make_authenticator(account(private_pem(on_curve("P-384"))));
  ASSERT_TRUE(made);
  const Jwt jwt((*made)->authorize("").value());
  EXPECT_EQ(json::write(jwt.header),
            R"({"alg":"ES384","kid":"//agents.api.mondoo.app/spaces/s/serviceaccounts/a \"quoted\" )"
            "\xc3\xa9\",\"typ\":\"JWT\"}");
  EXPECT_EQ(json::get_string(jwt.claims, "sub"), kMrn);
  EXPECT_EQ(json::get_string(jwt.claims, "iss"), "mondoo/ams");
  EXPECT_EQ(json::get_string(jwt.claims, "chash"),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
      << "of an empty body";
  EXPECT_EQ(jwt.claims.MemberCount(), 6u);
}

TEST(ServiceAccountTest, HashesTheExactBytes) {
  auto made = make_authenticator(account(private_pem(on_curve("P-384"))));
  ASSERT_TRUE(made);
  for (const std::string& body :
       {std::string("a"), std::string("a\n"), std::string("\0\0", 2), std::string(1 << 20, 'x')}) {
    EXPECT_EQ(json::get_string(Jwt((*made)->authorize(body).value()).claims, "chash"), sha256(body));
  }
}

TEST(ServiceAccountTest, TakesAKeyInItsOlderForm) {
  const Key key = on_curve("P-384");
  const std::string sec1 = pem_of([&](BIO* bio) {
    return PEM_write_bio_PrivateKey_traditional(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
  ASSERT_EQ(sec1.rfind("-----BEGIN EC PRIVATE KEY-----", 0), 0u);
  auto made = make_authenticator(account(sec1));
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_TRUE(Jwt((*made)->authorize("x").value()).verified_by(key));
}

TEST(ServiceAccountTest, SaysWhatIsWrongWithAKeyAndNeverShowsIt) {
  const std::string good = private_pem(on_curve("P-384"));
  const std::string cannot = "cannot be read: it is damaged, encrypted or not PKCS#8";
  std::string flipped = good;
  flipped[60] = flipped[60] == 'A' ? 'B' : 'A';
  flipped.erase(80, 4);
  const std::pair<std::string, std::string> cases[] = {
      {"", "is missing"},
      {"MIG2AgEAMBAGByqGSM49AgEGBSuBBAAiBIGeMIGbAgEBBDB", "is not PEM"},
      {"-----BEGIN PRIVATE KEY-----\n", cannot},
      {good.substr(0, good.size() / 2), cannot},
      {flipped, cannot},
      {encrypted_pem(on_curve("P-384")), cannot},
      {public_pem(on_curve("P-384")), cannot},
      {private_pem(held(EVP_RSA_gen(2048))), "is no elliptic-curve key, expected P-384"},
      {private_pem(held(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"))),
       "is no elliptic-curve key, expected P-384"},
      {private_pem(on_curve("P-256")), "is on the curve prime256v1, expected P-384 (secp384r1)"},
      {private_pem(on_curve("P-521")), "is on the curve secp521r1, expected P-384 (secp384r1)"},
  };
  for (const auto& [pem, why] : cases) {
    const auto made = make_authenticator(account(pem));
    ASSERT_FALSE(made) << why;
    EXPECT_EQ(made.error().message(), "the private key of the service account " + why);
    EXPECT_EQ(made.error().hint(), "log in again: cnspec login --token-file FILE");
    EXPECT_EQ(made.error().kind(), ErrorKind::kConfig);
  }
}

TEST(ServiceAccountTest, NeedsAName) {
  const auto made = make_authenticator(account(private_pem(on_curve("P-384")), ""));
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().message(), "the service account has no mrn");
  EXPECT_EQ(made.error().kind(), ErrorKind::kConfig);
}

TEST(AuthenticatorTest, BearerAndNone) {
  Credentials credentials;
  credentials.method = "bearer";
  credentials.token = "abc.def.ghi";
  EXPECT_EQ(make_authenticator(credentials).value()->authorize("body").value(), "Bearer abc.def.ghi");
  credentials.method = "none";
  EXPECT_EQ(make_authenticator(credentials).value()->authorize("body").value(), "");
}

TEST(AuthenticatorTest, NamesTheMethodsThereAre) {
  Credentials credentials;
  credentials.method = "oauth\n";
  credentials.token = "abc.def.ghi";
  const auto made = make_authenticator(credentials);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().message(),
            "unknown authentication method \"oauth\\n\", expected one of none, bearer, service_account");
  EXPECT_EQ(made.error().kind(), ErrorKind::kUsage);
}

}  // namespace
}  // namespace cnspec::auth
