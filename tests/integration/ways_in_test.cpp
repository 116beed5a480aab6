// Every way in but the registration token, through the real program, platform and SSH agent; and every
// refusal.
#include <gtest/gtest.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <rapidjson/document.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <atomic>
#include <csignal>
#include <ctime>
#include <fstream>
#include <functional>
#include <thread>

#include "auth/kinds.hpp"
#include "auth/ssh_agent.hpp"
#include "base/encoding.hpp"
#include "base/json.hpp"
#include "base/time.hpp"
#include "support/cnspec.hpp"
#include "support/http_client.hpp"
#include "support/http_server.hpp"
#include "support/platform.hpp"

namespace cnspec::test {
namespace {

rapidjson::Document parse(const std::string& text) {
  rapidjson::Document document;
  document.Parse(text.c_str());
  EXPECT_FALSE(document.HasParseError()) << text;
  return document;
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++n;
  return n;
}

// As SSH writes them.
std::string number(std::uint32_t n) {
  return {static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8),
          static_cast<char>(n)};
}
std::string text(const std::string& s) { return number(static_cast<std::uint32_t>(s.size())) + s; }

class WaysIn : public testing::Test {
 protected:
  void SetUp() override {
    // Nothing of where the tests run; port 1 is closed.
    for (const char* name : {"SSH_AUTH_SOCK", "JWT_TOKEN", "IDENTITY_ENDPOINT", "IDENTITY_HEADER",
                             "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"}) {
      user.env[name] = std::nullopt;
    }
    user.env["GCE_METADATA_HOST"] = "127.0.0.1:1";
    user.env["MSI_ENDPOINT"] = "http://127.0.0.1:1/oauth2/token";
  }

  // What `cnspec-platform` prints for clients.
  std::string admin(Argv args) const {
    args.insert(args.begin(), program("cnspec-platform"));
    args.insert(args.end(), {"--data", platform.data().string()});
    const RunResult result = test::run(args);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.out;
  }

  void configure(const std::string& text) const {
    user.home().write(".config/mondoo/mondoo.yml",
                      text + "ca_file: " + platform.ca_file() + "\nupdates_url: " + platform.url() + "\n");
  }

  // The report of a command that must be in.
  rapidjson::Document expect_in(const Argv& more = {}) const {
    Argv args = {"status", "-o", "json"};
    args.insert(args.end(), more.begin(), more.end());
    const RunResult status = user.run(args);
    EXPECT_EQ(status.exit_code, 0) << status.out << status.err;
    rapidjson::Document report = parse(status.out);
    EXPECT_TRUE(report["client"]["authenticated"].GetBool()) << status.out;
    return report;
  }

  // The error of one that must be kept out: registered it is, but not authenticated.
  std::string expect_out(const std::string& kind, const std::string& part, int exit_code = 1) const {
    const RunResult status = user.run({"status", "-o", "json"});
    EXPECT_EQ(status.exit_code, exit_code) << status.out << status.err;
    rapidjson::Document report = parse(status.out);
    EXPECT_TRUE(report["client"]["registered"].GetBool()) << status.out;
    EXPECT_FALSE(report["client"]["authenticated"].GetBool()) << status.out;
    if (!report["client"].HasMember("pingPongError")) {
      ADD_FAILURE() << status.out;
      return {};
    }
    const auto& error = report["client"]["pingPongError"];
    const std::string message = error["message"].GetString();
    EXPECT_EQ(std::string(error["kind"].GetString()), kind) << message;
    EXPECT_NE(message.find(part), std::string::npos) << message;
    return message;
  }

  void log_in() const {
    const RunResult login = user.run({"login", "--token", platform.token(), "--ca-file", platform.ca_file(),
                                      "--updates-url", platform.url()});
    ASSERT_EQ(login.exit_code, 0) << login.out << login.err;
  }

  std::string told(const std::string& method) {
    const RunResult log = platform.stop();
    return std::to_string(count(log.err, method));
  }

  User user;
  Platform platform{{"--access-log"}};
};

// ---- credentials files ----

class Downloaded : public WaysIn {
 protected:
  // The credentials of a fresh service account, in the form that the platform's console offers for download.
  std::vector<std::pair<std::string, std::string>> fields() {
    log_in();
    const YAML::Node config = YAML::LoadFile(user.config_file().string());
    std::filesystem::remove(user.config_file());
    return {{"mrn", config["mrn"].as<std::string>()},
            {"parent_mrn", config["scope_mrn"].as<std::string>()},
            {"private_key", config["private_key"].as<std::string>()},
            {"certificate", config["certificate"].as<std::string>()},
            {"api_endpoint", platform.url()},
            {"typename", "ServiceAccountCredentials"}};
  }
  std::string as_json() {
    json::Document document(rapidjson::kObjectType);
    auto& alloc = document.GetAllocator();
    for (const auto& [name, value] : fields())
      document.AddMember(json::Value(name.c_str(), alloc), json::Value(value.c_str(), alloc), alloc);
    return json::write(document);
  }
  std::string as_yaml() {
    YAML::Emitter out;
    out << YAML::BeginMap;
    for (const auto& [name, value] : fields()) out << YAML::Key << name << YAML::Value << value;
    out << YAML::EndMap;
    return std::string(out.c_str()) + "\n";
  }
  // With the file at `path`: status, login without a token, status.
  void expect_login_with(const std::filesystem::path& path) {
    user.env["MONDOO_CA_FILE"] = platform.ca_file();
    user.env["MONDOO_UPDATES_URL"] = platform.url();
    EXPECT_FALSE(expect_in({"--config", path.string()})["client"].HasMember("mrn"));
    const RunResult login = user.run({"login", "--config", path.string()});
    EXPECT_EQ(login.exit_code, 0) << login.out << login.err;
    EXPECT_NE(login.out.find("has logged in successfully"), std::string::npos) << login.out;
    EXPECT_TRUE(expect_in({"--config", path.string()})["client"].HasMember("mrn"));
    const std::string text = read_file(path);
    EXPECT_NE(text.find("typename"), std::string::npos) << text;
    EXPECT_EQ(text.find(platform.ca_file()), std::string::npos) << "the environment's values are not kept";
  }
};

TEST_F(Downloaded, JsonRegistersAClientAndStaysJson) {
  const auto path = user.home().write("service.json", as_json());
  expect_login_with(path);
  parse(read_file(path));
}

TEST_F(Downloaded, YamlRegistersAClient) { expect_login_with(user.home().write("service.yml", as_yaml())); }

TEST_F(Downloaded, ByEnvironmentAloneIsIn) {
  const std::string text = as_json();
  user.env["MONDOO_CA_FILE"] = platform.ca_file();
  user.env["MONDOO_UPDATES_URL"] = platform.url();
  user.env["MONDOO_CONFIG_BASE64"] = base64_encode(text);
  expect_in();
  const RunResult login = user.run({"login"});
  EXPECT_EQ(login.exit_code, 2) << login.err;
  user.env["MONDOO_CONFIG_BASE64"] = std::nullopt;
  user.env["MONDOO_CONFIG_PATH"] = user.home().write("elsewhere.json", text).string();
  expect_in();
}

TEST_F(Downloaded, RevokedIsRejectedWhenItRegisters) {
  const std::string text = as_json();
  platform.revoke(parse(text)["mrn"].GetString());
  user.env["MONDOO_CA_FILE"] = platform.ca_file();
  const RunResult login = user.run({"login", "--config", user.home().write("s.json", text).string()});
  EXPECT_EQ(login.exit_code, 1);
  EXPECT_NE(login.err.find("code = Unauthenticated"), std::string::npos) << login.err;
}

// ---- private_key_file ----

class KeyFile : public WaysIn {
 protected:
  // Moves the key out of the configuration; returns what stays.
  YAML::Node without_key() {
    log_in();
    YAML::Node config = YAML::LoadFile(user.config_file().string());
    key = config["private_key"].as<std::string>();
    config.remove("private_key");
    return config;
  }
  void save(const YAML::Node& config) const {
    YAML::Emitter out;
    out << config;
    user.home().write(".config/mondoo/mondoo.yml", out.c_str());
  }
  void save_with(const std::string& path) {
    YAML::Node config = without_key();
    config["private_key_file"] = path;
    save(config);
  }
  std::string key;
};

TEST_F(KeyFile, IsFoundBesideTheConfiguration) {
  save_with("keys/agent.pem");
  user.home().write(".config/mondoo/keys/agent.pem", key);
  expect_in();
}

TEST_F(KeyFile, ReadableByOthersIsAWarningWithTheCommandThatMendsIt) {
  const auto path = user.home() / "agent.pem";
  save_with(path.string());
  user.home().write("agent.pem", key, 0644);
  const RunResult status = user.run({"status"});
  EXPECT_EQ(status.exit_code, 0) << status.out;
  EXPECT_NE(status.err.find("chmod 600 " + path.string()), std::string::npos) << status.err;
}

TEST_F(KeyFile, MissingOrDamagedIsAnUnusableConfiguration) {
  save_with("agent.pem");
  expect_out("config", "agent.pem", 78);
  user.home().write(".config/mondoo/agent.pem", "no key\n");
  expect_out("config", "is not PEM", 78);
  std::filesystem::remove(user.home() / ".config/mondoo/agent.pem");
  std::filesystem::create_directory(user.home() / ".config/mondoo/agent.pem");
  expect_out("config", "agent.pem", 78);
}

TEST_F(KeyFile, RelativeToNothingIsAnUnusableConfiguration) {
  save_with("agent.pem");
  user.env["MONDOO_CONFIG_BASE64"] = base64_encode(read_file(user.config_file()));
  expect_out("config", "give the whole path", 78);
}

// ---- the SSH agent ----

class SshTest : public WaysIn {
 protected:
  void start_agent() {
    agent_ = Process::start({"ssh-agent", "-D", "-a", socket()});
    agent_->read_line();  // it listens
    user.env["SSH_AUTH_SOCK"] = socket();
  }
  std::string socket() const { return (user.home() / "agent").string(); }

  std::string make_key(const std::string& type, const std::string& bits = "") const {
    const std::string path = (user.home() / ("key-" + type + bits)).string();
    Argv argv = {"ssh-keygen", "-q", "-t", type, "-N", "", "-f", path};
    if (!bits.empty()) argv.insert(argv.end(), {"-b", bits});
    EXPECT_EQ(test::run(argv).exit_code, 0);
    return path;
  }
  void give(const std::string& key, const Argv& more = {}) const {
    ProcessOptions options;
    options.env["SSH_AUTH_SOCK"] = socket();
    Argv argv = {"ssh-add", "-q"};
    argv.insert(argv.end(), more.begin(), more.end());
    argv.push_back(key);
    const RunResult added = test::run(argv, options);
    ASSERT_EQ(added.exit_code, 0) << added.err;
  }
  void take_all() const {
    ProcessOptions options;
    options.env["SSH_AUTH_SOCK"] = socket();
    ASSERT_EQ(test::run({"ssh-add", "-q", "-D"}, options).exit_code, 0);
  }
  std::string allow(const std::string& key) const {
    return admin({"ssh-key", "add", "--space", "lab", "--public-key", key + ".pub"});
  }

  std::optional<Process> agent_;
};

struct KeyType {
  const char* type;
  const char* bits;
};
class EveryKeyType : public SshTest, public testing::WithParamInterface<KeyType> {};

TEST_P(EveryKeyType, IsInWithOneExchangeACommand) {
  start_agent();
  const std::string key = make_key(GetParam().type, GetParam().bits);
  give(key);
  configure(allow(key));
  const auto report = expect_in();
  EXPECT_EQ(std::string(report["client"]["parentMrn"].GetString()), "//captain.api.mondoo.app/spaces/lab");
  EXPECT_EQ(told("SecureTokenService/ExchangeSSH 200"), "1");
}
INSTANTIATE_TEST_SUITE_P(Ssh, EveryKeyType,
                         testing::Values(KeyType{"ed25519", ""}, KeyType{"ecdsa", "256"},
                                         KeyType{"ecdsa", "384"}, KeyType{"ecdsa", "521"},
                                         KeyType{"rsa", "2048"}, KeyType{"rsa", "4096"}),
                         [](const auto& key) { return std::string(key.param.type) + key.param.bits; });

TEST_F(SshTest, OneOfManyKeysIsEnough) {
  start_agent();
  const std::string good = make_key("ed25519");
  give(make_key("ecdsa"));
  give(good);
  give(make_key("rsa"));
  configure(allow(good));
  expect_in();
}

TEST_F(SshTest, LoginRegistersAClientAndKeepsNoKey) {
  start_agent();
  const std::string key = make_key("ed25519");
  give(key);
  configure(allow(key));
  const RunResult login = user.run({"login"});
  EXPECT_EQ(login.exit_code, 0) << login.out << login.err;
  EXPECT_EQ(read_file(user.config_file()).find("PRIVATE KEY"), std::string::npos);
  const auto report = expect_in();
  EXPECT_NE(std::string(report["client"]["mrn"].GetString()).find("/agents/"), std::string::npos);
  EXPECT_EQ(told("SecureTokenService/ExchangeSSH 200"), "2") << "login and status, once each";
}

TEST_F(SshTest, LogoutKeepsWhatTheUserWrote) {
  start_agent();
  const std::string key = make_key("ed25519");
  give(key);
  configure(allow(key));
  const std::string mine = read_file(user.config_file());
  ASSERT_EQ(user.run({"login"}).exit_code, 0);
  ASSERT_NE(read_file(user.config_file()), mine);
  const RunResult logout = user.run({"logout", "--force"});
  EXPECT_EQ(logout.exit_code, 0) << logout.err;
  EXPECT_EQ(read_file(user.config_file()), mine);
}

// A proof that fails is no lack of credentials, and does not lose what is there.
TEST_F(SshTest, LogoutThatIsRejectedRemovesNothing) {
  start_agent();
  const std::string key = make_key("ed25519");
  configure(allow(key));
  give(key);
  ASSERT_EQ(user.run({"login"}).exit_code, 0);
  const std::string mine = read_file(user.config_file());
  take_all();
  const RunResult without = user.run({"logout", "--force"});
  EXPECT_EQ(without.exit_code, 1);
  EXPECT_TRUE(without.err.starts_with("x nothing was removed: ")) << without.err;
  give(make_key("ecdsa"));
  const RunResult unknown = user.run({"logout", "--force"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_TRUE(unknown.err.starts_with("x nothing was removed: ")) << unknown.err;
  EXPECT_NE(unknown.err.find("code = Unauthenticated desc = request permission unauthenticated"),
            std::string::npos)
      << unknown.err;
  EXPECT_EQ(read_file(user.config_file()), mine);
}

TEST_F(SshTest, UnknownKeyIsRejected) {
  start_agent();
  configure(allow(make_key("ed25519")));
  give(make_key("ecdsa"));
  expect_out("rejected", "code = Unauthenticated desc = request permission unauthenticated");
}

TEST_F(SshTest, RevokedAccountIsRejected) {
  start_agent();
  const std::string key = make_key("ed25519");
  give(key);
  const std::string config = allow(key);
  configure(config);
  platform.revoke(YAML::Load(config)["mrn"].as<std::string>());
  expect_out("rejected", "code = Unauthenticated");
}

TEST_F(SshTest, KeyOfAnotherSpaceIsRejected) {
  start_agent();
  const std::string key = make_key("ed25519");
  give(key);
  YAML::Node config = YAML::Load(allow(key));
  config["scope_mrn"] = "//captain.api.mondoo.app/spaces/other";
  YAML::Emitter out;
  out << config;
  configure(std::string(out.c_str()) + "\n");
  expect_out("rejected", "code = Unauthenticated");
}

TEST_F(SshTest, WithoutAnAgentItSaysHowToStartOne) {
  configure(allow(make_key("ed25519")));
  expect_out("unavailable", "there is no SSH agent: SSH_AUTH_SOCK is not set");
  user.env["SSH_AUTH_SOCK"] = socket();
  expect_out("unavailable", "cannot be reached: No such file or directory");
  user.env["SSH_AUTH_SOCK"] = "/" + std::string(200, 'x');
  expect_out("unavailable", "too long for a socket");
  const RunResult status = user.run({"status"});
  EXPECT_NE((status.out + status.err).find("ssh-add"), std::string::npos) << status.out << status.err;
}

TEST_F(SshTest, EmptyAgentIsNamed) {
  start_agent();
  configure(allow(make_key("ed25519")));
  expect_out("unavailable", "the SSH agent holds no keys");
}

TEST_F(SshTest, StoppedAgentDoesNotHangTheCommand) {
  start_agent();
  const std::string key = make_key("ed25519");
  give(key);
  configure(allow(key));
  agent_->signal(SIGSTOP);
  const RunResult status = user.run({"status", "-o", "json", "--timeout", "2s"});
  agent_->signal(SIGCONT);
  EXPECT_EQ(status.exit_code, 1);
  const auto report = parse(status.out);
  EXPECT_EQ(std::string(report["client"]["pingPongError"]["kind"].GetString()), "timeout") << status.out;
  EXPECT_NE(status.out.find("did not answer in time"), std::string::npos) << status.out;
  EXPECT_EQ(std::string(report["upstream"]["api"]["status"].GetString()), "SERVING")
      << "the rest is complete";
}

TEST_F(WaysIn, UnknownMethodIsAnUnusableConfiguration) {
  configure("auth: {method: telepathy}\n");
  const RunResult status = user.run({"status"});
  EXPECT_EQ(status.exit_code, 78) << status.out << status.err;
  EXPECT_NE((status.out + status.err).find("telepathy"), std::string::npos) << status.out << status.err;
}

// What the platform itself makes of claims, signed by a real agent's keys, that our client would never send.
class ProofTest : public SshTest {
 protected:
  void SetUp() override {
    SshTest::SetUp();
    start_agent();
  }
  void use(const std::string& type) {
    const std::string key = make_key(type);
    give(key);
    subject = YAML::Load(allow(key))["mrn"].as<std::string>();
  }
  static std::string at(long seconds) { return rfc3339_utc(Clock::now() + std::chrono::seconds(seconds)); }

  // The answer to the claims as they are now; `tamper` comes between signing and sending.
  std::string ask(const std::function<void(json::Document&)>& tamper = {}) {
    const std::string form = "exp=" + form_encode(expires) + "&iat=" + form_encode(issued) +
                             "&resource=" + form_encode(resource) + "&subject=" + form_encode(subject) + "\n";
    ::setenv("SSH_AUTH_SOCK", socket().c_str(), 1);
    auto agent = auth::SshAgent::connect();
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    const auto key = agent->keys(deadline)->at(0);
    const std::string signature = agent->sign(key, hex_encode(auth::sha256(form)), deadline).value();
    std::string kid = base64_encode(auth::sha256(key.blob));
    while (kid.ends_with('=')) kid.pop_back();
    json::Document body =
        parse(R"({"claims":{"subject":")" + subject + R"(","exp":")" + expires + R"(","iat":")" + issued +
              R"(","resource":")" + resource + R"("},"signatures":[{"alg":"x5t#S256","kid":"SHA256:)" + kid +
              R"(","sig":")" + hex_encode(signature) + R"("}]})");
    if (tamper) tamper(body);
    transport::Request request;
    request.method = "POST";
    request.url = platform.url() + "/SecureTokenService/ExchangeSSH";
    request.headers = {{"Content-Type", "application/json"}, {"Accept", "application/json"}};
    request.body = json::write(body);
    const auto answer = http_exchange(request, platform.ca_file());
    EXPECT_TRUE(answer) << answer.error().message();
    const auto document = parse(answer->body);
    return document.HasMember("private_key") ? "in" : document["message"].GetString();
  }
  static void set(json::Document& body, const char* name, const std::string& value) {
    auto& one = name == std::string("sig") || name == std::string("kid") || name == std::string("alg")
                    ? body["signatures"][0]
                    : body["claims"];
    one[name].SetString(value.c_str(), body.GetAllocator());
  }

  std::string subject, resource = "//captain.api.mondoo.app/spaces/lab", expires = at(300), issued = at(0);
  const std::string stranger = "request permission unauthenticated";
};

TEST_F(ProofTest, ClaimsAreGoodInTheirWindowAlone) {
  use("ed25519");
  EXPECT_EQ(ask(), "in");
  EXPECT_EQ(ask(), "in") << "the protocol has no nonce: a proof is good until it ends";
  const struct {
    const char* what;
    std::string exp, iat, part;
  } cases[] = {
      {"just over", at(-2), at(-302), "the claims have expired"},
      {"long over", at(-86400), at(-86700), "the claims have expired"},
      {"future", at(1000), at(700), "of the future"},
      {"too long", at(86400), at(0), "good for too long"},
      {"no time", "tomorrow", at(0), "need iat and exp"},
      {"missing", "", "", "need iat and exp"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.what);
    expires = c.exp;
    issued = c.iat;
    EXPECT_NE(ask().find(c.part), std::string::npos) << ask();
  }
}

TEST_F(ProofTest, NothingMayBeChangedAfterSigning) {
  for (const char* type : {"ed25519", "ecdsa", "rsa"}) {
    SCOPED_TRACE(type);
    take_all();
    use(type);
    expires = at(300);
    issued = at(0);
    EXPECT_EQ(ask(), "in");
    EXPECT_EQ(ask([&](auto& b) { set(b, "exp", at(200)); }), stranger);
    EXPECT_EQ(ask([&](auto& b) { set(b, "resource", resource + "x"); }), stranger);
    EXPECT_EQ(ask([&](auto& b) { set(b, "subject", subject + "x"); }), stranger);
    EXPECT_EQ(ask([&](auto& b) { set(b, "kid", "SHA256:x"); }), stranger);
    EXPECT_EQ(ask([&](auto& b) { set(b, "alg", "none"); }), stranger);
    EXPECT_EQ(ask([&](auto& b) { set(b, "sig", ""); }), stranger);
    EXPECT_EQ(ask([&](auto& b) { set(b, "sig", "zz"); }), stranger);
    EXPECT_EQ(ask([&](auto& b) { b["signatures"].Clear(); }), stranger);
    EXPECT_EQ(ask([&](auto& b) {
                std::string sig = b["signatures"][0]["sig"].GetString();
                sig.back() = sig.back() == '0' ? '1' : '0';
                set(b, "sig", sig);
              }),
              stranger);
  }
}

TEST_F(ProofTest, Sha1IsRefused) {
  use("rsa");
  EXPECT_EQ(ask([&](auto& b) {
              const std::string sig = b["signatures"][0]["sig"].GetString();
              constexpr std::size_t kName = 2 * (4 + std::string_view("rsa-sha2-512").size());
              set(b, "sig", hex_encode(text("ssh-rsa")) + sig.substr(kName));
            }),
            stranger);
}

TEST_F(ProofTest, AnAccountWithAKeyOfItsOwnIsNotLent) {
  use("ed25519");
  log_in();
  subject = YAML::LoadFile(user.config_file().string())["mrn"].as<std::string>();
  EXPECT_EQ(ask(), stranger);
}

// ---- what the admin is told ----

TEST_F(SshTest, KeysThatCannotBeVerifiedAreNotTaken) {
  const std::string key = make_key("rsa", "1024");
  const struct {
    std::string text, part;
  } cases[] = {
      {read_file(key + ".pub"), "line 1: the RSA key has 1024 bits, expected 2048 or more"},
      {read_file(key), "this is a private key"},
      {"", "there is no public key in it"},
      {"# nothing\n\n", "there is no public key in it"},
      {"ssh-ed25519 AAAA\n", "line 1: "},
      {"\nssh-ed25519 !!\n", "line 2: expected TYPE BASE64 COMMENT"},
      {"ssh-rsa " + base64_encode(text("ssh-ed25519") + text(std::string(32, 'k'))) + "\n", "another type"},
      {"ssh-dss " + base64_encode(text("ssh-dss") + text("p")) + "\n",
       "keys of type ssh-dss are not supported"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.part);
    const auto file = user.home().write("k.pub", c.text);
    const RunResult added = test::run({program("cnspec-platform"), "ssh-key", "add", "--space", "lab",
                                       "--public-key", file.string(), "--data", platform.data().string()});
    EXPECT_EQ(added.exit_code, 1);
    EXPECT_NE(added.err.find(c.part), std::string::npos) << added.err;
  }
}

// An agent that says what the test wants: each answer to one message.
class FakeAgent {
 public:
  FakeAgent(const std::string& path, std::vector<std::string> answers) : answers_(std::move(answers)) {
    listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_, 4) != 0) {
      throw std::runtime_error("no socket");
    }
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeAgent() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    ::close(listener_);
  }

 private:
  void serve() const {
    const int client = ::accept(listener_, nullptr, nullptr);
    if (client < 0) return;
    char buffer[65536];
    for (const std::string& answer : answers_) {
      if (::recv(client, buffer, sizeof buffer, 0) <= 0) break;
      ::send(client, answer.data(), answer.size(), MSG_NOSIGNAL);
    }
    ::close(client);
  }
  std::vector<std::string> answers_;
  int listener_ = -1;
  std::thread thread_;
};

TEST_F(SshTest, GarbageOfAnAgentIsNamedAndHurtsNobody) {
  configure(allow(make_key("ed25519")));
  user.env["SSH_AUTH_SOCK"] = socket();
  const std::string one_key =
      text("\x0c" + number(1) + text(text("ssh-ed25519") + text(std::string(32, 'k'))) + text("c"));
  const struct {
    std::vector<std::string> answers;
    const char* kind;
    const char* part;
  } cases[] = {
      {{""}, "invalid", "closed the connection in the middle"},
      {{number(0)}, "invalid", "its length is 0"},
      {{number(0xffffffff)}, "invalid", "its length is 4294967295"},
      {{"HTTP/1.1 400 Bad Request\r\n\r\n"}, "invalid", "sent no message of its protocol"},
      {{number(100) + "\x0c"}, "invalid", "closed the connection in the middle"},
      {{text("\x05")}, "rejected", "does not list its keys"},
      {{text("\x63")}, "invalid", "sent message 99"},
      {{text("\x0c")}, "invalid", "a list of keys that makes no sense"},
      {{text("\x0c" + number(0xffffffff))}, "invalid", "a list of keys that makes no sense"},
      {{text("\x0c" + number(1) + number(1000) + "short")}, "invalid", "a list of keys that makes no sense"},
      {{text("\x0c" + number(1) + text("xy") + text("comment"))},
       "invalid",
       "a list of keys that makes no sense"},
      {{text("\x0c" + number(0))}, "unavailable", "holds no keys"},
      {{one_key, text("\x05")}, "rejected", "refused to sign"},
      {{one_key, text("\x0e")}, "invalid", "sent no signature"},
      {{one_key, text("\x0e" + number(99) + "x")}, "invalid", "sent no signature"},
      {{one_key, text("\x0e" + text("nonsense"))}, "rejected", "request permission unauthenticated"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.part);
    std::filesystem::remove(socket());
    const FakeAgent agent(socket(), c.answers);
    expect_out(c.kind, c.part);
  }
}

// ---- workload identity ----

using Key = std::shared_ptr<EVP_PKEY>;
Key rsa() { return {EVP_RSA_gen(2048), EVP_PKEY_free}; }
Key ec(const char* curve) { return {EVP_EC_gen(curve), EVP_PKEY_free}; }

std::string parameter(const Key& key, const char* name) {
  BIGNUM* number = nullptr;
  EXPECT_EQ(EVP_PKEY_get_bn_param(key.get(), name, &number), 1);
  std::string bytes(static_cast<std::size_t>(BN_num_bytes(number)), '\0');
  BN_bn2bin(number, reinterpret_cast<unsigned char*>(bytes.data()));
  BN_free(number);
  return bytes;
}
std::string padded(std::string bytes, std::size_t size) {
  return std::string(size - bytes.size(), '\0') + bytes;
}

std::string jwk(const Key& key, const std::string& kid) {
  if (EVP_PKEY_get_base_id(key.get()) == EVP_PKEY_RSA) {
    return R"({"kty":"RSA","use":"sig","kid":")" + kid + R"(","n":")" +
           base64url_encode(parameter(key, OSSL_PKEY_PARAM_RSA_N)) + R"(","e":")" +
           base64url_encode(parameter(key, OSSL_PKEY_PARAM_RSA_E)) + "\"}";
  }
  const int bits = EVP_PKEY_get_bits(key.get());
  const auto size = static_cast<std::size_t>((bits + 7) / 8);
  return R"({"kty":"EC","kid":")" + kid + R"(","crv":"P-)" + std::to_string(bits) + R"(","x":")" +
         base64url_encode(padded(parameter(key, OSSL_PKEY_PARAM_EC_PUB_X), size)) + R"(","y":")" +
         base64url_encode(padded(parameter(key, OSSL_PKEY_PARAM_EC_PUB_Y), size)) + "\"}";
}

std::string sign(const Key& key, const char* hash, const std::string& text_to_sign) {
  const std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  std::string out(1024, '\0');
  std::size_t size = out.size();
  EXPECT_EQ(EVP_DigestSignInit(context.get(), nullptr, EVP_get_digestbyname(hash), nullptr, key.get()), 1);
  EXPECT_EQ(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                           reinterpret_cast<const unsigned char*>(text_to_sign.data()), text_to_sign.size()),
            1);
  out.resize(size);
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_EC) return out;
  const auto* der = reinterpret_cast<const unsigned char*>(out.data());
  ECDSA_SIG* parts = d2i_ECDSA_SIG(nullptr, &der, static_cast<long>(out.size()));
  const int half = (EVP_PKEY_get_bits(key.get()) + 7) / 8;
  std::string raw(2 * static_cast<std::size_t>(half), '\0');
  auto* to = reinterpret_cast<unsigned char*>(raw.data());
  BN_bn2binpad(ECDSA_SIG_get0_r(parts), to, half);
  BN_bn2binpad(ECDSA_SIG_get0_s(parts), to + half, half);
  ECDSA_SIG_free(parts);
  return raw;
}

constexpr char kIssuer[] = "https://token.example.com";
constexpr char kAudience[] = "//iam.example.com/a b&c";

struct Token {
  std::string issuer = kIssuer;
  std::string audience = std::string("\"") + kAudience + "\"";  // JSON
  std::string subject = "repo:us/app";
  long ends = 300;    // seconds from now
  long begins = -10;  // the same
  std::string alg = "RS256", hash = "SHA256", kid = "one";

  std::string signed_by(const Key& key) const {
    const std::string parts =
        base64url_encode(R"({"alg":")" + alg + R"(","kid":")" + kid + "\"}") + "." +
        base64url_encode(R"({"iss":")" + issuer + R"(","aud":)" + audience + R"(,"sub":")" + subject +
                         R"(","nbf":)" + std::to_string(std::time(nullptr) + begins) + R"(,"exp":)" +
                         std::to_string(std::time(nullptr) + ends) + "}");
    return parts + "." + base64url_encode(alg == "none" ? "" : sign(key, hash.c_str(), parts));
  }
};

class WorkloadTest : public WaysIn {
 protected:
  void trust(const std::string& keys, const Argv& more = {}) const {
    const auto file = user.home().write("keys", keys);
    Argv args = {"issuer", "add",        "--space", "lab",    "--issuer",
                 kIssuer,  "--audience", kAudience, "--keys", file.string()};
    args.insert(args.end(), more.begin(), more.end());
    rapidjson::Document config = parse(admin(args));
    auto& alloc = config.GetAllocator();
    config.AddMember("ca_file", json::Value(platform.ca_file().c_str(), alloc), alloc);
    config.AddMember("updates_url", json::Value(platform.url().c_str(), alloc), alloc);
    user.home().write(".config/mondoo/mondoo.yml", json::write(config));
  }
  void trust_key() const { trust(R"({"keys":[)" + jwk(key, "one") + "]}"); }

  Key key = rsa();
};

TEST_F(WorkloadTest, TokenOfTheEnvironmentOrTheConfigurationIsIn) {
  trust_key();
  user.env["JWT_TOKEN"] = Token().signed_by(key) + "\n";
  const auto report = expect_in();
  EXPECT_NE(std::string(report["client"]["service_account"].GetString()).find("/serviceaccounts/"),
            std::string::npos);
  user.env["JWT_TOKEN"] = std::nullopt;
  user.env["MONDOO_JWTTOKEN"] = Token().signed_by(key);
  expect_in();
  EXPECT_EQ(told("SecureTokenService/ExchangeExternalToken 200"), "2");
}

// A proxy that tells what it was asked for and lets nothing through.
TEST_F(WorkloadTest, TheProofGoesThroughTheProxy) {
  trust_key();
  user.env["JWT_TOKEN"] = Token().signed_by(key);
  HttpServer proxy([](const HttpRequest&) { return HttpResponse{.status = 403}; });
  user.env["MONDOO_API_PROXY"] = proxy.url();
  const std::string why =
      expect_out("unavailable", "the proxy " + proxy.url() + " (MONDOO_API_PROXY) does not let through");
  EXPECT_NE(why.find("SecureTokenService/ExchangeExternalToken"), std::string::npos) << why;
  for (const HttpRequest& request : proxy.requests()) EXPECT_EQ(request.method, "CONNECT");
  EXPECT_EQ(told("SecureTokenService"), "0");
}

TEST_F(WorkloadTest, LoginRegistersAClient) {
  trust_key();
  user.env["JWT_TOKEN"] = Token().signed_by(key);
  const RunResult login = user.run({"login"});
  EXPECT_EQ(login.exit_code, 0) << login.out << login.err;
  const std::string text_of_file = read_file(user.config_file());
  EXPECT_EQ(text_of_file.find("PRIVATE KEY"), std::string::npos) << text_of_file;
  EXPECT_TRUE(expect_in()["client"].HasMember("mrn"));
}

TEST_F(WorkloadTest, LogoutKeepsWhatTheUserWrote) {
  trust_key();
  user.env["JWT_TOKEN"] = Token().signed_by(key);
  const YAML::Node mine = YAML::LoadFile(user.config_file());
  ASSERT_EQ(user.run({"login"}).exit_code, 0);
  const auto agent = YAML::LoadFile(user.config_file())["agent_mrn"].as<std::string>();
  const RunResult logout = user.run({"logout", "--force"});
  EXPECT_EQ(logout.exit_code, 0) << logout.err;
  const YAML::Node left = YAML::LoadFile(user.config_file());
  EXPECT_EQ(left.size(), mine.size());
  for (const auto& entry : mine)
    EXPECT_EQ(YAML::Dump(left[entry.first.as<std::string>()]), YAML::Dump(entry.second)) << entry.first;
  EXPECT_EQ(admin({"list"}).find(agent), std::string::npos);
}

// A proof that fails is no lack of credentials, and does not lose what is there.
TEST_F(WorkloadTest, LogoutThatIsRejectedRemovesNothing) {
  trust_key();
  user.env["JWT_TOKEN"] = Token().signed_by(key);
  ASSERT_EQ(user.run({"login"}).exit_code, 0);
  const std::string mine = read_file(user.config_file());
  user.env["JWT_TOKEN"] = Token().signed_by(rsa());
  const RunResult rejected = user.run({"logout", "--force"});
  EXPECT_EQ(rejected.exit_code, 1);
  EXPECT_TRUE(rejected.err.starts_with("x nothing was removed: ")) << rejected.err;
  EXPECT_NE(rejected.err.find("code = Unauthenticated desc = request permission unauthenticated"),
            std::string::npos)
      << rejected.err;
  EXPECT_EQ(read_file(user.config_file()), mine);
}

TEST_F(WorkloadTest, EveryAlgorithmIsVerified) {
  const Key p256 = ec("P-256"), p384 = ec("P-384"), p521 = ec("P-521");
  trust(R"({"keys":[)" + jwk(key, "r") + "," + jwk(p256, "a") + "," + jwk(p384, "b") + "," + jwk(p521, "c") +
        "]}");
  const struct {
    const char *alg, *hash, *kid;
    Key by;
  } cases[] = {{"RS256", "SHA256", "r", key},  {"RS384", "SHA384", "r", key},
               {"RS512", "SHA512", "r", key},  {"ES256", "SHA256", "a", p256},
               {"ES384", "SHA384", "b", p384}, {"ES512", "SHA512", "c", p521}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.alg);
    Token token;
    token.alg = c.alg;
    token.hash = c.hash;
    token.kid = c.kid;
    token.audience = std::string("[\"other\", \"") + kAudience + "\"]";
    user.env["JWT_TOKEN"] = token.signed_by(c.by);
    expect_in();
  }
}

TEST_F(WorkloadTest, EveryWrongTokenIsRejected) {
  trust(R"({"keys":[)" + jwk(key, "one") + "]}", {"--subject", "repo:us/*"});
  const std::string stranger = "request permission unauthenticated";
  const struct {
    const char* what;
    std::function<void(Token&)> change;
    std::string part;
  } cases[] = {
      {"audience", [](Token& t) { t.audience = "\"other\""; }, "another audience"},
      {"no audience", [](Token& t) { t.audience = "null"; }, "another audience"},
      {"issuer", [](Token& t) { t.issuer = "https://evil.example.com"; }, stranger},
      {"subject", [](Token& t) { t.subject = "repo:them/app"; }, "another subject"},
      {"expired", [](Token& t) { t.ends = -120; }, "has expired"},
      {"not yet", [](Token& t) { t.begins = 600; }, "not valid yet"},
      {"alg none", [](Token& t) { t.alg = "none"; }, stranger},
      {"alg HS256", [](Token& t) { t.alg = "HS256"; }, stranger},
      {"another hash", [](Token& t) { t.alg = "RS512"; }, stranger},
      {"alg of another kind", [](Token& t) { t.alg = "ES256"; }, stranger},
      {"another kid", [](Token& t) { t.kid = "two"; }, stranger},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.what);
    Token token;
    c.change(token);
    user.env["JWT_TOKEN"] = token.signed_by(key);
    const std::string message = expect_out("rejected", c.part);
    EXPECT_EQ(message.find(*user.env["JWT_TOKEN"]), std::string::npos) << "the token is a secret";
  }
  user.env["JWT_TOKEN"] = Token().signed_by(rsa());
  expect_out("rejected", stranger);
  user.env["JWT_TOKEN"] = "not a token";
  expect_out("config", "JWT_TOKEN holds no JWT", 78);
}

class CloudTest : public WorkloadTest {
 protected:
  void SetUp() override {
    WorkloadTest::SetUp();
    trust_key();
  }
  static std::string host(const HttpServer& server) { return server.url().substr(7); }
  void at_github(const HttpServer& server) {
    user.env["ACTIONS_ID_TOKEN_REQUEST_URL"] = server.url() + "/token?api-version=2.0";
    user.env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"] = "github-hunter2";
  }
  HttpServer::Handler google(const std::string& token) const {
    return [token](const HttpRequest&) {
      return HttpResponse{.headers = {{"Metadata-Flavor", "Google"}}, .body = token};
    };
  }
  HttpServer::Handler github(const std::string& token) const {
    return [token](const HttpRequest&) {
      return HttpResponse{.body = R"({"count":1,"value":")" + token + "\"}"};
    };
  }
  std::string good() const { return Token().signed_by(key); }
};

TEST_F(CloudTest, GoogleIsAskedInItsOwnWay) {
  HttpServer server(google(good()));
  user.env["GCE_METADATA_HOST"] = host(server);
  user.env["HTTP_PROXY"] = user.env["http_proxy"] = "http://127.0.0.1:1";  // for others, not for this machine
  expect_in();
  const auto asked = server.requests().at(0);
  EXPECT_EQ(asked.method, "GET");
  EXPECT_EQ(asked.target,
            "/computeMetadata/v1/instance/service-accounts/default/"
            "identity?audience=%2F%2Fiam.example.com%2Fa+b%26c");
  EXPECT_EQ(asked.header("metadata-flavor"), "Google");
}

TEST_F(CloudTest, AzureAppServiceIsAskedInItsOwnWay) {
  HttpServer server(
      [&](const HttpRequest&) { return HttpResponse{.body = R"({"access_token":")" + good() + "\"}"}; });
  user.env["IDENTITY_ENDPOINT"] = server.url() + "/msi/token";
  user.env["IDENTITY_HEADER"] = "azure-hunter2";
  expect_in();
  const auto asked = server.requests().at(0);
  EXPECT_EQ(asked.target, "/msi/token?api-version=2019-08-01&resource=%2F%2Fiam.example.com%2Fa+b%26c");
  EXPECT_EQ(asked.header("x-identity-header"), "azure-hunter2");
}

TEST_F(CloudTest, AzureCloudShellIsAskedInItsOwnWay) {
  HttpServer server(
      [&](const HttpRequest&) { return HttpResponse{.body = R"({"access_token":")" + good() + "\"}"}; });
  user.env["MSI_ENDPOINT"] = server.url() + "/oauth2/token";
  expect_in();
  const auto asked = server.requests().at(0);
  EXPECT_EQ(asked.method, "POST");
  EXPECT_EQ(asked.header("metadata"), "true");
  EXPECT_EQ(asked.body, "resource=%2F%2Fiam.example.com%2Fa+b%26c");
}

TEST_F(CloudTest, GithubActionsIsAskedInItsOwnWay) {
  HttpServer server(github(good()));
  at_github(server);
  expect_in();
  const auto asked = server.requests().at(0);
  EXPECT_EQ(asked.target, "/token?api-version=2.0&audience=%2F%2Fiam.example.com%2Fa+b%26c");
  EXPECT_EQ(asked.header("authorization"), "bearer github-hunter2");
}

TEST_F(CloudTest, AllAreAskedAtOnceAndTheSilentOnesAreNotWaitedFor) {
  HttpServer silent([](const HttpRequest&) { return HttpResponse{.fault = HttpResponse::Fault::kSilence}; });
  const std::string token = good();
  HttpServer answers([&](const HttpRequest&) {
    silent.wait_for_requests(1);  // never comes if one waits for the other
    return HttpResponse{.body = R"({"value":")" + token + "\"}"};
  });
  user.env["GCE_METADATA_HOST"] = host(silent);
  at_github(answers);
  expect_in();
}

TEST_F(CloudTest, TheIssuersOwnTokenGoesBeforeAnothersThatCameFirst) {
  Token other;
  other.issuer = "https://accounts.example.com";
  HttpServer first(google(other.signed_by(key)));
  const std::string token = good();
  HttpServer second([&](const HttpRequest&) {
    first.wait_for_requests(1);
    return HttpResponse{.body = R"({"value":")" + token + "\"}"};
  });
  user.env["GCE_METADATA_HOST"] = host(first);
  at_github(second);
  expect_in();
}

TEST_F(CloudTest, NobodyThereIsCouldNotBeAsked) {
  const std::string message = expect_out("unavailable", "there is no identity token");
  EXPECT_NE(message.find("Google Cloud: "), std::string::npos) << message;
  EXPECT_NE(message.find("Azure Cloud Shell: "), std::string::npos) << message;
}

TEST_F(CloudTest, EveryUselessAnswerIsNamedAndNoneIsShown) {
  const struct {
    HttpResponse answer;
    const char* part;
  } cases[] = {
      {{.status = 500, .body = "hunter2-xyz"}, "GitHub Actions: HTTP status 500"},
      {{.status = 302, .headers = {{"Location", "http://127.0.0.1:1/"}}}, "GitHub Actions: HTTP status 302"},
      {{.body = "<html>hunter2-xyz</html>"}, "GitHub Actions: expected JSON with the member value"},
      {{.body = R"({"value": 7})"}, "GitHub Actions: expected JSON with the member value"},
      {{.body = R"({"value": "hunter2-xyz"})"}, "GitHub Actions: its answer is no JWT"},
      {{.body = std::string(100'000, 'x')}, "GitHub Actions: "},
      {{.fault = HttpResponse::Fault::kReset}, "GitHub Actions: "},
      {{.fault = HttpResponse::Fault::kSilence}, "GitHub Actions: "},
      {{.body = "ab", .fault = HttpResponse::Fault::kDrip}, "GitHub Actions: "},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.part);
    HttpServer server([&](const HttpRequest&) { return c.answer; });
    at_github(server);
    const std::string message = expect_out("unavailable", c.part);
    EXPECT_EQ(message.find("hunter2"), std::string::npos) << message;
  }
}

TEST_F(CloudTest, AnotherServerInGooglesPlaceIsNotBelieved) {
  HttpServer portal([&](const HttpRequest&) { return HttpResponse{.body = good()}; });
  user.env["GCE_METADATA_HOST"] = host(portal);
  expect_out("unavailable", "Google Cloud: another server answers in its place");
}

}  // namespace
}  // namespace cnspec::test
