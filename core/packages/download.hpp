// A file from anywhere, onto this machine.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/runtime.hpp"
#include "upstream/download.hpp"

namespace cnspec::packages {

// kUsage for what is no URL of https, or of http where `plain_is_fine`: because what comes is known already.
Result<void> check_download_url(std::string_view url, bool plain_is_fine);

// The last part of its path.
std::string file_name_of_url(std::string_view url);

struct DownloadLimits {
  std::uint64_t size = 0;                     // bytes
  std::chrono::milliseconds silence{30'000};  // so long nothing may come
};

// Into the file from its beginning, as upstream::download does it. Follows redirections, but never away from
// https. Blocks; on the thread of the loop.
Result<void> download(runtime::Runtime& runtime, std::string url, int fd, const DownloadLimits& limits,
                      upstream::DownloadProgress progress);

}  // namespace cnspec::packages
