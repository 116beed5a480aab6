// `cnspec status` as operators read it: the documented reports, whole, from the real program against the real
// platform.
#include <gtest/gtest.h>
#include <rapidjson/document.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <fstream>
#include <regex>

#include "base/version.hpp"
#include "support/cnspec.hpp"
#include "support/http_server.hpp"
#include "support/platform.hpp"

namespace cnspec::test {
namespace {

// Values that differ between machines and runs become <>; what is left is compared to the letter.
std::string normalised(std::string report) {
  const std::pair<const char*, const char*> rules[] = {
      {"(→ Platform:\t\t)[a-z][^\n]*", "$1<>"},
      {"(→ IP:\t\t\t)[0-9a-f.:]+", "$1<>"},
      {"(→ Hostname:\t\t)[^\n]+", "$1<>"},
      {"(IP:\t\t\t<>\n→ Time:\t\t\t)\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(Z|[+-]\\d\\d:\\d\\d)", "$1<>"},
      {"(→ API Time:\t\t)\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:\\d\\d)", "$1<>"},
      {"(/agents/|/serviceaccounts/)[0-9A-Za-z]{27}", "$1<>"},
      {"(Platform:\t\t<>\n→ Version:\t\t)[^\n]*", "$1<>"},
      {"(clock skew detected: )72h0m[0-9.]+s|(clock skew detected: )71h59m[0-9.]+s", "$1$2<>"},
  };
  for (const auto& [pattern, to] : rules) report = std::regex_replace(report, std::regex(pattern), to);
  return report;
}

const std::string kOwnVersion = std::string(kVersion) + " (API Version: 13)";

// The part of every report that stands between the configuration's line and the platform's.
std::string machine_part(bool latest = true) {
  return "→ Platform:\t\t<>\n→ Version:\t\t<>\n→ Hostname:\t\t<>\n→ IP:\t\t\t<>\n→ Time:\t\t\t<>\n"
         "→ Version:\t\t" +
         kOwnVersion + "\n" + (latest ? "→ Latest Version:\t" + std::string(kVersion) + "\n" : "") +
         "→ Installed Providers:\tarista | aws | azure | core | mock | os\n";
}

std::string platform_part(const std::string& url) {
  return "→ API ConnectionConfig:\t" + url +
         "\n→ API Status:\t\tSERVING\n→ API Time:\t\t<>\n→ API Version:\t\t13\n";
}

std::string silent_platform_part(const std::string& url) {
  return "→ API ConnectionConfig:\t" + url +
         "\n→ API Status:\t\tUNKNOWN\n→ API Time:\t\tunknown\n→ API Version:\t\tunknown\n";
}

const std::string kRegistered =
    "→ Owner:\t\t//captain.api.mondoo.app/spaces/test-space\n"
    "→ Client:\t\t//agents.api.mondoo.app/spaces/test-space/agents/<>\n"
    "→ Service Account:      //agents.api.mondoo.app/spaces/test-space/serviceaccounts/<>\n"
    "→ client is registered\n";

class StatusTest : public testing::Test {
 protected:
  void SetUp() override {
    // Nothing of the machine that runs the tests: neither its configuration nor its providers.
    user.env["MONDOO_UPDATES_URL"] = std::nullopt;
  }

  void log_in(Platform& platform) {
    const RunResult login = user.run({"login", "--token", platform.token(), "--ca-file", platform.ca_file(),
                                      "--updates-url", platform.url()});
    ASSERT_EQ(login.exit_code, 0) << login.out << login.err;
  }

  std::string loaded() const {
    return "→ loaded configuration from " + user.config_file().string() + " using source default\n";
  }

  static rapidjson::Document parse(const std::string& text) {
    rapidjson::Document document;
    document.Parse(text.c_str());
    EXPECT_FALSE(document.HasParseError()) << text;
    return document;
  }

  User user;
};

// ---- the four documented reports ----

TEST_F(StatusTest, UnregisteredClient) {
  Platform platform;
  user.home().write(".config/mondoo/mondoo.yml", "api_endpoint: " + platform.url() +
                                                     "\nca_file: " + platform.ca_file() +
                                                     "\nupdates_url: " + platform.url() + "\n");
  const RunResult status = user.run({"status"});
  EXPECT_EQ(normalised(status.out),
            loaded() + machine_part() + platform_part(platform.url()) +
                "x client is not registered\n"
                "x The Mondoo Platform credentials provided at " +
                user.config_file().string() +
                " didn't successfully authenticate with Mondoo Platform. Please re-authenticate with Mondoo "
                "Platform. To "
                "learn how, read https://mondoo.com/docs/cnspec/cnspec-adv-install/registration/.\n");
  EXPECT_EQ(status.err, "");
  EXPECT_EQ(status.exit_code, 1);
}

TEST_F(StatusTest, CorrectlyRegisteredClient) {
  Platform platform;
  log_in(platform);
  const RunResult status = user.run({"status"});
  EXPECT_EQ(normalised(status.out), loaded() + machine_part() + platform_part(platform.url()) + kRegistered +
                                        "→ client authenticated successfully\n");
  EXPECT_EQ(status.err, "");
  EXPECT_EQ(status.exit_code, 0);
}

TEST_F(StatusTest, RejectedRegistration) {
  Platform platform;
  log_in(platform);
  platform.revoke(YAML::LoadFile(user.config_file())["mrn"].as<std::string>());
  const RunResult status = user.run({"status"});
  EXPECT_EQ(normalised(status.out), loaded() + machine_part() + platform_part(platform.url()) + kRegistered +
                                        "x could not connect to mondoo platform error=\"rpc error: code = "
                                        "Unauthenticated desc = request permission unauthenticated\"\n");
  EXPECT_EQ(status.exit_code, 1);
}

TEST_F(StatusTest, ClockSkew) {
  Platform platform({"--clock-skew", "72h"});
  log_in(platform);
  const RunResult status = user.run({"status"});
  EXPECT_EQ(normalised(status.out), loaded() + machine_part() + platform_part(platform.url()) + kRegistered +
                                        "→ client authenticated successfully\n"
                                        "! possible clock skew detected: <>\n");
  EXPECT_EQ(status.exit_code, 0);
}

// ---- the values in them ----

TEST_F(StatusTest, ShowsThisMachine) {
  const auto status = parse(user.run({"status", "-o", "json", "--timeout", "2s"}).out);
  std::ifstream os_release("/etc/os-release");
  std::string line, id;
  while (std::getline(os_release, line)) {
    if (line.starts_with("ID=")) id = line.substr(3);
  }
  id.erase(std::remove(id.begin(), id.end(), '"'), id.end());
  const auto& platform = status["client"]["platform"];
  EXPECT_EQ(platform["name"].GetString(), id);
  EXPECT_EQ(platform["arch"].GetString() + std::string("\n"), test::run({"uname", "-m"}).out);
  EXPECT_EQ(std::string(status["client"]["hostname"].GetString()).find('\n'), std::string::npos);
}

TEST_F(StatusTest, LeavesOutTheLatestVersionWhereNobodyAnnouncesIt) {
  Platform platform;
  user.home().write(".config/mondoo/mondoo.yml",
                    "api_endpoint: " + platform.url() + "\nca_file: " + platform.ca_file() + "\n");
  const RunResult status = user.run({"status"});
  EXPECT_EQ(status.out.find("Latest Version"), std::string::npos) << status.out;
  EXPECT_EQ(normalised(status.out).find(machine_part(false)), loaded().size()) << status.out;
}

TEST_F(StatusTest, SaysThatANewerVersionIsAvailable) {
  Platform platform({"--latest-version", "99.1.0"});
  log_in(platform);
  const RunResult status = user.run({"status"});
  EXPECT_NE(
      status.out.find("→ Latest Version:\t99.1.0\n! A newer version is available\n→ Installed Providers:"),
      std::string::npos)
      << status.out;
  EXPECT_EQ(status.exit_code, 0);
}

TEST_F(StatusTest, SaysThatTheApiVersionsDiffer) {
  CertificateAuthority ca;
  HttpServer server(
      [](const HttpRequest&) {
        return HttpResponse{.body =
                                R"({"status":"SERVING","time":"2020-01-01T00:00:00Z","apiVersion":"99"})"};
      },
      ca.issue({"127.0.0.1"}));
  user.home().write(".config/mondoo/mondoo.yml", "api_endpoint: " + server.url() + "\n");
  user.env["SSL_CERT_FILE"] = user.home().write("ca.pem", ca.pem()).string();
  const RunResult status = user.run({"status"});
  EXPECT_NE(status.out.find("→ API Version:\t\t99\n! API versions do not match, please update the client\n"),
            std::string::npos)
      << status.out;
}

// ---- when the platform does not answer ----

// The report is complete, names the cause and ends with 1.
void expect_complete(const RunResult& status, const std::string& health_cause,
                     const std::string& ping_cause) {
  EXPECT_EQ(status.exit_code, 1);
  EXPECT_NE(status.out.find("x could not check upstream health error=\"" + health_cause), std::string::npos)
      << status.out;
  EXPECT_NE(normalised(status.out).find(machine_part(false).substr(0, 40)), std::string::npos) << status.out;
  EXPECT_NE(status.out.find("→ API Status:\t\tUNKNOWN\n"), std::string::npos) << status.out;
  EXPECT_NE(status.out.find(
                "→ client is registered\nx could not ask mondoo platform whether it accepts this client "
                "error=\"" +
                ping_cause),
            std::string::npos)
      << status.out;
}

TEST_F(StatusTest, PlatformDown) {
  Platform platform;
  log_in(platform);
  platform.stop();
  const std::string refused = ": could not connect to " + platform.url().substr(8) + ": Connection refused\"";
  const RunResult status = user.run({"status"});
  expect_complete(status, "POST " + platform.url() + "/Health/Check" + refused,
                  "POST " + platform.url() + "/AgentManager/PingPong" + refused);
  EXPECT_NE(normalised(status.out).find(silent_platform_part(platform.url())), std::string::npos)
      << status.out;
}

TEST_F(StatusTest, CertificateNotTrusted) {
  Platform platform;
  log_in(platform);
  CertificateAuthority other;
  user.env["MONDOO_CA_FILE"] = user.home().write("other.pem", other.pem()).string();
  const std::string untrusted = ": the certificate of " + platform.url().substr(8) +
                                " is not trusted: unable to get local issuer certificate\"";
  expect_complete(user.run({"status"}), "POST " + platform.url() + "/Health/Check" + untrusted,
                  "POST " + platform.url() + "/AgentManager/PingPong" + untrusted);
}

TEST_F(StatusTest, AnswersGarbage) {
  Platform platform;
  log_in(platform);
  platform.restart({"--fail", "Health/Check=garbage", "--fail", "AgentManager/PingPong=garbage"});
  expect_complete(user.run({"status"}), "", "");
  platform.restart({"--fail", "Health/Check=html", "--fail", "AgentManager/PingPong=html"});
  expect_complete(user.run({"status"}), "rpc error: code = ", "rpc error: code = ");
  platform.restart({"--fail", "Health/Check=hangup", "--fail", "AgentManager/PingPong=hangup"});
  expect_complete(user.run({"status"}), "POST ", "POST ");
}

// Whatever their status, these are no words of the platform's.
TEST_F(StatusTest, PagesOfWhoeverIsInBetweenRejectNobody) {
  Platform platform;
  log_in(platform);
  for (const int status : {400, 401, 403, 404, 412, 503}) {
    HttpServer gateway([&](const HttpRequest&) {
      return HttpResponse{.status = status, .body = status == 404 ? "" : "<html>go away</html>"};
    });
    user.env["MONDOO_API_ENDPOINT"] = gateway.url();
    const auto json = parse(user.run({"status", "-o", "json"}).out);
    EXPECT_STREQ(json["client"]["state"].GetString(), "unreachable") << status;
    EXPECT_STREQ(json["client"]["pingPongError"]["kind"].GetString(), "unavailable") << status;
    const RunResult text = user.run({"status"});
    expect_complete(text, "rpc error: code = ", "rpc error: code = ");
    EXPECT_EQ(text.err,
              "! health, ping: this is no answer of the platform: is its address right, and what is in "
              "between?\n");
  }
}

// The proxy of another check says nothing about the registration.
TEST_F(StatusTest, AWrongSettingOfSomethingElseHidesNoState) {
  const auto state = [&](int exit_code) {
    const RunResult run = user.run({"status", "-o", "json"});
    EXPECT_EQ(run.exit_code, exit_code) << run.out;
    return std::string(parse(run.out)["client"]["state"].GetString());
  };
  user.env["HTTP_PROXY"] = "ftp://x";
  user.env["MONDOO_UPDATES_URL"] = "http://127.0.0.1:9";
  user.env["MONDOO_API_ENDPOINT"] = "https://127.0.0.1:1";
  EXPECT_EQ(state(1), "not-registered");
  user.env["MONDOO_API_ENDPOINT"] = std::nullopt;
  Platform platform;
  log_in(platform);
  EXPECT_EQ(state(0), "registered");
  platform.revoke(YAML::LoadFile(user.config_file())["mrn"].as<std::string>());
  EXPECT_EQ(state(1), "rejected");
  platform.stop();
  EXPECT_EQ(state(1), "unreachable");
}

// Nobody's log knows a request that was never sent.
TEST_F(StatusTest, NamesARequestOnlyOnceItIsSent) {
  Platform platform;
  log_in(platform);
  HttpServer silent([](const HttpRequest&) { return HttpResponse{.fault = HttpResponse::Fault::kSilence}; });
  user.env["MONDOO_API_PROXY"] = silent.url();
  EXPECT_EQ(user.run({"status", "--timeout", "700ms"}).err.find("may know"), std::string::npos);
  user.env["MONDOO_API_PROXY"] = std::nullopt;
  user.env["MONDOO_API_ENDPOINT"] = "ftp://x";
  EXPECT_EQ(user.run({"status"}).err.find("log knows"), std::string::npos);
  user.env["MONDOO_API_ENDPOINT"] = silent.url();
  EXPECT_NE(user.run({"status", "--timeout", "700ms"})
                .err.find("the log of " + silent.url().substr(7) + " may know this request as "),
            std::string::npos);
}

TEST_F(StatusTest, ACheckThatNeverRanIsNotOk) {
  Platform platform;
  log_in(platform);
  auto env = user.env;
  env["HOME"] = user.home().path().string();
  const RunResult run = test::run(
      {"bash", "-c",
       "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; ulimit -n 4; exec " + program("cnspec") + " status -o json"},
      {.env = env, .cwd = {}, .input = {}});
  const auto json = parse(run.out);
  EXPECT_NE(run.exit_code, 0);
  for (const auto& check : json["checks"].GetArray()) {
    EXPECT_FALSE(check["ok"].GetBool()) << run.out;
    EXPECT_NE(check["error"]["message"].GetStringLength(), 0u) << run.out;
  }
}

TEST_F(StatusTest, AnswerNeverComes) {
  Platform platform;
  log_in(platform);
  platform.restart({"--delay", "Health/Check=1h", "--delay", "AgentManager/PingPong=1h"});
  expect_complete(user.run({"status", "--timeout", "700ms"}),
                  "POST " + platform.url() + "/Health/Check: timed out after ",
                  "POST " + platform.url() + "/AgentManager/PingPong: timed out after ");
}

TEST_F(StatusTest, PlatformAnswersOnlySomeOfTheChecks) {
  Platform platform;
  log_in(platform);
  platform.restart({"--fail", "Health/Check=Unavailable"});
  const RunResult status = user.run({"status"});
  EXPECT_EQ(status.exit_code, 0) << "it is registered and authenticated all the same";
  EXPECT_NE(status.out.find("x could not check upstream health error=\"rpc error: code = Unavailable"),
            std::string::npos)
      << status.out;
  EXPECT_NE(status.out.find("→ client authenticated successfully\n"), std::string::npos) << status.out;
}

// ---- when the configuration is no good ----

TEST_F(StatusTest, KeyThatCannotBeUsedStillGivesTheReport) {
  Platform platform;
  log_in(platform);
  YAML::Node config = YAML::LoadFile(user.config_file());
  config["private_key"] = "-----BEGIN PRIVATE KEY-----\nbm90IGEga2V5\n-----END PRIVATE KEY-----\n";
  std::ofstream(user.config_file()) << config;
  const RunResult text = user.run({"status"});
  EXPECT_EQ(text.exit_code, 78);
  EXPECT_NE(text.out.find(
                "x the configuration cannot be used error=\"the private key of the service account cannot "
                "be read"),
            std::string::npos)
      << text.out;
  const auto json = parse(user.run({"status", "-o", "json"}).out);
  EXPECT_STREQ(json["client"]["pingPongError"]["kind"].GetString(), "config");
  EXPECT_FALSE(json["client"]["authenticated"].GetBool());
}

TEST_F(StatusTest, ConfigurationThatIsNoYaml) {
  const auto file = user.home().write(".config/mondoo/mondoo.yml", "mrn: ok\nprivate_key: [oops\n");
  const RunResult status = user.run({"status"});
  EXPECT_EQ(status.exit_code, 78);
  EXPECT_EQ(status.out, "");
  EXPECT_TRUE(status.err.starts_with("x " + file.string() + ":")) << status.err;
}

TEST_F(StatusTest, NamesTheFileThatIsNotThere) {
  const RunResult status = user.run({"status", "--config", "/nonexistent/mondoo.yml", "--timeout", "1s"});
  EXPECT_TRUE(status.out.starts_with("! could not load configuration file /nonexistent/mondoo.yml\n"))
      << status.out;
  EXPECT_EQ(status.exit_code, 1);
}

// ---- for programs ----

TEST_F(StatusTest, JsonCarriesEverythingAndNothingElseIsPrinted) {
  Platform platform;
  log_in(platform);
  const RunResult run = user.run({"status", "-o", "json"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.err, "");
  ASSERT_TRUE(run.out.ends_with("}\n"));
  const auto status = parse(run.out);
  const auto config = YAML::LoadFile(user.config_file());
  const auto& client = status["client"];
  EXPECT_EQ(client["mrn"].GetString(), config["agent_mrn"].as<std::string>());
  EXPECT_EQ(client["service_account"].GetString(), config["mrn"].as<std::string>());
  EXPECT_STREQ(client["parentMrn"].GetString(), "//captain.api.mondoo.app/spaces/test-space");
  EXPECT_STREQ(client["version"].GetString(), kVersion);
  EXPECT_STREQ(client["latest_version"].GetString(), kVersion);
  EXPECT_TRUE(client["registered"].GetBool());
  EXPECT_TRUE(client["authenticated"].GetBool());
  EXPECT_FALSE(client.HasMember("pingPongError"));
  EXPECT_EQ(client["config"]["path"].GetString(), user.config_file().string());
  EXPECT_STREQ(client["config"]["source"].GetString(), "default");
  EXPECT_EQ(status["upstream"]["api"]["endpoint"].GetString(), platform.url());
  EXPECT_STREQ(status["upstream"]["api"]["status"].GetString(), "SERVING");
  EXPECT_STREQ(status["upstream"]["api"]["version"].GetString(), "13");
  std::vector<std::string> providers, checks;
  for (const auto& provider : status["providers"].GetArray())
    providers.emplace_back(provider["name"].GetString());
  for (const auto& check : status["checks"].GetArray()) {
    checks.emplace_back(check["name"].GetString());
    EXPECT_TRUE(check["ok"].GetBool()) << checks.back();
  }
  EXPECT_EQ(providers, (std::vector<std::string>{"arista", "aws", "azure", "core", "mock", "os"}));
  EXPECT_EQ(checks,
            (std::vector<std::string>{"local", "health", "ping", "latest-version", "latest-providers"}));
}

TEST_F(StatusTest, JsonTellsRejectedFromNotAsked) {
  Platform platform;
  log_in(platform);
  platform.revoke(YAML::LoadFile(user.config_file())["mrn"].as<std::string>());
  const auto rejected = parse(user.run({"status", "-o", "json"}).out);
  EXPECT_STREQ(rejected["client"]["pingPongError"]["kind"].GetString(), "rejected");
  EXPECT_EQ(rejected["client"]["pingPongError"]["code"].GetInt(), 16);
  platform.stop();
  const auto down = parse(user.run({"status", "-o", "json"}).out);
  EXPECT_STREQ(down["client"]["pingPongError"]["kind"].GetString(), "unavailable");
  EXPECT_FALSE(down["client"]["pingPongError"].HasMember("code"));
}

TEST_F(StatusTest, YamlSaysTheSameAsJson) {
  Platform platform;
  log_in(platform);
  const RunResult run = user.run({"status", "-o", "YAML"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const YAML::Node yaml = YAML::Load(run.out);
  const auto json = parse(user.run({"status", "-o", "json"}).out);
  EXPECT_EQ(yaml["client"]["mrn"].as<std::string>(), json["client"]["mrn"].GetString());
  EXPECT_EQ(yaml["client"]["registered"].as<bool>(), true);
  EXPECT_EQ(yaml["upstream"]["api"]["endpoint"].as<std::string>(), platform.url());
  EXPECT_EQ(yaml["providers"].size(), json["providers"].Size());
  EXPECT_EQ(yaml["checks"].size(), json["checks"].Size());
}

// ---- the schema ----

// The document fits the schema, and says this state.
void expect_valid(const RunResult& json, const std::string& state, int exit_code) {
  EXPECT_EQ(json.exit_code, exit_code) << json.err;
  const std::string source = CNSPEC_SOURCE_DIR;
  ProcessOptions document;
  document.input = json.out;
  const RunResult validated = test::run(
      {"python3", source + "/tests/integration/validate_json.py", source + "/core/status/status.schema.json"},
      document);
  EXPECT_EQ(validated.out + validated.err, "") << json.out;
  EXPECT_EQ(validated.exit_code, 0);
  EXPECT_NE(json.out.find("\"state\": \"" + state + "\""), std::string::npos) << json.out;
}

TEST_F(StatusTest, ConfigurationThatCannotBeUsedFitsTheSchemaToo) {
  const auto file = user.home().write(".config/mondoo/mondoo.yml", "mrn: ok\nprivate_key: [oops\n");
  const auto expect_unusable = [&](const std::string& message, const std::string& path) {
    const RunResult run = user.run({"status", "-o", "json"});
    expect_valid(run, "unusable", 78);
    const auto json = parse(run.out);
    const auto& client = json["client"];
    EXPECT_STREQ(client["pingPongError"]["kind"].GetString(), "config");
    EXPECT_NE(std::string(client["pingPongError"]["message"].GetString()).find(message), std::string::npos)
        << run.out;
    EXPECT_EQ(client["config"].HasMember("path") ? client["config"]["path"].GetString() : "", path);
    EXPECT_FALSE(client["config"]["loaded"].GetBool());
    EXPECT_TRUE(run.err.starts_with("x ")) << run.err;
  };
  expect_unusable(file.string() + ":", file);
  EXPECT_EQ(YAML::Load(user.run({"status", "-o", "yaml"}).out)["client"]["state"].as<std::string>(),
            "unusable");
  user.env["MONDOO_OUTPUT"] = "json";
  expect_valid(user.run({"status"}), "unusable", 78);
  user.env.erase("MONDOO_OUTPUT");
  user.home().write(".config/mondoo/mondoo.yml", "output: json\nlog: {format: json}\nmrn: [x]\n");
  const RunResult as_the_file_has_it = user.run({"status"});
  expect_valid(as_the_file_has_it, "unusable", 78);
  EXPECT_NE(as_the_file_has_it.err.find("\"level\":\"error\""), std::string::npos) << as_the_file_has_it.err;

  std::filesystem::remove(file);
  std::filesystem::create_directory(file);
  expect_unusable("found a folder", file);
  user.env["MONDOO_CONFIG_BASE64"] = "?";
  expect_unusable("MONDOO_CONFIG_BASE64 is not base64", "");
  user.env.erase("MONDOO_CONFIG_BASE64");

  std::filesystem::remove(file);
  user.home().write(".config/mondoo/mondoo.yml", "providers_lock: /nonexistent/providers.lock\n");
  expect_unusable("/nonexistent/providers.lock", file);
}

TEST_F(StatusTest, EveryStateFitsTheSchema) {
  const Argv json = {"status", "-o", "json", "--timeout", "3s"};
  {
    User nobody;
    expect_valid(nobody.run({"status", "-o", "json", "--timeout", "1s"}), "not-registered", 1);
  }
  Platform platform({"--clock-skew", "72h", "--latest-version", "99.0.0"});
  log_in(platform);
  expect_valid(user.run(json), "registered", 0);
  platform.restart({"--fail", "*=garbage"});
  expect_valid(user.run(json), "unreachable", 1);
  platform.restart({"--delay", "*=1h"});
  expect_valid(user.run({"status", "-o", "json", "--timeout", "500ms"}), "unreachable", 1);
  platform.restart();
  platform.revoke(YAML::LoadFile(user.config_file())["mrn"].as<std::string>());
  expect_valid(user.run(json), "rejected", 1);
  platform.stop();
  expect_valid(user.run(json), "unreachable", 1);
  YAML::Node config = YAML::LoadFile(user.config_file());
  config["private_key"] = "no key";
  std::ofstream(user.config_file()) << config;
  expect_valid(user.run(json), "unusable", 78);
  user.env["MONDOO_CONFIG_BASE64"] = "bXJuOiB4Cg==";
  expect_valid(user.run(json), "unusable", 78);
}

TEST_F(StatusTest, RefusedProvidersFitTheSchemaToo) {
  user.home().write(".config/mondoo/providers/text.so", "not a library\n");
  expect_valid(user.run({"status", "-o", "json", "--timeout", "1s"}), "not-registered", 1);
}

// ---- versions ----

TEST_F(StatusTest, VersionsCompareAsSemanticVersions) {
  const auto announced = [&](const std::string& cnspec, const std::string& os) {
    HttpServer server([&](const HttpRequest& request) {
      if (request.path() == "/cnspec/latest.json")
        return HttpResponse{.body = R"({"version":")" + cnspec + "\"}"};
      if (request.path() != "/providers/latest.json") return HttpResponse{.body = "{}"};
      return HttpResponse{.body =
                              R"({"providers":[{"name":"os","version":")" + os + R"("},{"name":"coffee"}]})"};
    });
    user.home().write(".config/mondoo/mondoo.yml",
                      "api_endpoint: " + server.url() + "\nupdates_url: " + server.url() + "/\n");
    const std::string out = user.run({"status"}).out;
    const auto requests = server.requests();
    EXPECT_EQ(std::count_if(requests.begin(), requests.end(),
                            [](const HttpRequest& r) { return r.path() == "/providers/latest.json"; }),
              1)
        << "one question for all of them";
    return out;
  };
  const auto newer = [](const std::string& out) { return out.find("A newer version") != std::string::npos; };
  const auto outdated = [](const std::string& out) {
    return out.find("→ Outdated Providers:\tos\n") != std::string::npos;
  };
  const std::string own = kVersion;
  std::string out = announced(own, "0.0.1");
  EXPECT_FALSE(newer(out) || outdated(out)) << out;
  out = announced("v" + own, "v99.0.0");
  EXPECT_FALSE(newer(out)) << out;
  EXPECT_TRUE(outdated(out)) << out;
  out = announced(own + "-rc.1", "0.0.9-beta");
  EXPECT_FALSE(newer(out) || outdated(out)) << "a pre-release comes before its release\n" << out;
  out = announced("0.0.9", "unstable");
  EXPECT_FALSE(newer(out) || outdated(out)) << out;
  out = announced("99.0.0-alpha", "10.10.0");
  EXPECT_TRUE(newer(out) && outdated(out)) << out;
}

TEST_F(StatusTest, UpdatesThatCannotBeAskedAreSaidAndNothingElseIsLost) {
  Platform platform({"--fail", "providers/latest.json=Internal"});
  log_in(platform);
  const RunResult status = user.run({"status"});
  EXPECT_EQ(status.exit_code, 0);
  EXPECT_NE(status.out.find("! failed to get provider info error=\"" + platform.url() +
                            "/providers/latest.json: HTTP status 500\"\n→ Installed Providers:"),
            std::string::npos)
      << status.out;
}

// ---- what is wrong is told apart ----

TEST_F(StatusTest, HintsAndRequestsAreOnStandardErrorAndTheReportIsAsDocumented) {
  Platform platform;
  log_in(platform);
  platform.revoke(YAML::LoadFile(user.config_file())["mrn"].as<std::string>());
  const RunResult status = user.run({"status"});
  EXPECT_TRUE(std::regex_match(
      status.err, std::regex("! ping: the platform's log knows this request as [0-9a-f-]{36}\n")))
      << status.err;
  EXPECT_EQ(user.run({"status", "-o", "json"}).err, "");
}

TEST_F(StatusTest, UnknownFormatIsWrongUsage) {
  const RunResult status = user.run({"status", "-o", "xml"});
  EXPECT_EQ(status.exit_code, 2);
  EXPECT_EQ(status.out, "");
  EXPECT_NE(status.err.find("xml"), std::string::npos) << status.err;
}

TEST_F(StatusTest, FullDiskIsAnError) {
  // Neither the network nor the variables of whoever runs the tests may have a say in what is printed.
  const RunResult status = test::run({"env", "-i", "HOME=" + user.home().path().string(),
                                      "MONDOO_API_ENDPOINT=https://127.0.0.1:1", "sh", "-c",
                                      program("cnspec") + " status > /dev/full"});
  EXPECT_EQ(status.exit_code, 1);
  EXPECT_EQ(status.err, "x standard output cannot be written: No space left on device\n");
}

// ---- other people's providers ----

class DropInTest : public StatusTest {
 protected:
  void SetUp() override {
    StatusTest::SetUp();
    std::filesystem::create_directories(user.providers());
  }

  // The plain-C example, built with nothing but provider.h and what a yaml, its own or another, was made
  // into.
  std::filesystem::path build_coffee(std::filesystem::path yaml = {}) {
    const std::string source = std::string(CNSPEC_SOURCE_DIR) + "/sdk";
    const std::string example = source + "/examples/hello-c";
    if (yaml.empty()) yaml = example + "/provider.yaml";
    const auto generated = user.home() / "generated";
    const auto library = user.home() / "coffee.so";
    const RunResult made = test::run({program("cnspec-manifest"), yaml, "--output", generated});
    EXPECT_EQ(made.exit_code, 0) << made.err;
    const RunResult cc =
        test::run({"cc", "-std=c11", "-shared", "-fPIC", "-fvisibility=hidden", "-I" + source + "/include",
                   "-I" + generated.string(), example + "/coffee.c", (generated / "manifest.c").string(),
                   "-o", library});
    EXPECT_EQ(cc.exit_code, 0) << cc.err;
    return library;
  }

  std::filesystem::path drop(const std::filesystem::path& file, const std::string& name, mode_t mode = 0755) {
    const auto to = user.providers() / name;
    std::filesystem::copy_file(file, to);
    EXPECT_EQ(::chmod(to.c_str(), mode), 0);
    return to;
  }
};

TEST_F(DropInTest, AppearsInTheReportAndAnswers) {
  drop(build_coffee(), "coffee.so");
  const RunResult status = user.run({"status", "--timeout", "1s"});
  EXPECT_NE(status.out.find("→ Installed Providers:\tarista | aws | azure | coffee | core | mock | os\n"),
            std::string::npos)
      << status.out;
  const RunResult discovered = user.run({"discover", "coffee", "kitchen"});
  EXPECT_EQ(discovered.exit_code, 0) << discovered.err;
  EXPECT_NE(discovered.out.find("kitchen"), std::string::npos) << discovered.out;
}

TEST_F(DropInTest, TakesTheWordsOfBundledConnectorsAndNothingElse) {
  const auto yaml = user.home().write("aaa.yaml", R"(
id: example.com/providers/aaa
name: aaa
version: 1.0.0
summary: Wants to be everything
connectors:
  local: {summary: not the local system, usage: ROOM, args: {min: 1, max: 1}}
  fs: {summary: an alias of another's connector, usage: "--config, ROOM", args: {min: 1, max: 1}}
  room: {summary: a room, aliases: [filesystem, aws], usage: ROOM, args: {min: 1, max: 1}}
)");
  drop(build_coffee(yaml), "aaa.so");
  const RunResult status = user.run({"status", "--timeout", "1s"});
  EXPECT_EQ(normalised(status.out).find("could not determine client platform information"), std::string::npos)
      << "status asks the provider os, whoever else calls a connector local\n"
      << status.out;
  // The user's folder comes before the bundled one, so its words are its own; every other one still works.
  for (const char* word : {"local", "fs", "room", "filesystem", "aws"}) {
    const RunResult found = user.run({"discover", word, "kitchen"});
    EXPECT_EQ(found.exit_code, 0) << word << "\n" << found.err;
    EXPECT_NE(found.out.find("coffee-machine"), std::string::npos) << word << "\n" << found.out;
  }
  EXPECT_NE(user.run({"discover", "--help"}).out.find("azure"), std::string::npos);
}

TEST_F(DropInTest, EveryBadFileIsNamedWithItsReasonAndHidesNothing) {
  const auto coffee = build_coffee();
  drop(coffee, "coffee.so");
  drop(coffee, "everybodys.so", 0777);
  user.home().write(".config/mondoo/providers/notes.txt", "remember the milk\n");
  user.home().write(".config/mondoo/providers/text.so", "not a library\n");
  std::filesystem::resize_file(drop(coffee, "cut.so"), std::filesystem::file_size(coffee) / 2);
  {
    std::fstream other(drop(coffee, "other.so"), std::ios::in | std::ios::out | std::ios::binary);
    other.seekp(18);           // e_machine
    other.write("\x16\0", 2);  // IBM S/390
  }
  const RunResult status = user.run({"status", "--timeout", "1s"});
  EXPECT_NE(status.out.find("→ Installed Providers:\tarista | aws | azure | coffee | core | mock | os\n"),
            std::string::npos)
      << status.out;
  const auto refused = [&](const std::string& name, const std::string& reason) {
    EXPECT_NE(status.out.find("! provider refused: " + (user.providers() / name).string() + ": " + reason),
              std::string::npos)
        << name << "\n"
        << status.out;
  };
  refused("text.so", "expected a shared library (ELF), found a text file\n");
  refused("notes.txt", "expected a name that ends in .so\n");
  refused("cut.so", "cut off: ");
#if defined(__x86_64__)
  refused("other.so", "expected a library for x86-64, found one for s390x\n");
#endif
  refused("everybodys.so", "the file is writable by everybody (mode 0777)\n");
  const auto json = parse(user.run({"status", "-o", "json", "--timeout", "1s"}).out);
  EXPECT_EQ(json["providers"].Size(), 12u);
}

}  // namespace
}  // namespace cnspec::test
