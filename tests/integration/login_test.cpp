// `cnspec login` against the real platform: what it registers, what it writes, and what is left when it
// fails.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <memory>
#include <regex>
#include <set>

#include "support/cnspec.hpp"
#include "support/http_server.hpp"
#include "support/platform.hpp"
#include "support/relay.hpp"

namespace cnspec::test {
namespace {

using Strings = std::set<std::string>;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string normalised(std::string text) {
  const std::pair<const char*, const char*> rules[] = {
      {"(/agents/|/serviceaccounts/)[0-9A-Za-z]{27}", "$1<>"},
      {"(token will expire at |expired at |clock says )[A-Z][a-z]{2}, \\d\\d [A-Z][a-z]{2} \\d{4} "
       "\\d\\d:\\d\\d:\\d\\d "
       "UTC",
       "$1<>"},
  };
  for (const auto& [pattern, to] : rules) text = std::regex_replace(text, std::regex(pattern), to);
  return text;
}

mode_t mode_of(const std::filesystem::path& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

class LoginTest : public testing::Test {
 protected:
  // A new one, with faults from its beginning: one that comes back at its old address could find it taken.
  void start(const Argv& faults) { platform = std::make_unique<Platform>(faults); }

  std::unique_ptr<Platform> platform = std::make_unique<Platform>();
  User user;

  Argv with(const Argv& more) const {
    Argv args = {"login", "--ca-file", platform->ca_file()};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  RunResult login(const Argv& more, const std::optional<std::string>& input = std::nullopt) {
    return user.run(with(more), input);
  }

  // By the shell, which sees the program and its arguments as "$0" "$@".
  RunResult shell(const std::string& script) {
    Argv argv = {"bash", "-c", script, program("cnspec")};
    const Argv args = with({});
    argv.insert(argv.end(), args.begin(), args.end());
    return run(argv, {.env = user.env, .cwd = {}, .input = {}});
  }

  YAML::Node config() const { return YAML::LoadFile(user.config_file()); }
  Strings keys() const {
    Strings out;
    for (const auto& entry : config()) out.insert(entry.first.Scalar());
    return out;
  }

  // The agents that the platform knows and has not revoked.
  std::size_t agents() const {
    const RunResult list =
        run({program("cnspec-platform"), "list", "-o", "json", "--data", platform->data().string()});
    rapidjson::Document document;
    document.Parse(list.out.c_str());
    EXPECT_FALSE(document.HasParseError()) << list.out << list.err;
    std::size_t count = 0;
    for (const auto& agent : document["agents"].GetArray()) {
      const auto revoked = agent.FindMember("revoked");
      if (revoked == agent.MemberEnd() || (revoked->value.IsBool() && !revoked->value.GetBool())) ++count;
    }
    return count;
  }

  void expect_nothing_happened(const RunResult& result) const {
    EXPECT_FALSE(std::filesystem::exists(user.config_file())) << result.out << result.err;
    EXPECT_EQ(agents(), 0u);
  }

  // No output of any run shows it.
  static void expect_secret(const RunResult& result, const std::string& secret) {
    EXPECT_FALSE(contains(result.out, secret)) << result.out;
    EXPECT_FALSE(contains(result.err, secret)) << result.err;
  }
};

// ---- it works ----

TEST_F(LoginTest, SaysWhatItDoesAndWritesWhatIsNeeded) {
  const std::string token = platform->token("test-space", {"--description", "for the lab"});
  const RunResult result = login({"--token", token});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(
      normalised(result.out),
      "→ token description: for the lab\n"
      "→ token will expire at <>\n"
      "→ saving config path=" +
          user.config_file().string() +
          "\n→ config file does not exist, create a new one path=" + user.config_file().string() +
          "\n→ client //agents.api.mondoo.app/spaces/test-space/agents/<> has logged in successfully\n");
  EXPECT_EQ(keys(), (Strings{"agent_mrn", "api_endpoint", "ca_file", "certificate", "mrn", "private_key",
                             "scope_mrn", "space_mrn"}));
  EXPECT_EQ(config()["api_endpoint"].Scalar(), platform->url());
  EXPECT_EQ(config()["scope_mrn"].Scalar(), "//captain.api.mondoo.app/spaces/test-space");
  EXPECT_EQ(config()["space_mrn"].Scalar(), config()["scope_mrn"].Scalar());
  EXPECT_TRUE(config()["private_key"].Scalar().starts_with("-----BEGIN PRIVATE KEY-----\n"));
  EXPECT_EQ(mode_of(user.config_file()), 0600u);
  EXPECT_EQ(mode_of(user.config_file().parent_path()), 0700u);
  EXPECT_EQ(agents(), 1u);
  EXPECT_EQ(user.run({"status"}).exit_code, 0);
}

TEST_F(LoginTest, RegistersAndProvesOverOneConnection) {
  const auto port =
      static_cast<unsigned short>(std::stoi(platform->url().substr(platform->url().rfind(':') + 1)));
  const Relay relay(port, std::chrono::milliseconds(0));
  const RunResult result = login(
      {"--token", platform->token(), "--api-endpoint", "https://127.0.0.1:" + std::to_string(relay.port())});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(relay.connections(), 1u);
}

TEST_F(LoginTest, TakesTheTokenFromWhereverItIs) {
  const auto logged_in = [&](const RunResult& result) {
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(contains(result.out, " has logged in successfully\n")) << result.out;
    std::filesystem::remove(user.config_file());
  };
  const std::string token = platform->token();
  logged_in(login({"-t", token}));
  logged_in(login({"--token-file", user.home().write("token", "\n" + token + "\n\n").string()}));
  logged_in(login({"--token", "-"}, token + "\n"));
  user.env["MONDOO_REGISTRATION_TOKEN"] = token;
  logged_in(login({}));
  user.env["MONDOO_REGISTRATION_TOKEN"] = "nonsense";
  logged_in(login({"--token", token}));
  logged_in(user.run({"register", "--token", token, "--ca-file", platform->ca_file()}));
}

TEST_F(LoginTest, TakesTheTokenFromAPipe) {
  user.env["TOKEN"] = platform->token();
  user.env["FIFO"] = (user.home() / "fifo").string();
  ASSERT_EQ(::mkfifo(user.env["FIFO"]->c_str(), 0600), 0);
  // The last writer of a FIFO comes after its reader.
  for (const char* script :
       {"exec \"$0\" \"$@\" --token-file <(printf %s \"$TOKEN\")",
        "printf %s \"$TOKEN\" | \"$0\" \"$@\" --token-file /dev/stdin",
        "printf %s \"$TOKEN\" >\"$FIFO\" & exec \"$0\" \"$@\" --token-file \"$FIFO\"",
        "(printf '\n%.20s' \"$TOKEN\"; printf %s \"${TOKEN:20}\") | \"$0\" \"$@\" --token -"}) {
    const RunResult result = shell(script);
    EXPECT_EQ(result.exit_code, 0) << script << "\n" << result.err;
    EXPECT_TRUE(contains(result.out, " has logged in successfully\n")) << result.out;
    std::filesystem::remove(user.config_file());
  }
}

TEST_F(LoginTest, APipeWithoutATokenOrWithoutAnEndIsNotWaitedFor) {
  const std::string fifo = (user.home() / "fifo").string();
  user.env["FIFO"] = fifo;
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const auto refuses = [&](const char* script, const std::string& error, int code) {
    const RunResult result = shell(script);
    EXPECT_EQ(result.exit_code, code) << script;
    EXPECT_EQ(result.err, "x " + error + "\n") << script;
    EXPECT_EQ(result.out, "");
  };
  // As of a secret store that failed.
  refuses("true | \"$0\" \"$@\" --token-file /dev/stdin", "the token from the file /dev/stdin is empty", 2);
  refuses("\"$0\" \"$@\" --token-file \"$FIFO\" & : >\"$FIFO\"; wait $!",
          "the token from the file " + fifo + " is empty", 2);
  refuses("\"$0\" \"$@\" --token-file /dev/stdin </dev/zero",
          "the token file cannot be read: /dev/stdin: expected a regular file, found a device\n"
          "  --token - reads standard input",
          2);
  refuses("\"$0\" \"$@\" --token-file /dev/stdin < <(cat /dev/zero)",
          "the token file cannot be read: /dev/stdin: has more than 65536 bytes\n"
          "  --token - reads standard input",
          2);
  // Somebody has it open to write, and writes no end.
  const char* const silent = " <>\"$FIFO\" --timeout 300ms";
  refuses(
      (std::string("printf %s begun 1<>\"$FIFO\"; \"$0\" \"$@\" --token-file \"$FIFO\"") + silent).c_str(),
      "the token file cannot be read: " + fifo + ": its end did not come in time", 1);
  refuses((std::string("\"$0\" \"$@\" --token -") + silent).c_str(),
          "the token cannot be read: standard input: its end did not come in time", 1);
  expect_nothing_happened({});

  Process waiting = user.start(with({"--token-file", fifo}));
  const int writer = ::open(fifo.c_str(), O_WRONLY);  // waits for the reader
  waiting.signal(SIGINT);
  EXPECT_EQ(waiting.wait().signal, SIGINT);
  ::close(writer);
}

TEST_F(LoginTest, WhatIsNoUrlIsWrongUsageAndNothingIsSent) {
  const std::string token = platform->token();
  const auto refuses = [&](const std::string& option, const std::string& text, const std::string& found) {
    const RunResult result = login({"--token", token, option, text});
    EXPECT_EQ(result.exit_code, 2) << option << " " << text;
    EXPECT_TRUE(result.err.starts_with("x " + option + ": expected ")) << result.err;
    EXPECT_TRUE(contains(result.err, ", found " + found + "\n")) << result.err;
    expect_secret(result, "hunter2");
    expect_nothing_happened(result);
  };
  for (const char* option : {"--api-endpoint", "--updates-url"}) {
    refuses(option, "", "\"\"");
    refuses(option, "not a url", "\"not a url\"");
    refuses(option, "ht tp://x", "\"ht tp://x\"");
    refuses(option, "ftp://svc:hunter2@x", "ftp://x");
    refuses(option, "https://", "https://");
    refuses(option, "https:///path", "https:///path");
    refuses(option, "https://x:port", "https://x:port");
    refuses(option, "https://x:", "https://x:");
    refuses(option, "https://x:0", "https://x:0");
    refuses(option, "https://x:65536", "https://x:65536");
    refuses(option, "https://[::1", "https://[::1");
    refuses(option, "https://x?sig=hunter2", "https://x");
    refuses(option, "https://svc:hun/hunter2@x/", "https://x/");
    refuses(option, "/srv/mirror", "/srv/mirror");
  }
  refuses("--api-endpoint", "file:///srv/mirror", "file:///srv/mirror");
  refuses("--updates-url", "file://srv/mirror", "file://srv/mirror");
  refuses("--api-proxy", "not a url", "\"not a url\"");
  refuses("--api-proxy", "ftp://me:hunter2@x:1", "ftp://x:1");
}

TEST_F(LoginTest, AnAddressNeedsNoSchemeAndKeepsItsPath) {
  const std::string host = platform->url().substr(8);
  for (const auto& [endpoint, updates] : {std::pair{host, std::string("updates.example/mirror")},
                                          {"HTTPS://" + host, "file:///srv/mirror"},
                                          {platform->url() + "/", "https://[2001:db8::1]:8443"}}) {
    const RunResult result =
        login({"--token", platform->token(), "--api-endpoint", endpoint, "--updates-url", updates});
    EXPECT_EQ(result.exit_code, 0) << endpoint << "\n" << result.err;
    EXPECT_EQ(result.err, "") << endpoint;
    EXPECT_EQ(config()["updates_url"].Scalar(), updates);
  }
  // Which is asked by https, too.
  EXPECT_EQ(login({"--token", platform->token(), "--updates-url", host}).exit_code, 0);
  EXPECT_TRUE(contains(user.run({"status"}).out, "Latest Version:"));
}

TEST_F(LoginTest, WarnsWhereAnybodyMayListen) {
  const std::string warning =
      "! http://platform.invalid is asked without TLS: token and key travel readable by anybody on the way";
  const auto warns = [&](const RunResult& result, const std::string& more = "") {
    EXPECT_TRUE(result.err.starts_with(warning + more + "\n")) << result.err;
    EXPECT_EQ(result.err.find(warning, 1), std::string::npos) << result.err;
  };
  warns(login({"--token", platform->token(), "--api-endpoint", "http://platform.invalid"}));
  warns(login({"--token", platform->token("test-space", {"--api-endpoint", "http://platform.invalid"})}));
  const std::string file =
      user.home().write(".config/mondoo/mondoo.yml", "api_endpoint: http://platform.invalid/\n").string();
  warns(user.run({"status"}), "; to mend it: write https:// in " + file + ":1:15");
  warns(login({"--token", platform->token(), "--api-endpoint", "http://platform.invalid"}),
        "; to mend it: write https:// in " + file + ":1:15");
  std::filesystem::remove(file);
  for (const char* here :
       {"http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1", "http://a.localhost"}) {
    const RunResult result = login({"--token", platform->token(), "--api-endpoint", here});
    EXPECT_FALSE(contains(result.err, "without TLS")) << result.err;
  }
}

TEST_F(LoginTest, KeepsWhatTheUserSetAndNothingOfTheEnvironment) {
  user.env["MONDOO_LOG_LEVEL"] = "debug";
  user.env["MONDOO_NAME"] = "from-the-environment";
  user.env["MONDOO_UPDATES_URL"] = "https://updates.invalid";
  const RunResult result = login({"--token", platform->token(), "--name", "on", "--annotation", "env=prod",
                                  "--annotation", "v=1.10", "--annotation", "eq=a=b", "--timer", "30",
                                  "--splay", "0", "--verbose", "--timeout", "40s"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(keys(), (Strings{"agent_mrn", "annotations", "api_endpoint", "ca_file", "certificate", "mrn",
                             "name", "private_key", "scan_interval", "scope_mrn", "space_mrn"}));
  EXPECT_EQ(config()["name"].Scalar(), "on");
  EXPECT_EQ(config()["annotations"]["v"].Scalar(), "1.10");
  EXPECT_EQ(config()["annotations"]["v"].Tag(), "!") << "a text for every reader";
  EXPECT_EQ(config()["annotations"]["eq"].Scalar(), "a=b");
  EXPECT_EQ(config()["scan_interval"]["timer"].as<int>(), 30);
  EXPECT_EQ(config()["scan_interval"]["splay"].as<int>(), 0);
}

TEST_F(LoginTest, ASecondTokenReplacesTheCredentialsAndKeepsTheRest) {
  ASSERT_EQ(
      login({"--token", platform->token("first"), "--annotation", "env=prod", "--timer", "30"}).exit_code, 0);
  const YAML::Node first = config();
  std::ofstream(user.config_file(), std::ios::app) << "unknown: {kept: [1, 'two']}\nparent_mrn: //old\n";
  ASSERT_EQ(login({"--token", platform->token("second"), "--splay", "5"}).exit_code, 0);
  const YAML::Node second = config();
  EXPECT_NE(second["agent_mrn"].Scalar(), first["agent_mrn"].Scalar());
  EXPECT_NE(second["private_key"].Scalar(), first["private_key"].Scalar());
  EXPECT_EQ(second["scope_mrn"].Scalar(), "//captain.api.mondoo.app/spaces/second");
  EXPECT_EQ(second["annotations"]["env"].Scalar(), "prod");
  EXPECT_EQ(second["scan_interval"]["timer"].as<int>(), 30);
  EXPECT_EQ(second["scan_interval"]["splay"].as<int>(), 5);
  EXPECT_EQ(second["unknown"]["kept"][1].Scalar(), "two");
  EXPECT_FALSE(second["parent_mrn"].IsDefined());
  EXPECT_EQ(user.run({"status"}).exit_code, 0);
}

TEST_F(LoginTest, WithoutATokenARegisteredClientIsOnlyProved) {
  ASSERT_EQ(login({"--token", platform->token()}).exit_code, 0);
  const std::string before = read_file(user.config_file());
  const RunResult again = user.run({"login"});
  EXPECT_EQ(again.exit_code, 0) << again.err;
  EXPECT_EQ(normalised(again.out),
            "→ loaded configuration from " + user.config_file().string() +
                " using source default\n"
                "→ client is already logged in, skipping\n"
                "→ client //agents.api.mondoo.app/spaces/test-space/agents/<> has logged in successfully\n");
  EXPECT_EQ(read_file(user.config_file()), before);
  EXPECT_EQ(agents(), 1u);

  platform->revoke(config()["mrn"].Scalar());
  const RunResult rejected = user.run({"login"});
  EXPECT_EQ(rejected.exit_code, 1);
  EXPECT_TRUE(contains(rejected.err,
                       "x the client is registered, but not accepted: rpc error: code = Unauthenticated"))
      << rejected.err;
}

TEST_F(LoginTest, AServiceAccountRegistersItsOwnClient) {
  ASSERT_EQ(login({"--token", platform->token()}).exit_code, 0);
  const std::string first = config()["agent_mrn"].Scalar();
  const std::string text = read_file(user.config_file());
  std::string without;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("agent_mrn:")) without += line + "\n";
  }
  user.home().write(".config/mondoo/mondoo.yml", without);
  const RunResult result = user.run({"login"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(config()["agent_mrn"].Scalar(), first) << "the platform knows the machine again";
  EXPECT_EQ(agents(), 1u);
  EXPECT_TRUE(contains(result.out, "saving config")) << "and was asked: " << result.out;
  EXPECT_EQ(user.run({"status"}).exit_code, 0);
}

TEST_F(LoginTest, WithoutTheProviderOsItRegistersAllTheSame) {
  const auto tree = user.home() / "installed";
  std::filesystem::create_directories(tree / "bin");
  std::filesystem::copy_file(program("cnspec"), tree / "bin/cnspec");
  const auto lib = std::filesystem::path(program("cnspec")).parent_path().parent_path() / "lib/cnspec";
  std::filesystem::create_directories(tree / "lib");
  std::filesystem::copy(lib, tree / "lib/cnspec", std::filesystem::copy_options::recursive);
  ASSERT_TRUE(std::filesystem::remove(tree / "lib/cnspec/providers/os.so"));
  ProcessOptions options;
  options.env = user.env;
  const RunResult result = run({(tree / "bin/cnspec").string(), "login", "--token", platform->token(),
                                "--ca-file", platform->ca_file()},
                               options);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(contains(result.err, "! could not gather client information error=")) << result.err;
  EXPECT_EQ(agents(), 1u);
}

TEST_F(LoginTest, WithoutAHomeAFileMayBeNamed) {
  user.env["HOME"] = std::nullopt;
  const auto file = user.home() / "etc/mondoo.yml";
  const RunResult result = login({"--token", platform->token(), "--config", file.string()});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(mode_of(file), 0600u);
}

// ---- tokens that are no good ----

TEST_F(LoginTest, TokensThatSayNothingUseful) {
  const auto refused = [&](const Argv& args, int code, const std::string& message,
                           const std::optional<std::string>& input = std::nullopt) {
    const RunResult result = login(args, input);
    EXPECT_EQ(result.exit_code, code) << message;
    EXPECT_EQ(result.out, args.empty() ? "→ no Mondoo configuration file provided, using defaults\n" : "");
    EXPECT_TRUE(result.err.starts_with("x " + message + "\n")) << result.err;
    EXPECT_LE(std::count(result.err.begin(), result.err.end(), '\n'), 2) << result.err;
    expect_secret(result, "hunter2");
  };
  const std::string malformed = "the registration token is malformed: ";
  refused({"--token", "hunter2"}, 1, malformed + "expected three parts separated by dots");
  refused({"--token", "a.hunter2.c"}, 1, malformed + "its second part is not base64url");
  refused({"--token", "a.e30.c"}, 1, malformed + "it names no space");
  refused({"--token", platform->token() + "\nX-Header: hunter2"}, 1,
          malformed + "it has a character that no token has");
  refused({"--token", ""}, 2, "the token from --token is empty");
  refused({"--token", "-"}, 2, "the token from standard input is empty", " \n");
  refused({"--token", "-"}, 2, "the token cannot be read: standard input: has more than 65536 bytes",
          std::string(1 << 20, 'S'));
  const auto empty = user.home().write("empty", "\n").string();
  refused({"--token-file", empty}, 2, "the token from the file " + empty + " is empty");
  refused({"--token-file", "/nonexistent"}, 2,
          "the token file cannot be read: /nonexistent: No such file or directory");
  refused({"--token-file", "/dev/zero"}, 2,
          "the token file cannot be read: /dev/zero: expected a regular file, found a device");
  refused({"--annotation", "novalue"}, 2, "--annotation novalue: expected KEY=VALUE");
  refused({}, 2, "no registration token was given");
  expect_nothing_happened({});
}

TEST_F(LoginTest, AnEmptyVariableInAScriptIsNoSuccess) {
  ASSERT_EQ(login({"--token", platform->token()}).exit_code, 0);
  EXPECT_EQ(user.run({"login", "--token", ""}).exit_code, 2) << "although a client is registered";
}

TEST_F(LoginTest, ExpiredTokenAndOneOfAnotherPlatform) {
  const RunResult expired = login({"--token", platform->token("test-space", {"--expires=-1h"})});
  EXPECT_EQ(expired.exit_code, 1);
  EXPECT_EQ(normalised(expired.err),
            "x the registration token expired at <>\n  make a new one where you made this one; this "
            "machine's clock says <>\n");
  Platform other;
  const std::string foreign = other.token("test-space", {"--api-endpoint", platform->url()});
  const RunResult rejected = login({"--token", foreign});
  EXPECT_EQ(rejected.exit_code, 1);
  EXPECT_TRUE(rejected.err.starts_with("x failed to log in client: rpc error: code = ")) << rejected.err;
  expect_secret(rejected, foreign);
  expect_nothing_happened(rejected);
}

// ---- platforms that are no help ----

TEST_F(LoginTest, PlatformDown) {
  const std::string token = platform->token();
  platform->stop();
  const RunResult result = login({"--token", token});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(contains(result.err, "x failed to log in client: POST " + platform->url() +
                                       "/AgentManager/RegisterAgent: could not connect to " +
                                       platform->url().substr(8) + ": Connection refused\n"))
      << result.err;
  expect_nothing_happened(result);
}

TEST_F(LoginTest, CertificateNotTrusted) {
  const RunResult result = user.run({"login", "--token", platform->token()});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(contains(result.err, platform->url().substr(8))) << result.err;
  EXPECT_TRUE(contains(result.err, "--ca-file")) << "how to mend it: " << result.err;
  expect_nothing_happened(result);
}

TEST_F(LoginTest, AnswersThatAreNone) {
  for (const char* fault : {"garbage", "html", "hangup", "Internal", "PermissionDenied"}) {
    start({"--fail", std::string("AgentManager/RegisterAgent=") + fault});
    const std::string token = platform->token();
    const RunResult result = login({"--token", token, "--log-level", "trace"});
    EXPECT_EQ(result.exit_code, 1) << fault;
    EXPECT_TRUE(contains(result.err, "x failed to log in client: ")) << result.err;
    expect_secret(result, token);
    expect_nothing_happened(result);
  }
}

TEST_F(LoginTest, AnAnswerThatNeverComes) {
  start({"--delay", "AgentManager/RegisterAgent=1h"});
  const RunResult result = login({"--token", platform->token(), "--timeout", "700ms"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(contains(result.err, "/AgentManager/RegisterAgent: timed out after ")) << result.err;
  EXPECT_FALSE(std::filesystem::exists(user.config_file()));
}

TEST_F(LoginTest, CredentialsThatDoNotWorkAreNotWritten) {
  start({"--fail", "AgentManager/PingPong=Unauthenticated"});
  const RunResult result = login({"--token", platform->token()});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(
      contains(result.err,
               "x the platform registered this client, but its new credentials did not work; nothing was "
               "written, and the registration was taken back: rpc error: code = Unauthenticated"))
      << result.err;
  expect_nothing_happened(result);
}

TEST_F(LoginTest, AWrongClockIsNamedAndLeavesNothingBehind) {
  user.env["LD_PRELOAD"] = WRONG_CLOCK;
  user.env["WRONG_CLOCK"] = "-3600";
  const RunResult behind = login({"--token", platform->token()});
  EXPECT_EQ(behind.exit_code, 1);
  EXPECT_TRUE(contains(behind.err, "nothing was written, and the registration was taken back: "))
      << behind.err;
  EXPECT_TRUE(std::regex_search(
      behind.err, std::regex("this machine's clock is (1h0m|59m5)[0-9]s behind the platform's")))
      << behind.err;
  expect_nothing_happened(behind);

  user.env["WRONG_CLOCK"] = "1800";
  const RunResult ahead = login({"--token", platform->token()});
  EXPECT_EQ(ahead.exit_code, 1);
  EXPECT_TRUE(std::regex_search(
      ahead.err, std::regex("this machine's clock is (30m|29m5)[0-9]s ahead of the platform's")))
      << ahead.err;
  expect_nothing_happened(ahead);
}

// What the platform is still told of has its share of the command's time, and no more than that.
TEST_F(LoginTest, TakesBackWithinItsTime) {
  start({"--delay", "AgentManager/PingPong=1h"});
  const RunResult result = login({"--token", platform->token(), "--timeout", "3s"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(contains(result.err, "and the registration was taken back: ")) << result.err;
  EXPECT_FALSE(std::filesystem::exists(user.config_file()));

  start({"--delay", "AgentManager/PingPong=1h", "--delay", "AgentManager/UnRegisterAgent=1h"});
  const RunResult silent = login({"--token", platform->token(), "--timeout", "900ms"});
  EXPECT_EQ(silent.exit_code, 1);
  std::smatch took;
  ASSERT_TRUE(std::regex_search(silent.err, took, std::regex("/UnRegisterAgent: timed out after ([0-9]+)ms")))
      << silent.err;
  EXPECT_LE(std::stoi(took[1]), 900) << silent.err;
}

TEST_F(LoginTest, SaysWhenARegistrationCouldNotBeTakenBack) {
  start({"--fail", "AgentManager/PingPong=Unauthenticated", "--fail",
         "AgentManager/UnRegisterAgent=Unavailable"});
  const RunResult result = login({"--token", platform->token()});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(
      contains(normalised(result.err),
               "but the platform still knows //agents.api.mondoo.app/spaces/test-space/agents/<> (rpc error: "
               "code = Unavailable"))
      << result.err;
  EXPECT_FALSE(std::filesystem::exists(user.config_file()));
}

// ---- places that cannot be written ----

TEST_F(LoginTest, NothingIsRegisteredThatCouldNotBeKept) {
  const auto file = user.home().write("file", "text");
  const RunResult below = login({"--token", platform->token(), "--config", (file / "mondoo.yml").string()});
  EXPECT_EQ(below.exit_code, 1);
  EXPECT_TRUE(contains(below.err, "x the configuration cannot be written: " + file.string() +
                                      ": expected a folder, found a file\n"))
      << below.err;
  expect_nothing_happened(below);

  user.env["MONDOO_CONFIG_BASE64"] = "e30K";
  const RunResult environment = login({"--token", platform->token()});
  EXPECT_EQ(environment.exit_code, 2);
  EXPECT_TRUE(environment.err.starts_with("x the configuration comes from MONDOO_CONFIG_BASE64"))
      << environment.err;
  expect_nothing_happened(environment);
}

TEST_F(LoginTest, AFullDiskIsNoticedBeforeTheRegistration) {
  ProcessOptions options;
  options.env = user.env;
  options.env["TOKEN"] = platform->token();
  // The shell's limit on the size of files makes writing fail where a full disk would.
  const RunResult result =
      run({"bash", "-c", "ulimit -f 4; exec \"$0\" login --token \"$TOKEN\" --ca-file \"$1\"",
           program("cnspec"), platform->ca_file()},
          options);
  EXPECT_EQ(result.exit_code, 1) << result.signal;
  EXPECT_TRUE(contains(result.err, "x the configuration cannot be written: ")) << result.err;
  expect_nothing_happened(result);
  EXPECT_TRUE(!std::filesystem::exists(user.config_file().parent_path()) ||
              std::filesystem::is_empty(user.config_file().parent_path()));
}

TEST_F(LoginTest, AConfigurationThatIsNoYamlIsNotTouched) {
  const auto file = user.home().write(".config/mondoo/mondoo.yml", "mrn: [broken\n");
  const RunResult result = login({"--token", platform->token()});
  EXPECT_EQ(result.exit_code, 78);
  EXPECT_TRUE(result.err.starts_with("x " + file.string() + ":")) << result.err;
  EXPECT_EQ(read_file(file), "mrn: [broken\n");
  EXPECT_EQ(agents(), 0u);
}

// ---- secrets and streams ----

TEST_F(LoginTest, ShowsNoSecretHoweverMuchItSays) {
  const std::string token = platform->token();
  const RunResult result =
      login({"--token-file", user.home().write("token", token).string(), "--log-level", "trace"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(contains(result.err, "/AgentManager/RegisterAgent: HTTP 200")) << result.err;
  expect_secret(result, token);
  expect_secret(result, token.substr(token.rfind('.') + 1));
  std::istringstream pem(config()["private_key"].Scalar());
  const RunResult status = user.run({"status", "-o", "json", "--log-level", "trace"});
  for (std::string line; std::getline(pem, line);) {
    if (line.starts_with("-----")) continue;
    expect_secret(result, line);
    expect_secret(status, line);
  }
}

TEST_F(LoginTest, SaysThatItsWordsWereLostButKeepsTheRegistration) {
  ProcessOptions options;
  options.env = user.env;
  options.env["TOKEN"] = platform->token();
  for (const char* where : {">/dev/full", ">&-"}) {
    const RunResult result =
        run({"bash", "-c", std::string("exec \"$0\" login --token \"$TOKEN\" --ca-file \"$1\" ") + where,
             program("cnspec"), platform->ca_file()},
            options);
    EXPECT_EQ(result.exit_code, 1) << where;
    EXPECT_TRUE(contains(result.err, "has logged in, but standard output cannot be written\n")) << result.err;
    EXPECT_FALSE(contains(read_file(user.config_file()), "→")) << "what is printed went into no file";
    EXPECT_EQ(user.run({"status"}).exit_code, 0) << where;
  }
}

}  // namespace
}  // namespace cnspec::test
