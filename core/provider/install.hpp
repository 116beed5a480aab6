// Providers come and go: whole, checked before they can be seen, one process at a time.
// Blocks; any thread.
//
// DIR/NAME/NAME.so is the provider, DIR/.NAME.previous the folder of the version before. What else begins
// with a dot in DIR is under way, or was left behind by a process that was killed: the next one puts it
// right.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "provider/discovery.hpp"
#include "provider/package.hpp"

namespace cnspec::provider {

struct InstallOptions {
  SearchOptions search;  // as for discover(): says what is trusted, what shadows what, and where to install
  PackageTools tools;
  // Until then others that change the folder are waited for.
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  bool dry_run = false;  // all is checked, nothing changed
  bool force = false;    // install although it shadows a provider that somebody put there by hand
};

// Where providers are installed: the first of --providers-path or PROVIDERS_PATH, else the system's folder
// for root and the user's for others. It may not be there yet.
Result<Folder> install_folder(const SearchOptions& search);

// Once installed (or not, had it been no dry run).
struct Installed {
  Found provider;                     // path: where it lies, or would
  std::string previous_version;       // that it replaced; empty: none
  std::string sha256;                 // of the package
  std::filesystem::path shadowed_by;  // not empty: another provider, there, is the one that is used
  bool unchanged = false;             // the very same file was there already
};
Result<Installed> install_package(const Package& package, const Expected& expected,
                                  const InstallOptions& options);

// A package, judged as if it were installed; nothing is. The provider's path is where it lies in the package.
struct Inspected {
  Found provider;
  Unpacked contents;
};
Result<Inspected> inspect_package(const Package& package, const Expected& expected,
                                  const InstallOptions& options);

struct Removed {
  std::string name, version;                 // version: empty when what was there was no provider
  std::vector<std::filesystem::path> files;  // and folders, kept versions included
  std::optional<Found> now;                  // the provider of that name that is used from now on
};
Result<Removed> remove_provider(const std::string& name, const InstallOptions& options);

// The version that is kept of an installed provider; empty when there is none that could be put back.
std::string kept_version(const Found& provider, const SearchOptions& search);

// Exchanges a provider with the version before it; twice is as never.
struct RolledBack {
  Found provider;                     // now in place
  std::string previous_version;       // the version that was
  std::filesystem::path shadowed_by;  // as in Installed
};
Result<RolledBack> rollback_provider(const std::string& name, const InstallOptions& options);

}  // namespace cnspec::provider
