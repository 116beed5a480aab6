// Delays and failures on demand, for tests of a client's behaviour.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "wire.hpp"

namespace cnspec::platform {

// As in Go: a sign, then numbers with the units ms, s, m and h, such as 500ms, 1h30m or -10m.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

// What a method does instead of its work.
struct Failure {
  enum class Kind {
    kCode,     // an error as the wire contract has it
    kHtml,     // what a proxy in between may say: status 502 and an HTML page
    kGarbage,  // status 200, and bytes that are no message
    kHangup,   // the connection is closed without an answer
  };
  Kind kind = Kind::kCode;
  Code code = Code::kUnknown;
};

class Faults {
 public:
  // METHOD=DURATION and METHOD=CODE as on the command line. METHOD is one of ours ("Health/Check",
  // "cnspec/latest.json"), "latest.json" for all three of that name, or "*".
  Result<void> add_delay(std::string_view assignment);
  Result<void> add_failure(std::string_view assignment);

  // The nearest match: the method itself, then "latest.json", then "*".
  std::optional<std::chrono::milliseconds> delay_of(const std::string& method) const;
  std::optional<Failure> failure_of(const std::string& method) const;

 private:
  std::map<std::string, std::chrono::milliseconds> delays_;
  std::map<std::string, Failure> failures_;
};

}  // namespace cnspec::platform
