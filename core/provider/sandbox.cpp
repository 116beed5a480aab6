// The parent's half: what a child may touch, and what became of it.

#include "provider/sandbox.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/text.hpp"
#include "provider/confine.hpp"

namespace cnspec::provider {
namespace {

namespace fs = std::filesystem;

// Left out of a folder that was declared, unless they, or what is below them, are declared themselves: the
// hashes of passwords, private keys (the user's ~/.ssh too), and devices, behind which all files lie once
// more.
constexpr const char* kGuarded[] = {"/etc/shadow",
                                    "/etc/shadow-",
                                    "/etc/gshadow",
                                    "/etc/gshadow-",
                                    "/etc/ssh/ssh_host_rsa_key",
                                    "/etc/ssh/ssh_host_ecdsa_key",
                                    "/etc/ssh/ssh_host_ed25519_key",
                                    "/dev"};

// Where a program is looked for that is declared by its name: never where a user can put one.
constexpr const char* kProgramFolders[] = {"/usr/sbin", "/usr/bin", "/sbin", "/bin"};

// Also under two names of its own, such as hard links.
bool is_same_file(const std::string& a, const std::string& b) {
  struct stat one {
  }, other{};
  return ::stat(a.c_str(), &one) == 0 && ::stat(b.c_str(), &other) == 0 && one.st_dev == other.st_dev &&
         one.st_ino == other.st_ino;
}

// Empty: the entry stands for nothing here.
std::string path_of(std::string_view entry, const fs::path& home) {
  std::string path(entry);
  if (entry.starts_with("env:")) {
    const char* value = std::getenv(path.c_str() + 4);
    path = value ? value : "";
  }
  if (path == "~" || path.starts_with("~/")) path = home.empty() ? "" : home.string() + path.substr(1);
  return path.starts_with('/') ? path : "";
}

class Folder {
 public:
  // With its owner's rights put right.
  Folder(int parent, const char* name) {
    constexpr int kFlags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = ::openat(parent, name, O_RDONLY | kFlags);
    struct stat info {};
    if (fd >= 0 && ::fstat(fd, &info) == 0 && (info.st_mode & 0700) != 0700) ::fchmod(fd, 0700);
    if (fd < 0) {
      const int at = ::openat(parent, name, O_PATH | kFlags);
      if (at < 0) return;
      const std::string path = "/proc/self/fd/" + std::to_string(at);
      ::chmod(path.c_str(), 0700);
      fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
      ::close(at);
    }
    if (fd >= 0) stream_ = ::fdopendir(fd);
    if (fd >= 0 && !stream_) ::close(fd);
  }
  ~Folder() {
    if (stream_) ::closedir(stream_);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  explicit operator bool() const { return stream_ != nullptr; }
  int fd() const { return ::dirfd(stream_); }

  // Each name that is in it.
  template <class Visit>
  void each(Visit&& visit) {
    ::rewinddir(stream_);
    while (const dirent* entry = ::readdir(stream_)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") visit(entry->d_name);
    }
  }

 private:
  DIR* stream_ = nullptr;
};

// Whether it is gone: a file, or a folder that is empty.
bool removed(int folder, const char* name) {
  return ::unlinkat(folder, name, 0) == 0 || ::unlinkat(folder, name, AT_REMOVEDIR) == 0;
}

// In a time that grows with what there is, and with few descriptors however deep it is.
class Removal {
 public:
  explicit Removal(int top) : top_(top) {}

  void empty(Folder& folder, int depth) {
    for (bool progress = true; progress;) progress = pass(folder, depth);
  }

 private:
  // Each level takes a descriptor: what lies deeper is moved up into the first folder.
  static constexpr int kDeepest = 16;

  // Whether something went.
  bool pass(Folder& folder, int depth) {
    bool progress = false;
    folder.each([&](const char* name) { progress = remove(folder.fd(), name, depth) || progress; });
    return progress;
  }

  // Whether it went from there.
  bool remove(int parent, const char* name, int depth) {
    if (removed(parent, name)) return true;
    Folder folder(parent, name);  // as writable as a folder that is moved has to be
    if (!folder) return false;
    if (depth > kDeepest) return move_up(parent, name);
    while (pass(folder, depth + 1)) {
      if (removed(parent, name)) return true;
    }
    return removed(parent, name);
  }

  bool move_up(int parent, const char* name) {
    while (true) {
      const std::string to = ".moved" + std::to_string(moved_++);
      if (::renameat2(parent, name, top_, to.c_str(), RENAME_NOREPLACE) == 0) return true;
      if (errno != EEXIST) return false;
    }
  }

  const int top_;
  std::uint64_t moved_ = 0;
};

std::string describe(const std::vector<std::string>& entries) {
  return entries.empty() ? "none" : join(entries, ", ");
}

}  // namespace

std::string kernel_name(const fs::path& path) {
  std::error_code failed;
  const fs::path real = fs::weakly_canonical(path, failed);
  std::string out = (failed ? path.lexically_normal() : real).string();
  if (out.size() > 1 && out.ends_with('/')) out.pop_back();
  return out;
}

bool lies_in(std::string_view path, std::string_view folder) {
  if (folder == "/") return path.starts_with('/');
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

Sandbox make_sandbox(const manifest::Capabilities& capabilities, const fs::path& home,
                     const std::vector<fs::path>& secrets, const fs::path& scratch) {
  Sandbox out;
  out.scratch = scratch.string();
  for (const fs::path& secret : secrets) {
    if (secret.is_absolute()) out.hidden.push_back(kernel_name(secret));
  }
  const auto ours_alone = [ours = out.hidden](const std::string& path) {
    return std::any_of(ours.begin(), ours.end(),
                       [&](const std::string& s) { return lies_in(path, s) || is_same_file(path, s); });
  };
  for (const std::string& entry : capabilities.files) {
    const std::string path = path_of(entry, home);
    if (path.empty()) continue;
    if (std::string real = kernel_name(path); !ours_alone(real)) out.read.push_back(std::move(real));
  }
  for (const char* guarded : kGuarded) out.hidden.emplace_back(guarded);
  if (!home.empty()) out.hidden.push_back(kernel_name(home / ".ssh"));
  for (const std::string& program : capabilities.exec) {
    if (program.starts_with('/')) {
      // What runs can be read.
      if (std::string real = kernel_name(program); !ours_alone(real)) out.exec.push_back(std::move(real));
      continue;
    }
    for (const char* folder : kProgramFolders) {
      const std::string path = std::string(folder) + '/' + program;
      if (::access(path.c_str(), X_OK) != 0) continue;
      out.exec.push_back(kernel_name(path));
      break;
    }
  }
  return out;
}

void remove_folder(const fs::path& folder) {
  if (::rmdir(folder.c_str()) == 0) return;  // it takes no descriptor, of which there may be none left
  if (Folder top(AT_FDCWD, folder.c_str()); top) Removal(top.fd()).empty(top, 1);
  ::rmdir(folder.c_str());
}

Result<Scratch> Scratch::make() {
  std::error_code failed;
  const fs::path parent = fs::temp_directory_path(failed);  // $TMPDIR, else /tmp
  // Links are followed before it is made and never after: somebody who may write there could put one in its
  // place, and what is below that is written and removed.
  std::string path =
      fs::path(kernel_name(failed || !parent.is_absolute() ? "/tmp" : parent)) / "cnspec-XXXXXX";
  if (!::mkdtemp(path.data())) {
    return fail("cannot make a temporary folder " + printable(path) + ": " + std::strerror(errno));
  }
  return Scratch(std::move(path));
}

Scratch::Scratch(Scratch&& other) noexcept
    : path_(std::exchange(other.path_, {})), is_ours_(std::exchange(other.is_ours_, false)) {}

Scratch& Scratch::operator=(Scratch&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(is_ours_, other.is_ours_);
  return *this;
}

Scratch::~Scratch() {
  if (is_ours_) remove_folder(path_);
}

std::uint64_t max_processor_seconds() {
  rlimit now{};
  if (::getrlimit(RLIMIT_CPU, &now) != 0) return kMaxProcessorSeconds;
  return std::min<std::uint64_t>(now.rlim_max, kMaxProcessorSeconds);
}

std::string sandbox_verdict(int status) {
  if (WIFEXITED(status)) {
    switch (static_cast<Violation>(WEXITSTATUS(status))) {
      case Violation::kNetwork:
        return "was stopped: it lacks the capability network. It used a socket, which no isolated provider "
               "may: "
               "HTTP goes through the host, to what its manifest lists under network";
      case Violation::kExec:
        return "was stopped: it lacks the capability exec. It started a process, and its manifest lists no "
               "program under exec that is here";
      case Violation::kProcess:
        return "was stopped: it reached for another process, by a signal or a look into its memory, which no "
               "capability allows";
      case Violation::kMemory:
        return "was stopped: it used more than " + std::to_string(kMaxMemory >> 20) +
               " MiB of memory, which is all a provider gets";
    }
    return {};
  }
  if (!WIFSIGNALED(status)) return {};
  switch (WTERMSIG(status)) {
    case SIGSYS:  // the kernel's own doing, where nobody is asked
      return "was stopped: it made a system call that its capabilities do not cover. It lacks exec if it "
             "started a program, which is the usual case, or network if it opened a socket";
    case SIGXCPU:
      return "was stopped: it used " + std::to_string(max_processor_seconds()) +
             " seconds of processor time, which is all a provider gets";
    case SIGXFSZ:
      return "was stopped: it wrote a file of more than " + std::to_string(kMaxFileSize >> 20) +
             " MiB, which is all a provider may";
    default: return {};
  }
}

std::string access_hint(const manifest::Capabilities& capabilities, std::string_view message) {
  const std::string lower = to_lower(message);
  constexpr const char* kSigns[] = {"permission denied",       "not permitted", "access denied", "eacces",
                                    "access is not permitted", "eperm",         "os error 13"};
  if (std::none_of(std::begin(kSigns), std::end(kSigns),
                   [&](const char* sign) { return lower.find(sign) != std::string::npos; }))
    return {};
  return "It runs isolated and may lack a capability: files to read (its manifest lists " +
         describe(capabilities.files) + "), programs to run under exec (" + describe(capabilities.exec) +
         ") or hosts for HTTP through the host under network (" + describe(capabilities.network) +
         "). It writes in its own temporary folder only";
}

int landlock_abi() {
  constexpr unsigned kVersion = 1;  // LANDLOCK_CREATE_RULESET_VERSION
  const long abi = ::syscall(kLandlockCreateRuleset, nullptr, 0, kVersion);
  return abi < 0 ? 0 : static_cast<int>(abi);
}

std::vector<std::string> sandbox_gaps() {
  std::vector<std::string> out;
  const int abi = landlock_abi();
  if (abi == 0) {
    out.emplace_back(
        "reading, writing and running files outside of what is declared, and looking into the user's other "
        "processes, their memory and environment (this kernel has no Landlock, or it is switched off)");
  }
  if (::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0) {
    out.emplace_back("sockets, new processes and signals to others (this kernel has no seccomp)");
  } else if (abi < 6) {
    out.push_back(std::string(can_ask_about_calls() ? "signals to groups of others" : "signals to others") +
                  " by a provider that may run programs (this kernel's Landlock has version " +
                  std::to_string(abi) + ", that takes 6)");
  }
  if (!can_ask_about_calls())
    out.emplace_back(
        "trying: what is refused is not named (this kernel lets nobody else answer system calls)");
  if (::geteuid() == 0) out.emplace_back("the number of threads and processes (root has no limit)");
  return out;
}

}  // namespace cnspec::provider
