// Small files, read and written whole and safely.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.hpp"
#include "base/fd.hpp"

namespace cnspec {

// Never blocks on a FIFO. kNotFound when there is no such file; other errors name what was found instead.
// `folder` is the one it lies in where that is open, so that it comes out of no other one that took its place
// meanwhile.
Result<std::string> read_small_file(const std::filesystem::path& path, std::size_t max_size = 1 << 20,
                                    int folder = -1);

// The same, and also of a pipe or a FIFO, as `<(command)` in a shell is one: what comes until its writers
// have closed it. kTimeout when that does not happen before the deadline.
Result<std::string> read_small_file_or_pipe(const std::filesystem::path& path, std::size_t max_size,
                                            std::chrono::steady_clock::time_point deadline);

// What is left in an open file, pipe or terminal, up to its end; `name` is what errors call it.
Result<std::string> read_to_end(int fd, const std::string& name, std::size_t max_size,
                                std::chrono::steady_clock::time_point deadline);

// All of it, to a file, a pipe or a socket. False: errno says why not.
bool write_all(int fd, std::string_view bytes);

// The file holds either what it held or all of `text`, whatever happens meanwhile: written beside it, synced,
// renamed. Follows a link to the file it means. Makes the folder (0700) when it is missing.
Result<void> write_file_atomically(const std::filesystem::path& path, std::string_view text, mode_t mode);

// What is to take a file's place, made beside it; gone with this object unless it got there. What a process
// left behind that was killed is removed by the next one that replaces the same file. Hold off interrupts
// meanwhile. Where something fails errno says why.
class Replacement {
 public:
  static std::optional<Replacement> begin(const std::filesystem::path& file, mode_t mode);
  Replacement(Replacement&&) = default;
  Replacement& operator=(Replacement&&) = delete;
  ~Replacement();

  int fd() const { return fd_.get(); }
  // Everything is on the disk, and has room.
  bool sync() { return ::fsync(fd_.get()) == 0 && fd_.close() == 0; }
  bool put();  // after sync(): in place of the file

 private:
  Replacement(std::filesystem::path file, std::filesystem::path temporary, Fd fd, Fd lock)
      : file_(std::move(file)),
        temporary_(std::move(temporary)),
        fd_(std::move(fd)),
        lock_(std::move(lock)) {}
  std::filesystem::path file_, temporary_;
  Fd fd_;
  Fd lock_;  // says that somebody still works on it
};

// Removes replacements that nobody works on any more, for those files in the folder whose names are meant.
void remove_unfinished(const std::filesystem::path& folder,
                       const std::function<bool(const std::string& name)>& meant);

// Where a file of this name lies. A link that points at nothing yet names the file to be made.
std::filesystem::path behind_links(const std::filesystem::path& named);

// Makes the folder and those above it that are missing, for their owner alone.
Result<void> make_folders(const std::filesystem::path& folder);

// Whether write_file_atomically would succeed for a text of this size: all is done but the rename.
Result<void> check_room_for_file(const std::filesystem::path& path, std::size_t size);

}  // namespace cnspec
