// What a process has once, and a library can change for all that is in it.
#pragma once

#include <sys/types.h>

#include <array>
#include <string>
#include <vector>

namespace cnspec::provider::checks {

struct ProcessState {
  static ProcessState now();

  std::string folder;                    // the working one
  mode_t mask;                           // of modes, for new files
  std::array<const void*, 32> handlers;  // by signal
  std::string locale;
  std::vector<std::string> environment;  // sorted
};

// What of it is another, for people: "its working folder", "its variable HOME", "what it does on SIGINT".
std::vector<std::string> changes(const ProcessState& before, const ProcessState& after);

}  // namespace cnspec::provider::checks
