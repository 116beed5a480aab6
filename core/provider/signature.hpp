// Who signed a provider, what the configuration wants of that, and the file as it was verified: what is
// loaded is what was checked, whatever happens to the path meanwhile. Blocks on files; any thread.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/crypto.hpp"
#include "base/error.hpp"
#include "provider/minisign.hpp"
#include "provider/trusted_file.hpp"

namespace cnspec::provider {

// The signature of NAME.so lies beside it, in NAME.so.minisig.
inline constexpr std::string_view kSignatureSuffix = ".minisig";

struct Lockfile;

// What may run: whatever its signature and the lock file both allow. A provider that is part of the program
// (bundled) is asked for neither.
struct TrustPolicy {
  bool signed_only = false;       // trust: signed
  std::vector<MinisignKey> keys;  // trusted_keys
  // Where OpenSSL comes from; called only for a signature by one of `keys`, or for a file that is locked.
  std::function<Result<const Crypto*>()> crypto;
  // providers.lock: files that it names are known by their hash, signed or not. Null: there is none.
  std::shared_ptr<const Lockfile> lock = nullptr;
};

// The policy of `trust` ("any" or "signed") and `trusted_keys`. kConfig: which key is none, and why.
Result<TrustPolicy> make_trust_policy(std::string_view trust, const std::vector<std::string>& keys,
                                      std::function<Result<const Crypto*>()> crypto);

struct Signer {
  enum class State {
    kUnsigned,
    kBundled,     // part of the program
    kUnknownKey,  // there is a signature, by a key that is not trusted: nothing was verified
    kVerified,
  };
  State state = State::kUnsigned;
  std::string key_id;   // as minisign shows it
  std::string comment;  // the trusted comment; empty unless verified

  bool operator==(const Signer&) const = default;
};

// "unsigned", "bundled", "unknown key" or "verified", for machines.
const char* state_name(const Signer& signer);
// "unsigned", "bundled", "signed by unknown key ID X" or "signed by key ID X (comment)".
std::string to_string(const Signer& signer);

// A file that may be loaded, and who says so. When a signature or a hash was verified, `file` is a sealed
// copy in memory of the bytes it was verified over.
struct VerifiedFile {
  TrustedFile file;
  Signer signer;
};

// Opens the file, which lies in a folder that was checked, and judges its signature. The error says who
// signed and who is trusted, or how to sign. `alone`: the folder's list has no signature of it, so that none
// is looked for.
Result<VerifiedFile> open_verified(PermissionChecker& permissions, const std::filesystem::path& path,
                                   const TrustPolicy& policy, bool alone = false);

// The same for a file that lies in no folder of providers yet; `signature` is the text of its .minisig, null
// when it has none. `file` is what was opened.
Result<VerifiedFile> check_signature(TrustedFile file, const std::string* signature,
                                     const TrustPolicy& policy);

}  // namespace cnspec::provider
