#include "provider/trust.hpp"

#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/text.hpp"

namespace cnspec::provider {
namespace {

bool trusted_owner(uid_t owner) { return owner == 0 || owner == ::geteuid(); }

std::string octal(mode_t mode) {
  char text[8];
  std::snprintf(text, sizeof text, "%04o", static_cast<unsigned>(mode & 07777));
  return text;
}

tl::unexpected<Error> refuse(std::string what, std::string hint) {
  return fail(Error(std::move(what), ErrorKind::kUntrusted).hint(std::move(hint)));
}

Result<void> check_owner_and_mode(const std::string& what, const std::string& path, const struct stat& info) {
  if (!trusted_owner(info.st_uid)) {
    const std::string owners = ::geteuid() == 0 ? "root" : "root or you (user id " + std::to_string(::geteuid()) + ")";
    return refuse(what + " belongs to user id " + std::to_string(info.st_uid) + ", expected " + owners,
                  "chown it if you trust what is in it: chown " + std::to_string(::geteuid()) + " '" + path + "'");
  }
  if (info.st_mode & (S_IWGRP | S_IWOTH)) {
    return refuse(what + " is writable by " + (info.st_mode & S_IWOTH ? "everybody" : "its group") + " (mode " +
                      octal(info.st_mode) + ")",
                  "chmod go-w '" + path + "'");
  }
  return {};
}

}  // namespace

TrustedFile::TrustedFile(TrustedFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)), size_(other.size_) {}

TrustedFile::~TrustedFile() {
  if (fd_ >= 0) ::close(fd_);
}

bool TrustedFile::still_there() const {
  struct stat opened{};
  struct stat named{};
  return ::fstat(fd_, &opened) == 0 && ::stat(path_.c_str(), &named) == 0 && opened.st_dev == named.st_dev &&
         opened.st_ino == named.st_ino && opened.st_size == named.st_size &&
         static_cast<std::uint64_t>(named.st_size) == size_;
}

Result<void> Trust::check_one(const std::filesystem::path& folder, bool sticky_is_safe) {
  const auto key = std::make_pair(folder.string(), sticky_is_safe);
  if (const auto it = seen_.find(key); it != seen_.end()) return it->second;
  const auto judge = [&]() -> Result<void> {
    struct stat info{};
    const std::string shown = printable(folder.string());
    if (::stat(folder.c_str(), &info) != 0) {
      return fail(shown + ": " + std::strerror(errno), errno == ENOENT ? ErrorKind::kNotFound : ErrorKind::kUntrusted);
    }
    if (!S_ISDIR(info.st_mode)) return refuse(shown + " is no folder", "name a folder that holds providers");
    // In a sticky folder nobody can replace what belongs to us or to root.
    if (sticky_is_safe && (info.st_mode & S_ISVTX)) info.st_mode &= ~static_cast<mode_t>(S_IWGRP | S_IWOTH);
    return check_owner_and_mode("the folder " + shown, shown, info);
  };
  return seen_.emplace(key, judge()).first->second;
}

Result<void> Trust::check_folder(const std::filesystem::path& folder) {
  if (auto good = check_one(folder, false); !good) return good;
  // The way as written and the way it really leads: whoever controls either can put another folder there.
  std::error_code ec;
  const auto canonical = std::filesystem::canonical(folder, ec);
  if (ec) return fail(printable(folder.string()) + ": " + ec.message(), ErrorKind::kUntrusted);
  for (const auto& way : {folder, canonical}) {
    for (auto parent = way.parent_path();; parent = parent.parent_path()) {
      if (auto good = check_one(parent, true); !good) return good;
      if (parent == parent.root_path()) break;
    }
  }
  return {};
}

Result<TrustedFile> Trust::open(const std::filesystem::path& file) {
  const std::unique_ptr<char, decltype(&std::free)> resolved(::realpath(file.c_str(), nullptr), &std::free);
  if (!resolved) {
    const int error = errno;
    struct stat link{};
    const bool is_link = ::lstat(file.c_str(), &link) == 0 && S_ISLNK(link.st_mode);
    if (is_link && error == ENOENT) return fail("a link to a file that does not exist", ErrorKind::kInvalid);
    if (is_link && error == ELOOP) return fail("a link that leads back to itself", ErrorKind::kInvalid);
    return fail(std::strerror(error), ErrorKind::kInvalid);
  }
  const std::filesystem::path path(resolved.get());
  if (path != file) {
    if (auto good = check_folder(path.parent_path()); !good) return fail(good.error());
  }
  // Non-blocking: opening a FIFO must not wait for a writer.
  const int fd = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
  if (fd < 0) {
    return fail(errno == ENXIO ? "a socket, expected a shared library" : std::string("cannot be opened: ") + std::strerror(errno),
                ErrorKind::kInvalid);
  }
  struct stat info{};
  const bool known = ::fstat(fd, &info) == 0;
  TrustedFile opened(fd, path, static_cast<std::uint64_t>(info.st_size));
  if (!known) return fail(std::strerror(errno));
  if (!S_ISREG(info.st_mode)) {
    const char* kind = S_ISFIFO(info.st_mode) ? "a FIFO" : S_ISDIR(info.st_mode) ? "a folder" : "a device";
    return fail(std::string(kind) + ", expected a shared library", ErrorKind::kInvalid);
  }
  if (auto good = check_owner_and_mode("the file", printable(path.string()), info); !good) return fail(good.error());
  return opened;
}

bool elevated() { return ::getauxval(AT_SECURE) != 0; }

}  // namespace cnspec::provider
