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

// Everything in the lock file, as a folder that any web server can be a registry from. What is there already
// and right is kept.
struct Mirrored {
  std::string file;  // below the folder
  std::uint64_t size = 0;
  bool kept = false;
};
Result<std::vector<Mirrored>> mirror(runtime::Runtime& runtime, PackageSource& source,
                                     const std::filesystem::path& folder, bool dry_run);

}  // namespace cnspec::packages
