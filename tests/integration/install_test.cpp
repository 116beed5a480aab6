// Packages made by the real tar, put into place, taken out and put back: what is refused and in which words,
// and that nothing on disk changes then; what a kill at any moment leaves.
#include "provider/install.hpp"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <rapidjson/document.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "auth/crypto.hpp"
#include "support/cnspec.hpp"
#include "support/http_server.hpp"
#include "support/killed.hpp"

namespace cnspec::test {
namespace {

namespace fs = std::filesystem;

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  EXPECT_EQ(from.size(), to.size());
  const auto at = text.find(from);
  EXPECT_NE(at, text.npos) << from;
  return at == text.npos ? text : text.replace(at, from.size(), to);
}

// The example provider, as if it were another version of itself.
std::string library(const std::string& version = "1.0.0") {
  static const std::string original = read_file(EXAMPLE_PROVIDER);
  return replaced(original, R"("version":"1.0.0")", R"("version":")" + version + '"');
}

void must(const RunResult& result) { ASSERT_EQ(result.exit_code, 0) << result.out << result.err; }

std::string hex_sha256(const fs::path& file) {
  const RunResult result = test::run({"sha256sum", file.string()});
  return result.out.substr(0, 64);
}

void compress(const fs::path& file) {
  const RunResult result = test::run({"xz", "-c", file.string()});
  must(result);
  std::ofstream(file, std::ios::binary) << result.out;
}

// Every file and folder below, with its mode and contents.
std::string listing(const fs::path& folder) {
  std::vector<std::string> lines;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    struct stat info {};
    EXPECT_EQ(::lstat(entry.path().c_str(), &info), 0);
    std::ostringstream line;
    line << entry.path().lexically_relative(folder).string() << ' ' << std::oct << info.st_mode << ' ';
    if (S_ISREG(info.st_mode)) line << std::hash<std::string>()(read_file(entry.path()));
    lines.push_back(line.str());
  }
  std::sort(lines.begin(), lines.end());
  std::string out;
  for (const std::string& line : lines) out += line + "\n";
  return out;
}

std::vector<std::string> entries(const fs::path& folder) {
  std::vector<std::string> out;
  for (const auto& entry : fs::directory_iterator(folder)) out.push_back(entry.path().filename());
  std::sort(out.begin(), out.end());
  return out;
}

using Names = std::vector<std::string>;

class InstallTest : public testing::Test {
 protected:
  // Where providers go: the first folder of PROVIDERS_PATH, so that it is the same for root and others.
  InstallTest() { user_.env["PROVIDERS_PATH"] = dir().string(); }

  fs::path dir() const { return user_.home() / "providers"; }
  fs::path installed() const { return dir() / "hello/hello.so"; }

  // tar, given a folder with these files.
  fs::path pack(const std::string& name, const std::map<std::string, std::string>& files,
                Argv options = {"-cJf"}, Argv members = {}) {
    const fs::path folder = work_ / ("in-" + std::to_string(++packed_));
    fs::create_directories(folder);
    for (const auto& [file, text] : files) work_.write(folder.filename().string() + "/" + file, text, 0644);
    if (members.empty())
      for (const auto& [file, text] : files) members.push_back(file);
    return tar(name, folder, std::move(options), members);
  }
  fs::path tar(const std::string& name, const fs::path& folder, Argv options, const Argv& members) {
    const fs::path file = work_ / ("out-" + std::to_string(++packed_)) / name;
    fs::create_directories(file.parent_path());
    Argv argv = {"tar", "-C", folder.string()};
    argv.insert(argv.end(), options.begin(), options.end());
    argv.push_back(file.string());
    argv.insert(argv.end(), members.begin(), members.end());
    must(test::run(argv));
    return file;
  }
  static std::string name_of(const std::string& version) {
    return "hello_" + version + "_linux_" + arch() + ".tar.xz";
  }
  static std::string arch() { return std::string(provider::this_arch()); }
  fs::path good(const std::string& version = "1.0.0") {
    return pack(name_of(version), {{"hello.so", library(version)}});
  }

  RunResult install(const fs::path& file, Argv more = {}) const {
    Argv args = {"providers", "install", "--file", file.string()};
    args.insert(args.end(), more.begin(), more.end());
    return user_.run(args);
  }

  // Refused with this, behind the name of the package; nothing changed.
  void refuses(const fs::path& file, const std::string& why, const Argv& more = {},
               const std::string& hint = "") {
    const std::string before = listing(user_.home().path());
    const RunResult result = install(file, more);
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(result.err, "x the package " + file.string() + ": " + why + "\n" +
                              (hint.empty() ? "" : "  " + hint + "\n"));
    EXPECT_EQ(listing(user_.home().path()), before);
  }

  User user_;
  TempDir work_;
  int packed_ = 0;
};

// ---- what works ----

TEST_F(InstallTest, PutsAPackageIntoPlace) {
  const fs::path file = good();
  const RunResult result = install(file);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, "→ installed hello 1.0.0 (unsigned) as " + installed().string() + "\n");
  EXPECT_EQ(result.err, "");
  EXPECT_EQ(read_file(installed()), library());
  EXPECT_EQ(entries(dir()), Names{"hello"});
  EXPECT_EQ(entries(dir() / "hello"), Names{"hello.so"});
  struct stat info {};
  ASSERT_EQ(::stat((dir() / "hello").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777u, 0755u);
  ASSERT_EQ(::stat(installed().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777u, 0755u);

  const RunResult hello = user_.run({"discover", "hello", "you"});
  EXPECT_EQ(hello.exit_code, 0) << hello.err;

  const RunResult again = install(file);
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_EQ(again.out, "→ hello 1.0.0 is there already: " + installed().string() + "\n");
  EXPECT_EQ(entries(dir()), Names{"hello"});
}

TEST_F(InstallTest, KeepsTheVersionBeforeAndPutsItBack) {
  must(install(good("1.0.0")));
  const RunResult update = install(good("2.0.0"));
  EXPECT_EQ(update.out, "→ installed hello 2.0.0 (unsigned) as " + installed().string() +
                            "\n→ 1.0.0 is kept; to have it back: cnspec providers rollback hello\n");
  EXPECT_EQ(read_file(installed()), library("2.0.0"));
  EXPECT_EQ(entries(dir()), (Names{".hello.previous", "hello"}));

  const std::string before = listing(dir());
  const RunResult dry = user_.run({"providers", "rollback", "hello", "--dry-run"});
  EXPECT_EQ(dry.out, "→ would put back hello 1.0.0 in " + installed().string() +
                         "\n→ 2.0.0 would be kept; another rollback puts it in place again\n");
  EXPECT_EQ(listing(dir()), before);

  const RunResult back = user_.run({"providers", "rollback", "hello"});
  EXPECT_EQ(back.exit_code, 0);
  EXPECT_EQ(back.out, "→ put back hello 1.0.0 in " + installed().string() +
                          "\n→ 2.0.0 is kept; another rollback puts it in place again\n");
  EXPECT_EQ(read_file(installed()), library("1.0.0"));
  must(user_.run({"providers", "rollback", "hello"}));
  EXPECT_EQ(read_file(installed()), library("2.0.0"));
  EXPECT_EQ(listing(dir()), before);

  must(install(good("3.0.0")));
  EXPECT_EQ(read_file(installed()), library("3.0.0"));
  EXPECT_EQ(read_file(dir() / ".hello.previous/hello.so"), library("2.0.0"));
}

TEST_F(InstallTest, RemovesAProviderAndAllThatIsKeptOfIt) {
  must(install(good("1.0.0")));
  must(install(good("2.0.0")));
  const std::string before = listing(dir());
  const std::string files =
      "  " + (dir() / "hello").string() + "\n  " + (dir() / ".hello.previous").string() + "\n";
  EXPECT_EQ(user_.run({"providers", "remove", "hello", "--dry-run"}).out,
            "→ would remove hello 2.0.0\n" + files);
  EXPECT_EQ(listing(dir()), before);
  const RunResult removed = user_.run({"providers", "remove", "hello"});
  EXPECT_EQ(removed.exit_code, 0);
  EXPECT_EQ(removed.out, "→ removed hello 2.0.0\n" + files);
  EXPECT_EQ(entries(dir()), Names{});
  const RunResult again = user_.run({"providers", "remove", "hello"});
  EXPECT_EQ(again.exit_code, 1);
  EXPECT_EQ(again.err, "x there is no provider hello in " + dir().string() + "\n");
}

TEST_F(InstallTest, PassesOverWhatTheExistingToolNeeds) {
  must(install(pack(name_of("1.0.0"),
                    {{"hello.so", library()}, {"hello.json", "{}"}, {"hello.resources.json", "{}"}})));
  EXPECT_EQ(entries(dir() / "hello"), Names{"hello.so"});
}

TEST_F(InstallTest, SaysTheSameInJson) {
  const fs::path file = good();
  const RunResult dry = install(file, {"--dry-run", "-o", "json"});
  EXPECT_EQ(dry.exit_code, 0) << dry.err;
  EXPECT_FALSE(fs::exists(dir()));
  EXPECT_EQ(dry.out,
            "{\n  \"installed\": [\n    {\n      \"name\": \"hello\",\n      \"version\": \"1.0.0\",\n"
            "      \"path\": \"" +
                installed().string() +
                "\",\n      \"signer\": {\n        \"state\": \"unsigned\"\n      },\n      \"sha256\": \"" +
                hex_sha256(file) + "\",\n      \"unchanged\": false\n    }\n  ],\n  \"dryRun\": true\n}\n");
  must(install(file));
  must(install(good("2.0.0")));
  const auto parse = [](const RunResult& result) {
    EXPECT_EQ(result.exit_code, 0) << result.err;
    rapidjson::Document out;
    EXPECT_FALSE(out.Parse(result.out.c_str()).HasParseError()) << result.out;
    return out;
  };
  const auto back = parse(user_.run({"providers", "rollback", "hello", "-o", "json"}));
  EXPECT_STREQ(back["rolledBack"][0]["version"].GetString(), "1.0.0");
  EXPECT_STREQ(back["rolledBack"][0]["before"].GetString(), "2.0.0");
  EXPECT_FALSE(back["dryRun"].GetBool());
  const auto removed = parse(user_.run({"providers", "remove", "hello", "-o", "json"}));
  EXPECT_STREQ(removed["removed"][0]["version"].GetString(), "1.0.0");
  EXPECT_EQ(removed["removed"][0]["files"].Size(), 2u);
}

TEST_F(InstallTest, TellsWhatOneIs) {
  const fs::path file = good("2.0.0");
  must(install(good("1.0.0")));
  must(install(file));
  const std::string rest =
      "  runs:         isolated, in a process of its own\n  built for:    linux/" + arch() +
      ", ABI 1.0\n→ may use: nothing but its connectors' arguments\n→ connectors\n  hello NAME  a person\n"
      "→ resources\n  greeting  What one says to that person\n      text string  The words\n";
  const std::string head =
      "→ hello 2.0.0\n  Greets whoever it is told to\n  id:           example.com/providers/hello\n";
  EXPECT_EQ(user_.run({"providers", "info", "hello"}).out,
            head + "  path:         " + installed().string() +
                "\n  from:         PROVIDERS_PATH\n  signer:       unsigned\n"
                "  before:       1.0.0, kept for cnspec providers rollback hello\n" +
                rest);
  EXPECT_EQ(user_.run({"providers", "info", file.string()}).out,
            head + "  in package:   hello.so\n  sha256:       " + hex_sha256(file) +
                "\n  signer:       unsigned\n" + rest);
  const RunResult json = user_.run({"providers", "info", installed().string(), "-o", "json"});
  rapidjson::Document out;
  ASSERT_FALSE(out.Parse(json.out.c_str()).HasParseError()) << json.out;
  EXPECT_STREQ(out["before"].GetString(), "1.0.0");
  EXPECT_TRUE(out["isolated"].GetBool());
  EXPECT_STREQ(out["signer"]["state"].GetString(), "unsigned");
  EXPECT_STREQ(out["manifest"]["resources"][0]["fields"][0]["type"].GetString(), "string");

  const RunResult unknown = user_.run({"providers", "info", "hallo"});
  EXPECT_EQ(unknown.exit_code, 1);
  EXPECT_EQ(unknown.err.substr(0, unknown.err.find('\n')),
            "x there is no provider hallo; did you mean hello?");
  EXPECT_EQ(user_.run({"providers", "info", "/etc/passwd"}).err,
            "x /etc/passwd: expected a shared library (ELF), found a text file\n");
}

// ---- where to ----

TEST_F(InstallTest, TurnsNoLineAround) {
  const std::string summary = "Greets whoever it is told to";
  std::string turned = "safe \u202egnihton tub\u2066 \u200f\u061c";
  turned.resize(summary.size(), '.');
  user_.home().write("providers/hello.so", replaced(library(), summary, turned), 0755);
  for (const Argv& args :
       {Argv{"providers", "info", "hello"}, Argv{"providers", "info", (dir() / "hello.so").string()}}) {
    const RunResult info = user_.run(args);
    EXPECT_EQ(info.exit_code, 0) << info.err;
    EXPECT_NE(info.out.find("\n  safe \\xe2\\x80\\xaegnihton tub\\xe2\\x81\\xa6 "), info.out.npos)
        << info.out;
    EXPECT_EQ(info.out.find("\u202e"), info.out.npos) << info.out;
  }
  // What is said to somebody comes back from the provider, and goes to the terminal as well.
  const RunResult hello = user_.run({"discover", "hello", "you\u202e"});
  EXPECT_EQ(hello.exit_code, 0) << hello.err;
  EXPECT_NE(hello.out.find("you\\xe2\\x80\\xae"), hello.out.npos) << hello.out;
  EXPECT_EQ((hello.out + hello.err).find("\u202e"), hello.out.npos) << hello.out;
  const RunResult wrong = user_.run({"providers", "info", "no\u202e"});
  EXPECT_EQ(wrong.err.find("\u202e"), wrong.err.npos) << wrong.err;
}

TEST_F(InstallTest, TheFlagGoesBeforeTheVariableAndThatBeforeTheUsersFolder) {
  const fs::path other = user_.home() / "a/b/other";
  must(install(good(), {"--providers-path", other.string()}));
  EXPECT_TRUE(fs::exists(other / "hello/hello.so"));
  EXPECT_FALSE(fs::exists(dir()));
  user_.env["PROVIDERS_PATH"] = dir().string() + ":" + other.string();
  must(install(good("2.0.0")));
  EXPECT_EQ(read_file(installed()), library("2.0.0"));
  EXPECT_EQ(read_file(other / "hello/hello.so"), library());
  // Not in the first folder, so it is said where.
  must(user_.run({"providers", "remove", "hello"}));
  const RunResult elsewhere = user_.run({"providers", "remove", "hello"});
  EXPECT_EQ(elsewhere.exit_code, 1);
  EXPECT_EQ(elsewhere.err, "x the provider hello is not in " + dir().string() + " but in " + other.string() +
                               "\n  add --providers-path " + other.string() + "\n");
  must(user_.run({"providers", "remove", "hello", "--providers-path", other.string()}));
  EXPECT_FALSE(fs::exists(other / "hello"));

  for (const char* bad : {"", "relative"}) {
    user_.env["PROVIDERS_PATH"] = bad;
    const RunResult result = install(good());
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_EQ(result.err, std::string("x no provider can be installed: PROVIDERS_PATH has ") +
                              (*bad ? "a relative" : "an empty") + " entry, expected an absolute path\n");
  }
}

TEST_F(InstallTest, SaysWhichProviderIsUsed) {
  const fs::path first = user_.home() / "first";
  fs::create_directories(first);
  ::chmod(first.c_str(), 0700);
  must(install(good("1.0.0"), {"--providers-path", first.string()}));
  // A file that somebody put there is neither overwritten nor hidden in silence.
  const fs::path own = user_.home() / "providers/hello.so";
  fs::create_directories(dir());
  ::chmod(dir().c_str(), 0700);
  std::ofstream(own) << library("0.9.0");
  ::chmod(own.c_str(), 0644);
  const std::string before = listing(user_.home().path());
  const RunResult refused = install(good("2.0.0"));
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_EQ(refused.err, "x " + own.string() + ", which was put there by hand, would be shadowed by " +
                             installed().string() + "\n  move that file away, or say --force\n");
  EXPECT_EQ(listing(user_.home().path()), before);
  must(install(good("2.0.0"), {"--force"}));
  EXPECT_EQ(read_file(own), library("0.9.0"));

  const RunResult removed = user_.run({"providers", "remove", "hello"});
  EXPECT_EQ(removed.out,
            "→ removed hello 2.0.0\n  " + (dir() / "hello").string() + "\n  " + own.string() + "\n");
  EXPECT_EQ(entries(dir()), Names{});
}

TEST_F(InstallTest, BundledProvidersStay) {
  const RunResult result = user_.run({"providers", "remove", "mock"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "x the provider mock is part of cnspec and cannot be removed\n");
  EXPECT_FALSE(fs::exists(dir()));
  EXPECT_EQ(user_.run({"providers", "rollback", "mock"}).err,
            "x the provider mock is part of cnspec and cannot be put back\n");
  EXPECT_EQ(user_.run({"providers", "rollback", "hello"}).err,
            "x there is no version of hello from before in " + dir().string() +
                "\n  one is kept whenever a provider is replaced by another version\n");
  EXPECT_EQ(user_.run({"providers", "remove", "../x"}).err,
            "x ../x is no name of a provider: expected letters, digits and dashes\n");
  EXPECT_EQ(user_.run({"providers", "remove", "../x"}).exit_code, 2);
}

TEST_F(InstallTest, NeedsAFolderOfItsOwn) {
  fs::create_directories(dir());
  ::chmod(dir().c_str(), 0777);
  const std::string before = listing(user_.home().path());
  const RunResult open = install(good());
  EXPECT_EQ(open.exit_code, 1);
  EXPECT_EQ(open.err, "x providers in " + dir().string() + " would not be trusted: the folder " +
                          dir().string() + " is writable by everybody (mode 0777)\n  chmod go-w '" +
                          dir().string() + "'\n");
  EXPECT_EQ(listing(user_.home().path()), before);

  ::chmod(dir().c_str(), 0700);
  std::ofstream(dir() / "hello") << "a file";
  const RunResult taken = install(good());
  EXPECT_EQ(taken.err, "x " + (dir() / "hello").string() +
                           " is in the way: expected a folder or nothing\n  move it away\n");
  EXPECT_EQ(entries(dir()), Names{"hello"});
}

TEST_F(InstallTest, SaysWhoCouldWriteThere) {
  // Root writes everywhere, so it becomes somebody else for this.
  Argv argv;
  if (::geteuid() == 0) argv = {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"};
  for (const fs::path& folder : {work_.path(), user_.home().path()}) ::chmod(folder.c_str(), 0755);
  const fs::path file = good();
  for (const auto& entry : fs::recursive_directory_iterator(work_.path())) {
    if (entry.is_directory()) ::chmod(entry.path().c_str(), 0755);
  }
  argv.insert(argv.end(), {program("cnspec"), "providers", "install", "--file", file.string()});
  ProcessOptions options;
  options.env = user_.env;
  for (const char* folder : {"/usr/lib", "/usr/lib/cnspec-test/providers"}) {
    options.env["PROVIDERS_PATH"] = folder;
    const RunResult result = test::run(argv, options);
    const bool there = std::string(folder) == "/usr/lib";
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.err, std::string("x ") +
                              (there ? "nothing can be changed in /usr/lib"
                                     : "the folder /usr/lib/cnspec-test cannot be made") +
                              ": Permission denied\n  run it as root, or name a folder of your own with "
                              "--providers-path\n");
  }
}

TEST_F(InstallTest, TriesWithTheTrustThatItWillBeDoneWith) {
  const fs::path open = user_.home() / "open";
  fs::create_directories(open);
  ::chmod(open.c_str(), 0777);
  user_.env["PROVIDERS_PATH"] = (open / "providers").string();
  const RunResult done = install(good());
  const RunResult tried = install(good(), {"--dry-run"});
  EXPECT_EQ(done.exit_code, 1);
  EXPECT_EQ(done.err, "x providers in " + (open / "providers").string() +
                          " would not be trusted: the folder " + open.string() +
                          " is writable by everybody (mode 0777)\n  chmod go-w '" + open.string() + "'\n");
  EXPECT_EQ(tried.err, done.err);
  EXPECT_EQ(tried.exit_code, 1);
}

TEST_F(InstallTest, NamesNoFolderOfAFileThatIsNamed) {
  const fs::path file = work_.write("somewhere/hello.so", library("1.0.0"), 0644);
  EXPECT_EQ(user_.run({"providers", "info", file.string()}).out.find("from:"), std::string::npos);
}

// ---- what is refused ----

TEST_F(InstallTest, RefusesWhatIsNoPackage) {
  const std::string name = name_of("1.0.0");
  const auto file = [&](const std::string& text) {
    return work_.write("n-" + std::to_string(++packed_) + "/" + name, text);
  };
  const std::string expected = "expected a tar compressed by xz, found ";
  refuses(file(""), expected + "an empty file");
  refuses(file("hello"), expected + "something else");
  refuses(file("<!DOCTYPE html><html>404 Not Found</html>"),
          expected + "a web page: perhaps an error message of a server");
  refuses(file("{\"error\": \"not found\"}"), expected + "JSON: perhaps an error message of a server");
  refuses(
      file(library()),
      expected + "a library or a program; what is no package is put into the folder of providers by hand");
  refuses(pack(name, {{"hello.so", library()}}, {"-czf"}), expected + "a file compressed by gzip");
  refuses(pack(name, {{"hello.so", library()}}, {"-cf"}), expected + "a tar that is not compressed");
  refuses(work_.path(), "is no file");
  refuses("/dev/null", "is no file");
  // xz around something that is no tar
  const fs::path text = work_.write("text", "no tar at all\n");
  compress(text);
  refuses(text, "is damaged or cut off: Unrecognized archive format");

  const RunResult gone = install(work_ / "gone.tar.xz");
  EXPECT_EQ(gone.exit_code, 1);
  EXPECT_EQ(gone.err, "x the package " + (work_ / "gone.tar.xz").string() +
                          " cannot be opened: No such file or directory\n");
}

TEST_F(InstallTest, RefusesDamage) {
  const std::string whole = read_file(good());
  const auto file = [&](const std::string& text) {
    return work_.write("d-" + std::to_string(++packed_) + "/" + name_of("1.0.0"), text);
  };
  // Wherever it is cut and whichever byte is another: never installed.
  const std::string before = listing(user_.home().path());
  for (std::size_t at = 7; at < whole.size(); at += whole.size() / 40) {
    const RunResult cut = install(file(whole.substr(0, at)));
    EXPECT_EQ(cut.exit_code, 1) << at;
    EXPECT_NE(cut.err.find(": is damaged or cut off: "), cut.err.npos) << at << ": " << cut.err;
    std::string other = whole;
    other[at] = static_cast<char>(other[at] ^ 0x10);
    const RunResult changed = install(file(other));
    EXPECT_EQ(changed.exit_code, 1) << at;
    EXPECT_NE(changed.err.find(": is damaged or cut off: "), changed.err.npos) << at << ": " << changed.err;
  }
  EXPECT_EQ(listing(user_.home().path()), before);
}

TEST_F(InstallTest, RefusesAnotherContentThanWasSaid) {
  const fs::path file = good();
  const std::string right = hex_sha256(file);
  std::string wrong = right;
  wrong[0] = wrong[0] == '0' ? '1' : '0';
  refuses(file, "has another content than it should: expected SHA-256 " + wrong + ", found " + right,
          {"--sha256", wrong});
  const RunResult none = install(file, {"--sha256", "abc"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_EQ(none.err.substr(0, 56), "x --sha256: expected 64 hexadecimal digits, found abc\n  ") << none.err;
  std::string loud = right;
  std::transform(loud.begin(), loud.end(), loud.begin(), [](unsigned char c) { return std::toupper(c); });
  must(install(file, {"--sha256", loud}));
}

TEST_F(InstallTest, RefusesEveryEntryThatIsNoOrdinaryFile) {
  const std::string name = name_of("1.0.0");
  const std::string ordinary = ", expected ordinary files only";
  const std::map<std::string, std::string> one = {{"hello.so", library()}};
  const fs::path folder = work_ / "special";
  fs::create_directories(folder / "sub");
  std::ofstream(folder / "hello.so") << library();

  refuses(tar(name, folder / "sub", {"-PcJf"}, {"../hello.so"}),
          "has the entry \"../hello.so\", which leads out of its folder");
  refuses(tar(name, folder, {"-PcJf"}, {(folder / "hello.so").string()}),
          "has the entry \"" + (folder / "hello.so").string() + "\", which leads out of its folder");
  refuses(pack(name, {{"sub/hello.so", library()}}),
          "has the entry \"sub/hello.so\", expected no folders in it");
  refuses(pack(name, one, {"-cJf"}, {"./hello.so"}),
          "has the entry \"./hello.so\", expected no folders in it");
  refuses(pack(name, one, {"-cJf"}, {"."}), "has the entry \"./\", expected no folders in it");

  fs::create_symlink("/etc/passwd", folder / "hello.json");
  refuses(tar(name, folder, {"-cJf"}, {"hello.json"}),
          "has the entry \"hello.json\", which is a link" + ordinary);
  fs::remove(folder / "hello.json");
  // A link out of the folder first, then a file through it.
  fs::create_symlink("/tmp", folder / "out");
  std::ofstream(work_ / "special/evil.so") << library();
  refuses(tar(name, folder, {"--transform=s,evil,out/evil,", "-cJf"}, {"out", "evil.so"}),
          "has the entry \"out\", which is a link" + ordinary);
  fs::create_hard_link(folder / "hello.so", folder / "hello.json");
  refuses(tar(name, folder, {"-cJf"}, {"hello.json", "hello.so"}),
          "has the entry \"hello.so\", which is a hard link" + ordinary);
  fs::remove(folder / "hello.json");
  ASSERT_EQ(::mkfifo((folder / "hello.json").c_str(), 0600), 0);
  refuses(tar(name, folder, {"-cJf"}, {"hello.json"}),
          "has the entry \"hello.json\", which is a FIFO" + ordinary);
  fs::remove(folder / "hello.json");
  refuses(tar(name, "/dev", {"--transform=s,null,hello.so,", "-cJf"}, {"null"}),
          "has the entry \"hello.so\", which is a device" + ordinary);

  std::ofstream(folder / "hello.json") << "{}";
  ASSERT_EQ(::truncate((folder / "hello.json").c_str(), 1 << 20), 0);
  refuses(tar(name, folder, {"--sparse", "-cJf"}, {"hello.json"}),
          "has the entry \"hello.json\", which is a file with holes in it" + ordinary);
  refuses(tar(name, folder, {"--sparse", "--format=pax", "-cJf"}, {"hello.json"}),
          "has the entry \"hello.json\", which is a file with holes in it" + ordinary);
}

TEST_F(InstallTest, RefusesEntriesThatDoNotBelong) {
  const std::string name = name_of("1.0.0");
  fs::path twice = pack(name, {{"hello.so", library()}}, {"-cf"});
  must(test::run({"tar", "-C", (work_ / "in-1").string(), "-rf", twice.string(), "hello.so"}));
  compress(twice);
  refuses(twice, "has the entry \"hello.so\" twice");

  refuses(pack(name, {{"hello.json", "{}"}}), "has no provider in it, expected NAME.so");
  refuses(pack(name, {{"hello.so", library()}, {"README.md", "x"}}),
          "has the entry \"README.md\", expected NAME.so and NAME.so.minisig only");
  refuses(pack("x.tar.xz", {{"hello.so", library()}, {"other.so", library()}}),
          "has two providers in it, hello.so and other.so");
  refuses(pack(name, {{"hello.so", library()}, {"-x.so", "x"}}, {"-cJf"}, {"hello.so", "./-x.so"}),
          "has the entry \"./-x.so\", expected no folders in it");
  refuses(pack("x.tar.xz", {{"hello.so", library()}, {"new\nline.so", "x"}}),
          "has the entry \"new\\nline.so\", expected NAME.so and NAME.so.minisig only");
  refuses(pack("x.tar.xz", {{"hello.so", library()}, {"other.so.minisig", "x"}}),
          "has the signature other.so.minisig but no such library");
  std::map<std::string, std::string> many;
  for (int i = 0; i < 20; ++i) many["n" + std::to_string(i) + ".json"] = "{}";
  refuses(pack(name, many), "has more than 16 entries");
  refuses(tar(name, work_.path(), {"-cJf"}, {"-T", "/dev/null"}), "is empty, expected NAME.so in it");
}

TEST_F(InstallTest, RefusesABomb) {
  const std::string zeros(40 << 20, '\0');
  refuses(pack(name_of("1.0.0"), {{"hello.so", zeros}}),
          "unpacks to more than 16 MiB, far more than a package of this size may hold");
  // Behind the end of the tar.
  fs::path tail = pack(name_of("1.0.0"), {{"hello.so", library()}}, {"-cf"});
  std::ofstream(tail, std::ios::app) << zeros;
  compress(tail);
  refuses(tail, "is damaged or cut off: is all but empty");
  refuses(pack(name_of("1.0.0"), {{"hello.json", zeros}, {"hello.so", library()}}),
          "unpacks to more than 16 MiB, far more than a package of this size may hold");
}

TEST_F(InstallTest, RefusesAnotherProviderThanItsNameSays) {
  refuses(pack(name_of("1.0.0"), {{"other.so", library()}}), "has the entry \"other.so\", expected hello.so");
  refuses(pack("other_1.0.0_linux_" + arch() + ".tar.xz", {{"other.so", library()}}),
          "holds other.so, which says of itself that it is the provider hello: expected the same name");
  refuses(pack(name_of("2.0.0"), {{"hello.so", library("1.0.0")}}),
          "holds version 1.0.0 of hello, expected 2.0.0");
  const std::string other_arch = arch() == "arm64" ? "amd64" : "arm64";
  refuses(pack(name_of("1.0.0"), {{"hello.so", replaced(library(), "\"arch\":\"" + arch() + '"',
                                                        "\"arch\":\"" + other_arch + '"')}}),
          "hello.so: manifest: expected linux/" + arch() + ", found linux/" + other_arch);
  refuses(pack(name_of("1.0.0"), {{"hello.so", "no library"}}),
          "hello.so: expected a shared library (ELF), found a text file");
  const RunResult cut = install(pack(name_of("1.0.0"), {{"hello.so", library().substr(0, 5000)}}));
  EXPECT_EQ(cut.exit_code, 1);
  EXPECT_NE(cut.err.find("hello.so: cut off: a segment of "), cut.err.npos) << cut.err;
  EXPECT_FALSE(fs::exists(dir()));

  for (const auto& [os, cpu] :
       {std::pair<std::string, std::string>{"linux", other_arch}, {"darwin", arch()}}) {
    const std::string name = "hello_1.0.0_" + os + "_" + cpu + ".tar.xz";
    const RunResult result = install(pack(name, {{"hello.so", library()}}));
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.err,
              "x the package " + name + " is for " + os + "/" + cpu + ", this is linux/" + arch() + "\n");
  }
}

// ---- signatures ----

TEST_F(InstallTest, WantsTheSignatureThatTheConfigurationWants) {
  const fs::path folder = work_ / "signed";
  fs::create_directories(folder);
  std::ofstream(folder / "hello.so") << library();
  must(test::run(
      {"minisign", "-G", "-f", "-W", "-p", (work_ / "pub").string(), "-s", (work_ / "sec").string()}));
  must(test::run({"minisign", "-S", "-s", (work_ / "sec").string(), "-m", (folder / "hello.so").string(),
                  "-t", "hello 1.0.0"}));
  std::string key = read_file(work_ / "pub");
  key = key.substr(key.find('\n') + 1);
  key = key.substr(0, key.find('\n'));
  fs::create_directories(user_.config_file().parent_path());
  std::ofstream(user_.config_file()) << "trust: signed\ntrusted_keys: [" << key << "]\n";
  ::chmod(user_.config_file().c_str(), 0600);

  const RunResult unsigned_one = install(good());
  EXPECT_EQ(unsigned_one.exit_code, 1);
  EXPECT_NE(unsigned_one.err.find("not signed"), std::string::npos) << unsigned_one.err;
  EXPECT_FALSE(fs::exists(dir()));

  const RunResult result = install(tar(name_of("1.0.0"), folder, {"-cJf"}, {"hello.so", "hello.so.minisig"}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("(signed by key ID "), result.out.npos) << result.out;
  EXPECT_EQ(entries(dir() / "hello"), (Names{"hello.so", "hello.so.minisig"}));

  std::string tampered = library();
  tampered[tampered.size() - 1] = static_cast<char>(tampered[tampered.size() - 1] ^ 1);
  std::ofstream(folder / "hello.so") << tampered;
  const std::string before = listing(user_.home().path());
  const RunResult wrong = install(tar(name_of("1.0.0"), folder, {"-cJf"}, {"hello.so", "hello.so.minisig"}));
  EXPECT_EQ(wrong.exit_code, 1);
  EXPECT_NE(wrong.err.find("hello.so: "), std::string::npos) << wrong.err;
  EXPECT_EQ(listing(user_.home().path()), before);
}

// ---- full disks, and others at work ----

TEST_F(InstallTest, AFullDiskChangesNothing) {
  must(install(good("1.0.0")));
  const fs::path file = good("2.0.0");
  const std::string before = listing(user_.home().path());
  ProcessOptions options;
  options.env = user_.env;
  // No file larger than four kilobytes can be written.
  const RunResult result = test::run({"sh", "-c", "ulimit -f 8; exec \"$@\"", "sh", program("cnspec"),
                                      "providers", "install", "--file", file.string()},
                                     options);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "x the package " + file.string() + ": cannot be unpacked into " +
                            (dir() / ".unpacking").string() + ": File too large\n");
  EXPECT_EQ(listing(user_.home().path()), before);

  const fs::path small = user_.home() / "small";
  fs::create_directories(small);
  if (::mount("tmpfs", small.c_str(), "tmpfs", 0, "size=16k,mode=0700") != 0) {
    std::printf("no file system could be mounted (%s); what is full here is a limit\n", std::strerror(errno));
    return;
  }
  const RunResult full = install(file, {"--providers-path", small.string()});
  EXPECT_EQ(entries(small), Names{});
  ::umount(small.c_str());
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_EQ(full.err, "x the package " + file.string() + ": cannot be unpacked into " +
                          (small / ".unpacking").string() + ": No space left on device\n");
}

TEST_F(InstallTest, ManyAtOnceLeaveOneWhole) {
  std::vector<fs::path> files;
  for (const char* version : {"1.0.0", "2.0.0", "3.0.0"}) files.push_back(good(version));
  std::vector<Process> running;
  for (int i = 0; i < 9; ++i) {
    running.push_back(
        user_.start({"providers", "install", "--file", files[static_cast<std::size_t>(i % 3)].string()}));
  }
  for (Process& process : running) {
    const RunResult result = process.wait();
    EXPECT_EQ(result.exit_code, 0) << result.err;
  }
  EXPECT_EQ(entries(dir()), (Names{".hello.previous", "hello"}));
  const std::string last = read_file(installed());
  EXPECT_TRUE(last == library("1.0.0") || last == library("2.0.0") || last == library("3.0.0"));
}

TEST_F(InstallTest, WaitsForAnotherAndSaysWhoThatIs) {
  fs::create_directories(dir());
  ::chmod(dir().c_str(), 0700);
  const fs::path lock = dir() / ".lock";
  const int fd = ::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::flock(fd, LOCK_EX), 0);
  const std::string pid = std::to_string(::getpid()) + "\n";
  ASSERT_EQ(::write(fd, pid.data(), pid.size()), static_cast<ssize_t>(pid.size()));
  const RunResult result = install(good(), {"--timeout", "300ms"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "x the providers in " + dir().string() + " are being changed by process " +
                            std::to_string(::getpid()) + " (install_test), which did not finish in time\n");
  Process waiting = user_.start({"providers", "install", "--file", good().string()});
  ::close(fd);
  EXPECT_EQ(waiting.wait().exit_code, 0);
  EXPECT_EQ(entries(dir()), Names{"hello"});
}

// ---- from elsewhere ----

class InstallUrlTest : public InstallTest {
 protected:
  RunResult install_url(const std::string& url, Argv more = {}) {
    Argv args = {"providers", "install",   "--url",
                 url,         "--ca-file", work_.write("ca.pem", ca_.pem()).string()};
    args.insert(args.end(), more.begin(), more.end());
    return user_.run(args);
  }
  CertificateAuthority ca_;
};

TEST_F(InstallUrlTest, FetchesByHttpsAndFollowsOnlyThere) {
  const fs::path original = good();
  const std::string package = read_file(original);
  HttpServer plain([&](const HttpRequest&) { return HttpResponse{.body = package}; });
  HttpServer server(
      [&](const HttpRequest& request) {
        const std::string path = request.path();
        if (path.starts_with("/files/")) return HttpResponse{.body = package};
        if (path.starts_with("/moved/"))
          return HttpResponse{.status = 302,
                              .headers = {{"Location", "/files/" + name_of("1.0.0") + "?key=1"}}};
        if (path.starts_with("/down/"))
          return HttpResponse{
              .status = 301, .headers = {{"Location", plain.url() + "/x.tar.xz?key=1"}}, .body = "moved"};
        if (path.starts_with("/gone/"))
          return HttpResponse{.status = 307, .headers = {{"Location", "/signed/x.tar.xz?key=1"}}};
        if (path.starts_with("/round/"))
          return HttpResponse{.status = 302, .headers = {{"Location", "/round/x.tar.xz"}}};
        if (path.starts_with("/page/")) return HttpResponse{.body = "<html>Sign in</html>"};
        if (path.starts_with("/cut/"))
          return HttpResponse{.body = package, .fault = HttpResponse::Fault::kCut};
        return HttpResponse{.status = 404, .body = "<html>404</html>"};
      },
      ca_.issue({"127.0.0.1"}));
  const auto url = [&](const std::string& folder, const std::string& version = "1.0.0") {
    return server.url() + "/" + folder + "/" + name_of(version);
  };
  const std::map<std::string, std::string> refusals = {
      {"down", " leads to " + plain.url() + "/x.tar.xz, expected a URL of https\n"},
      {"round", "/round/x.tar.xz is the end of too many redirections\n"},
      {"page", ": expected a tar compressed by xz, found a web page: perhaps an error message of a server\n"},
      {"cut", " was cut off\n"},
      {"gone", "/signed/x.tar.xz: there is no such file (HTTP status 404, with a page of HTML)\n"},
      {"nothing", ": there is no such file (HTTP status 404, with a page of HTML)\n"},
  };
  for (const auto& [folder, why] : refusals) {
    const std::string before = listing(user_.home().path());
    const RunResult result = install_url(url(folder));
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(result.out, "");
    EXPECT_TRUE(without_request_ids(result.err).ends_with(why)) << folder << ": " << result.err;
    EXPECT_EQ(listing(user_.home().path()), before);
  }
  EXPECT_EQ(install_url(url("files", "2.0.0")).err,
            "x the package " + url("files", "2.0.0") + ": holds version 1.0.0 of hello, expected 2.0.0\n");
  const RunResult moved = install_url(url("moved"));
  EXPECT_EQ(moved.exit_code, 0) << moved.err;
  EXPECT_EQ(moved.out, "→ installed hello 1.0.0 (unsigned) as " + installed().string() + "\n");
  EXPECT_EQ(plain.requests().size(), 0u);

  const std::string http = plain.url() + "/" + name_of("1.0.0");
  const RunResult refused = install_url(http);
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_EQ(refused.err,
            "x " + http +
                " is not encrypted: anybody on the way could send another package\n  use https, or "
                "say what must come with --sha256\n");
  EXPECT_EQ(plain.requests().size(), 0u);
  EXPECT_EQ(install_url(http, {"--sha256", hex_sha256(original)}).exit_code, 0);
  for (const std::string bad :
       {"example.com/x.tar.xz", "ftp://example.com/x", "https://", "https://u@h/x", "https://h", "x"}) {
    const RunResult result = install_url(bad);
    EXPECT_EQ(result.exit_code, 2) << bad;
    const std::string shown = bad.find('@') == bad.npos ? bad : "what --url names";  // it may hold a password
    EXPECT_TRUE(result.err.starts_with("x " + shown + " is no URL of a package") ||
                result.err.starts_with("x " + shown + " names no file"))
        << result.err;
  }
}

TEST_F(InstallTest, NeedsOnePackage) {
  const RunResult none = user_.run({"providers", "install"});
  EXPECT_EQ(none.exit_code, 2);
  EXPECT_EQ(none.err.substr(0, none.err.find('\n')), "x which provider?");
  const RunResult both = user_.run({"providers", "install", "--file", "x", "--url", "https://h/x"});
  EXPECT_EQ(both.exit_code, 2);
}

// ---- what a crash leaves ----

class CrashTest : public testing::Test {
 protected:
  CrashTest() {
    ::setenv("HOME", home_.path().c_str(), 1);
    ::unsetenv("PROVIDERS_PATH");
    options_.search.flag_paths = {dir().string()};
    void* module = ::dlopen(ARCHIVE_MODULE, RTLD_NOW);
    options_.tools.read_archive =
        reinterpret_cast<cnspec_read_archive_fn*>(module ? ::dlsym(module, "cnspec_read_archive") : nullptr);
    options_.tools.crypto = &auth::openssl();
    for (const char* version : {"2.0.0", "3.0.0"}) {
      const std::string in = std::string("in-") + version;
      home_.write(in + "/hello.so", library(version));
      must(test::run({"tar", "-C", (home_ / in).string(), "-cJf", package(version).string(), "hello.so"}));
    }
  }
  fs::path dir() const { return home_ / "providers"; }
  fs::path package(const std::string& version) const { return home_ / (version + ".tar.xz"); }

  bool install(const std::string& version) const {
    const fs::path file = package(version);
    const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    const auto installed = provider::install_package({fd, file.string()}, {}, options_);
    ::close(fd);
    return installed.has_value();
  }

  // 1.0.0 in place, 0.9.0 kept.
  void begin() const {
    fs::remove_all(dir());
    home_.write("providers/hello/hello.so", library("1.0.0"), 0755);
    home_.write("providers/.hello.previous/hello.so", library("0.9.0"), 0755);
  }
  // The version in place, empty when there is none. Never anything else than a whole one.
  std::string active() const {
    const auto inventory = provider::discover(options_.search);
    EXPECT_TRUE(inventory.refused.empty()) << inventory.refused.front().reason.message();
    const auto* found = inventory.by_name("hello");
    if (!found) return "";
    EXPECT_EQ(read_file(found->path), library(found->manifest.version));
    return found->manifest.version;
  }
  std::string previous() const {
    const auto inventory =
        provider::examine(options_.search, dir() / ".hello.previous/hello.so", provider::Origin::kFlag);
    return inventory ? inventory->manifest.version : "";
  }

  // Killed where its system call number `kill_at` begins.
  template <class Work>
  bool killed(int kill_at, Work&& work) const {
    return killed_at(2 * kill_at - 1, work);
  }

  TempDir home_;
  provider::InstallOptions options_;
};

TEST_F(CrashTest, KilledWhileInstallingItIsTheOldOrTheNew) {
  std::map<std::string, int> seen;
  for (int kill_at = 1;; kill_at += kStride) {
    begin();
    const bool was_killed = killed(kill_at, [&] { return install("2.0.0"); });
    const std::string now = active();
    ++seen[now];
    ASSERT_TRUE(now == "1.0.0" || now == "2.0.0") << kill_at << ": " << now;
    // Whatever was left behind is put right by the next, which finds the version from before.
    const auto back = provider::rollback_provider("hello", options_);
    ASSERT_TRUE(back) << kill_at << ": " << back.error().message();
    ASSERT_EQ(active(), now == "2.0.0" ? "1.0.0" : "0.9.0") << kill_at;
    ASSERT_EQ(previous(), now) << kill_at;
    ASSERT_EQ(entries(dir()), (Names{".hello.previous", "hello"})) << kill_at;
    ASSERT_EQ(entries(dir() / "hello"), Names{"hello.so"}) << kill_at;
    ASSERT_EQ(entries(dir() / ".hello.previous"), Names{"hello.so"}) << kill_at;
    if (!was_killed) break;
  }
  EXPECT_GT(seen["1.0.0"], 50 / kStride);
  EXPECT_GT(seen["2.0.0"], 10 / kStride);
  std::printf("%d system calls before the switch, %d after it\n", seen["1.0.0"], seen["2.0.0"]);
}

TEST_F(CrashTest, KilledWhileInstallingForTheFirstTimeItIsThereOrNot) {
  std::map<std::string, int> seen;
  for (int kill_at = 1;; kill_at += kStride) {
    fs::remove_all(dir());
    const bool was_killed = killed(kill_at, [&] { return install("2.0.0"); });
    const std::string now = fs::exists(dir()) ? active() : "";
    ++seen[now];
    ASSERT_TRUE(install("3.0.0")) << kill_at;
    ASSERT_EQ(active(), "3.0.0");
    ASSERT_EQ(previous(), now) << kill_at;
    ASSERT_EQ(entries(dir()), now.empty() ? Names{"hello"} : (Names{".hello.previous", "hello"})) << kill_at;
    if (!was_killed) break;
  }
  EXPECT_GT(seen[""], 50 / kStride);
  EXPECT_GT(seen["2.0.0"], 2 / kStride);
}

TEST_F(CrashTest, KilledWhileRemovingItIsThereOrNot) {
  std::map<std::string, int> seen;
  for (int kill_at = 1;; kill_at += kStride) {
    begin();
    const bool was_killed =
        killed(kill_at, [&] { return provider::remove_provider("hello", options_).has_value(); });
    const std::string now = active();
    ++seen[now];
    ASSERT_TRUE(now.empty() || now == "1.0.0") << kill_at << ": " << now;
    ASSERT_TRUE(install("2.0.0")) << kill_at;
    ASSERT_EQ(active(), "2.0.0");
    ASSERT_EQ(previous(), now) << kill_at;
    ASSERT_EQ(entries(dir()), now.empty() ? Names{"hello"} : (Names{".hello.previous", "hello"})) << kill_at;
    if (!was_killed) break;
  }
  EXPECT_GT(seen["1.0.0"], 10 / kStride);
  EXPECT_GT(seen[""], 5 / kStride);
}

TEST_F(CrashTest, KilledWhileRollingBackItIsTheOneOrTheOther) {
  std::map<std::string, int> seen;
  for (int kill_at = 1;; kill_at += kStride) {
    begin();
    const bool was_killed =
        killed(kill_at, [&] { return provider::rollback_provider("hello", options_).has_value(); });
    const std::string now = active();
    ++seen[now];
    ASSERT_TRUE(now == "0.9.0" || now == "1.0.0") << kill_at << ": " << now;
    ASSERT_EQ(previous(), now == "0.9.0" ? "1.0.0" : "0.9.0") << kill_at;
    ASSERT_TRUE(install("2.0.0")) << kill_at;
    ASSERT_EQ(previous(), now) << kill_at;
    ASSERT_EQ(entries(dir()), (Names{".hello.previous", "hello"})) << kill_at;
    if (!was_killed) break;
  }
  EXPECT_GT(seen["1.0.0"], 10 / kStride);
  EXPECT_GE(seen["0.9.0"], 1);
}

}  // namespace
}  // namespace cnspec::test
