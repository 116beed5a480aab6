// What the commands share that ask the registry.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "packages/package_source.hpp"
#include "packages/provider_spec.hpp"
#include "providers.hpp"
#include "terminal.hpp"

namespace cnspec::cli {

// Downloads take as long as they take: silence or a hopeless pace ends them, and --timeout the whole command.
inline constexpr std::chrono::hours kNoTimeout{24 * 7};

struct RegistryFlags {
  std::string url;
  std::string silence = "30s";
  bool allow_unverified = false;
};
void add_registry(Command& command, RegistryFlags& flags);

// "aws 1.2.0: 12.3 of 40.1 MiB (30 %)"
std::string progress_text(const std::string& what, std::uint64_t done, std::uint64_t whole);

// The registry, and a line on the terminal that shows what comes from there.
class Registry {
 public:
  // Throws Exit when there is none.
  Registry(runtime::Runtime& runtime, const RegistryFlags& flags);
  packages::PackageSource& source() { return *source_; }

 private:
  std::optional<Progress> progress_;
  std::optional<packages::PackageSource> source_;
};

// NAME[@VERSION] each; throws Exit for what is none.
std::vector<packages::ProviderSpec> parse_provider_specs(const std::vector<std::string>& words);

// For commands that change something: no longer than this they wait for others that do.
provider::InstallOptions install_options(runtime::Runtime& runtime, bool dry_run);

// Installs what is named, or all that the lock file pins. False when one of them could not be; the errors
// were printed.
bool install_named(Globals& globals, const RegistryFlags& flags, const std::vector<std::string>& names,
                   bool force, const Change& change);

// For a command that lacks it. The version that was installed.
Result<std::string> install_missing(const runtime::Runtime& runtime, const std::string& name,
                                    bool limited_in_time);

}  // namespace cnspec::cli
