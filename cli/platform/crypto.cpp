#include "crypto.hpp"

#include <arpa/inet.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <array>

#include "base/encoding.hpp"

namespace cnspec::platform {
namespace {

constexpr int kP384Bytes = 48;
constexpr long kHour = 3600;
constexpr long kYear = 365 * 24 * kHour;

template <auto Free>
struct Deleter {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
template <class T, auto Free>
using Handle = std::unique_ptr<T, Deleter<Free>>;

using Bio = Handle<BIO, BIO_free>;
using Digest = Handle<EVP_MD_CTX, EVP_MD_CTX_free>;
using Signature = Handle<ECDSA_SIG, ECDSA_SIG_free>;

const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

auto crypto_error(std::string what) {
  std::array<char, 256> why{};
  const unsigned long error = ERR_get_error();
  if (error == 0) return fail(std::move(what));
  ERR_error_string_n(error, why.data(), why.size());
  ERR_clear_error();
  return fail(std::move(what) + ": " + why.data());
}

Bio reader(std::string_view text) { return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

std::string contents(const Bio& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

bool add_name(X509_NAME* name, const char* field, const std::string& value) {
  return X509_NAME_add_entry_by_txt(name, field, MBSTRING_UTF8, bytes(value), static_cast<int>(value.size()),
                                    -1, 0) == 1;
}

bool add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  Handle<X509_EXTENSION, X509_EXTENSION_free> extension(
      X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// Valid from a day ago, since a lab's clocks seldom agree.
Certificate begin_certificate(const Key& key, long lifetime) {
  Certificate certificate(X509_new());
  std::array<unsigned char, 16> serial{};
  if (!certificate || RAND_bytes(serial.data(), static_cast<int>(serial.size())) != 1) return nullptr;
  serial[0] &= 0x7f;  // positive
  Handle<BIGNUM, BN_free> number(BN_bin2bn(serial.data(), static_cast<int>(serial.size()), nullptr));
  const bool ok = number && X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
                  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate.get())) != nullptr &&
                  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -24 * kHour) != nullptr &&
                  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), lifetime) != nullptr &&
                  X509_set_pubkey(certificate.get(), key.get()) == 1;
  return ok ? std::move(certificate) : nullptr;
}

Result<Certificate> finish_certificate(Certificate certificate, X509* issuer, EVP_PKEY* issuer_key) {
  if (X509_set_issuer_name(certificate.get(), X509_get_subject_name(issuer)) != 1 ||
      !add_extension(certificate.get(), issuer, NID_authority_key_identifier, "keyid") ||
      X509_sign(certificate.get(), issuer_key, EVP_sha256()) <= 0) {
    return crypto_error("cannot sign a certificate");
  }
  return certificate;
}

Result<Certificate> issue(const Authority& by, const Key& key, const std::string& organisation,
                          const std::string& name, const char* usage, const std::string& alternative_names) {
  Certificate certificate = begin_certificate(key, kYear);
  if (!certificate) return crypto_error("cannot make a certificate");
  X509* raw = certificate.get();
  X509_NAME* subject = X509_get_subject_name(raw);
  if (!add_name(subject, "O", organisation) || !add_name(subject, "CN", name) ||
      !add_extension(raw, by.certificate.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(raw, by.certificate.get(), NID_key_usage, "critical,digitalSignature") ||
      !add_extension(raw, by.certificate.get(), NID_ext_key_usage, usage) ||
      (!alternative_names.empty() &&
       !add_extension(raw, by.certificate.get(), NID_subject_alt_name, alternative_names))) {
    return crypto_error("cannot make a certificate for " + name);
  }
  return finish_certificate(std::move(certificate), by.certificate.get(), by.key.get());
}

bool is_address(const std::string& host) {
  in6_addr ignored{};
  return inet_pton(AF_INET, host.c_str(), &ignored) == 1 || inet_pton(AF_INET6, host.c_str(), &ignored) == 1;
}

Result<Key> from_parameters(const char* type, const OSSL_PARAM* parameters) {
  const Handle<EVP_PKEY_CTX, EVP_PKEY_CTX_free> context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* raw = nullptr;
  if (!context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &raw, EVP_PKEY_PUBLIC_KEY, const_cast<OSSL_PARAM*>(parameters)) != 1) {
    return crypto_error(std::string("not a public key of type ") + type);
  }
  return Key(raw);
}

}  // namespace

Result<Key> make_key(const char* curve) {
  Key key(EVP_EC_gen(curve));
  if (!key) return crypto_error(std::string("cannot make a ") + curve + " key");
  return key;
}

Result<Key> private_key_from_pem(std::string_view pem) {
  bool encrypted = false;
  Key key(PEM_read_bio_PrivateKey(reader(pem).get(), nullptr, no_passphrase, &encrypted));
  if (encrypted) {
    ERR_clear_error();
    return fail("the private key is encrypted, expected one without a passphrase");
  }
  if (!key) return crypto_error("not a private key in PEM");
  return key;
}

bool is_p384(const Key& key) { return EVP_PKEY_get_bits(key.get()) == 384; }

Result<Key> public_key_from_der(std::string_view der) {
  const unsigned char* from = bytes(der);
  Key key(d2i_PUBKEY(nullptr, &from, static_cast<long>(der.size())));
  if (!key) return crypto_error("not a public key");
  return key;
}

std::string private_key_to_pem(const Key& key) {
  const Bio out(BIO_new(BIO_s_secmem()));  // wiped when freed
  PEM_write_bio_PKCS8PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return contents(out);
}

std::string public_key_to_der(const Key& key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key.get(), &der);
  if (size <= 0) return {};
  std::string result(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return result;
}

Result<std::string> sign_es384(const Key& key, std::string_view text) {
  const Digest digest(EVP_MD_CTX_new());
  std::array<unsigned char, 256> der{};
  std::size_t size = der.size();
  if (EVP_DigestSignInit(digest.get(), nullptr, EVP_sha384(), nullptr, key.get()) != 1 ||
      EVP_DigestSign(digest.get(), der.data(), &size, bytes(text), text.size()) != 1) {
    return crypto_error("cannot sign");
  }
  const unsigned char* from = der.data();
  const Signature signature(d2i_ECDSA_SIG(nullptr, &from, static_cast<long>(size)));
  std::array<unsigned char, 2 * kP384Bytes> raw{};
  if (!signature || BN_bn2binpad(ECDSA_SIG_get0_r(signature.get()), raw.data(), kP384Bytes) < 0 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(signature.get()), raw.data() + kP384Bytes, kP384Bytes) < 0) {
    return crypto_error("cannot sign: the key is not of P-384");
  }
  return std::string(reinterpret_cast<const char*>(raw.data()), raw.size());
}

bool verify_es384(const Key& key, std::string_view text, std::string_view signature) {
  if (signature.size() != 2 * kP384Bytes || !is_p384(key)) return false;
  return verify(key, "SHA384", text,
                ecdsa_der(signature.substr(0, kP384Bytes), signature.substr(kP384Bytes)));
}

std::string ecdsa_der(std::string_view r, std::string_view s) {
  constexpr std::size_t kLongest = 70;  // of P-521, with a leading zero
  if (r.size() > kLongest || s.size() > kLongest) return {};
  const Signature parts(ECDSA_SIG_new());
  BIGNUM* first = BN_bin2bn(bytes(r), static_cast<int>(r.size()), nullptr);
  BIGNUM* second = BN_bin2bn(bytes(s), static_cast<int>(s.size()), nullptr);
  if (!parts || ECDSA_SIG_set0(parts.get(), first, second) != 1) {
    BN_free(first);
    BN_free(second);
    return {};
  }
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(parts.get(), &der);
  std::string result;
  if (size > 0) result.assign(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return result;
}

bool verify(const Key& key, const char* hash, std::string_view text, std::string_view signature) {
  const Digest digest(EVP_MD_CTX_new());
  const EVP_MD* md = *hash ? EVP_get_digestbyname(hash) : nullptr;
  const bool good =
      !signature.empty() && (md || !*hash) &&
      EVP_DigestVerifyInit(digest.get(), nullptr, md, nullptr, key.get()) == 1 &&
      EVP_DigestVerify(digest.get(), bytes(signature), signature.size(), bytes(text), text.size()) == 1;
  ERR_clear_error();
  return good;
}

Result<Key> ed25519_key(std::string_view raw) {
  Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes(raw), raw.size()));
  if (!key) return crypto_error("not an Ed25519 key");
  return key;
}

Result<Key> ec_key(const char* curve, std::string_view point) {
  std::string group = curve;
  std::string copy(point);
  const std::array<OSSL_PARAM, 3> parameters = {
      OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, copy.data(), copy.size()),
      OSSL_PARAM_construct_end()};
  return from_parameters("EC", parameters.data());
}

Result<Key> rsa_key(std::string_view modulus, std::string_view exponent) {
  constexpr int kFewestBits = 2048;
  constexpr std::size_t kMostBytes = 2048;  // 16384 bits; longer ones only cost time
  if (modulus.size() > kMostBytes || exponent.size() > 8) return fail("the RSA key is too large");
  const Handle<BIGNUM, BN_free> n(BN_bin2bn(bytes(modulus), static_cast<int>(modulus.size()), nullptr));
  const Handle<BIGNUM, BN_free> e(BN_bin2bn(bytes(exponent), static_cast<int>(exponent.size()), nullptr));
  const Handle<OSSL_PARAM_BLD, OSSL_PARAM_BLD_free> builder(OSSL_PARAM_BLD_new());
  if (!n || !e || !builder || OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return crypto_error("not an RSA key");
  }
  if (BN_num_bits(n.get()) < kFewestBits) {
    return fail("the RSA key has " + std::to_string(BN_num_bits(n.get())) + " bits, expected 2048 or more");
  }
  const Handle<OSSL_PARAM, OSSL_PARAM_free> parameters(OSSL_PARAM_BLD_to_param(builder.get()));
  return from_parameters("RSA", parameters.get());
}

std::string sha256(std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), hash.data(), &size, EVP_sha256(), nullptr);
  return {reinterpret_cast<const char*>(hash.data()), size};
}

std::string sha256_hex(std::string_view text) { return hex_encode(sha256(text)); }

Result<std::string> random_id() {
  constexpr std::string_view kAlphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  constexpr std::size_t kLength = 27;
  constexpr unsigned char kFair = 256 / 62 * 62;  // larger bytes would favour the first characters
  std::string id;
  while (id.size() < kLength) {
    std::array<unsigned char, 32> random{};
    if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1)
      return crypto_error("no random bytes");
    for (const unsigned char byte : random) {
      if (byte < kFair && id.size() < kLength) id += kAlphabet[byte % kAlphabet.size()];
    }
  }
  return id;
}

int no_passphrase(char*, int, int, void* was_asked) {
  if (was_asked) *static_cast<bool*>(was_asked) = true;
  return -1;
}

Result<Certificate> certificate_from_pem(std::string_view pem) {
  Certificate certificate(PEM_read_bio_X509(reader(pem).get(), nullptr, no_passphrase, nullptr));
  if (!certificate) return crypto_error("not a certificate in PEM");
  return certificate;
}

std::string certificate_to_pem(const Certificate& certificate) {
  const Bio out(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(out.get(), certificate.get());
  return contents(out);
}

bool is_expired(const Certificate& certificate) {
  return X509_cmp_current_time(X509_get0_notAfter(certificate.get())) < 0;
}

Result<Authority> make_authority() {
  auto key = make_key("P-256");
  if (!key) return fail(std::move(key.error()));
  Certificate certificate = begin_certificate(*key, 10 * kYear);
  if (!certificate) return crypto_error("cannot make the certificate authority");
  X509* raw = certificate.get();
  X509_NAME* subject = X509_get_subject_name(raw);
  if (!add_name(subject, "O", "cnspec-platform") || !add_name(subject, "CN", "cnspec-platform local CA") ||
      !add_extension(raw, raw, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !add_extension(raw, raw, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !add_extension(raw, raw, NID_subject_key_identifier, "hash")) {
    return crypto_error("cannot make the certificate authority");
  }
  auto finished = finish_certificate(std::move(certificate), raw, key->get());
  if (!finished) return fail(std::move(finished.error()));
  return Authority{std::move(*key), std::move(*finished)};
}

Result<Certificate> issue_server(const Authority& by, const Key& key, const std::vector<std::string>& hosts) {
  std::string names;
  for (const std::string& host : hosts) {
    names += (names.empty() ? "" : ",") + std::string(is_address(host) ? "IP:" : "DNS:") + host;
  }
  return issue(by, key, "cnspec-platform", "cnspec-platform", "serverAuth", names);
}

Result<Certificate> issue_client(const Authority& by, const Key& key, const std::string& id,
                                 const std::string& space) {
  return issue(by, key, space, id, "clientAuth", "");
}

}  // namespace cnspec::platform
