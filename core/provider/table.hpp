// A loaded library's entry function and table, doubted before they are used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/error.hpp"
#include "cnspec/provider.h"

namespace cnspec::provider {

// What the loader has just said about this file, without the path that the caller says already.
Error loader_error(const std::filesystem::path& path);

// `library` is a handle of dlopen. The error names the versions of the ABI that were found instead.
Result<cnspec_provider_entry_v1_fn> find_entry(void* library);

// The provider's table, copied as far as both sides know it. `section` is the library's manifest.
Result<cnspec_provider_v1> read_table(const cnspec_provider_v1* theirs, std::string_view section);

}  // namespace cnspec::provider
