// The command line as its users meet it: wrong usage, help, completion, lists, and standard streams that
// fail.
#include <gtest/gtest.h>
#include <rapidjson/document.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include "base/version.hpp"
#include "support/cnspec.hpp"

namespace cnspec::test {
namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
std::ptrdiff_t lines(const std::string& text) { return std::count(text.begin(), text.end(), '\n'); }
std::set<std::string> words(const std::string& text) {
  std::set<std::string> out;
  std::string word;
  for (const char c : text + "\n") {
    if (c == '\n' || c == ' ' || c == '\t') {
      if (!word.empty()) out.insert(word);
      word.clear();
    } else {
      word += c;
    }
  }
  return out;
}

class CliTest : public testing::Test {
 protected:
  User user;

  // One or two lines on standard error, of which the first is this; nothing else.
  void expect_usage(const Argv& args, const std::string& first_line) const {
    const RunResult result = user.run(args);
    std::string shown;
    for (const auto& arg : args) shown += arg + " ";
    EXPECT_EQ(result.exit_code, 2) << shown << result.err;
    EXPECT_EQ(result.out, "") << shown;
    EXPECT_TRUE(result.err.starts_with("x " + first_line + "\n")) << shown << result.err;
    EXPECT_LE(lines(result.err), 2) << shown << result.err;
  }

  RunResult shell(const std::string& script, const std::string& which = "bash") const {
    ProcessOptions options;
    options.env = user.env;
    const char* path = std::getenv("PATH");
    options.env["PATH"] =
        std::filesystem::path(program("cnspec")).parent_path().string() + ":" + (path ? path : "");
    return run({which, "-c", script}, options);
  }
};

// ---- wrong usage ----

TEST_F(CliTest, SaysWhatWasWrongInOneSentence) {
  expect_usage({"stats"}, "there is no command stats; did you mean status?");
  expect_usage({"xyzzy"}, "there is no command xyzzy");
  expect_usage({""}, "there is no command \"\"");
  expect_usage({"--verbose"}, "there is no command");
  expect_usage({"providers"}, "cnspec providers needs a command");
  expect_usage({"providers", "lst"}, "there is no command lst; did you mean list?");
  expect_usage({"status", "extra"}, "cnspec status takes no arguments");
  expect_usage({"status", "status"}, "cnspec status takes no arguments");
  expect_usage({"version", "extra"}, "cnspec version takes no arguments");
  expect_usage({"completion"}, "cnspec completion: expected SHELL (bash, zsh or fish), found nothing");
  expect_usage({"completion", "tcsh"}, "SHELL: expected bash, zsh or fish, found tcsh");
  expect_usage({"completion", "bash", "zsh"}, "cnspec completion: expected 1 argument, found more");
  expect_usage({"providers", "remove"}, "cnspec providers remove: expected NAME, found nothing");
  expect_usage({"providers", "remove", "a", "b"}, "cnspec providers remove: expected 1 argument, found more");
  // Those that take many take more than one.
  expect_usage({"providers", "install", "os", "aws", "A@"},
               "A@: expected NAME or NAME@VERSION, where a name is letters, digits and dashes");
}

TEST_F(CliTest, KnowsWhichOptionWasMeant) {
  expect_usage({"status", "--outptu", "json"}, "there is no option --outptu; did you mean --output?");
  expect_usage({"status", "--hlep"}, "there is no option --hlep; did you mean --help?");
  expect_usage({"status", "-x"}, "there is no option -x");
  expect_usage({"--version"}, "there is no option --version; did you mean the command version?");
  expect_usage({"--output", "json", "status"}, "the option --output belongs after status");
  expect_usage({"completion", "--nope"}, "there is no option --nope");
}

TEST_F(CliTest, SaysWhatAValueMustBe) {
  expect_usage({"status", "-o", "xml"}, "--output: expected text, json or yaml, found xml");
  expect_usage({"status", "-o", "yml"},
               "--output: expected text, json or yaml, found yml; did you mean yaml?");
  expect_usage({"status", "-o", ""}, "--output: expected text, json or yaml, found \"\"");
  expect_usage({"status", "--output="}, "--output: expected text, json or yaml, found \"\"");
  expect_usage({"version", "--trust", "sined"},
               "--trust: expected any or signed, found sined; did you mean signed?");
  const std::string duration = "--timeout: expected a duration such as 5s, 500ms or 1m, found ";
  for (const char* given : {"5", "0s", "-1s"}) expect_usage({"status", "--timeout", given}, duration + given);
  expect_usage({"status", "--timeout", ""}, duration + "\"\"");
  expect_usage({"login", "--timer", "0"}, "--timer: expected minutes, from 1 on, found 0");
  expect_usage({"login", "--timer", "99999999999"},
               "--timer: expected minutes, from 1 on, found 99999999999");
  expect_usage({"login", "--splay", "soon"}, "--splay: expected minutes, from 0 on, found soon");
  expect_usage({"logout", "--force=maybe"}, "--force: expected true or false, found maybe");
  expect_usage({"logout", "--force="}, "--force: expected true or false, found \"\"");
  const std::string folder = user.home().path().string();
  expect_usage({"version", "--ca-file", folder}, "--ca-file: expected a file, found the folder " + folder);
  expect_usage({"version", "--ca-file", folder + "/none"},
               "--ca-file: expected a file, found nothing at " + folder + "/none");
}

TEST_F(CliTest, KnowsAValueThatWasForgottenOrGivenTwice) {
  expect_usage({"status", "--timeout"}, "--timeout: expected a value, found nothing");
  expect_usage({"status", "-o"}, "--output: expected text, json or yaml, found nothing");
  expect_usage({"login", "--token", "--verbose"}, "--token: expected a value, found the option --verbose");
  expect_usage({"login", "--token", "--help"}, "--token: expected a value, found the option --help");
  expect_usage({"login", "--token", "--", "hunter2"}, "--token: expected a value, found --");
  expect_usage({"status", "--timeout", "1s", "--timeout", "2s"}, "--timeout: expected one value, found 2");
  expect_usage({"login", "--token", "a", "--token-file", "b"},
               "expected either --token-file or --token, found both");
  expect_usage({"login", "-t=hunter2"}, "--token: expected -t VALUE or --token=VALUE, found -t= and a value");
  // No mistakes: a value that looks like an option, one that is empty, a flag that is given twice.
  EXPECT_EQ(user.run({"version", "--config=--verbose"}).exit_code, 0);
  const RunResult empty = user.run({"--api-proxy=", "config", "show", "-o", "json"});
  EXPECT_EQ(empty.exit_code, 0) << empty.err;
  EXPECT_TRUE(contains(empty.out, "--api-proxy")) << empty.out;
  EXPECT_EQ(user.run({"version", "-vv", "--verbose", "--auto-update=no"}).exit_code, 0);
  // Yes and no are the same words on the command line, in a variable and in a file.
  for (const char* word : {"t", "YES", "off", "n", "0"}) {
    User other;
    EXPECT_EQ(other.run({"version", std::string("--auto-update=") + word}).exit_code, 0) << word;
    other.env["MONDOO_AUTO_UPDATE"] = word;
    EXPECT_EQ(other.run({"config", "show"}).exit_code, 0) << word;
  }
}

TEST_F(CliTest, TwoDashesEndTheOptions) {
  expect_usage({"status", "--", "--verbose"}, "cnspec status takes no arguments");
  expect_usage({"--", "status"}, "the command status belongs before --");
  expect_usage({"discover", "--", "local"}, "the connector local belongs before --");
  const RunResult info = user.run({"providers", "info", "--", "--help"});
  EXPECT_EQ(info.exit_code, 1);
  EXPECT_TRUE(info.err.starts_with("x there is no provider --help\n")) << info.err;
  const RunResult connect = user.run({"discover", "arista", "--", "-weird"});
  EXPECT_EQ(connect.exit_code, 2);
  EXPECT_TRUE(contains(connect.err, "\"-weird\" names no user")) << connect.err;
}

TEST_F(CliTest, RepeatsNoMistypedSecret) {
  for (const Argv& args :
       {Argv{"login", "--tokn", "hunter2"}, Argv{"login", "--tokn=hunter2"}, Argv{"login", "hunter2"},
        Argv{"--token", "hunter2", "login"}, Argv{"discover", "arista", "--pasword=hunter2", "a@b"},
        Argv{"login", "--token", "hunter2", "--nope"}, Argv{"login", "-thunter2"}}) {
    const RunResult result = user.run(args);
    EXPECT_NE(result.exit_code, 0);
    EXPECT_FALSE(contains(result.out + result.err, "hunter2")) << result.err;
  }
  expect_usage({"login", "--tokn=hunter2"}, "there is no option --tokn; did you mean --token?");
  expect_usage({"login", "hunter2"}, "cnspec login takes no arguments");
  expect_usage({"--token", "hunter2", "login"}, "the option --token belongs after login");
}

TEST_F(CliTest, DiscoverKnowsItsConnectors) {
  expect_usage({"discover"}, "which connector?");
  expect_usage({"discover", "locl"}, "no installed provider has a connector locl; did you mean local?");
  expect_usage({"discover", "local", "--nope"}, "there is no option --nope");
  expect_usage({"discover", "local", "extra"}, "cnspec discover local takes no arguments");
  expect_usage({"discover", "arista"}, "cnspec discover arista: expected USER@HOST[:PORT], found nothing");
  expect_usage({"discover", "arista", "a@b", "c@d"},
               "cnspec discover arista: expected 1 argument, found more");
  expect_usage({"discover", "local", "-o", "xml"}, "--output: expected text or json, found xml");
  expect_usage({"discover", "--nope"}, "there is no option --nope");
  expect_usage({"discover", "--timeout", "5", "local"},
               "--timeout: expected a duration such as 5s, 500ms or 1m, found 5");
  expect_usage({"discover", "--transport", "http", "arista", "a@b"},
               "the option --transport belongs after arista");
  expect_usage({"discover", "locl", "--help"},
               "no installed provider has a connector locl; did you mean local?");
}

TEST_F(CliTest, HelpNeedsNothing) {
  user.home().write(".config/mondoo/mondoo.yml", "broken: [\n");
  for (const Argv& args :
       {Argv{"--help"}, Argv{"-h"}, Argv{"login", "--help"}, Argv{"register", "--help"},
        Argv{"status", "--help"}, Argv{"providers", "--help"}, Argv{"providers", "list", "--help"},
        Argv{"version", "--help"}, Argv{"completion", "--help"}}) {
    const RunResult help = user.run(args);
    EXPECT_EQ(help.exit_code, 0) << args[0] << help.err;
    EXPECT_TRUE(contains(help.out, "Usage: ") || contains(help.out, "Options")) << help.out;
    EXPECT_EQ(help.err, "");
  }
}

TEST_F(CliTest, HelpIsWhatItIs) {
  EXPECT_EQ(user.run({"status", "--help"}).out,
            "Show whether this machine is registered and accepted.\n"
            "\n"
            "Usage: cnspec status [OPTIONS]\n"
            "\n"
            "Options:\n"
            "  -o, --output text|json|yaml  Format (default: text)\n"
            "      --bundle FILE            Write all that a bug report needs to a new file,\n"
            "                               a .tar.gz\n"
            "  -h, --help                   Show this help\n"
            "\n"
            "Exit codes: 0 registered and authenticated; 1 not registered, or the platform\n"
            "said no or could not be asked; 2 wrong usage; 78 the configuration is unusable.\n"
            "\n"
            "Options of every command, such as --config and --timeout: see cnspec --help\n");
  EXPECT_TRUE(contains(user.run({"--help"}).out, "      --trust any|signed          Which providers"));
  EXPECT_TRUE(contains(user.run({"providers", "install", "--help"}).out,
                       "Usage: cnspec providers install [OPTIONS] [NAME...]\n"));
  EXPECT_TRUE(contains(user.run({"discover", "mock", "--help"}).out,
                       "Usage: cnspec discover mock [OPTIONS] [FILE]\n"));
}

// Whatever else is on the command line, as long as it names a command that there is.
TEST_F(CliTest, HelpGoesBeforeMistakes) {
  const std::string help = user.run({"status", "--help"}).out;
  for (const Argv& args :
       {Argv{"help", "status"}, Argv{"status", "--nope", "-h"}, Argv{"status", "extra", "--help"},
        Argv{"--help", "status"}, Argv{"status", "-o", "xml", "--help"}}) {
    const RunResult run = user.run(args);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(run.out, help) << args[0];
  }
  EXPECT_EQ(user.run({"help"}).out, user.run({"--help"}).out);
  EXPECT_EQ(user.run({"help", "providers", "list"}).out, user.run({"providers", "list", "--help"}).out);
  EXPECT_EQ(user.run({"completion", "--help"}).exit_code, 0);
  EXPECT_EQ(user.run({"providers", "verify", "os", "local", "--help"}).out.substr(0, 30),
            user.run({"discover", "local", "--help"}).out.substr(0, 30));
  expect_usage({"stats", "--help"}, "there is no command stats; did you mean status?");
  expect_usage({"help", "providers", "lst"}, "there is no command lst; did you mean list?");
}

TEST_F(CliTest, HelpOfConnectors) {
  for (const Argv& args : {Argv{"discover", "--help"}, Argv{"discover", "local", "--help"},
                           Argv{"discover", "arista", "--help"}}) {
    const RunResult help = user.run(args);
    EXPECT_EQ(help.exit_code, 0) << help.err;
    EXPECT_NE(help.out, "");
  }
  EXPECT_TRUE(contains(user.run({"discover", "arista", "--help"}).out, "--ask-pass"));
  EXPECT_TRUE(contains(user.run({"discover", "--help"}).out, "arista"));
}

TEST_F(CliTest, Version) {
  const RunResult text = user.run({"version"});
  EXPECT_TRUE(text.out.starts_with(std::string("cnspec ") + kVersion + " (")) << text.out;
  EXPECT_TRUE(text.out.ends_with(", API version 13)\n")) << text.out;
  rapidjson::Document json;
  json.Parse(user.run({"version", "-o", "JSON"}).out.c_str());
  ASSERT_FALSE(json.HasParseError());
  EXPECT_STREQ(json["version"].GetString(), kVersion);
  EXPECT_STREQ(json["apiVersion"].GetString(), "13");
}

// ---- completion ----

TEST_F(CliTest, CompletionKnowsCommandsOptionsAndConnectors) {
  const auto candidates = [&](const Argv& typed) {
    Argv args = {"__complete", "--"};
    args.insert(args.end(), typed.begin(), typed.end());
    const RunResult result = user.run(args);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return words(result.out);
  };
  using Words = std::set<std::string>;
  EXPECT_EQ(candidates({"stat"}), Words{"status"});
  EXPECT_EQ(candidates({"providers", ""}).count("list"), 1u);
  EXPECT_EQ(candidates({"login", "--token-f"}), Words{"--token-file"});
  EXPECT_EQ(candidates({"status", "--output", "json", "--tim"}), Words{"--timeout"});
  EXPECT_EQ(candidates({"discover", "loc"}), Words{"local"});
  EXPECT_EQ(candidates({"discover", "arista", "--ask"}), Words{"--ask-pass"});
  EXPECT_TRUE(candidates({"nonsense"}).empty());
  for (const char* command : {"info", "remove", "update", "rollback", "verify"}) {
    EXPECT_EQ(candidates({"providers", command, "o"}), Words{"os"}) << command;
    EXPECT_EQ(candidates({"providers", command, "--output", "json", ""}).count("aws"), 1u) << command;
  }
  EXPECT_EQ(candidates({"providers", "update", "os", "aw"}), Words{"aws"}) << "takes several";
  EXPECT_TRUE(candidates({"providers", "info", "os", ""}).empty()) << "takes one";
  EXPECT_EQ(candidates({"providers", "verify", "os", "lo"}), Words{"local"});
  EXPECT_EQ(candidates({"status", "--output=y"}), Words{"--output=yaml"});
  const auto all = candidates({""});
  for (const char* command : {"login", "status", "providers", "discover", "version", "completion"}) {
    EXPECT_EQ(all.count(command), 1u) << command;
  }
  EXPECT_EQ(all.count("__complete"), 0u);
}

TEST_F(CliTest, BashCompletes) {
  const RunResult result = shell(
      "source <(cnspec completion bash); complete -p cnspec; "
      "COMP_WORDS=(cnspec discover lo); COMP_CWORD=2; _cnspec; printf '%s\\n' \"${COMPREPLY[@]}\"; "
      "COMP_WORDS=(cnspec status --tim); COMP_CWORD=2; _cnspec; printf '%s\\n' \"${COMPREPLY[@]}\"; "
      "COMP_WORDS=(cnspec ''); COMP_CWORD=1; _cnspec; printf '%s\\n' \"${COMPREPLY[@]}\"");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  const auto seen = words(result.out);
  for (const char* word : {"local", "--timeout", "login"}) EXPECT_EQ(seen.count(word), 1u) << result.out;
}

TEST_F(CliTest, ScriptsForTheOtherShells) {
  const std::string zsh = user.run({"completion", "zsh"}).out;
  EXPECT_TRUE(zsh.starts_with("#compdef cnspec\n")) << zsh;
  EXPECT_TRUE(contains(zsh, "$(cnspec __complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)")) << zsh;
  EXPECT_TRUE(contains(zsh, "\ncompdef _cnspec cnspec\n")) << zsh;
  const std::string fish = user.run({"completion", "fish"}).out;
  EXPECT_TRUE(contains(fish, "cnspec __complete -- $words[2..-1] 2>/dev/null")) << fish;
  // Where the shell itself is there, it is the judge.
  for (const char* which : {"zsh", "fish"}) {
    if (shell(std::string("command -v ") + which).exit_code != 0) continue;
    const RunResult parsed = shell(std::string("cnspec completion ") + which + " | " + which + " -n");
    EXPECT_EQ(parsed.exit_code, 0) << which << parsed.err;
  }
  if (shell("command -v fish").exit_code == 0) {
    const RunResult completed =
        shell("cnspec completion fish | source; complete -C 'cnspec stat'; complete -C 'cnspec discover loc'",
              "fish");
    EXPECT_EQ(words(completed.out), (std::set<std::string>{"status", "local"})) << completed.err;
  }
}

// ---- the list of providers ----

// Of the flag; PROVIDERS_PATH may come from anywhere, and then the folder would be whoever's one stands in.
TEST_F(CliTest, AFolderThatTheFlagNamesIsThatOfWhereOneStands) {
  std::filesystem::create_directory(user.home() / "mine");
  ProcessOptions options;
  options.env = user.env;
  options.env["HOME"] = user.home().path().string();
  options.cwd = user.home().path();
  RunResult list = run({program("cnspec"), "providers", "list", "--providers-path", "mine:./mine"}, options);
  EXPECT_EQ(list.out.find("refused"), std::string::npos) << list.out;
  EXPECT_NE(list.out.find(user.home().path().string() + "/mine (--providers-path)"), std::string::npos)
      << list.out;
  options.env["PROVIDERS_PATH"] = "mine";
  EXPECT_NE(run({program("cnspec"), "discover", "coffee"}, options)
                .err.find("; what was refused: cnspec providers list\n"),
            std::string::npos);
  list = run({program("cnspec"), "providers", "list"}, options);
  EXPECT_NE(list.out.find("refused: mine: PROVIDERS_PATH has a relative entry"), std::string::npos)
      << list.out;
}

TEST_F(CliTest, ListsProvidersWithThoseThatAreShadowedOrRefused) {
  const auto bundled = std::filesystem::path(CNSPEC_PROVIDER_DIR) / "mock.so";
  std::filesystem::create_directories(user.providers());
  std::filesystem::copy_file(bundled, user.providers() / "mock.so");
  ASSERT_EQ(::chmod((user.providers() / "mock.so").c_str(), 0755), 0);
  user.home().write(".config/mondoo/providers/text.so", "not a library\n");
  user.home().write(".config/mondoo/providers/esc\x1b[31m.so", "not a library\n");

  const RunResult text = user.run({"providers", "list"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_TRUE(contains(text.out, user.providers().string())) << text.out;
  EXPECT_TRUE(contains(text.out, "shadowed by " + (user.providers() / "mock.so").string())) << text.out;
  EXPECT_TRUE(contains(text.out, "text.so: expected a shared library (ELF), found a text file")) << text.out;
  EXPECT_FALSE(contains(text.out, "\x1b")) << "a file's name moves no terminal";
  for (const char* name : {"arista", "aws", "azure", "core", "mock", "os"})
    EXPECT_TRUE(contains(text.out, name));

  const RunResult run = user.run({"providers", "list", "-o", "json"});
  rapidjson::Document json;
  json.Parse(run.out.c_str());
  ASSERT_FALSE(json.HasParseError()) << run.out;
  EXPECT_TRUE(run.out.ends_with("}\n"));
  EXPECT_EQ(json["providers"].Size(), 6u);
  ASSERT_EQ(json["shadowed"].Size(), 1u);
  EXPECT_EQ(json["shadowed"][0]["path"].GetString(), bundled.string());
  EXPECT_EQ(json["shadowed"][0]["shadowedBy"].GetString(), (user.providers() / "mock.so").string());
  EXPECT_EQ(json["refused"].Size(), 2u);
}

TEST_F(CliTest, DiscoversThisMachine) {
  const RunResult text = user.run({"discover", "local"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_TRUE(contains(text.out, "→ platform:")) << text.out;
  const RunResult late = user.run({"discover", "local", "-o", "json", "--timeout", "20s"});
  rapidjson::Document json;
  json.Parse(late.out.c_str());
  ASSERT_FALSE(json.HasParseError()) << late.out << late.err;
  EXPECT_TRUE(json.HasMember("platform"));
}

TEST_F(CliTest, APasswordIsAskedForOnATerminalOrNotAtAll) {
  ProcessOptions options;
  options.env = user.env;
  const RunResult result = run(
      {"setsid", "-w", program("cnspec"), "discover", "arista", "--ask-pass", "admin@127.0.0.1:1"}, options);
  EXPECT_EQ(result.exit_code, 2) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(contains(result.err, "password")) << result.err;
  EXPECT_TRUE(contains(result.err, "terminal")) << result.err;
}

// ---- standard output that cannot be written ----

TEST_F(CliTest, LostOutputIsAnError) {
  for (const char* command : {"version", "providers list", "providers list -o json", "discover local",
                              "completion bash", "status --timeout 1s", "status -o json --timeout 1s"}) {
    for (const char* where : {">/dev/full", ">&-"}) {
      const RunResult result = shell(std::string("cnspec ") + command + " " + where);
      EXPECT_EQ(result.exit_code, 1) << command << where << result.err;
      EXPECT_TRUE(contains(result.err, "x standard output cannot be written: "))
          << command << where << result.err;
    }
  }
}

TEST_F(CliTest, AReaderThatWentAwayEndsNothingByASignal) {
  const RunResult result = shell("cnspec status --timeout 1s | true; echo \"${PIPESTATUS[0]}\"");
  EXPECT_TRUE(result.out == "1\n") << result.out << result.err;
}

TEST_F(CliTest, RunsWithNoStandardStreamAtAll) {
  EXPECT_EQ(shell("cnspec version <&- >&- 2>&-").exit_code, 1);
  EXPECT_EQ(shell("cnspec version <&- 2>&-").exit_code, 0);
}

}  // namespace
}  // namespace cnspec::test
