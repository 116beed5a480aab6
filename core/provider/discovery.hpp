// Which providers there are: found, described and judged, without running their code. Blocks; any thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "provider/manifest.hpp"
#include "provider/signature.hpp"

namespace cnspec::provider {

// In the order of the search: what comes first wins.
enum class Origin { kFlag, kEnvironment, kUser, kSystem, kBundled };
const char* to_string(Origin origin);

struct Folder {
  std::filesystem::path path;
  Origin origin;
};

struct Found {
  Manifest manifest;
  std::filesystem::path path;
  Origin origin;
  Signer signer = {};
  std::shared_ptr<const TrustPolicy> trust = {};  // what it was judged by, for when it is opened again
};

struct Refused {
  std::filesystem::path path;  // a file, or a whole folder
  Origin origin;
  Error reason;
};

struct Shadowed {
  Found provider;
  std::filesystem::path by;  // the provider of the same id (or name) that comes first
};

struct Inventory {
  std::vector<Folder> folders;  // those that exist, in the order they are searched
  std::vector<Found> active;    // sorted by name
  std::vector<Shadowed> shadowed;
  std::vector<Refused> refused;

  const Found* by_name(std::string_view name) const;
  // By a connector's name or alias: of several providers that of the earliest origin, then the first by name.
  const Found* by_connector(std::string_view connector) const;
};

struct SearchOptions {
  std::vector<std::string> flag_paths;            // --providers-path
  std::filesystem::path bundled;                  // the folder beside the program; empty: none
  std::shared_ptr<const TrustPolicy> trust = {};  // null: any, and no key is trusted
};

// The folders in the order of precedence: flag, PROVIDERS_PATH or else the user's and the system's, bundled.
// An entry that is empty or relative is refused, and so is the environment when the process is elevated.
std::vector<Folder> search_folders(const SearchOptions& options, std::vector<Refused>& refused);

// Opens a file, which lies in a folder that was checked, and judges its signature as `trust` says; what is
// bundled needs none. `alone` as of open_verified.
Result<VerifiedFile> open_for(Origin origin, PermissionChecker& permissions,
                              const std::filesystem::path& path, const TrustPolicy* trust,
                              bool alone = false);

// One bad entry never hides the good ones. Order: folders as given, entries by name.
Inventory discover(const SearchOptions& options);

// Judges one file as discover() would, wherever it lies; its folder must be trusted as well.
Result<Found> examine(const SearchOptions& options, const std::filesystem::path& file, Origin origin);

}  // namespace cnspec::provider
