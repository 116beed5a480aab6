// One process with a time limit, and the end of all that it started.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace cnspec::provider::checks {

// What it is given besides the standard streams, by number.
inline constexpr int kReportFd = 3;  // a pipe
inline constexpr int kLeashFd = 4;   // a pipe with the path of its folder in it, which ends when we do

// How it came to its end, and what it said until then.
struct Ended {
  std::string report, out, err;      // of descriptors 3, 1 and 2
  bool timed_out = false;            // and was killed
  int status = 0;                    // as wait gives it
  std::vector<std::string> orphans;  // names of the processes that it left behind, which are dead now
};

// Runs `argv` with `input` on its standard input and a folder of its own for temporary files, in a group of
// its own. When this returns, no process of it is left, and nothing in that folder. One thread at a time;
// this process has to be the one that adopts orphans.
Result<Ended> run_alone(const std::vector<std::string>& argv, const std::string& input,
                        std::chrono::milliseconds limit);

}  // namespace cnspec::provider::checks
