// Files of any size, read piece by piece and hashed. Inside core/packages only.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace cnspec::packages {

// Calls `use` with one piece of the file after the other, from its beginning, until that fails. How many
// bytes there were. `shown` is what errors call the file.
Result<std::uint64_t> each_piece(int fd, const std::string& shown,
                                 const std::function<Result<void>(std::string_view)>& use);

// In lower-case hex. Loads the network module, whose OpenSSL takes it.
Result<std::string> sha256_of(int fd, const std::string& shown);
Result<std::string> sha256_of(const std::filesystem::path& file);

}  // namespace cnspec::packages
