// Landlock: files, and from its later versions TCP, other processes and abstract sockets.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.hpp"
#include "provider/confine.hpp"
#include "provider/sandbox.hpp"

namespace cnspec::provider {
namespace {

// <linux/landlock.h>, of which Debian 12 has the first versions only.
enum : std::uint64_t {
  kExecute = 1 << 0,
  kWriteFile = 1 << 1,
  kReadFile = 1 << 2,
  kReadDir = 1 << 3,
  kRemoveDir = 1 << 4,
  kRemoveFile = 1 << 5,
  kMakeChar = 1 << 6,
  kMakeDir = 1 << 7,
  kMakeReg = 1 << 8,
  kMakeSock = 1 << 9,
  kMakeFifo = 1 << 10,
  kMakeBlock = 1 << 11,
  kMakeSym = 1 << 12,
  kRefer = 1 << 13,     // ABI 2
  kTruncate = 1 << 14,  // ABI 3
  kIoctlDev = 1 << 15,  // ABI 5
};
constexpr std::uint64_t kRead = kReadFile | kReadDir;
constexpr std::uint64_t kOfFiles = kExecute | kWriteFile | kReadFile | kTruncate | kIoctlDev;
constexpr std::uint64_t kScratchRights = kRead | kWriteFile | kRemoveDir | kRemoveFile | kMakeDir | kMakeReg |
                                         kMakeFifo | kMakeSym | kRefer | kTruncate;
constexpr std::uint64_t kBindAndConnectTcp = 3;          // ABI 4
constexpr std::uint64_t kAbstractSocketsAndSignals = 3;  // ABI 6

struct RulesetAttributes {  // older kernels accept the longer struct when what they do not know is zero
  std::uint64_t files;
  std::uint64_t net;
  std::uint64_t scopes;
};
struct [[gnu::packed]] PathRule {
  std::uint64_t rights;
  std::int32_t fd;
};

std::uint64_t rights_of(int abi) {
  if (abi >= 5) return kIoctlDev * 2 - 1;
  if (abi >= 3) return kTruncate * 2 - 1;
  return abi >= 2 ? kRefer * 2 - 1 : kMakeSym * 2 - 1;
}

// What the loader, the C library and the language runtimes need.
constexpr const char* kSystemFiles[] = {"/lib",
                                        "/lib64",
                                        "/usr/lib",
                                        "/usr/lib64",
                                        "/usr/local/lib",
                                        "/usr/share/zoneinfo",
                                        "/etc/ld.so.cache",
                                        "/etc/localtime",
                                        "/etc/locale.alias",
                                        "/etc/ssl/openssl.cnf",
                                        "/etc/ssl/certs",
                                        "/usr/share/ca-certificates",
                                        "/etc/nsswitch.conf",
                                        "/proc/cpuinfo",
                                        "/proc/meminfo",
                                        "/proc/filesystems",
                                        "/proc/sys/kernel/ngroups_max",
                                        "/proc/sys/vm/overcommit_memory",
                                        "/sys/devices/system/cpu",
                                        "/sys/kernel/mm/transparent_hugepage",
                                        "/dev/null",
                                        "/dev/zero",
                                        "/dev/random",
                                        "/dev/urandom"};
// A program's loader has to be allowed to run like itself.
constexpr const char* kLoaders[] = {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"};

// A folder with a hidden file somewhere below is allowed entry by entry, as all folders are where one has a
// hard link; more entries are not looked at, and stay closed.
constexpr std::size_t kMaxEntries = 20000;

class Landlock {
 public:
  Landlock(int ruleset, int abi, const std::vector<std::string>& hidden)
      : ruleset_(ruleset), rights_(rights_of(abi)), hidden_(hidden) {}

  // Before something is allowed that a hidden file may lie below: a rule is one of the file, and not of the
  // name that it was made by.
  void look_for_other_names() {
    for (const std::string& path : hidden_) {
      note(path);
      const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), ::closedir);
      while (const dirent* entry = folder ? ::readdir(folder.get()) : nullptr) {
        if (entry->d_type == DT_REG) note(path + '/' + entry->d_name);
      }
    }
  }

  // What is not there, or may not be opened, needs no rule.
  void allow(const std::string& path, std::uint64_t rights, int flags = 0) {
    const Fd fd(::open(path.c_str(), O_PATH | O_CLOEXEC | flags));
    if (fd.get() >= 0) allow(fd.get(), rights);
  }

  // A folder's rights would be those of all that is below it.
  void allow_running(const std::string& path) {
    const Fd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
    struct stat info {};
    if (fd.get() >= 0 && ::fstat(fd.get(), &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 0111) != 0)
      allow(fd.get(), kReadFile | kExecute);
  }

  void allow(int fd, std::uint64_t rights) {
    struct stat info {};
    if (::fstat(fd, &info) != 0) return;
    if (!S_ISDIR(info.st_mode)) rights &= kOfFiles;
    const PathRule rule{rights & rights_, fd};
    // A memfd lies on no file system that could be ruled over (EBADFD), and is free anyway.
    if (rule.rights != 0 && ::syscall(kLandlockAddRule, ruleset_, 1, &rule, 0) != 0 && errno != EBADFD)
      error_ = errno;
  }

  // Without what is hidden below it. What is new in a folder above something hidden is not readable either,
  // nor are symbolic links there followed, which may lead to it.
  void allow_reading(const std::string& path) {
    if (!has_other_names_ && std::none_of(hidden_.begin(), hidden_.end(), [&](const std::string& h) {
          return h != path && lies_in(h, path);
        }))
      return allow(path, kRead);
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), ::closedir);
    if (!folder && errno == ENOTDIR) return allow(path, kRead);
    allow(path, kReadDir);  // the names alone
    while (const dirent* entry = folder ? ::readdir(folder.get()) : nullptr) {
      const std::string_view name = entry->d_name;
      if (name == "." || name == ".." || entry->d_type == DT_LNK || ++entries_ > kMaxEntries) continue;
      const std::string child = (path == "/" ? "" : path) + '/' + std::string(name);
      if (std::find(hidden_.begin(), hidden_.end(), child) != hidden_.end()) continue;
      allow_reading_entry(child);
    }
  }

  int error() const { return error_; }

 private:
  void allow_reading_entry(const std::string& path) {
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0 || S_ISLNK(info.st_mode)) return;
    if (std::find(files_.begin(), files_.end(), File{info.st_dev, info.st_ino}) != files_.end()) return;
    S_ISDIR(info.st_mode) ? allow_reading(path) : allow(path, kRead);
  }

  void note(const std::string& hidden) {
    struct stat info {};
    if (::stat(hidden.c_str(), &info) != 0) return;
    files_.emplace_back(info.st_dev, info.st_ino);
    if (S_ISREG(info.st_mode) && info.st_nlink > 1) has_other_names_ = true;
  }

  const int ruleset_;
  const std::uint64_t rights_;
  const std::vector<std::string>& hidden_;
  using File = std::pair<dev_t, ino_t>;
  std::vector<File> files_;       // that are hidden
  bool has_other_names_ = false;  // one of them, wherever on the machine
  std::size_t entries_ = 0;
  int error_ = 0;
};

template <std::size_t size>
std::vector<std::string> real_names(const char* const (&list)[size]) {
  std::vector<std::string> out;
  for (const char* one : list) out.push_back(kernel_name(one));
  return out;
}

// The longest of these that it lies in; 0: none.
std::size_t reach(const std::vector<std::string>& list, std::string_view path) {
  std::size_t out = 0;
  for (const std::string& one : list) {
    if (lies_in(path, one)) out = std::max(out, one.size());
  }
  return out;
}

// By the name as it stands, or else by that which a link leads to: which of them is one depends on the
// distribution, and finding out takes longer than all else that starting a provider looks at.
bool is_of_system(std::string_view path) {
  const auto has = [&](const auto& list) {
    return std::any_of(std::begin(list), std::end(list), [&](const auto& one) { return lies_in(path, one); });
  };
  if (has(kSystemFiles)) return true;
  static const std::vector<std::string> real = real_names(kSystemFiles);
  return has(real);
}

bool is_loader(std::string_view path) {
  static const std::vector<std::string> real = real_names(kLoaders);
  return std::find(real.begin(), real.end(), path) != real.end();
}

}  // namespace

bool allows(const Sandbox& sandbox, std::string_view path, Access access) {
  const bool in_scratch = !sandbox.scratch.empty() && lies_in(path, sandbox.scratch);
  const bool is_program = std::find(sandbox.exec.begin(), sandbox.exec.end(), path) != sandbox.exec.end() ||
                          (!sandbox.exec.empty() && is_loader(path));
  if (access == Access::kWrite) return in_scratch || path == "/dev/null";
  if (access == Access::kRun) return is_program;
  // The names of what is hidden are not.
  const std::size_t hidden = access == Access::kList ? 0 : reach(sandbox.hidden, path);
  const std::size_t declared = reach(sandbox.read, path);
  return in_scratch || is_program || (declared > 0 && declared >= hidden) || is_of_system(path);
}

Result<void> restrict_files(const Sandbox& sandbox, int library, int abi) {
  RulesetAttributes attributes{rights_of(abi), abi >= 4 ? kBindAndConnectTcp : 0,
                               abi >= 6 ? kAbstractSocketsAndSignals : 0};
  const Fd ruleset(static_cast<int>(::syscall(kLandlockCreateRuleset, &attributes, sizeof attributes, 0)));
  if (ruleset.get() < 0) return fail(cannot_confine("Landlock's rules"));
  Landlock rules(ruleset.get(), abi, sandbox.hidden);
  for (const char* path : kSystemFiles) rules.allow(path, kRead);
  rules.allow("/proc/self", kRead);
  rules.allow("/dev/null", kRead | kWriteFile);
  rules.allow(library, kReadFile);
  if (!sandbox.read.empty()) rules.look_for_other_names();
  for (const std::string& path : sandbox.read) rules.allow_reading(path);
  for (const std::string& path : sandbox.exec) rules.allow_running(path);
  if (!sandbox.exec.empty()) {
    for (const char* path : kLoaders) rules.allow(path, kReadFile | kExecute);
  }
  if (!sandbox.scratch.empty()) rules.allow(sandbox.scratch, kScratchRights, O_NOFOLLOW);
  if (rules.error() != 0) {
    errno = rules.error();
    return fail(cannot_confine("a rule of Landlock"));
  }
  if (::syscall(kLandlockRestrictSelf, ruleset.get(), 0) != 0) return fail(cannot_confine("Landlock"));
  return {};
}

}  // namespace cnspec::provider
