// What the lock file pins, as a folder that any web server can be a registry from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "packages/package_source.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::packages {

struct Mirrored {
  std::string file;        // below the folder
  std::uint64_t size = 0;  // bytes; 0 in a dry run for what would be fetched
  bool kept = false;       // it was there already, and right
};
struct Mirroring {
  std::vector<Mirrored> files;
  std::vector<std::string> warnings;
};
// The registry's SHA256SUMS and its signature stay beside a package where they say what the lock file does.
// Blocks, as the source does. kUsage when there is no lock file.
Result<Mirroring> mirror(runtime::Runtime& runtime, PackageSource& source,
                         const std::filesystem::path& folder, bool dry_run);

}  // namespace cnspec::packages
