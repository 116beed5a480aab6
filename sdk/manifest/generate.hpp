// The C source and the header that carry a manifest into a library.
#pragma once

#include <string>

#include "manifest/model.hpp"

namespace cnspec::manifest {

std::string generate_source(const Manifest& manifest);  // manifest.c: the section ".cnspec"
std::string generate_header(const Manifest& manifest);  // manifest.h: CNSPEC_MANIFEST and the names

}  // namespace cnspec::manifest
