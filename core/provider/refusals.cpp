#include "provider/refusals.hpp"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/text.hpp"
#include "provider/confine.hpp"
#include "provider/seccomp_calls.hpp"
#include "provider/usage.hpp"

namespace cnspec::provider {
namespace {

constexpr std::size_t kMaxLines = 100;                                 // of each provider's process
constexpr std::size_t kMaxName = 1024;                                 // of a file, in such a line
constexpr unsigned long kWakeOnThisProcessor = SECCOMP_IOW(4, __u64);  // Linux 6.6
constexpr char kOtherProcesses[] = "no capability reaches other processes";

// The kernel's structures may grow: it writes what it knows.
template <class T>
union Grown {
  T value;
  std::array<char, 512> room{};
};

const Refused* refused(int number) {
  for (const auto& list : {std::pair(std::begin(kRefused), std::end(kRefused)),
                           std::pair(std::begin(kProcesses), std::end(kProcesses)),
                           std::pair(std::begin(kSome), std::end(kSome))}) {
    for (const Refused* r = list.first; r != list.second; ++r) {
      if (r->number == number) return r;
    }
  }
  return nullptr;
}

const char* why(Kind kind) {
  switch (kind) {
    case Kind::kNetwork: return "the capability network is lacking (and gives HTTP through the host alone)";
    case Kind::kExec: return "the capability exec is lacking";
    case Kind::kProcess: return kOtherProcesses;
    case Kind::kMemory: return "no capability gives memory that no limit counts";
    case Kind::kAttributes: return "no capability changes files";
    case Kind::kAdmin: break;
  }
  return "no capability allows it";
}

Violation violation(Kind kind) {
  switch (kind) {
    case Kind::kNetwork: return Violation::kNetwork;
    case Kind::kExec: return Violation::kExec;
    default: return Violation::kProcess;
  }
}

// The C library by itself asks nscd, the kernel and name servers, for a user's name or a host's address, and
// makes do when it cannot. Nobody is stopped for that.
bool is_for_names(const seccomp_data& call) {
  if (call.nr != SCMP_SYS(socket)) return false;
  const int family = static_cast<int>(call.args[0]);
  const bool datagrams = (call.args[1] & 0xf) == SOCK_DGRAM;
  return family == AF_UNIX || family == AF_NETLINK ||
         ((family == AF_INET || family == AF_INET6) && datagrams);
}

// Of another process. False: it is gone, or there is nothing.
bool read_memory(pid_t task, std::uint64_t address, void* to, std::size_t size) {
  iovec here{to, size}, there{reinterpret_cast<void*>(address), size};
  return ::process_vm_readv(task, &here, 1, &there, 1, 0) == static_cast<ssize_t>(size);
}

// Page by page, since what follows a string need not be there. Empty: it cannot be read, or is too long.
std::string read_string(pid_t task, std::uint64_t address) {
  constexpr std::uint64_t kPage = 4096;
  std::string out;
  std::array<char, 256> part;
  while (out.size() < PATH_MAX) {
    const std::uint64_t at = address + out.size();
    const auto size = std::min<std::uint64_t>(part.size(), kPage - at % kPage);
    if (!read_memory(task, at, part.data(), size)) return {};
    const char* end = std::find(part.data(), part.data() + size, '\0');
    out.append(std::string_view(part.data(), static_cast<std::size_t>(end - part.data())));
    if (end != part.data() + size) return out;
  }
  return {};
}

std::string proc(pid_t task, const std::string& what) { return "/proc/" + std::to_string(task) + what; }

// Whether this process or thread belongs to the same process as the task.
bool is_itself(pid_t task, pid_t other) {
  return other > 0 && ::access(proc(task, "/task/" + std::to_string(other)).c_str(), F_OK) == 0;
}

// Whether a process is below this one, as all are that the provider started.
bool is_below_us(pid_t pid) {
  const std::vector<Process> all = descendants();
  return std::any_of(all.begin(), all.end(), [&](const Process& one) { return one.pid == pid; });
}

// Signals to whom they may go: itself, and the programs that it started. A group is not looked into.
bool is_for_its_own(pid_t task, const seccomp_data& call, bool may_exec) {
  const auto to = static_cast<pid_t>(call.args[0]);
  switch (call.nr) {
    case SCMP_SYS(kill):
    case SCMP_SYS(tgkill):
    case SCMP_SYS(rt_sigqueueinfo):
    case SCMP_SYS(rt_tgsigqueueinfo):
      return is_itself(task, to) || (may_exec && (to <= 0 || is_below_us(to)));
    case SCMP_SYS(tkill): return is_itself(task, to);
    default: return false;
  }
}

// What libraries try by themselves, to no avail and nobody's harm: worth no word.
bool is_idle(std::string_view path) {
  return path == "/dev/tty" || lies_in(path, "/sys/fs/cgroup") ||
         (path.starts_with("/proc/") && path.ends_with("/comm"));
}

std::string doing(Access access) {
  switch (access) {
    case Access::kRead:
    case Access::kList: return "reading ";
    case Access::kWrite: return "writing ";
    case Access::kRun: break;
  }
  return "running ";
}

// What it is of a process: "mem" of /proc/1/mem, nothing of /proc/1 itself. None: it belongs to no process.
std::optional<std::string_view> of_a_process(std::string_view path) {
  constexpr std::string_view kProc = "/proc/";
  if (!path.starts_with(kProc)) return std::nullopt;
  const std::string_view inside = path.substr(kProc.size());
  const auto slash = std::min(inside.find('/'), inside.size());
  if (slash == 0 || inside.substr(0, slash).find_first_not_of("0123456789") != inside.npos)
    return std::nullopt;
  return inside.substr(std::min(slash + 1, inside.size()));
}

const char* why_not(Access access, std::string_view path) {
  if (access == Access::kWrite) return "it writes in its own temporary folder only";
  if (access == Access::kRun) return "the capability exec does not name it";
  return of_a_process(path) ? kOtherProcesses : "the capability files does not name it";
}

// A part, and room for a descriptor beside it.
struct Message {
  Message(char* words, std::size_t size) : part{words, size} {
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
  }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  msghdr message{};
  iovec part;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
};

// Where it starts from when it is relative.
std::string whole_name(pid_t task, const FileCall& how, const seccomp_data& call, std::string name) {
  if (name.empty() || name.starts_with('/')) return name;
  const int folder =
      how.folder == kNoFolder ? AT_FDCWD : static_cast<int>(call.args[static_cast<unsigned>(how.folder)]);
  return proc(task, folder == AT_FDCWD ? "/cwd/" : "/fd/" + std::to_string(folder) + "/") + name;
}

}  // namespace

Result<void> send_descriptor(int socket, int fd, std::string_view words) {
  Message both(const_cast<char*>(words.data()), words.size());
  msghdr& message = both.message;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  if (::sendmsg(socket, &message, MSG_NOSIGNAL) < 0) return fail(std::strerror(errno));
  return {};
}

Fd receive_descriptor(int socket, std::string& words) {
  const ssize_t size = ::recv(socket, nullptr, 0, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
  if (size < 0) return Fd();
  words.resize(static_cast<std::size_t>(size));
  Message both(words.data(), words.size());
  msghdr& message = both.message;
  int fd = -1;
  if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) < 0) return Fd();
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header && header->cmsg_type == SCM_RIGHTS) std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return Fd(fd);
}

Refusals::Refusals(Fd listener, Sandbox sandbox, int library, pid_t provider,
                   std::function<void(std::string)> say)
    : listener_(std::move(listener)),
      sandbox_(std::move(sandbox)),
      library_(find(::getpid(), "/proc/self/fd/" + std::to_string(library), true)),
      provider_(provider),
      say_(std::move(say)),
      sees_cuts_(landlock_abi() >= 3) {
  // The provider waits while we run, and we while it does.
  ::ioctl(listener_.get(), kWakeOnThisProcessor, 1);
}

std::optional<int> Refusals::answer() {
  Grown<seccomp_notif> call;
  if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) return std::nullopt;  // it is gone
  const seccomp_notif& asked = call.value;
  const Answer answer = judge(static_cast<pid_t>(asked.pid), asked.data);
  if (answer.end) {
    say_(answer.line);  // as much as was said before
    return answer.end;
  }
  // Else it ended meanwhile, and what was looked at may have been another's.
  if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &asked.id) != 0) return std::nullopt;
  if (!answer.line.empty()) tell(answer.line);
  Grown<seccomp_notif_resp> response;
  response.value.id = asked.id;
  response.value.error = -answer.error;
  response.value.flags = answer.error == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
  ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);
  return std::nullopt;
}

Refusals::Answer Refusals::judge(pid_t task, const seccomp_data& call) const {
  const bool may_exec = !sandbox_.exec.empty();
  const Refused* one = refused(call.nr);
  const bool of_files = !one || one->number == SCMP_SYS(truncate) ||
                        (one->kind == Kind::kExec && one->number != SCMP_SYS(clone) && may_exec);
  if (of_files) return judge_files(task, call);
  if (is_for_its_own(task, call, may_exec)) return {};
  const std::string name = one->name;
  const auto is_given = [&](std::uint64_t flag) { return (call.args[0] & flag) != 0; };
  if (call.nr == SCMP_SYS(clone) &&
      std::any_of(std::begin(kNewNamespaces), std::end(kNewNamespaces), is_given))
    return {EPERM, kSandboxLine + name + ": " + why(Kind::kAdmin)};
  const bool by_accident = is_for_names(call);
  if (!one->stops || by_accident)
    return {by_accident ? EACCES : EPERM, kSandboxLine + name + ": " + why(one->kind)};
  const char* by = is_itself(task, provider_) ? "" : " in a program that it ran";
  return {EPERM, "sandbox: stopped at " + name + by + ": " + why(one->kind),
          W_EXITCODE(static_cast<int>(violation(one->kind)), 0)};
}

Refusals::Answer Refusals::judge_files(pid_t task, const seccomp_data& call) const {
  for (const FileCall& how : kFileCalls) {
    if (how.number != call.nr) continue;
    if (Answer answer = judge_file(task, call, how); answer.error != 0) return answer;
  }
  if (!is_unseen_cut(call)) return {};
  return {EPERM, std::string(kSandboxLine) + "cutting a file: this kernel's Landlock does not see it"};
}

// Refused whatever the name says, which may be another one by the time that the kernel looks.
bool Refusals::is_unseen_cut(const seccomp_data& call) const {
  if (sees_cuts_) return false;
  if (call.nr == SCMP_SYS(truncate)) return true;
  const bool opens = call.nr == SCMP_SYS(open) || call.nr == SCMP_SYS(openat);
  return opens && (call.args[call.nr == SCMP_SYS(open) ? 1 : 2] & kCut) == kCutUnseen;
}

// What the kernel refuses by itself is let go on to it, so that the provider hears the right error.
Refusals::Answer Refusals::judge_file(pid_t task, const seccomp_data& call, const FileCall& how) const {
  Access access = how.access;
  Existing existing = how.existing;
  std::uint64_t flags = 0;
  bool follows = call.nr == SCMP_SYS(truncate) || access == Access::kRun;
  if (existing == Existing::kOpen) {
    flags = call.nr == SCMP_SYS(creat) ? O_CREAT | O_WRONLY | O_TRUNC
                                       : call.args[static_cast<unsigned>(how.path) + 1];
    if ((flags & O_PATH) != 0) return {};
    if ((flags & O_ACCMODE) == kNeither)
      return {EPERM,
              std::string(kSandboxLine) + "open for neither reading nor writing: " + why(Kind::kAdmin)};
    const bool cuts_or_makes = (flags & O_TRUNC) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    if ((flags & O_ACCMODE) != O_RDONLY || cuts_or_makes) access = Access::kWrite;
    existing = (flags & O_CREAT) == 0  ? Existing::kMust
               : (flags & O_EXCL) != 0 ? Existing::kMustNot
                                       : Existing::kMay;
    follows = (flags & O_NOFOLLOW) == 0 && existing != Existing::kMustNot;
  }
  const std::string name =
      whole_name(task, how, call, read_string(task, call.args[static_cast<unsigned>(how.path)]));
  if (name.empty()) return {};
  File file = find(task, name, follows);
  if (file.is_there ? existing == Existing::kMustNot : existing == Existing::kMust) return {};
  const bool opens = how.existing == Existing::kOpen;
  const bool is_no_folder = (flags & O_DIRECTORY) != 0 && file.kind != S_IFDIR;
  if (file.is_there && opens && (file.kind == S_IFLNK || is_no_folder)) return {};
  if (!file.is_there) {
    file = find_new(task, name);
    access = Access::kWrite;
  }
  if (file.path.empty()) return {};
  if (access == Access::kRead && file.kind == S_IFDIR) access = Access::kList;
  const auto refuse = [&](const char* reason) -> Answer {
    if (is_idle(file.path)) return {EACCES};
    const std::string shown = printable(file.path.substr(0, kMaxName));
    return {EACCES, kSandboxLine + (doing(access) + shown) + ": " + reason};
  };
  const bool reads = access == Access::kRead || access == Access::kList;
  const bool is_library = file.device == library_.device && file.number == library_.number;
  if (reads && (is_library || is_its_own(task, name, file.path))) return {};
  if (reads && is_others(file.path)) return refuse(kOtherProcesses);
  if (allows(sandbox_, file.path, access) && !(reads && is_hidden(file))) return {};
  return refuse(why_not(access, file.path));
}

Refusals::File Refusals::find(pid_t task, const std::string& path, bool follows) {
  // Which would be ours.
  std::string name = path;
  for (const char* self : {"/proc/self", "/proc/thread-self"}) {
    if (lies_in(path, self)) name = proc(task, path.substr(std::strlen(self)));
  }
  const Fd file(::open(name.c_str(), O_PATH | O_CLOEXEC | (follows ? 0 : O_NOFOLLOW)));
  // The user may not even look, and so the provider may not either: what is known is the name.
  if (!file && errno == EACCES) return {true, std::filesystem::path(path).lexically_normal().string()};
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0) return {};
  File out{
      true, {}, info.st_dev, info.st_ino, info.st_mode & S_IFMT, S_ISREG(info.st_mode) && info.st_nlink > 1};
  std::array<char, PATH_MAX> real;
  const ssize_t size =
      ::readlink(("/proc/self/fd/" + std::to_string(file.get())).c_str(), real.data(), real.size());
  if (info.st_nlink > 0 && size > 0 && real[0] == '/')
    out.path.assign(real.data(), static_cast<std::size_t>(size));
  return out;
}

Refusals::File Refusals::find_new(pid_t task, std::string path) {
  constexpr int kMostLinks = 8;
  for (int i = 0; i < kMostLinks; ++i) {
    while (path.size() > 1 && path.ends_with('/')) path.pop_back();
    const auto slash = path.rfind('/');
    if (slash == path.npos) return {};
    const std::string name = path.substr(slash + 1);
    File folder = find(task, path.substr(0, slash + 1), true);
    if (folder.path.empty()) return {};
    folder.path += std::string(folder.path.ends_with('/') ? "" : "/") + name;
    // A link to what is not there yet.
    std::array<char, PATH_MAX> target;
    const ssize_t size = ::readlink(folder.path.c_str(), target.data(), target.size());
    if (size <= 0) return {false, folder.path};
    const std::string to(target.data(), static_cast<std::size_t>(size));
    path = to.starts_with('/') ? to : folder.path.substr(0, folder.path.rfind('/') + 1) + to;
  }
  return {};
}

// By another name of its own.
bool Refusals::is_hidden(const File& file) const {
  return file.has_names &&
         std::any_of(sandbox_.hidden.begin(), sandbox_.hidden.end(), [&](const auto& hidden) {
           struct stat info {};
           return ::stat(hidden.c_str(), &info) == 0 && info.st_dev == file.device &&
                  info.st_ino == file.number &&
                  std::find(sandbox_.read.begin(), sandbox_.read.end(), hidden) == sandbox_.read.end();
         });
}

// Its own /proc, also where the name led through "self", which is us here.
bool Refusals::is_its_own(pid_t task, const std::string& name, const std::string& path) const {
  if (lies_in(path, proc(provider_, "")) || lies_in(path, proc(task, ""))) return true;
  if (!lies_in(path, proc(::getpid(), ""))) return false;
  bool says_self = lies_in(name, "/etc/mtab");
  for (const char* link : {"/dev/fd", "/dev/stdin", "/dev/stdout", "/dev/stderr"})
    says_self = says_self || lies_in(name, link);
  for (const auto& part : std::filesystem::path(name)) {
    if (part == std::to_string(::getpid())) return false;
    says_self = says_self || part == "self" || part == "thread-self";
  }
  return says_self;
}

// Of other processes what only their debugger may see, whatever is declared: Landlock sees to that.
bool Refusals::is_others(const std::string& path) const {
  const auto inside = of_a_process(path);
  if (!inside) return false;
  std::string_view entry = *inside;
  if (entry.starts_with("task/")) {
    entry.remove_prefix(5);
    entry.remove_prefix(std::min(entry.find('/') + 1, entry.size()));
  }
  entry = entry.substr(0, entry.find('/'));
  constexpr std::string_view kGuarded[] = {"auxv",      "environ",      "fd",    "fdinfo",    "io",
                                           "map_files", "maps",         "mem",   "numa_maps", "pagemap",
                                           "smaps",     "smaps_rollup", "stack", "syscall"};
  return std::find(std::begin(kGuarded), std::end(kGuarded), entry) != std::end(kGuarded);
}

void Refusals::tell(const std::string& line) {
  if (said_.size() >= kMaxLines || !said_.insert(line).second) return;
  say_(said_.size() == kMaxLines ? line + " (more is not told)" : line);
}

}  // namespace cnspec::provider
