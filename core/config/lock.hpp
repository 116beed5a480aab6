// Who changes a file waits for the others that do. Inside core/config only.
#pragma once

#include <chrono>
#include <filesystem>

#include "base/error.hpp"

namespace cnspec::config {

// An advisory lock on FILE.lock, which only its owner can open: beside the file, since that is replaced at
// every change. It ends with the process at the latest.
class FileLock {
 public:
  using Deadline = std::chrono::steady_clock::time_point;
  // kTimeout when another holds it until then; it is tried at least once.
  static Result<FileLock> take(const std::filesystem::path& file, Deadline deadline);

  FileLock(FileLock&& other) noexcept;
  ~FileLock();

 private:
  FileLock(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::filesystem::path path_;
  int fd_;
};

}  // namespace cnspec::config
