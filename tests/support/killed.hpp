// What a crash leaves, and what is seen by one who is overtaken: work that is stopped wherever it speaks to
// the kernel.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace cnspec::test {

// Does the work in a child, and stops it at its stop number `stop`: 0 is before the work, then one where each
// system call begins and one where it ends, as far as they count. There `act` is called with the child's
// number, and then it goes on. Returns whether it came that far; what was not killed has to have succeeded.
template <class Work, class Act, class Counts>
bool stopped_at(int stop, Work&& work, Act&& act, Counts&& counts) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    ::_exit(work() ? 0 : 1);
  }
  int status = 0;
  bool reached = false;
  ::waitpid(child, &status, 0);
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
  for (int stops = 0; WIFSTOPPED(status);) {
    if (stops == 0 || counts(child)) {
      if (stops == stop) {
        reached = true;
        act(child);
      }
      ++stops;
    }
    ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    ::waitpid(child, &status, 0);
  }
  EXPECT_TRUE((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
              (reached && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
      << "at stop " << stop << ": " << status;
  return reached;
}

// Where a system call begins that may change files. Killed anywhere else, it leaves what it leaves at the
// next of these.
inline bool changes_files(pid_t child) {
  __ptrace_syscall_info info{};
  if (::ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) <= 0) return false;
  if (info.op != PTRACE_SYSCALL_INFO_ENTRY) return false;
  const auto* args = info.entry.args;
  switch (static_cast<long>(info.entry.nr)) {
#ifdef SYS_open
    case SYS_open: return (args[1] & O_CREAT) != 0;
    case SYS_mkdir:
    case SYS_rmdir:
    case SYS_rename:
    case SYS_unlink:
    case SYS_link:
    case SYS_symlink:
    case SYS_chmod:
#endif
    case SYS_mkdirat:
    case SYS_renameat:
    case SYS_renameat2:
    case SYS_unlinkat:
    case SYS_linkat:
    case SYS_symlinkat:
    case SYS_fchmod:
    case SYS_fchmodat:
    case SYS_fchown:
    case SYS_ftruncate:
    case SYS_fallocate:
    case SYS_write:
    case SYS_pwrite64: return true;
    case SYS_openat: return (args[2] & O_CREAT) != 0;
    default: return false;
  }
}

// As stopped_at(), and killed there.
template <class Work, class Counts>
bool killed_at(int stop, Work&& work, Counts&& counts) {
  return stopped_at(
      stop, work, [](pid_t child) { ::kill(child, SIGKILL); }, counts);
}
template <class Work>
bool killed_at(int stop, Work&& work) {
  return killed_at(stop, work, [](pid_t) { return true; });
}

}  // namespace cnspec::test
