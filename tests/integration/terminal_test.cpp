// Signals and terminals: what a person at the keyboard sees, and what is left behind when they have enough.
#include "terminal.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <regex>

#include "base/encoding.hpp"
#include "support/cnspec.hpp"
#include "support/http_server.hpp"
#include "support/platform.hpp"

namespace cnspec::test {
namespace {

class TerminalTest : public testing::Test {
 protected:
  void SetUp() override {
    user.env["TERM"] = "xterm-256color";
    user.env["LANG"] = "C.UTF-8";
    for (const char* name : {"LC_ALL", "LC_CTYPE", "CLICOLOR_FORCE", "NO_COLOR"})
      user.env[name] = std::nullopt;
  }

  static Argv command(const Argv& args) {
    Argv out = {program("cnspec")};
    out.insert(out.end(), args.begin(), args.end());
    return out;
  }

  void configure(const std::string& endpoint, const std::string& more = "") {
    user.home().write(".config/mondoo/mondoo.yml", "api_endpoint: " + endpoint + "\n" + more);
  }

  ProcessOptions options() const {
    ProcessOptions out;
    out.env = user.env;
    return out;
  }

  User user;
};

HttpResponse never(const HttpRequest&) {
  HttpResponse out;
  out.fault = HttpResponse::Fault::kSilence;
  return out;
}

// ---- signals ----

class SignalTest : public TerminalTest, public testing::WithParamInterface<int> {};

TEST_P(SignalTest, EndsTheProgramWhileThePlatformIsSilent) {
  HttpServer silent(never);
  configure(silent.url());
  Process status = user.start({"status", "--timeout", "1h"});
  silent.wait_for_requests(1);
  status.signal(GetParam());
  const RunResult result = status.wait();
  EXPECT_EQ(result.signal, GetParam()) << "of which a shell makes 128 more";
  EXPECT_EQ(result.out + result.err, "");
}

TEST_P(SignalTest, SaysDuringLoginThatThePlatformMayKnowTheClient) {
  HttpServer silent(never);
  const std::string token =
      "e30." + base64url_encode(R"({"space":"//captain.api.mondoo.app/spaces/x"})") + ".c2ln";
  Process login = user.start({"login", "--token", token, "--api-endpoint", silent.url(), "--timeout", "1h"});
  silent.wait_for_requests(1);
  login.signal(GetParam());
  const RunResult result = login.wait();
  EXPECT_EQ(result.signal, GetParam());
  EXPECT_NE(result.err.find("x interrupted while registering: the platform may know this client already"),
            std::string::npos)
      << result.err;
  EXPECT_TRUE(!std::filesystem::exists(user.config_file().parent_path()) ||
              std::filesystem::is_empty(user.config_file().parent_path()));
}

INSTANTIATE_TEST_SUITE_P(Of, SignalTest, testing::Values(SIGINT, SIGTERM, SIGHUP, SIGQUIT),
                         [](const auto& signal) { return ::sigabbrev_np(signal.param); });

TEST_F(TerminalTest, AShellSeesTheUsualNumbers) {
  HttpServer silent(never);
  configure(silent.url());
  Process shell = Process::start(
      {"sh", "-c", program("cnspec") + " status --timeout 1h & echo $!; wait $!; echo $?"}, options());
  const auto pid = shell.read_line();
  ASSERT_TRUE(pid);
  silent.wait_for_requests(1);
  ::kill(std::stoi(*pid), SIGTERM);
  EXPECT_EQ(shell.read_line(), std::to_string(128 + SIGTERM));
}

TEST_F(TerminalTest, ASignalThatIsIgnoredStaysIgnored) {
  HttpServer silent(never);
  configure(silent.url());
  Process status = Process::start(
      {"sh", "-c", "trap '' INT; exec " + program("cnspec") + " status --timeout 700ms"}, options());
  silent.wait_for_requests(1);
  status.signal(SIGINT);
  EXPECT_EQ(status.wait().exit_code, 1);
}

TEST_F(TerminalTest, CtrlCEndsItAndTakesTheProgressAway) {
  HttpServer silent(never);
  configure(silent.url());
  OnTerminal status(command({"status", "--timeout", "1h"}), user.env);
  ASSERT_TRUE(status.wait_for("asking Mondoo Platform ..."));
  status.type("\x03");
  const int ended = status.wait();
  EXPECT_TRUE(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGINT);
  EXPECT_TRUE(status.screen().ends_with("\r\033[K")) << status.screen();
}

// ---- secrets that are typed ----

TEST_F(TerminalTest, LoginAsksForTheTokenAndDoesNotShowIt) {
  Platform platform;
  const std::string token = platform.token();
  OnTerminal login(command({"login", "--ca-file", platform.ca_file()}), user.env);
  ASSERT_TRUE(login.wait_for("registration token (not shown): "));
  EXPECT_FALSE(login.echoes());
  login.type("  " + token + "\r");
  ASSERT_TRUE(login.wait_for("has logged in successfully")) << login.screen();
  EXPECT_TRUE(login.echoes());
  EXPECT_EQ(login.wait(), 0);
  EXPECT_EQ(login.screen().find(token.substr(0, 20)), std::string::npos);
  EXPECT_EQ(user.run({"status"}).exit_code, 0);
}

TEST_F(TerminalTest, ATypedTokenCanBeMended) {
  OnTerminal login(command({"login"}), user.env);
  ASSERT_TRUE(login.wait_for("not shown): "));
  login.type(
      "wrong\x15"
      "no.to\x7f\x7f"
      "token\r");  // kill the line, then erase two characters
  ASSERT_TRUE(login.wait_for("malformed")) << login.screen();
  EXPECT_NE(login.screen().find("expected three parts"), std::string::npos) << login.screen();
}

TEST_F(TerminalTest, CtrlCAtThePromptGivesTheTerminalBack) {
  OnTerminal login(command({"login"}), user.env);
  ASSERT_TRUE(login.wait_for("not shown): "));
  EXPECT_FALSE(login.echoes());
  login.type("half a sec\x03");
  const int ended = login.wait();
  EXPECT_TRUE(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGINT);
  EXPECT_TRUE(login.echoes());
  EXPECT_EQ(login.screen().find("half"), std::string::npos);
}

TEST_F(TerminalTest, AConnectorsPasswordIsNotShownEither) {
  OnTerminal discover(command({"discover", "arista", "admin@127.0.0.1:1", "--ask-pass"}), user.env);
  ASSERT_TRUE(discover.wait_for("(not shown): ")) << discover.screen();
  EXPECT_FALSE(discover.echoes());
  discover.type("hunter2-horse\r");
  discover.wait();
  EXPECT_TRUE(discover.echoes());
  EXPECT_EQ(discover.screen().find("horse"), std::string::npos) << discover.screen();
}

TEST_F(TerminalTest, AnEmptyAnswerAndTheEndOfInputAreWrongUsage) {
  for (const char* keys : {"\r", "\x04"}) {
    OnTerminal login(command({"login"}), user.env);
    ASSERT_TRUE(login.wait_for("not shown): "));
    login.type(keys);
    const int ended = login.wait();
    EXPECT_TRUE(WIFEXITED(ended) && WEXITSTATUS(ended) == 2) << login.screen();
    EXPECT_NE(login.screen().find("no registration token was typed"), std::string::npos) << login.screen();
  }
}

TEST_F(TerminalTest, WithoutATerminalNobodyIsAsked) {
  const RunResult login = user.run({"login"});
  EXPECT_EQ(login.exit_code, 2);
  EXPECT_EQ(
      login.err,
      "x no registration token was given\n  cnspec login --token-file FILE, or MONDOO_REGISTRATION_TOKEN\n");
}

// ---- what a terminal is shown ----

constexpr char kNoConfiguration[] = "no Mondoo configuration file provided, using defaults\r\n";

TEST_F(TerminalTest, ColoursAreForTerminalsThatHaveThem) {
  const auto first_line = [&](const std::map<std::string, std::string>& env) {
    auto all = user.env;
    for (const auto& [name, value] : env) all[name] = value;
    OnTerminal status(command({"status", "--timeout", "1s"}), all);
    status.wait();
    return status.screen();
  };
  const std::string colored = std::string("\033[38;5;78m→\033[0m ") + kNoConfiguration;
  const std::string plain = std::string("→ ") + kNoConfiguration;
  EXPECT_NE(first_line({}).find(colored), std::string::npos);
  EXPECT_TRUE(first_line({{"NO_COLOR", "1"}}).find(plain) != std::string::npos);
  EXPECT_TRUE(first_line({{"NO_COLOR", "1"}, {"CLICOLOR_FORCE", "1"}}).find(plain) != std::string::npos);
  const std::string dumb = first_line({{"TERM", "dumb"}});
  EXPECT_TRUE(dumb.starts_with(plain)) << dumb;
  EXPECT_EQ(dumb.find('\033'), std::string::npos) << dumb;
}

TEST_F(TerminalTest, PipesGetColoursOnlyWhenForced) {
  EXPECT_EQ(user.run({"status", "--timeout", "1s"}).out.find('\033'), std::string::npos);
  user.env["CLICOLOR_FORCE"] = "1";
  EXPECT_TRUE(user.run({"status", "--timeout", "1s"}).out.starts_with("\033[38;5;78m→\033[0m no Mondoo"));
}

TEST_F(TerminalTest, MarkersAreAsciiWhereTheLocaleIsNotUtf8AndOnlyOnATerminal) {
  user.env["TERM"] = "dumb";
  for (const char* locale : {"C", "POSIX", "de_DE.ISO-8859-1", ""}) {
    user.env["LANG"] = locale;
    OnTerminal status(command({"status", "--timeout", "1s"}), user.env);
    status.wait();
    EXPECT_TRUE(status.screen().starts_with(std::string("-> ") + kNoConfiguration))
        << locale << status.screen();
    EXPECT_EQ(status.screen().find("→"), std::string::npos) << locale;
    EXPECT_TRUE(user.run({"status", "--timeout", "1s"}).out.starts_with("→ no Mondoo"))
        << "what scripts compare";
  }
  user.env["LC_ALL"] = "en_US.utf8";
  OnTerminal status(command({"status", "--timeout", "1s"}), user.env);
  status.wait();
  EXPECT_TRUE(status.screen().starts_with("→ ")) << "LC_ALL goes before LANG";
}

TEST_F(TerminalTest, ProgressFitsIntoANarrowTerminal) {
  HttpServer silent(never);
  configure(silent.url());
  OnTerminal status(command({"status", "--timeout", "1h"}), user.env, 20);
  ASSERT_TRUE(status.wait_for("asking Mondoo Pla\033[K")) << status.screen();
  status.signal(SIGTERM);
  status.wait();
}

// The report's lines are a contract that scripts and eyes rely on: the terminal breaks them, not we.
TEST_F(TerminalTest, TheReportOfANarrowTerminalIsTheSame) {
  configure("http://127.0.0.1:1");
  const std::regex time("Time:\t\t\t[^ \r\n]+");
  std::string narrow, wide;
  for (const auto& [columns, screen] : {std::pair(40, &narrow), std::pair(300, &wide)}) {
    OnTerminal status(command({"status"}), user.env, static_cast<unsigned short>(columns));
    const int ended = status.wait();
    EXPECT_TRUE(WIFEXITED(ended) && WEXITSTATUS(ended) == 1) << status.screen();
    *screen = std::regex_replace(status.screen(), time, "<>");
  }
  EXPECT_NE(narrow.find("Installed Providers:"), narrow.npos) << narrow;
  EXPECT_EQ(narrow, wide);
}

TEST_F(TerminalTest, HelpOfANarrowTerminalHasNarrowColumns) {
  OnTerminal narrow(command({"--help"}), user.env, 40);
  narrow.wait();
  EXPECT_NE(narrow.screen().find("\r\n  status          Show"), std::string::npos) << narrow.screen();
}

// However slow the machine is: what is seen before the time has passed, and what is not seen of a run that
// ended before it, says which it is.
TEST_F(TerminalTest, ProgressShowsOnlyOfWhatTakesLongerThanAMoment) {
  const auto moment = std::chrono::milliseconds(300);
  const auto now = [] { return std::chrono::steady_clock::now(); };
  {
    HttpServer silent(never);
    configure(silent.url());
    const auto begin = now();
    OnTerminal slow(command({"status", "--timeout", "1h"}), user.env);
    ASSERT_TRUE(slow.wait_for("asking Mondoo Platform ..."));
    EXPECT_GE(now() - begin, moment);
  }
  HttpServer fast([](const HttpRequest&) { return HttpResponse{.body = "{}"}; });
  configure(fast.url(), "updates_url: " + fast.url() + "\n");
  for (int i = 0; i < 5; ++i) {
    const auto begin = now();
    OnTerminal status(command({"status"}), user.env);
    EXPECT_TRUE(WIFEXITED(status.wait()));
    EXPECT_NE(status.screen().find("client is not registered"), std::string::npos) << status.screen();
    if (now() - begin >= moment) continue;  // a slow machine; what was seen above holds for it, too
    EXPECT_EQ(status.screen().find("asking"), std::string::npos) << status.screen();
    EXPECT_EQ(status.screen().find("\033[K"), std::string::npos) << status.screen();
  }
}

TEST_F(TerminalTest, NoProgressInAPipeNorOnADumbTerminal) {
  HttpServer silent(never);
  configure(silent.url());
  EXPECT_EQ(user.run({"status", "--timeout", "1s"}).err.find("asking"), std::string::npos);
  user.env["TERM"] = "dumb";
  OnTerminal dumb(command({"status", "--timeout", "1s"}), user.env);
  dumb.wait();
  EXPECT_EQ(dumb.screen().find("asking"), std::string::npos) << dumb.screen();
}

TEST_F(TerminalTest, WithoutArgumentsThereIsTheHelp) {
  const RunResult help = user.run({});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_EQ(help.out, user.run({"--help"}).out);
  EXPECT_EQ(help.err, "");
}

// ---- completion, in the shells themselves ----

class CompletionTest : public TerminalTest {
 protected:
  void SetUp() override {
    TerminalTest::SetUp();
    const auto bin = std::filesystem::path(program("cnspec")).parent_path().string();
    user.env["PATH"] = bin + ":/usr/bin:/bin";
    user.env["PS1"] = "$ ";
  }

  // What an interactive shell makes of these keys and a tab: the words that it then has.
  std::string completed(const Argv& shell, const std::string& setup, const std::string& typed) {
    OnTerminal terminal(shell, user.env, 200);
    terminal.type(setup + "\r");
    // Once at the line's begin, once at its end.
    terminal.type(typed +
                  "\t\x01"
                  "echo \x05> ~/words\rexit\r");
    terminal.wait();
    std::string words =
        std::filesystem::exists(user.home() / "words") ? read_file(user.home() / "words") : terminal.screen();
    std::filesystem::remove(user.home() / "words");
    while (!words.empty() && words.back() == '\n') words.pop_back();
    return words;
  }
  std::string bash(const std::string& typed) {
    return completed({"bash", "--norc", "--noprofile", "-i"}, "source <(cnspec completion bash)", typed);
  }
  std::string zsh(const std::string& typed) {
    return completed({"zsh", "-f", "-i"},
                     "bindkey -e; autoload -Uz compinit && compinit -u -D; source <(cnspec completion zsh)",
                     typed);
  }
};

TEST_F(CompletionTest, BashCompletesCommandsOptionsValuesAndConnectors) {
  EXPECT_EQ(bash("cnspec stat"), "cnspec status");
  EXPECT_EQ(bash("cnspec providers li"), "cnspec providers list");
  EXPECT_EQ(bash("cnspec providers lo"), "cnspec providers lock");
  EXPECT_EQ(bash("cnspec status --time"), "cnspec status --timeout");
  EXPECT_EQ(bash("cnspec status --timeout 5s --outp"), "cnspec status --timeout 5s --output");
  EXPECT_EQ(bash("cnspec status -o y"), "cnspec status -o yaml");
  EXPECT_EQ(bash("cnspec status --output=j"), "cnspec status --output=json");
  EXPECT_EQ(bash("cnspec --log-level t"), "cnspec --log-level trace");
  EXPECT_EQ(bash("cnspec completion f"), "cnspec completion fish");
  EXPECT_EQ(bash("cnspec discover ari"), "cnspec discover arista");
  EXPECT_EQ(bash("cnspec discover arista --ask"), "cnspec discover arista --ask-pass");
  EXPECT_EQ(bash("cnspec discover -o j"), "cnspec discover -o json");
}

TEST_F(CompletionTest, BashCompletesFilesWhereOneIsTaken) {
  user.home().write("my-token", "x");
  EXPECT_EQ(bash("cnspec login --token-file ~/my-t"),
            "cnspec login --token-file " + (user.home() / "my-token").string());
}

TEST_F(CompletionTest, FishCompletes) {
  const RunResult fish =
      test::run({"fish", "--no-config", "-c",
                 "cnspec completion fish | source; complete -C 'cnspec stat'; complete -C 'cnspec "
                 "status -o y'; complete -C 'cnspec discover arist'"},
                options());
  EXPECT_EQ(fish.out, "status\nyaml\narista\n") << fish.err;
}

TEST_F(CompletionTest, ZshCompletes) {
  EXPECT_EQ(zsh("cnspec stat"), "cnspec status");
  EXPECT_EQ(zsh("cnspec status -o y"), "cnspec status -o yaml");
  EXPECT_EQ(zsh("cnspec discover ari"), "cnspec discover arista");
}

TEST_F(CompletionTest, NothingIsPrintedAboutABrokenConfiguration) {
  user.home().write(".config/mondoo/mondoo.yml", "mrn: [\n");
  EXPECT_EQ(bash("cnspec stat"), "cnspec status");
}

// ---- the manual page ----

ProcessOptions wide() {
  ProcessOptions out;
  out.env = {{"MANWIDTH", "200"}, {"LC_ALL", "C.UTF-8"}};
  return out;
}

TEST(ManualPage, IsWellFormed) {
  const RunResult man =
      test::run({"man", "--warnings", "-l", std::string(CNSPEC_SOURCE_DIR) + "/cli/cnspec/cnspec.1"}, wide());
  EXPECT_EQ(man.exit_code, 0);
  EXPECT_EQ(man.err, "");
}

TEST(ManualPage, NamesEveryCommandAndOption) {
  const std::string page =
      test::run({"man", "-l", std::string(CNSPEC_SOURCE_DIR) + "/cli/cnspec/cnspec.1"}, wide()).out;
  const User user;
  const auto words = [&](const Argv& args) { return user.run(args).out; };
  const auto expect_all = [&](const std::string& list) {
    std::size_t begin = 0;
    while (begin < list.size()) {
      const auto end = std::min(list.find('\n', begin), list.size());
      const std::string word = list.substr(begin, end - begin);
      EXPECT_NE(page.find(word), std::string::npos) << word;
      begin = end + 1;
    }
  };
  expect_all(words({"__complete", "--", ""}));
  for (const char* command : {"login", "logout", "status", "discover", "completion", "version"}) {
    expect_all(words({"__complete", "--", command, "--"}));
  }
}

}  // namespace
}  // namespace cnspec::test
