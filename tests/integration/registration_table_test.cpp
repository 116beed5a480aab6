// What is typed, set and written on the left; what is printed, and the exit code, on the right: the ways in
// and out as facts/registration.md lists them, through the real program and the real platform. The name of a
// row begins with the section it is from; where we answer otherwise than the tool we follow, `why` says so.
// registration_facts_test.cpp names the test of each of them, also of those that cannot stand here.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <fstream>
#include <functional>
#include <regex>
#include <set>

#include "base/encoding.hpp"
#include "base/json.hpp"
#include "base/version.hpp"
#include "support/cnspec.hpp"
#include "support/http_server.hpp"
#include "support/platform.hpp"

namespace cnspec::test {
namespace {

// One platform for all rows that want nothing of it in particular, since none of them changes it for another.
const Platform& the_platform() {
  static const Platform platform;
  return platform;
}

struct Lab {
  User user;
  std::unique_ptr<Platform> own;

  const Platform& platform() const { return own ? *own : the_platform(); }

  void write(const std::string& name, const std::string& text) const { user.home().write(name, text); }
  void write_config(const std::string& text) const { write(".config/mondoo/mondoo.yml", text); }
  void log_in() const {
    const RunResult login = user.run({"login", "--token", platform().token(), "--ca-file",
                                      platform().ca_file(), "--updates-url", platform().url()});
    if (login.exit_code != 0) throw std::runtime_error("login failed: " + login.out + login.err);
  }
  YAML::Node config() const { return YAML::LoadFile(user.config_file()); }
  void set(const std::string& key, const std::string& value) const {
    YAML::Node changed = config();
    changed[key] = value;
    std::ofstream(user.config_file()) << changed;
  }
  void remove(const std::string& key) const {
    YAML::Node changed = config();
    changed.remove(key);
    std::ofstream(user.config_file()) << changed;
  }
  void revoke() const { platform().revoke(config()["mrn"].as<std::string>()); }
};

struct Row {
  const char* name;
  std::function<void(Lab&)> given;
  Argv args;  // in these and in `env`, {HOME}, {URL}, {CA}, {SOURCE} and {TOKEN} are replaced
  std::map<std::string, std::string> env;
  int exit_code;
  std::string out, err;  // with the same braces, and <> for what differs between runs
  const char* why = "";
  Argv platform = {};  // of `cnspec-platform serve`: one of its own for this row
};

void PrintTo(const Row& row, std::ostream* to) { *to << row.args.front() << " " << row.why; }

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  if (what.empty()) return text;
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

std::string normalised(std::string text, const Lab& lab) {
  text = replaced(text, lab.user.home().path().string(), "{HOME}");
  text = replaced(text, CNSPEC_SOURCE_DIR, "{SOURCE}");
  text = replaced(text, lab.platform().url(), "{URL}");
  const std::pair<const char*, const char*> rules[] = {
      {"(Platform:\t\t)[a-z][^\n]*(\n→ Version:\t\t)[^\n]*(\n→ Hostname:\t\t)[^\n]+(\n→ "
       "IP:\t\t\t)[0-9a-f.:]+",
       "$1<>$2<>$3<>$4<>"},
      {"(Time:\t\t\t?)\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:\\d\\d)", "$1<>"},
      {"(/agents/|/serviceaccounts/)[0-9A-Za-z]{27}", "$1<>"},
      {"(expired? at |clock says )[A-Z][a-z]{2}, \\d\\d [A-Z][a-z]{2} \\d{4} \\d\\d:\\d\\d:\\d\\d [A-Z]+",
       "$1<>"},
      {"knows this request as [0-9a-f-]{36}", "knows this request as <>"},
  };
  for (const auto& [pattern, by] : rules) text = std::regex_replace(text, std::regex(pattern), by);
  return text;
}

class RegistrationTable : public testing::TestWithParam<Row> {};

TEST_P(RegistrationTable, Row) {
  const Row& row = GetParam();
  Lab lab;
  if (!row.platform.empty()) lab.own = std::make_unique<Platform>(row.platform);
  if (row.given) row.given(lab);
  const auto filled = [&](std::string text) {
    text = replaced(text, "{HOME}", lab.user.home().path().string());
    text = replaced(text, "{URL}", lab.platform().url());
    text = replaced(text, "{CA}", lab.platform().ca_file());
    text = replaced(text, "{SOURCE}", CNSPEC_SOURCE_DIR);
    if (text.find("{TOKEN}") != text.npos) text = replaced(text, "{TOKEN}", lab.platform().token());
    return text;
  };
  for (const auto& [name, value] : row.env) lab.user.env[name] = filled(value);
  Argv args;
  for (const auto& arg : row.args) args.push_back(filled(arg));
  const RunResult result = lab.user.run(args);
  EXPECT_EQ(normalised(result.out, lab), row.out) << row.why;
  EXPECT_EQ(normalised(result.err, lab), row.err) << row.why;
  EXPECT_EQ(result.exit_code, row.exit_code) << row.why;
}

std::string row_name(const testing::TestParamInfo<Row>& info) { return info.param.name; }

const auto kAgents = std::string("//agents.api.mondoo.app/spaces/test-space");
const auto kLoaded =
    std::string("→ loaded configuration from {HOME}/.config/mondoo/mondoo.yml using source default\n");
const auto kNoConfig = std::string("→ no Mondoo configuration file provided, using defaults\n");
const std::string kProxyHint =
    "  expected http://HOST:PORT, or https, socks5 or socks5h; a user and password stand before the host as "
    "USER:PASSWORD@, special characters in them as %XX\n";

void nothing(Lab&) {}
void logged_in(Lab& lab) { lab.log_in(); }
void revoked(Lab& lab) {
  lab.log_in();
  lab.revoke();
}
void known_platform(Lab& lab) {
  lab.write_config("api_endpoint: " + lab.platform().url() + "\nca_file: " + lab.platform().ca_file() +
                   "\nupdates_url: " + lab.platform().url() + "\n");
}
std::function<void(Lab&)> file(const std::string& name, const std::string& text) {
  return [=](Lab& lab) { lab.write(name, text); };
}
std::function<void(Lab&)> config(const std::string& text) { return file(".config/mondoo/mondoo.yml", text); }
// A registered client whose file was changed afterwards.
std::function<void(Lab&)> logged_in_with(const std::string& key, const std::string& value) {
  return [=](Lab& lab) {
    lab.log_in();
    lab.set(key, value);
  };
}

std::string machine(const std::string& latest = "→ Latest Version:\t" + std::string(kVersion) + "\n",
                    const std::string& before_providers = "", const std::string& after_providers = "") {
  return "→ Platform:\t\t<>\n→ Version:\t\t<>\n→ Hostname:\t\t<>\n→ IP:\t\t\t<>\n→ Time:\t\t\t<>\n→ "
         "Version:\t\t" +
         std::string(kVersion) + " (API Version: 13)\n" + latest + before_providers +
         "→ Installed Providers:\tarista | aws | azure | core | mock | os\n" + after_providers;
}
const auto kServing = std::string(
    "→ API ConnectionConfig:\t{URL}\n→ API Status:\t\tSERVING\n→ API Time:\t\t<>\n→ API Version:\t\t13\n");
const auto kSilent =
    std::string("→ API Status:\t\tUNKNOWN\n→ API Time:\t\tunknown\n→ API Version:\t\tunknown\n");
std::string identity(const std::string& client = kAgents + "/agents/<>") {
  return "→ Owner:\t\t//captain.api.mondoo.app/spaces/test-space\n→ Client:\t\t" + client +
         "\n→ Service Account:      " + kAgents + "/serviceaccounts/<>\n→ client is registered\n";
}

// ---- 2.1 and 2.2: where the configuration comes from; logout says so first ----

INSTANTIATE_TEST_SUITE_P(
    Sources, RegistrationTable,
    testing::Values(
        Row{"S21_Base64GoesBeforeTheFlag",
            file("a.yml", "mrn: [\n"),
            {"logout", "--config", "{HOME}/a.yml"},
            {{"MONDOO_CONFIG_BASE64", base64_encode("name: x\n")}},
            78,
            "→ loaded configuration from environment using source $MONDOO_CONFIG_BASE64\n",
            "x this client is not logged in: $MONDOO_CONFIG_BASE64 holds no credentials\n"},
        Row{"S21_TheFlagGoesBeforeTheVariable",
            file("a.yml", "name: x\n"),
            {"logout", "--config", "{HOME}/a.yml"},
            {{"MONDOO_CONFIG_PATH", "{HOME}/b.yml"}},
            78,
            "→ loaded configuration from {HOME}/a.yml using source --config\n",
            "x this client is not logged in: {HOME}/a.yml holds no credentials\n"},
        Row{"S21_TheVariableGoesBeforeTheUsersFile",
            file("a.yml", "name: x\n"),
            {"logout"},
            {{"MONDOO_CONFIG_PATH", "{HOME}/a.yml"}},
            78,
            "→ loaded configuration from {HOME}/a.yml using source $MONDOO_CONFIG_PATH\n",
            "x this client is not logged in: {HOME}/a.yml holds no credentials\n"},
        Row{"S21_TheUsersFileByDefault",
            config("name: x\n"),
            {"logout"},
            {},
            78,
            kLoaded,
            "x this client is not logged in: {HOME}/.config/mondoo/mondoo.yml holds no credentials\n"},
        Row{"S21_JsonIsAConfiguration",
            config("{\"name\": \"x\"}"),
            {"logout"},
            {},
            78,
            kLoaded,
            "x this client is not logged in: {HOME}/.config/mondoo/mondoo.yml holds no credentials\n"},
        Row{"S21_NotBase64",
            nothing,
            {"status"},
            {{"MONDOO_CONFIG_BASE64", "%%%"}},
            78,
            "",
            "x MONDOO_CONFIG_BASE64 is not base64\n",
            "there: 1; an unusable configuration is 78 here, everywhere"},
        Row{"S21_BadYamlInBase64",
            nothing,
            {"status"},
            {{"MONDOO_CONFIG_BASE64", base64_encode("a: [")}},
            78,
            "",
            "x MONDOO_CONFIG_BASE64:1:1: end of sequence flow not found\n",
            "there: an empty message"},
        Row{"S21_BadYamlInAFile",
            config("mrn: x\nname: [\n"),
            {"status"},
            {},
            78,
            "",
            "x {HOME}/.config/mondoo/mondoo.yml:3:1: end of sequence flow not found\n",
            "there: the run goes on with defaults, as if nothing were configured"},
        Row{"S21_NotUtf8",
            config("name: \"\xff\"\n"),
            {"status"},
            {},
            78,
            "",
            "x {HOME}/.config/mondoo/mondoo.yml:1: a character is not UTF-8\n"},
        Row{"S21_AFolder",
            nothing,
            {"status", "--config", "{HOME}"},
            {},
            78,
            "",
            "x could not read the configuration: {HOME}: expected a regular file, found a folder\n",
            "there: a warning, and the run goes on with defaults"},
        Row{"S21_AFileThatCannotBeRead",
            nothing,
            {"status", "--config", "/proc/self/mem"},  // which nobody can at its beginning, not even root
            {},
            78,
            "",
            "x could not read the configuration: /proc/self/mem: Input/output error\n",
            "there: the run goes on with defaults"},
        Row{"S21_AFileThatCannotBeLookedAt",
            [](Lab& lab) { std::filesystem::create_symlink("loop", lab.user.home() / "loop"); },
            {"status", "--config", "{HOME}/loop"},
            {},
            78,
            "",
            "x could not read the configuration: {HOME}/loop: Too many levels of symbolic links\n",
            "there: a warning of \"Schrödinger's path\", and the run goes on with defaults"},
        Row{"S21_ParameterStore",
            nothing,
            {"status", "--config", "aws-ssm-ps://region/us-east-1/parameter/x"},
            {},
            78,
            "",
            "x aws-ssm-ps://region/us-east-1/parameter/x: reading the configuration from the AWS parameter "
            "store is not supported, give a file\n",
            "not built yet, and said so"},
        Row{"S21_TwoDocuments",
            config("name: x\n---\nname: y\n"),
            {"status"},
            {},
            78,
            "",
            "x {HOME}/.config/mondoo/mondoo.yml:2:1: expected one document, found another\n"},
        Row{"S21_BrokenYamlThatTheReaderOnceNeverLeft",  // found by fuzzing
            nothing,
            {"status", "--config", "{SOURCE}/tests/fuzz/corpus/config/endless"},
            {},
            78,
            "",
            "x {SOURCE}/tests/fuzz/corpus/config/endless:2:1: expected one document, found another\n"},
        Row{"S22_FlagNamesAFileThatIsNotThere",
            nothing,
            {"logout", "--config", "{HOME}/a.yml"},
            {},
            78,
            "",
            "! could not load configuration file {HOME}/a.yml\n"
            "x this client is not logged in: there is no configuration\n"},
        Row{"S22_VariableNamesAFileThatIsNotThere",
            nothing,
            {"logout"},
            {{"MONDOO_CONFIG_PATH", "{HOME}/a.yml"}},
            78,
            kNoConfig,
            "x this client is not logged in: there is no configuration\n"},
        Row{"S22_NothingAnywhere",
            nothing,
            {"logout"},
            {},
            78,
            kNoConfig,
            "x this client is not logged in: there is no configuration\n"}),
    row_name);

// ---- 2.3 to 2.5: what the keys may hold ----

INSTANTIATE_TEST_SUITE_P(
    Keys, RegistrationTable,
    testing::Values(
        Row{"S23_AListForAText",
            config("mrn: [x]\n"),
            {"status"},
            {},
            78,
            "",
            "x {HOME}/.config/mondoo/mondoo.yml:1:6: mrn must be text, found a list\n"},
        Row{"S23_ATextForAMapping",
            config("a: b\nannotations: x\n"),
            {"status"},
            {},
            78,
            "",
            "x {HOME}/.config/mondoo/mondoo.yml:2:14: annotations must map names to texts, found a text\n"},
        Row{"S23_ATextForTrueOrFalse",
            config("auto_update: maybe\n"),
            {"status"},
            {},
            78,
            "",
            "x {HOME}/.config/mondoo/mondoo.yml:1:14: auto_update must be true or false, found maybe\n"},
        Row{"S23_ATextForMinutes",
            config("scan_interval: {timer: soon}\n"),
            {"status"},
            {},
            78,
            "",
            "x {HOME}/.config/mondoo/mondoo.yml:1:24: scan_interval.timer must be a whole number of minutes, "
            "found soon\n"},
        Row{"S24_VariableOfTheWrongKind",
            nothing,
            {"status"},
            {{"MONDOO_AUTO_UPDATE", "maybe"}},
            78,
            "",
            "x MONDOO_AUTO_UPDATE: auto_update must be true or false, found maybe\n"},
        Row{"S25_NoCommandFeatures",
            nothing,
            {"features"},
            {},
            2,
            "",
            "x there is no command features\n"
            "  the commands are: login, logout, status, config, providers, discover, version, completion\n",
            "there: hidden, undocumented; what is in force stands in the member features of status -o json"},
        Row{"S25_UnknownFeatures",
            config("features: [Nonsense, MassQueries, Other]\n"),
            {"config", "show"},
            {},
            0,
            kLoaded +
                "api_endpoint         default  https://us.api.mondoo.com\n"
                "features             line 1   [\"Nonsense\",\"MassQueries\",\"Other\"]\n"
                "updates_url          default  " +
                std::string(*kUpdatesUrl ? kUpdatesUrl : "(none)") +
                "\n"
                "auto_update          default  true\n"
                "isolation            default  auto\n"
                "trust                default  any\n"
                "log-level            default  warn\n"
                "scan_interval.timer  default  60\n"
                "scan_interval.splay  default  60\n"
                "update_channel       default  stable\n",
            "! Failed to parse feature-flags: Nonsense, Other\n"}),
    row_name);

// ---- 3: proxies; each row names what was chosen by what it says of a proxy that cannot be used ----

INSTANTIATE_TEST_SUITE_P(
    Proxies, RegistrationTable,
    testing::Values(
        Row{"S3_VariableGoesBeforeTheFlag",
            nothing,
            {"login", "--token", "{TOKEN}", "--ca-file", "{CA}", "--api-proxy", "http://127.0.0.1:2"},
            {{"MONDOO_API_PROXY", "ftp://u:hunter2@127.0.0.1:1"}},
            78,
            "→ token will expire at <>\n",
            "x failed to log in client: the proxy that MONDOO_API_PROXY names cannot be used: its scheme is "
            "none of http, https, socks5 and socks5h\n" +
                kProxyHint},
        Row{"S3_FlagGoesBeforeTheKey",
            config("api_proxy: http://127.0.0.1:2\n"),
            {"login", "--token", "{TOKEN}", "--ca-file", "{CA}", "--api-proxy",
             "http://u:hunter2@127.0.0.1:1/path"},
            {},
            78,
            "→ token will expire at <>\n",
            "x failed to log in client: the proxy that --api-proxy names cannot be used: something follows "
            "the "
            "host and port\n" +
                kProxyHint},
        Row{"S3_AFlagThatNamesNoProxyIsWrongUsage",
            nothing,
            {"login", "--token", "{TOKEN}", "--ca-file", "{CA}", "--api-proxy",
             "ftp://u:hunter2@127.0.0.1:1"},
            {},
            2,
            "",
            "x --api-proxy: expected http://HOST:PORT, or https, socks5 or socks5h, found ftp://127.0.0.1:1\n"
            "  see: cnspec login --help\n",
            "there: 1"},
        Row{"S3_KeyGoesBeforeTheEnvironment",
            config("api_proxy: ftp://127.0.0.1:2\n"),
            {"login", "--token", "{TOKEN}", "--ca-file", "{CA}"},
            {{"HTTPS_PROXY", "http://127.0.0.1:1"}},
            78,
            "→ token will expire at <>\n",
            "x failed to log in client: the proxy that the key api_proxy names cannot be used: its scheme is "
            "none of http, https, socks5 and socks5h\n" +
                kProxyHint},
        Row{"S3_EnvironmentLast",
            nothing,
            {"login", "--token", "{TOKEN}", "--ca-file", "{CA}"},
            {{"HTTPS_PROXY", "ftp://127.0.0.1:1"}},
            78,
            "→ token will expire at <>\n",
            "x failed to log in client: the proxy that HTTPS_PROXY names cannot be used: its scheme is none "
            "of http, https, socks5 and socks5h\n" +
                kProxyHint},
        Row{"S3_LowerCaseCounts",
            nothing,
            {"login", "--token", "{TOKEN}", "--ca-file", "{CA}"},
            {{"https_proxy", "ftp://127.0.0.1:1"}},
            78,
            "→ token will expire at <>\n",
            "x failed to log in client: the proxy that https_proxy names cannot be used: its scheme is none "
            "of http, https, socks5 and socks5h\n" +
                kProxyHint,
            "there: lower case never counts for updates"},
        Row{"S3_FlagSetToNothingMeansNone",
            logged_in,
            {"status", "--api-proxy", ""},
            {{"HTTPS_PROXY", "http://127.0.0.1:1"}},
            0,
            kLoaded + machine() + kServing + identity() + "→ client authenticated successfully\n",
            "",
            "there: an empty flag is as good as none"},
        Row{"S3_SetButEmptyMeansNone",
            logged_in,
            {"login"},
            {{"MONDOO_API_PROXY", ""}, {"HTTPS_PROXY", "http://127.0.0.1:1"}},
            0,
            kLoaded + "→ client is already logged in, skipping\n" + "→ client " + kAgents +
                "/agents/<> has logged in successfully\n",
            ""},
        Row{"S3_NoProxyHolds",
            logged_in,
            {"login"},
            {{"MONDOO_API_PROXY", "http://127.0.0.1:1"}, {"NO_PROXY", "127.0.0.0/8"}},
            0,
            kLoaded + "→ client is already logged in, skipping\n" + "→ client " + kAgents +
                "/agents/<> has logged in successfully\n",
            "",
            "there: NO_PROXY is not looked at when a proxy is set"},
        Row{"S3_ProxyThatRefuses",
            nothing,
            {"login", "--token", "{TOKEN}", "--ca-file", "{CA}"},
            {{"MONDOO_API_PROXY", "http://u:hunter2@127.0.0.1:1"}},
            1,
            "→ token will expire at <>\n",
            "x failed to log in client: POST {URL}/AgentManager/RegisterAgent: could not connect to the "
            "proxy http://127.0.0.1:1 (MONDOO_API_PROXY): Connection refused\n"}),
    row_name);

// ---- 5: status ----

INSTANTIATE_TEST_SUITE_P(
    Status, RegistrationTable,
    testing::Values(
        Row{"S51_Registered",
            logged_in,
            {"status"},
            {},
            0,
            kLoaded + machine() + kServing + identity() + "→ client authenticated successfully\n",
            "",
            "there: on standard error; the list of providers in no order"},
        Row{"S51_NotRegistered",
            known_platform,
            {"status"},
            {},
            1,
            kLoaded + machine() + kServing +
                "x client is not registered\nx The Mondoo Platform credentials provided at "
                "{HOME}/.config/mondoo/mondoo.yml didn't successfully authenticate with Mondoo Platform. "
                "Please "
                "re-authenticate with Mondoo Platform. To learn how, read "
                "https://mondoo.com/docs/cnspec/cnspec-adv-install/registration/.\n",
            ""},
        Row{"S51_Rejected",
            revoked,
            {"status"},
            {},
            1,
            kLoaded + machine() + kServing + identity() +
                "x could not connect to mondoo platform error=\"rpc error: code = Unauthenticated desc = "
                "request permission unauthenticated\"\n",
            "! ping: the platform's log knows this request as <>\n",
            "there: the sentence of those that never registered"},
        Row{"S51_NoManagedClient",
            [](Lab& lab) {
              lab.log_in();
              lab.remove("agent_mrn");
            },
            {"status"},
            {},
            0,
            kLoaded + machine() + kServing + identity("no managed client") +
                "→ client authenticated successfully\n",
            ""},
        Row{"S51_PlatformCannotBeReached",
            logged_in_with("api_endpoint", "https://127.0.0.1:1"),
            {"status"},
            {},
            1,
            kLoaded +
                "x could not check upstream health error=\"POST https://127.0.0.1:1/Health/Check: could not "
                "connect to 127.0.0.1:1: Connection refused\"\n" +
                machine() + "→ API ConnectionConfig:\thttps://127.0.0.1:1\n" + kSilent + identity() +
                "x could not ask mondoo platform whether it accepts this client error=\"POST "
                "https://127.0.0.1:1/AgentManager/PingPong: could not connect to 127.0.0.1:1: Connection "
                "refused\"\n",
            "",
            "there: said to be bad credentials"},
        Row{"S51_TheLevelOfTheLogHidesNothing",
            logged_in_with("log-level", "error"),
            {"status", "--log-level", "error"},
            {},
            0,
            kLoaded + machine() + kServing + identity() + "→ client authenticated successfully\n",
            "",
            "there: the whole report is a log, and hidden"},
        Row{"S51_HealthFailsAlone",
            logged_in,
            {"status"},
            {},
            0,
            kLoaded +
                "x could not check upstream health error=\"rpc error: code = Unavailable desc = failed on "
                "demand (--fail)\"\n" +
                machine() + "→ API ConnectionConfig:\t{URL}\n" + kSilent + identity() +
                "→ client authenticated successfully\n",
            "! health: the platform's log knows this request as <>\n",
            "there: the versions of the API are said not to match, too",
            {"--fail", "Health/Check=Unavailable"}},
        Row{"S51_NewerVersions",
            logged_in,
            {"status"},
            {},
            0,
            kLoaded +
                machine("→ Latest Version:\t99.1.0\n! A newer version is available\n", "",
                        "→ Outdated Providers:\tarista | aws | azure | core | mock | os\n") +
                kServing + identity() + "→ client authenticated successfully\n",
            "",
            "there: whatever is not equal is newer; core is left out of those that are outdated",
            {"--latest-version", "99.1.0"}},
        Row{"S51_OlderVersionsAreNoNews",
            logged_in,
            {"status"},
            {},
            0,
            kLoaded + machine("→ Latest Version:\tv0.0.9\n") + kServing + identity() +
                "→ client authenticated successfully\n",
            "",
            "there: whatever is not equal is newer",
            {"--latest-version", "v0.0.9"}},
        Row{"S51_ProvidersUrl",
            logged_in_with("providers_url", "https://127.0.0.1:1/providers/"),
            {"status"},
            {},
            0,
            kLoaded +
                machine(
                    "→ Latest Version:\t" + std::string(kVersion) + "\n",
                    "! failed to get provider info error=\"GET https://127.0.0.1:1/providers/latest.json: "
                    "could not connect to 127.0.0.1:1: Connection refused\"\n") +
                kServing + identity() + "→ client authenticated successfully\n",
            "",
            "there: a warning that it is deprecated; here it is how a mirror is named"},
        Row{"S51_UpdatesUrlWithASlashAtItsEnd",
            [](Lab& lab) {
              lab.log_in();
              lab.set("updates_url", lab.platform().url() + "///");
            },
            {"status"},
            {},
            0,
            kLoaded + machine() + kServing + identity() + "→ client authenticated successfully\n",
            "",
            "there: asks for //mql/latest.json, which nobody has"},
        Row{"S51_NoManifestOfVersions",
            logged_in_with("updates_url", "https://127.0.0.1:1"),
            {"status"},
            {},
            0,
            kLoaded +
                "! Failed to get latest version error=\"GET https://127.0.0.1:1/cnspec/latest.json: could "
                "not connect to 127.0.0.1:1: Connection refused\"\n" +
                machine(
                    "",
                    "! failed to get provider info error=\"GET https://127.0.0.1:1/providers/latest.json: "
                    "could not connect to 127.0.0.1:1: Connection refused\"\n") +
                kServing + identity() + "→ client authenticated successfully\n",
            ""},
        Row{"S52_KeyIsNoPem",
            logged_in_with("private_key", "x"),
            {"status"},
            {},
            78,
            kLoaded + machine() + kServing + identity() +
                "x the configuration cannot be used error=\"the private key of the service account is not "
                "PEM\"\n",
            "! ping: log in again: cnspec login --token-file FILE\n",
            "there: nothing but the error is shown"},
        Row{"S52_KeyIsMissing",
            [](Lab& lab) {
              lab.log_in();
              lab.remove("private_key");
            },
            {"status"},
            {},
            78,
            kLoaded + machine() + kServing + identity() +
                "x the configuration cannot be used error=\"the private key of the service account is "
                "missing\"\n",
            "! ping: log in again: cnspec login --token-file FILE\n"},
        Row{"S52_KeyIsNotEcdsa",
            [](Lab& lab) {
              lab.log_in();
              const RunResult rsa =
                  test::run({"openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"},
                            {.env = {}, .cwd = {}, .input = {}, .prints_secrets = true});
              lab.set("private_key", rsa.out);
            },
            {"status"},
            {},
            78,
            kLoaded + machine() + kServing + identity() +
                "x the configuration cannot be used error=\"the private key of the service account is no "
                "elliptic-curve "
                "key, expected P-384\"\n",
            "! ping: log in again: cnspec login --token-file FILE\n",
            "there: nothing but the error is shown"},
        Row{"S52_ProxyIsNoUrl",
            logged_in,
            {"status"},
            {{"MONDOO_API_PROXY", "http://[u:hunter2"}},
            78,
            kLoaded +
                "x could not check upstream health error=\"the proxy that MONDOO_API_PROXY names cannot be "
                "used: it is no URL\"\n"
                "! Failed to get latest version error=\"the proxy that MONDOO_API_PROXY names cannot be "
                "used: it is no URL\"\n" +
                machine("",
                        "! failed to get provider info error=\"the proxy that MONDOO_API_PROXY names cannot "
                        "be used: it is no URL\"\n") +
                "→ API ConnectionConfig:\t{URL}\n" + kSilent + identity() +
                "x the configuration cannot be used error=\"the proxy that MONDOO_API_PROXY names cannot be "
                "used: it is no URL\"\n",
            "! health, ping, latest-version, latest-providers: expected http://HOST:PORT, or https, socks5 "
            "or socks5h; a user and password stand before the host as USER:PASSWORD@, special characters in "
            "them as %XX\n",
            "there: 1"},
        Row{"S52_UnknownFlag",
            nothing,
            {"status", "--nonsense"},
            {},
            2,
            "",
            "x there is no option --nonsense\n"
            "  see: cnspec status --help\n",
            "there: 1, and the usage"},
        Row{"S5_UnknownFormat",
            nothing,
            {"status", "-o", "xml"},
            {},
            2,
            "",
            "x --output: expected text, json or yaml, found xml\n"
            "  see: cnspec status --help\n",
            "there: text, silently"}),
    row_name);

// ---- 6: login ----

std::string payload(const std::string& json) { return "e30." + base64url_encode(json) + ".c2ln"; }
const Argv kLogin = {"login", "--ca-file", "{CA}", "--token"};
Argv login(const std::string& token) {
  Argv out = kLogin;
  out.push_back(token);
  return out;
}

INSTANTIATE_TEST_SUITE_P(
    Login, RegistrationTable,
    testing::Values(
        Row{"S6_Success",
            nothing,
            login("{TOKEN}"),
            {},
            0,
            "→ token will expire at <>\n"
            "→ saving config path={HOME}/.config/mondoo/mondoo.yml\n"
            "→ config file does not exist, create a new one path={HOME}/.config/mondoo/mondoo.yml\n"
            "→ client " +
                kAgents + "/agents/<> has logged in successfully\n",
            ""},
        Row{"S6_Description",
            [](Lab& lab) {
              lab.user.env["MONDOO_REGISTRATION_TOKEN"] =
                  the_platform().token("test-space", {"--description", "for the lab"});
            },
            {"register", "--ca-file", "{CA}"},
            {},
            0,
            "→ token description: for the lab\n"
            "→ token will expire at <>\n"
            "→ saving config path={HOME}/.config/mondoo/mondoo.yml\n"
            "→ config file does not exist, create a new one path={HOME}/.config/mondoo/mondoo.yml\n"
            "→ client " +
                kAgents + "/agents/<> has logged in successfully\n",
            ""},
        Row{"S6_Malformed",
            nothing,
            login("abc"),
            {},
            1,
            "",
            "x the registration token is malformed: expected three parts separated by dots\n"
            "  copy the whole token, without spaces or line breaks\n",
            "there: 0"},
        Row{"S6_NoSpace",
            nothing,
            login(payload("{\"exp\":4102444800}")),
            {},
            1,
            "",
            "x the registration token is malformed: it names no space\n"
            "  copy the whole token, without spaces or line breaks\n",
            "there: 0"},
        Row{"S6_Expired",
            [](Lab& lab) {
              lab.user.env["MONDOO_REGISTRATION_TOKEN"] =
                  the_platform().token("test-space", {"--expires=-1h"});
            },
            {"login", "--ca-file", "{CA}"},
            {},
            1,
            "",
            "x the registration token expired at <>\n"
            "  make a new one where you made this one; this machine's clock says <>\n",
            "there: 0"},
        Row{"S6_RejectedByThePlatform",
            nothing,
            {"login", "--ca-file", "{CA}", "--api-endpoint", "{URL}", "--token",
             payload("{\"space\":\"//s\"}")},
            {},
            1,
            "",
            "! token does not contain an expiry date\n"
            "x failed to log in client: rpc error: code = Unauthenticated desc = request permission "
            "unauthenticated\n"
            "  the platform's log knows this request as <>\n",
            "there: the error twice, around the usage"},
        Row{"S6_RevokedToken",
            [](Lab& lab) {
              const std::string token = the_platform().token();
              lab.user.env["MONDOO_REGISTRATION_TOKEN"] = token;
              const auto claims =
                  base64url_decode(token.substr(token.find('.') + 1, token.rfind('.') - token.find('.') - 1));
              the_platform().revoke(YAML::Load(claims.value())["jti"].as<std::string>());
            },
            {"login", "--ca-file", "{CA}"},
            {},
            1,
            "→ token will expire at <>\n",
            "x failed to log in client: rpc error: code = Unauthenticated desc = the registration token was "
            "revoked\n"
            "  the platform's log knows this request as <>\n"},
        Row{"S6_NoTokenAndLoggedIn",
            logged_in,
            {"login"},
            {},
            0,
            kLoaded + "→ client is already logged in, skipping\n" + "→ client " + kAgents +
                "/agents/<> has logged in successfully\n",
            "",
            "there: the file is written again"},
        Row{"S6_NoTokenAndOnlyAServiceAccount",
            [](Lab& lab) {
              lab.log_in();
              lab.remove("agent_mrn");
            },
            {"login"},
            {},
            0,
            kLoaded +
                "→ saving config path={HOME}/.config/mondoo/mondoo.yml\n"
                "→ client " +
                kAgents + "/agents/<> has logged in successfully\n",
            ""},
        Row{"S6_NoTokenAndNoCredentials",
            nothing,
            {"login"},
            {},
            2,
            kNoConfig,
            "x no registration token was given\n"
            "  cnspec login --token-file FILE, or MONDOO_REGISTRATION_TOKEN\n",
            "there: 1"},
        Row{"S6_ConfigurationIsNoYaml",
            config("a: [\n"),
            login("{TOKEN}"),
            {},
            78,
            "",
            "x {HOME}/.config/mondoo/mondoo.yml:2:1: end of sequence flow not found\n",
            "there: 1"},
        Row{"S6_ConfigurationFromTheEnvironment",
            nothing,
            login("{TOKEN}"),
            {{"MONDOO_CONFIG_BASE64", base64_encode("name: x\n")}},
            2,
            "",
            "x the configuration comes from MONDOO_CONFIG_BASE64, where nothing can be written\n"
            "  unset it to log in with a file\n"},
        Row{"S6_FileCannotBeWritten",
            file("f", ""),
            {"login", "--ca-file", "{CA}", "--config", "{HOME}/f/mondoo.yml", "--token", "{TOKEN}"},
            {},
            1,
            "→ token will expire at <>\n",
            "x the configuration cannot be written: {HOME}/f: expected a folder, found a file\n",
            "there: registered first, and the key lost"},
        Row{"S6_ThePingAfterwardsFails",
            nothing,
            login("{TOKEN}"),
            {},
            1,
            "→ token will expire at <>\n",
            "x the platform registered this client, but its new credentials did not work; nothing was "
            "written, and "
            "the registration was taken back: rpc error: code = Unavailable desc = failed on demand "
            "(--fail)\n"
            "  the platform's log knows this request as <>\n",
            "there: the configuration is written before",
            {"--fail", "AgentManager/PingPong=Unavailable"}},
        Row{"S6_TheEndpointOfTheFlagForEveryRequest",
            [](Lab& lab) {
              lab.user.env["MONDOO_REGISTRATION_TOKEN"] =
                  the_platform().token("test-space", {"--api-endpoint", "https://127.0.0.1:1"});
            },
            {"login", "--ca-file", "{CA}", "--api-endpoint", "{URL}"},
            {},
            0,
            "→ token will expire at <>\n"
            "→ saving config path={HOME}/.config/mondoo/mondoo.yml\n"
            "→ config file does not exist, create a new one path={HOME}/.config/mondoo/mondoo.yml\n"
            "→ client " +
                kAgents + "/agents/<> has logged in successfully\n",
            "",
            "there: the ping goes to the token's endpoint all the same"},
        Row{"S6_NoFlagForTheRegistry",
            nothing,
            {"login", "--providers-url", "https://x"},
            {},
            2,
            "",
            "x there is no option --providers-url; did you mean --providers-path?\n"
            "  see: cnspec login --help\n",
            "there: hidden and deprecated; here it is the key providers_url"},
        Row{"S6_AnnotationWithoutValue",
            nothing,
            {"login", "--annotation", "x", "--token", "{TOKEN}"},
            {},
            2,
            "",
            "x --annotation x: expected KEY=VALUE\n"},
        Row{"S6_TimerIsNoNumber",
            nothing,
            {"login", "--timer", "soon", "--token", "{TOKEN}"},
            {},
            2,
            "",
            "x --timer: expected minutes, from 1 on, found soon\n"
            "  see: cnspec login --help\n"}),
    row_name);

// ---- 7: logout ----

INSTANTIATE_TEST_SUITE_P(
    Logout, RegistrationTable,
    testing::Values(
        Row{"S7_NoCredentials",
            config("name: x\n"),
            {"logout", "--force"},
            {},
            78,
            kLoaded,
            "x this client is not logged in: {HOME}/.config/mondoo/mondoo.yml holds no credentials\n",
            "there: an empty message"},
        Row{"S7_KeyIsNoPem",
            logged_in_with("private_key", "x"),
            {"logout", "--force"},
            {},
            78,
            kLoaded,
            "x nothing was removed: could not initialize client authentication: the private key of the "
            "service account is not PEM\n"
            "  log in again: cnspec login --token-file FILE; to remove the credentials from this machine all "
            "the same: cnspec logout --local\n"},
        Row{"S7_WithoutForce",
            logged_in,
            {"logout"},
            {},
            2,
            kLoaded,
            "x --force is required to logout where nobody can be asked\n"
            "  cnspec logout --force revokes the access of " +
                kAgents + "/agents/<>\n",
            "there: 78, and the usage"},
        Row{"S7_Force",
            logged_in,
            {"unregister", "--force"},
            {},
            0,
            kLoaded + "→ client " + kAgents +
                "/serviceaccounts/<> authenticated successfully\n"
                "→ credentials removed path={HOME}/.config/mondoo/mondoo.yml\n"
                "→ Bye bye, space cat. Client " +
                kAgents + "/serviceaccounts/<> unregistered successfully\n",
            "",
            "there: the key stays on the disk, readable by all"},
        Row{"S7_Rejected",
            revoked,
            {"logout", "--force"},
            {},
            1,
            kLoaded,
            "x nothing was removed: communication with Mondoo Platform failed: rpc error: code = "
            "Unauthenticated desc = request permission unauthenticated\n"
            "  the platform's log knows this request as <>; to remove the credentials from this machine all "
            "the same: cnspec logout --local\n",
            "there: 0, and said to have succeeded"},
        Row{"S7_PlatformCannotBeReached",
            logged_in_with("api_endpoint", "https://127.0.0.1:1"),
            {"logout", "--force"},
            {},
            1,
            kLoaded,
            "x nothing was removed: communication with Mondoo Platform failed: POST "
            "https://127.0.0.1:1/AgentManager/PingPong: could not connect to 127.0.0.1:1: Connection "
            "refused\n"
            "  to remove the credentials from this machine all the same: cnspec logout --local\n",
            "there: 0, and said to have succeeded"},
        Row{"S7_UnregisterFails",
            logged_in,
            {"logout", "--force"},
            {},
            1,
            kLoaded + "→ client " + kAgents + "/serviceaccounts/<> authenticated successfully\n",
            "x nothing was removed: failed to unregister client: rpc error: code = Internal desc = failed on "
            "demand "
            "(--fail)\n"
            "  the platform's log knows this request as <>; to remove the credentials from this machine all "
            "the same: cnspec logout --local\n",
            "there: 0, and said to have succeeded",
            {"--fail", "AgentManager/UnRegisterAgent=Internal"}},
        Row{"S7_LocalAllTheSame",
            logged_in_with("api_endpoint", "https://127.0.0.1:1"),
            {"logout", "--force", "--local"},
            {},
            0,
            kLoaded + "→ credentials removed path={HOME}/.config/mondoo/mondoo.yml\n",
            "! the platform could not be told, and still knows " + kAgents +
                "/agents/<> error=\"communication with Mondoo Platform failed: POST "
                "https://127.0.0.1:1/AgentManager/PingPong: could not connect to 127.0.0.1:1: Connection "
                "refused\"\n"},
        Row{"S7_NoClient",
            [](Lab& lab) {
              lab.log_in();
              lab.remove("agent_mrn");
            },
            {"logout", "--force"},
            {},
            0,
            kLoaded + "→ credentials removed path={HOME}/.config/mondoo/mondoo.yml\n",
            "! no client is registered with these credentials, so there is none to unregister; the service "
            "account itself stays valid at the platform\n",
            "there: unregisters the empty name"}),
    row_name);

// ---- 2.1: the file of the whole machine, where another one is in its place that nobody else sees ----

RunResult run_with_system_file(const Lab& lab, const std::string& text, const Argv& args) {
  const auto file = lab.user.home().write("system.yml", text);
  Argv argv = {
      "unshare",
      "--map-root-user",
      "--mount",
      "/bin/sh",
      "-c",
      "set -e; mount -t tmpfs none /etc/opt; mkdir /etc/opt/mondoo; cp \"$1\" /etc/opt/mondoo/mondoo.yml; "
      "shift; exec \"$@\"",
      "sh",
      file.string(),
      program("cnspec")};
  argv.insert(argv.end(), args.begin(), args.end());
  return test::run(argv, {.env = lab.user.env, .cwd = {}, .input = {}});
}

TEST(RegistrationSystemFile, S21_TheSystemsFileIsLast) {
  Lab lab;
  const RunResult system = run_with_system_file(lab, "name: x\n", {"logout"});
  EXPECT_EQ(system.out, "→ loaded configuration from /etc/opt/mondoo/mondoo.yml using source default\n");
  EXPECT_EQ(system.err, "x this client is not logged in: /etc/opt/mondoo/mondoo.yml holds no credentials\n");
  EXPECT_EQ(system.exit_code, 78);
  lab.write_config("name: y\n");
  EXPECT_EQ(normalised(run_with_system_file(lab, "mrn: [\n", {"logout"}).out, lab), kLoaded)
      << "the user's file hides it whole";
}

TEST(RegistrationSystemFile, S21_LoginWritesIntoTheFileItFound) {
  Lab lab;
  const RunResult login = run_with_system_file(
      lab, "name: x\n", {"login", "--token", the_platform().token(), "--ca-file", the_platform().ca_file()});
  EXPECT_EQ(login.exit_code, 0) << login.err;
  EXPECT_NE(login.out.find("→ saving config path=/etc/opt/mondoo/mondoo.yml\n"), login.out.npos) << login.out;
  EXPECT_FALSE(std::filesystem::exists(lab.user.config_file()));
}

// ---- 2.3: every key, in a file ----

struct KeyRow {
  const char* key;
  const char* written;
  const char* shown;  // as JSON
  const char* why = "";
};

TEST(RegistrationKeys, S23_EveryKeyIsReadAndShown) {
  const KeyRow rows[] = {
      {"agent_mrn", "//a", "\"//a\""},
      {"mrn", "//m", "\"//m\""},
      {"private_key", "hunter2", "\"********\""},
      {"certificate", "c", "\"c\""},
      {"scope_mrn", "//s", "\"//s\""},
      {"space_mrn", "//s", "\"//s\""},
      {"parent_mrn", "//s", "\"//s\""},
      {"api_endpoint", "https://e", "\"https://e\""},
      {"api_proxy", "http://u:hunter2@h:1", "\"http://u:********@h:1\""},
      {"auth.method", "ssh", "\"ssh\""},
      {"type", "t", "\"t\""},
      {"audience", "t", "\"t\""},
      {"issuerUri", "t", "\"t\""},
      {"jwtToken", "hunter2", "\"********\""},
      {"universeDomain", "https://d", "\"https://d\""},
      {"scopes", "[a, b]", "[\"a\",\"b\"]"},
      {"subjectTokenType", "t", "\"t\""},
      {"features", "[MassQueries]", "[\"MassQueries\"]"},
      {"labels", "{a: b}", "{\"a\":\"b\"}"},
      {"annotations", "{a: 1.10}", "{\"a\":\"1.10\"}", "a text, as it is spelled"},
      {"updates_url", "https://u", "\"https://u\""},
      {"providers_url", "https://u", "\"https://u\"", "deprecated there, too"},
      {"category", "c", "\"c\""},
      {"detect-cicd", "false", "false"},
      {"auto_update", "false", "false"},
      {"log.format", "json", "\"json\""},
      {"log.color", "true", "true"},
      {"verbose", "false", "false"},
      {"log-level", "warn", "\"warn\""},
      {"output", "json", "\"json\""},
      {"name", "n", "\"n\""},
      {"insecure", "yes", "true"},
      {"incognito", "1", "true"},
      {"platform-id", "p", "\"p\""},
      {"inventory-file", "f", "\"f\""},
      {"sudo.active", "on", "true"},
      {"scan_interval.timer", "5", "5"},
      {"scan_interval.splay", "0", "0"},
      {"typename", "t", "\"t\"", "ignored there; shown here"},
      {"token", "hunter2", "\"********\""},
      {"strict", "true", "\"true\"", "of a later version: passed on as it is"},
      {"system_proxy", "x", "\"x\""},
      {"provider_port_range", "1-2", "\"1-2\""},
      {"update_channel", "preview", "\"preview\""},
  };
  Lab lab;
  std::string text;
  for (const KeyRow& row : rows) text += std::string(row.key) + ": " + row.written + "\n";
  lab.write_config(text);
  const RunResult show = lab.user.run({"config", "show", "-o", "json"});
  ASSERT_EQ(show.exit_code, 0) << show.err;
  const auto document = json::parse(show.out);
  ASSERT_TRUE(document) << show.out;
  const json::Value* settings = json::find(*document, "settings");
  ASSERT_TRUE(settings);
  for (const KeyRow& row : rows) {
    const json::Value* setting = json::find(*settings, row.key);
    ASSERT_TRUE(setting) << row.key;
    EXPECT_EQ(json::write((*setting)["value"]), row.shown) << row.key << " " << row.why;
    EXPECT_EQ(json::get_string(*setting, "source"), "file") << row.key;
  }
  EXPECT_EQ(show.out.find("unknownKeys\": [\n"), show.out.npos) << show.out;
}

// ---- 2.4: what the environment says besides the keys ----

TEST(RegistrationEnvironment, S24_DebugAndTraceGoBeforeTheFlags) {
  Lab lab;
  lab.log_in();
  EXPECT_EQ(lab.user.run({"status", "--log-level", "error"}).err, "");
  for (const char* name : {"DEBUG", "TRACE"}) {
    lab.user.env[name] = "1";
    EXPECT_NE(lab.user.run({"status", "--log-level", "error"}).err, "") << name;
    lab.user.env[name] = std::nullopt;
  }
}

TEST(RegistrationEnvironment, S24_NoFileIsDumpedIntoTheWorkingDirectoryUnlikeThere) {
  Lab lab;
  const TempDir here;
  const RunResult status = test::run(
      {program("cnspec"), "status", "--timeout", "1ms"},
      {.env = {{"DEBUG", "1"}, {"HOME", lab.user.home().path().string()}}, .cwd = here.path(), .input = {}});
  EXPECT_NE(status.err, "");
  EXPECT_TRUE(std::filesystem::is_empty(here.path()));
}

TEST(RegistrationEnvironment, S24_ProvidersPathReplacesTheRestButForWhatIsBundled) {
  Lab lab;
  const TempDir empty;
  lab.user.env["PROVIDERS_PATH"] = empty.path().string();
  const RunResult list = lab.user.run({"providers", "list"});
  EXPECT_EQ(list.exit_code, 0) << list.err;
}

TEST(RegistrationEnvironment, S24_AnUnusableConfigurationIsLoggedAsJsonWhereThatIsAskedFor) {
  Lab lab;
  lab.write_config("log.format: json\nmrn: [x]\n");
  for (const Argv& args : {Argv{"status"}, Argv{"logout", "--force"}, Argv{"login", "--token", "a.b.c"}}) {
    const RunResult result = lab.user.run(args);
    EXPECT_EQ(result.exit_code, 78);
    const auto line = json::parse(result.err);
    ASSERT_TRUE(line) << result.err;
    EXPECT_EQ(json::get_string(*line, "level"), "error");
    EXPECT_NE(json::get_string(*line, "message").find("mondoo.yml:2:6: mrn must be text"), std::string::npos)
        << result.err;
  }
  lab.write_config("mrn: [\n");
  lab.user.env["MONDOO_LOG_FORMAT"] = "json";
  EXPECT_TRUE(json::parse(lab.user.run({"status"}).err));
}

TEST(RegistrationEnvironment, S24_VariablesThatAreNotFollowedChangeNothing) {
  const std::pair<const char*, const char*> rows[] = {
      {"MONDOO_PROF", "enable,listen=127.0.0.1:6060"},  // profiles of a Go program; here perf and valgrind
      {"MONDOO_TMP_DIR", "/nonexistent"},               // what is written here lies beside what it replaces
      {"MONDOO_AUTO_UPDATE_ENGINE", "1"},  // this program comes from packages, and does not replace itself
      {"MONDOO_MAX_PROVIDER_CONNECTIONS", "1"},       // a limit of scans, which are not built
      {"DEBUG_PROVIDER_MEMORY", "1"},                 // Go's heap
      {"MEM_DEBUG", "1"},                             // Go's heap
      {"REGISTRY_URL", "https://127.0.0.1:1"},        // the hub of policies, which are not built
      {"MONDOO_SYSTEM_PROXY", "http://127.0.0.1:1"},  // of a later version; a key that is shown, and no more
      {"MONDOO_PROVIDER_PORT_RANGE", "1-2"},          // of a later version, for Windows; likewise
  };
  Lab lab;
  lab.log_in();
  const RunResult plain = lab.user.run({"status"});
  EXPECT_EQ(plain.exit_code, 0) << plain.out;
  for (const auto& [name, value] : rows) {
    lab.user.env[name] = value;
    const RunResult with = lab.user.run({"status"});
    EXPECT_EQ(normalised(with.out, lab), normalised(plain.out, lab)) << name;
    EXPECT_EQ(with.err, plain.err) << name;
    EXPECT_EQ(with.exit_code, 0) << name;
    lab.user.env[name] = std::nullopt;
  }
}

// ---- 5.1, 5.3: what the platform's clock and the way to it are, and the documents for programs ----

TEST(RegistrationStatus, S51_ClockSkew) {
  const Platform platform({"--clock-skew", "-1h"});
  Lab lab;
  lab.write_config("api_endpoint: " + platform.url() + "\nca_file: " + platform.ca_file() + "\n");
  const RunResult status = lab.user.run({"status"});
  EXPECT_TRUE(std::regex_search(
      status.out, std::regex("\n! possible clock skew detected: -(1h0m[0-9.]+s|59m[0-9.]+s)\n$")))
      << status.out;
}

TEST(RegistrationStatus, S51_LongRoundTripsAreNoClockSkew) {
  const Platform platform({"--delay", "Health/Check=5100ms"});
  Lab lab;
  lab.write_config("api_endpoint: " + platform.url() + "\nca_file: " + platform.ca_file() + "\n");
  const RunResult status = lab.user.run({"status", "--timeout", "1m"});
  EXPECT_TRUE(
      std::regex_search(status.out, std::regex("\n! detected very long round-trip times: [0-9.]+s\n$")))
      << status.out;
}

TEST(RegistrationStatus, S51_OfAPlatformThatIsNotWellAndHasNoClock) {
  HttpServer server([](const HttpRequest&) {
    return HttpResponse{.body = R"({"status":"NOT_SERVING","time":"noon or so","apiVersion":"13"})"};
  });
  Lab lab;
  lab.write_config("api_endpoint: " + server.url() + "\n");
  const RunResult status = lab.user.run({"status"});
  EXPECT_EQ(
      normalised(status.out, lab).substr(kLoaded.size() + machine("").size()),
      "→ API ConnectionConfig:\t" + server.url() +
          "\n→ API Status:\t\tNOT_SERVING\n→ API Time:\t\tnoon or so\n→ API Version:\t\t13\n"
          "x client is not registered\nx The Mondoo Platform credentials provided at "
          "{HOME}/.config/mondoo/mondoo.yml didn't successfully authenticate with Mondoo Platform. Please "
          "re-authenticate with Mondoo Platform. To learn how, read "
          "https://mondoo.com/docs/cnspec/cnspec-adv-install/registration/.\n"
          "! cannot run clock skew check\n")
      << status.out;
  EXPECT_EQ(status.exit_code, 1);
  const YAML::Node report = YAML::Load(lab.user.run({"status", "-o", "json"}).out);
  EXPECT_EQ(report["upstream"]["warnings"][0].as<std::string>(), "cannot run clock skew check");
}

TEST(RegistrationStatus, S51_WithoutAProviderForTheMachine) {
  Lab lab;
  const auto bin = std::filesystem::path(program("cnspec"));
  const auto tree = lab.user.home() / "tree";
  std::filesystem::create_directories(tree / "bin");
  std::filesystem::create_directories(tree / "lib/cnspec/providers");
  std::filesystem::copy_file(bin, tree / "bin/cnspec");
  std::filesystem::copy_file(bin.parent_path().parent_path() / "lib/cnspec/cnspec-network.so",
                             tree / "lib/cnspec/cnspec-network.so");
  known_platform(lab);
  const RunResult status =
      test::run({tree / "bin/cnspec", "status"}, {.env = lab.user.env, .cwd = {}, .input = {}});
  EXPECT_NE(normalised(status.out, lab)
                .find(kLoaded +
                      "! could not determine client platform information error=\"no installed provider has a "
                      "connector local\"\n→ Time:\t\t\t<>\n"),
            std::string::npos)
      << status.out;
}

// There, they stand between the versions and the providers. The reports that the documentation shows, which
// go before, have neither.
TEST(RegistrationStatus, S51_UpdatesUrlAndProvidersUrlAreInTheDocumentsAlone) {
  Lab lab;
  lab.log_in();
  const RunResult text = lab.user.run({"status"});
  EXPECT_EQ(text.out.find("Updates URL:"), text.out.npos) << text.out;
  EXPECT_EQ(text.out.find("Providers URL:"), text.out.npos) << text.out;
  const YAML::Node report = YAML::Load(lab.user.run({"status", "-o", "json"}).out);
  EXPECT_EQ(report["client"]["updatesUrl"].as<std::string>(), the_platform().url());
  EXPECT_EQ(report["client"]["providersUrl"].as<std::string>(), the_platform().url() + "/providers");
}

// There, never filled in text either. Here a member of the documents.
TEST(RegistrationStatus, S51_FeaturesAreInTheDocumentsAlone) {
  Lab lab;
  lab.log_in();
  lab.user.env["MONDOO_FEATURES"] = "MassQueries";
  const RunResult text = lab.user.run({"status"});
  EXPECT_EQ(text.out.find("Features:"), text.out.npos) << text.out;
  const YAML::Node features = YAML::Load(lab.user.run({"status", "-o", "json"}).out)["upstream"]["features"];
  EXPECT_TRUE(std::any_of(features.begin(), features.end(), [](const YAML::Node& name) {
    return name.as<std::string>() == "MassQueries";
  })) << features;
}

// There, the manifest of the providers is fetched once for each of them, and everything one after the other.
TEST(RegistrationStatus, S5_EverythingIsAskedOnceAndAllAtOnce) {
  HttpServer silent([](const HttpRequest&) { return HttpResponse{.fault = HttpResponse::Fault::kSilence}; });
  Lab lab;
  lab.log_in();
  lab.set("api_endpoint", silent.url());
  lab.set("updates_url", silent.url());
  Process status = lab.user.start({"status", "--timeout", "1h"});
  silent.wait_for_requests(4);
  status.kill();
  std::multiset<std::string> paths;
  for (const HttpRequest& request : silent.requests()) paths.insert(request.path());
  EXPECT_EQ(paths, (std::multiset<std::string>{"/AgentManager/PingPong", "/Health/Check",
                                               "/cnspec/latest.json", "/providers/latest.json"}));
}

TEST(RegistrationStatus, S53_EveryFieldOfTheExistingToolIsAtItsPlaceInJsonAndYaml) {
  Lab lab;
  lab.log_in();
  const RunResult as_json = lab.user.run({"status", "-o", "JSON"});
  const RunResult as_yaml = lab.user.run({"status", "-o", "yaml"});
  EXPECT_EQ(as_json.exit_code, 0);
  EXPECT_EQ(as_yaml.exit_code, 0);
  EXPECT_TRUE(as_json.out.ends_with("}\n")) << "there: no line end";
  for (const std::string& text : {as_json.out, as_yaml.out}) {
    const YAML::Node report = YAML::Load(text);
    for (const char* key :
         {"timestamp", "mrn", "service_account", "parentMrn", "version", "latest_version", "build",
          "platform", "ip", "hostname", "registered", "updatesUrl", "providersUrl"}) {
      EXPECT_TRUE(report["client"][key].IsDefined()) << key << "\n" << text;
    }
    for (const char* key : {"name", "arch", "title", "family", "version", "kind", "technology_url_segments"})
      EXPECT_TRUE(report["client"]["platform"][key].IsDefined()) << key;
    for (const char* key : {"endpoint", "status", "timestamp", "version"})
      EXPECT_TRUE(report["upstream"]["api"][key].IsDefined()) << key;
    EXPECT_EQ(report["upstream"]["api"]["status"].as<std::string>(), "SERVING");
    EXPECT_TRUE(report["upstream"]["features"].IsSequence());
    EXPECT_FALSE(report["client"]["pingPongError"].IsDefined()) << "there: {} when all is well";
  }
  lab.revoke();
  const YAML::Node rejected = YAML::Load(lab.user.run({"status", "-o", "json"}).out);
  EXPECT_EQ(rejected["client"]["pingPongError"]["code"].as<int>(), 16) << "there: {}";
}

// ---- 6: others change the same permissions meanwhile ----

TEST(RegistrationLogin, S6_AbortedIsTriedAgainAndThenSaidSo) {
  const Platform platform({"--fail", "AgentManager/RegisterAgent=Aborted"});
  Lab lab;
  // Time for the first pause, of five to ten seconds, and not for the second, of ten to fifteen.
  const RunResult login = lab.user.run(
      {"login", "--token", platform.token(), "--ca-file", platform.ca_file(), "--timeout", "14900ms"});
  EXPECT_EQ(login.exit_code, 1);
  const std::string err = std::regex_replace(login.err, std::regex("in [5-9][0-9]{3}ms|in 10000ms"), "in <>");
  const std::string aborted = "rpc error: code = Aborted desc = failed on demand (--fail)";
  EXPECT_EQ(normalised(err, lab),
            "! failed to log in client due to concurrent IAM changes, retrying (1/3) in <> error=\"" +
                aborted + "\"\nx failed to log in client due to concurrent IAM changes: " + aborted +
                "\n  there was no time for another try: try again, with --timeout 2m for instance\n");
  EXPECT_FALSE(std::filesystem::exists(lab.user.config_file()));
}

TEST(RegistrationLogin, S6_TellsThePlatformWhoAsks) {
  HttpServer server([](const HttpRequest&) { return HttpResponse{.status = 500}; });
  Lab lab;
  const auto told = [&](const Argv& more) {
    Argv args = {"login", "--token", payload("{\"space\":\"//s\"}"), "--api-endpoint", server.url()};
    args.insert(args.end(), more.begin(), more.end());
    EXPECT_EQ(lab.user.run(args).exit_code, 1);
    const auto requests = server.requests();
    for (auto request = requests.rbegin(); request != requests.rend(); ++request) {
      if (request->path() == "/AgentManager/RegisterAgent") return YAML::Load(request->body);
    }
    return YAML::Node();
  };
  const YAML::Node named = told({"--name", "web-1"});
  EXPECT_EQ(named["name"].as<std::string>(), "web-1");
  for (const char* key : {"version", "build", "platform_name", "platform_release", "platform_arch",
                          "platform_ip", "platform_hostname", "platform_id"})
    EXPECT_FALSE(named["agent_info"][key].as<std::string>().empty()) << key;
  const YAML::Node unnamed = told({});
  EXPECT_EQ(unnamed["name"].as<std::string>(), unnamed["agent_info"]["platform_hostname"].as<std::string>());
}

// ---- what they leave behind ----

TEST(RegistrationFiles, S6_LoginWritesWhatTheUserSetAndTheCredentialsReadableByTheUserAlone) {
  Lab lab;
  const RunResult login =
      lab.user.run({"login", "--token", the_platform().token(), "--ca-file", the_platform().ca_file(),
                    "--timer", "30", "--annotation", "on=1.10", "--name", "web-1"});
  ASSERT_EQ(login.exit_code, 0) << login.err;
  std::set<std::string> keys;
  for (const auto& entry : lab.config()) keys.insert(entry.first.as<std::string>());
  EXPECT_EQ(keys,
            (std::set<std::string>{"agent_mrn", "annotations", "api_endpoint", "ca_file", "certificate",
                                   "mrn", "name", "private_key", "scan_interval", "scope_mrn", "space_mrn"}));
  EXPECT_EQ(lab.config()["scan_interval"]["timer"].as<int>(), 30);
  struct stat info {};
  ASSERT_EQ(::stat(lab.user.config_file().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777u, 0600u);
  ASSERT_EQ(::stat(lab.user.config_file().parent_path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777u, 0700u);
}

TEST(RegistrationFiles, S7_LogoutRemovesEveryCredentialAndKeepsEverythingElse) {
  Lab lab;
  lab.log_in();
  lab.set("a_key_of_somebody_else", "stays");
  const std::string agent = lab.config()["agent_mrn"].as<std::string>();
  ASSERT_EQ(lab.user.run({"logout", "--force"}).exit_code, 0);
  std::set<std::string> keys;
  for (const auto& entry : lab.config()) keys.insert(entry.first.as<std::string>());
  EXPECT_EQ(keys,
            (std::set<std::string>{"a_key_of_somebody_else", "api_endpoint", "ca_file", "updates_url"}));
  const RunResult list =
      test::run({program("cnspec-platform"), "list", "-o", "json", "--data", the_platform().data().string()});
  EXPECT_EQ(list.out.find(agent), std::string::npos);
}

TEST(RegistrationFiles, S7_LogoutThatFailsLeavesTheFileAsItWas) {
  Lab lab;
  lab.log_in();
  lab.revoke();
  const std::string before = read_file(lab.user.config_file());
  ASSERT_EQ(lab.user.run({"logout", "--force"}).exit_code, 1);
  EXPECT_EQ(read_file(lab.user.config_file()), before);
}

}  // namespace
}  // namespace cnspec::test
