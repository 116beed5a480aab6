// confined [--files PATH | --exec PROGRAM | --secret PATH | --landlock ABI | --unasked WHY]... ATTEMPT
// [TARGET] Attempts something in a confined child and says what came of it: "succeeded", the error, or the
// verdict. In the target, PARENT stands for the process id of this program, which is not confined.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <iostream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "attempt.h"
#include "provider/refusals.hpp"
#include "provider/sandbox.hpp"

using namespace cnspec;

// The linker puts this in the place of landlock_abi(), so that it can be that of an older kernel.
namespace {
int g_abi = 1000;
}
extern "C" int __real__ZN6cnspec8provider12landlock_abiEv();
extern "C" int __wrap__ZN6cnspec8provider12landlock_abiEv() {
  return std::min(g_abi, __real__ZN6cnspec8provider12landlock_abiEv());
}

namespace {

constexpr int kSetUp = 99;

// Asks about no call at all, and keeps anybody else below from asking: there can be one that does.
bool ask_first() {
  sock_filter all[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog program{1, all};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program) >= 0;
}

int child(const provider::Sandbox& sandbox, int parent, const std::string& what, const std::string& target) {
  ::setenv("TMPDIR", sandbox.scratch.c_str(), 1);
  {
    const auto listener = provider::apply_sandbox(sandbox, STDIN_FILENO);
    if (!listener) {
      std::cerr << listener.error().message() << '\n';
      return kSetUp;
    }
    if (*listener && !provider::send_descriptor(parent, listener->get(), "here")) return kSetUp;
  }
  ::close(parent);
  const int code = attempt(what.c_str(), target.c_str());
  return code < 0 ? kSetUp : code;
}

// Until there is nobody left to answer, or the child must end, which is the status.
std::optional<int> answer(int child, const provider::Sandbox& sandbox, pid_t pid) {
  pollfd ready{child, POLLIN, 0};
  ::poll(&ready, 1, -1);
  std::string words;
  Fd listener = provider::receive_descriptor(child, words);
  if (!listener) return std::nullopt;
  provider::Refusals refusals(std::move(listener), sandbox, STDIN_FILENO, pid,
                              [](const std::string& line) { std::cerr << line << std::endl; });
  // Older kernels say that nobody is left only once the child is waited for.
  const Fd ended(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  while (true) {
    pollfd either[] = {{refusals.fd(), POLLIN, 0}, {ended.get(), POLLIN, 0}};
    ::poll(either, std::size(either), -1);
    if ((either[0].revents & POLLIN) == 0) return std::nullopt;
    if (const auto deserved = refusals.answer()) return deserved;
  }
}

}  // namespace

int main(int argc, char** argv) {
  manifest::Capabilities capabilities;
  std::vector<std::filesystem::path> secrets;
  std::vector<std::string> words(argv + 1, argv + argc);
  while (words.size() > 2 && words[0].starts_with("--")) {
    if (words[0] == "--files") capabilities.files.push_back(words[1]);
    if (words[0] == "--exec") capabilities.exec.push_back(words[1]);
    if (words[0] == "--secret") secrets.emplace_back(words[1]);
    if (words[0] == "--unasked" && !ask_first()) return kSetUp;
    if (words[0] == "--landlock") g_abi = std::stoi(words[1]);
    words.erase(words.begin(), words.begin() + 2);
  }
  if (words.empty()) return 2;
  std::string target = words.size() > 1 ? words[1] : "0";
  if (const auto at = target.find("PARENT"); at != std::string::npos)
    target.replace(at, std::strlen("PARENT"), std::to_string(::getpid()));

  auto scratch = provider::Scratch::make();
  if (!scratch) {
    std::cerr << scratch.error().message() << '\n';
    return kSetUp;
  }
  const char* home = std::getenv("HOME");
  const auto sandbox = provider::make_sandbox(capabilities, home ? home : "", secrets, scratch->path());
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return kSetUp;
  const pid_t pid = ::fork();
  if (pid == 0) std::_Exit(child(sandbox, pair[1], words[0], target));
  if (pid < 0) return kSetUp;
  ::close(pair[1]);
  const std::optional<int> deserved = answer(pair[0], sandbox, pid);
  if (deserved) ::kill(pid, SIGKILL);
  int status = 0;
  if (::waitpid(pid, &status, 0) != pid) return kSetUp;
  status = deserved.value_or(status);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kSetUp) return kSetUp;
  if (const std::string verdict = provider::sandbox_verdict(status); !verdict.empty()) {
    std::cout << verdict << '\n';
  } else if (WIFSIGNALED(status)) {
    std::cout << "signal " << WTERMSIG(status) << '\n';
  } else {
    const int code = WEXITSTATUS(status);
    std::cout << (code == 0 ? "succeeded" : std::strerror(code)) << '\n';
  }
  return 0;
}
