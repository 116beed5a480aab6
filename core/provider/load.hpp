// From a file that was found to one that may be loaded, here or in another process.
#pragma once

#include <string>

#include "base/error.hpp"
#include "provider/discovery.hpp"
#include "provider/manifest.hpp"
#include "provider/trusted_file.hpp"

namespace cnspec::provider {

struct CheckedFile {
  TrustedFile file;
  std::string section;  // the manifest's
  Manifest manifest;
};

// Opens the file anew and checks everything that discovery did. The error does not name the provider yet.
Result<CheckedFile> open_checked(const Found& found);

}  // namespace cnspec::provider
