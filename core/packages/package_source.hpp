// Packages from a registry, and what says that each is the right one.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "provider/package.hpp"
#include "runtime/runtime.hpp"
#include "upstream/registry.hpp"

namespace cnspec::packages {

struct RegistrySettings {
  std::string url = {};  // empty: the configuration's
  std::chrono::milliseconds max_silence{30'000};
  // Take a package that neither the lock file nor a SHA256SUMS knows, on the word of the https connection.
  bool allow_unverified = false;
  // `what` is the provider and its version; `whole` is 0 where nobody knows.
  std::function<void(const std::string& what, std::uint64_t done, std::uint64_t whole)> progress = {};
};

// What says which package is the right one, the strongest first.
enum class VerifiedBy { kLockfile, kSignature, kChecksums, kNothing };
const char* to_string(VerifiedBy by);

// A package as it came, not yet opened.
struct FetchedPackage {
  provider::TemporaryFile file;
  std::string url;
  std::string sha256;  // that it has to have; empty when nobody vouches for it
  VerifiedBy verified_by;
  std::string checksums, signature;  // SHA256SUMS and SHA256SUMS.minisig as they came; empty: not there

  provider::Package package() const { return {file.fd(), url}; }
};

// On the thread that owns the runtime. Waits, on the runtime's loop.
class PackageSource {
 public:
  // The runtime outlives it.
  static Result<PackageSource> open(runtime::Runtime& runtime, RegistrySettings settings);

  const std::string& url() const { return url_; }

  // latest.json, asked for once.
  Result<const upstream::Versions*> catalog();
  // kNotFound, with the names that are like it, when the registry has no such provider.
  Result<std::string> newest(const std::string& name);

  // `pinned` is what the lock file says; empty: nothing.
  Result<FetchedPackage> fetch(const provider::PackageName& what, const std::string& pinned);

 private:
  PackageSource(runtime::Runtime& runtime, RegistrySettings settings, std::string url,
                std::unique_ptr<upstream::Registry> registry)
      : runtime_(&runtime),
        settings_(std::move(settings)),
        url_(std::move(url)),
        registry_(std::move(registry)) {}
  Result<std::string> optional_text(const std::string& path);
  Result<void> find_expected_hash(const provider::PackageName& what, FetchedPackage& fetched);
  Result<bool> signature_is_good(const std::string& folder, const FetchedPackage& fetched);
  Result<void> must_be_there(const provider::PackageName& what);
  Error not_there(const provider::PackageName& what);

  runtime::Runtime* runtime_;
  RegistrySettings settings_;
  std::string url_;
  std::unique_ptr<upstream::Registry> registry_;
  std::optional<Result<upstream::Versions>> catalog_;
};

}  // namespace cnspec::packages
