// Reads one section of a shared library without loading it. Linux; every offset is checked against the file.
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace cnspec::provider {

// The bytes of `section` in the open file `fd`, which has `file_size` bytes. The error says which step
// failed, what was expected and what was found: the file is no shared library, is for another machine, is cut
// off, ...
Result<std::string> read_elf_section(int fd, std::uint64_t file_size, std::string_view section);

}  // namespace cnspec::provider
