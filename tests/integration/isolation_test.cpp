// Providers in processes of their own: what they send arrives as it would from this process, and whatever
// becomes of one is one error, while nothing of it is left.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "provider/discovery.hpp"
#include "provider/open.hpp"
#include "support/cnspec.hpp"
#include "support/process.hpp"

namespace {

namespace fs = std::filesystem;
using namespace cnspec::provider;
using cnspec::Error;
using cnspec::ErrorKind;
using cnspec::Result;
using cnspec::test::kPatience;
using cnspec::test::Process;
using cnspec::test::program;
using cnspec::test::read_file;
using cnspec::test::TempDir;
using Clock = std::chrono::steady_clock;

Limits within(std::chrono::milliseconds time = kPatience) {
  Limits limits;
  limits.deadline = Clock::now() + time;
  return limits;
}

Limits cancelled() {
  Limits limits = within();
  limits.cancelled = std::make_shared<std::atomic<bool>>(true);
  return limits;
}

// One provider in a folder of its own, run as the policy says: isolated, unless told otherwise.
class Home {
 public:
  explicit Home(const std::string& library) {
    const std::string name = fs::path(library).filename().string();
    folder_.write(name, read_file(library), 0755);
    SearchOptions options;
    options.flag_paths = {folder_.path().string()};
    Inventory inventory = discover(options);
    for (Found& found : inventory.active) {
      if (found.path.parent_path() == folder_.path()) found_ = std::move(found);
    }
    EXPECT_FALSE(found_.path.empty()) << name << " was not found";
    policy_.host_program = program("cnspec-provider-host");
    services_.log = [this](cnspec::log::Level, std::string_view line) {
      const std::lock_guard lock(mutex_);
      lines_.emplace_back(line);
    };
  }

  Services& services() { return services_; }
  IsolationPolicy& policy() { return policy_; }
  const Found& found() const { return found_; }
  fs::path folder() const { return folder_.path(); }
  Result<std::unique_ptr<Provider>> open() { return open_provider(found_, policy_, services_, within()); }
  std::vector<std::string> lines() {
    const std::lock_guard lock(mutex_);
    return lines_;
  }
  bool logged(const std::string& line) {
    const auto all = lines();
    return std::find(all.begin(), all.end(), line) != all.end();
  }

 private:
  TempDir folder_;
  Found found_;
  IsolationPolicy policy_;
  Services services_;
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

// The unruly provider, connected.
class Unruly : public Home {
 public:
  explicit Unruly(const std::string& word = "") : Home(UNRULY_PROVIDER) {
    auto opened = open();
    if (!opened) throw std::runtime_error(opened.error().message());
    provider_ = std::move(*opened);
    ConnectRequest request{"unruly", {}, {}, {{"password", "hunter2"}}};
    if (!word.empty()) request.args = {word};
    auto connected = provider_->connect(request, within());
    if (!connected) throw std::runtime_error(connected.error().message());
    connection_ = std::move(*connected);
  }

  Result<std::vector<Row>> fetch(const std::string& deed, const Limits& limits = within()) {
    return connection_->fetch({"thing", deed, {"text", "number"}, {}}, limits);
  }
  Error error(const std::string& deed, const Limits& limits = within()) {
    auto rows = fetch(deed, limits);
    return rows ? Error("no error") : rows.error();
  }
  void disconnect() { connection_.reset(); }
  void close() { provider_.reset(); }

 private:
  std::unique_ptr<Provider> provider_;
  std::unique_ptr<Connection> connection_;
};

bool exists(pid_t pid) { return ::kill(pid, 0) == 0 || errno != ESRCH; }

bool goes(pid_t pid) {
  const auto end = Clock::now() + kPatience;
  while (exists(pid)) {
    if (Clock::now() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

// The numbers in "... processes 1 2 3 end".
std::vector<pid_t> pids_in(const std::string& text) {
  std::vector<pid_t> pids(3);
  const auto at = text.find("processes ");
  if (at == std::string::npos ||
      std::sscanf(text.c_str() + at, "processes %d %d %d end", &pids[0], &pids[1], &pids[2]) != 3)
    return {};
  return pids;
}

std::string flat(const std::vector<Row>& rows) {
  std::string out;
  for (const Row& row : rows) {
    out += row.type + " " + row.id;
    for (std::size_t i = 0; i < row.size(); ++i) out += "|" + row.name(i) + "=" + to_text(row.value(i));
    out += "\n";
  }
  return out;
}

// ---- What arrives ----

TEST(Isolated, RequestsAndRowsArriveWhole) {
  Unruly unruly("word");
  auto rows = unruly.fetch("greet");
  ASSERT_TRUE(rows) << rows.error().message();
  EXPECT_EQ(flat(*rows), "thing t|text=word|number=22\nthing t|text=password|number=1\n");
  rows = unruly.fetch("many");
  ASSERT_TRUE(rows) << rows.error().message();
  ASSERT_EQ(rows->size(), 20000u);
  EXPECT_EQ(to_text(*rows->back().find("number")), "19999");
}

// Whatever a provider does with the ABI: the same answer, and the same words when it is wrong.
TEST(Isolated, AnswersAsInThisProcess) {
  Home inside(BEHAVE_PROVIDER), isolated(BEHAVE_PROVIDER);
  inside.policy().flags = {{"*", Isolation::kNone}};
  for (Home* home : {&inside, &isolated}) {
    home->services().http = [](cnspec::transport::Request request) -> Result<cnspec::transport::Response> {
      if (request.url.ends_with("/gone")) return cnspec::fail("nobody is there", ErrorKind::kUnavailable);
      cnspec::transport::Response answer;
      answer.status = 200;
      answer.headers = {{"x-a", "1"}};
      answer.body = request.method + " " + request.url;
      return answer;
    };
  }
  auto here = inside.open(), there = isolated.open();
  ASSERT_TRUE(here) << here.error().message();
  ASSERT_TRUE(there) << there.error().message();
  for (const char* mode : {"good",
                           "config",
                           "args",
                           "http",
                           "http-header",
                           "undeclared-type",
                           "type-no-utf8",
                           "id-no-utf8",
                           "no-begin",
                           "end-alone",
                           "two-begins",
                           "no-end",
                           "wrong-type",
                           "undeclared-field",
                           "field-number",
                           "null-value",
                           "unset",
                           "unknown-type",
                           "endless-string",
                           "null-array",
                           "null-ref",
                           "wrong-ref",
                           "wrong-time",
                           "too-deep",
                           "wrong-item",
                           "other-thread",
                           "allowed-elsewhere",
                           "mixed-handles",
                           "message-lines",
                           "message-huge",
                           "huge-string",
                           "identify-none",
                           "identify-two",
                           "identify-pot"}) {
    for (const char* id : {"port", "tags", "labels", "https://good.example.com/x",
                           "https://good.example.com/gone", "https://bad.example.com/"}) {
      std::string said[2];
      for (int i = 0; i < 2; ++i) {
        auto connection = (i == 0 ? *here : *there)->connect({"bad", {mode}, {}, {}}, within());
        ASSERT_TRUE(connection) << connection.error().message();
        if (std::string_view(mode).starts_with("identify")) {
          auto row = (*connection)->identify(within());
          said[i] = row ? flat({*row}) : row.error().message() + "|" + row.error().hint();
          continue;
        }
        auto rows = (*connection)->fetch({"pot", id, {"cups"}, {{"room", Value("kitchen")}}}, within());
        said[i] = rows ? flat(*rows) : rows.error().message() + "|" + rows.error().hint();
      }
      EXPECT_EQ(said[0], said[1]) << mode << " " << id;
      if (said[0].find(id) == std::string::npos && std::string_view(mode) != "http" &&
          std::string_view(mode) != "config")
        break;  // what it is asked for makes no difference
    }
  }
}

TEST(Isolated, ErrorsOfTheLoaderAndOfOpenAreTheSame) {
  for (const char* name : {"missing_symbol", "size_0", "no_fetch", "undefined_symbol", "missing_dependency",
                           "other_manifest", "open_fails", "open_fails_silently", "constructor"}) {
    Home home(std::string(BAD_PROVIDERS) + "/" + name + ".so");
    auto there = home.open();
    home.policy().flags = {{"bad", Isolation::kNone}};
    auto here = home.open();
    ASSERT_FALSE(here);
    ASSERT_FALSE(there);
    EXPECT_EQ(there.error().message(), here.error().message());
  }
}

// ---- How they end ----

TEST(Isolated, HalfARowSetIsAnError) {
  Unruly unruly;
  const Error error = unruly.error("half");
  EXPECT_EQ(error.message(), "provider \"unruly\": fetch thing: its process was ended by SIGKILL (Killed)");
}

TEST(Isolated, ACrashIsOneErrorWithTheLastLines) {
  Unruly unruly;
  const Error error = unruly.error("crash");
  EXPECT_EQ(error.message(),
            "provider \"unruly\": fetch thing: its process was ended by SIGSEGV (Segmentation fault)");
  EXPECT_EQ(error.hint(), "Its last line was: \"about to crash \\x1b[31m\"");
  EXPECT_EQ(unruly.error("exit").message(),
            "provider \"unruly\": fetch thing: its process ended with the exit code 0 before it answered");
}

TEST(Isolated, AClosedChannelAndNonsenseAreNamed) {
  struct Case {
    const char* deed;
    const char* said;
  };
  for (const Case& c : {
           Case{"close channel", "closed the channel to the program"},
           Case{"close and hang", "closed the channel to the program, and was ended"},
           Case{"garbage",
                "broke the protocol and was ended: it sent a frame of the unknown kind 1414012975"},
           Case{
               "huge frame",
               "broke the protocol and was ended: it sent a frame of 4294967280 bytes, at most 269484032 are "
               "taken"},
           Case{"other answer", "broke the protocol and was ended: it answered what it was not asked"},
       }) {
    Unruly unruly;
    EXPECT_EQ(unruly.error(c.deed).message(), std::string("provider \"unruly\": fetch thing: ") + c.said);
  }
}

TEST(Isolated, EndlessRowsEndAtTheDeadline) {
  Unruly unruly;
  // Too short for so many bytes to come as would be too many.
  const Error error = unruly.error("endless", within(std::chrono::milliseconds(100)));
  EXPECT_EQ(error.kind(), ErrorKind::kTimeout);
  EXPECT_EQ(error.message(),
            "provider \"unruly\": fetch thing: did not answer by its deadline; its process was ended");
}

TEST(Isolated, WhateverComesEndsAtTheDeadline) {
  for (const char* deed : {"urgent", "shut", "stop", "flood"}) {
    Unruly unruly;
    const Error error = unruly.error(deed, within(std::chrono::milliseconds(300)));
    EXPECT_EQ(error.message(),
              "provider \"unruly\": fetch thing: did not answer by its deadline; its process was ended")
        << deed;
    EXPECT_TRUE(unruly.fetch("greet")) << deed;
  }
}

TEST(Isolated, TakesNoDescriptorsAndNoEndlessHeaders) {
  const auto open = [] {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
  };
  Unruly unruly;
  const auto before = open();
  auto rows = unruly.fetch("descriptors sent");
  ASSERT_TRUE(rows) << rows.error().message();
  EXPECT_EQ(flat(*rows), "thing t|text=still|number=1\n");
  EXPECT_EQ(open(), before);
  EXPECT_EQ(Unruly().error("headers").message(),
            "provider \"unruly\": fetch thing: broke the protocol and was ended: it sent a request for HTTP "
            "that cannot be read");
}

TEST(Isolated, AHangEndsAtTheDeadline) {
  Unruly unruly;
  const Error error = unruly.error("hang", within(std::chrono::milliseconds(300)));
  EXPECT_EQ(error.kind(), ErrorKind::kTimeout);
  EXPECT_EQ(error.message(),
            "provider \"unruly\": fetch thing: did not answer by its deadline; its process was ended");
  auto rows = unruly.fetch("greet");
  EXPECT_TRUE(rows) << rows.error().message();
}

TEST(Isolated, ACancelledCallEndsByItselfOrIsEnded) {
  Unruly polite;
  EXPECT_EQ(polite.error("until cancelled", cancelled()).message(),
            "provider \"unruly\": fetch thing: it was cancelled");
  for (const char* deed : {"hang", "hang deaf"}) {
    Unruly unruly;
    const Error error = unruly.error(deed, cancelled());
    EXPECT_EQ(error.kind(), ErrorKind::kCancelled);
    EXPECT_EQ(error.message(),
              "provider \"unruly\": fetch thing: did not stop when it was cancelled; its process was ended");
  }
}

TEST(Isolated, StartsAgainThreeTimesAndConnectsAsBefore) {
  Unruly unruly("word");
  for (int round = 0; round < 3; ++round) {
    EXPECT_NE(unruly.error("crash").message().find("SIGSEGV"), std::string::npos);
    auto rows = unruly.fetch("greet");
    ASSERT_TRUE(rows) << rows.error().message();
    EXPECT_EQ(flat(*rows), "thing t|text=word|number=22\nthing t|text=password|number=1\n");
  }
  EXPECT_NE(unruly.error("crash").message().find("SIGSEGV"), std::string::npos);
  EXPECT_EQ(unruly.error("greet").message(),
            "provider \"unruly\": fetch thing: its process has ended 4 times and is not started any more");
}

TEST(Isolated, SaysWhyItCannotStartAgain) {
  Unruly unruly;
  EXPECT_NE(unruly.error("crash").message().find("SIGSEGV"), std::string::npos);
  fs::remove(unruly.found().path);
  const std::string said = unruly.error("greet").message();
  EXPECT_EQ(said.find("provider \"unruly\": fetch thing: starting again: load " +
                      unruly.found().path.string() + ": "),
            0u)
      << said;
}

TEST(Isolated, WhatFailsAtTheEndIsLogged) {
  Unruly unruly("crash at the end");
  unruly.disconnect();
  unruly.close();
  EXPECT_TRUE(unruly.logged(
      "provider \"unruly\": disconnect: its process was ended by SIGSEGV (Segmentation fault)"));
}

// ---- What is left ----

TEST(Isolated, LeavesNoProcess) {
  Unruly unruly;
  EXPECT_NE(unruly.error("processes and crash").message().find("SIGSEGV"), std::string::npos);
  std::vector<pid_t> pids;
  for (const std::string& line : unruly.lines()) {
    if (pids.empty()) pids = pids_in(line);
  }
  ASSERT_EQ(pids.size(), 3u);
  for (const pid_t pid : pids) EXPECT_FALSE(exists(pid)) << pid;

  auto rows = unruly.fetch("processes");
  ASSERT_TRUE(rows) << rows.error().message();
  unruly.disconnect();
  unruly.close();
  for (const Row& row : *rows) EXPECT_FALSE(exists(std::stoi(row.text("number")))) << row.text("text");
}

TEST(Isolated, LeavesNoProcessWhenTheProgramIsKilled) {
  const Home home(UNRULY_PROVIDER);
  cnspec::test::ProcessOptions options;
  options.env["HOME"] = home.folder().string();
  options.env["PROVIDERS_PATH"] = home.folder().string();
  Process cnspec = Process::start(
      {program("cnspec"), "--log-level", "info", "--timeout", "60s", "discover", "unruly", "linger"},
      options);
  ASSERT_TRUE(cnspec.wait_for_err(" end"));
  cnspec.signal(SIGKILL);
  const auto result = cnspec.wait();
  const auto pids = pids_in(result.err);
  ASSERT_EQ(pids.size(), 3u) << result.err;
  for (const pid_t pid : pids) EXPECT_TRUE(goes(pid)) << pid;
}

TEST(Isolated, EndsWithTheProgramAtItsDeadline) {
  const Home home(UNRULY_PROVIDER);
  cnspec::test::ProcessOptions options;
  options.env["HOME"] = home.folder().string();
  options.env["PROVIDERS_PATH"] = home.folder().string();
  const auto result = cnspec::test::run(
      {program("cnspec"), "--log-level", "info", "--timeout", "3s", "discover", "unruly", "linger"}, options);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find(
                "x provider \"unruly\": identify: did not answer by its deadline; its process was ended\n"),
            std::string::npos)
      << result.err;
  const auto pids = pids_in(result.err);
  ASSERT_EQ(pids.size(), 3u) << result.err;
  for (const pid_t pid : pids) EXPECT_FALSE(exists(pid)) << pid;
}

// ---- What it gets ----

TEST(Isolated, SeesOnlyWhatItsManifestNames) {
  ::setenv("UNRULY_SEEN", "1", 1);
  ::setenv("UNSEEN_SECRET", "1", 1);
  ::setenv("MONDOO_CONFIG_BASE64", "c2VjcmV0", 1);
  Unruly unruly;
  auto rows = unruly.fetch("environment");
  for (const char* name : {"UNRULY_SEEN", "UNSEEN_SECRET", "MONDOO_CONFIG_BASE64"}) ::unsetenv(name);
  ASSERT_TRUE(rows) << rows.error().message();
  const std::string all = flat(*rows);
  for (const char* seen : {"text=UNRULY_SEEN=1|", "text=PATH=", "text=TMPDIR="})
    EXPECT_NE(all.find(seen), std::string::npos) << seen << all;
  for (const char* hidden : {"UNSEEN_SECRET", "MONDOO_", "LD_PRELOAD"})
    EXPECT_EQ(all.find(hidden), std::string::npos) << hidden << all;
}

TEST(Isolated, GetsNoDescriptorButItsOwn) {
  const int open =
      ::dup(STDERR_FILENO);  // not to be closed on exec; its own are the streams, the channel, the
  // library and where the sandbox reports
  Unruly unruly;
  auto rows = unruly.fetch("descriptors");
  ::close(open);
  ASSERT_TRUE(rows) << rows.error().message();
  for (const Row& row : *rows) EXPECT_LE(std::stoi(row.text("number")), 5) << row.text("number");
}

TEST(Isolated, WithoutDescriptorsItIsAnError) {
  Home home(UNRULY_PROVIDER);
  const TempDir scratches;
  ::setenv("TMPDIR", scratches.path().c_str(), 1);
  const int next = ::dup(STDERR_FILENO);
  ::close(next);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  bool opened = false;
  for (int spare = 0; !opened && spare < 100; ++spare) {
    const rlimit few{static_cast<rlim_t>(next + spare), before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &few);
    auto provider = home.open();
    ::setrlimit(RLIMIT_NOFILE, &before);
    opened = provider.has_value();
    if (!opened) {
      EXPECT_NE(provider.error().message().find("Too many open files"), std::string::npos)
          << spare << ": " << provider.error().message();
    }
  }
  EXPECT_TRUE(opened);
  ::unsetenv("TMPDIR");
  EXPECT_TRUE(fs::is_empty(scratches.path()));
}

TEST(Isolated, StandardStreamsBecomeLinesOfTheLog) {
  Unruly unruly;
  auto rows = unruly.fetch("standard streams");
  ASSERT_TRUE(rows) << rows.error().message();
  EXPECT_EQ(flat(*rows), "thing t|text=read|number=0\n");
  unruly.disconnect();
  unruly.close();
  for (const char* line : {"on standard output", "on standard error", "without an end"})
    EXPECT_TRUE(unruly.logged(std::string("provider \"unruly\": ") + line)) << line;
}

TEST(Isolated, LogsNoMoreThanIsKept) {
  Unruly unruly;
  auto rows = unruly.fetch("chatter");
  ASSERT_TRUE(rows) << rows.error().message();
  unruly.disconnect();
  unruly.close();
  EXPECT_EQ(unruly.lines().size(), 1000u);
  EXPECT_TRUE(unruly.logged("provider \"unruly\": logs more than is kept; the rest is dropped"));
}

// ---- Who runs where ----

TEST(Policy, BundledRunInTheProcessAndAllOthersInTheirOwn) {
  Found ours, theirs;
  ours.manifest.name = theirs.manifest.name = "x";
  ours.origin = Origin::kBundled;
  theirs.origin = Origin::kUser;
  const auto isolates = [&](IsolationRules configured, IsolationRules flags) {
    const IsolationPolicy policy{std::move(configured), std::move(flags), {}, {}};
    return std::pair(policy.isolates(ours), policy.isolates(theirs));
  };
  using Both = std::pair<bool, bool>;
  EXPECT_EQ(isolates({}, {}), Both(false, true));
  EXPECT_EQ(isolates({{"*", Isolation::kProcess}}, {}), Both(true, true));
  EXPECT_EQ(isolates({{"*", Isolation::kProcess}, {"x", Isolation::kAuto}}, {}), Both(false, true));
  EXPECT_EQ(isolates({{"x", Isolation::kNone}}, {}), Both(false, true));
  EXPECT_EQ(isolates({}, {{"*", Isolation::kNone}}), Both(false, false));
  EXPECT_EQ(isolates({}, {{"y", Isolation::kNone}}), Both(false, true));
  EXPECT_EQ(isolates({{"*", Isolation::kProcess}}, {{"x", Isolation::kNone}}), Both(false, false));
}

// What status says of where a provider runs.
std::string isolated(const std::string& json, const std::string& name) {
  const auto at = json.find("\"name\": \"" + name + "\"");
  const auto key = at == std::string::npos ? at : json.find("\"isolated\": ", at);
  return key == std::string::npos ? "nothing" : json.substr(key + 12, 4);
}

TEST(Policy, OnlyTheFlagLoosens) {
  const Home home(UNRULY_PROVIDER);
  struct Case {
    const char* file;
    const char* variable;
    std::vector<std::string> flags;
    const char* os;      // bundled
    const char* unruly;  // not
    const char* warning;
  };
  for (const Case& c : {
           Case{"", "", {}, "fals", "true", ""},
           Case{"isolation: none", "", {}, "fals", "true", ""},
           Case{"isolation: process", "", {}, "true", "true", ""},
           Case{"isolation: {os: process, unruly: none}", "", {}, "true", "true", ""},
           Case{"", "process", {}, "true", "true", ""},
           Case{"isolation: process",
                "auto",
                {},
                "true",
                "true",
                "MONDOO_ISOLATION cannot loosen isolation: it is auto, and process stays"},
           Case{"isolation: {os: process}",
                R"({"os": "none", "aws": "process"})",
                {},
                "true",
                "true",
                "MONDOO_ISOLATION cannot loosen isolation: for os it is none, and process stays"},
           Case{"isolation: process", "process", {"--isolation", "none"}, "fals", "fals", ""},
           Case{"isolation: process", "", {"--isolation=unruly=none"}, "true", "fals", ""},
           Case{"", "", {"--isolation=process", "--isolation=unruly=none"}, "true", "fals", ""},
       }) {
    const TempDir user;
    cnspec::test::ProcessOptions options;
    options.env["HOME"] = user.path().string();
    options.env["PROVIDERS_PATH"] = home.folder().string();
    options.env["MONDOO_API_ENDPOINT"] = "http://127.0.0.1:1";
    options.env["MONDOO_UPDATES_URL"] = "http://127.0.0.1:1";
    options.env["MONDOO_CONFIG_PATH"] = user.write("mondoo.yml", std::string(c.file) + "\n").string();
    if (*c.variable) options.env["MONDOO_ISOLATION"] = c.variable;
    std::vector<std::string> argv = {program("cnspec"), "status", "-o", "json"};
    argv.insert(argv.end(), c.flags.begin(), c.flags.end());
    const auto status = cnspec::test::run(argv, options);
    const std::string what = std::string(c.file) + " / " + c.variable + "\n" + status.out + status.err;
    EXPECT_EQ(isolated(status.out, "os"), c.os) << what;
    EXPECT_EQ(isolated(status.out, "unruly"), c.unruly) << what;
    EXPECT_NE(status.err.find(c.warning), std::string::npos) << what;
  }
}

TEST(Policy, WordsThatAreNoneAreRefused) {
  const Home home(UNRULY_PROVIDER);
  const TempDir user;
  cnspec::test::ProcessOptions options;
  options.env["HOME"] = user.path().string();
  const auto said = [&](const std::string& file, const std::vector<std::string>& flags) {
    options.env["MONDOO_CONFIG_PATH"] = user.write("mondoo.yml", file + "\n").string();
    std::vector<std::string> argv = {program("cnspec"), "providers", "list"};
    argv.insert(argv.end(), flags.begin(), flags.end());
    const auto result = cnspec::test::run(argv, options);
    std::string err = result.err;
    if (const auto at = err.find(user.path().string()); at != std::string::npos)
      err.replace(at, user.path().string().size(), "HOME");
    return std::to_string(result.exit_code) + " " + err;
  };
  EXPECT_EQ(said("isolation: full", {}),
            "78 x HOME/mondoo.yml:1:12: isolation must be none or auto or process, found full\n");
  EXPECT_EQ(said("isolation: {os: full}", {}),
            "78 x HOME/mondoo.yml:1:17: isolation must be none or auto or process, found full\n");
  EXPECT_EQ(said("isolation: [process]", {}),
            "78 x HOME/mondoo.yml:1:12: isolation must be none or auto or process, found a list\n");
  EXPECT_EQ(said("", {"--isolation", "os=full"}),
            "2 x --isolation: expected [NAME=]auto, [NAME=]process or [NAME=]none, found \"os=full\"\n");
}

// A program beside which there is a tripwire in place of cnspec-provider-host.
TEST(Policy, StatusStartsNoProcess) {
  const TempDir tree;
  fs::create_directories(tree / "bin");
  fs::create_directories(tree / "providers");
  fs::copy_file(program("cnspec"), tree / "bin/cnspec");
  fs::create_directory_symlink(fs::path(program("cnspec")).parent_path().parent_path() / "lib", tree / "lib");
  tree.write("bin/cnspec-provider-host", "#!/bin/sh\necho started >> '" + (tree / "wire").string() + "'\n",
             0755);
  const std::string bytes = read_file(UNRULY_PROVIDER);
  for (char letter = 'a'; letter < 'a' + 20; ++letter) {
    std::string one = bytes;
    for (auto at = one.find("unruly"); at != std::string::npos; at = one.find("unruly", at + 1))
      one[at] = letter;
    tree.write(std::string("providers/") + letter + "nruly.so", one, 0755);
  }
  cnspec::test::ProcessOptions options;
  options.env["HOME"] = tree.path().string();
  options.env["PROVIDERS_PATH"] = (tree / "providers").string();
  options.env["MONDOO_API_ENDPOINT"] = "http://127.0.0.1:1";
  options.env["MONDOO_UPDATES_URL"] = "http://127.0.0.1:1";
  const auto status = cnspec::test::run({(tree / "bin/cnspec").string(), "status", "-o", "json"}, options);
  EXPECT_NE(status.out.find("\"tnruly\""), std::string::npos) << status.out << status.err;
  EXPECT_FALSE(fs::exists(tree / "wire"));
  const auto discover = cnspec::test::run({(tree / "bin/cnspec").string(), "discover", "tnruly"}, options);
  EXPECT_EQ(discover.exit_code, 1);
  EXPECT_TRUE(fs::exists(tree / "wire")) << discover.err;
}

}  // namespace
