// Who changes a file or a folder waits for the others that do.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace cnspec {

// An advisory lock on a file made for it, which only its owner can open. It ends with the process at the
// latest, and the file with it.
class FileLock {
 public:
  using Deadline = std::chrono::steady_clock::time_point;
  enum class Need {
    kRequired,
    kWherePossible,  // not every file system knows locks; there, it is as if this one was free
  };

  // Waits until the deadline, but tries at least once. kTimeout when another holds it until then, with a
  // message that begins with `busy` ("FILE is being changed by") and goes on with who that is. The folder of
  // `path` has to be there.
  static Result<FileLock> take(const std::filesystem::path& path, const std::string& busy, Deadline deadline,
                               Need need);
  // For a file that is replaced at every change: the lock lies beside it. Where the file system knows none,
  // replacing is still atomic.
  static Result<FileLock> take_beside(const std::filesystem::path& file, Deadline deadline);
  FileLock(FileLock&&) = default;
  FileLock& operator=(FileLock&&) = delete;
  ~FileLock();

 private:
  FileLock(std::filesystem::path path, Fd fd) : path_(std::move(path)), fd_(std::move(fd)) {}
  std::filesystem::path path_;
  Fd fd_;
};

}  // namespace cnspec
