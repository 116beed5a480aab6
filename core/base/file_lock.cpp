#include "base/file_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <utility>

#include "base/file.hpp"
#include "base/text.hpp"

namespace cnspec {
namespace {

constexpr std::chrono::milliseconds kPause{10};

// The one before may have removed the file between our opening and locking it.
bool is_still(const std::filesystem::path& path, int fd) {
  struct stat ours {};
  struct stat named {};
  return ::fstat(fd, &ours) == 0 && ::lstat(path.c_str(), &named) == 0 && ours.st_dev == named.st_dev &&
         ours.st_ino == named.st_ino;
}

// Whoever holds the lock has written its number there, unless it has just begun.
std::string holder(int fd) {
  char text[24] = {};
  const ssize_t n = ::pread(fd, text, sizeof text - 1, 0);
  const std::string pid(trim({text, static_cast<std::size_t>(n < 0 ? 0 : n)}));
  if (pid.empty() || pid.find_first_not_of("0123456789") != pid.npos) return "another process";
  const auto name = read_small_file("/proc/" + pid + "/comm");
  return "process " + pid + (name ? " (" + printable(trim(*name)) + ")" : "");
}

void sign(int fd) {
  const std::string pid = std::to_string(::getpid()) + "\n";
  // Not to be had on a full disk; then nobody is told who it is.
  if (::ftruncate(fd, 0) == 0 && ::pwrite(fd, pid.data(), pid.size(), 0) < 0) return;
}

}  // namespace

Result<FileLock> FileLock::take(const std::filesystem::path& path, const std::string& busy, Deadline deadline,
                                Need need) {
  while (true) {
    Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600));
    if (!fd) return fail(printable(path.string()) + ": " + std::strerror(errno));
    const bool locked = ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0;
    const int why = locked ? 0 : errno;
    const bool held = why == EWOULDBLOCK || why == EINTR;
    if (locked && is_still(path, fd.get())) {
      sign(fd.get());
      return FileLock(path, std::move(fd));
    }
    if (!locked && !held && need == Need::kWherePossible) return FileLock(path, std::move(fd));
    const std::string other = held ? holder(fd.get()) : "";
    fd.reset();
    if (locked) continue;
    if (!held) return fail(printable(path.string()) + " cannot be locked: " + std::strerror(why));
    if (std::chrono::steady_clock::now() >= deadline)
      return fail(busy + " " + other + ", which did not finish in time", ErrorKind::kTimeout);
    std::this_thread::sleep_for(kPause);
  }
}

Result<FileLock> FileLock::take_beside(const std::filesystem::path& file, Deadline deadline) {
  return take(file.string() + ".lock", printable(file.string()) + " is being changed by", deadline,
              Need::kWherePossible);
}

FileLock::~FileLock() {
  if (fd_) ::unlink(path_.c_str());  // before it is free, so that nobody locks a file without a name
}

}  // namespace cnspec
