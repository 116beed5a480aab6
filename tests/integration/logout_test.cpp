// Every way out: what the platform is told, what is left on disk, what is said.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <memory>
#include <regex>

#include "base/encoding.hpp"
#include "support/cnspec.hpp"
#include "support/http_server.hpp"
#include "support/platform.hpp"
#include "terminal.hpp"

namespace cnspec::test {
namespace {

class LogoutTest : public testing::Test {
 protected:
  void log_in(const std::string& extra = "") {
    user.home().write(".config/mondoo/mondoo.yml", extra + "ca_file: " + platform->ca_file() + "\n");
    const RunResult login = user.run({"login", "--token", platform->token()});
    ASSERT_EQ(login.exit_code, 0) << login.out << login.err;
    before = config();
    client = value("agent_mrn");
    account = value("mrn");
  }

  std::string config() const { return read_file(user.config_file()); }
  // Of a key in the configuration on one line.
  std::string value(const std::string& key) const {
    const auto begin = before.find("\n" + key + ": \"") + key.size() + 4;
    return before.substr(begin, before.find('"', begin) - begin);
  }
  std::string loaded() const {
    return "→ loaded configuration from " + user.config_file().string() + " using source default\n";
  }
  std::string agents() const {
    return run({program("cnspec-platform"), "list", "--data", platform->data().string()}).out;
  }
  std::string success() const {
    return "→ client " + account +
           " authenticated successfully\n→ credentials removed path=" + user.config_file().string() +
           "\n→ Bye bye, space cat. Client " + account + " unregistered successfully\n";
  }

  // The private key in the configuration.
  std::string key() const {
    std::string out;
    for (auto at = before.find("private_key: |\n") + 15; before.compare(at, 2, "  ") == 0;
         at = before.find('\n', at) + 1)
      out += before.substr(at + 2, before.find('\n', at) + 1 - at - 2);
    return out;
  }
  // A new platform, with faults from its beginning: one that comes back at its old address could find it
  // taken.
  void start(const Argv& faults) { platform = std::make_unique<Platform>(faults); }

  std::unique_ptr<Platform> platform = std::make_unique<Platform>();
  User user;
  std::string before, client, account;
};

TEST_F(LogoutTest, UnregistersAndKeepsEveryOtherKey) {
  const std::string own = "# my own\nlabels: {team: red}  # ours\nfoo: [1, 2]\n\n";
  log_in(own);
  ASSERT_NE(agents().find(client), std::string::npos);
  const RunResult logout = user.run({"logout", "--force"});
  EXPECT_EQ(logout.out, loaded() + success());
  EXPECT_EQ(logout.err, "");
  EXPECT_EQ(logout.exit_code, 0);
  EXPECT_EQ(config(),
            own + "ca_file: " + platform->ca_file() + "\napi_endpoint: \"" + platform->url() + "\"\n");
  struct stat info {};
  ASSERT_EQ(::stat(user.config_file().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777u, 0600u);

  // The key is worth nothing any more.
  user.home().write(".config/mondoo/mondoo.yml", before);
  const RunResult status = user.run({"status"});
  EXPECT_EQ(status.exit_code, 1);
  EXPECT_NE(status.out.find("Unauthenticated"), std::string::npos) << status.out;
}

TEST_F(LogoutTest, IsCalledUnregisterAsWell) {
  log_in();
  EXPECT_EQ(user.run({"unregister", "--force"}).out, loaded() + success());
}

TEST_F(LogoutTest, JsonStaysJson) {
  const auto file =
      user.home().write("c.json", "{\n  \"ca_file\": \"" + platform->ca_file() + "\",\n  \"foo\": 1.5\n}\n");
  ASSERT_EQ(user.run({"login", "--token", platform->token(), "--config", file}).exit_code, 0);
  EXPECT_EQ(read_file(file).substr(0, 2), "{\n");
  EXPECT_EQ(user.run({"logout", "--force", "--config", file}).exit_code, 0);
  EXPECT_EQ(read_file(file), "{\n  \"ca_file\": \"" + platform->ca_file() +
                                 "\",\n  \"foo\": 1.5,\n  \"api_endpoint\": \"" + platform->url() +
                                 "\"\n}\n");
}

TEST_F(LogoutTest, WithoutATerminalItWantsForce) {
  log_in();
  const RunResult logout = user.run({"logout"}, "y\n");
  EXPECT_EQ(logout.out, loaded());
  EXPECT_EQ(logout.err,
            "x --force is required to logout where nobody can be asked\n"
            "  cnspec logout --force revokes the access of " +
                client + "\n");
  EXPECT_EQ(logout.exit_code, 2);
  EXPECT_EQ(config(), before);
}

TEST_F(LogoutTest, RefusesInTheFormOfTheLog) {
  log_in("log.format: json\n");
  const auto is_json = [](const RunResult& logout, const std::string& message) {
    EXPECT_TRUE(logout.err.starts_with("{\"level\":\"error\"")) << logout.err;
    EXPECT_NE(logout.err.find("\"message\":\"" + message), std::string::npos) << logout.err;
    EXPECT_EQ(std::count(logout.err.begin(), logout.err.end(), '\n'), 1) << logout.err;
  };
  is_json(user.run({"logout"}), "--force is required to logout");
  user.home().write(".config/mondoo/mondoo.yml", "log.format: json\n");
  is_json(user.run({"logout", "--force"}), "this client is not logged in");
  is_json(user.run({"login", "--token", ""}), "the token from --token is empty");
}

TEST_F(LogoutTest, OnATerminalItAsks) {
  log_in();
  for (const char* answer : {"n\n", "\n", "yess\n", "\x04"}) {
    OnTerminal terminal({program("cnspec"), "logout"}, user.env);
    ASSERT_TRUE(terminal.wait_for("to Mondoo Platform? [y/N] ")) << terminal.screen();
    terminal.type(answer);
    const int status = terminal.wait();
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << status;
    EXPECT_NE(terminal.screen().find("nothing was changed"), std::string::npos) << terminal.screen();
    EXPECT_EQ(config(), before);
  }
  OnTerminal terminal({program("cnspec"), "logout"}, user.env);
  ASSERT_TRUE(terminal.wait_for("Are you sure you want to revoke the access of " + client))
      << terminal.screen();
  ASSERT_TRUE(terminal.wait_for("[y/N] ")) << terminal.screen();
  terminal.type("y\n");
  const int status = terminal.wait();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << terminal.screen();
  EXPECT_NE(terminal.screen().find("Bye bye, space cat"), std::string::npos) << terminal.screen();
  EXPECT_EQ(config().find("private_key"), std::string::npos);
}

TEST_F(LogoutTest, InterruptedWhileAskedNothingHappens) {
  log_in();
  OnTerminal terminal({program("cnspec"), "logout"}, user.env);
  ASSERT_TRUE(terminal.wait_for("[y/N] "));
  terminal.type("\x03");
  const int status = terminal.wait();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) << status;
  EXPECT_EQ(config(), before);
  EXPECT_EQ(user.run({"status"}).exit_code, 0);
}

TEST_F(LogoutTest, NobodyIsLoggedIn_Is78AndSaysSo) {
  const RunResult none = user.run({"logout", "--force"});
  EXPECT_EQ(none.out, "→ no Mondoo configuration file provided, using defaults\n");
  EXPECT_EQ(none.err, "x this client is not logged in: there is no configuration\n");
  EXPECT_EQ(none.exit_code, 78);
  user.home().write(".config/mondoo/mondoo.yml", "api_endpoint: https://127.0.0.1:1\n");
  const RunResult empty = user.run({"logout", "--force"});
  EXPECT_EQ(empty.out, loaded());
  EXPECT_EQ(empty.err,
            "x this client is not logged in: " + user.config_file().string() + " holds no credentials\n");
  EXPECT_EQ(empty.exit_code, 78);
}

TEST_F(LogoutTest, APlatformThatIsNotThereLeavesEverything) {
  log_in();
  platform->stop();
  const RunResult logout = user.run({"logout", "--force"});
  EXPECT_EQ(logout.out, loaded());
  EXPECT_EQ(logout.err.find("x nothing was removed: communication with Mondoo Platform failed: "), 0u)
      << logout.err;
  EXPECT_NE(
      logout.err.find("to remove the credentials from this machine all the same: cnspec logout --local"),
      std::string::npos)
      << logout.err;
  EXPECT_EQ(logout.exit_code, 1);
  EXPECT_EQ(config(), before);

  const RunResult local = user.run({"logout", "--force", "--local"});
  EXPECT_EQ(local.out, loaded() + "→ credentials removed path=" + user.config_file().string() + "\n");
  EXPECT_EQ(local.err.find("! the platform could not be told, and still knows " + client + " error="), 0u)
      << local.err;
  EXPECT_EQ(local.exit_code, 0);
  EXPECT_EQ(config().find("private_key"), std::string::npos);
}

TEST_F(LogoutTest, AFailureToUnregisterIsNoSuccess) {
  start({"--fail", "AgentManager/UnRegisterAgent=Internal"});
  log_in();
  for (const bool revoked : {false, true}) {
    if (revoked) platform->revoke(account);
    const RunResult logout = user.run({"logout", "--force"});
    EXPECT_EQ(logout.exit_code, 1);
    EXPECT_EQ(logout.err.find(revoked ? "x nothing was removed: communication with Mondoo Platform failed: "
                                      : "x nothing was removed: failed to unregister client: "),
              0u)
        << logout.err;
    EXPECT_EQ(logout.out.find("Bye bye"), std::string::npos) << logout.out;
    EXPECT_EQ(config(), before);
  }
}

TEST_F(LogoutTest, WhatThePlatformDoesNotKnowAnyMoreIsGone) {
  start({"--fail", "AgentManager/UnRegisterAgent=NotFound"});
  log_in();
  const RunResult logout = user.run({"logout", "--force"});
  EXPECT_EQ(logout.out, loaded() + success());
  EXPECT_EQ(logout.err, "! the platform did not know " + client + " any more\n");
  EXPECT_EQ(logout.exit_code, 0);
}

TEST_F(LogoutTest, WhatIsInBetweenDoesNotSpeakForThePlatform) {
  log_in();
  for (const char* body : {"", "<html>not found</html>", R"({"code":404,"message":"no such route"})"}) {
    HttpServer firewall([&](const HttpRequest& request) {
      return request.path() == "/AgentManager/PingPong" ? HttpResponse{.body = "{}"}
                                                        : HttpResponse{.status = 404, .body = body};
    });
    user.env["MONDOO_API_ENDPOINT"] = firewall.url();
    const RunResult logout = user.run({"logout", "--force"});
    EXPECT_EQ(logout.exit_code, 1);
    EXPECT_EQ(logout.err.find("x nothing was removed: failed to unregister client: rpc error: "), 0u)
        << logout.err;
    EXPECT_EQ(logout.out.find("Bye bye"), std::string::npos) << logout.out;
    EXPECT_EQ(config(), before);
  }
  EXPECT_NE(agents().find(client), std::string::npos);
}

TEST_F(LogoutTest, AClientThatWasNamedElsewhereIsNotTheOneOfTheKey) {
  log_in();
  user.env["MONDOO_AGENT_MRN"] = "//agents.api.mondoo.app/spaces/test-space/agents/other";
  const RunResult logout = user.run({"logout", "--force"});
  EXPECT_EQ(logout.exit_code, 1);
  EXPECT_EQ(logout.err.find("x nothing was removed: failed to unregister client: rpc error: code = NotFound"),
            0u)
      << logout.err;
  EXPECT_EQ(config(), before);
}

TEST_F(LogoutTest, AKeyThatIsNoneIs78AndGoesWithLocal) {
  log_in();
  user.home().write(".config/mondoo/mondoo.yml",
                    "agent_mrn: " + client + "\nmrn: " + account + "\nprivate_key: nonsense\n");
  const RunResult logout = user.run({"logout", "--force"});
  EXPECT_EQ(logout.exit_code, 78);
  EXPECT_EQ(logout.err.find("x nothing was removed: could not initialize client authentication: "), 0u)
      << logout.err;
  EXPECT_EQ(logout.err.find("nonsense"), std::string::npos) << logout.err;
  EXPECT_EQ(user.run({"logout", "--force", "--local"}).exit_code, 0);
  EXPECT_EQ(config(), "");
}

TEST_F(LogoutTest, CredentialsFromTheEnvironmentAreNotOnDisk) {
  log_in();
  std::filesystem::remove(user.config_file());
  user.env["MONDOO_CONFIG_BASE64"] = base64_encode(before);
  const RunResult logout = user.run({"logout", "--force"});
  EXPECT_EQ(logout.out,
            "→ loaded configuration from environment using source $MONDOO_CONFIG_BASE64\n→ client " +
                account +
                " authenticated successfully\n→ the credentials come from MONDOO_CONFIG_BASE64: there is "
                "nothing to "
                "remove on disk, unset it\n→ Bye bye, space cat. Client " +
                account + " unregistered successfully\n");
  EXPECT_EQ(logout.exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(user.config_file()));
}

TEST_F(LogoutTest, AnotherIdentityInTheFileStays) {
  log_in();
  const std::string mine = before;
  user.env["MONDOO_MRN"] = account;
  user.env["MONDOO_AGENT_MRN"] = client;
  user.env["MONDOO_PRIVATE_KEY"] = key();
  const std::string theirs =
      "agent_mrn: other\nmrn: other\nprivate_key: other\nca_file: " + platform->ca_file() +
      "\napi_endpoint: \"" + platform->url() + "\"\n";
  user.home().write(".config/mondoo/mondoo.yml", theirs);
  const RunResult logout = user.run({"logout", "--force"});
  EXPECT_EQ(logout.exit_code, 0) << logout.err;
  EXPECT_NE(logout.out.find("the credentials come from MONDOO_MRN: there is nothing to remove on disk"),
            std::string::npos)
      << logout.out;
  EXPECT_EQ(config(), theirs);
}

TEST_F(LogoutTest, AKeyInTheEnvironmentDoesNotKeepTheIdentityInTheFile) {
  log_in();
  user.env["MONDOO_PRIVATE_KEY"] = key();
  const RunResult logout = user.run({"logout", "--force"});
  EXPECT_EQ(logout.exit_code, 0) << logout.err;
  EXPECT_EQ(logout.out, loaded() + success());
  EXPECT_EQ(logout.err, "! MONDOO_PRIVATE_KEY is still set in the environment\n");
  EXPECT_EQ(config(), "ca_file: " + platform->ca_file() + "\napi_endpoint: \"" + platform->url() + "\"\n");
}

TEST_F(LogoutTest, AConfigurationThatIsBeingChangedIsNoticedBeforeThePlatformIsTold) {
  log_in();
  const std::string lock = user.config_file().string() + ".lock";
  const int other = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_EQ(::flock(other, LOCK_EX), 0);
  const RunResult logout = user.run({"logout", "--force", "--timeout", "300ms"});
  ::close(other);
  EXPECT_EQ(logout.exit_code, 1);
  EXPECT_EQ(logout.err.find("x the configuration cannot be locked: "), 0u) << logout.err;
  EXPECT_NE(agents().find(client), std::string::npos);
  EXPECT_EQ(config(), before);
}

TEST_F(LogoutTest, AWrongClockIsNamed) {
  log_in();
  user.env["LD_PRELOAD"] = WRONG_CLOCK;
  user.env["WRONG_CLOCK"] = "-3600";
  const RunResult logout = user.run({"logout", "--force"});
  EXPECT_EQ(logout.exit_code, 1);
  EXPECT_TRUE(std::regex_search(
      logout.err, std::regex("this machine's clock is (1h0m|59m5)[0-9]s behind the platform's")))
      << logout.err;
  EXPECT_EQ(config(), before);
}

TEST_F(LogoutTest, AnAccountWithoutAClientHasNoneToUnregister) {
  log_in();
  std::string text = before;
  const auto begin = text.find("agent_mrn: ");
  text.erase(begin, text.find('\n', begin) + 1 - begin);
  user.home().write(".config/mondoo/mondoo.yml", text);
  const RunResult logout = user.run({"logout", "--force"});
  EXPECT_EQ(logout.exit_code, 0) << logout.err;
  EXPECT_EQ(logout.out, loaded() + "→ credentials removed path=" + user.config_file().string() + "\n");
  EXPECT_EQ(logout.err,
            "! no client is registered with these credentials, so there is none to unregister; the "
            "service account itself stays valid at the platform\n");
  EXPECT_NE(agents().find(client), std::string::npos);
}

TEST_F(LogoutTest, AKeyInAFileOfItsOwnIsLeftAndNamed) {
  log_in();
  const auto begin = before.find("private_key: |\n");
  const auto end = before.find("certificate:");
  const auto file = user.home().write("key.pem", key());
  user.home().write(".config/mondoo/mondoo.yml", before.substr(0, begin) + "private_key_file: " +
                                                     file.string() + "\n" + before.substr(end));
  const RunResult logout = user.run({"logout", "--force"});
  EXPECT_EQ(logout.exit_code, 0) << logout.err;
  EXPECT_NE(logout.err.find("! the private key is still in " + file.string()), std::string::npos)
      << logout.err;
  EXPECT_EQ(config().find("private_key_file"), std::string::npos);
  EXPECT_TRUE(std::filesystem::exists(file));
}

TEST_F(LogoutTest, AFileThatCannotBeWrittenIsNoticedBeforeThePlatformIsTold) {
  log_in();
  // A folder in the way of the lock: unlike permissions, it stops root as well.
  std::filesystem::create_directory(user.config_file().string() + ".lock");
  const RunResult logout = user.run({"logout", "--force"});
  EXPECT_EQ(logout.exit_code, 1);
  EXPECT_NE(logout.err.find("Is a directory"), std::string::npos) << logout.err;
  EXPECT_EQ(config(), before);
  std::filesystem::remove(user.config_file().string() + ".lock");
  EXPECT_EQ(user.run({"status"}).exit_code, 0);
}

TEST_F(LogoutTest, NoSecretIsEverSaid) {
  log_in();
  const auto begin = before.find("PRIVATE KEY-----\n  ") + 19;
  const std::string secret = before.substr(begin, 40);
  for (const Argv& args :
       {Argv{"config", "show"}, Argv{"config", "show", "-o", "json"}, Argv{"config", "show", "-o", "yaml"},
        Argv{"logout", "--force", "--log-level", "trace"}}) {
    const RunResult result = user.run(args);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ((result.out + result.err).find(secret), std::string::npos) << args.back();
  }
}

// ---- registering while permissions change ----

TEST_F(LogoutTest, LoginWaitsWhenPermissionsChangeAndSucceedsThen) {
  log_in();
  std::string pem;
  for (const char c : key()) pem += c == '\n' ? std::string("\\n") : std::string(1, c);
  std::atomic<int> asked = 0;
  const HttpServer server([&](const HttpRequest& request) {
    HttpResponse response;
    response.body = "{}";
    if (request.path() != "/AgentManager/RegisterAgent") return response;
    response.status = ++asked == 1 ? 409 : 200;
    response.body = asked == 1
                        ? R"({"code":10,"message":"policies change"})"
                        : R"({"agent_mrn":"//a","credential":{"mrn":"//m","private_key":")" + pem + "\"}}";
    return response;
  });
  const RunResult login = user.run({"login", "--token", platform->token(), "--api-endpoint", server.url()});
  EXPECT_EQ(login.exit_code, 0) << login.err;
  EXPECT_EQ(login.err.find("! failed to log in client due to concurrent IAM changes, retrying (1/3) in "), 0u)
      << login.err;
  EXPECT_NE(login.err.find("ms error=\"rpc error: code = Aborted desc = policies change\"\n"),
            std::string::npos)
      << login.err;
  EXPECT_EQ(asked, 2);
}

TEST_F(LogoutTest, LoginDoesNotWaitBeyondItsTime) {
  start({"--fail", "AgentManager/RegisterAgent=Aborted"});
  user.home().write(".config/mondoo/mondoo.yml", "ca_file: " + platform->ca_file() + "\n");
  const std::string as_it_was = config();
  const RunResult login = user.run({"login", "--token", platform->token(), "--timeout", "4s"});
  EXPECT_EQ(login.exit_code, 1);
  EXPECT_EQ(login.err.find(
                "x failed to log in client due to concurrent IAM changes: rpc error: code = Aborted desc"),
            0u)
      << login.err;
  EXPECT_NE(login.err.find("there was no time for another try"), std::string::npos) << login.err;
  EXPECT_EQ(config(), as_it_was);
}

}  // namespace
}  // namespace cnspec::test
