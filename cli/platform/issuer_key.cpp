#include "issuer_key.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <array>
#include <optional>

#include "base/encoding.hpp"

namespace cnspec::platform {
namespace {

struct Algorithm {
  std::string_view name;
  int type;  // of OpenSSL's keys
  const char* hash;
  int bits;            // of an elliptic curve
  std::size_t number;  // bytes of each of an ECDSA signature's two
};
// Neither "none" nor those by which a public key would be a password.
constexpr std::array<Algorithm, 6> kAlgorithms = {{
    {"RS256", EVP_PKEY_RSA, "SHA256", 0, 0},
    {"RS384", EVP_PKEY_RSA, "SHA384", 0, 0},
    {"RS512", EVP_PKEY_RSA, "SHA512", 0, 0},
    {"ES256", EVP_PKEY_EC, "SHA256", 256, 32},
    {"ES384", EVP_PKEY_EC, "SHA384", 384, 48},
    {"ES512", EVP_PKEY_EC, "SHA512", 521, 66},
}};

std::optional<Key> from_jwk(const json::Value& jwk) {
  const auto use = json::get_string(jwk, "use");
  if (!use.empty() && use != "sig") return std::nullopt;
  const auto bytes = [&](const char* name) {
    return base64url_decode(json::get_string(jwk, name)).value_or("");
  };
  Result<Key> key = fail("");
  if (json::get_string(jwk, "kty") == "RSA") {
    key = rsa_key(bytes("n"), bytes("e"));
  } else if (json::get_string(jwk, "kty") == "EC") {
    const std::string curve(json::get_string(jwk, "crv"));
    key = ec_key(curve.c_str(), "\x04" + bytes("x") + bytes("y"));
  }
  if (!key) return std::nullopt;
  return std::move(*key);
}

Result<std::vector<IssuerKey>> read_jwks(const json::Document& document) {
  const json::Value* list = json::find(document, "keys");
  if (!list || !list->IsArray()) return fail("expected a JWKS: a JSON object with the list \"keys\"");
  std::vector<IssuerKey> keys;
  for (const json::Value& jwk : list->GetArray()) {
    if (const auto key = from_jwk(jwk)) {
      keys.push_back({std::string(json::get_string(jwk, "kid")), public_key_to_der(*key)});
    }
  }
  return keys;
}

struct BioFree {
  void operator()(BIO* bio) const { BIO_free(bio); }
};

std::vector<IssuerKey> read_pem(std::string_view text) {
  std::vector<IssuerKey> keys;
  constexpr std::string_view kBegin = "-----BEGIN ";
  for (auto at = text.find(kBegin); at != text.npos; at = text.find(kBegin, at + 1)) {
    const std::string_view rest = text.substr(at);
    const std::unique_ptr<BIO, BioFree> in(BIO_new_mem_buf(rest.data(), static_cast<int>(rest.size())));
    Key key;
    if (rest.starts_with("-----BEGIN CERTIFICATE-----")) {
      const Certificate certificate(PEM_read_bio_X509(in.get(), nullptr, no_passphrase, nullptr));
      if (certificate) key.reset(X509_get_pubkey(certificate.get()));
    } else if (rest.starts_with("-----BEGIN PUBLIC KEY-----")) {
      key.reset(PEM_read_bio_PUBKEY(in.get(), nullptr, no_passphrase, nullptr));
    }
    if (key && !(EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_RSA && EVP_PKEY_get_bits(key.get()) < 2048)) {
      keys.push_back({"", public_key_to_der(key)});
    }
  }
  ERR_clear_error();
  return keys;
}

}  // namespace

Result<std::vector<IssuerKey>> read_issuer_keys(std::string_view text) {
  std::vector<IssuerKey> keys;
  if (text.find("-----BEGIN ") != text.npos) {
    keys = read_pem(text);
  } else {
    const auto document = json::parse(text);
    if (!document) return fail("it is neither PEM nor JSON (JWKS)");
    auto read = read_jwks(*document);
    if (!read) return read;
    keys = std::move(*read);
  }
  if (keys.empty()) {
    return fail("there is no public key in it that can be used: expected RSA with 2048 bits or more, or EC");
  }
  return keys;
}

bool is_signed_by_issuer(const Jwt& token, const std::vector<IssuerKey>& keys) {
  const auto name = json::get_string(token.header, "alg");
  const auto kid = json::get_string(token.header, "kid");
  const Algorithm* algorithm = nullptr;
  for (const Algorithm& known : kAlgorithms) {
    if (known.name == name) algorithm = &known;
  }
  if (!algorithm) return false;
  std::string signature = token.signature;
  if (algorithm->type == EVP_PKEY_EC) {
    if (signature.size() != 2 * algorithm->number) return false;
    signature = ecdsa_der(std::string_view(signature).substr(0, algorithm->number),
                          std::string_view(signature).substr(algorithm->number));
  }
  for (const IssuerKey& candidate : keys) {
    if (!kid.empty() && !candidate.kid.empty() && candidate.kid != kid) continue;
    const auto key = public_key_from_der(candidate.der);
    if (!key || EVP_PKEY_get_base_id(key->get()) != algorithm->type) continue;
    if (algorithm->bits != 0 && EVP_PKEY_get_bits(key->get()) != algorithm->bits) continue;
    if (verify(*key, algorithm->hash, token.signed_text, signature)) return true;
  }
  return false;
}

}  // namespace cnspec::platform
