#include "provider/trusted_file.hpp"

#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <vector>

#include "base/file.hpp"
#include "base/text.hpp"

namespace cnspec::provider {
namespace {

// A program with capabilities of its own runs as whoever started it, who must not give it what to load.
bool trusts_its_user() { return !elevated() || ::geteuid() != ::getuid(); }

bool trusted_owner(uid_t owner) { return owner == 0 || (owner == ::geteuid() && trusts_its_user()); }

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
    const std::string owners = ::geteuid() == 0 || !trusts_its_user()
                                   ? "root"
                                   : "root or you (user id " + std::to_string(::geteuid()) + ")";
    return refuse(what + " belongs to user id " + std::to_string(info.st_uid) + ", expected " + owners,
                  "chown it if you trust what is in it: chown " +
                      std::to_string(trusts_its_user() ? ::geteuid() : 0) + " '" + path + "'");
  }
  if (info.st_mode & (S_IWGRP | S_IWOTH)) {
    return refuse(what + " is writable by " + (info.st_mode & S_IWOTH ? "everybody" : "its group") +
                      " (mode " + octal(info.st_mode) + ")",
                  "chmod go-w '" + path + "'");
  }
  return {};
}

// More than any provider has; memory is what it costs.
constexpr std::uint64_t kMaxSealed = std::uint64_t{512} << 20;

// Nothing that is only mapped needs to be a program; kernels before 6.3 do not know the difference.
int make_memory_file() {
#ifndef MFD_NOEXEC_SEAL
  constexpr unsigned MFD_NOEXEC_SEAL = 8;
#endif
  constexpr unsigned kFlags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
  const int fd = ::memfd_create("cnspec-provider", kFlags | MFD_NOEXEC_SEAL);
  return fd < 0 && errno == EINVAL ? ::memfd_create("cnspec-provider", kFlags) : fd;
}

// How many bytes there were; nothing when errno says why not.
std::optional<std::uint64_t> copy_contents(int from, int to) {
  std::vector<char> buffer(1 << 18);
  std::uint64_t at = 0;
  while (true) {
    const ssize_t got = ::pread(from, buffer.data(), buffer.size(), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::nullopt;
    if (got == 0 || at > kMaxSealed) return at;
    if (!write_all(to, {buffer.data(), static_cast<std::size_t>(got)})) return std::nullopt;
    at += static_cast<std::uint64_t>(got);
  }
}

}  // namespace

TrustedFile::TrustedFile(TrustedFile&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      info_(other.info_),
      sealed_(other.sealed_) {}

TrustedFile::~TrustedFile() {
  if (fd_ >= 0) ::close(fd_);
}

std::string TrustedFile::descriptor_path() const {
  // By our number where /proc knows it: a debugger's "self" would be the debugger.
  const std::string number = "/fd/" + std::to_string(fd_);
  const std::string path = "/proc/" + std::to_string(::getpid()) + number;
  struct stat info {};
  const bool ours =
      ::stat(path.c_str(), &info) == 0 && info.st_dev == info_.st_dev && info.st_ino == info_.st_ino;
  return ours ? path : "/proc/self" + number;
}

bool TrustedFile::unchanged() const {
  struct stat now {};
  return ::fstat(fd_, &now) == 0 && now.st_size == info_.st_size &&
         now.st_mtim.tv_sec == info_.st_mtim.tv_sec && now.st_mtim.tv_nsec == info_.st_mtim.tv_nsec &&
         now.st_mode == info_.st_mode && now.st_uid == info_.st_uid;
}

bool TrustedFile::is_same_as(const TrustedFile& other) const {
  if (info_.st_dev == other.info_.st_dev && info_.st_ino == other.info_.st_ino) return true;
  if (!sealed_ || !other.sealed_ || size() != other.size()) return false;
  const Mapping ours(*this), theirs(other);
  return ours.good() && theirs.good() && ours.bytes() == theirs.bytes();
}

Result<TrustedFile> TrustedFile::sealed_copy() && {
  if (size() > kMaxSealed) {
    return fail(
        "has " + std::to_string(size()) + " bytes, at most " + std::to_string(kMaxSealed) + " are verified",
        ErrorKind::kInvalid);
  }
  const auto failed = [](const char* what) {
    return fail(std::string("cannot be copied to memory: ") + what + ": " + std::strerror(errno));
  };
  struct stat info {};
  TrustedFile copy(make_memory_file(), path_, info);
  if (copy.fd_ < 0) return failed("memfd_create");
  auto copied = copy_contents(fd_, copy.fd_);
  if (!copied) return failed("read and write");
  if (*copied != size() || !unchanged())
    return fail("was changed while it was being read", ErrorKind::kUntrusted);
  if (::fcntl(copy.fd_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
    return failed("F_ADD_SEALS");
  if (::fstat(copy.fd_, &copy.info_) != 0) return failed("fstat");
  copy.sealed_ = true;
  return copy;
}

Mapping::Mapping(const TrustedFile& file) : size_(file.size()) {
  if (size_ == 0) return;
  void* at = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.fd(), 0);
  if (at != MAP_FAILED) at_ = at;
}

Mapping::~Mapping() {
  if (at_) ::munmap(at_, size_);
}

Result<void> PermissionChecker::check_one(const std::filesystem::path& folder, bool sticky_is_safe) {
  const auto key = std::make_pair(folder.string(), sticky_is_safe);
  if (const auto it = seen_.find(key); it != seen_.end()) return it->second;
  const auto judge = [&]() -> Result<void> {
    struct stat info {};
    const std::string shown = printable(folder.string());
    if (::stat(folder.c_str(), &info) != 0) {
      return fail(shown + ": " + std::strerror(errno),
                  errno == ENOENT ? ErrorKind::kNotFound : ErrorKind::kUntrusted);
    }
    if (!S_ISDIR(info.st_mode)) return refuse(shown + " is no folder", "name a folder that holds providers");
    // In a sticky folder nobody can replace what belongs to us or to root.
    if (sticky_is_safe && (info.st_mode & S_ISVTX)) info.st_mode &= ~static_cast<mode_t>(S_IWGRP | S_IWOTH);
    return check_owner_and_mode("the folder " + shown, shown, info);
  };
  return seen_.emplace(key, judge()).first->second;
}

Result<std::filesystem::path> PermissionChecker::follow(const std::filesystem::path& path) {
  constexpr int kMaxLinks = 40;
  std::filesystem::path at = "/";
  std::vector<std::filesystem::path> rest;  // the next part is the last
  const auto push = [&](const std::filesystem::path& parts) {
    const auto first = static_cast<std::ptrdiff_t>(rest.size());
    rest.insert(rest.end(), parts.begin(), parts.end());
    std::reverse(rest.begin() + first, rest.end());
  };
  push(path.relative_path());
  for (int links = 0; !rest.empty();) {
    const auto part = std::move(rest.back());
    rest.pop_back();
    if (part.empty() || part == ".") continue;
    if (auto good = check_one(at, true); !good) return fail(good.error());
    if (part == "..") {
      at = at.parent_path();
      continue;
    }
    const std::filesystem::path next = at / part;
    struct stat info {};
    if (::lstat(next.c_str(), &info) != 0) {
      return fail(printable(next.string()) + ": " + std::strerror(errno),
                  errno == ENOENT ? ErrorKind::kNotFound : ErrorKind::kUntrusted);
    }
    if (!S_ISLNK(info.st_mode)) {
      at = next;
      continue;
    }
    if (!trusted_owner(info.st_uid)) {
      return refuse(
          "the link " + printable(next.string()) + " belongs to user id " + std::to_string(info.st_uid),
          "name the folder that it leads to");
    }
    std::error_code failed;
    const auto target = std::filesystem::read_symlink(next, failed);
    if (failed) return fail(printable(next.string()) + ": " + failed.message(), ErrorKind::kUntrusted);
    if (++links > kMaxLinks) return fail("a link that leads back to itself", ErrorKind::kInvalid);
    if (target.is_absolute()) at = "/";
    push(target.relative_path());
  }
  return at;
}

Result<void> PermissionChecker::check_folder(const std::filesystem::path& folder) {
  auto real = follow(folder);
  if (!real) return fail(real.error());
  return check_one(*real, false);
}

Result<TrustedFile> PermissionChecker::open(const std::filesystem::path& file, int folder) {
  std::filesystem::path path = file;
  // Non-blocking: opening a FIFO must not wait for a writer.
  constexpr int kFlags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY;
  int fd = folder < 0 ? ::open(path.c_str(), kFlags) : ::openat(folder, path.filename().c_str(), kFlags);
  if (fd < 0 && errno == ELOOP) {  // a link
    auto real = follow(file);
    if (!real && real.error().kind() == ErrorKind::kNotFound) {
      return fail("a link to a file that does not exist", ErrorKind::kInvalid);
    }
    if (!real) return fail(real.error());
    if (auto good = check_one(real->parent_path(), false); !good) return fail(good.error());
    path = std::move(*real);
    fd = ::open(path.c_str(), kFlags);
  }
  if (fd < 0) {
    return fail(errno == ENXIO ? "a socket, expected a shared library"
                               : std::string("cannot be opened: ") + std::strerror(errno),
                ErrorKind::kInvalid);
  }
  struct stat info {};
  const bool known = ::fstat(fd, &info) == 0;
  TrustedFile opened(fd, path, info);
  if (!known) return fail(std::strerror(errno));
  if (!S_ISREG(info.st_mode)) {
    const char* kind = S_ISFIFO(info.st_mode) ? "a FIFO" : S_ISDIR(info.st_mode) ? "a folder" : "a device";
    return fail(std::string(kind) + ", expected a shared library", ErrorKind::kInvalid);
  }
  if (auto good = check_owner_and_mode("the file", printable(path.string()), info); !good)
    return fail(good.error());
  return opened;
}

bool elevated() { return ::getauxval(AT_SECURE) != 0; }

}  // namespace cnspec::provider
