// One file, however large and however often the connection breaks, from a server or a folder.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "upstream/upstream.hpp"

namespace cnspec::upstream {

inline constexpr std::string_view kFileUrl = "file://";
// The file that such a URL names; its escapes are undone.
std::filesystem::path file_url_path(std::string_view url);

struct DownloadLimits {
  std::uint64_t size = 0;                         // bytes
  std::chrono::milliseconds max_silence{30'000};  // so long it may stand still
  std::uint64_t least_pace = 1024;                // bytes a second, of any time twice as long as that
  Deadline deadline = Deadline::max();
};

// Called as bytes come; `whole` is 0 where nobody knows.
using DownloadProgress = std::function<void(std::uint64_t done, std::uint64_t whole)>;

// From `url` (http, https or file) into the file `fd`, which stays the caller's, from its beginning. Where
// the connection breaks it goes on from there, or from the beginning when the file has changed meanwhile; a
// second break without a byte in between is the end. As long as it comes at the least pace there is no limit
// to the time it takes but the deadline. What the file holds after an error is anything. Follows nobody who
// redirects. `features` are as features_header() makes them. On the loop's thread; `transport` outlives it,
// and may be null for file.
Task<void> download(transport::Transport* transport, std::string url, std::string features, int fd,
                    DownloadLimits limits, DownloadProgress progress);

}  // namespace cnspec::upstream
