// What is in force and who said so, as `cnspec config show` tells it; and what a login writes.
#include <gtest/gtest.h>
#include <rapidjson/document.h>
#include <sys/stat.h>
#include <yaml-cpp/yaml.h>

#include "base/version.hpp"
#include "support/cnspec.hpp"
#include "support/platform.hpp"

namespace cnspec::test {
namespace {

class ConfigCommandTest : public testing::Test {
 protected:
  std::string file(const std::string& text, mode_t mode = 0600) const {
    return user.home().write("c/mondoo.yml", text, mode).string();
  }
  rapidjson::Document shown(Argv args = {}) const {
    Argv argv = {"config", "show", "-o", "json"};
    argv.insert(argv.end(), args.begin(), args.end());
    const RunResult result = user.run(argv);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    rapidjson::Document document;
    document.Parse(result.out.c_str());
    EXPECT_FALSE(document.HasParseError()) << result.out;
    return document;
  }
  // "VALUE < SOURCE FROM" of one key; lists and mappings are not texts and give their size.
  static std::string setting(const rapidjson::Document& document, const char* key) {
    const auto& settings = document["settings"];
    if (!settings.HasMember(key)) return "not set";
    const auto& one = settings[key];
    const auto& v = one["value"];
    std::string value = v.IsString()  ? v.GetString()
                        : v.IsBool()  ? (v.GetBool() ? "true" : "false")
                        : v.IsInt()   ? std::to_string(v.GetInt())
                        : v.IsArray() ? std::to_string(v.Size()) + " texts"
                                      : std::to_string(v.MemberCount()) + " names";
    return value + " < " + one["source"].GetString() +
           (one.HasMember("from") ? std::string(" ") + one["from"].GetString() : "");
  }

  User user;
};

TEST_F(ConfigCommandTest, EveryKeyFromTheEnvironment) {
  struct Row {
    const char *key, *variable, *value, *expected;
  };
  const Row rows[] = {
      {"agent_mrn", "MONDOO_AGENT_MRN", "a", "a"},
      {"mrn", "MONDOO_MRN", "m", "m"},
      {"private_key", "MONDOO_PRIVATE_KEY", "hunter2", "********"},
      {"private_key_file", "MONDOO_PRIVATE_KEY_FILE", "/k", "/k"},
      {"certificate", "MONDOO_CERTIFICATE", "c", "c"},
      {"scope_mrn", "MONDOO_SCOPE_MRN", "s", "s"},
      {"space_mrn", "MONDOO_SPACE_MRN", "s", "s"},
      {"parent_mrn", "MONDOO_PARENT_MRN", "s", "s"},
      {"api_endpoint", "MONDOO_API_ENDPOINT", "https://u:hunter2@h", "https://u:********@h"},
      {"api_proxy", "MONDOO_API_PROXY", "http://u:hunter2@h:3128", "http://u:********@h:3128"},
      {"ca_file", "MONDOO_CA_FILE", "/ca", "/ca"},
      {"auth.method", "MONDOO_AUTH_METHOD", "ssh", "ssh"},
      {"type", "MONDOO_TYPE", "t", "t"},
      {"audience", "MONDOO_AUDIENCE", "t", "t"},
      {"issuerUri", "MONDOO_ISSUERURI", "t", "t"},
      {"jwtToken", "MONDOO_JWTTOKEN", "hunter2", "********"},
      {"universeDomain", "MONDOO_UNIVERSEDOMAIN", "t", "t"},
      {"scopes", "MONDOO_SCOPES", "a b", "2 texts"},
      {"subjectTokenType", "MONDOO_SUBJECTTOKENTYPE", "t", "t"},
      {"features", "MONDOO_FEATURES", "MassQueries", "1 texts"},
      {"labels", "MONDOO_LABELS", "{\"a\": \"b\", \"c\": 1}", "2 names"},
      {"annotations", "MONDOO_ANNOTATIONS", "{}", "0 names"},
      {"updates_url", "MONDOO_UPDATES_URL", "http://u", "http://u"},
      {"providers_url", "MONDOO_PROVIDERS_URL", "http://u", "http://u"},
      {"category", "MONDOO_CATEGORY", "t", "t"},
      {"detect-cicd", "MONDOO_DETECT_CICD", "T", "true"},
      {"auto_update", "MONDOO_AUTO_UPDATE", "0", "false"},
      {"isolation", "MONDOO_ISOLATION", "process", "process"},
      {"trust", "MONDOO_TRUST", "signed", "signed"},
      {"trusted_keys", "MONDOO_TRUSTED_KEYS", "RWQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
       "1 texts"},
      {"log.format", "MONDOO_LOG_FORMAT", "text", "text"},
      {"log.color", "MONDOO_LOG_COLOR", "false", "false"},
      {"verbose", "MONDOO_VERBOSE", "false", "false"},
      {"log-level", "MONDOO_LOG_LEVEL", "error", "error"},
      {"output", "MONDOO_OUTPUT", "json", "json"},
      {"name", "MONDOO_NAME", "t", "t"},
      {"insecure", "MONDOO_INSECURE", "1", "true"},
      {"incognito", "MONDOO_INCOGNITO", "FALSE", "false"},
      {"platform-id", "MONDOO_PLATFORM_ID", "t", "t"},
      {"inventory-file", "MONDOO_INVENTORY_FILE", "t", "t"},
      {"sudo.active", "MONDOO_SUDO_ACTIVE", "true", "true"},
      {"scan_interval.timer", "MONDOO_SCAN_INTERVAL_TIMER", "5", "5"},
      {"scan_interval.splay", "MONDOO_SCAN_INTERVAL_SPLAY", "0", "0"},
      {"typename", "MONDOO_TYPENAME", "t", "t"},
      {"token", "MONDOO_TOKEN", "hunter2", "********"},
      {"strict", "MONDOO_STRICT", "t", "t"},
      {"system_proxy", "MONDOO_SYSTEM_PROXY", "t", "t"},
      {"provider_port_range", "MONDOO_PROVIDER_PORT_RANGE", "1-2", "1-2"},
      {"update_channel", "MONDOO_UPDATE_CHANNEL", "preview", "preview"},
  };
  for (const Row& row : rows) user.env[row.variable] = row.value;
  const auto document = shown();
  for (const Row& row : rows)
    EXPECT_EQ(setting(document, row.key), std::string(row.expected) + " < environment " + row.variable);
  EXPECT_EQ(document["settings"].MemberCount(), std::size(rows));
}

TEST_F(ConfigCommandTest, TheSourceOfEachKey) {
  user.env["MONDOO_NAME"] = "from-env";
  const std::string path = file(
      "name: from-file\nca_file: /none\nlog:\n  color: yes\napi_proxy: http://file\n"
      "sudo.active: false\nmine: 1\nlog.other: x\nscan_interval: {jitter: 3}\n");
  const auto document =
      shown({"--config", path, "--ca-file", path, "--log-level", "error", "--api-proxy", "http://flag"});
  EXPECT_EQ(setting(document, "name"), "from-env < environment MONDOO_NAME");
  EXPECT_EQ(setting(document, "ca_file"), path + " < flag --ca-file");
  EXPECT_EQ(setting(document, "api_proxy"), "http://flag < flag --api-proxy");
  EXPECT_EQ(setting(document, "log-level"), "error < flag --log-level");
  EXPECT_EQ(setting(document, "log.color"), "true < file " + path + ":4:10");
  EXPECT_EQ(setting(document, "sudo.active"), "false < file " + path + ":6:14");
  EXPECT_EQ(setting(document, "api_endpoint"), "https://us.api.mondoo.com < default");
  EXPECT_EQ(setting(document, "updates_url"), std::string(kUpdatesUrl) + " < default");
  EXPECT_EQ(setting(document, "category"), "not set");
  EXPECT_STREQ(document["config"]["source"].GetString(), "--config");
  const auto& unknown = document["unknownKeys"];
  ASSERT_EQ(unknown.Size(), 3u);
  EXPECT_STREQ(unknown[0].GetString(), "mine");
  EXPECT_STREQ(unknown[1].GetString(), "log.other");
  EXPECT_STREQ(unknown[2].GetString(), "scan_interval.jitter");

  // As for the network: this variable goes before the flag.
  user.env["MONDOO_API_PROXY"] = "http://env";
  EXPECT_EQ(setting(shown({"--api-proxy", "http://flag"}), "api_proxy"),
            "http://env < environment MONDOO_API_PROXY");
}

TEST_F(ConfigCommandTest, TheProxiesInForce) {
  const auto proxy = [&](const Argv& args, const char* which) {
    const auto document = shown(args);
    const auto& one = document["proxies"][which];
    return std::string(one["value"].GetString()) + " < " + one["source"].GetString() +
           (one.HasMember("from") ? std::string(" ") + one["from"].GetString() : "");
  };
  const auto lines = [&](const std::string& config) {
    const std::string out = user.run({"config", "show", "--config", config}).out;
    const auto begin = out.find("update_channel");
    return out.substr(out.find('\n', begin) + 1);
  };
  const std::string none = file("name: web\n");
  EXPECT_EQ(proxy({}, "https"), " < default");
  EXPECT_EQ(lines(none), "");

  user.env["HTTPS_PROXY"] = "http://me:hunter2@secure:1";
  user.env["http_proxy"] = "http://hunter2@plain:2";
  user.env["NO_PROXY"] = "localhost,10.0.0.0/8";
  EXPECT_EQ(proxy({}, "https"), "http://me:********@secure:1 < environment HTTPS_PROXY");
  EXPECT_EQ(proxy({}, "http"), "http://********@plain:2 < environment http_proxy");
  EXPECT_EQ(proxy({}, "no_proxy"), "localhost,10.0.0.0/8 < environment NO_PROXY");
  EXPECT_EQ(lines(none),
            "Proxy for https: http://me:********@secure:1 (HTTPS_PROXY)\n"
            "Proxy for http: http://********@plain:2 (http_proxy)\n"
            "Asked without a proxy: localhost,10.0.0.0/8 (NO_PROXY)\n");

  // What names one for everything goes before them, and so does what names none.
  const std::string path = file("api_proxy: http://me:hunter2@file:3\n");
  const Argv with_key = {"--config", path};
  EXPECT_EQ(proxy(with_key, "https"), "http://me:********@file:3 < file " + path + ":1:12");
  EXPECT_EQ(proxy(with_key, "http"), "http://me:********@file:3 < file " + path + ":1:12");
  EXPECT_EQ(lines(path), "Asked without a proxy: localhost,10.0.0.0/8 (NO_PROXY)\n");
  EXPECT_EQ(proxy({"--config", path, "--api-proxy", "http://flag:4"}, "http"),
            "http://flag:4 < flag --api-proxy");
  EXPECT_EQ(proxy({"--config", path, "--api-proxy", ""}, "https"), " < flag --api-proxy");
  user.env["MONDOO_API_PROXY"] = "";
  EXPECT_EQ(setting(shown(with_key), "api_proxy"), " < environment MONDOO_API_PROXY");
  EXPECT_EQ(proxy(with_key, "https"), " < environment MONDOO_API_PROXY");
  const std::string text = user.run({"config", "show", "--config", path}).out;
  EXPECT_NE(text.find("\napi_proxy            MONDOO_API_PROXY  (none)\n"), text.npos) << text;
  EXPECT_EQ(text.find("http://me"), text.npos) << text;
}

TEST_F(ConfigCommandTest, TextAndYaml) {
  const std::string path = file("name: web\nprivate_key: |\n  hunter2\nlabels: {a: b}\nfoo: 1\n");
  const RunResult text = user.run({"config", "show", "--config", path});
  EXPECT_EQ(text.out, "→ loaded configuration from " + path +
                          " using source --config\n"
                          "private_key          line 2   ********\n"
                          "api_endpoint         default  https://us.api.mondoo.com\n"
                          "labels               line 4   {\"a\":\"b\"}\n"
                          "updates_url          default  " +
                          std::string(*kUpdatesUrl ? kUpdatesUrl : "(none)") +
                          "\n"
                          "auto_update          default  true\n"
                          "isolation            default  auto\n"
                          "trust                default  any\n"
                          "log-level            default  warn\n"
                          "name                 line 1   web\n"
                          "scan_interval.timer  default  60\n"
                          "scan_interval.splay  default  60\n"
                          "update_channel       default  stable\n"
                          "Kept, but not used: foo\n");
  EXPECT_EQ(text.err, "");
  const RunResult yaml = user.run({"config", "show", "--config", path, "-o", "yaml"});
  const YAML::Node root = YAML::Load(yaml.out);
  EXPECT_EQ(root["settings"]["name"]["value"].as<std::string>(), "web");
  EXPECT_EQ(root["settings"]["private_key"]["value"].as<std::string>(), "********");
  EXPECT_EQ(root["unknownKeys"][0].as<std::string>(), "foo");
}

TEST_F(ConfigCommandTest, WhatIsWrongSaysWhere) {
  struct Row {
    const char *text, *expected;
  };
  const Row rows[] = {
      {"a: 1\nname: [x]\n", ":2:7: name must be text, found a list"},
      {"auto_update: maybe\n", ":1:14: auto_update must be true or false, found maybe"},
      {"scan_interval:\n  timer: soon\n",
       ":2:10: scan_interval.timer must be a whole number of minutes, found soon"},
      {"scan_interval: 60\n", ":1:16: scan_interval must be a mapping, as of timer, found a text"},
      {"log: json\n", ":1:6: log must be a mapping, as of format, found a text"},
      {"labels: x\n", ":1:9: labels must map names to texts, found a text"},
      {"labels:\n  a: [1]\n", ":2:3: labels must map names to texts, found a list"},
      {"features: {a: b}\n", ":1:11: features must be a list of texts, found a mapping"},
      {"features: [a, [b]]\n", ":1:15: features must be a list of texts, found a list"},
      {"name: x\nname: y\n", ":2:1: the key name is there already"},
      {"{\"name\": [1]}", ":1:10: name must be text, found a list"},
  };
  for (const Row& row : rows) {
    const std::string path = file(row.text);
    const RunResult result = user.run({"config", "show", "--config", path});
    EXPECT_EQ(result.err, "x " + path + row.expected + "\n");
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.exit_code, 78);
  }
  user.env["MONDOO_AUTO_UPDATE"] = "maybe";
  EXPECT_EQ(user.run({"config", "show"}).err,
            "x MONDOO_AUTO_UPDATE: auto_update must be true or false, found maybe\n");
  user.env["MONDOO_AUTO_UPDATE"] = std::nullopt;
  user.env["MONDOO_LABELS"] = "a=b";
  EXPECT_EQ(user.run({"config", "show"}).err,
            "x MONDOO_LABELS: expected a JSON object such as {\"name\": \"text\"}\n");
}

TEST_F(ConfigCommandTest, AKeyThatOthersCanReadIsWarnedOfUntilItIsMended) {
  const auto path = user.home().write("it's/mondoo.yml", "private_key: x\n", 0644);
  ::chmod(path.c_str(), 0644);
  const std::string before = user.run({"config", "show", "--config", path}).err;
  const std::string quoted = "'" + user.home().path().string() + "/it'\\''s/mondoo.yml'";
  EXPECT_EQ(before, "! " + path.string() +
                        " holds private_key, and others can read or change it (mode 0644); to mend it: "
                        "chmod 600 " +
                        quoted + "\n");
  ASSERT_EQ(run({"sh", "-c", before.substr(before.find("chmod"))}).exit_code, 0);
  EXPECT_EQ(user.run({"config", "show", "--config", path}).err, "");
  // Without a secret in it, anybody may read it.
  const auto open = file("name: x\n", 0644);
  ::chmod(open.c_str(), 0644);
  EXPECT_EQ(user.run({"config", "show", "--config", open}).err, "");
}

TEST_F(ConfigCommandTest, DocumentsOfWorkloadsSayHowAndWhere) {
  const auto path = file("{\"type\": \"external_account\", \"universeDomain\": \"https://eu.example\"}");
  const auto document = shown({"--config", path});
  EXPECT_EQ(setting(document, "auth.method"), "wif < file " + path + ":1:10");
  EXPECT_EQ(setting(document, "api_endpoint"), "https://eu.example < file " + path + ":1:48");
}

TEST_F(ConfigCommandTest, StatusIsWrittenAsTheKeyOutputSays) {
  user.env["MONDOO_API_ENDPOINT"] = "http://127.0.0.1:1";
  user.env["MONDOO_UPDATES_URL"] = "http://127.0.0.1:1";
  user.env["MONDOO_OUTPUT"] = "json";
  EXPECT_EQ(user.run({"status"}).out.front(), '{');
  EXPECT_NE(user.run({"status", "-o", "text"}).out.front(), '{');
  user.env["MONDOO_OUTPUT"] = "junit";  // of a scan
  EXPECT_NE(user.run({"status"}).out.front(), '{');
}

TEST_F(ConfigCommandTest, AFormatThatStatusLacksIsNotRefusedSinceOtherCommandsMayKnowItAndASlipIsSaid) {
  user.env["MONDOO_API_ENDPOINT"] = "http://127.0.0.1:1";
  user.env["MONDOO_OUTPUT"] = "jsn";
  RunResult status = user.run({"status"});
  EXPECT_TRUE(status.out.starts_with("→ ")) << status.out;
  EXPECT_EQ(status.err, "! unknown output format: jsn (MONDOO_OUTPUT); did you mean json?\n");
  EXPECT_EQ(status.exit_code, 1);
  EXPECT_EQ(user.run({"status", "-o", "json"}).err, "");
  user.env["MONDOO_OUTPUT"] = "JSON";  // like -o
  status = user.run({"status"});
  EXPECT_TRUE(status.out.starts_with("{")) << status.out;
  EXPECT_EQ(status.err, "");
  user.env["MONDOO_OUTPUT"] = std::nullopt;
  const std::string path = file("output: yam\n");
  EXPECT_EQ(user.run({"status", "--config", path}).err,
            "! unknown output format: yam (" + path + ":1:9); did you mean yaml?\n");
  for (const char* other : {"compact", "full", "summary", "report", "csv", "junit", "json-v2"}) {
    user.env["MONDOO_OUTPUT"] = other;
    EXPECT_EQ(user.run({"status"}).err, "") << other;
  }
}

TEST_F(ConfigCommandTest, AFileThatIsMissingIsAWarning) {
  const std::string path = user.home() / "none.yml";
  const RunResult result = user.run({"config", "show", "--config", path});
  EXPECT_EQ(result.err, "! could not load configuration file " + path + "\n");
  EXPECT_EQ(result.exit_code, 0);
}

TEST_F(ConfigCommandTest, WrongUsage) {
  EXPECT_EQ(user.run({"config"}).exit_code, 2);
  EXPECT_EQ(user.run({"config", "show", "-o", "xml"}).exit_code, 2);
  EXPECT_EQ(user.run({"config", "show", "more"}).exit_code, 2);
}

// ---- what a login writes ----

TEST_F(ConfigCommandTest, ALoginWritesNeitherTheEnvironmentNorDefaults) {
  Platform platform;
  user.env["MONDOO_NAME"] = "from-env";
  user.env["MONDOO_CA_FILE"] = platform.ca_file();
  user.env["MONDOO_AUTO_UPDATE"] = "false";
  user.env["MONDOO_LABELS"] = "{\"a\": \"b\"}";
  const RunResult login = user.run({"login", "--token", platform.token(), "--splay", "3"});
  ASSERT_EQ(login.exit_code, 0) << login.err;
  std::vector<std::string> keys;
  for (const auto& entry : YAML::LoadFile(user.config_file())) keys.push_back(entry.first.Scalar());
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(keys, (std::vector<std::string>{"agent_mrn", "api_endpoint", "certificate", "mrn", "private_key",
                                            "scan_interval", "scope_mrn", "space_mrn"}));
}

TEST_F(ConfigCommandTest, TwoLoginsAtOnceLeaveOneWhole) {
  Platform platform;
  user.home().write(".config/mondoo/mondoo.yml", "ca_file: " + platform.ca_file() + "\n");
  std::vector<Process> logins;
  for (int i = 0; i < 4; ++i) {
    logins.push_back(user.start(
        {"login", "--token", platform.token(), "--name", "n" + std::to_string(i), "--timeout", "50s"}));
  }
  for (Process& login : logins) {
    const RunResult result = login.wait();
    EXPECT_EQ(result.exit_code, 0) << result.err;
  }
  // Key, account and client belong together, or the platform would say no.
  EXPECT_EQ(user.run({"status"}).exit_code, 0);
  EXPECT_EQ(user.run({"logout", "--force"}).exit_code, 0);
}

}  // namespace
}  // namespace cnspec::test
