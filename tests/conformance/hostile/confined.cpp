// confined [--files PATH | --exec PROGRAM | --secret PATH | --landlock ABI]... ATTEMPT [TARGET]
// Attempts something in a confined child and says what came of it: "succeeded", the error, or the verdict. In
// the target, PARENT stands for the process id of this program, which is not confined.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include "attempt.h"
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

int child(const provider::Sandbox& sandbox, const std::string& what, const std::string& target) {
  ::setenv("TMPDIR", sandbox.scratch.c_str(), 1);
  if (auto done = provider::apply_sandbox(sandbox, STDIN_FILENO); !done) {
    std::cerr << done.error().message() << '\n';
    return kSetUp;
  }
  const int code = attempt(what.c_str(), target.c_str());
  return code < 0 ? kSetUp : code;
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
  const pid_t pid = ::fork();
  if (pid == 0) std::_Exit(child(sandbox, words[0], target));
  int status = 0;
  if (pid < 0 || ::waitpid(pid, &status, 0) != pid) return kSetUp;
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
