// seccomp: system calls. The filters were made when this program was built (compile_seccomp.cpp): computing
// one takes longer than all else that confines a provider.
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "provider/confine.hpp"
#include "provider/sandbox.hpp"
#include "provider/seccomp_calls.hpp"

namespace cnspec::provider {
namespace {

struct Filter {
  std::span<const sock_filter> code;
  std::span<const unsigned> self;  // the instructions whose constant is the process's own id
};

#include "seccomp_filters.inc"

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
    case Kind::kMemory: return "no capability gives memory that no limit counts";
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

}  // namespace

Result<void> restrict_calls(bool may_exec, bool sees_cuts) {
  if (::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0) return {};  // the kernel was built without
  g_report = ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  struct sigaction action {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;  // a goroutine's stack is too small
  if (::sigaction(SIGSYS, &action, nullptr) != 0) return fail(cannot_confine("the handler of refusals"));
  sigset_t refusals;
  sigemptyset(&refusals);
  sigaddset(&refusals, SIGSYS);
  ::pthread_sigmask(SIG_UNBLOCK, &refusals, nullptr);

  const Filter& filter = kFilters[may_exec][sees_cuts];
  std::vector<sock_filter> code(filter.code.begin(), filter.code.end());
  for (const unsigned at : filter.self) code[at].k = static_cast<std::uint32_t>(::getpid());
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  // All threads: a sanitizer's is there already.
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0)
    return fail(cannot_confine("the filter of system calls"));
  return {};
}

}  // namespace cnspec::provider
