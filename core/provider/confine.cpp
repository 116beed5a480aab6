// The child's half: it confines itself, for good. Linux only.
//
// The filter of system calls lists what is refused, not what is allowed: a provider may be written in any
// language, and each runtime has wishes of its own. Calls newer than this program are refused unseen, since a
// runtime that finds a call missing does without.

#include <dirent.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <linux/fsverity.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cinttypes>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/fd.hpp"
#include "base/text.hpp"
#include "provider/confine.hpp"
#include "provider/sandbox.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CNSPEC_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CNSPEC_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
extern "C" void __lsan_do_leak_check(void);
#endif

namespace cnspec::provider {
namespace {

Error failed(const std::string& what) {
  return Error("cannot confine the provider: " + what + ": " + std::strerror(errno));
}

// ---- Landlock: files, and other processes ----

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
                                        "/etc/nsswitch.conf",
                                        "/proc/self",
                                        "/proc/cpuinfo",
                                        "/proc/meminfo",
                                        "/proc/sys/vm/overcommit_memory",
                                        "/sys/devices/system/cpu",
                                        "/sys/kernel/mm/transparent_hugepage",
                                        "/dev/null",
                                        "/dev/zero",
                                        "/dev/random",
                                        "/dev/urandom"};
// A program's loader has to be allowed to run like itself.
constexpr const char* kLoaders[] = {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"};

// A folder with a hidden file somewhere below is allowed entry by entry; more of them are not looked at.
constexpr std::size_t kMaxEntries = 20000;

class Landlock {
 public:
  Landlock(int ruleset, int abi, const std::vector<std::string>& hidden)
      : ruleset_(ruleset), rights_(rights_of(abi)), hidden_(hidden) {}

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
    if (std::none_of(hidden_.begin(), hidden_.end(),
                     [&](const std::string& h) { return h != path && lies_in(h, path); }))
      return allow(path, kRead);
    allow(path, kReadDir);  // the names alone
    const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), ::closedir);
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
    S_ISDIR(info.st_mode) ? allow_reading(path) : allow(path, kRead);
  }

  const int ruleset_;
  const std::uint64_t rights_;
  const std::vector<std::string>& hidden_;
  std::size_t entries_ = 0;
  int error_ = 0;
};

Result<void> restrict_files(const Sandbox& sandbox, int library, int abi) {
  RulesetAttributes attributes{rights_of(abi), abi >= 4 ? kBindAndConnectTcp : 0,
                               abi >= 6 ? kAbstractSocketsAndSignals : 0};
  const Fd ruleset(static_cast<int>(::syscall(kLandlockCreateRuleset, &attributes, sizeof attributes, 0)));
  if (ruleset.get() < 0) return fail(failed("Landlock's rules"));
  Landlock rules(ruleset.get(), abi, sandbox.hidden);
  for (const char* path : kSystemFiles) rules.allow(path, kRead);
  rules.allow("/dev/null", kRead | kWriteFile);
  rules.allow(library, kReadFile);
  for (const std::string& path : sandbox.read) rules.allow_reading(path);
  for (const std::string& path : sandbox.exec) rules.allow_running(path);
  if (!sandbox.exec.empty()) {
    for (const char* path : kLoaders) rules.allow(path, kReadFile | kExecute);
  }
  if (!sandbox.scratch.empty()) rules.allow(sandbox.scratch, kScratchRights, O_NOFOLLOW);
  if (rules.error() != 0) {
    errno = rules.error();
    return fail(failed("a rule of Landlock"));
  }
  if (::syscall(kLandlockRestrictSelf, ruleset.get(), 0) != 0) return fail(failed("Landlock"));
  return {};
}

// ---- Capabilities of root: only reading what it is allowed to read stays ----

Result<void> drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return fail(failed("capget"));
  const std::uint32_t kept = sets[0].effective & (1u << CAP_DAC_READ_SEARCH);
  sets = {};
  sets[0].effective = sets[0].permitted = kept;
  if (::syscall(SYS_capset, &header, sets.data()) != 0) return fail(failed("capset"));
  return {};
}

// ---- Limits ----

Result<void> limit(decltype(RLIMIT_CORE) what, std::uint64_t to, std::uint64_t hard, const char* name) {
  rlimit now{};
  if (::getrlimit(what, &now) != 0) return fail(failed(name));
  now.rlim_max = std::min<rlim_t>(now.rlim_max, hard);
  now.rlim_cur = std::min<rlim_t>(now.rlim_max, to);
  if (::setrlimit(what, &now) != 0) return fail(failed(name));
  return {};
}

// The first to go when the machine has no memory left, as a program may that it runs: only the provider's
// process is looked at by the keeper. A kernel without it is no reason not to run.
void go_first() {
  if (std::FILE* score = std::fopen("/proc/self/oom_score_adj", "we")) {
    std::fputs("1000", score);
    std::fclose(score);
  }
}

Result<void> set_limits() {
  go_first();
  // The kernel counts all tasks of the user, of which at most the machine's are there already.
  std::uint64_t tasks = 0;
  if (std::FILE* load = std::fopen("/proc/loadavg", "re")) {
    if (std::fscanf(load, "%*s %*s %*s %*d/%" SCNu64, &tasks) != 1) tasks = 0;
    std::fclose(load);
  }
  // One byte: at none, the kernel still hands a core to a program that /proc/sys/kernel/core_pattern names,
  // and it holds the secrets of connections.
  Result<void> done = limit(RLIMIT_CORE, 1, 1, "the limit on core files");
  const auto then = [&done](decltype(RLIMIT_CORE) what, std::uint64_t to, std::uint64_t hard,
                            const char* name) {
    if (done) done = limit(what, to, hard, name);
  };
#ifndef CNSPEC_SANITIZED  // whose shadow memory is counted
  then(RLIMIT_DATA, kMaxMemory, kMaxMemory, "the limit on memory");
#endif
  then(RLIMIT_CPU, kMaxProcessorSeconds, kMaxProcessorSeconds + 5, "the limit on processor time");
  then(RLIMIT_NOFILE, kMaxDescriptors, kMaxDescriptors, "the limit on descriptors");
  then(RLIMIT_FSIZE, kMaxFileSize, kMaxFileSize, "the limit on the size of files");
  tasks += kMaxTasks;
  if (tasks > kMaxTasks) then(RLIMIT_NPROC, tasks, tasks, "the limit on tasks");
  return done;
}

// ---- seccomp: system calls ----

// What it is called in the line that is written.
enum class Kind { kNetwork, kExec, kProcess, kAttributes, kAdmin };

struct Refused {
  int number;
  const char* name;
  Kind kind;
  bool stops;  // the end of the provider; else the call fails with EPERM, and it goes on
};

#define CALL(name, kind, stops) \
  Refused { SCMP_SYS(name), #name, Kind::kind, stops }

// Whatever their arguments are.
constexpr Refused kRefused[] = {
    // A socket that may be the C library's own wish does not stop it: see is_for_names().
    CALL(socket, kNetwork, true),
    CALL(connect, kNetwork, true),
    CALL(bind, kNetwork, true),
    CALL(listen, kNetwork, true),
    CALL(accept, kNetwork, true),
    CALL(accept4, kNetwork, true),

    CALL(ptrace, kProcess, true),
    CALL(process_vm_readv, kProcess, true),
    CALL(process_vm_writev, kProcess, true),
    CALL(pidfd_getfd, kProcess, true),
    CALL(pidfd_send_signal, kProcess, true),
    CALL(tkill, kProcess, true),
    CALL(pidfd_open, kProcess, false),
    CALL(process_madvise, kProcess, false),
    CALL(process_mrelease, kProcess, false),
    CALL(kcmp, kProcess, false),
    CALL(perf_event_open, kProcess, false),
    CALL(migrate_pages, kProcess, false),
    CALL(move_pages, kProcess, false),
    CALL(setpriority, kProcess, false),
    CALL(ioprio_set, kProcess, false),
    CALL(sched_setscheduler, kProcess, false),
    CALL(sched_setparam, kProcess, false),
    CALL(sched_setattr, kProcess, false),
    CALL(sched_setaffinity, kProcess, false),
    // The process group and the parent's death are how it is ended.
    CALL(setsid, kProcess, false),
    CALL(setpgid, kProcess, false),
    // Memory and messages shared with whatever runs as the same user.
    CALL(shmget, kProcess, false),
    CALL(shmat, kProcess, false),
    CALL(shmctl, kProcess, false),
    CALL(msgget, kProcess, false),
    CALL(msgsnd, kProcess, false),
    CALL(msgrcv, kProcess, false),
    CALL(msgctl, kProcess, false),
    CALL(semget, kProcess, false),
    CALL(semop, kProcess, false),
    CALL(semtimedop, kProcess, false),
    CALL(semctl, kProcess, false),
    CALL(mq_open, kProcess, false),
    CALL(mq_unlink, kProcess, false),

    // Landlock does not look at these.
    CALL(chmod, kAttributes, false),
    CALL(fchmod, kAttributes, false),
    CALL(fchmodat, kAttributes, false),
    CALL(chown, kAttributes, false),
    CALL(lchown, kAttributes, false),
    CALL(fchown, kAttributes, false),
    CALL(fchownat, kAttributes, false),
    CALL(utime, kAttributes, false),
    CALL(utimes, kAttributes, false),
    CALL(futimesat, kAttributes, false),
    CALL(utimensat, kAttributes, false),
    CALL(setxattr, kAttributes, false),
    CALL(lsetxattr, kAttributes, false),
    CALL(fsetxattr, kAttributes, false),
    CALL(removexattr, kAttributes, false),
    CALL(lremovexattr, kAttributes, false),
    CALL(fremovexattr, kAttributes, false),
    // The names of files that come and go, wherever the user may look.
    CALL(inotify_add_watch, kAdmin, false),

    // What takes root's capabilities is not listed: they are gone by now.
    CALL(mount, kAdmin, false),
    CALL(unshare, kAdmin, false),
    CALL(setns, kAdmin, false),
    CALL(open_by_handle_at, kAdmin, false),
    CALL(bpf, kAdmin, false),
    CALL(keyctl, kAdmin, false),
    CALL(add_key, kAdmin, false),
    CALL(request_key, kAdmin, false),
    CALL(userfaultfd, kAdmin, false),
    CALL(fanotify_init, kAdmin, false),
};

// Unless a program is declared.
constexpr Refused kProcesses[] = {CALL(fork, kExec, true), CALL(vfork, kExec, true),
                                  CALL(execve, kExec, true), CALL(execveat, kExec, true)};

// With some arguments: add_rules() says which.
constexpr Refused kSome[] = {
    CALL(clone, kExec, true),
    CALL(socketpair, kNetwork, true),
    CALL(kill, kProcess, true),
    CALL(tgkill, kProcess, true),
    CALL(rt_sigqueueinfo, kProcess, true),
    CALL(rt_tgsigqueueinfo, kProcess, true),
    CALL(prlimit64, kProcess, false),
    CALL(personality, kAdmin, false),
    CALL(prctl, kAdmin, false),
    CALL(truncate, kAttributes, false),
    CALL(fcntl, kProcess, false),
    CALL(ioctl, kAttributes, false),
};
#undef CALL

// Missing calls, which runtimes do without. The arguments of clone3 lie where a filter cannot see them, those
// of clone do not; what io_uring does no filter sees; and files of memory no limit counts.
constexpr int kMissing[] = {SCMP_SYS(clone3), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
                            SCMP_SYS(io_uring_register), SCMP_SYS(memfd_create)};
constexpr std::uint32_t kFirstUnknown = 463;  // after mseal of Linux 6.10: setxattrat, file_setattr, ...
constexpr std::uint32_t kFchmodat2 = 452;     // not known to libseccomp 2.5

constexpr int kRefusedByFilter = 1;  // SYS_SECCOMP, which the C library does not name
int g_report = -1;                   // where refusals are written
std::atomic<bool> g_told[512];

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
    case Kind::kProcess: return "no capability reaches other processes";
    case Kind::kAttributes: return "no capability changes files";
    case Kind::kAdmin: break;
  }
  return "no capability allows it";
}

// In a signal handler: no allocation, no lock.
void report(const Refused& call, const char* beginning) {
  std::array<char, 256> line;
  std::size_t size = 0;
  for (const char* part : {beginning, call.name, ": ", why(call.kind), "\n"}) {
    const std::size_t length = std::min(std::strlen(part), line.size() - size);
    std::memcpy(line.data() + size, part, length);
    size += length;
  }
  ::syscall(SYS_write, g_report, line.data(), size);
}

// As plain as can be: a sanitizer's _exit waits for locks that whoever is in fork() holds.
[[noreturn]] void end(int status) {
  while (true) ::syscall(SYS_exit_group, status);
}

#if defined(__x86_64__)
int first_argument(const ucontext_t& at) { return static_cast<int>(at.uc_mcontext.gregs[REG_RDI]); }
int second_argument(const ucontext_t& at) { return static_cast<int>(at.uc_mcontext.gregs[REG_RSI]); }
void set_answer(ucontext_t& at, int error) { at.uc_mcontext.gregs[REG_RAX] = -error; }
#elif defined(__aarch64__)
int first_argument(const ucontext_t& at) { return static_cast<int>(at.uc_mcontext.regs[0]); }
int second_argument(const ucontext_t& at) { return static_cast<int>(at.uc_mcontext.regs[1]); }
void set_answer(ucontext_t& at, int error) {
  at.uc_mcontext.regs[0] = static_cast<unsigned long long>(-static_cast<long long>(error));
}
#else
#error "say where this architecture keeps the first argument and the answer of a system call"
#endif

// The C library by itself asks nscd, the kernel and name servers, for a user's name or a host's address, and
// makes do when it cannot. Nobody is stopped for that.
bool is_for_names(const ucontext_t& socket) {
  const int family = first_argument(socket);
  const bool datagrams = (second_argument(socket) & 0xf) == SOCK_DGRAM;
  return family == AF_UNIX || family == AF_NETLINK ||
         ((family == AF_INET || family == AF_INET6) && datagrams);
}

// SIGSYS: the kernel did not make the call, and asks us what to answer.
void handle(int, siginfo_t* info, void* context) {
  auto& at = *static_cast<ucontext_t*>(context);
  const int saved = errno;
  const Refused* call = refused(info->si_syscall);
  if (!call || info->si_code != kRefusedByFilter) end(128 + SIGSYS);  // it sent that signal to itself
  const bool by_accident = call->number == SCMP_SYS(socket) && is_for_names(at);
  const bool stops = call->stops && !by_accident;
  if (stops) report(*call, "sandbox: stopped at ");
  if (!stops && !g_told[static_cast<unsigned>(call->number) % std::size(g_told)].exchange(true))
    report(*call, kSandboxLine);
  if (stops) {
    end(static_cast<int>(call->kind == Kind::kNetwork ? Violation::kNetwork
                         : call->kind == Kind::kExec  ? Violation::kExec
                                                      : Violation::kProcess));
  }
  set_answer(at, by_accident ? EACCES : EPERM);
  errno = saved;
}

class Filter {
 public:
  Filter() : context_(::seccomp_init(SCMP_ACT_ALLOW)) {
    if (!context_) error_ = ENOMEM;
  }
  ~Filter() {
    if (context_) ::seccomp_release(context_);
  }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  template <class... Comparisons>
  void refuse(int number, Comparisons... when) {
    add(SCMP_ACT_TRAP, number, when...);
  }
  template <class... Comparisons>
  void answer(int error, int number, Comparisons... when) {
    add(SCMP_ACT_ERRNO(static_cast<std::uint16_t>(error)), number, when...);
  }
  void set(scmp_filter_attr attribute, std::uint32_t value) {
    keep(::seccomp_attr_set(context_, attribute, value));
  }

  Result<void> load() {
    if (error_ == 0) keep(::seccomp_load(context_));
    if (error_ == 0) return {};
    errno = error_;
    return fail(failed("the filter of system calls"));
  }

 private:
  template <class... Comparisons>
  void add(std::uint32_t action, int number, Comparisons... when) {
    // A call that this architecture does not have is no mistake.
    if (error_ == 0 && number >= 0)
      keep(::seccomp_rule_add(context_, action, number, sizeof...(when), when...));
  }
  void keep(int code) {
    if (code < 0 && error_ == 0) error_ = -code;
  }

  scmp_filter_ctx context_;
  int error_ = 0;
};

// Arguments are compared as 64 bits unless masked: those of the kernel's type int may carry anything above.
constexpr std::uint64_t kInt = 0xffffffff;

// ioctl, of files that need not be open for writing.
constexpr std::uint64_t kChangingFiles[] = {
    FS_IOC_SETFLAGS,
    FS_IOC32_SETFLAGS,
    FS_IOC_SETVERSION,
    FS_IOC32_SETVERSION,
    FS_IOC_FSSETXATTR,
    FS_IOC_ENABLE_VERITY,
    FS_IOC_SET_ENCRYPTION_POLICY,
    FS_IOC_ADD_ENCRYPTION_KEY,
};

scmp_arg_cmp bits(unsigned argument, std::uint64_t mask, std::uint64_t value) {
  return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

void add_rules(Filter& filter, bool may_exec, int abi) {
  for (const Refused& call : kRefused) filter.refuse(call.number);
  for (const int number : kMissing) filter.answer(ENOSYS, number);

  // Threads, and no process; with programs declared both, and in no case a new namespace.
  if (!may_exec) {
    for (const Refused& call : kProcesses) filter.refuse(call.number);
    filter.refuse(SCMP_SYS(clone), bits(0, CLONE_THREAD, 0));
  }
  for (const std::uint64_t flag : {CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER,
                                   CLONE_NEWPID, CLONE_NEWNET}) {
    filter.refuse(SCMP_SYS(clone), bits(0, flag, flag));
  }

  // Pairs of connected sockets within the process go nowhere; datagrams could be sent elsewhere.
  filter.refuse(SCMP_SYS(socketpair), scmp_arg_cmp{0, SCMP_CMP_NE, AF_UNIX, 0});
  for (const std::uint64_t type : {SOCK_DGRAM, SOCK_RAW, SOCK_RDM})
    filter.refuse(SCMP_SYS(socketpair), bits(1, 0xf, type));

  // Signals to itself, as abort() sends; to the programs it started where Landlock keeps them in.
  const auto self = static_cast<std::uint64_t>(::getpid());
  const scmp_arg_cmp to_others{0, SCMP_CMP_NE, self, 0};
  if (!may_exec) {
    filter.refuse(SCMP_SYS(kill), to_others);
    filter.refuse(SCMP_SYS(tgkill), to_others);
  }
  filter.refuse(SCMP_SYS(rt_sigqueueinfo), to_others);
  filter.refuse(SCMP_SYS(rt_tgsigqueueinfo), to_others);
  filter.refuse(SCMP_SYS(prlimit64), scmp_arg_cmp{0, SCMP_CMP_NE, 0, 0});

  filter.refuse(SCMP_SYS(personality), scmp_arg_cmp{0, SCMP_CMP_NE, 0xffffffff, 0});
  filter.refuse(SCMP_SYS(prctl), bits(0, kInt, PR_SET_PDEATHSIG));
  filter.refuse(SCMP_SYS(prctl), bits(0, kInt, 59));  // PR_SET_SYSCALL_USER_DISPATCH
  // Typing into a terminal that was inherited.
  filter.answer(EPERM, SCMP_SYS(ioctl), bits(1, kInt, TIOCSTI));
  filter.answer(EPERM, SCMP_SYS(ioctl), bits(1, kInt, 0x541c));  // TIOCLINUX
  // Having the kernel send signals, of any number, to whom a descriptor was said to belong.
  for (const std::uint64_t command : {F_SETOWN, F_SETOWN_EX, F_SETSIG})
    filter.refuse(SCMP_SYS(fcntl), bits(1, kInt, command));
  for (const std::uint64_t request : {FIOSETOWN, SIOCSPGRP})
    filter.answer(EPERM, SCMP_SYS(ioctl), bits(1, kInt, request));
  // Attributes of files that are open for reading: flags, projects, verity, encryption.
  for (const std::uint64_t request : kChangingFiles) filter.refuse(SCMP_SYS(ioctl), bits(1, kInt, request));
  // Our handler stays; asking which there is is fine.
  filter.answer(EPERM, SCMP_SYS(rt_sigaction), bits(0, kInt, SIGSYS), scmp_arg_cmp{1, SCMP_CMP_NE, 0, 0});

  // Before ABI 3, Landlock does not see that a file is cut.
  if (abi < 3) {
    filter.refuse(SCMP_SYS(truncate));
    constexpr std::uint64_t kCut = O_ACCMODE | O_TRUNC;
    filter.answer(EPERM, SCMP_SYS(open), bits(1, kCut, O_RDONLY | O_TRUNC));
    filter.answer(EPERM, SCMP_SYS(openat), bits(2, kCut, O_RDONLY | O_TRUNC));
    filter.answer(ENOSYS, SCMP_SYS(openat2));
  }
}

// Calls that libseccomp does not know, x86's second set of numbers among them. Other architectures' are left
// to its filter, which ends the process.
Result<void> refuse_unknown_calls() {
  constexpr auto kNumber = static_cast<std::uint32_t>(offsetof(seccomp_data, nr));
  std::array<sock_filter, 5> program = {{
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kNumber),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kFchmodat2, 1, 0),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kFirstUnknown, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  }};
  const sock_fprog filter{program.size(), program.data()};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0)
    return fail(failed("a filter of calls"));
  return {};
}

Result<void> restrict_calls(bool may_exec, int abi) {
  if (::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0) return {};  // the kernel was built without
  g_report = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  struct sigaction action {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;  // a goroutine's stack is too small
  if (::sigaction(SIGSYS, &action, nullptr) != 0) return fail(failed("the handler of refusals"));
  sigset_t refusals;
  sigemptyset(&refusals);
  sigaddset(&refusals, SIGSYS);
  ::pthread_sigmask(SIG_UNBLOCK, &refusals, nullptr);

  Filter filter;
  filter.set(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  filter.set(SCMP_FLTATR_CTL_TSYNC, 1);  // a sanitizer's thread is there already
  filter.set(SCMP_FLTATR_CTL_OPTIMIZE, 2);
  add_rules(filter, may_exec, abi);
  if (auto done = refuse_unknown_calls(); !done) return done;
  return filter.load();
}

}  // namespace

Result<void> apply_sandbox(const Sandbox& sandbox, int library) {
#if defined(__SANITIZE_ADDRESS__)
  // It stops its threads like a debugger, so not later; and it does this once.
  __lsan_do_leak_check();
#endif
  const int abi = landlock_abi();
  if (auto done = set_limits(); !done) return done;
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail(failed("no new privileges"));
  if (abi > 0) {
    if (auto done = restrict_files(sandbox, library, abi); !done) return done;
  }
  if (auto done = drop_capabilities(); !done) return done;
  return restrict_calls(!sandbox.exec.empty(), abi);
}

}  // namespace cnspec::provider
