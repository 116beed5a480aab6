#include "provider/signature.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/encoding.hpp"
#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "cnspec/provider.h"
#include "provider/elf.hpp"
#include "provider/lockfile.hpp"
#include "provider/manifest.hpp"

namespace cnspec::provider {
namespace {

namespace fs = std::filesystem;

bool trusts(const TrustPolicy& policy, const MinisignSignature& signature) {
  return std::any_of(policy.keys.begin(), policy.keys.end(),
                     [&](const MinisignKey& key) { return key.id == signature.id; });
}

tl::unexpected<Error> refuse_unsigned(const TrustedFile& file, const TrustPolicy& policy) {
  const std::string name = printable(file.path().filename().string());
  return fail(Error("is not signed, and only signed providers are trusted (trust: signed); expected " + name +
                        std::string(kSignatureSuffix) +
                        " beside it, by one of the trusted keys: " + key_ids_text(policy.keys),
                    ErrorKind::kUntrusted)
                  .hint(policy.keys.empty()
                            ? "name the public key of whoever signs it in trusted_keys of the configuration"
                            : "sign it with one of them: minisign -Sm " + name));
}

// A signature by one of the trusted keys.
Result<VerifiedFile> verify(TrustedFile file, const MinisignSignature& signature, const TrustPolicy& policy) {
  auto crypto = policy.crypto ? policy.crypto() : fail("there is nothing to check signatures with");
  if (!crypto) return fail(Error::wrap("its signature cannot be checked", crypto.error()));
  auto copy = std::move(file).sealed_copy();
  if (!copy) return fail(copy.error());
  const Mapping contents(*copy);
  if (!contents.good()) return fail(std::string("cannot be mapped: ") + std::strerror(errno));
  if (auto good = verify_minisign(signature, policy.keys, contents.bytes(), **crypto); !good) {
    return fail(Error::wrap("its signature is bad", good.error())
                    .hint("get the file and its signature again, from whoever signed them"));
  }
  return VerifiedFile{std::move(*copy),
                      {Signer::State::kVerified, key_id_text(signature.id), signature.trusted_comment}};
}

Result<VerifiedFile> judge(TrustedFile file, const std::string* text, const TrustPolicy& policy) {
  if (!text) {
    if (policy.signed_only) return refuse_unsigned(file, policy);
    return VerifiedFile{std::move(file), {}};
  }
  auto signature = read_minisign_signature(*text);
  if (!signature) return fail(Error::wrap("its signature is unusable", signature.error()));
  if (trusts(policy, *signature)) return verify(std::move(file), *signature, policy);
  const std::string id = key_id_text(signature->id);
  if (policy.signed_only) {
    return fail(Error("is signed by key ID " + id +
                          ", and only signed providers are trusted (trust: signed); expected one of the "
                          "trusted keys: " +
                          key_ids_text(policy.keys),
                      ErrorKind::kUntrusted)
                    .hint("add that public key to trusted_keys if you trust who holds it"));
  }
  return VerifiedFile{std::move(file), {Signer::State::kUnknownKey, id, ""}};
}

// A file that the lock names is the one it means, whatever stands in its manifest.
Result<VerifiedFile> obey(const Lockfile& lock, VerifiedFile verified, const TrustPolicy& policy) {
  const std::string name = verified.file.path().stem().string();
  if (!lock.find(name)) return verified;
  auto crypto = policy.crypto ? policy.crypto() : fail("there is nothing to take hashes with");
  if (!crypto) return fail(Error::wrap("it cannot be held against the lock file", crypto.error()));
  const bool sealed = verified.file.sealed();
  auto copy = sealed ? Result<TrustedFile>(std::move(verified.file)) : std::move(verified.file).sealed_copy();
  if (!copy) return fail(copy.error());
  const Mapping contents(*copy);
  if (!contents.good()) return fail(std::string("cannot be mapped: ") + std::strerror(errno));
  const auto hash = (*crypto)->make_hash(HashKind::kSha256);
  hash->update(contents.bytes());
  if (auto good = allowed_library(lock, name, hex_encode(hash->finish())); !good) {
    // Most often it is another version, which says more than its hash.
    const auto section = read_elf_section(copy->fd(), copy->size(), CNSPEC_MANIFEST_SECTION);
    const auto manifest = section ? read_manifest(*section) : fail(section.error());
    const auto version = manifest ? allowed_version(lock, name, manifest->version) : Result<void>();
    return fail(version ? good.error() : version.error());
  }
  return VerifiedFile{std::move(*copy), std::move(verified.signer)};
}

Result<VerifiedFile> open_in(int folder, PermissionChecker& permissions, const fs::path& path,
                             const TrustPolicy& policy, bool alone) {
  auto file = permissions.open(path, folder);
  if (!file) return fail(file.error());
  if (alone) return check_signature(std::move(*file), nullptr, policy);
  const fs::path beside = path.string() + std::string(kSignatureSuffix);
  auto text = read_small_file(beside, kMaxSignatureFile, folder);
  if (!text && text.error().kind() != ErrorKind::kNotFound)
    return fail(Error::wrap("its signature cannot be read", text.error()));
  return check_signature(std::move(*file), text ? &*text : nullptr, policy);
}

// Whether there is no other one at that path by now.
bool is_still(const fs::path& path, int folder) {
  struct stat ours {};
  struct stat now {};
  return ::fstat(folder, &ours) == 0 && ::stat(path.c_str(), &now) == 0 && ours.st_dev == now.st_dev &&
         ours.st_ino == now.st_ino;
}

}  // namespace

Result<TrustPolicy> make_trust_policy(std::string_view trust, const std::vector<std::string>& keys,
                                      std::function<Result<const Crypto*>()> crypto) {
  TrustPolicy policy{trust == "signed", {}, std::move(crypto), nullptr};
  for (std::size_t i = 0; i < keys.size(); ++i) {
    auto key = read_minisign_key(keys[i]);
    if (!key) return fail(Error::wrap("trusted_keys, number " + std::to_string(i + 1), key.error()));
    policy.keys.push_back(std::move(*key));
  }
  return policy;
}

const char* state_name(const Signer& signer) {
  switch (signer.state) {
    case Signer::State::kBundled: return "bundled";
    case Signer::State::kUnknownKey: return "unknown key";
    case Signer::State::kVerified: return "verified";
    case Signer::State::kUnsigned: break;
  }
  return "unsigned";
}

std::string to_string(const Signer& signer) {
  switch (signer.state) {
    case Signer::State::kBundled: return "bundled";
    case Signer::State::kUnknownKey: return "signed by unknown key ID " + signer.key_id;
    case Signer::State::kVerified: {
      std::string comment = signer.comment;  // minisign parts its own words by tabs
      std::replace(comment.begin(), comment.end(), '\t', ' ');
      return "signed by key ID " + signer.key_id + (comment.empty() ? "" : " (" + printable(comment) + ")");
    }
    case Signer::State::kUnsigned: break;
  }
  return "unsigned";
}

Result<VerifiedFile> check_signature(TrustedFile file, const std::string* text, const TrustPolicy& policy) {
  auto judged = judge(std::move(file), text, policy);
  return judged && policy.lock ? obey(*policy.lock, std::move(*judged), policy) : std::move(judged);
}

Result<VerifiedFile> open_verified(PermissionChecker& permissions, const fs::path& path,
                                   const TrustPolicy& policy, bool alone) {
  constexpr int kMaxTries = 20;
  for (int tries = 1;; ++tries) {
    // The file and its signature come out of one folder, whichever version takes its place meanwhile.
    const Fd folder(::open(path.parent_path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    auto verified = open_in(folder.get(), permissions, path, policy, alone);
    if (verified || tries == kMaxTries || is_still(path.parent_path(), folder.get())) return verified;
    // What was wrong may be that it was being removed.
  }
}

}  // namespace cnspec::provider
