// Small files, read and written whole and safely.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace cnspec {

// Never blocks on a FIFO. kNotFound when there is no such file; other errors name what was found instead.
Result<std::string> read_small_file(const std::filesystem::path& path, std::size_t max_size = 1 << 20);

// The file holds either what it held or all of `text`, whatever happens meanwhile: written beside it, synced,
// renamed. Follows a link to the file it means. Makes the folder (0700) when it is missing.
Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view text, mode_t mode);

// Whether write_file_atomically would succeed for a text of this size: all is done but the rename.
Result<void> check_room_for_file(const std::filesystem::path& path, std::size_t size);

}  // namespace cnspec
