#include "registry.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include "base/text.hpp"

namespace cnspec::platform {
namespace {

// Another file, or another content, has another one.
std::string etag_of(const struct stat& info) {
  return "\"" + std::to_string(info.st_ino) + "-" + std::to_string(info.st_size) + "-" +
         std::to_string(info.st_mtim.tv_sec) + "." + std::to_string(info.st_mtim.tv_nsec) + "\"";
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// One range, "bytes=5-", "bytes=5-9" or "bytes=-9"; what is no such range is as if it were not there.
void choose_part(std::string_view range, Served& served) {
  constexpr std::string_view kUnit = "bytes=";
  if (!range.starts_with(kUnit)) return;
  range.remove_prefix(kUnit.size());
  const auto dash = range.find('-');
  if (dash == range.npos) return;
  const auto first = number(range.substr(0, dash));
  const auto last = number(range.substr(dash + 1));
  if ((!first && dash != 0) || (!last && dash + 1 != range.size()) || (!first && !last)) return;
  if (first && last && *last < *first) return;
  const std::uint64_t begin = first ? *first : served.whole - std::min(served.whole, *last);
  if (begin >= served.whole) {
    served.status = 416;
    return;
  }
  served.status = 206;
  served.first = begin;
  served.size = (first && last ? std::min(*last + 1, served.whole) : served.whole) - begin;
}

bool names(std::string_view list, std::string_view etag) {
  if (trim(list) == "*") return true;
  while (!list.empty()) {
    const auto comma = list.find(',');
    std::string_view one = trim(list.substr(0, comma));
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == etag) return true;
    list = comma == list.npos ? std::string_view() : list.substr(comma + 1);
  }
  return false;
}

}  // namespace

Result<RegistryFolder> RegistryFolder::open(const std::filesystem::path& folder) {
  Fd fd(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    return fail("--registry " + quoted_if_needed(folder.string()) + ": " + std::strerror(errno),
                ErrorKind::kUsage);
  }
  return RegistryFolder(std::move(fd));
}

Served RegistryFolder::find(std::string_view path, const Conditions& conditions) const {
  Served served;
  Fd folder;
  while (true) {
    const auto slash = path.find('/');
    const std::string part(path.substr(0, slash));
    const bool last = slash == path.npos;
    const bool plain = !part.empty() && part.front() != '.' && part.find('\0') == part.npos;
    const int kind = last ? O_RDONLY | O_NONBLOCK : O_PATH | O_DIRECTORY;
    const int from = folder ? folder.get() : fd_.get();
    Fd fd(plain ? ::openat(from, part.c_str(), kind | O_NOFOLLOW | O_CLOEXEC) : -1);
    if (last) served.fd = std::move(fd);
    if (last || !fd) break;
    folder = std::move(fd);
    path.remove_prefix(slash + 1);
  }

  struct stat info {};
  if (!served.fd || ::fstat(served.fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return served;
  served.status = 200;
  served.whole = served.size = static_cast<std::uint64_t>(info.st_size);
  served.etag = etag_of(info);
  served.content_type = path.ends_with(".json") ? "application/json" : "application/octet-stream";
  if (names(conditions.if_none_match, served.etag)) {
    served.status = 304;
  } else if (conditions.if_range.empty() || conditions.if_range == served.etag) {
    choose_part(conditions.range, served);
  }
  return served;
}

}  // namespace cnspec::platform
