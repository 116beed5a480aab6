// Which files may be loaded: opened without blocking, then judged by what was opened.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "base/error.hpp"

namespace cnspec::provider {

// An open file that passed the checks. Closes it when it goes.
class TrustedFile {
 public:
  TrustedFile(int fd, std::filesystem::path path, std::uint64_t size) : fd_(fd), path_(std::move(path)), size_(size) {}
  TrustedFile(TrustedFile&& other) noexcept;
  TrustedFile& operator=(TrustedFile&&) = delete;
  ~TrustedFile();

  int fd() const { return fd_; }
  const std::filesystem::path& path() const { return path_; }  // absolute, without links
  std::uint64_t size() const { return size_; }

  // Whether path() still names the very file that was checked, unchanged.
  bool still_there() const;

 private:
  int fd_;
  std::filesystem::path path_;
  std::uint64_t size_;
};

// Remembers what it found out about folders, for one command. Root trusts files of root alone; others trust
// their own as well. Neither the file nor a folder above it may be writable by group or others; above the
// provider folder, a sticky folder such as /tmp is no danger.
class Trust {
 public:
  // `folder` is absolute. An error when providers in it could be somebody else's.
  Result<void> check_folder(const std::filesystem::path& folder);

  Result<TrustedFile> open(const std::filesystem::path& file);

 private:
  Result<void> check_one(const std::filesystem::path& folder, bool sticky_is_safe);
  std::map<std::pair<std::string, bool>, Result<void>> seen_;
};

// Set-uid, set-gid or file capabilities: the environment and the user's folders are not to be listened to.
bool elevated();

}  // namespace cnspec::provider
