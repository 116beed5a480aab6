#include "provider/install_root.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "base/names.hpp"
#include "base/text.hpp"
#include "provider/trusted_file.hpp"

namespace cnspec::provider {
namespace {

namespace fs = std::filesystem;

constexpr char kUnpacking[] = ".unpacking";
constexpr char kStaged[] = ".staged";
constexpr std::string_view kNew = ".new";
constexpr std::string_view kRemoved = ".removed";
constexpr std::string_view kPrevious = ".previous";

fs::path beside(const fs::path& folder, const std::string& name, std::string_view what) {
  return folder / ("." + name + std::string(what));
}

tl::unexpected<Error> failed(const fs::path& path, const std::string& what) {
  const int why = errno;
  return fail(printable(path.string()) + " " + what + ": " + std::strerror(why));
}

// Some file systems have nothing to sync about a folder.
Result<void> sync_folder(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return failed(folder, "cannot be opened");
  const bool synced = ::fsync(fd) == 0 || errno == EINVAL;
  const int why = errno;
  ::close(fd);
  errno = why;
  if (!synced) return failed(folder, "cannot be written to the disk");
  return {};
}

Result<void> move(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) == 0) return {};
  return failed(from, "cannot be renamed to " + printable(to.filename().string()));
}

Result<void> exchange(const fs::path& a, const fs::path& b) {
  if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) return {};
  if (errno == EINVAL || errno == ENOSYS) {
    return fail(Error("the file system of " + printable(a.parent_path().string()) +
                      " cannot let two folders change places")
                    .hint("remove the provider first, then install the other version"));
  }
  return failed(b, "cannot be replaced");
}

Result<void> remove_tree(const fs::path& path) {
  std::error_code ec;
  fs::remove_all(path, ec);
  if (!ec) return {};
  return fail(printable(path.string()) + " cannot be removed: " + ec.message());
}

Error not_writable(const fs::path& folder, const std::string& what) {
  const std::string why = std::strerror(errno);
  struct stat info {};
  std::string other;
  if (const bool fixed = errno == EROFS; !fixed && ::stat(folder.c_str(), &info) == 0) {
    other = info.st_uid == ::geteuid() ? "chmod u+rwx '" + printable(folder.string()) + "'"
            : info.st_uid == 0         ? "run it as root"
                                       : "run it as the user whose id is " + std::to_string(info.st_uid);
    other += ", or ";
  }
  return Error(what + ": " + why).hint(other + "name a folder of your own with --providers-path");
}

fs::path nearest(fs::path folder) {
  while (!is_there(folder) && folder.has_relative_path()) folder = folder.parent_path();
  return folder;
}

// Files of root's are for everybody to read.
mode_t folder_mode() { return ::geteuid() == 0 ? 0755 : 0700; }

// As far as it is there.
Result<void> check_trusted(const fs::path& folder) {
  auto good = PermissionChecker().check_folder(folder);
  if (good || (good.error().kind() == ErrorKind::kNotFound && !is_there(folder))) return {};
  return fail(
      Error::wrap("providers in " + printable(folder.string()) + " would not be trusted", good.error()));
}

Result<void> check_there(const fs::path& folder) {
  if (auto good = check_trusted(folder); !good) return good;
  if (::access(folder.c_str(), W_OK | X_OK) == 0) return {};
  return fail(not_writable(folder, "nothing can be changed in " + printable(folder.string())));
}

}  // namespace

bool is_there(const fs::path& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

fs::path previous_folder(const fs::path& folder, const std::string& name) {
  return beside(folder, name, kPrevious);
}

Result<void> check_install_root(const fs::path& folder) {
  if (is_there(folder)) return check_there(folder);
  const fs::path above = nearest(folder.parent_path());
  if (::access(above.c_str(), W_OK | X_OK) == 0) return check_trusted(folder);
  return fail(not_writable(above, "the folder " + printable(folder.string()) + " cannot be made"));
}

InstallRoot::Made::~Made() {
  // Those with something in them stay.
  for (auto it = folders.rbegin(); it != folders.rend(); ++it) ::rmdir(it->c_str());
}

Result<InstallRoot> InstallRoot::open(const fs::path& folder,
                                      std::chrono::steady_clock::time_point deadline) {
  Made made;
  std::vector<fs::path> missing;
  for (fs::path at = folder; !is_there(at) && at.has_relative_path(); at = at.parent_path())
    missing.push_back(at);
  for (auto it = missing.rbegin(); it != missing.rend(); ++it) {
    if (::mkdir(it->c_str(), folder_mode()) != 0) {
      if (errno == EEXIST) continue;
      return fail(
          not_writable(it->parent_path(), "the folder " + printable(it->string()) + " cannot be made"));
    }
    made.folders.push_back(*it);
    if (::chmod(it->c_str(), folder_mode()) != 0) return failed(*it, "cannot be given its mode");
    if (auto synced = sync_folder(it->parent_path()); !synced) return fail(synced.error());
  }
  if (auto good = check_there(folder); !good) return fail(good.error());
  auto lock = FileLock::take(folder / ".lock",
                             "the providers in " + printable(folder.string()) + " are being changed by",
                             deadline, FileLock::Need::kRequired);
  if (!lock) return fail(lock.error());
  InstallRoot root(folder, std::move(made), std::move(*lock));
  if (auto recovered = root.recover(); !recovered) return fail(recovered.error());
  return root;
}

InstallRoot::~InstallRoot() {
  if (!folder_.empty()) clear(folder_ / kUnpacking);
}

// Out of the way by one rename, so that what is half deleted is never taken for what it was.
Result<void> InstallRoot::clear(const fs::path& path) {
  const fs::path rubbish = folder_ / kUnpacking;
  if (!is_there(path)) return {};
  if (path != rubbish) {
    if (auto cleared = remove_tree(rubbish); !cleared) return cleared;
    if (auto moved = move(path, rubbish); !moved) return moved;
  }
  return remove_tree(rubbish);
}

Result<void> InstallRoot::recover_one(const std::string& entry) {
  const fs::path path = folder_ / entry;
  if (entry.front() != '.') {
    // Once in place it is like any other. Nothing to remove, or nothing that anybody put there through us.
    ::unlink((path / kStaged).c_str());
    return {};
  }
  const auto name_before = [&](std::string_view what) {
    return entry.ends_with(what) ? entry.substr(1, entry.size() - 1 - std::min(entry.size() - 1, what.size()))
                                 : std::string();
  };
  if (const std::string name = name_before(kRemoved); is_provider_name(name)) {
    if (auto cleared = clear(beside(folder_, name, kPrevious)); !cleared) return cleared;
    return clear(path);
  }
  if (const std::string name = name_before(kNew); is_provider_name(name)) {
    if (is_there(path / kStaged)) return clear(path);
    if (auto cleared = clear(beside(folder_, name, kPrevious)); !cleared) return cleared;
    return move(path, beside(folder_, name, kPrevious));
  }
  return {};
}

Result<void> InstallRoot::recover() {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder_.c_str()), &::closedir);
  if (!dir) return failed(folder_, "cannot be read");
  std::vector<std::string> entries;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (std::string_view(entry->d_name) != "." && std::string_view(entry->d_name) != "..")
      entries.emplace_back(entry->d_name);
  }
  std::sort(entries.begin(), entries.end());
  if (auto cleared = clear(folder_ / kUnpacking); !cleared) return cleared;
  for (const std::string& entry : entries) {
    if (auto recovered = recover_one(entry); !recovered) return recovered;
  }
  return {};
}

Result<fs::path> InstallRoot::stage() {
  const fs::path staged = folder_ / kUnpacking;
  if (::mkdir(staged.c_str(), 0700) != 0) return failed(staged, "cannot be made");
  return staged;
}

Result<void> InstallRoot::put(const std::string& name) {
  const fs::path staged = folder_ / kUnpacking;
  const fs::path coming = beside(folder_, name, kNew);
  const fs::path place = folder_ / name;
  const fs::path mark = staged / kStaged;
  const int fd = ::open(mark.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return failed(mark, "cannot be made");
  ::close(fd);
  if (::chmod(staged.c_str(), 0755) != 0) return failed(staged, "cannot be given its mode");
  if (auto synced = sync_folder(staged); !synced) return synced;
  if (auto moved = move(staged, coming); !moved) return moved;
  auto switched = is_there(place) ? exchange(coming, place) : move(coming, place);
  if (switched) {
    made_.folders.clear();
    switched = sync_folder(folder_);
  }
  const auto recovered = recover();  // keeps what was in place, or throws away what did not get there
  return switched ? recovered : switched;
}

Result<void> InstallRoot::swap(const std::string& name) {
  const fs::path place = folder_ / name;
  const fs::path before = beside(folder_, name, kPrevious);
  auto switched = is_there(place) ? exchange(before, place) : move(before, place);
  return switched ? sync_folder(folder_) : switched;
}

Result<void> InstallRoot::drop(const std::string& name) {
  const fs::path place = folder_ / name;
  const fs::path removed = beside(folder_, name, kRemoved);
  if (is_there(place)) {
    if (auto moved = move(place, removed); !moved) return moved;
    if (auto synced = sync_folder(folder_); !synced) return synced;
  } else if (auto cleared = clear(beside(folder_, name, kPrevious)); !cleared) {
    return cleared;
  }
  return recover();
}

}  // namespace cnspec::provider
