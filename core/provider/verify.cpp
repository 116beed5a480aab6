// The parent's half of verify: children with a time limit, and what their ends mean.
#include "provider/verify.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <set>

#include "base/fd.hpp"
#include "base/text.hpp"
#include "base/time.hpp"
#include "provider/sandbox.hpp"

namespace cnspec::provider {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxOutput = 64 << 10;   // kept of what a child prints
constexpr std::size_t kMaxReport = 64 << 20;   // read of what it reports
constexpr std::size_t kMaxFindings = 50;       // shown of one check
constexpr std::chrono::milliseconds kPoll{5};  // how soon an end is noticed that no pipe tells of

// The checks in their order. Those that others need come first: when one fails, nothing after it is run.
enum class Needed { kNot, kGood, kAlive };
struct Plan {
  const char* name;
  Needed needed;  // by all that follow: that it is good, or that the process survives it
  bool target;    // only with something to connect to
};
constexpr Plan kPlan[] = {{"file", Needed::kGood, false},        {"manifest", Needed::kGood, false},
                          {"load", Needed::kGood, false},        {"abi", Needed::kGood, false},
                          {"open", Needed::kGood, false},        {"behaviour", Needed::kAlive, false},
                          {"threads", Needed::kNot, false},      {"leaks", Needed::kNot, false},
                          {"cancellation", Needed::kNot, false}, {"handles", Needed::kNot, false},
                          {"isolation", Needed::kNot, false},    {"fetch", Needed::kNot, true}};

struct Pipe {
  Fd read, write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return fail(std::string("a pipe: ") + std::strerror(errno));
  Pipe out{Fd(ends[0]), Fd(ends[1])};
  // The child's end is an ordinary one.
  ::fcntl(ends[1], F_SETFL, 0);
  return out;
}

// The request may hold secrets: it is never on a disk nor in an argument.
Result<Fd> in_memory(const std::string& text) {
  Fd file(::memfd_create("cnspec-verify", MFD_CLOEXEC));
  if (file.get() < 0 || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::lseek(file.get(), 0, SEEK_SET) != 0) {
    return fail(std::string("memory for the request: ") + std::strerror(errno));
  }
  return file;
}

// Takes what is there; false at the end of it.
bool drain(const Fd& from, std::string& to, std::size_t most) {
  char buffer[4096];
  while (true) {
    const ssize_t got = ::read(from.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return true;
    if (got == 0) return false;
    to.append(buffer, std::min(static_cast<std::size_t>(got), most - std::min(most, to.size())));
  }
}

// The children of this process, those that it adopted among them.
std::set<pid_t> children() {
  std::set<pid_t> out;
  std::error_code failed;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", failed)) {
    std::ifstream list(task.path() / "children");
    for (pid_t pid = 0; list >> pid;) out.insert(pid);
  }
  return out;
}

std::string name_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  std::getline(file, name);
  return printable(name);
}

// How a child came to its end, and what it said until then.
struct Ended {
  std::string report, out, err;
  bool timed_out = false;
  int status = 0;                    // as wait gives it
  std::vector<std::string> orphans;  // names of the processes that it left behind, which are dead now
};

// One child from its start to its end, when no process of it is left.
class Child {
 public:
  static Result<Ended> run(const std::vector<std::string>& argv, const std::string& input,
                           std::chrono::milliseconds limit) {
    Child child;
    // What one that has to be killed leaves there goes with it.
    const auto scratch = Scratch::make();
    if (!scratch) return fail(scratch.error());
    if (auto started = child.start(argv, input, scratch->path()); !started) return fail(started.error());
    child.watch(Clock::now() + limit);
    child.finish();
    return std::move(child.ended_);
  }

  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

 private:
  Child() = default;

  Result<void> start(const std::vector<std::string>& argv, const std::string& input,
                     const std::filesystem::path& temporary) {
    auto request = in_memory(input);
    auto report = make_pipe();
    auto out = make_pipe();
    auto err = make_pipe();
    if (!request) return fail(request.error());
    for (const auto* pipe : {&report, &out, &err}) {
      if (!*pipe) return fail(pipe->error());
    }
    before_ = children();

    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    // The last one may take the place of another's source, which is used by then.
    ::posix_spawn_file_actions_adddup2(&files, request->get(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&files, out->write.get(), STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&files, err->write.get(), STDERR_FILENO);
    ::posix_spawn_file_actions_adddup2(&files, report->write.get(), 3);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    std::vector<char*> words;
    for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    std::string tmpdir = "TMPDIR=" + temporary.string();
    std::vector<char*> environment = {tmpdir.data()};
    for (char** variable = environ; *variable; ++variable) {
      if (!std::string_view(*variable).starts_with("TMPDIR=")) environment.push_back(*variable);
    }
    environment.push_back(nullptr);
    const int failed = ::posix_spawn(&pid_, words[0], &files, &attributes, words.data(), environment.data());
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&attributes);
    if (failed != 0) return fail("cannot start " + argv[0] + ": " + std::strerror(failed));
    report_ = std::move(report->read);
    out_ = std::move(out->read);
    err_ = std::move(err->read);
    return {};
  }

  // Until it has ended or has to.
  void watch(Clock::time_point end) {
    while (true) {
      siginfo_t info{};
      // It stays a zombie for now, so that nobody else gets its number.
      if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
          info.si_pid == pid_)
        return;
      if (Clock::now() >= end) {
        ended_.timed_out = true;
        return;
      }
      pollfd ready[] = {{report_.get(), POLLIN, 0}, {out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}};
      ::poll(ready, 3, static_cast<int>(kPoll.count()));
      take();
    }
  }

  // Nothing of it may be left: neither its group nor those who left the group.
  void finish() {
    if (!ended_.timed_out) {
      for (const pid_t pid : children()) {
        if (pid != pid_ && !before_.contains(pid)) ended_.orphans.push_back(name_of(pid));
      }
    }
    ::kill(-pid_, SIGKILL);
    while (::waitpid(pid_, &ended_.status, 0) < 0 && errno == EINTR) {
    }
    // What a dying orphan had started is adopted in its turn.
    for (auto left = adopted(); !left.empty(); left = adopted()) {
      for (const pid_t pid : left) ::kill(pid, SIGKILL);
      for (const pid_t pid : left) {
        while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
        }
      }
    }
    take();
  }

  std::set<pid_t> adopted() const {
    std::set<pid_t> out;
    for (const pid_t pid : children()) {
      if (!before_.contains(pid)) out.insert(pid);
    }
    return out;
  }

  void take() {
    const std::pair<Fd*, std::pair<std::string*, std::size_t>> streams[] = {
        {&report_, {&ended_.report, kMaxReport}},
        {&out_, {&ended_.out, kMaxOutput}},
        {&err_, {&ended_.err, kMaxOutput}}};
    for (const auto& [from, to] : streams) {
      if (*from && !drain(*from, *to.first, to.second)) from->reset();
    }
  }

  pid_t pid_ = -1;
  std::set<pid_t> before_;  // children of ours that have nothing to do with this
  Fd report_, out_, err_;
  Ended ended_;
};

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
        "Let nothing wait for ever: poll cancelled(), and mind the deadline. The process was killed.");
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
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const std::string input = to_json(request);
  std::vector<Check> out;
  std::string failed;  // one that all others need
  bool out_said = false;
  bool err_said = false;
  for (const Plan& plan : kPlan) {
    Check check;
    check.name = plan.name;
    if (!failed.empty()) {
      check.result = Check::Result::kNotRun;
      check.notes.push_back("it needs \"" + failed + "\"");
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
      const auto ended = Child::run(argv, input, limit);
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

// ---- The request ----

namespace {

// Paths are bytes and need not be UTF-8, which JSON has to be: each byte travels as the character of its
// number.
std::string latin1_to_utf8(const std::string& bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80) out += static_cast<char>(0xc0 | byte >> 6);
    out += static_cast<char>(byte >= 0x80 ? 0x80 | (byte & 0x3f) : byte);
  }
  return out;
}

std::string bytes_of(std::string_view utf8) {
  std::string out;
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto byte = static_cast<unsigned char>(utf8[i]);
    const bool two = byte >= 0x80 && i + 1 < utf8.size();
    out += static_cast<char>(two ? byte << 6 | (utf8[++i] & 0x3f) : byte);
  }
  return out;
}
std::string bytes_of(const json::Value& text) { return bytes_of(json::view(text)); }

json::Value text(const std::string& value, json::Document::AllocatorType& alloc) {
  return {value.data(), static_cast<rapidjson::SizeType>(value.size()), alloc};
}

// What flags can be: true, 1, "text", ["list"], {"map": "of text"}.
Value flag_value(const json::Value& from) {
  if (from.IsBool()) return Value(from.GetBool());
  if (from.IsInt64()) return Value(from.GetInt64());
  if (from.IsString()) return Value(bytes_of(from));
  if (from.IsArray()) {
    Value::Array items;
    for (const json::Value& item : from.GetArray()) items.push_back(flag_value(item));
    return Value(std::move(items));
  }
  if (from.IsObject()) {
    Value::Map entries;
    for (const auto& entry : from.GetObject())
      entries.emplace_back(bytes_of(entry.name), flag_value(entry.value));
    return Value(std::move(entries));
  }
  return {};
}

}  // namespace

std::string to_json(const VerifyRequest& request) {
  json::Document out(rapidjson::kObjectType);
  auto& alloc = out.GetAllocator();
  out.AddMember("file", text(request.file.string(), alloc), alloc);
  out.AddMember("bundled", request.origin == Origin::kBundled, alloc);
  if (request.target) {
    const ConnectRequest& target = *request.target;
    json::Value args(rapidjson::kArrayType);
    for (const std::string& arg : target.args) args.PushBack(text(arg, alloc), alloc);
    json::Value flags(rapidjson::kObjectType);
    for (const auto& [name, value] : target.flags)
      flags.AddMember(text(name, alloc), provider::to_json(value, alloc), alloc);
    json::Value secrets(rapidjson::kObjectType);
    for (const auto& [name, value] : target.secrets)
      secrets.AddMember(text(name, alloc), text(value, alloc), alloc);
    out.AddMember("connector", text(target.connector, alloc), alloc);
    out.AddMember("args", args, alloc);
    out.AddMember("flags", flags, alloc);
    out.AddMember("secrets", secrets, alloc);
  }
  return latin1_to_utf8(json::write(out));
}

Result<VerifyRequest> read_verify_request(std::string_view from) {
  const auto document = json::parse(from);
  if (!document) return fail(document.error());
  VerifyRequest out;
  out.file = bytes_of(json::get_string(*document, "file"));
  if (json::get_bool(*document, "bundled", false)) out.origin = Origin::kBundled;
  const json::Value* args = json::find(*document, "args");
  const json::Value* flags = json::find(*document, "flags");
  const json::Value* secrets = json::find(*document, "secrets");
  if (!args || !args->IsArray() || !flags || !flags->IsObject() || !secrets || !secrets->IsObject())
    return out;
  ConnectRequest target;
  target.connector = bytes_of(json::get_string(*document, "connector"));
  for (const json::Value& arg : args->GetArray()) {
    if (arg.IsString()) target.args.push_back(bytes_of(arg));
  }
  for (const auto& flag : flags->GetObject()) target.flags[bytes_of(flag.name)] = flag_value(flag.value);
  for (const auto& secret : secrets->GetObject()) {
    if (secret.value.IsString()) target.secrets[bytes_of(secret.name)] = bytes_of(secret.value);
  }
  out.target = std::move(target);
  return out;
}

}  // namespace cnspec::provider
