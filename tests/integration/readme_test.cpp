// The README's section on proxies, CI and machines without a network, as a new user tries it: its own
// commands, taken from its text, with nothing but the names of its examples replaced by what is there.
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <sstream>

#include "base/encoding.hpp"
#include "support/cnspec.hpp"
#include "support/platform.hpp"
#include "support/relay.hpp"

namespace cnspec::test {
namespace {

constexpr char kSection[] = "## Behind a proxy, in CI, without a network\n";

std::string section() {
  const std::string readme = read_file(CNSPEC_SOURCE_DIR "/README.md");
  const auto begin = readme.find(kSection);
  if (begin == std::string::npos)
    throw std::runtime_error("README.md has no section " + std::string(kSection));
  return readme.substr(begin, readme.find("\n## ", begin) - begin);
}

std::vector<std::string> commands() {
  std::vector<std::string> out;
  std::istringstream lines(section());
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("    ")) out.push_back(line.substr(4));
  }
  return out;
}

class Readme : public testing::Test {
 protected:
  Readme() {
    const std::string bin = std::filesystem::path(program("cnspec")).parent_path();
    user.env["PATH"] = bin + ":" + std::getenv("PATH");
  }

  // The command that begins with this, once each of these texts, which has to be in it, is replaced.
  RunResult shell(const std::string& begin,
                  const std::vector<std::pair<std::string, std::string>>& examples) {
    for (std::string command : commands()) {
      if (!command.starts_with(begin)) continue;
      for (const auto& [text, by] : examples) {
        const auto at = command.find(text);
        if (at == command.npos) throw std::runtime_error("README.md: no " + text + " in: " + command);
        command.replace(at, text.size(), by);
      }
      return run(command);
    }
    throw std::runtime_error("README.md has no command that begins with " + begin);
  }
  RunResult run(const std::string& command) const {
    return test::run({"sh", "-c", command}, {.env = user.env, .cwd = user.home().path(), .input = {}});
  }

  Platform platform;
  User user;
};

TEST_F(Readme, HasNoOtherCommandsThanThoseThatAreTriedHere) {
  EXPECT_EQ(commands(), (std::vector<std::string>{
                            "cnspec login --token-file token --api-proxy http://proxy.example.com:3128 "
                            "--ca-file proxy-ca.pem",
                            "MONDOO_REGISTRATION_TOKEN=... cnspec login --name \"$CI_RUNNER\"",
                            "MONDOO_CONFIG_BASE64=... cnspec status -o json | jq -r .client.state",
                            "cnspec status --bundle report.tar.gz",
                        }));
}

TEST_F(Readme, BehindAProxy) {
  const auto port = std::stoi(platform.url().substr(platform.url().rfind(':') + 1));
  const Relay proxy(static_cast<unsigned short>(port), std::chrono::milliseconds(0),
                    "HTTP/1.1 200 Connection established\r\n\r\n");
  user.home().write("token", platform.token() + "\n");
  user.home().write("proxy-ca.pem", read_file(platform.ca_file()));
  const RunResult login =
      shell("cnspec login --token-file",
            {{"http://proxy.example.com:3128", "http://127.0.0.1:" + std::to_string(proxy.port())}});
  EXPECT_EQ(login.exit_code, 0) << login.err;
  const auto used = proxy.connections();
  EXPECT_GT(used, 0u);
  // "What login was given is kept for later commands."
  const RunResult status = run("cnspec status");
  EXPECT_EQ(status.exit_code, 0) << status.out << status.err;
  EXPECT_GT(proxy.connections(), used);
  // "MONDOO_API_PROXY goes before all of them, and set to nothing it means none."
  const auto before = proxy.connections();
  EXPECT_EQ(run("MONDOO_API_PROXY= cnspec status").exit_code, 0);
  EXPECT_EQ(proxy.connections(), before);
  // "NO_PROXY names what is reached directly."
  EXPECT_EQ(run("NO_PROXY=127.0.0.1 cnspec status").exit_code, 0);
  EXPECT_EQ(proxy.connections(), before);
}

TEST_F(Readme, InCi) {
  user.env["SSL_CERT_FILE"] = platform.ca_file();
  user.env["CI_RUNNER"] = "runner-7";
  const RunResult login = shell("MONDOO_REGISTRATION_TOKEN", {{"...", platform.token()}});
  EXPECT_EQ(login.exit_code, 0) << login.err;
  const std::string config = read_file(user.config_file());
  EXPECT_EQ(YAML::Load(config)["name"].as<std::string>(), "runner-7");
  const auto state = [&](const std::string& text) {
    return shell("MONDOO_CONFIG_BASE64", {{"...", base64_encode(text)}}).out;
  };
  EXPECT_EQ(state(config), "registered\n");
  EXPECT_EQ(state("api_endpoint: " + platform.url() + "\n"), "not-registered\n");
  EXPECT_EQ(state(config + "api_endpoint: [\n"), "unusable\n");
  // "With the reason in the check configuration, and 78."
  const RunResult unusable = run("MONDOO_CONFIG_BASE64=" + base64_encode("a: [") +
                                 " cnspec status -o json >report; code=$?; jq -r "
                                 "'.checks[] | select(.name == \"configuration\") | .error.message' report; "
                                 "exit $code");
  EXPECT_EQ(unusable.exit_code, 78);
  EXPECT_EQ(unusable.out, "MONDOO_CONFIG_BASE64:1:1: end of sequence flow not found\n");
  // "Nothing is asked where there is no terminal."
  EXPECT_EQ(run("HOME=$PWD/other cnspec login </dev/null").exit_code, 2);
  platform.revoke(YAML::Load(config)["mrn"].as<std::string>());
  EXPECT_EQ(state(config), "rejected\n");
  platform.stop();
  EXPECT_EQ(state(config), "unreachable\n");
}

TEST_F(Readme, WithoutANetwork) {
  user.env["SSL_CERT_FILE"] = platform.ca_file();
  ASSERT_EQ(shell("MONDOO_REGISTRATION_TOKEN", {{"...", platform.token()}}).exit_code, 0);
  const std::string alone = "unshare --map-root-user --net ";
  ASSERT_NE(section().find("`providers list` and `discover local` ask nobody."), std::string::npos);
  for (const char* command : {"cnspec providers list", "cnspec discover local"}) {
    const RunResult result = run(alone + command);
    EXPECT_EQ(result.exit_code, 0) << command << ": " << result.err;
  }
  // "Shows the whole report and says of each question that was not answered which one it was and why."
  const RunResult status = run(alone + "cnspec status --timeout 5s");
  EXPECT_EQ(status.exit_code, 1);
  EXPECT_NE(status.out.find("x could not check upstream health error="), std::string::npos) << status.out;
  EXPECT_NE(status.out.find("→ Installed Providers:\tarista | aws | azure | core | mock | os\n"),
            std::string::npos)
      << status.out;
  EXPECT_NE(status.out.find("x could not ask mondoo platform whether it accepts this client error="),
            std::string::npos)
      << status.out;
}

TEST_F(Readme, WhenYouNeedHelp) {
  const RunResult status = shell("cnspec status --bundle", {});
  EXPECT_NE(status.err.find("→ wrote report.tar.gz for a bug report"), std::string::npos) << status.err;
  const RunResult list = run("tar -tzf report.tar.gz | sort");
  EXPECT_EQ(list.out, "config.yaml\ndebug.log\nproviders.json\nstatus.json\nstatus.txt\nversions.txt\n");
}

}  // namespace
}  // namespace cnspec::test
