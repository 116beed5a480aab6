// The only process that changes a folder of providers.
#pragma once

#include <chrono>
#include <filesystem>

#include "base/error.hpp"

namespace cnspec::provider {

// An advisory lock on DIR/.lock, which only its owner can open. It ends with the process at the latest.
class FolderLock {
 public:
  // kTimeout when another holds it until then, and who that is; it is tried at least once. The folder has to
  // be there.
  static Result<FolderLock> take(const std::filesystem::path& folder,
                                 std::chrono::steady_clock::time_point deadline);
  FolderLock(FolderLock&& other) noexcept;
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

 private:
  FolderLock(std::filesystem::path path, int fd) : path_(std::move(path)), fd_(fd) {}
  std::filesystem::path path_;
  int fd_;
};

}  // namespace cnspec::provider
