#include "base/file.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/interrupt.hpp"
#include "base/random.hpp"
#include "base/text.hpp"

namespace cnspec {
namespace {

using Steady = std::chrono::steady_clock;

tl::unexpected<Error> failed(const std::filesystem::path& path, const std::string& why,
                             ErrorKind kind = ErrorKind::kFailed) {
  return fail(printable(path.string()) + ": " + why, kind);
}

Result<Fd> open_to_read(const std::filesystem::path& path, bool or_pipe, int folder = -1) {
  constexpr int kFlags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
  Fd file(folder < 0 ? ::open(path.c_str(), kFlags) : ::openat(folder, path.filename().c_str(), kFlags));
  if (file.get() < 0) {
    return failed(path, std::strerror(errno),
                  errno == ENOENT || errno == ENOTDIR ? ErrorKind::kNotFound : ErrorKind::kFailed);
  }
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return failed(path, std::strerror(errno));
  if (S_ISREG(info.st_mode) || (or_pipe && S_ISFIFO(info.st_mode))) return file;
  const char* kind = S_ISDIR(info.st_mode) ? "a folder" : S_ISFIFO(info.st_mode) ? "a FIFO" : "a device";
  return failed(path, std::string("expected a regular file, found ") + kind);
}

// False: nothing came in time. Of a FIFO that nobody has opened to write yet, only this tells from its end.
bool wait_until_readable(int fd, Steady::time_point deadline) {
  while (true) {
    using std::chrono::milliseconds;
    constexpr milliseconds kLongest = std::chrono::hours(1);
    const auto left = std::chrono::ceil<milliseconds>(deadline - Steady::now());
    pollfd input{fd, POLLIN, 0};
    const int ready =
        ::poll(&input, 1, static_cast<int>(std::clamp(left, milliseconds(0), kLongest).count()));
    if (ready > 0 || (ready < 0 && errno != EINTR)) return true;
    if (ready == 0 && left <= kLongest) return false;
  }
}

// What root replaces stays its owner's, who could not read it any more.
Result<void> keep_owner(const std::filesystem::path& replaced, int fd) {
  struct stat before {};
  struct stat now {};
  if (::lstat(replaced.c_str(), &before) != 0 || ::fstat(fd, &now) != 0) return {};
  if (now.st_gid != before.st_gid && ::fchown(fd, static_cast<uid_t>(-1), before.st_gid) != 0 &&
      ::geteuid() == 0)
    return failed(replaced, std::string("its group cannot be kept: ") + std::strerror(errno));
  if (now.st_uid != before.st_uid && ::fchown(fd, before.st_uid, static_cast<gid_t>(-1)) != 0)
    return failed(replaced, "belongs to another user, and would be yours if you changed it");
  return {};
}

Result<void> write_beside(const std::filesystem::path& path, std::string_view text, mode_t mode,
                          bool then_rename) {
  const interrupt::Hold hold;  // no half-written file stays behind
  const auto folder = path.parent_path();
  if (auto made = make_folders(folder); !made) return made;
  auto file = Replacement::begin(path, mode);
  if (!file) return failed(path, std::strerror(errno));
  if (auto kept = keep_owner(path, file->fd()); !kept) return kept;
  const bool written = ::fchmod(file->fd(), mode) == 0 && write_all(file->fd(), text) && file->sync() &&
                       (!then_rename || file->put());
  if (!written) return failed(path, std::strerror(errno));
  return {};
}

constexpr std::string_view kUnfinished = ".tmp";
constexpr std::size_t kRandom = 6;  // bytes

// The file that a replacement is for; empty when it is none.
std::string replaced_by(const std::string& name) {
  constexpr std::size_t kEnd = 1 + 2 * kRandom + kUnfinished.size();  // .0123456789ab.tmp
  if (name.size() <= kEnd || !name.ends_with(kUnfinished)) return {};
  const auto dot = name.size() - kEnd;
  const std::string_view random = std::string_view(name).substr(dot + 1, 2 * kRandom);
  const bool ours = name[dot] == '.' && random.find_first_not_of("0123456789abcdef") == random.npos;
  return ours ? name.substr(0, dot) : "";
}

// Waits for whoever looks whether it is still worked on. Not every file system knows locks; there, nothing
// is removed either.
void lock(int fd) {
  while (::flock(fd, LOCK_EX) != 0 && errno == EINTR) {
  }
}

}  // namespace

std::optional<Replacement> Replacement::begin(const std::filesystem::path& file, mode_t mode) {
  const std::string name = file.filename().string();
  remove_unfinished(file.parent_path(), [&](const std::string& other) { return other == name; });
  while (true) {
    std::filesystem::path temporary = file.string() + "." + random_hex(kRandom) + std::string(kUnfinished);
    Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode));
    if (!fd) return std::nullopt;
    lock(fd.get());
    Fd also(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
    Replacement made(file, std::move(temporary), std::move(fd), std::move(also));
    struct stat info {};
    if (!made.lock_ || ::fstat(made.fd(), &info) != 0) return std::nullopt;
    if (info.st_nlink > 0) return made;
    // Somebody else took it for left behind before it was locked.
  }
}

bool Replacement::put() {
  if (::rename(temporary_.c_str(), file_.c_str()) != 0) return false;
  temporary_.clear();
  return true;
}

Replacement::~Replacement() {
  const int why = errno;
  if (lock_ && !temporary_.empty()) ::unlink(temporary_.c_str());
  errno = why;
}

void remove_unfinished(const std::filesystem::path& folder,
                       const std::function<bool(const std::string& name)>& meant) {
  std::error_code ec;
  for (std::filesystem::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
    const std::string file = replaced_by(it->path().filename().string());
    if (file.empty() || !meant(file)) continue;
    const Fd fd(::open(it->path().c_str(), O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
    struct stat info {};
    const bool abandoned = fd && ::fstat(fd.get(), &info) == 0 && S_ISREG(info.st_mode) &&
                           ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0;
    if (abandoned) ::unlink(it->path().c_str());
  }
}

Result<void> make_folders(const std::filesystem::path& folder) {
  if (folder.empty()) return {};
  struct stat info {};
  if (::stat(folder.c_str(), &info) == 0) {
    if (S_ISDIR(info.st_mode)) return {};
    return failed(folder, "expected a folder, found a file");
  }
  if (auto made = make_folders(folder.parent_path()); !made) return made;
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return failed(folder, std::strerror(errno));
  return {};
}

std::filesystem::path behind_links(const std::filesystem::path& named) {
  std::error_code ec;
  std::filesystem::path path = std::filesystem::absolute(named, ec);
  if (const auto target = std::filesystem::canonical(path, ec); !ec) return target;
  constexpr int kMaxLinks = 40;  // as many as Linux follows
  for (int i = 0; i < kMaxLinks; ++i) {
    const auto target = std::filesystem::read_symlink(path, ec);
    if (ec) return path;
    path = (path.parent_path() / target).lexically_normal();
  }
  return path;
}

bool write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

Result<std::string> read_to_end(int fd, const std::string& name, std::size_t max_size,
                                Steady::time_point deadline) {
  std::string out;
  char buffer[16384];
  while (true) {
    if (!wait_until_readable(fd, deadline))
      return failed(name, "its end did not come in time", ErrorKind::kTimeout);
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n == 0) return out;
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) return failed(name, std::strerror(errno));
    out.append(buffer, static_cast<std::size_t>(n));
    if (out.size() > max_size) return failed(name, "has more than " + std::to_string(max_size) + " bytes");
  }
}

Result<std::string> read_small_file(const std::filesystem::path& path, std::size_t max_size, int folder) {
  const auto file = open_to_read(path, false, folder);
  if (!file) return fail(file.error());
  return read_to_end(file->get(), path.string(), max_size, Steady::time_point::max());
}

Result<std::string> read_small_file_or_pipe(const std::filesystem::path& path, std::size_t max_size,
                                            Steady::time_point deadline) {
  const auto file = open_to_read(path, true);
  if (!file) return fail(file.error());
  return read_to_end(file->get(), path.string(), max_size, deadline);
}

Result<void> write_file_atomically(const std::filesystem::path& named, std::string_view text, mode_t mode) {
  const auto path = behind_links(named);
  if (auto written = write_beside(path, text, mode, true); !written) return written;
  // The rename has to survive a power cut as well; where a folder cannot be synced, nothing more can be done.
  const Fd directory(::open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() >= 0) ::fsync(directory.get());
  return {};
}

Result<void> check_room_for_file(const std::filesystem::path& named, std::size_t size) {
  return write_beside(behind_links(named), std::string(size, '\n'), 0600, false);
}

}  // namespace cnspec
