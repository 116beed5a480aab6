// SSH's public keys and signatures as they are on the wire: Ed25519, ECDSA and RSA. Safe on any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace cnspec::platform {

struct SshKey {
  std::string blob;
  std::string fingerprint;  // "SHA256:..." as ssh-keygen -l shows it
  std::string comment;
};

// The lines of a .pub or authorized_keys file: "ssh-ed25519 AAAA... comment", without options before the
// type. A file without keys is an error, as is a key that could never be verified.
Result<std::vector<SshKey>> read_ssh_keys(std::string_view text);

// `signature` begins with its algorithm's name. SHA-1 is refused.
bool is_signed_by_ssh_key(std::string_view blob, std::string_view text, std::string_view signature);

}  // namespace cnspec::platform
