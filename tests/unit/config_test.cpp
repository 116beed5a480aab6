// mondoo.yml: which one, what it says, what is left of it when it is changed.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <cstdlib>
#include <functional>
#include <tuple>

#include "base/encoding.hpp"
#include "config/config.hpp"
#include "support/process.hpp"

extern char** environ;

namespace cnspec::config {
namespace {

using test::read_file;
using test::TempDir;

constexpr char kPem[] =
    "-----BEGIN PRIVATE KEY-----\nMIG2AgEAMBAGByqGSM49AgEG\nBSuBBAAi\n-----END PRIVATE KEY-----\n";

class ConfigTest : public testing::Test {
 protected:
  // A user with an empty home and an environment that says nothing of us.
  void SetUp() override {
    std::vector<std::string> ours;
    for (char** entry = environ; *entry; ++entry) {
      const std::string text(*entry);
      if (text.starts_with("MONDOO_")) ours.push_back(text.substr(0, text.find('=')));
    }
    for (const auto& name : ours) ::unsetenv(name.c_str());
    ::setenv("HOME", home.path().c_str(), 1);
  }
  void TearDown() override {
    for (const auto& name : set_) ::unsetenv(name.c_str());
  }

  void env(const std::string& name, const std::string& value) {
    ::setenv(name.c_str(), value.c_str(), 1);
    set_.push_back(name);
  }

  std::filesystem::path file(const std::string& text) const { return home.write("c/mondoo.yml", text); }
  std::filesystem::path user_file() const { return home / ".config/mondoo/mondoo.yml"; }

  Config loaded(const std::string& text) {
    auto config = load(file(text).string());
    EXPECT_TRUE(config) << config.error().message();
    return config ? *config : Config{};
  }
  // The error's message without the path of the file that file() made.
  std::string error(const std::string& text) {
    const auto config = load(file(text).string());
    if (config) return "no error";
    EXPECT_EQ(config.error().kind(), ErrorKind::kConfig);
    const std::string path = (home / "c/mondoo.yml").string();
    std::string message = config.error().message();
    for (auto at = message.find(path); at != message.npos; at = message.find(path))
      message.replace(at, path.size(), "FILE");
    return message;
  }

  TempDir home;

 private:
  std::vector<std::string> set_;
};

// ---- which one ----

TEST_F(ConfigTest, SourcesInTheirOrder) {
  home.write(".config/mondoo/mondoo.yml", "mrn: of-user\n");
  const auto by_flag = home.write("flag.yml", "mrn: of-flag\n").string();
  const auto by_path = home.write("path.yml", "mrn: of-path\n").string();
  const auto expect = [](const Result<Config>& config, const std::string& mrn, const std::string& label,
                         const std::string& path) {
    ASSERT_TRUE(config) << config.error().message();
    EXPECT_EQ(config->mrn, mrn);
    EXPECT_EQ(config->source.label, label);
    EXPECT_EQ(config->source.path, path);
  };
  expect(load(""), "of-user", "default", user_file());
  env("MONDOO_CONFIG_PATH", by_path);
  expect(load(""), "of-path", "$MONDOO_CONFIG_PATH", by_path);
  expect(load(by_flag), "of-flag", "--config", by_flag);
  env("MONDOO_CONFIG_BASE64", base64_encode("mrn: of-base64\n"));
  expect(load(by_flag), "of-base64", "$MONDOO_CONFIG_BASE64", "");
  EXPECT_EQ(load(by_flag)->source.kind, Source::Kind::kEnvironment);
}

TEST_F(ConfigTest, NoFileIsNoError) {
  const auto config = load("");
  ASSERT_TRUE(config);
  if (config->source.kind == Source::Kind::kNone) {
    EXPECT_EQ(config->source.path, user_file()) << "where it would be written";
  }
  const auto missing = load((home / "none/mondoo.yml").string());
  ASSERT_TRUE(missing);
  EXPECT_EQ(missing->source.kind, Source::Kind::kNone);
  EXPECT_EQ(missing->source.path, home / "none/mondoo.yml");
  EXPECT_EQ(missing->source.label, "--config");
  EXPECT_EQ(missing->api_endpoint, "https://us.api.mondoo.com");
  EXPECT_FALSE(missing->has_credentials());
}

TEST_F(ConfigTest, AFlagThatNamesNothingDoesNotFallBack) {
  home.write(".config/mondoo/mondoo.yml", "mrn: of-user\n");
  EXPECT_EQ(load((home / "none.yml").string())->mrn, "");
  env("MONDOO_CONFIG_PATH", (home / "none.yml").string());
  EXPECT_EQ(load("")->mrn, "");
}

TEST_F(ConfigTest, HomeThatIsNone) {
  for (const char* value : {"", "relative/home"}) {
    ::setenv("HOME", value, 1);
    const auto config = load("");
    ASSERT_TRUE(config) << config.error().message();
    EXPECT_EQ(config->source.path, "/etc/opt/mondoo/mondoo.yml");
  }
  ::unsetenv("HOME");
  EXPECT_EQ(load("")->source.path, "/etc/opt/mondoo/mondoo.yml");
}

TEST_F(ConfigTest, Base64MayBeYamlOrJsonAndHasLineBreaks) {
  std::string encoded = base64_encode("{\"mrn\": \"x\", \"api_endpoint\": \"https://e\"}");
  encoded.insert(20, "\n");
  env("MONDOO_CONFIG_BASE64", encoded + "\n");
  EXPECT_EQ(load("")->mrn, "x");
  EXPECT_EQ(load("")->api_endpoint, "https://e");
}

TEST_F(ConfigTest, Base64ThatIsNone) {
  env("MONDOO_CONFIG_BASE64", "mrn: secret!");
  const auto config = load("");
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().message(), "MONDOO_CONFIG_BASE64 is not base64");
  EXPECT_EQ(config.error().kind(), ErrorKind::kConfig);
  env("MONDOO_CONFIG_BASE64", base64_encode("a: [b\n"));
  EXPECT_EQ(load("").error().message().rfind("MONDOO_CONFIG_BASE64:2:1: ", 0), 0u)
      << load("").error().message();
}

TEST_F(ConfigTest, FilesThatAreNoneNeverBlock) {
  const auto refused = [&](const std::filesystem::path& path) {
    const auto config = load(path.string());
    return config ? "no error" : config.error().message();
  };
  const auto fifo = home / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(refused(fifo),
            "could not read the configuration: " + fifo.string() + ": expected a regular file, found a FIFO");
  EXPECT_EQ(refused(home.path()), "could not read the configuration: " + home.path().string() +
                                      ": expected a regular file, found a folder");
  EXPECT_EQ(refused("/dev/zero"),
            "could not read the configuration: /dev/zero: expected a regular file, found a device");
  const auto huge = home.write("huge.yml", "");
  std::filesystem::resize_file(huge, std::uintmax_t{1} << 40);
  EXPECT_EQ(refused(huge),
            "could not read the configuration: " + huge.string() + ": has more than 1048576 bytes");
  EXPECT_EQ(refused("aws-ssm-ps://region/us-east-1/parameter/x"),
            "aws-ssm-ps://region/us-east-1/parameter/x: reading the configuration from the AWS parameter "
            "store is not "
            "supported, give a file");
}

// ---- what it says ----

TEST_F(ConfigTest, ReadsEveryKey) {
  const Config config = loaded(
      "agent_mrn: a\nmrn: m\nprivate_key: |\n  line 1\n  line 2\ncertificate: c\nscope_mrn: s\n"
      "api_endpoint: https://e\napi_proxy: http://p\nca_file: /ca\nupdates_url: https://u\nname: n\n"
      "log: {format: json}\nannotations:\n  env: prod\n  n: 1.10\n");
  EXPECT_EQ(config.agent_mrn, "a");
  EXPECT_EQ(config.mrn, "m");
  EXPECT_EQ(config.private_key, "line 1\nline 2\n");
  EXPECT_EQ(config.certificate, "c");
  EXPECT_EQ(config.scope_mrn, "s");
  EXPECT_EQ(config.api_endpoint, "https://e");
  EXPECT_EQ(config.api_proxy, "http://p");
  EXPECT_EQ(config.ca_file, "/ca");
  EXPECT_EQ(config.updates_url, "https://u");
  EXPECT_EQ(config.name, "n");
  EXPECT_EQ(config.log_format, "json");
  EXPECT_EQ(config.annotations, (std::map<std::string, std::string>{{"env", "prod"}, {"n", "1.10"}}));
}

TEST_F(ConfigTest, TheEnvironmentWinsKeyByKey) {
  const std::pair<const char*, std::string Config::*> keys[] = {
      {"AGENT_MRN", &Config::agent_mrn},     {"MRN", &Config::mrn},
      {"PRIVATE_KEY", &Config::private_key}, {"CERTIFICATE", &Config::certificate},
      {"SCOPE_MRN", &Config::scope_mrn},     {"API_ENDPOINT", &Config::api_endpoint},
      {"API_PROXY", &Config::api_proxy},     {"CA_FILE", &Config::ca_file},
      {"UPDATES_URL", &Config::updates_url}, {"NAME", &Config::name},
      {"LOG_FORMAT", &Config::log_format}};
  for (const auto& [name, member] : keys) {
    const std::string variable = std::string("MONDOO_") + name;
    ::setenv(variable.c_str(), "https://from-env", 1);
    const Config config = loaded("mrn: file\nname: file\n");
    EXPECT_EQ(config.*member, "https://from-env") << name;
    EXPECT_EQ(config.mrn, member == &Config::mrn ? "https://from-env" : "file") << name;
    ::setenv(variable.c_str(), "", 1);
    EXPECT_EQ(loaded("mrn: file\n").mrn, "file") << "an empty variable says nothing";
    ::unsetenv(variable.c_str());
  }
}

TEST_F(ConfigTest, ScopeHasThreeNamesInOneOrder) {
  EXPECT_EQ(loaded("parent_mrn: p\nspace_mrn: s\nscope_mrn: c\n").scope_mrn, "c");
  EXPECT_EQ(loaded("parent_mrn: p\nspace_mrn: s\n").scope_mrn, "s");
  EXPECT_EQ(loaded("parent_mrn: p\n").scope_mrn, "p");
  EXPECT_EQ(loaded("parent_mrn: p\nspace_mrn: ''\nscope_mrn:\n").scope_mrn, "p") << "an empty one is none";
  env("MONDOO_SPACE_MRN", "e");
  EXPECT_EQ(loaded("scope_mrn: c\n").scope_mrn, "e");
}

TEST_F(ConfigTest, DottedKeysInBothForms) {
  EXPECT_EQ(loaded("log.format: json\n").log_format, "json");
  EXPECT_EQ(loaded("log:\n  format: json\n").log_format, "json");
}

TEST_F(ConfigTest, Endpoints) {
  EXPECT_EQ(loaded("api_endpoint: api.example.com\n").api_endpoint, "https://api.example.com");
  EXPECT_EQ(loaded("api_endpoint: https://api.example.com///\n").api_endpoint, "https://api.example.com");
  EXPECT_EQ(loaded("api_endpoint: http://127.0.0.1:80/base/\n").api_endpoint, "http://127.0.0.1:80/base");
  EXPECT_EQ(loaded("api_endpoint: ''\n").api_endpoint, "https://us.api.mondoo.com");
}

TEST_F(ConfigTest, EmptyFilesSayNothing) {
  for (const char* text : {"", "\n", "# a comment\n", "---\n", "~\n", "{}\n"}) {
    EXPECT_FALSE(loaded(text).has_credentials()) << text;
    EXPECT_EQ(loaded(text).source.kind, Source::Kind::kFile) << text;
  }
}

TEST_F(ConfigTest, SaysWhereAFileIsWrong) {
  EXPECT_EQ(error("mrn: ok\nprivate_key: [oops\n").rfind("FILE:3:1: ", 0), 0u)
      << error("mrn: ok\nprivate_key: [oops\n");
  EXPECT_EQ(error("\tmrn: tab\n").rfind("FILE:1:", 0), 0u) << error("\tmrn: tab\n");
  EXPECT_EQ(error("just words\n"), "FILE: expected \"key: value\" lines (YAML) or a JSON object");
  EXPECT_EQ(error("- a\n- b\n"), "FILE: expected \"key: value\" lines (YAML) or a JSON object");
  const std::tuple<const char*, const char*> wrong_types[] = {
      {"mrn: a\nprivate_key:\n  pem: SECRET\n", "FILE:3:3: private_key must be text"},
      {"mrn: [a]\n", "FILE:1:6: mrn must be text"},
      {"annotations: text\n", "FILE:1:14: annotations must map names to texts"},
      {"annotations:\n  a: [b]\n", "FILE:2:3: an"},
  };
  for (const auto& [text, expected] : wrong_types) {
    const std::string message = error(text);
    EXPECT_TRUE(message.starts_with(expected)) << message;
    EXPECT_EQ(message.find("SECRET"), std::string::npos) << message;
  }
  EXPECT_NE(error(std::string(100000, '[')), "no error") << "and the stack is still there";
}

// ---- changing it ----

mode_t mode_of(const std::filesystem::path& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

Change text(const char* key, const std::string& value) { return {key, value, {}}; }

TEST_F(ConfigTest, KeepsWhatItDoesNotKnow) {
  const auto path = file(
      "unknown: {list: [1, 2, {deep: 'true'}], empty: [], nothing: ~, blank: ''}\n"
      "quoted: \"true\"\nplain: true\nversion: '1.10'\nleading: '  spaces'\nblank_lines: \"a\\n  b\\n\\n\"\n"
      "no_newline: \"a\\nb\"\ntab: \"a\\tb\\n\"\nindented: \"  a\\nb\\n\"\nmrn: old\nlast: 1\n");
  const YAML::Node before = YAML::LoadFile(path);
  ASSERT_TRUE(save(path, {text("mrn", "new")}));
  const YAML::Node after = YAML::LoadFile(path);
  EXPECT_EQ(after["mrn"].Scalar(), "new");
  ASSERT_EQ(after.size(), before.size());
  for (const char* key :
       {"quoted", "plain", "version", "leading", "blank_lines", "no_newline", "tab", "indented"}) {
    EXPECT_EQ(after[key].Scalar(), before[key].Scalar()) << key;
  }
  for (const char* key : {"quoted", "version"}) EXPECT_EQ(after[key].Tag(), "!") << key << " is still a text";
  EXPECT_EQ(after["plain"].Tag(), "?") << "and this none";
  const YAML::Node unknown = after["unknown"];
  EXPECT_EQ(unknown["list"][1].Scalar(), "2");
  EXPECT_EQ(unknown["list"][2]["deep"].Tag(), "!");
  EXPECT_TRUE(unknown["empty"].IsSequence());
  EXPECT_TRUE(unknown["nothing"].IsNull());
  EXPECT_EQ(unknown["blank"].Scalar(), "");
  // Where it stood.
  const std::string written = read_file(path);
  EXPECT_LT(written.find("mrn: "), written.find("last: ")) << written;
}

TEST_F(ConfigTest, WritesTextsThatEveryReaderTakesForTexts) {
  const auto path = home / "new/mondoo.yml";
  const char* texts[] = {"true",
                         "no",
                         "null",
                         "~",
                         "1.10",
                         "1e3",
                         "0x10",
                         "007",
                         "2024-01-01",
                         "12345678901234567890",
                         "",
                         " blank ends ",
                         "# no comment",
                         "a: b",
                         "- x",
                         "quote \" and \\",
                         "h\xc3\xa9",
                         "tab\t",
                         "*x",
                         "&x",
                         "!x",
                         "%x",
                         "@x"};
  for (const char* value : texts) {
    ASSERT_TRUE(save(path, {text("name", value)}));
    const YAML::Node name = YAML::LoadFile(path)["name"];
    ASSERT_TRUE(name.IsScalar()) << value;
    EXPECT_EQ(name.Scalar(), value);
    EXPECT_EQ(name.Tag(), "!") << value;
  }
  ASSERT_TRUE(
      save(path, {text("private_key", kPem), {"annotations", std::nullopt, {{"v", "1.10"}, {"on", "yes"}}}}));
  const auto config = load(path.string());
  ASSERT_TRUE(config);
  EXPECT_EQ(config->private_key, kPem);
  EXPECT_EQ(config->annotations, (std::map<std::string, std::string>{{"v", "1.10"}, {"on", "yes"}}));
  EXPECT_NE(read_file(path).find("private_key: |\n  -----BEGIN PRIVATE KEY-----\n"), std::string::npos)
      << "a key can be read: " << read_file(path);
}

TEST_F(ConfigTest, RemovesAndReplaces) {
  const auto path = file("mrn: a\nparent_mrn: b\nannotations: {old: x}\n");
  ASSERT_TRUE(save(path, {{"parent_mrn", std::nullopt, {}},
                          {"annotations", std::nullopt, {{"new", "y"}}},
                          {"absent", std::nullopt, {}}}));
  const YAML::Node after = YAML::LoadFile(path);
  EXPECT_EQ(after.size(), 2u);
  EXPECT_FALSE(after["parent_mrn"].IsDefined());
  EXPECT_EQ(after["annotations"].size(), 1u);
}

TEST_F(ConfigTest, DottedChangesKeepTheirNeighboursAndTakeTheFlatFormAway) {
  const auto path = file("scan_interval.timer: 30\nscan_interval:\n  timer: 60\n  splay: 10\n");
  ASSERT_TRUE(save(path, {text("scan_interval.timer", "45")}));
  const YAML::Node after = YAML::LoadFile(path);
  EXPECT_EQ(after.size(), 1u) << read_file(path);
  EXPECT_EQ(after["scan_interval"]["timer"].Scalar(), "45");
  EXPECT_EQ(after["scan_interval"]["timer"].Tag(), "?") << "a number";
  EXPECT_EQ(after["scan_interval"]["splay"].Scalar(), "10");
  const auto fresh = home / "fresh.yml";
  ASSERT_TRUE(save(fresh, {text("scan_interval.timer", "45"), text("scan_interval.splay", "5")}));
  EXPECT_EQ(YAML::LoadFile(fresh)["scan_interval"].size(), 2u);
}

TEST_F(ConfigTest, IsForItsOwnerAlone) {
  const auto path = home / "x/y/mondoo.yml";
  const mode_t before = ::umask(0);
  ASSERT_TRUE(save(path, {text("mrn", "m")}));
  ::umask(before);
  EXPECT_EQ(mode_of(path), 0600u);
  EXPECT_EQ(mode_of(path.parent_path()), 0700u);
  EXPECT_EQ(mode_of(path.parent_path().parent_path()), 0700u);
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  ASSERT_TRUE(save(path, {text("mrn", "n")}));
  EXPECT_EQ(mode_of(path), 0600u) << "one that everybody could read is mended";
}

TEST_F(ConfigTest, ALinkStaysOne) {
  const auto target = home.write("elsewhere/real.yml", "mrn: old\nkeep: me\n");
  const auto link = home / "mondoo.yml";
  ASSERT_EQ(::symlink(target.c_str(), link.c_str()), 0);
  ASSERT_TRUE(save(link, {text("mrn", "new")}));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(YAML::LoadFile(target)["mrn"].Scalar(), "new");
  EXPECT_EQ(YAML::LoadFile(target)["keep"].Scalar(), "me");
}

TEST_F(ConfigTest, JsonStaysReadable) {
  const auto path = file("{\"mrn\": \"old\", \"keep\": {\"a\": [1, \"2\"]}}\n");
  ASSERT_TRUE(save(path, {text("mrn", "new"), text("private_key", kPem)}));
  const YAML::Node after = YAML::LoadFile(path);
  EXPECT_EQ(after["private_key"].Scalar(), kPem);
  EXPECT_EQ(after["keep"]["a"][1].Scalar(), "2");
}

TEST_F(ConfigTest, WhatCannotBeReadIsNotOverwritten) {
  const auto path = file("mrn: [broken\n");
  EXPECT_FALSE(save(path, {text("mrn", "new")}));
  EXPECT_EQ(read_file(path), "mrn: [broken\n");
}

// The calls in a child process, as a user without root's powers and with a limit on the size of files, which
// makes the same calls fail as a full disk does.
int in_child(rlim_t max_file, const std::function<bool()>& work) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    if (max_file != RLIM_INFINITY) {
      ::signal(SIGXFSZ, SIG_IGN);
      const rlimit limit{max_file, max_file};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    } else if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) {
      ::_exit(3);
    }
    ::_exit(work() ? 0 : 1);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::size_t entries(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

TEST_F(ConfigTest, AFullDiskLeavesTheOld) {
  const auto path = file("mrn: old\n");
  EXPECT_EQ(
      in_child(1000, [&] { return save(path, {text("private_key", std::string(4000, 'x'))}).has_value(); }),
      1);
  EXPECT_EQ(read_file(path), "mrn: old\n");
  EXPECT_EQ(entries(path.parent_path()), 1u) << "no half of a key is left beside it";
  EXPECT_EQ(
      in_child(1000, [&] { return check_writable(path, std::chrono::steady_clock::now()).has_value(); }), 1);
  EXPECT_TRUE(check_writable(path, std::chrono::steady_clock::now()));
  EXPECT_EQ(entries(path.parent_path()), 1u);
}

TEST_F(ConfigTest, AFolderThatIsReadOnlyIsNoticedBeforeItMatters) {
  const auto path = file("mrn: old\n");
  ASSERT_EQ(::chmod(home.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod(path.parent_path().c_str(), 0555), 0);
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  const std::string expected =
      "the configuration cannot be written: " + path.string() + ": Permission denied";
  const auto said = [&] {
    const auto writable = check_writable(path, std::chrono::steady_clock::now());
    return !writable && writable.error().message() == expected && !save(path, {text("mrn", "new")});
  };
  EXPECT_EQ(in_child(RLIM_INFINITY, said), 0);
  // Through a link, it is the folder behind it that counts.
  const auto link = home / "link.yml";
  ASSERT_EQ(::symlink(path.c_str(), link.c_str()), 0);
  EXPECT_EQ(in_child(RLIM_INFINITY,
                     [&] { return check_writable(link, std::chrono::steady_clock::now()).has_value(); }),
            1);
  ASSERT_EQ(::chmod(path.parent_path().c_str(), 0755), 0);
  EXPECT_EQ(read_file(path), "mrn: old\n");
}

// Whoever looks at the file while it is written again and again sees one of the versions, whole; so does
// whoever looks after the writer was killed.
TEST_F(ConfigTest, HoldsTheOldOrTheNewAtAnyMoment) {
  const std::string a(20000, 'a'), b(20000, 'b');
  const auto path = file("value: \"" + a + "\"\n");
  const pid_t writer = ::fork();
  if (writer == 0) {
    for (int i = 0;; ++i) {
      if (!save(path, {text("value", i % 2 ? a : b)})) ::_exit(1);
    }
  }
  int changes = 0;
  for (std::string last; changes < 20;) {
    const std::string now = YAML::LoadFile(path)["value"].Scalar();
    EXPECT_TRUE(now == a || now == b) << now.size();
    if (now != last) ++changes;
    last = now;
  }
  ::kill(writer, SIGKILL);
  int status = 0;
  ASSERT_EQ(::waitpid(writer, &status, 0), writer);
  EXPECT_EQ(WIFSIGNALED(status) ? WTERMSIG(status) : 0, SIGKILL) << "it was still writing";
  const std::string left = YAML::LoadFile(path)["value"].Scalar();
  EXPECT_TRUE(left == a || left == b);
}

}  // namespace
}  // namespace cnspec::config
