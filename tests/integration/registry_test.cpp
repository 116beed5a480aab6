// Providers from a registry, over TLS, as a user meets it: what is installed, pinned, mirrored and updated,
// what is asked for meanwhile, and what is refused in which words, with nothing changed on disk.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <functional>
#include <mutex>
#include <regex>
#include <set>
#include <sstream>

#include "provider/manifest.hpp"
#include "support/cnspec.hpp"
#include "support/http_client.hpp"
#include "support/http_server.hpp"
#include "support/killed.hpp"
#include "support/platform.hpp"

namespace cnspec::test {
namespace {

namespace fs = std::filesystem;
using Fault = HttpResponse::Fault;

void must(const RunResult& result) { ASSERT_EQ(result.exit_code, 0) << result.out << result.err; }

std::string arch() { return std::string(provider::this_arch()); }
std::string here() { return "linux/" + arch(); }
std::string package_name(const std::string& version, const std::string& platform = arch()) {
  return "hello_" + version + "_linux_" + platform + ".tar.xz";
}
std::string other_arch() { return arch() == "arm64" ? "amd64" : "arm64"; }

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, text.npos) << from;
  return at == text.npos ? text : text.replace(at, from.size(), to);
}

std::string library(const std::string& version) {
  static const std::string original = read_file(EXAMPLE_PROVIDER);
  return replaced(original, R"("version":"1.0.0")", R"("version":")" + version + '"');
}

std::string sha256_of(const fs::path& file) { return run({"sha256sum", file.string()}).out.substr(0, 64); }

// Every file below, with its mode and contents; the cache may change as it likes.
std::string listing(const fs::path& folder) {
  std::vector<std::string> lines;
  for (auto it = fs::recursive_directory_iterator(folder); it != fs::recursive_directory_iterator(); ++it) {
    if (it->path().filename() == ".cache") {
      it.disable_recursion_pending();
      continue;
    }
    struct stat info {};
    EXPECT_EQ(::lstat(it->path().c_str(), &info), 0);
    std::ostringstream line;
    line << it->path().string() << ' ' << std::oct << info.st_mode << ' ';
    if (S_ISREG(info.st_mode)) line << std::hash<std::string>()(read_file(it->path()));
    lines.push_back(line.str());
  }
  std::sort(lines.begin(), lines.end());
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

rapidjson::Document parsed(const std::string& text) {
  rapidjson::Document out;
  out.Parse(text.data(), text.size());
  EXPECT_FALSE(out.HasParseError()) << text;
  return out;
}

std::size_t count(const std::string& text, const std::string& word) {
  std::size_t out = 0;
  for (auto at = text.find(word); at != text.npos; at = text.find(word, at + 1)) ++out;
  return out;
}

class RegistryTest : public testing::Test {
 protected:
  RegistryTest() {
    user_.env["PROVIDERS_PATH"] = dir().string();
    user_.env["XDG_CACHE_HOME"] = std::nullopt;
    fs::create_directories(work_ / "tmp");
    user_.env["TMPDIR"] = (work_ / "tmp").string();
  }
  ~RegistryTest() override { EXPECT_TRUE(fs::is_empty(work_ / "tmp")) << "something was left behind"; }

  fs::path dir() const { return user_.home() / "providers"; }
  fs::path installed() const { return dir() / "hello/hello.so"; }
  fs::path lock() const { return user_.home() / ".config/mondoo/providers.lock"; }
  fs::path registry() const { return work_ / "registry"; }
  fs::path package(const std::string& version) const {
    return registry() / "hello" / version / package_name(version);
  }
  static std::string target(const std::string& version) {
    return "/providers/hello/" + version + "/" + package_name(version);
  }

  // A version in the folder of the registry, for two platforms, and announced as the newest.
  void release(const std::string& version, const std::map<std::string, std::string>& more = {}) {
    const fs::path in = work_ / "in";
    fs::remove_all(in);
    work_.write("in/hello.so", library(version), 0755);
    for (const auto& [name, text] : more) work_.write("in/" + name, text, 0644);
    const fs::path folder = registry() / "hello" / version;
    fs::create_directories(folder);
    Argv tar = {"tar", "-C", in.string(), "-cJf", package(version).string(), "hello.so"};
    for (const auto& [name, text] : more) tar.push_back(name);
    must(test::run(tar));
    const fs::path other = folder / package_name(version, other_arch());
    fs::copy_file(package(version), other, fs::copy_options::overwrite_existing);
    write_sums(version);
    announce(version);
  }
  void write_sums(const std::string& version) {
    std::string sums;
    for (const std::string& platform : {arch(), other_arch()}) {
      const std::string name = package_name(version, platform);
      sums += sha256_of(registry() / "hello" / version / name) + "  " + name + "\n";
    }
    work_.write("registry/hello/" + version + "/SHA256SUMS", sums, 0644);
  }
  void announce(const std::string& version) {
    work_.write("registry/latest.json",
                R"({"providers":[{"name":"hello","version":")" + version +
                    R"("},{"name":"other","version":"../../1"},{"name":"../x","version":"1.0.0"}]})",
                0644);
  }

  // What the configuration says.
  void configure(const std::string& url, const std::string& ca_file, const std::string& more = "") {
    user_.home().write(".config/mondoo/mondoo.yml",
                       "updates_url: " + url + "/\nca_file: " + ca_file + "\n" + more);
  }

  RunResult providers(Argv args) const {
    args.insert(args.begin(), "providers");
    return user_.run(args);
  }

  // Refused with this and nothing else; nothing changed.
  void refuses(const Argv& args, const std::string& error, int code = 1) {
    const std::string before = listing(user_.home().path());
    const RunResult result = user_.run(args);
    EXPECT_EQ(result.exit_code, code);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(without_request_ids(result.err), error);
    EXPECT_EQ(listing(user_.home().path()), before);
  }

  User user_;
  TempDir work_;
};

// ---- the real server ----

class ServedTest : public RegistryTest {
 protected:
  ServedTest() {
    release("1.0.0");
    platform_.emplace(Argv{"--registry", registry().string(), "--access-log"});
    configure(platform_->url(), platform_->ca_file());
  }
  std::string url() const { return platform_->url() + "/providers"; }
  // What was asked for; ends the server.
  std::string asked() { return platform_->stop().err; }

  std::optional<Platform> platform_;
};

TEST_F(ServedTest, InstallsTheNewestVersionAndAsksOnceWhichThatIs) {
  const RunResult first = providers({"install", "hello"});
  EXPECT_EQ(first.exit_code, 0);
  EXPECT_EQ(first.out, "→ installed hello 1.0.0 (unsigned) as " + installed().string() + "\n");
  EXPECT_EQ(first.err, "");
  EXPECT_EQ(read_file(installed()), library("1.0.0"));
  must(user_.run({"discover", "hello", "you"}));

  const RunResult second = providers({"install", "hello", "hello"});
  EXPECT_EQ(second.out, "→ hello 1.0.0 is there already: " + installed().string() +
                            "\n→ hello 1.0.0 is there already: " + installed().string() + "\n");
  const std::string log = asked();
  EXPECT_EQ(count(log, "GET /providers/latest.json 200"), 1u) << log;
  EXPECT_EQ(count(log, "GET /providers/latest.json 304"), 1u) << log;
  EXPECT_EQ(count(log, "latest.json"), 2u) << log;
}

TEST_F(ServedTest, KeepsWhatWasAnnouncedForItsOwnerAlone) {
  must(providers({"install", "hello"}));
  const fs::path cache = user_.home() / ".cache/mondoo";
  struct stat info {};
  ASSERT_EQ(::stat(cache.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777u, 0700u);
  for (const auto& entry : fs::directory_iterator(cache)) {
    ASSERT_EQ(::stat(entry.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777u, 0600u);
    std::ofstream(entry.path()) << "{\"url\": 1";  // garbage in it costs a request and nothing else
  }
  must(providers({"install", "hello"}));
  for (const auto& entry : fs::directory_iterator(cache)) {
    const std::string text = read_file(entry.path());
    std::ofstream(entry.path()) << replaced(text, "[{",
                                            "[,{");  // the tag is right, and what it stands for is not
  }
  must(providers({"install", "hello"}));
  ASSERT_EQ(::chmod(cache.c_str(), 0777), 0);  // somebody else could write there
  must(providers({"install", "hello"}));
  user_.env["XDG_CACHE_HOME"] = "/dev/null/nowhere";
  const RunResult none = providers({"install", "hello"});
  EXPECT_EQ(none.exit_code, 0);
  EXPECT_EQ(none.err, "");
  EXPECT_EQ(count(asked(), "GET /providers/latest.json 200"), 5u);
}

TEST_F(ServedTest, InstallsTheVersionThatIsNamed) {
  release("2.0.0");
  const RunResult old = providers({"install", "hello@v1.0.0"});
  EXPECT_EQ(old.out, "→ installed hello 1.0.0 (unsigned) as " + installed().string() + "\n");
  EXPECT_EQ(count(asked(), "latest.json"), 0u);
}

TEST_F(ServedTest, SaysWhichOfSeveralCouldNotBeInstalled) {
  const RunResult result = providers({"install", "hullo", "hello", "hello@7.0.0", "other"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "→ installed hello 1.0.0 (unsigned) as " + installed().string() + "\n");
  EXPECT_EQ(result.err, "x hullo is not installed: the registry " + url() +
                            " has no provider hullo; did you mean hello?\n"
                            "x hello 7.0.0 is not installed: the registry " +
                            url() + " has no hello 7.0.0 for " + here() +
                            "; the newest version is 1.0.0\n"
                            "x other is not installed: the registry " +
                            url() + " has no provider other\n");
  EXPECT_EQ(count(asked(), "latest.json"), 1u);
}

TEST_F(ServedTest, RefusesWordsThatNameNoProvider) {
  for (const std::string word : {"Hello/../x", "hello@", "hello@1@2", "hello@../1", "", "@1.0.0", "-"}) {
    const RunResult result = providers({"install", "hello", word});
    EXPECT_EQ(result.exit_code, 2) << word << result.out << result.err;
    EXPECT_FALSE(fs::exists(dir())) << word;
  }
  EXPECT_EQ(providers({"install", "hello", "--file", "x"}).err,
            "x a package of --file or --url has its name, and takes no other\n");
  EXPECT_EQ(providers({"install", "hello", "--registry", "ftp://example.com"}).exit_code, 2);
}

TEST_F(ServedTest, ChangesNothingWhenItIsOnlyTried) {
  const std::string before = listing(user_.home().path());
  const RunResult dry = providers({"install", "hello", "--dry-run", "-o", "json"});
  EXPECT_EQ(dry.exit_code, 0);
  EXPECT_TRUE(parsed(dry.out)["dryRun"].GetBool());
  EXPECT_EQ(providers({"lock", "hello", "--dry-run"}).out,
            "→ would pin hello 1.0.0 for " + here() + "\n→ would write " + lock().string() + "\n");
  EXPECT_EQ(listing(user_.home().path()), before);
}

TEST_F(ServedTest, SaysBeforeThatALockFileCannotBeWritten) {
  // Root writes everywhere, so it becomes somebody else for this.
  Argv argv;
  if (::geteuid() == 0) argv = {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"};
  ::chmod(work_.path().c_str(), 0755);
  for (const auto& entry : fs::recursive_directory_iterator(work_.path()))
    if (entry.is_directory()) ::chmod(entry.path().c_str(), 0755);
  ::chmod((work_ / "tmp").c_str(), 01777);
  argv.insert(argv.end(), {program("cnspec"), "providers", "lock", "hello", "--registry",
                           "file://" + registry().string()});
  ProcessOptions options;
  options.env = user_.env;
  options.env["HOME"] = "/nonexistent";
  options.env["PROVIDERS_PATH"] = std::nullopt;
  options.env["MONDOO_PROVIDERS_LOCK"] = "/usr/lib/cnspec-test.lock";
  for (const char* more : {"--output=json", "--dry-run"}) {
    argv.push_back(more);
    const RunResult result = test::run(argv, options);
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err,
              "x the lock file cannot be written: /usr/lib/cnspec-test.lock: Permission denied\n");
  }
}

TEST_F(ServedTest, UpdatesAndNeverToALowerVersion) {
  EXPECT_EQ(providers({"update"}).out, "→ no provider is installed\n");
  must(providers({"install", "hello"}));
  EXPECT_EQ(providers({"update"}).out, "→ hello 1.0.0 is the newest version\n");
  release("1.2.0");
  EXPECT_EQ(providers({"update", "--dry-run"}).out, "→ would update hello 1.0.0 -> 1.2.0\n");
  EXPECT_EQ(read_file(installed()), library("1.0.0"));
  const RunResult update = providers({"update", "hello", "-o", "json"});
  EXPECT_EQ(update.exit_code, 0) << update.err;
  const auto report = parsed(update.out);
  EXPECT_STREQ(report["updates"][0]["from"].GetString(), "1.0.0");
  EXPECT_STREQ(report["updates"][0]["to"].GetString(), "1.2.0");
  EXPECT_STREQ(report["updates"][0]["outcome"].GetString(), "updated");
  EXPECT_EQ(read_file(installed()), library("1.2.0"));
  must(providers({"rollback", "hello"}));
  EXPECT_EQ(read_file(installed()), library("1.0.0"));
  must(providers({"rollback", "hello"}));

  announce("1.0.0");
  EXPECT_EQ(providers({"update"}).out, "→ hello 1.2.0 is newer than the registry's 1.0.0\n");
  work_.write("registry/latest.json", R"({"providers":[]})", 0644);
  const RunResult unknown = providers({"update"});
  EXPECT_EQ(unknown.exit_code, 0);
  EXPECT_EQ(unknown.err, "! hello 1.2.0 stays: the registry does not know it\n");
  refuses({"providers", "update", "hullo"},
          "x the provider hullo is not installed; did you mean hello?\n"
          "  install it: cnspec providers install hullo\n");
}

TEST_F(ServedTest, GoesBackOnlyWhenItIsTold) {
  release("1.2.0");
  must(providers({"install", "hello"}));
  must(providers({"lock", "hello"}));
  announce("1.0.0");  // everything in it is genuine, and old
  const std::string newest =
      "the newest version of hello in the registry " + url() + " is 1.0.0, which is older than 1.2.0, which ";
  const auto meant = [](const std::string& command) {
    return "\n  if the older one is meant: cnspec providers " + command + " hello@1.0.0\n";
  };
  const std::string pins = lock().string() + " pins";
  const std::vector<Argv> ways = {{}, {"--dry-run"}, {"-o", "json"}};
  for (Argv args : ways) {
    args.insert(args.begin(), {"providers", "lock", "hello"});
    refuses(args, "x " + newest + pins + meant("lock"));
  }
  fs::rename(lock(), work_ / "kept.lock");
  for (Argv args : ways) {
    args.insert(args.begin(), {"providers", "lock", "hello"});
    refuses(args, "x " + newest + "is here" + meant("lock"));
    args[1] = "install";
    const std::string before = listing(user_.home().path());
    const RunResult install = user_.run(args);
    EXPECT_EQ(install.exit_code, 1);
    EXPECT_EQ(install.err, "x hello is not installed: " + newest + "is here" + meant("install"));
    if (!install.out.empty()) {
      EXPECT_EQ(parsed(install.out)["installed"].Size(), 0u);
    }
    EXPECT_EQ(listing(user_.home().path()), before);
  }
  // The one that it would be used in place of lies elsewhere.
  refuses({"providers", "install", "hello", "--providers-path", (user_.home() / "empty").string(),
           "--providers-path", dir().string()},
          "x hello is not installed: " + newest + "is here" + meant("install"));

  const RunResult named = providers({"install", "hello@1.0.0"});
  EXPECT_EQ(named.err, "");
  EXPECT_EQ(named.out, "→ installed hello 1.0.0 (unsigned) as " + installed().string() +
                           "\n→ 1.2.0 is kept; to have it back: cnspec providers rollback hello\n");
  fs::rename(work_ / "kept.lock", lock());
  // What is installed may be older than what is pinned, and no reason to pin that.
  refuses({"providers", "lock"}, "x the installed hello 1.0.0 is older than 1.2.0, which " + pins +
                                     "\n  bring what it pins: cnspec providers install hello; or pin the "
                                     "older one: cnspec providers lock hello@1.0.0\n");
  EXPECT_EQ(providers({"lock", "hello@1.0.0"}).out,
            "→ pinned hello 1.0.0 in place of 1.2.0 for " + here() + "\n→ wrote " + lock().string() + "\n");
}

TEST_F(ServedTest, SaysThatAFileTakesItBack) {
  must(providers({"lock", "hello"}));
  release("1.2.0");
  const auto install_newest = [&] {
    must(providers({"install", "hello@1.2.0", "--registry", url()}));
    EXPECT_EQ(read_file(installed()), library("1.2.0"));
  };
  const std::string back = "! hello goes back from 1.2.0 to 1.0.0";
  // The lock file says so, whatever the registry's newest is.
  for (const Argv& args : {Argv{"install"}, Argv{"install", "hello"}}) {
    fs::rename(lock(), work_ / "kept.lock");
    install_newest();
    fs::rename(work_ / "kept.lock", lock());
    Argv dry = args;
    dry.push_back("--dry-run");
    EXPECT_EQ(providers(dry).err,
              "! hello would go back from 1.2.0 to 1.0.0, which " + lock().string() + " pins\n");
    const RunResult result = providers(args);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.err, back + ", which " + lock().string() + " pins\n");
  }
  // So does whoever names a package.
  fs::remove(lock());
  install_newest();
  for (const Argv& args : {Argv{"--file", package("1.0.0").string()},
                           Argv{"--url", platform_->url() + target("1.0.0"), "-o", "json"}}) {
    Argv install = {"install"};
    install.insert(install.end(), args.begin(), args.end());
    const RunResult result = providers(install);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.err, back + "\n");
    must(providers({"rollback", "hello"}));
  }
}

TEST_F(ServedTest, SaysThatAMirrorGoesBack) {
  must(providers({"lock", "hello"}));
  fs::rename(lock(), work_ / "kept.lock");
  release("1.2.0");
  const std::string mirror = (work_ / "mirror").string();
  must(providers({"lock", "hello"}));
  EXPECT_EQ(providers({"mirror", mirror}).err, "");
  fs::rename(work_ / "kept.lock", lock());
  const std::string end = "1.0.0 from now on, which " + lock().string() + " pins; it was 1.2.0\n";
  const std::string files = listing(work_ / "mirror");
  EXPECT_EQ(providers({"mirror", mirror, "--dry-run"}).err,
            "! the newest hello of the mirror would be " + end);
  EXPECT_EQ(listing(work_ / "mirror"), files);
  EXPECT_EQ(providers({"mirror", mirror, "-o", "json"}).err, "! the newest hello of the mirror is " + end);
  EXPECT_EQ(count(read_file(work_ / "mirror/latest.json"), "1.0.0"), 1u);
}

TEST_F(ServedTest, TakesOneWordForEachOptionThatMayBeRepeated) {
  const std::string folder = (user_.home() / "named").string();
  must(providers({"install", "--providers-path", folder, "hello"}));
  must(providers({"lock", "--providers-path", folder, "--platform", here(), "hello"}));
  must(user_.run({"discover", "--providers-path", folder, "--isolation", "hello=none", "hello", "you"}));
  must(user_.run({"--providers-path", folder, "--isolation", "none", "--isolation", "hello=process",
                  "discover", "hello", "you"}));
}

TEST_F(ServedTest, LeavesWhatIsPartOfTheProgramToIt) {
  refuses({"providers", "update", "os"}, "x the provider os is part of cnspec, and is updated with it\n");
  refuses({"providers", "rollback", "os"}, "x the provider os is part of cnspec and cannot be put back\n");
}

TEST_F(ServedTest, ServesFilesAsWebServersDo) {
  const auto get = [&](const std::string& path, const transport::Headers& headers = {}) {
    transport::Request request;
    request.url = url() + "/" + path;
    request.headers = headers;
    auto answer = http_exchange(request, platform_->ca_file());
    EXPECT_TRUE(answer) << answer.error().message();
    return answer ? *answer : transport::Response{};
  };
  const std::string text = read_file(registry() / "latest.json");
  const transport::Response whole = get("latest.json");
  EXPECT_EQ(whole.status, 200);
  EXPECT_EQ(whole.body, text);
  EXPECT_EQ(whole.header("content-type"), "application/json");
  const std::string etag(whole.header("etag"));
  EXPECT_EQ(get("latest.json", {{"If-None-Match", "\"x\", " + etag}}).status, 304);
  EXPECT_EQ(get("latest.json", {{"If-None-Match", "\"x\""}}).status, 200);
  const auto part = [&](const std::string& range, const std::string& if_range = "") {
    transport::Headers headers = {{"Range", range}};
    if (!if_range.empty()) headers.emplace_back("If-Range", if_range);
    const transport::Response answer = get("latest.json", headers);
    return std::to_string(answer.status) + " " + answer.body;
  };
  EXPECT_EQ(part("bytes=2-4"), "206 " + text.substr(2, 3));
  EXPECT_EQ(part("bytes=9-", etag), "206 " + text.substr(9));
  EXPECT_EQ(part("bytes=-3"), "206 " + text.substr(text.size() - 3));
  EXPECT_EQ(part("bytes=9-", "\"x\""), "200 " + text);
  for (const std::string nonsense : {"bytes=4-2", "bytes=-", "bytes=a-", "lines=1-2", "bytes=1-2,4-5"})
    EXPECT_EQ(part(nonsense), "200 " + text) << nonsense;
  EXPECT_EQ(part("bytes=100000-"), "416 ");

  work_.write("registry/.hidden", "hunter2");
  fs::create_symlink("/etc/passwd", registry() / "link");
  fs::create_directory_symlink(work_.path(), registry() / "folder");
  for (const std::string path :
       {"", "hello", "hello/", "nothing", ".hidden", "link", "folder/registry/latest.json",
        "%2e%2e/in/hello.so", "hello/../latest.json/x", "/latest.json"}) {
    EXPECT_EQ(get(path).status, 404) << path;
  }
}

TEST_F(ServedTest, IsTheSameForStatus) {
  must(providers({"install", "hello"}));
  release("3.0.0");
  user_.home().write(".config/mondoo/mondoo.yml",
                     "providers_url: " + url() + "/\nca_file: " + platform_->ca_file() + "\n");
  const RunResult status = user_.run({"status", "-o", "json"});
  const auto document = parsed(status.out);
  EXPECT_STREQ(document["client"]["providersUrl"].GetString(), url().c_str()) << status.out;
  EXPECT_NE(status.out.find("3.0.0"), status.out.npos) << status.out;
  EXPECT_EQ(providers({"update", "hello"}).out, "→ updated hello 1.0.0 -> 3.0.0\n");
}

// ---- the lock file ----

TEST_F(ServedTest, PinsWhatIsInstalledAndBringsThatAlone) {
  must(providers({"install", "hello"}));
  const RunResult pinned = providers({"lock", "--platform", here(), "--platform", "linux/" + other_arch()});
  EXPECT_EQ(pinned.exit_code, 0) << pinned.err;
  EXPECT_EQ(count(pinned.out, "→ pinned hello 1.0.0 for linux/amd64, linux/arm64\n"), 1u) << pinned.out;
  const auto file = parsed(read_file(lock()));
  const auto& files = file["providers"]["hello"]["platforms"][here().c_str()];
  EXPECT_EQ(files["package"].GetString(), sha256_of(package("1.0.0")));
  EXPECT_EQ(files["library"].GetString(), sha256_of(installed()));
  must(user_.run({"discover", "hello", "you"}));

  release("2.0.0");
  EXPECT_EQ(providers({"update"}).out, "→ hello 1.0.0 is what " + lock().string() + " pins\n");
  refuses({"providers", "install", "hello@2.0.0"},
          "x hello 2.0.0 is not installed: " + lock().string() +
              " pins hello to version 1.0.0, found 2.0.0\n"
              "  pin the other version: cnspec providers lock hello@2.0.0\n");
  refuses({"providers", "install", "other"}, "x other is not installed: " + lock().string() +
                                                 " does not name other\n"
                                                 "  pin it as well: cnspec providers lock other\n");
  must(providers({"remove", "hello"}));
  EXPECT_EQ(providers({"install"}).out,
            "→ installed hello 1.0.0 (unsigned) as " + installed().string() + "\n");

  EXPECT_EQ(providers({"lock", "hello"}).err,
            "! the installed hello 1.0.0 is not what is pinned now, and will not be used; to bring that: "
            "cnspec providers install hello\n");
  const auto moved = parsed(read_file(lock()));
  EXPECT_STREQ(moved["providers"]["hello"]["version"].GetString(), "2.0.0");
  EXPECT_EQ(moved["providers"]["hello"]["platforms"].MemberCount(), 2u)
      << "the platforms are wanted as before";
  EXPECT_EQ(providers({"update"}).out, "→ updated hello 1.0.0 -> 2.0.0\n");
  must(user_.run({"discover", "hello", "you"}));
}

TEST_F(ServedTest, RunsWhatIsPinnedOrNothing) {
  must(providers({"install", "hello"}));
  must(providers({"lock"}));
  const std::string good = library("1.0.0");
  const auto refused = [&](const std::string& reason) {
    const RunResult list = providers({"list", "-o", "json"});
    const auto document = parsed(list.out);
    const auto& all = document["refused"];
    ASSERT_EQ(all.Size(), 1u) << list.out;
    EXPECT_EQ(all[0]["reason"].GetString(), reason);
    EXPECT_NE(user_.run({"discover", "hello", "you", "--auto-update=false"}).exit_code, 0);
  };
  std::string other = good;
  other.back() = static_cast<char>(other.back() ^ 1);
  std::ofstream(installed(), std::ios::binary) << other;
  refused(
      "it is not the file that " + lock().string() + " pins for hello 1.0.0: expected SHA-256 " +
      parsed(read_file(lock()))["providers"]["hello"]["platforms"][here().c_str()]["library"].GetString() +
      ", found " + sha256_of(installed()));
  std::ofstream(installed(), std::ios::binary) << library("1.0.1");
  refused(lock().string() + " pins hello to version 1.0.0, found 1.0.1");

  // The same under another name is no way around it.
  fs::remove_all(dir() / "hello");
  user_.home().write("providers/friend.so", other, 0755);
  refused("it calls itself hello, which " + lock().string() +
          " pins; expected the file hello.so, found friend.so");
  fs::remove(dir() / "friend.so");
  must(providers({"install"}));
  must(user_.run({"discover", "hello", "you"}));

  const std::string text = read_file(lock());
  user_.home().write(".config/mondoo/providers.lock", replaced(text, here(), "plan9/mips"));
  refused(lock().string() + " pins no hello for " + here());
}

TEST_F(ServedTest, NoticesThatAReleasedVersionChanged) {
  must(providers({"lock", "hello"}));
  const std::string before = sha256_of(package("1.0.0"));
  release("1.0.0", {{"hello.json", "{}"}});
  const std::string after = sha256_of(package("1.0.0"));
  refuses(
      {"providers", "lock", "hello"},
      "x the package of hello 1.0.0 for " + here() + " is another one than " + lock().string() +
          " pins: expected SHA-256 " + before + ", found " + after +
          "\n  a released version does not change; ask whoever runs the registry. If it is meant, take the "
          "entry out of the file first\n");
  const RunResult install = providers({"install"});
  EXPECT_EQ(install.exit_code, 1);
  EXPECT_NE(install.err.find(before), std::string::npos) << install.err;
  EXPECT_NE(install.err.find(after), std::string::npos) << install.err;
  EXPECT_FALSE(fs::exists(installed()));
}

TEST_F(ServedTest, RefusesALockFileThatIsNone) {
  const std::string hint = "\n  mend it, or take it away and write a new one: cnspec providers lock\n";
  const std::string hash(64, 'a');
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"[]", "expected a JSON object with \"version\": 1"},
      {R"({"version": 2})", "it is of version 2, expected 1"},
      {R"({"version": 1})", "expected \"providers\", an object"},
      {R"({"version": 1, "providers": {"hello": {}}})", "hello: expected a \"version\" such as \"1.2.3\""},
      {R"({"version": 1, "providers": {"hello": {"version": "1.0.0/../.."}}})",
       "hello: expected a \"version\" such as \"1.2.3\""},
      {R"({"version": 1, "providers": {"../x": {"version": "1.0.0"}}})",
       "../x: a provider's name is letters, digits and dashes"},
      {R"({"version": 1, "providers": {"hello": {"version": "1.0.0", "platforms": {}}}})",
       "hello: expected \"platforms\", an object with one or more"},
      {R"({"version": 1, "providers": {"hello": {"version": "1.0.0", "platforms": {"../x": {}}}}})",
       "hello: a platform is OS/ARCH in lower case, found ../x"},
      {R"({"version": 1, "providers": {"hello": {"version": "1.0.0", "platforms": {"Linux/AMD64": {}}}}})",
       "hello: a platform is OS/ARCH in lower case, found Linux/AMD64"},
      {R"({"version": 1, "providers": {"hello": {"version": "1.0.0", "platforms": {"linux/amd64": {"package": ")" +
           hash + R"("}}}}})",
       "hello: linux/amd64: expected \"package\" and \"library\", each 64 hexadecimal digits in lower case"},
  };
  for (const auto& [text, why] : cases) {
    user_.home().write(".config/mondoo/providers.lock", text);
    refuses({"providers", "list"}, "x " + lock().string() + ": " + why + hint, 78);
  }
  fs::remove(lock());
  configure(platform_->url(), platform_->ca_file(), "providers_lock: pins.json\n");
  const std::string named = (user_.home() / ".config/mondoo/pins.json").string();
  refuses({"providers", "list"},
          "x " + user_.config_file().string() + ":3:17 names the lock file " + named +
              ", which is not there\n  write it: cnspec providers lock\n",
          78);
  must(providers({"lock", "hello"}));
  EXPECT_TRUE(fs::exists(named));
  must(providers({"install"}));
}

TEST_F(ServedTest, ObeysNoLockFileThatOthersMayWrite) {
  must(providers({"lock", "hello"}));
  const std::string file = lock().string(), folder = lock().parent_path().string();
  const std::string begin = "x the lock file " + file + " cannot be trusted: ";
  const auto refused = [&](const std::string& why) {
    for (const Argv& args : {Argv{"install", "hello"}, Argv{"list"}, Argv{"lock", "hello"}, Argv{"update"},
                             Argv{"mirror", (work_ / "mirror").string()}}) {
      Argv all = {"providers"};
      all.insert(all.end(), args.begin(), args.end());
      refuses(all, begin + why, 78);
    }
    EXPECT_EQ(user_.run({"discover", "hello", "you"}).exit_code, 78);
  };
  ASSERT_EQ(::chmod(file.c_str(), 0666), 0);
  refused("the file is writable by everybody (mode 0666)\n  chmod go-w '" + file + "'\n");
  ASSERT_EQ(::chmod(file.c_str(), 0664), 0);
  refused("the file is writable by its group (mode 0664)\n  chmod go-w '" + file + "'\n");
  ASSERT_EQ(::chmod(file.c_str(), 0644), 0);
  ASSERT_EQ(::chmod(folder.c_str(), 0777), 0);
  refused("the folder " + folder + " is writable by everybody (mode 0777)\n  chmod go-w '" + folder + "'\n");
  ASSERT_EQ(::chmod(folder.c_str(), 0700), 0);
  if (::geteuid() == 0) {
    constexpr uid_t kNobody = 65534;
    ASSERT_EQ(::chown(file.c_str(), kNobody, kNobody), 0);
    refused(
        "the file belongs to user id 65534, expected root\n"
        "  chown it if you trust what is in it: chown 0 '" +
        file + "'\n");
    ASSERT_EQ(::chown(file.c_str(), 0, 0), 0);
  }
  fs::rename(lock(), work_ / "elsewhere.lock");
  fs::create_symlink(work_ / "elsewhere.lock", lock());
  must(providers({"install", "hello"}));
  ASSERT_EQ(::chmod((work_ / "elsewhere.lock").c_str(), 0666), 0);
  const std::string behind = (work_ / "elsewhere.lock").string();
  refused("the file is writable by everybody (mode 0666)\n  chmod go-w '" + behind + "'\n");
  fs::remove(lock());
  for (const bool fifo : {true, false}) {
    ASSERT_EQ(fifo ? ::mkfifo(file.c_str(), 0600) : ::mkdir(file.c_str(), 0700), 0);
    refuses({"providers", "list"},
            "x the lock file cannot be read: " + file + ": expected a regular file, found a " +
                (fifo ? "FIFO" : "folder") + "\n",
            78);
    fs::remove(lock());
  }
}

TEST_F(ServedTest, SaysThatThereIsNothingToPinOrToInstall) {
  refuses({"providers", "lock"},
          "x there is nothing to pin: no provider is installed\n"
          "  name what is to be pinned: cnspec providers lock NAME\n",
          2);
  refuses(
      {"providers", "install"},
      "x which provider?\n"
      "  name it as NAME or NAME@VERSION, or a package with --file or --url; without a name, what the lock "
      "file pins is installed, and there is none\n",
      2);
  refuses({"providers", "mirror", (work_ / "mirror").string()},
          "x a mirror holds what the lock file pins, and there is none: " + lock().string() +
              "\n  write it: cnspec providers lock\n",
          2);
  EXPECT_FALSE(fs::exists(work_ / "mirror"));
  refuses({"providers", "lock", "hello", "--platform", "linux"},
          "x --platform linux: expected OS/ARCH, such as linux/amd64\n", 2);
  refuses({"providers", "lock", "hello", "--platform", "plan9/mips"},
          "x the registry " + url() + " has no hello 1.0.0 for plan9/mips\n");
}

// ---- the mirror ----

TEST_F(ServedTest, MirrorsWhatIsPinnedAndNeedsTheRegistryNoMore) {
  must(providers({"lock", "hello", "--platform", here(), "--platform", "linux/" + other_arch()}));
  release("2.0.0");
  const fs::path mirror = work_ / "mirror";
  const RunResult first = providers({"mirror", mirror.string(), "-o", "json"});
  EXPECT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(parsed(first.out)["files"].Size(), 2u);
  EXPECT_EQ(read_file(mirror / "hello/1.0.0" / package_name("1.0.0")), read_file(package("1.0.0")));
  EXPECT_EQ(read_file(mirror / "hello/1.0.0/SHA256SUMS"), read_file(registry() / "hello/1.0.0/SHA256SUMS"));
  EXPECT_EQ(count(read_file(mirror / "latest.json"), "1.0.0"), 1u);
  EXPECT_FALSE(fs::exists(mirror / "hello/2.0.0"));
  const std::string files = listing(mirror);
  const RunResult again = providers({"mirror", mirror.string()});
  EXPECT_EQ(count(again.out, "→ there already: "), 2u) << again.out;
  EXPECT_EQ(listing(mirror), files);
  asked();

  // From the folder, and from a mirror of the mirror behind a web server; with the lock file and without.
  const std::string folder = "file://" + mirror.string();
  must(providers({"install", "--registry", folder}));
  EXPECT_EQ(read_file(installed()), library("1.0.0"));
  const fs::path second = work_ / "second";
  must(providers({"mirror", second.string(), "--registry", folder}));
  EXPECT_EQ(read_file(second / "hello/1.0.0" / package_name("1.0.0")), read_file(package("1.0.0")));
  must(providers({"remove", "hello"}));
  fs::remove(lock());
  Platform lab({"--registry", second.string()});
  configure(lab.url(), lab.ca_file());
  EXPECT_EQ(providers({"install", "hello"}).out,
            "→ installed hello 1.0.0 (unsigned) as " + installed().string() + "\n");
  must(providers({"install", "hello", "--registry", folder}));
  refuses({"providers", "install", "hello@3.0.0", "--registry", folder},
          "x hello 3.0.0 is not installed: the registry " + folder + " has no hello 3.0.0 for " + here() +
              "; the newest version is 1.0.0\n");
}

// Not only that registry: there is no network at all.
TEST_F(ServedTest, InstallsFromTheMirrorWithTheNetworkGone) {
  must(providers({"lock", "hello"}));
  const std::string mirror = (work_ / "mirror").string();
  must(providers({"mirror", mirror}));
  asked();
  Argv offline = {"unshare", "--net"};
  const bool gone = test::run({"unshare", "--net", "true"}).exit_code == 0;
  if (!gone) {
    std::printf("who runs this may make no network of its own, so that only the registry is gone\n");
    offline.clear();
  }
  ProcessOptions options;
  options.env = user_.env;
  const auto alone = [&](const Argv& args) {
    Argv argv = offline;
    argv.push_back(program("cnspec"));
    argv.insert(argv.end(), args.begin(), args.end());
    return test::run(argv, options);
  };
  const std::string folder = "file://" + mirror;
  const RunResult registry_gone = alone({"providers", "install", "hello"});
  EXPECT_EQ(registry_gone.exit_code, 1);
  EXPECT_NE(registry_gone.err.find(gone ? ": Network is unreachable" : ": could not connect to "),
            std::string::npos)
      << registry_gone.err;
  EXPECT_EQ(alone({"providers", "install", "--registry", folder}).out,
            "→ installed hello 1.0.0 (unsigned) as " + installed().string() + "\n");
  must(alone({"discover", "hello", "you"}));
  EXPECT_EQ(alone({"providers", "update", "--registry", folder}).out,
            "→ hello 1.0.0 is what " + lock().string() + " pins\n");
  must(alone({"providers", "lock", "hello", "--registry", folder}));
  must(alone({"providers", "mirror", (work_ / "second").string(), "--registry", folder}));
  must(alone({"providers", "remove", "hello"}));
  // What a command lacks comes from there as well, where the configuration says so.
  user_.home().write(".config/mondoo/mondoo.yml", "providers_url: " + folder + "\n");
  EXPECT_EQ(alone({"discover", "hello", "you"}).err,
            "→ installed the provider hello 1.0.0, for its connector hello\n");
}

TEST_F(ServedTest, MendsAMirror) {
  must(providers({"lock", "hello"}));
  const fs::path mirror = work_ / "mirror";
  must(providers({"mirror", mirror.string()}));
  const fs::path file = mirror / "hello/1.0.0" / package_name("1.0.0");
  std::ofstream(file) << "damaged";
  must(providers({"mirror", mirror.string()}));
  EXPECT_EQ(read_file(file), read_file(package("1.0.0")));
  // What the registry has is not what is pinned: no such file gets into the mirror.
  std::ofstream(file) << "damaged";
  release("1.0.0", {{"hello.json", "{}"}});
  const RunResult refused = providers({"mirror", mirror.string()});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("is not the one that is pinned: expected SHA-256 "), std::string::npos)
      << refused.err;
  EXPECT_EQ(read_file(file), "damaged");
}

// ---- who vouches ----

TEST_F(ServedTest, InstallsNothingThatNobodyVouchesFor) {
  const std::string sums = url() + "/hello/1.0.0/SHA256SUMS";
  const std::string name = package_name("1.0.0");
  const std::string begin = "x hello is not installed: ";
  work_.write("registry/hello/1.0.0/SHA256SUMS", std::string(64, '0') + "  " + name + "\n", 0644);
  const RunResult wrong = providers({"install", "hello"});
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_NE(wrong.err.find(std::string(64, '0')), std::string::npos) << wrong.err;
  EXPECT_NE(wrong.err.find(sha256_of(package("1.0.0"))), std::string::npos) << wrong.err;
  EXPECT_FALSE(fs::exists(installed()));

  work_.write("registry/hello/1.0.0/SHA256SUMS", std::string(64, '0') + "  other.tar.xz\n", 0644);
  refuses({"providers", "install", "hello"}, begin + sums + " does not name " + name + "\n");
  work_.write("registry/hello/1.0.0/SHA256SUMS", "\nnonsense\n", 0644);
  refuses({"providers", "install", "hello"},
          begin + sums + ":2: expected 64 hexadecimal digits, two spaces and a file's name\n");
  fs::remove(registry() / "hello/1.0.0/SHA256SUMS");
  refuses({"providers", "install", "hello"},
          begin + sums +
              ": there is no such file, so nobody says which package is the right one\n"
              "  pin it in a lock file, or take what comes over https: --allow-unverified\n");
  const RunResult taken = providers({"install", "hello", "--allow-unverified"});
  EXPECT_EQ(taken.exit_code, 0);
  EXPECT_EQ(taken.err, "! nobody vouches for hello 1.0.0: it was taken as it came from " + url() +
                           "/hello/1.0.0/" + name + "\n");
}

TEST_F(ServedTest, FollowsTheSignatureOfTheChecksums) {
  const auto minisign = [&](Argv args) {
    args.insert(args.begin(), "minisign");
    must(test::run(args));
  };
  const auto make_key = [&](const std::string& name) {
    minisign({"-G", "-W", "-f", "-p", (work_ / (name + ".pub")).string(), "-s",
              (work_ / (name + ".key")).string()});
    const std::string text = read_file(work_ / (name + ".pub"));
    return text.substr(text.find('\n') + 1, 56);
  };
  const auto sign = [&](const std::string& key, const fs::path& file) {
    minisign({"-S", "-s", (work_ / (key + ".key")).string(), "-m", file.string(), "-t", "release 1"});
  };
  const std::string key = make_key("ours");
  make_key("theirs");
  const fs::path sums = registry() / "hello/1.0.0/SHA256SUMS";
  work_.write("hello.so", library("1.0.0"), 0755);
  sign("ours", work_ / "hello.so");
  release("1.0.0", {{"hello.so.minisig", read_file(work_ / "hello.so.minisig")}});
  const std::string begin = "x hello is not installed: " + url() + "/hello/1.0.0/SHA256SUMS.minisig: ";
  configure(platform_->url(), platform_->ca_file(), "trust: signed\ntrusted_keys: [" + key + "]\n");
  refuses({"providers", "install", "hello"},
          begin + "there is no such file, and only signed providers are trusted (trust: signed)\n");
  sign("theirs", sums);
  const RunResult foreign = providers({"install", "hello"});
  EXPECT_EQ(foreign.exit_code, 1);
  EXPECT_TRUE(foreign.err.starts_with(begin)) << foreign.err;
  sign("ours", sums);
  const RunResult good = providers({"install", "hello"});
  EXPECT_EQ(good.exit_code, 0) << good.err;
  must(providers({"remove", "hello"}));

  // A bad signature by a trusted key is refused whatever is trusted.
  for (const std::string trust : {"signed", "any"}) {
    configure(platform_->url(), platform_->ca_file(), "trust: " + trust + "\ntrusted_keys: [" + key + "]\n");
    std::ofstream(sums, std::ios::app) << "\n";
    const RunResult tampered = providers({"install", "hello"});
    EXPECT_EQ(tampered.exit_code, 1);
    EXPECT_TRUE(tampered.err.starts_with(begin)) << tampered.err;
    EXPECT_FALSE(fs::exists(installed()));
  }
  std::ofstream(sums.string() + ".minisig") << "nonsense";
  EXPECT_EQ(providers({"install", "hello"}).exit_code, 1);
}

// Everything was signed once, by a trusted key, and is not what was asked for.
TEST_F(ServedTest, RefusesWhatWasSignedForSomethingElse) {
  const auto minisign = [](Argv args) {
    args.insert(args.begin(), "minisign");
    must(test::run(args));
  };
  const std::string secret = (work_ / "key").string();
  minisign({"-G", "-W", "-f", "-p", secret + ".pub", "-s", secret});
  const std::string text = read_file(secret + ".pub");
  const auto sign = [&](const std::string& file) { minisign({"-S", "-s", secret, "-m", file}); };
  work_.write("hello.so", library("1.0.0"), 0755);
  sign((work_ / "hello.so").string());
  release("1.0.0", {{"hello.so.minisig", read_file(work_ / "hello.so.minisig")}});
  sign((registry() / "hello/1.0.0/SHA256SUMS").string());
  configure(platform_->url(), platform_->ca_file(),
            "trust: signed\ntrusted_keys: [" + text.substr(text.find('\n') + 1, 56) + "]\n");

  // The list of another version, and of another provider.
  const std::string sums = read_file(registry() / "hello/1.0.0/SHA256SUMS");
  const fs::path next = registry() / "hello/1.1.0";
  fs::copy(registry() / "hello/1.0.0", next);
  for (const std::string& platform : {arch(), other_arch()})
    fs::rename(next / package_name("1.0.0", platform), next / package_name("1.1.0", platform));
  announce("1.1.0");
  const std::string begin = "x hello is not installed: ";
  const std::string list = url() + "/hello/1.1.0/SHA256SUMS";
  refuses({"providers", "install", "hello"}, begin + list + " does not name " + package_name("1.1.0") + "\n");
  std::string others = sums;
  for (auto at = others.find("hello_1.0.0"); at != others.npos; at = others.find("hello_1.0.0"))
    others.replace(at, 11, "other_1.1.0");
  work_.write("registry/hello/1.1.0/SHA256SUMS", others, 0644);
  sign((next / "SHA256SUMS").string());
  refuses({"providers", "install", "hello"}, begin + list + " does not name " + package_name("1.1.0") + "\n");
  // A list that nobody signed, where nobody has to: what comes says of itself that it is old.
  fs::remove(next / "SHA256SUMS.minisig");
  write_sums("1.1.0");
  refuses({"providers", "install", "hello"},
          begin + list +
              ".minisig: there is no such file, and only signed providers are trusted (trust: signed)\n");
  configure(platform_->url(), platform_->ca_file());
  refuses({"providers", "install", "hello"}, begin + "the package " + list.substr(0, list.rfind('/') + 1) +
                                                 package_name("1.1.0") +
                                                 ": holds version 1.0.0 of hello, expected 1.1.0\n");
}

// ---- missing providers ----

TEST_F(ServedTest, BringsTheProviderThatACommandLacks) {
  const auto lacks = [&](const Argv& args) {
    const std::string before = listing(user_.home().path());
    const RunResult result = user_.run(args);
    EXPECT_EQ(result.exit_code, 2) << result.out << result.err;
    EXPECT_TRUE(
        result.err.starts_with("x no installed provider has a connector hello\n"
                               "  it may be the provider hello's: cnspec providers install hello; "
                               "installed are: "))
        << result.err;
    EXPECT_EQ(listing(user_.home().path()), before);
  };
  lacks({"discover", "--auto-update=false", "hello", "you"});
  lacks({"--auto-update=false", "discover", "hello", "you"});
  lacks({"discover", "hello", "you", "--auto-update=false"});
  user_.env["MONDOO_AUTO_UPDATE"] = "false";
  lacks({"discover", "hello", "you"});
  user_.env.erase("MONDOO_AUTO_UPDATE");
  configure(platform_->url(), platform_->ca_file(), "auto_update: false\n");
  lacks({"discover", "hello", "you"});
  configure(platform_->url(), platform_->ca_file());

  const RunResult found = user_.run({"discover", "hello", "you", "-o", "json"});
  EXPECT_EQ(found.exit_code, 0);
  EXPECT_TRUE(parsed(found.out).IsObject());
  EXPECT_EQ(found.err, "→ installed the provider hello 1.0.0, for its connector hello\n");
  EXPECT_EQ(read_file(installed()), library("1.0.0"));
}

TEST_F(ServedTest, SaysWhyTheInstalledOneMayNotRun) {
  must(providers({"install", "hello"}));
  const std::string why = "x the provider hello is installed and may not run: " + installed().string() +
                          ": is not signed, and only signed providers are trusted (trust: signed); expected "
                          "hello.so.minisig beside it, by one of the trusted keys: none\n"
                          "  name the public key of whoever signs it in trusted_keys of the configuration\n";
  refuses({"--trust", "signed", "--auto-update=false", "discover", "hello", "you"}, why);
  // Not even when the registry was to bring another, and could not.
  const RunResult result = user_.run({"--trust", "signed", "discover", "hello", "you"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(result.err.starts_with("! no other one could be installed in its place: " + url()))
      << result.err;
  EXPECT_TRUE(result.err.ends_with("\n" + why)) << result.err;
}

TEST_F(ServedTest, NoticesThatANameForIsolationIsMistyped) {
  must(providers({"install", "hello"}));
  const RunResult typo = user_.run({"discover", "hello", "you", "--isolation", "helo=process"});
  EXPECT_EQ(typo.exit_code, 0);
  EXPECT_EQ(typo.err, "! --isolation helo=process: no provider helo is installed; did you mean hello?\n");
  EXPECT_EQ(user_.run({"discover", "hello", "you", "--isolation", "hello=process"}).err, "");
}

TEST_F(ServedTest, AsksNobodyForWhatIsMistyped) {
  // The connector of the provider core is nobody's to name.
  const RunResult hidden = user_.run({"discover", "cofe", "--auto-update=false"});
  EXPECT_EQ(hidden.err.find("core"), hidden.err.npos) << hidden.err;

  const RunResult typo = user_.run({"discover", "loca"});
  EXPECT_EQ(typo.exit_code, 2);
  EXPECT_TRUE(typo.err.starts_with("x no installed provider has a connector loca; did you mean local?\n"))
      << typo.err;
  const RunResult unknown = user_.run({"discover", "zebra"});
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_TRUE(unknown.err.starts_with("x no installed provider has a connector zebra, and the registry " +
                                      url() + " has no provider zebra\n"))
      << unknown.err;
  EXPECT_EQ(count(asked(), "latest.json"), 1u);
  const RunResult down = user_.run({"discover", "zebra"});
  EXPECT_EQ(down.exit_code, 1);
  EXPECT_TRUE(
      down.err.starts_with("x no installed provider has a connector zebra, and the provider zebra could "
                           "not be installed: GET " +
                           url() + "/latest.json: could not connect to "))
      << down.err;
  user_.home().write(".config/mondoo/mondoo.yml", "");
  const RunResult nowhere = user_.run({"discover", "zebra"});
  EXPECT_EQ(nowhere.exit_code, 2);
  EXPECT_NE(nowhere.err.find("cnspec providers install zebra --registry URL"), nowhere.err.npos)
      << nowhere.err;
}

// ---- a registry that fails ----

class FaultyTest : public RegistryTest {
 protected:
  FaultyTest() {
    release("1.0.0");
    server_.emplace([this](const HttpRequest& request) { return answer(request); },
                    authority_.issue({"127.0.0.1"}));
    ca_file_ = work_.write("ca.pem", authority_.pem()).string();
    configure(server_->url(), ca_file_);
  }

  // As a web server does it that knows no ranges, unless a test says otherwise.
  HttpResponse answer(const HttpRequest& request) {
    const std::lock_guard lock(mutex_);
    if (const auto found = instead_.find(request.path()); found != instead_.end())
      return found->second(request);
    const fs::path file = registry() / fs::path(request.path()).lexically_relative("/providers");
    if (!fs::is_regular_file(file))
      return {.status = 404, .body = request.method == "HEAD" ? "" : "not here\n"};
    return {.headers = {{"ETag", "\"1\""}}, .body = request.method == "HEAD" ? "" : read_file(file)};
  }
  void instead(const std::string& path, HttpServer::Handler handler) {
    const std::lock_guard lock(mutex_);
    instead_[path] = std::move(handler);
  }
  void always(const std::string& path, const HttpResponse& response) {
    instead(path, [response](const HttpRequest&) { return response; });
  }
  std::vector<HttpRequest> requests_of(const std::string& path) const {
    std::vector<HttpRequest> out;
    for (const HttpRequest& request : server_->requests()) {
      if (request.path() == path) out.push_back(request);
    }
    return out;
  }
  std::string url() const { return server_->url() + "/providers"; }
  void refuses_install(const std::string& error, Argv more = {}) {
    more.insert(more.begin(), {"providers", "install", "hello"});
    refuses(more, "x hello is not installed: " + error);
    EXPECT_FALSE(fs::exists(dir()));
  }

  std::mutex mutex_;
  std::map<std::string, HttpServer::Handler> instead_;  // under the mutex: the server asks on its thread
  CertificateAuthority authority_;
  std::optional<HttpServer> server_;
  std::string ca_file_;
};

TEST_F(FaultyTest, TellsWhatCameInPlaceOfTheList) {
  const std::string latest = url() + "/latest.json";
  const std::string hint =
      "\n  is it the address of a registry, and is no login page of this network in between?\n";
  const std::string html = "<html><body>404</body></html>";
  const auto when = [&](const HttpResponse& response, const std::string& error) {
    always("/providers/latest.json", response);
    refuses_install(error);
  };
  when({.status = 404, .headers = {{"Content-Type", "text/html"}}, .body = html},
       latest + ": there is no such file (HTTP status 404, with a page of HTML)\n");
  when({.status = 404, .body = "no"}, latest + ": there is no such file (HTTP status 404)\n");
  when({.status = 403}, latest + ": the registry does not hand it out (HTTP status 403)\n");
  when({.status = 500}, latest + ": the registry could not answer (HTTP status 500)\n");
  when({.body = html}, latest + ": expected JSON with a list of \"providers\", found a page of HTML" + hint);
  when({.body = "[1]"}, latest + ": expected JSON with a list of \"providers\", found other JSON" + hint);
  when({.body = std::string(2 << 20, ' ')}, "GET " + latest + ": the answer has more than 1048576 bytes\n");
  when({.status = 302, .headers = {{"Location", "https://login.example.com/?hunter2"}}},
       latest +
           " redirects to https://login.example.com/ (HTTP 302), which is not followed\n"
           "  is a login page of this network in between? If not, set the address that is meant\n");
  when({.body = R"({"providers":[]})", .fault = Fault::kCut},
       "GET " + latest + ": the answer of 127.0.0.1:" + std::to_string(server_->port()) + " was cut off\n");
  always("/providers/latest.json", {.body = "{\"providers\"\xff"});
  EXPECT_EQ(providers({"install", "hello"}).exit_code, 1);
}

TEST_F(FaultyTest, EveryRequestSaysByWhichIdAndWithWhichFeaturesAndNothingOfThisMachine) {
  user_.env["MONDOO_FEATURES"] = "massqueries noSerialNumberAsID";
  must(providers({"install", "hello"}));
  // The rest is asked for by another request.
  const std::string package = read_file(this->package("1.0.0"));
  instead(target("1.0.0"), [&](const HttpRequest& request) -> HttpResponse {
    if (request.header("range").empty())
      return {.headers = {{"ETag", "\"1\""}}, .body = package, .fault = Fault::kCut};
    const std::string half = std::to_string(package.size() / 2), end = std::to_string(package.size() - 1);
    return {
        .status = 206,
        .headers = {{"Content-Range", "bytes " + half + "-" + end + "/" + std::to_string(package.size())}},
        .body = package.substr(package.size() / 2)};
  });
  fs::remove_all(dir());
  must(providers({"install", "--url", server_->url() + target("1.0.0")}));
  must(providers({"lock", "hello"}));
  must(providers({"mirror", (work_ / "mirror").string()}));
  std::set<std::string> ids;
  for (const HttpRequest& request : server_->requests()) {
    EXPECT_TRUE(ids.insert(request.header("x-request-id")).second) << request.target;
    EXPECT_TRUE(std::regex_match(request.header("x-request-id"),
                                 std::regex("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")))
        << request.target;
    EXPECT_EQ(request.header("mondoo-features"), "AQcKCw4=") << request.target;  // 1, 7, 10, 11, 14
    EXPECT_TRUE(
        std::regex_match(request.header("user-agent"), std::regex("PN/linux build/[!-~]+ cnspec/[!-~]+")))
        << request.header("user-agent");
    EXPECT_EQ(request.header("authorization"), "");
  }
  EXPECT_GE(ids.size(), 8u);
}

TEST_F(FaultyTest, ShowsTheIdOfAFailedRequest) {
  for (const std::string& path : {std::string("/providers/latest.json"), target("1.0.0"),
                                  std::string("/providers/hello/1.0.0/SHA256SUMS")}) {
    always(path, {.status = 500});
    const RunResult result = providers({"install", "hello"});
    EXPECT_TRUE(result.err.ends_with(":" + std::to_string(server_->port()) + " knows this request as " +
                                     requests_of(path).back().header("x-request-id") + "\n"))
        << result.err;
    const std::lock_guard lock(mutex_);
    instead_.clear();
  }
}

TEST_F(FaultyTest, SaysThatTheRegistryIsNotThere) {
  const std::string before = url();
  server_.reset();
  const RunResult down = providers({"install", "hello"});
  EXPECT_EQ(down.exit_code, 1);
  EXPECT_TRUE(
      down.err.starts_with("x hello is not installed: GET " + before + "/latest.json: could not connect to "))
      << down.err;
  EXPECT_FALSE(fs::exists(dir()));
  user_.home().write(".config/mondoo/mondoo.yml", "");
  refuses({"providers", "update"},
          "x no registry of providers is known\n"
          "  name one by --registry URL, or by providers_url in the configuration\n",
          78);
}

TEST_F(FaultyTest, ShowsNoPasswordOfAnAddress) {
  const auto hides = [&](const Argv& args, int code) {
    const RunResult result = user_.run(args);
    EXPECT_EQ(result.exit_code, code) << result.err;
    EXPECT_NE(result.err, "");
    EXPECT_EQ(result.err.find("hunter2"), result.err.npos) << result.err;
  };
  const std::string host = "me:hunter2@" + server_->url().substr(server_->url().find("//") + 2);
  for (const char* scheme : {"https://", "http://", ""})
    hides({"providers", "install", "hello", "--registry", scheme + host}, 2);
  for (const char* scheme : {"https://", "http://", "ftp://"})
    hides({"providers", "install", "--url", scheme + host + "/" + package_name("1.0.0")}, 2);
  configure(server_->url(), ca_file_, "providers_url: https://" + host + "\n");
  hides({"providers", "update"}, 78);
  hides({"discover", "zebra"}, 2);
  EXPECT_TRUE(server_->requests().empty());
}

TEST_F(FaultyTest, TakesAFolderByItsUrlAlone) {
  refuses({"providers", "install", "hello", "--registry", "/srv/mirror/"},
          "x --registry: expected https://..., or file:///FOLDER, found /srv/mirror\n"
          "  of a folder it is file:///srv/mirror\n",
          2);
}

TEST_F(FaultyTest, GivesUpWhenNothingComes) {
  const std::string where = "GET " + url() + "/";
  always("/providers/latest.json", {.fault = Fault::kSilence});
  const RunResult silent = providers({"install", "hello", "--max-silence", "100ms"});
  EXPECT_EQ(silent.exit_code, 1);
  EXPECT_TRUE(silent.err.starts_with("x hello is not installed: " + where + "latest.json: timed out after "))
      << silent.err;
  always("/providers/latest.json", {.body = read_file(registry() / "latest.json")});
  always(target("1.0.0"), {.fault = Fault::kSilence});
  const std::string package = where + "hello/1.0.0/" + package_name("1.0.0");
  refuses_install(package + ": nothing came for 1s, waiting for the answer\n", {"--max-silence", "1s"});
  const RunResult limited = providers({"install", "hello", "--timeout", "1s"});
  EXPECT_EQ(limited.exit_code, 1);
  EXPECT_NE(limited.err.find(package + ": timed out after "), limited.err.npos) << limited.err;
}

// Time passes as the server wants it: 25 seconds with each answer, which is a part of the whole.
class SlowTest : public FaultyTest {
 protected:
  SlowTest() {
    user_.env["LD_PRELOAD"] = WRONG_CLOCK;
    user_.env["PASSED"] = passed_.string();
  }
  void trickle(const std::string& version, std::size_t step) {
    instead(target(version), [this, step](const HttpRequest& request) -> HttpResponse {
      constexpr std::size_t kWhole = 100 << 20;
      work_.write("passed.next", std::to_string(now_ += 25));
      fs::rename(work_ / "passed.next", passed_);
      const std::string range = request.header("range");
      const std::size_t at = range.empty() ? 0 : std::stoul(range.substr(6));
      const std::string place =
          "bytes " + std::to_string(at) + "-" + std::to_string(kWhole - 1) + "/" + std::to_string(kWhole);
      const std::string head =
          (at == 0 ? std::string("HTTP/1.1 200 OK\r\n")
                   : "HTTP/1.1 206 Partial Content\r\nContent-Range: " + place + "\r\n") +
          "ETag: \"1\"\r\nContent-Length: " + std::to_string(kWhole - at) + "\r\n\r\n";
      return {.body = head + std::string(step, 'x'), .fault = Fault::kRaw};
    });
  }

 private:
  const fs::path passed_ = work_.write("passed", "0");
  int now_ = 0;  // of the server's thread
};

TEST_F(SlowTest, GivesUpWhenTooLittleComes) {
  must(providers({"install", "hello"}));
  must(providers({"lock", "hello"}));
  fs::rename(lock(), work_ / "kept.lock");
  release("1.1.0");
  trickle("1.0.0", 100);
  trickle("1.1.0", 100);
  const std::string before = listing(user_.home().path());
  const auto gives_up = [&](const Argv& args, const std::string& begin) {
    const RunResult result = providers(args);
    EXPECT_EQ(result.exit_code, 1) << result.out;
    EXPECT_TRUE(result.err.starts_with(begin + "the download broke off after 200 of 104857600 bytes: "))
        << result.err;
    EXPECT_NE(result.err.find(".tar.xz: it comes too slowly: 300 bytes in 1m"), result.err.npos)
        << result.err;
    EXPECT_TRUE(result.err.ends_with("s, expected 1024 a second at least\n")) << result.err;
    EXPECT_EQ(listing(user_.home().path()), before);
  };
  gives_up({"install", "hello"}, "x hello is not installed: ");
  gives_up({"update"}, "x hello 1.0.0 is not updated to 1.1.0: ");
  gives_up({"lock", "hello"}, "x ");
  gives_up({"install", "--url", server_->url() + target("1.1.0")}, "x ");
  user_.env["MONDOO_PROVIDERS_LOCK"] = (work_ / "kept.lock").string();
  gives_up({"mirror", (work_ / "mirror").string()}, "x the mirror is not complete: ");
}

TEST_F(SlowTest, GivesUpWhatNobodyAskedFor) {
  const auto gives_up = [&] {
    const RunResult result = user_.run({"discover", "hello", "you"});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_TRUE(
        result.err.starts_with("x no installed provider has a connector hello, and the provider hello could "
                               "not be installed: the download broke off after "))
        << result.err;
    EXPECT_FALSE(fs::exists(dir()));
    return result.err;
  };
  trickle("1.0.0", 100);
  const std::string slow = gives_up();
  EXPECT_NE(slow.find(": it comes too slowly: 300 bytes in 1m"), slow.npos) << slow;
  trickle("1.0.0", 100'000);
  const std::size_t asked = requests_of(target("1.0.0")).size();
  const std::string endless = gives_up();
  EXPECT_NE(endless.find(": there is no time left to go on: "), endless.npos) << endless;
  EXPECT_LE(requests_of(target("1.0.0")).size(), asked + 25);
}

TEST_F(FaultyTest, LeavesNothingBehindWhenItIsInterrupted) {
  always(target("1.0.0"), {.body = std::string(1 << 20, 'x'), .fault = Fault::kDrip});
  const std::string before = listing(user_.home().path());
  for (const int signal : {SIGINT, SIGTERM, SIGKILL}) {
    const std::size_t asked = server_->requests().size();
    Process process = user_.start({"providers", "install", "hello"});
    server_->wait_for_requests(asked + 4);  // what is newest, two files of checksums, and the package
    EXPECT_EQ(server_->requests().back().path(), target("1.0.0"));
    process.signal(signal);
    EXPECT_EQ(process.wait().signal, signal);
    EXPECT_EQ(listing(user_.home().path()), before);
  }
}

TEST_F(FaultyTest, GoesOnAsOftenAsItGetsFurther) {
  const std::string text = read_file(package("1.0.0"));
  std::size_t at = 0;
  const std::size_t step = text.size() / 4 + 1;
  instead(target("1.0.0"), [&, at](const HttpRequest& request) mutable -> HttpResponse {
    const std::string range = request.header("range");
    EXPECT_EQ(range, at == 0 ? "" : "bytes=" + std::to_string(at) + "-");
    const std::string part = text.substr(at, step);
    const std::string place = "bytes " + std::to_string(at) + "-" + std::to_string(text.size() - 1) + "/" +
                              std::to_string(text.size());
    const std::string head = (at == 0 ? std::string("HTTP/1.1 200 OK\r\n")
                                      : "HTTP/1.1 206 Partial Content\r\nContent-Range: " + place + "\r\n") +
                             "ETag: \"1\"\r\nContent-Length: " + std::to_string(text.size() - at) +
                             "\r\n\r\n";
    at += part.size();
    return {.body = head + part, .fault = Fault::kRaw};  // closes before all of it came
  });
  must(providers({"install", "hello"}));
  EXPECT_EQ(requests_of(target("1.0.0")).size(), 4u);
  EXPECT_EQ(read_file(installed()), library("1.0.0"));
}

TEST_F(FaultyTest, GoesOnWhereTheDownloadBrokeOff) {
  const std::string text = read_file(package("1.0.0"));
  int asked = 0;
  instead(target("1.0.0"), [&](const HttpRequest& request) -> HttpResponse {
    if (++asked == 1) return {.headers = {{"ETag", "\"1\""}}, .body = text, .fault = Fault::kCut};
    const std::size_t from = std::stoul(request.header("range").substr(6));
    return {.status = 206,
            .headers = {{"Content-Range", "bytes " + std::to_string(from) + "-" +
                                              std::to_string(text.size() - 1) + "/" +
                                              std::to_string(text.size())}},
            .body = text.substr(from)};
  });
  must(providers({"install", "hello"}));
  const auto requests = requests_of(target("1.0.0"));
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(requests[0].header("range"), "");
  EXPECT_NE(requests[1].header("range"), "bytes=0-");
  EXPECT_EQ(requests[1].header("if-range"), "\"1\"");
  EXPECT_EQ(read_file(installed()), library("1.0.0"));
}

TEST_F(FaultyTest, BeginsAnewWhenTheFileHasChangedMeanwhile) {
  int asked = 0;
  instead(target("1.0.0"), [&](const HttpRequest&) -> HttpResponse {
    const bool first = ++asked == 1;
    return {.headers = {{"ETag", first ? "\"old\"" : "\"new\""}},
            .body = first ? std::string(200'000, 'x') : read_file(package("1.0.0")),
            .fault = first ? Fault::kCut : Fault::kNone};
  });
  must(providers({"install", "hello"}));
  EXPECT_EQ(requests_of(target("1.0.0")).size(), 2u);
  EXPECT_EQ(read_file(installed()), library("1.0.0"));
}

TEST_F(FaultyTest, GivesUpADownloadThatGetsNoFurther) {
  const std::string text = read_file(package("1.0.0"));
  always(target("1.0.0"), {.body = text, .fault = Fault::kCut});
  const std::string where = url() + "/hello/1.0.0/" + package_name("1.0.0");
  const RunResult result = providers({"install", "hello"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_TRUE(result.err.starts_with("x hello is not installed: the download broke off after "))
      << result.err;
  EXPECT_NE(result.err.find(" of " + std::to_string(text.size()) + " bytes: GET " + where), result.err.npos)
      << result.err;
  EXPECT_FALSE(fs::exists(dir()));
  EXPECT_LE(requests_of(target("1.0.0")).size(), 4u);
}

TEST_F(FaultyTest, RefusesPackagesThatCannotBe) {
  const std::string where = url() + "/hello/1.0.0/" + package_name("1.0.0");
  const auto when = [&](const HttpResponse& response, const std::string& error) {
    always(target("1.0.0"), response);
    refuses_install(error);
  };
  when({.body = "HTTP/1.1 200 OK\r\nContent-Length: 629145600\r\n\r\nx", .fault = Fault::kRaw},
       where + ": it has more than 536870912 bytes\n");
  when({.status = 500}, where + ": the registry could not answer (HTTP status 500)\n");
  when({.status = 503, .headers = {{"Content-Type", "text/html"}}, .body = std::string(100'000, '<')},
       where + ": the registry could not answer (HTTP status 503, with a page of HTML)\n");
  when({.status = 404, .headers = {{"Content-Type", "text/html"}}, .body = "<html>"},
       "the registry " + url() + " has no hello 1.0.0 for " + here() + "\n");
  const std::string empty_hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  always(target("1.0.0"), {.body = ""});
  const RunResult empty = providers({"install", "hello"});
  EXPECT_EQ(empty.exit_code, 1);
  EXPECT_NE(empty.err.find(empty_hash), empty.err.npos) << empty.err;
  always(target("1.0.0"), {.status = 206, .headers = {{"Content-Range", "bytes 5-9/10"}}, .body = "12345"});
  refuses_install(where + ": asked for what follows byte 0, the registry sent something else\n");
  EXPECT_FALSE(fs::exists(dir()));
}

TEST_F(FaultyTest, TrustsNobodyOnTheWay) {
  const HttpServer plain([this](const HttpRequest& request) { return answer(request); });
  const std::string base = plain.url() + "/providers";
  refuses({"providers", "install", "hello", "--registry", base},
          "x hello is not installed: the registry " + base +
              " is asked without TLS, so anybody on the way can answer in its place\n"
              "  use https, pin what is to be installed in a lock file, or trust the key that signs its "
              "SHA256SUMS\n");
  must(providers({"lock", "hello"}));
  must(providers({"install", "hello", "--registry", base}));
}

TEST_F(FaultyTest, UndoesNoLockFileThatAnotherWroteMeanwhile) {
  must(providers({"lock", "hello"}));
  const std::string ours = read_file(lock());
  const std::string theirs = replaced(ours, here(), "plan9/mips");
  release("1.1.0");
  for (const std::string& before : {ours, std::string()}) {
    before.empty() ? (void)fs::remove(lock())
                   : (void)user_.home().write(".config/mondoo/providers.lock", before, 0644);
    instead(target("1.1.0"), [&](const HttpRequest&) -> HttpResponse {
      user_.home().write(".config/mondoo/providers.lock", theirs, 0644);
      return {.body = read_file(package("1.1.0"))};
    });
    const RunResult result = providers({"lock", "hello"});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.err, "x the lock file cannot be written: " + lock().string() +
                              " has been changed meanwhile\n  run the command again\n");
    EXPECT_EQ(read_file(lock()), theirs);
  }
}

TEST_F(FaultyTest, TellsEachProviderThatCouldNotBeUpdated) {
  must(providers({"install", "hello"}));
  release("1.5.0");
  always(target("1.5.0"), {.status = 500});
  const std::string before = listing(dir());
  const RunResult text = providers({"update"});
  EXPECT_EQ(text.exit_code, 1);
  EXPECT_EQ(without_request_ids(text.err), "x hello 1.0.0 is not updated to 1.5.0: " + url() +
                                               "/hello/1.5.0/" + package_name("1.5.0") +
                                               ": the registry could not answer (HTTP status 500)\n");
  const RunResult result = providers({"update", "-o", "json"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_STREQ(parsed(result.out)["updates"][0]["outcome"].GetString(), "failed");
  EXPECT_EQ(listing(dir()), before);
}

// ---- a kill at any moment ----

// Each command is killed wherever it begins to change a file; a whole run after it finds old or new, and
// leaves nothing of what was begun.
class RegistryCrashTest : public RegistryTest {
 protected:
  RegistryCrashTest() {
    user_.env["ASAN_OPTIONS"] = "detect_leaks=0";  // it cannot look for them in what is traced
    configure("https://127.0.0.1:1", work_.write("ca.pem", ""));
    const std::string secret = (work_ / "key").string();
    must(test::run({"minisign", "-G", "-W", "-f", "-p", secret + ".pub", "-s", secret}));
    const auto release = [&](const std::string& version) {
      RegistryTest::release(version);
      must(test::run(
          {"minisign", "-S", "-s", secret, "-m", (registry() / "hello" / version / "SHA256SUMS").string()}));
    };
    release("1.0.0");
    must(local({"lock", "hello"}));
    old_ = read_file(lock());
    must(local({"install"}));
    fs::rename(lock(), work_ / "old.lock");
    release("1.2.0");
    must(local({"lock", "hello@1.2.0"}));
    new_ = read_file(lock());
    fs::remove(lock());
    fs::copy(dir(), work_ / "before", fs::copy_options::recursive);
  }
  RunResult local(Argv args) const {
    args.insert(args.begin(), "providers");
    args.insert(args.end(), {"--registry", "file://" + registry().string()});
    return user_.run(args);
  }
  bool killed_at_change(int stop, Argv args) const {
    args.insert(args.begin(), {program("cnspec"), "providers"});
    args.insert(args.end(), {"--registry", "file://" + registry().string()});
    std::vector<char*> argv;
    for (std::string& arg : args) argv.push_back(arg.data());
    argv.push_back(nullptr);
    const auto work = [&] {
      for (const auto& [name, value] : user_.env) {
        value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
      }
      const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
      for (const int fd : {0, 1, 2}) ::dup2(null, fd);
      ::execv(argv[0], argv.data());
      return false;
    };
    const bool killed = killed_at(stop, work, changes_files);
    // What was unpacked to be looked at lies where everybody's rubbish does, whoever is killed.
    for (const auto& entry : fs::directory_iterator(work_ / "tmp")) {
      EXPECT_TRUE(entry.path().filename().string().starts_with("cnspec-"));
      fs::remove_all(entry.path());
    }
    return killed;
  }
  void pin(const std::string& text) const { user_.home().write(".config/mondoo/providers.lock", text, 0644); }
  static std::vector<std::string> names(const fs::path& folder) {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(folder)) out.push_back(entry.path().filename());
    std::sort(out.begin(), out.end());
    return out;
  }

  std::string old_, new_;  // lock files
};
using Names = std::vector<std::string>;

TEST_F(RegistryCrashTest, KilledWhileLockingTheFileIsTheOldOrTheNew) {
  std::map<std::string, int> seen;
  for (int stop = 1;; stop += kStride) {
    pin(old_);
    const bool killed = killed_at_change(stop, {"lock", "hello"});
    const std::string now = read_file(lock());
    ++seen[now];
    ASSERT_TRUE(now == old_ || now == new_) << stop << ": " << now;
    must(local({"lock", "hello"}));
    ASSERT_EQ(read_file(lock()), new_);
    ASSERT_EQ(names(lock().parent_path()), (Names{"mondoo.yml", "providers.lock"})) << stop;
    if (!killed) break;
  }
  EXPECT_GT(seen[old_], 5 / kStride);
  EXPECT_GE(seen[new_], 1);
}

TEST_F(RegistryCrashTest, KilledWhileUpdatingItIsTheOldOrTheNew) {
  std::map<std::string, int> seen;
  for (int stop = 1;; stop += kStride) {
    fs::remove_all(dir());
    fs::copy(work_ / "before", dir(), fs::copy_options::recursive);
    const bool killed = killed_at_change(stop, {"update"});
    const RunResult list = providers({"list", "-o", "json"});
    ASSERT_EQ(parsed(list.out)["refused"].Size(), 0u) << list.out;
    const std::string now = read_file(installed());
    ++seen[now];
    ASSERT_TRUE(now == library("1.0.0") || now == library("1.2.0")) << stop;
    must(local({"update"}));
    must(local({"install", "hello"}));  // whoever has nothing to change puts nothing right
    ASSERT_EQ(read_file(installed()), library("1.2.0"));
    ASSERT_EQ(names(dir()), (Names{".hello.previous", "hello"})) << stop;
    ASSERT_EQ(read_file(dir() / ".hello.previous/hello.so"), library("1.0.0"));
    if (!killed) break;
  }
  EXPECT_GT(seen[library("1.0.0")], 5 / kStride);
  EXPECT_GE(seen[library("1.2.0")], 1);
}

TEST_F(RegistryCrashTest, KilledWhileMirroringEachFileIsTheOldOrTheNew) {
  const fs::path mirror = work_ / "mirror";
  pin(new_);
  must(local({"mirror", mirror.string()}));
  std::map<std::string, std::size_t> whole;  // with both versions
  pin(old_);
  must(local({"mirror", mirror.string()}));
  const auto files = [&] {
    std::map<std::string, std::size_t> out;
    for (const auto& entry : fs::recursive_directory_iterator(mirror)) {
      if (entry.is_regular_file())
        out[entry.path().lexically_relative(mirror)] = std::hash<std::string>()(read_file(entry.path()));
    }
    return out;
  };
  whole = files();
  ASSERT_EQ(whole.size(), 7u);
  for (int stop = 1;; stop += kStride) {
    fs::remove_all(mirror);
    pin(old_);
    const bool killed = killed_at_change(stop, {"mirror", mirror.string()});
    // The next one has another version to mirror.
    pin(new_);
    if (fs::exists(mirror)) {
      for (const auto& [name, contents] : files()) {
        if (name.ends_with(".tmp")) continue;
        ASSERT_EQ(contents, whole[name]) << stop << ": " << name;
      }
    }
    must(local({"mirror", mirror.string()}));
    for (const auto& [name, contents] : files()) ASSERT_TRUE(whole.contains(name)) << stop << ": " << name;
    pin(old_);
    must(local({"mirror", mirror.string()}));
    ASSERT_EQ(files(), whole) << stop;
    if (!killed) break;
  }
}

}  // namespace
}  // namespace cnspec::test
