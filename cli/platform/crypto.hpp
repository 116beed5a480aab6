// Keys, signatures and certificates, all by OpenSSL. Everything here is safe on any thread.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace cnspec::platform {

struct KeyDelete {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct CertificateDelete {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using Key = std::unique_ptr<EVP_PKEY, KeyDelete>;
using Certificate = std::unique_ptr<X509, CertificateDelete>;

Result<Key> make_key(const char* curve);                 // "P-256" or "P-384"
Result<Key> private_key_from_pem(std::string_view pem);  // one without a passphrase
bool is_p384(const Key& key);
Result<Key> public_key_from_der(std::string_view der);
std::string private_key_to_pem(const Key& key);  // PKCS#8, not encrypted
std::string public_key_to_der(const Key& key);   // SubjectPublicKeyInfo

// ES384 of RFC 7518: the signature is the 96 bytes r || s.
Result<std::string> sign_es384(const Key& key, std::string_view text);
bool verify_es384(const Key& key, std::string_view text, std::string_view signature);

// Public keys from their numbers, big-endian. RSA keys under 2048 bits are refused.
Result<Key> rsa_key(std::string_view modulus, std::string_view exponent);
Result<Key> ec_key(const char* curve, std::string_view point);  // "P-256"; an uncompressed point
Result<Key> ed25519_key(std::string_view bytes);

// With "SHA256" and the like, or an empty name for Ed25519. An ECDSA signature is in DER.
bool verify(const Key& key, const char* hash, std::string_view text, std::string_view signature);
// Of the two numbers, big-endian; empty for what are none.
std::string ecdsa_der(std::string_view r, std::string_view s);

std::string sha256_hex(std::string_view bytes);
std::string sha256(std::string_view bytes);  // 32 bytes

// 27 random characters of base 62 (160 bits), the length of the ids that users know.
Result<std::string> random_id();

// Where OpenSSL would ask for a passphrase on the terminal; `was_asked` is a bool, or null.
int no_passphrase(char* buffer, int size, int writing, void* was_asked);

Result<Certificate> certificate_from_pem(std::string_view pem);
std::string certificate_to_pem(const Certificate& certificate);
bool is_expired(const Certificate& certificate);

// Who vouches for the certificates below.
struct Authority {
  Key key;
  Certificate certificate;
};

Result<Authority> make_authority();
// For a TLS server reached by these host names and IP addresses.
Result<Certificate> issue_server(const Authority& by, const Key& key, const std::vector<std::string>& hosts);
// For a service account's key. Clients keep it; requests are verified by the key alone.
Result<Certificate> issue_client(const Authority& by, const Key& key, const std::string& id,
                                 const std::string& space);

}  // namespace cnspec::platform
