// Which files may be loaded: opened without blocking, then judged by what was opened.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace cnspec::provider {

// An open file that passed the checks. Closes it when it goes.
class TrustedFile {
 public:
  TrustedFile(int fd, std::filesystem::path path, const struct stat& info)
      : fd_(fd), path_(std::move(path)), info_(info) {}
  TrustedFile(TrustedFile&& other) noexcept;
  TrustedFile& operator=(TrustedFile&&) = delete;
  ~TrustedFile();

  int fd() const { return fd_; }
  const std::filesystem::path& path() const { return path_; }  // absolute; the last part is no link
  std::uint64_t size() const { return static_cast<std::uint64_t>(info_.st_size); }
  // A copy in memory that nobody can change: fd() is no longer the file at path().
  bool sealed() const { return sealed_; }

  // A path that leads to what fd() is, for the loader and for debuggers; as long as this is open. To the
  // loader, $ORIGIN is then a folder of descriptors: a provider is one file, and nothing beside it is found.
  std::string descriptor_path() const;

  // Whether the file that was opened is as it was then, wherever it lies by now. Always so when sealed.
  bool unchanged() const;

  // Whether both are the same file on disk, or sealed copies of the same bytes.
  bool is_same_as(const TrustedFile& other) const;

  // The contents, read once into memory and sealed there.
  Result<TrustedFile> sealed_copy() &&;

 private:
  int fd_;
  std::filesystem::path path_;
  struct stat info_;
  bool sealed_ = false;
};

// The whole of an open file, mapped; a sealed one can neither shrink nor change beneath it.
class Mapping {
 public:
  explicit Mapping(const TrustedFile& file);
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  bool good() const { return size_ == 0 || at_; }  // else errno says why not
  std::string_view bytes() const { return {static_cast<const char*>(at_), at_ ? size_ : 0}; }

 private:
  std::size_t size_;
  void* at_ = nullptr;
};

// For one command and one thread: it remembers what it found out about folders. Root trusts files of root
// alone; others trust their own as well. Neither the file nor a folder on the way to it, through every link,
// may be writable by group or others; above the provider folder, a sticky folder such as /tmp is no danger.
class PermissionChecker {
 public:
  // `folder` is absolute. An error when providers in it could be somebody else's.
  Result<void> check_folder(const std::filesystem::path& folder);

  // `file` lies in a folder that was checked. `folder` is that folder where it is open, so that the file
  // comes out of no other one that took its place meanwhile.
  Result<TrustedFile> open(const std::filesystem::path& file, int folder = -1);

 private:
  // Where the path leads, having checked everything on the way that could lead elsewhere tomorrow.
  Result<std::filesystem::path> follow(const std::filesystem::path& path);
  Result<void> check_one(const std::filesystem::path& folder, bool sticky_is_safe);
  std::map<std::pair<std::string, bool>, Result<void>> seen_;
};

// Set-uid, set-gid or file capabilities: the environment and the user's folders are not to be listened to.
bool elevated();

}  // namespace cnspec::provider
