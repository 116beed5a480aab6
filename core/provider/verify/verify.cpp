// The parent's half of verify: the checks in their order, and what the ends of their processes mean.
#include "provider/verify.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstring>

#include "base/interrupt.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "base/time.hpp"
#include "provider/verify/check.hpp"
#include "provider/verify/process.hpp"

namespace cnspec::provider {
namespace {

using checks::Clock;
using checks::Ended;
using checks::Needed;

constexpr std::size_t kMaxFindings = 50;  // shown of one check

// What a child reported, line by line.
struct Report {
  std::string step;  // the last thing it began
  bool done = false;
};

Report read_report(const std::string& text, Check& check) {
  Report out;
  std::size_t from = 0;
  std::size_t dropped = 0;
  while (from < text.size()) {
    const auto end = text.find('\n', from);
    if (end == std::string::npos) break;
    const auto line = json::parse(std::string_view(text).substr(from, end - from));
    from = end + 1;
    if (!line) continue;
    const auto said = [&](const char* key) { return printable(json::get_string(*line, key)); };
    const std::string kind = said("kind");
    if (kind == "step") {
      out.step = said("what");
    } else if (kind == "note") {
      check.notes.push_back(said("what"));
    } else if (kind == "done") {
      out.done = true;
    } else if (kind == "failed" || kind == "warning") {
      Finding finding{kind == "failed", said("what"), said("hint")};
      if (std::ranges::find(check.findings, finding) != check.findings.end()) continue;
      if (check.findings.size() < kMaxFindings)
        check.findings.push_back(std::move(finding));
      else
        ++dropped;
    }
  }
  if (dropped > 0) check.notes.push_back(std::to_string(dropped) + " more findings are not shown");
  return out;
}

// The last line that is not empty, short.
std::string last_line(const std::string& text) {
  constexpr std::size_t kMost = 200;
  const auto lines = trim(text);
  const auto line = trim(lines.substr(lines.rfind('\n') + 1));
  return printable(line.substr(0, kMost)) + (line.size() > kMost ? "..." : "");
}

std::string first_words(const std::string& text) {
  constexpr std::size_t kMost = 60;
  return "\"" + printable(std::string_view(text).substr(0, kMost)) + (text.size() > kMost ? "..." : "") +
         "\"";
}

// Whatever the child could not say itself.
void judge_end(const Ended& ended, const Report& report, std::chrono::milliseconds limit, Check& check) {
  const std::string where = report.step.empty() ? "" : " in " + report.step;
  const auto add = [&](std::string what, std::string hint) {
    check.findings.push_back({true, std::move(what), std::move(hint)});
  };
  if (ended.timed_out && !report.done) {
    add("did not return" + (report.step.empty() ? "" : " from " + report.step) + " within " +
            duration_text(limit),
        "Let nothing wait for ever: poll cancelled(), mind the deadline, and return when the sink says so. "
        "The process was killed; --check-timeout gives it longer.");
  } else if (ended.timed_out) {
    add("does not let the process end: it was still there after " + duration_text(limit),
        "Join in close every thread that the provider started, and start nothing when the process ends.");
  } else if (WIFSIGNALED(ended.status)) {
    const char* name = ::sigabbrev_np(WTERMSIG(ended.status));
    const std::string words = last_line(ended.err);
    const std::string signal = std::string("SIG") + (name ? name : "?");
    if (report.done) {
      add("crashed (" + signal + ") when the process ended",
          "Free everything in close; let no destructor of a static object and no exit handler need it.");
    } else {
      add("crashed (" + signal + ")" + where + (words.empty() ? "" : ": " + words),
          WTERMSIG(ended.status) == SIGABRT
              ? "Let no exception leave a function of the provider, and return an error where it aborts."
              : "Run it in a debugger, or build it with -fsanitize=address.");
    }
  } else if (!report.done) {
    const std::string words = last_line(ended.err);
    add("ended the process with exit code " + std::to_string(WEXITSTATUS(ended.status)) + where +
            (words.empty() ? "" : ": " + words),
        "A provider never calls exit: return a code, and say why with set_error.");
  }
  // The helpers of one that died may be about to end themselves.
  if (report.done && !ended.orphans.empty()) {
    add("left " + std::to_string(ended.orphans.size()) +
            (ended.orphans.size() == 1 ? " process behind: " : " processes behind: ") +
            join(ended.orphans, ", "),
        "Wait in close for every process that the provider started.");
  }
}

// Said once for all checks.
void judge_output(const Ended& ended, const Report& report, bool& out_said, bool& err_said, Check& check) {
  if (!ended.out.empty() && !std::exchange(out_said, true)) {
    check.findings.push_back({true, "writes to standard output: " + first_words(ended.out),
                              "Use log: standard output belongs to the program's report."});
  }
  if (report.done && !ended.err.empty() && !std::exchange(err_said, true)) {
    check.findings.push_back({false, "writes to standard error: " + first_words(ended.err),
                              "Use log: users choose what they see of it and in which format."});
  }
}

std::chrono::milliseconds limit_of(const VerifyOptions& options) {
  if (options.deadline == Clock::time_point::max()) return options.limit;
  return std::min(options.limit,
                  std::chrono::ceil<std::chrono::milliseconds>(options.deadline - Clock::now()));
}

void conclude(Check& check) {
  for (const Finding& finding : check.findings) {
    if (finding.fails) {
      check.result = Check::Result::kFailed;
      return;
    }
    check.result = Check::Result::kWarning;
  }
}

}  // namespace

const char* to_string(Check::Result result) {
  switch (result) {
    case Check::Result::kOk: return "ok";
    case Check::Result::kWarning: return "warning";
    case Check::Result::kFailed: return "failed";
    case Check::Result::kNotRun: return "not run";
  }
  return "not run";
}

std::vector<Check> verify(const VerifyRequest& request, const VerifyOptions& options) {
  const interrupt::Hold hold;
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const std::string input = to_json(request);
  std::vector<Check> out;
  std::string failed;  // one that all others need
  bool out_said = false;
  bool err_said = false;
  for (const checks::KnownCheck& plan : checks::known_checks()) {
    Check check;
    check.name = plan.name;
    if (!failed.empty()) {
      check.result = Check::Result::kNotRun;
      check.notes.push_back('"' + failed + "\" has to be mended first");
    } else if (Clock::now() >= options.deadline) {
      check.result = Check::Result::kNotRun;
      check.notes.push_back("the time for all checks is over");
    } else if (plan.target && !request.target) {
      check.result = Check::Result::kNotRun;
      check.notes.push_back("name a connector and its arguments to have everything fetched");
    } else {
      std::vector<std::string> argv = options.child;
      argv.push_back(check.name);
      const auto limit = limit_of(options);
      const auto ended = checks::run_alone(argv, input, limit);
      if (interrupt::is_pending()) break;
      bool done = false;
      if (!ended) {
        check.findings.push_back({true, "could not be run: " + printable(ended.error().message()),
                                  "That is no fault of the provider's: mend it and verify again."});
      } else {
        const Report report = read_report(ended->report, check);
        done = report.done;
        judge_end(*ended, report, limit, check);
        judge_output(*ended, report, out_said, err_said, check);
      }
      conclude(check);
      if (check.result == Check::Result::kFailed &&
          (plan.needed == Needed::kGood || (plan.needed == Needed::kAlive && !done)))
        failed = check.name;
    }
    out.push_back(std::move(check));
  }
  return out;
}

}  // namespace cnspec::provider
