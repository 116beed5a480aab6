#include "provider/refusals.hpp"

#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
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
#include <utility>

#include "base/text.hpp"
#include "provider/confine.hpp"
#include "provider/seccomp_calls.hpp"

namespace cnspec::provider {
namespace {

constexpr std::size_t kMaxLines = 100;   // of each provider's process
constexpr std::size_t kMaxName = 1024;   // of a file, in such a line
constexpr int kToSayMilliseconds = 500;  // while nobody reads what the provider writes
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

const char* doing(Access access) {
  switch (access) {
    case Access::kRead:
    case Access::kList: return "reading ";
    case Access::kWrite: return "writing ";
    case Access::kRun: break;
  }
  return "running ";
}

const char* why_not(Access access, std::string_view path) {
  if (access == Access::kWrite) return "it writes in its own temporary folder only";
  if (access == Access::kRun) return "the capability exec does not name it";
  const bool is_process = path.starts_with("/proc/") && path.size() > 6 && path[6] >= '1' && path[6] <= '9';
  return is_process ? kOtherProcesses : "the capability files does not name it";
}

// Where it starts from when it is relative.
std::string whole_name(pid_t task, const FileCall& how, const seccomp_data& call, std::string name) {
  if (name.empty() || name.starts_with('/')) return name;
  const int folder =
      how.folder == kNoFolder ? AT_FDCWD : static_cast<int>(call.args[static_cast<unsigned>(how.folder)]);
  return proc(task, folder == AT_FDCWD ? "/cwd/" : "/fd/" + std::to_string(folder) + "/") + name;
}

}  // namespace

Result<void> send_descriptor(int socket, int fd, std::string_view words) {
  iovec part{const_cast<char*>(words.data()), words.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fd)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
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
  iovec part{words.data(), words.size()};
  int fd = -1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof fd)> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) < 0) return Fd();
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header && header->cmsg_type == SCM_RIGHTS) std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return Fd(fd);
}

Refusals::Refusals(Fd listener, Sandbox sandbox, int library, pid_t provider, Fd report)
    : listener_(std::move(listener)),
      sandbox_(std::move(sandbox)),
      library_(find(::getpid(), "/proc/self/fd/" + std::to_string(library), true)),
      provider_(provider),
      report_(std::move(report)),
      sees_cuts_(landlock_abi() >= 3) {
  // The provider waits while we run, and we while it does.
  ::ioctl(listener_.get(), kWakeOnThisProcessor, 1);
}

std::optional<int> Refusals::answer() {
  Grown<seccomp_notif> call;
  if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) return std::nullopt;  // it is gone
  const seccomp_notif& asked = call.value;
  const auto task = static_cast<pid_t>(asked.pid);
  const Answer answer = judge(task, asked.data);
  // Else it ended meanwhile, and what was looked at may have been another's.
  if (::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ID_VALID, &asked.id) != 0) return std::nullopt;
  if (!answer.line.empty()) say(answer.line);
  if (answer.end) return answer.end;
  Grown<seccomp_notif_resp> response;
  response.value.id = asked.id;
  response.value.error = -answer.error;
  response.value.flags = answer.error == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
  ::ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_SEND, &response);
  return std::nullopt;
}

Refusals::Answer Refusals::judge(pid_t task, const seccomp_data& call) const {
  const Refused* one = refused(call.nr);
  const bool of_files =
      !one || (one->number == SCMP_SYS(truncate) && sees_cuts_) ||
      (one->kind == Kind::kExec && one->number != SCMP_SYS(clone) && !sandbox_.exec.empty());
  if (of_files) return judge_files(task, call);
  const bool by_accident = is_for_names(call);
  if (!one->stops || by_accident)
    return {by_accident ? EACCES : EPERM, std::string(kSandboxLine) + one->name + ": " + why(one->kind)};
  return {EPERM, std::string("sandbox: stopped at ") + one->name + ": " + why(one->kind),
          W_EXITCODE(static_cast<int>(violation(one->kind)), 0)};
}

Refusals::Answer Refusals::judge_files(pid_t task, const seccomp_data& call) const {
  const FileCall* how = std::find_if(std::begin(kFileCalls), std::end(kFileCalls),
                                     [&](const FileCall& one) { return one.number == call.nr; });
  if (how == std::end(kFileCalls)) return {EPERM};
  const std::uint64_t after = call.args[static_cast<unsigned>(how->path) + 1];
  Access access = how->access;
  Existing existing = how->existing;
  bool follows = existing == Existing::kOpen || call.nr == SCMP_SYS(truncate) || access == Access::kRun;
  if (existing == Existing::kOpen) {
    std::uint64_t flags = after;
    if (call.nr == SCMP_SYS(creat)) flags = O_CREAT | O_WRONLY | O_TRUNC;
    if (call.nr == SCMP_SYS(openat2) && !read_memory(task, after, &flags, sizeof flags)) return {};
    if (!sees_cuts_ && (flags & kCut) == kCutUnseen) return {EPERM};
    if ((flags & O_PATH) != 0) return {};
    const bool cuts_or_makes = (flags & O_TRUNC) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    if ((flags & O_ACCMODE) != O_RDONLY || cuts_or_makes) access = Access::kWrite;
    existing = (flags & O_CREAT) != 0 ? Existing::kOpen : Existing::kMust;
    follows = (flags & O_NOFOLLOW) == 0;
  }
  const std::string name =
      whole_name(task, *how, call, read_string(task, call.args[static_cast<unsigned>(how->path)]));
  if (name.empty()) return {};  // the kernel's to refuse
  File file = find(task, name, follows);
  const bool is_there = !file.path.empty();
  if (is_there ? existing == Existing::kMustNot : existing == Existing::kMust) return {};
  if (!is_there) {
    std::string_view trimmed = name;
    while (trimmed.ends_with('/')) trimmed.remove_suffix(1);
    const auto slash = trimmed.rfind('/');
    if (slash == std::string_view::npos) return {};
    file = find(task, std::string(trimmed.substr(0, slash + 1)), true);
    if (file.path.empty()) return {};
    file.path += std::string(file.path.ends_with('/') ? "" : "/") + std::string(trimmed.substr(slash + 1));
    access = Access::kWrite;
  }
  if (access == Access::kRead && file.is_folder) access = Access::kList;
  const bool is_library = file.device == library_.device && file.number == library_.number;
  const bool reads = access == Access::kRead || access == Access::kList;
  if (reads && (is_library || is_its_own(task, name, file.path))) return {};
  if (allows(sandbox_, file.path, access) && !(reads && is_hidden(file))) return {};
  return {EACCES, std::string(kSandboxLine) + doing(access) + printable(file.path.substr(0, kMaxName)) +
                      ": " + why_not(access, file.path)};
}

Refusals::File Refusals::find(pid_t task, const std::string& path, bool follows) {
  // Which would be ours.
  std::string name = path;
  for (const char* self : {"/proc/self", "/proc/thread-self"}) {
    if (lies_in(path, self)) name = proc(task, path.substr(std::strlen(self)));
  }
  const Fd file(::open(name.c_str(), O_PATH | O_CLOEXEC | (follows ? 0 : O_NOFOLLOW)));
  struct stat info {};
  // Nor what has no name any more, or never had one, such as a pipe.
  if (!file || ::fstat(file.get(), &info) != 0 || info.st_nlink == 0) return {};
  std::array<char, PATH_MAX> real;
  const ssize_t size =
      ::readlink(("/proc/self/fd/" + std::to_string(file.get())).c_str(), real.data(), real.size());
  if (size <= 0 || real[0] != '/') return {};
  return {std::string(real.data(), static_cast<std::size_t>(size)), info.st_dev, info.st_ino,
          S_ISDIR(info.st_mode), S_ISREG(info.st_mode) && info.st_nlink > 1};
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

// Its own /proc, also where a link such as /dev/fd or /etc/mtab led through "self", which is us here.
bool Refusals::is_its_own(pid_t task, const std::string& name, const std::string& path) const {
  const std::string ours = proc(::getpid(), "");
  return lies_in(path, proc(provider_, "")) || lies_in(path, proc(task, "")) ||
         (lies_in(path, ours) && !lies_in(name, ours));
}

void Refusals::say(const std::string& line) {
  if (said_.size() >= kMaxLines || !said_.insert(line).second) return;
  pollfd ready{report_.get(), POLLOUT, 0};
  if (::poll(&ready, 1, kToSayMilliseconds) <= 0) return;
  const std::string whole = (said_.size() == kMaxLines ? line + " (more is not told)" : line) + '\n';
  if (::write(report_.get(), whole.data(), whole.size()) < 0) return;
}

}  // namespace cnspec::provider
