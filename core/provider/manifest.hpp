// The manifest that a library carries, read from the bytes of its section.
#pragma once

#include <string_view>

#include "base/error.hpp"
#include "manifest/model.hpp"

namespace cnspec::provider {

using manifest::Manifest;

// What this program was built for, in the words of manifests and of packages' names: linux, amd64.
std::string_view this_os();
std::string_view this_arch();

// `section` is hostile until proven otherwise: sizes, JSON, names and types are checked, and that the
// manifest is for this operating system and processor.
Result<Manifest> read_manifest(std::string_view section);

}  // namespace cnspec::provider
