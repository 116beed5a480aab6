// Whether there is a file that may be taken for a provider.
#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/fd.hpp"
#include "base/text.hpp"
#include "cnspec/provider.h"
#include "provider/elf.hpp"
#include "provider/verify/check.hpp"

namespace cnspec::provider {
namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> refuse(std::string what, std::string hint, ErrorKind kind = ErrorKind::kUsage) {
  return fail(Error(std::move(what), kind).hint(std::move(hint)));
}

std::vector<std::string> libraries_in(const fs::path& folder) {
  std::vector<std::string> out;
  std::error_code failed;
  for (fs::directory_iterator entry(folder, failed), end; !failed && entry != end; entry.increment(failed)) {
    if (entry->path().extension() == ".so") out.push_back(entry->path().filename().string());
  }
  std::ranges::sort(out);
  return out;
}

tl::unexpected<Error> not_there(const fs::path& file, const std::string& shown, int reason) {
  const char* const kNameOne =
      "name a file such as ./coffee.so, or one that is installed, see: cnspec providers list";
  struct stat link {};
  if (reason == ELOOP)
    return refuse(shown + " is a link that leads back to itself", "name the file that it should lead to");
  if (reason != ENOENT && reason != ENOTDIR) {
    return refuse(shown + " cannot be opened: " + std::strerror(reason),
                  reason == EACCES ? "be somebody who may enter every folder on the way to it" : kNameOne);
  }
  if (::lstat(file.c_str(), &link) == 0)
    return refuse(shown + " is a link to a file that does not exist", "name the file that it should lead to");
  const fs::path folder = file.parent_path();
  if (::stat(folder.c_str(), &link) != 0 || !S_ISDIR(link.st_mode))
    return refuse("there is no folder " + printable(folder.string()), kNameOne);
  const std::string like = closest(file.filename().string(), libraries_in(folder));
  return refuse("there is no file " + shown + (like.empty() ? "" : "; did you mean " + printable(like) + "?"),
                kNameOne);
}

tl::unexpected<Error> no_file(const fs::path& file, const std::string& shown, mode_t mode) {
  if (!S_ISDIR(mode)) {
    const char* kind = S_ISFIFO(mode) ? "a FIFO" : S_ISSOCK(mode) ? "a socket" : "a device";
    return refuse(shown + " is " + kind + ", expected a provider's file", "name a file such as ./coffee.so");
  }
  std::vector<std::string> inside = libraries_in(file);
  constexpr std::size_t kShown = 3;
  const bool more = inside.size() > kShown;
  if (more) inside.resize(kShown);
  for (std::string& name : inside) name = printable((file / name).lexically_normal().string());
  return refuse(shown + " is a folder, expected a provider's file",
                inside.empty() ? "name the library that the build made, NAME.so"
                               : "name a file in it: " + join(inside, ", ") + (more ? ", ..." : ""));
}

// For what is no library, by how it begins.
std::string hint_for(std::string_view head, const std::string& shown) {
  if (head.empty())
    return "Make it again: what should have written it, a build or a download, did not finish.";
  if (head.starts_with("MZ") || head.starts_with("\xcf\xfa\xed\xfe") || head.starts_with("\xca\xfe\xba\xbe"))
    return "Build it for this system: a provider is made for one system and one kind of processor.";
  if (head.starts_with("\x1f\x8b") || head.starts_with("PK") ||
      head.starts_with("\xfd"
                       "7zXZ")) {
    return "Unpack it and name the library in it, NAME.so; a package can be tried first with: cnspec "
           "providers "
           "install --dry-run --file " +
           shown;
  }
  if (head.starts_with("!<arch>")) return "Link it as a shared library, as cnspec_add_provider does.";
  return "Name the library that the build made, NAME.so.";
}

}  // namespace

Result<void> look_at(const fs::path& file) {
  const std::string shown = quoted_if_needed(file.string());
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0) return not_there(file, shown, errno);
  if (!S_ISREG(info.st_mode)) return no_file(file, shown, info.st_mode);
  const Fd opened(::open(file.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!opened) {
    return refuse(shown + " cannot be opened: " + std::strerror(errno),
                  "let it be read by you, its owner can do that with: chmod a+r " + shown);
  }
  char head[SELFMAG * 2] = {};
  const ssize_t size = ::pread(opened.get(), head, sizeof head, 0);
  if (size < 0) return refuse(shown + " cannot be read: " + std::strerror(errno), "");
  if (size >= SELFMAG && std::memcmp(head, ELFMAG, SELFMAG) == 0) return {};
  const auto section =
      read_elf_section(opened.get(), static_cast<std::uint64_t>(info.st_size), CNSPEC_MANIFEST_SECTION);
  if (section) return {};
  return refuse(shown + ": " + section.error().message(),
                hint_for({head, static_cast<std::size_t>(size)}, shown), ErrorKind::kInvalid);
}

namespace checks {

void check_file(Subject& subject) {
  const auto& path = subject.request.file;
  const auto section = read_section(path);
  if (!section) return subject.out.failed(section.error().message(), hint_for_file(section.error()));
  constexpr std::uint64_t kLarge = 64ull << 20;
  std::error_code failed;
  if (const auto size = std::filesystem::file_size(path, failed); !failed && size > kLarge) {
    subject.out.warning(
        "has " + std::to_string(size >> 20) + " MiB",
        "Link with -Wl,--gc-sections, use the shared libstdc++, and strip what is for debugging.");
  }
}

}  // namespace checks
}  // namespace cnspec::provider
