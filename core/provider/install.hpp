// Providers come and go: whole, checked before they can be seen, one process at a time.
//
// DIR/NAME/NAME.so is the provider, DIR/.NAME.previous the folder of the version before. Everything else that
// begins with a dot in DIR is what is under way, or what a process that was killed left behind; then the next
// one that changes something puts it right. Blocks; any thread.
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
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  bool dry_run = false;  // all is checked, nothing changed
  bool force = false;    // install although it shadows a provider that somebody put there by hand
};

// Where providers are installed: the first of --providers-path or PROVIDERS_PATH, else the system's folder
// for root and the user's for others. It may not be there yet.
Result<Folder> install_folder(const SearchOptions& search);

// Once installed (or not, had it been no dry run).
struct Installed {
  Found provider;            // path: where it lies, or would
  std::string before;        // the version that it replaced; empty: none
  std::string sha256;        // of the package
  std::filesystem::path by;  // not empty: another provider, there, is the one that is used
  bool unchanged = false;    // the very same file was there already
};
Result<Installed> install_package(const Package& package, const Expected& expected,
                                  const InstallOptions& options);

struct Removed {
  std::string name, version;                 // version: empty when what was there was no provider
  std::vector<std::filesystem::path> files;  // and folders, kept versions included
  std::optional<Found> now;                  // the provider of that name that is used from now on
};
Result<Removed> remove_provider(const std::string& name, const InstallOptions& options);

// Exchanges a provider with the version before it; twice is as never.
struct RolledBack {
  Found provider;            // now in place
  std::string before;        // the version that was
  std::filesystem::path by;  // as in Installed
};
Result<RolledBack> rollback_provider(const std::string& name, const InstallOptions& options);

// What the folder keeps of a provider beside the one in place; nothing when there is none.
std::optional<std::filesystem::path> previous_version(const std::filesystem::path& folder,
                                                      const std::string& name);

// The only process that changes the folder, from take() to the end. The folder has to be there.
class FolderLock {
 public:
  // kTimeout when another holds it until then, and who that is; it is tried at least once.
  static Result<FolderLock> take(const std::filesystem::path& folder,
                                 std::chrono::steady_clock::time_point deadline);
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  FolderLock(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::filesystem::path path_;
  int fd_;
};

}  // namespace cnspec::provider
