// A folder served as a registry of providers: GET and HEAD below /providers/, as any web server does it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace cnspec::platform {

// What of a file is to be sent.
struct Served {
  int status = 404;  // 200, 206, 304, 404 or 416; the file is open for the first two
  Fd fd;
  std::uint64_t first = 0, size = 0;  // the part
  std::uint64_t whole = 0;            // the file's size
  std::string etag;
  std::string content_type;
};

// The headers that say which part is wanted, and whether at all.
struct Conditions {
  std::string if_none_match, if_range, range;
};

class RegistryFolder {
 public:
  // kUsage when it is no folder.
  static Result<RegistryFolder> open(const std::filesystem::path& folder);

  // `path` is relative to the folder. No link is followed, and nothing whose name begins with a dot is there.
  Served find(std::string_view path, const Conditions& conditions) const;

 private:
  explicit RegistryFolder(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace cnspec::platform
