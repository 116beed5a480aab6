// What leaves the machine: the headers of requests, logs, and the bundle for bug reports. No secret is in any
// of it.
#include <archive.h>
#include <archive_entry.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>
#include <sys/stat.h>

#include <map>
#include <regex>
#include <sstream>

#include "base/encoding.hpp"
#include "base/version.hpp"
#include "support/cnspec.hpp"
#include "support/http_server.hpp"
#include "support/platform.hpp"

namespace cnspec::test {
namespace {

namespace fs = std::filesystem;

std::map<std::string, std::string> unpack(const fs::path& path) {
  std::map<std::string, std::string> out;
  const std::unique_ptr<archive, int (*)(archive*)> in(archive_read_new(), &archive_read_free);
  archive_read_support_filter_gzip(in.get());
  archive_read_support_format_tar(in.get());
  EXPECT_EQ(archive_read_open_filename(in.get(), path.c_str(), 16384), ARCHIVE_OK)
      << archive_error_string(in.get());
  archive_entry* entry = nullptr;
  while (archive_read_next_header(in.get(), &entry) == ARCHIVE_OK) {
    std::string text(static_cast<std::size_t>(archive_entry_size(entry)), '\0');
    EXPECT_EQ(archive_read_data(in.get(), text.data(), text.size()), static_cast<la_ssize_t>(text.size()));
    EXPECT_EQ(archive_entry_perm(entry), 0600u);
    out[archive_entry_pathname(entry)] = text;
  }
  return out;
}

class BundleTest : public testing::Test {
 protected:
  void log_in(Platform& platform) {
    token = platform.token();
    const RunResult login = user.run({"login", "--token", token, "--ca-file", platform.ca_file()});
    ASSERT_EQ(login.exit_code, 0) << login.out << login.err;
  }

  // The token, and every line of the private key.
  std::vector<std::string> secrets() const {
    std::vector<std::string> out = {token};
    const std::string config = read_file(user.config_file());
    const auto begin = config.find("-----BEGIN PRIVATE KEY-----");
    const auto end = config.find("-----END PRIVATE KEY-----");
    EXPECT_NE(begin, std::string::npos);
    std::istringstream lines(config.substr(begin, end - begin));
    std::string line;
    while (std::getline(lines, line)) {
      line.erase(0, line.find_first_not_of(' '));
      if (line.size() > 20 && !line.starts_with("-----")) out.push_back(line);
    }
    EXPECT_GT(out.size(), 3u);
    return out;
  }

  User user;
  std::string token;
};

TEST_F(BundleTest, HoldsWhatABugReportNeeds) {
  Platform platform;
  log_in(platform);
  const auto file = user.home() / "report.tar.gz";
  const RunResult status = user.run({"status", "--bundle", file});
  EXPECT_EQ(status.exit_code, 0) << status.err;
  EXPECT_TRUE(status.out.ends_with("→ client authenticated successfully\n")) << status.out;
  EXPECT_EQ(status.err,
            "→ wrote " + file.string() + " for a bug report; no secret that we know of is in it\n");
  struct stat info {};
  ASSERT_EQ(::stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);

  const auto files = unpack(file);
  ASSERT_EQ(files.size(), 6u);
  rapidjson::Document report, providers;
  EXPECT_FALSE(report.Parse(files.at("status.json").c_str()).HasParseError());
  EXPECT_STREQ(report["client"]["state"].GetString(), "registered");
  EXPECT_FALSE(providers.Parse(files.at("providers.json").c_str()).HasParseError());
  EXPECT_EQ(providers["providers"].Size(), 6u);
  EXPECT_NE(files.at("status.txt").find("→ client is registered\n"), std::string::npos);
  EXPECT_NE(files.at("config.yaml").find(platform.url()), std::string::npos);
  EXPECT_TRUE(files.at("versions.txt").starts_with(std::string("cnspec ") + kVersion + "\n"));
  EXPECT_NE(files.at("debug.log").find("DBG POST " + platform.url() + "/AgentManager/PingPong: HTTP 200"),
            std::string::npos)
      << files.at("debug.log");
}

TEST_F(BundleTest, HoldsNoSecret) {
  Platform platform;
  log_in(platform);
  user.env["MONDOO_REGISTRATION_TOKEN"] = token;
  user.env["HTTPS_PROXY"] = "http://operator:correct-horse@127.0.0.1:1";
  const auto file = user.home() / "report.tar.gz";
  const RunResult status = user.run({"status", "--bundle", file, "--timeout", "2s"});
  EXPECT_EQ(status.exit_code, 1) << "the proxy is not there";
  auto hidden = secrets();
  hidden.emplace_back("correct-horse");
  for (const auto& [name, text] : unpack(file)) {
    for (const std::string& secret : hidden) EXPECT_EQ(text.find(secret), std::string::npos) << name;
    if (name != "config.yaml") continue;
    EXPECT_NE(text.find("operator:********@127.0.0.1:1"), std::string::npos) << text;
    EXPECT_NE(text.find("from: \"HTTPS_PROXY\""), std::string::npos) << text;
  }
}

// Of an address: not its user, not its password, not its query.
TEST_F(BundleTest, AddressesKeepTheirSecrets) {
  HttpServer server([](const HttpRequest& request) {
    return request.method == "POST"
               ? HttpResponse{.status = 302, .headers = {{"Location", "http://a:hunter2@b/?c"}}}
               : HttpResponse{.status = 404};
  });
  const std::string host = server.url().substr(7);
  user.home().write(".config/mondoo/mondoo.yml", "api_endpoint: http://svc:hunter2@" + host +
                                                     "/?sig=hunter2\nupdates_url: http://hunter2@" + host +
                                                     "\n");
  const auto file = user.home() / "report.tar.gz";
  const RunResult text = user.run({"status", "--bundle", file, "-v"});
  const RunResult json = user.run({"status", "-o", "json"});
  std::string all = text.out + text.err + json.out + json.err + user.run({"config", "show"}).out;
  for (const auto& [name, content] : unpack(file)) all += content;
  EXPECT_NE(all.find("http://" + host), std::string::npos) << all;
  EXPECT_EQ(all.find("hunter"), std::string::npos) << all;
}

TEST_F(BundleTest, IsWrittenOfAConfigurationThatCannotBeUsed) {
  const auto config = user.home().write(".config/mondoo/mondoo.yml", "private_key: [oops\n");
  const auto file = user.home() / "report.tar.gz";
  const RunResult status = user.run({"status", "--bundle", file});
  EXPECT_EQ(status.exit_code, 78);
  EXPECT_EQ(status.out, "");
  EXPECT_TRUE(status.err.starts_with("→ wrote " + file.string())) << status.err;
  EXPECT_NE(status.err.find("\nx " + config.string() + ":"), std::string::npos) << status.err;
  const auto files = unpack(file);
  ASSERT_EQ(files.size(), 4u);
  rapidjson::Document report;
  EXPECT_FALSE(report.Parse(files.at("status.json").c_str()).HasParseError());
  EXPECT_STREQ(report["client"]["state"].GetString(), "unusable");
  EXPECT_TRUE(files.at("status.txt").starts_with("x " + config.string() + ":")) << files.at("status.txt");
  EXPECT_TRUE(files.contains("versions.txt"));

  const auto missing =
      user.run({"status", "--bundle", user.home() / "other.tar.gz", "--config", "/dev/null"});
  EXPECT_EQ(missing.exit_code, 78);
  EXPECT_TRUE(std::filesystem::exists(user.home() / "other.tar.gz"));
}

TEST_F(BundleTest, ReplacesNothing) {
  const auto file = user.home().write("precious", "data");
  const RunResult status = user.run({"status", "--bundle", file, "--timeout", "1s"});
  EXPECT_EQ(status.exit_code, 2);
  EXPECT_EQ(status.out, "");
  EXPECT_EQ(status.err,
            "x the bundle " + file.string() +
                " cannot be written: there is already something of that name\n  name one that is not "
                "there yet\n");
  EXPECT_EQ(read_file(file), "data");
  fs::create_symlink("/nonexistent/elsewhere", user.home() / "link");
  EXPECT_EQ(user.run({"status", "--bundle", user.home() / "link", "--timeout", "1s"}).exit_code, 2);
}

TEST_F(BundleTest, NeedsAFolderThatIsThere) {
  const RunResult status = user.run({"status", "--bundle", "/nonexistent/x.tar.gz"});
  EXPECT_EQ(status.exit_code, 2);
  EXPECT_EQ(status.err, "x the bundle /nonexistent/x.tar.gz cannot be written: No such file or directory\n");
}

TEST_F(BundleTest, LeavesTheReportForProgramsAlone) {
  const auto file = user.home() / "report.tar.gz";
  const RunResult status = user.run({"status", "-o", "json", "--bundle", file, "--timeout", "1s"});
  rapidjson::Document report;
  EXPECT_FALSE(report.Parse(status.out.c_str()).HasParseError()) << status.out;
  EXPECT_TRUE(fs::exists(file));
}

// ---- logs ----

TEST_F(BundleTest, NoCommandLogsASecretHoweverMuchItLogs) {
  Platform platform;
  user.env["TRACE"] = "1";
  const auto token_file = user.home().write("token", platform.token());
  token = read_file(token_file);
  while (token.ends_with('\n')) token.pop_back();
  std::string seen;
  const auto note = [&](const RunResult& run) { seen += run.out + run.err; };
  note(user.run({"login", "--token-file", token_file, "--ca-file", platform.ca_file()}));
  auto hidden = secrets();
  hidden.emplace_back("correct-horse");
  for (const Argv& args :
       std::vector<Argv>{{"status"},
                         {"status", "-o", "json"},
                         {"status", "-o", "yaml"},
                         {"status", "--api-proxy", "http://me:correct-horse@127.0.0.1:1"},
                         {"status", "--api-proxy", "http://me:correct-horse@127.0.0.1:1/?#:"},
                         {"config", "show"},
                         {"config", "show", "-o", "json"},
                         {"login"},
                         {"login", "--token", token},
                         {"login", "--token", token + "x"},
                         {"login", "--token", token, "--api-endpoint", "http://127.0.0.1:1"},
                         {"discover", "local"},
                         {"providers", "list"},
                         {"version"},
                         {"logout", "--force"}}) {
    note(user.run(args));
  }
  EXPECT_NE(seen.find("DBG POST "), std::string::npos) << "it was logged at all";
  for (const std::string& secret : hidden) EXPECT_EQ(seen.find(secret), std::string::npos) << secret;
}

TEST_F(BundleTest, LogsAreJsonWhereTheConfigurationSaysSo) {
  user.home().write(".config/mondoo/mondoo.yml", "log.format: json\nlog-level: debug\n");
  for (const Argv& args : std::vector<Argv>{{"status", "--timeout", "1s"}, {"login"}}) {
    const RunResult run = user.run(args);
    std::istringstream lines(run.err);
    std::string line;
    int count = 0;
    for (; std::getline(lines, line); ++count) {
      rapidjson::Document document;
      ASSERT_FALSE(document.Parse(line.c_str()).HasParseError()) << line;
      for (const char* key : {"level", "time", "message"}) EXPECT_TRUE(document.HasMember(key)) << line;
    }
    EXPECT_GT(count, 0) << run.err;
  }
}

TEST_F(BundleTest, TheLevelComesFromTheMostParticularPlace) {
  HttpServer server([](const HttpRequest&) { return HttpResponse{.body = "{}"}; });
  const auto logs = [&](const Argv& args) {
    Argv all = {"status"};
    all.insert(all.end(), args.begin(), args.end());
    return user.run(all).err.find("DBG POST") != std::string::npos;
  };
  const std::string endpoint = "api_endpoint: " + server.url() + "\n";
  user.home().write(".config/mondoo/mondoo.yml", endpoint);
  EXPECT_FALSE(logs({}));
  EXPECT_TRUE(logs({"-v"}));
  EXPECT_TRUE(logs({"--log-level", "debug"}));
  user.env["DEBUG"] = "1";
  EXPECT_TRUE(logs({"--log-level", "error"}));
  user.env["DEBUG"] = std::nullopt;
  user.env["MONDOO_LOG_LEVEL"] = "debug";
  EXPECT_TRUE(logs({}));
  EXPECT_FALSE(logs({"--log-level", "warn"}));
  user.env["MONDOO_LOG_LEVEL"] = "loud";
  EXPECT_NE(user.run({"status"}).err.find("! unknown log level: loud\n"), std::string::npos);
  user.env["MONDOO_LOG_LEVEL"] = std::nullopt;
  user.home().write(".config/mondoo/mondoo.yml", endpoint + "verbose: true\n");
  EXPECT_TRUE(logs({}));
}

// ---- headers ----

TEST_F(BundleTest, EveryRequestSaysWhoAsksAndByWhichId) {
  HttpServer server([](const HttpRequest&) {
    return HttpResponse{.body = R"({"status":"SERVING","apiVersion":"13","version":"1.0.0","providers":[]})"};
  });
  user.home().write(".config/mondoo/mondoo.yml",
                    "api_endpoint: " + server.url() + "\nupdates_url: " + server.url() + "\n");
  const auto report = user.run({"status", "-o", "json"});
  EXPECT_EQ(server.requests().size(), 3u);
  std::vector<std::string> ids;
  for (const HttpRequest& request : server.requests()) {
    // Where newer versions are announced nobody needs to know more than the program.
    const std::string machine = request.method == "POST" ? "HN/[!-~]+ (IP/[0-9.]+ )?PA/[!-~]+ " : "";
    const std::string release = request.method == "POST" ? "(PR/[!-~]+ )?" : "";
    EXPECT_TRUE(std::regex_match(request.header("user-agent"),
                                 std::regex(machine + "PN/linux " + release + "build/[!-~]+ cnspec/[!-~]+")))
        << request.header("user-agent");
    EXPECT_TRUE(request.header("user-agent").ends_with(std::string(" cnspec/") + kVersion));
    EXPECT_TRUE(
        std::regex_match(request.header("x-request-id"),
                         std::regex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")))
        << request.header("x-request-id");
    ids.push_back(request.header("x-request-id"));
    EXPECT_EQ(base64_decode(request.header("mondoo-features")), "\x07\x09\x0a\x0b\x0e");
    EXPECT_NE(report.out.find("\"requestId\": \"" + ids.back()), std::string::npos) << report.out;
  }
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::unique(ids.begin(), ids.end()), ids.end());
}

TEST_F(BundleTest, FeaturesAreSwitchedOnAndOffByName) {
  HttpServer server([](const HttpRequest&) { return HttpResponse{.body = "{}"}; });
  user.home().write(
      ".config/mondoo/mondoo.yml",
      "api_endpoint: " + server.url() + "\nfeatures: [massqueries, noSerialNumberAsID, Sparkles]\n");
  const RunResult status = user.run({"status"});
  EXPECT_EQ(base64_decode(server.requests().at(0).header("mondoo-features")), "\x01\x07\x0a\x0b\x0e");
  EXPECT_NE(status.err.find("! Failed to parse feature-flags: Sparkles\n"), std::string::npos) << status.err;
}

TEST_F(BundleTest, AFailedRequestsIdIsShown) {
  HttpServer server([](const HttpRequest& request) {
    return request.path() == "/Health/Check"
               ? HttpResponse{.status = 500, .body = R"({"code":13,"message":"boom"})"}
               : HttpResponse{.body = "{}"};
  });
  user.home().write(".config/mondoo/mondoo.yml", "api_endpoint: " + server.url() + "\n");
  user.env["MONDOO_UPDATES_URL"] = server.url() + "/";  // whose answers are empty
  const RunResult status = user.run({"status"});
  std::string notes;
  const std::string here = "the log of " + server.url().substr(7) + " knows this request as ";
  for (const auto& [path, note] :
       {std::pair{"/Health/Check", std::string("! health: the platform's log knows this request as ")},
        {"/cnspec/latest.json", "! latest-version: " + here},
        {"/providers/latest.json", "! latest-providers: " + here}}) {
    for (const HttpRequest& request : server.requests()) {
      if (request.path() == path) notes += note + request.header("x-request-id") + "\n";
    }
  }
  EXPECT_EQ(status.err, notes);
}

}  // namespace
}  // namespace cnspec::test
