// Between the program and the process of a check: the one that stays when the program is killed.
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>

#include "base/fd.hpp"
#include "provider/confine.hpp"
#include "provider/usage.hpp"
#include "provider/verify.hpp"
#include "provider/verify/process.hpp"

namespace cnspec::provider {
namespace {

using checks::kLeashFd;
using checks::kReportFd;

bool is_pipe(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 && S_ISFIFO(info.st_mode);
}

void set_child_signal(int how) {
  sigset_t set;
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGCHLD);
  ::sigprocmask(how, &set, nullptr);
}

// False when the program ended before it.
bool wait_for(pid_t check, int signals) {
  while (!has_ended(check)) {
    pollfd ready[] = {{kLeashFd, POLLIN, 0}, {signals, POLLIN, 0}};
    if (::poll(ready, 2, -1) < 0 && errno != EINTR) return false;
    if (ready[0].revents != 0) return has_ended(check);
    signalfd_siginfo info{};
    if (ready[1].revents != 0 && ::read(signals, &info, sizeof info) < 0 && errno != EINTR) return false;
  }
  return true;
}

// All that is below us is or becomes ours.
void end_all() {
  for (auto left = children(); !left.empty(); left = children()) kill_and_wait(left);
}

// As the check did, for whoever waits for us.
[[noreturn]] void end_like(pid_t check) {
  int status = 0;
  while (::waitpid(check, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFSIGNALED(status)) {
    ::signal(WTERMSIG(status), SIG_DFL);
    ::raise(WTERMSIG(status));
  }
  ::_exit(WEXITSTATUS(status));
}

[[noreturn]] void keep(pid_t check, const std::string& folder) {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, kReportFd}) ::close(fd);
  sigset_t ours;
  ::sigemptyset(&ours);
  ::sigaddset(&ours, SIGCHLD);
  const Fd signals(::signalfd(-1, &ours, SFD_CLOEXEC));
  const bool ended = wait_for(check, signals.get());
  if (!ended) end_all();
  // Before the program hears of the end: it may be killed at any moment.
  remove_folder(folder);
  if (ended) end_like(check);
  ::_exit(0);
}

}  // namespace

Result<void> keep_check() {
  if (!is_pipe(kReportFd) || !is_pipe(kLeashFd))
    return fail("--check is for cnspec providers verify itself", ErrorKind::kUsage);
  std::string folder(PATH_MAX, '\0');
  const ssize_t size = ::read(kLeashFd, folder.data(), folder.size());
  if (size <= 0) return fail("no folder was given for the check's temporary files");
  folder.resize(static_cast<std::size_t>(size));
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  set_child_signal(SIG_BLOCK);
  const pid_t keeper = ::getpid();
  const pid_t check = ::fork();
  if (check < 0) return fail(std::string("cannot start a process: ") + std::strerror(errno));
  if (check > 0) keep(check, folder);
  // A group of its own: a provider that kills its group does not end the keeper.
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != keeper) ::_exit(0);  // it went before the line above
  ::close(kLeashFd);
  set_child_signal(SIG_UNBLOCK);
  return {};
}

}  // namespace cnspec::provider
