// Providers from the registry: which version, from where, and who says that it is the right one.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "provider/install.hpp"
#include "provider/lockfile.hpp"
#include "runtime/runtime.hpp"
#include "upstream/registry.hpp"

namespace cnspec::runtime {

// NAME or NAME@VERSION; a leading v of the version is none of it. kUsage.
struct Wanted {
  std::string name, version;  // version: empty for the newest
};
Result<Wanted> parse_wanted(std::string_view word);

// "linux/amd64". kUsage for what is none.
struct PlatformName {
  std::string os, arch;
  std::string text() const { return os + "/" + arch; }
};
Result<PlatformName> parse_platform(std::string_view word);
PlatformName this_platform();

// The provider that has a connector of this name, as far as one knows without having it; else that very name.
std::string provider_for_connector(std::string_view connector);

struct RegistrySettings {
  std::string url = {};  // empty: the configuration's
  std::chrono::milliseconds max_silence{30'000};
  // Take a package that neither the lock file nor a SHA256SUMS knows, on the word of the https connection.
  bool allow_unverified = false;
  // `what` is the provider and its version; `whole` is 0 where nobody knows.
  std::function<void(const std::string& what, std::uint64_t done, std::uint64_t whole)> progress = {};
};

// Where the registry is: `given`, else providers_url, else updates_url with /providers; a folder as
// file:///FOLDER. kConfig when nothing names one, or what does is no such URL.
Result<std::string> registry_url(const config::Config& config, const std::string& given);

// What vouches for a package, the strongest first.
enum class Voucher { kLock, kSignature, kChecksums, kNobody };
const char* to_string(Voucher voucher);

// A package as it came, not yet opened.
struct Fetched {
  provider::TemporaryFile file;
  std::string url;
  std::string sha256;  // that it has to have; empty when nobody vouches for it
  Voucher voucher;
  std::string checksums, signature;  // SHA256SUMS and SHA256SUMS.minisig as they came; empty: not there

  provider::Package package() const { return {file.fd(), url}; }
};

// On the thread that owns the runtime. Waits, on the runtime's loop.
class PackageSource {
 public:
  // The runtime outlives it.
  static Result<PackageSource> open(Runtime& runtime, RegistrySettings settings);

  const std::string& url() const { return url_; }

  // latest.json, asked for once.
  Result<const upstream::Versions*> catalog();
  // kNotFound, with the names that are like it, when the registry has no such provider.
  Result<std::string> newest(const std::string& name);

  // `pinned` is what the lock file says; empty: nothing.
  Result<Fetched> fetch(const provider::PackageName& what, const std::string& pinned);

 private:
  PackageSource(Runtime& runtime, RegistrySettings settings, std::string url,
                std::unique_ptr<upstream::Registry> registry)
      : runtime_(&runtime),
        settings_(std::move(settings)),
        url_(std::move(url)),
        registry_(std::move(registry)) {}
  Result<std::string> optional_text(const std::string& path);
  Result<void> vouch(const provider::PackageName& what, Fetched& fetched);
  Result<bool> signature_is_good(const std::string& folder, const Fetched& fetched);
  Result<void> must_be_there(const provider::PackageName& what);
  Error not_there(const provider::PackageName& what);

  Runtime* runtime_;
  RegistrySettings settings_;
  std::string url_;
  std::unique_ptr<upstream::Registry> registry_;
  std::optional<Result<upstream::Versions>> catalog_;
};

// One provider, as the lock file has it when there is one; `options` as install_options() makes them.
struct InstalledFrom {
  provider::Installed installed;
  std::string url;
  Voucher voucher;
};
Result<InstalledFrom> install_from_registry(Runtime& runtime, PackageSource& source, const Wanted& wanted,
                                            const provider::InstallOptions& options);

// Which providers are installed, where they are and which version they have, whatever the lock file says of
// them; without those that are part of the program.
std::vector<provider::Found> installed_providers(const Runtime& runtime);

struct Update {
  enum class Outcome { kUpdated, kCurrent, kNewer, kUnknown, kFailed };
  std::string name, from, to;  // to: empty when the registry does not know it
  Outcome outcome;
  bool pinned = false;         // by the lock file, which says the version
  std::optional<Error> error;  // of kFailed
};
const char* to_string(Update::Outcome outcome);
// Those named, or all that are installed; never to a lower version. An error when nothing could be tried.
Result<std::vector<Update>> update_providers(Runtime& runtime, PackageSource& source,
                                             const std::vector<std::string>& names,
                                             const provider::InstallOptions& options);

// What the lock file becomes: it keeps what it has, and gets what is named, or else what is installed, for
// each of the platforms. Every package is fetched and read. Nothing is written.
struct Relock {
  provider::Lockfile lock;
  struct Change {
    std::string name, from, to;  // from: empty when it was not pinned
    std::vector<std::string> platforms;
  };
  std::vector<Change> changes;
  std::vector<std::string> warnings;
};
Result<Relock> relock(Runtime& runtime, PackageSource& source, const std::vector<Wanted>& names,
                      const std::vector<PlatformName>& platforms, const provider::PackageTools& tools);

// Everything in the lock file, as a folder that any web server can be a registry from. What is there already
// and right is kept.
struct Mirrored {
  std::string file;  // below the folder
  std::uint64_t size = 0;
  bool kept = false;
};
Result<std::vector<Mirrored>> mirror(Runtime& runtime, PackageSource& source,
                                     const std::filesystem::path& folder, bool dry_run);

}  // namespace cnspec::runtime
