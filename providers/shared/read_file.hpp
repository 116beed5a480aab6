// Reads files that may be anything: endless, unreadable, a pipe that nobody writes to.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#include "cnspec/provider.hpp"

namespace cnspec::providers {

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int get() const { return number_; }

 private:
  int number_;
};

inline const char* kind_of_file(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR: return "a directory";
    case S_IFIFO: return "a named pipe";
    case S_IFSOCK: return "a socket";
    case S_IFCHR: return "a character device";
    case S_IFBLK: return "a block device";
    default: return "no regular file";
  }
}

// Opens a regular file without ever waiting. It is looked at before it is opened, since opening a device may
// do something, and again after, since it may have been exchanged. 0, or the errno; EINVAL: not a regular
// file.
inline int open_regular(const std::string& path, int& number, struct stat& status) {
  if (::stat(path.c_str(), &status) != 0) return errno;
  if (!S_ISREG(status.st_mode)) return EINVAL;
  number = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (number < 0 || ::fstat(number, &status) != 0) return errno;
  return S_ISREG(status.st_mode) ? 0 : EINVAL;
}

// Why the file at `path`, which users know as `shown`, could not be opened or read: an errno, or EINVAL for
// what is no regular file.
inline sdk::Error file_error(const std::string& path, std::string_view shown, int problem) {
  const std::string name(shown);
  if (problem == ENOENT || problem == ENOTDIR)
    return sdk::Error(CNSPEC_NOT_FOUND, "file '" + name + "' not found");
  const std::string what = "cannot read file '" + name + "': ";
  struct stat status {};
  if (problem == EINVAL && ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    return sdk::Error(CNSPEC_INVALID, what + "it is " + kind_of_file(status.st_mode));
  }
  const int32_t code = problem == EACCES || problem == EPERM ? CNSPEC_PERMISSION_DENIED : CNSPEC_FAILED;
  return sdk::Error(code, what + std::strerror(problem));
}

// At most `limit` bytes; `complete` says whether that was all. 0, or the errno.
inline int read_up_to(const std::string& path, std::size_t limit, std::string& out, bool& complete) {
  out.clear();
  complete = false;
  int number = -1;
  struct stat status {};
  const int problem = open_regular(path, number, status);
  const Descriptor descriptor(number);
  if (problem != 0) return problem;
  // Files below /proc say that they are empty: the size is a hint.
  std::size_t room = status.st_size > 0 ? static_cast<std::size_t>(status.st_size) + 1 : 4096;
  while (true) {
    if (room > limit + 1 - out.size()) room = limit + 1 - out.size();
    const std::size_t before = out.size();
    out.resize(before + room);
    const ssize_t count = ::read(descriptor.get(), out.data() + before, room);
    out.resize(before + (count > 0 ? static_cast<std::size_t>(count) : 0));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno;
    if (count == 0) break;
    if (out.size() > limit) {
      out.resize(limit);
      return 0;
    }
    room = 65536;
  }
  complete = true;
  return 0;
}

// The whole file, or an Error that calls it `shown`.
inline std::string read_whole(const std::string& path, std::string_view shown, std::size_t limit) {
  std::string out;
  bool complete = false;
  struct stat status {};
  const bool huge = ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0 &&
                    static_cast<std::size_t>(status.st_size) > limit;
  const int problem = huge ? 0 : read_up_to(path, limit, out, complete);
  if (problem != 0) throw file_error(path, shown, problem);
  if (!complete) {
    throw sdk::Error(CNSPEC_INVALID, "cannot read file '" + std::string(shown) + "': it is larger than " +
                                         std::to_string(limit >> 20) + " MiB");
  }
  return out;
}

}  // namespace cnspec::providers
