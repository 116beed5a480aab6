// The processes below this one, and what they use. Inside core/provider only.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace cnspec::provider {

struct Process {
  pid_t pid;
  pid_t parent;
};

// This process's children, from all of its threads that the kernel knows.
std::vector<pid_t> children();

// The children and what is below them, parents first. Some of them may be gone by now.
std::vector<Process> descendants();

// Whether this child has; it stays to be waited for. What we inherited and has ended is waited for.
bool has_ended(pid_t child);

// Kills these children and waits for them.
void kill_and_wait(const std::vector<pid_t>& children);

// What the descendants use together, looked at again and again. What starts and ends between two looks, and
// for whose end its parent does not wait, is not seen.
class Usage {
 public:
  // How what is over its limit must end, as a status of waitpid: see sandbox_verdict(). None: nothing is.
  std::optional<int> excess();

 private:
  std::uint64_t last_ = 0;  // processor time that could be seen, in clock ticks
  std::uint64_t spent_ = 0;
};

}  // namespace cnspec::provider
