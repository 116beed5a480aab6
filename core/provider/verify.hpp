// Whether a provider is good, for its author: every rule that can be checked from outside. Each check runs in
// a child process of its own, which is killed with all it started when the check takes too long.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "provider/open.hpp"
#include "provider/provider.hpp"

namespace cnspec::provider {

struct Finding {
  bool fails;        // else it is a warning
  std::string what;  // one sentence, safe to print
  std::string hint;  // what to do
  bool operator==(const Finding&) const = default;
};

struct Check {
  enum class Result { kOk, kWarning, kFailed, kNotRun };

  std::string name;
  Result result = Result::kOk;
  std::vector<Finding> findings;
  std::vector<std::string> notes;  // what could not be checked, and why
};
const char* to_string(Check::Result result);

struct VerifyRequest {
  std::filesystem::path file;  // absolute
  Origin origin = Origin::kFlag;
  std::optional<ConnectRequest> target;  // what to fetch from; without it nothing is fetched
};

struct VerifyOptions {
  // The program that runs one check: the check's name is appended, the request is its standard input, and its
  // descriptor 3 is the pipe for run_check.
  std::vector<std::string> child;
  std::chrono::milliseconds limit;  // of one check
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();  // of all
};

// An error when there is nothing to verify: of the kind kUsage when there is no file or it cannot be read, of
// the kind kInvalid when it is no library at all. What is wrong with one is for the checks to say.
Result<void> look_at(const std::filesystem::path& file);

// The parent's half. Checks that need one that failed are not run. Makes this process the one that adopts
// orphans, so that nothing a provider started outlives its check. A signal that ends the program (see
// interrupt.hpp) waits until the check that runs is cleaned away.
std::vector<Check> verify(const VerifyRequest& request, const VerifyOptions& options);

// The child's first step, while it has one thread: goes on in a process below this one, which stays behind to
// end all that is left, and to remove its files, when the parent is gone. An error when `verify` did not
// start it.
Result<void> keep_check();

// What the program knows of providers and gives to them.
struct Surroundings {
  SearchOptions search;       // whose signatures count
  IsolationPolicy isolation;  // what no provider may read
  Services services;
};

// The child's half: runs one check in this process, on a thread that may block, and tells the parent through
// `pipe`. Runs the provider's code.
void run_check(std::string_view check, const VerifyRequest& request, const Surroundings& surroundings,
               int pipe);

// The request on its way to the child.
std::string to_json(const VerifyRequest& request);
Result<VerifyRequest> read_verify_request(std::string_view json);

}  // namespace cnspec::provider
