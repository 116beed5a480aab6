// A folder of installed providers and how it changes: from one whole state to the next, each by one rename.
// Inside core/provider only.
//
//   NAME/             what is in place
//   .NAME.previous/   what was before
//   .unpacking/       not finished; rubbish once nobody works on it
//   .NAME.new/        whole, and about to change places with NAME/. It holds a file .staged, which moves with
//                     it: without one this is what was in place before.
//   .NAME.removed/    NAME/ no longer; .NAME.previous/ goes with it
//   .lock             of the one process that changes anything
#pragma once

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/file_lock.hpp"
#include "base/interrupt.hpp"

namespace cnspec::provider {

// Anything, a link that leads nowhere too.
bool is_there(const std::filesystem::path& path);

std::filesystem::path previous_folder(const std::filesystem::path& folder, const std::string& name);

// Whether InstallRoot::open could succeed: trusted as far as it is there, and writable. Changes nothing.
Result<void> check_install_root(const std::filesystem::path& folder);

class InstallRoot {
 public:
  // Makes the folder when it is missing, waits for the others that change it, and puts right what one left
  // behind that was killed.
  static Result<InstallRoot> open(const std::filesystem::path& folder,
                                  std::chrono::steady_clock::time_point deadline);
  InstallRoot(InstallRoot&&) = default;
  // What was staged and not put in place is gone, and so is the folder when it was made for nothing.
  ~InstallRoot();

  // An empty folder (0700) below this one.
  Result<std::filesystem::path> stage();
  // What was staged takes the place of NAME, which is kept as the version before.
  Result<void> put(const std::string& name);
  // NAME and the version before change places.
  Result<void> swap(const std::string& name);
  // NAME and the version before are no more.
  Result<void> drop(const std::string& name);

 private:
  struct Made {
    std::vector<std::filesystem::path> folders;  // by us, outermost first
    Made() = default;
    Made(Made&& other) noexcept : folders(std::exchange(other.folders, {})) {}
    ~Made();
  };
  InstallRoot(std::filesystem::path folder, Made made, FileLock lock)
      : folder_(std::move(folder)),
        hold_(std::make_unique<interrupt::Hold>()),
        made_(std::move(made)),
        lock_(std::move(lock)) {}
  Result<void> recover();
  Result<void> clear(const std::filesystem::path& path);
  Result<void> recover_one(const std::string& entry);

  std::filesystem::path folder_;
  std::unique_ptr<interrupt::Hold> hold_;  // the end waits until all is as it was, or as it shall be
  Made made_;                              // gone after the lock, which lies in it
  FileLock lock_;
};

}  // namespace cnspec::provider
