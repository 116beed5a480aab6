// The keeper's answers to the system calls that a provider's process may not make, and to those with which it
// opens files (seccomp_unotify(2)): what it reaches for is said, and what no accident explains ends it. Out
// of its own memory, as a handler of signals would be, nothing of that can be undone.
//
// The kernel's refusals stand by themselves: Landlock looks at each file again, whatever was said here of its
// name.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "provider/sandbox.hpp"

struct seccomp_data;

namespace cnspec::provider {

struct FileCall;

// A descriptor, and words, through a socket of messages (SOCK_SEQPACKET).
Result<void> send_descriptor(int socket, int fd, std::string_view words);
// Negative: the other side is gone, or sent none.
Fd receive_descriptor(int socket, std::string& words);

class Refusals {
 public:
  // `listener` is what apply_sandbox() gave for `sandbox` and `library` to the process `provider`, a child of
  // this one. `say` gets the lines of sandbox.hpp.
  Refusals(Fd listener, Sandbox sandbox, int library, pid_t provider, std::function<void(std::string)> say);

  // Readable when a call waits; hangs up when no process is left.
  int fd() const { return listener_.get(); }

  // Answers one, which takes as long as the file system does that a name leads to. How the provider must end
  // for it, as a status of waitpid: see sandbox_verdict(). None: it goes on.
  std::optional<int> answer();

 private:
  struct Answer {
    int error = 0;       // errno; 0: the call is made
    std::string line{};  // what is said, empty: nothing
    std::optional<int> end{};
  };
  Answer judge(pid_t task, const seccomp_data& call) const;
  Answer judge_files(pid_t task, const seccomp_data& call) const;
  bool is_unseen_cut(const seccomp_data& call) const;
  Answer judge_file(pid_t task, const seccomp_data& call, const FileCall& how) const;

  struct File {
    bool is_there = false;
    std::string path{};  // its own; empty: it has none, as a pipe
    dev_t device = 0;
    ino_t number = 0;
    mode_t kind = 0;         // as of stat
    bool has_names = false;  // more than one
  };
  static File find(pid_t task, const std::string& path, bool follows);
  // A file that is not there yet, where it would be.
  static File find_new(pid_t task, std::string path);
  bool is_hidden(const File& file) const;
  bool is_its_own(pid_t task, const std::string& name, const std::string& path) const;
  bool is_others(const std::string& path) const;
  void tell(const std::string& line);

  const Fd listener_;
  const Sandbox sandbox_;
  const File library_;
  const pid_t provider_;
  const std::function<void(std::string)> say_;
  const bool sees_cuts_;
  std::set<std::string> said_;
};

}  // namespace cnspec::provider
