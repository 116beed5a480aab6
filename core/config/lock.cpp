#include "config/lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

#include "base/text.hpp"

namespace cnspec::config {
namespace {

constexpr std::chrono::milliseconds kPause{10};

// The one before may have removed the file between our opening and locking it.
bool is_still(const std::filesystem::path& path, int fd) {
  struct stat ours {};
  struct stat named {};
  return ::fstat(fd, &ours) == 0 && ::lstat(path.c_str(), &named) == 0 && ours.st_dev == named.st_dev &&
         ours.st_ino == named.st_ino;
}

}  // namespace

Result<FileLock> FileLock::take(const std::filesystem::path& file, Deadline deadline) {
  const std::filesystem::path path = file.string() + ".lock";
  while (true) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0) return fail(printable(path.string()) + ": " + std::strerror(errno));
    // Not every file system knows locks; there, the writing is still atomic.
    const bool locked = ::flock(fd, LOCK_EX | LOCK_NB) == 0;
    const bool busy = !locked && (errno == EWOULDBLOCK || errno == EINTR);
    if (!busy && (!locked || is_still(path, fd))) return FileLock(path, fd);
    ::close(fd);
    if (!busy) continue;
    if (std::chrono::steady_clock::now() >= deadline) {
      return fail(printable(file.string()) + ": another process is changing it and did not finish in time",
                  ErrorKind::kTimeout);
    }
    std::this_thread::sleep_for(kPause);
  }
}

FileLock::FileLock(FileLock&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)) {}

FileLock::~FileLock() {
  if (fd_ < 0) return;
  ::unlink(path_.c_str());  // before it is free, so that nobody locks a file without a name
  ::close(fd_);
}

}  // namespace cnspec::config
