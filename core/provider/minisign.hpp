// Public keys and signatures as the tool minisign writes them. Ed25519 itself is the caller's to bring, so
// this room needs no OpenSSL.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/crypto.hpp"
#include "base/error.hpp"

namespace cnspec::provider {

// No signature is longer: of a larger file this much and a byte is enough to know.
inline constexpr std::size_t kMaxSignatureFile = 16384;

struct MinisignKey {
  std::string id;     // 8 bytes
  std::string point;  // 32 bytes
};

struct MinisignSignature {
  bool prehashed = true;        // of BLAKE2b-512 of the contents, else (minisign -l) of the contents
  std::string id;               // of the key, 8 bytes
  std::string signature;        // 64 bytes
  std::string trusted_comment;  // UTF-8 or not; believe it only once the signature was verified
  std::string comment_signature;
};

// As minisign shows it, 16 upper-case hexadecimal digits; but minisign leaves out leading zeros.
std::string key_id_text(std::string_view id);

// The line of a minisign.pub that holds the key: 56 characters that begin with RW. kConfig.
Result<MinisignKey> read_minisign_key(std::string_view text);

// A whole .minisig. kInvalid; nothing is verified yet.
Result<MinisignSignature> read_minisign_signature(std::string_view text);

// kUntrusted: not signed by any of `keys`, or not these contents, or the trusted comment was changed.
// `contents` is all that was signed.
Result<void> verify_minisign(const MinisignSignature& signature, const std::vector<MinisignKey>& keys,
                             std::string_view contents, const Crypto& crypto);

// "key ID A, key ID B"
std::string key_ids_text(const std::vector<MinisignKey>& keys);

}  // namespace cnspec::provider
