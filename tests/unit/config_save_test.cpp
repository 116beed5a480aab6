// How a configuration is changed: what stays of its text, who waits for whom, what a crash leaves.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <thread>

#include "config/config.hpp"
#include "support/killed.hpp"
#include "support/process.hpp"

namespace cnspec::config {
namespace {

using test::killed_at;
using test::read_file;
using test::TempDir;

constexpr char kPem[] = "-----BEGIN KEY-----\nMIG2\n-----END KEY-----\n";

std::string after(const std::string& text, const std::vector<Change>& changes,
                  const std::string& name = "mondoo.yml") {
  const auto result = edited(text, changes, name);
  return result ? *result : "error: " + result.error().message();
}

// ---- what stays ----

TEST(ConfigEditTest, EveryUntouchedByteOfYamlStays) {
  const std::string text =
      "# mine\n---\nlabels: {a: b}   # flow\n\n# about the name\nname: old   # why\nfoo:\n  - 1\n  # inner\n"
      "  - \"2\"\n\n# the end\n";
  EXPECT_EQ(after(text, {{"name", "new"}}),
            "# mine\n---\nlabels: {a: b}   # flow\n\n# about the name\nname: \"new\"   # why\nfoo:\n  - 1\n  "
            "# inner\n"
            "  - \"2\"\n\n# the end\n");
  EXPECT_EQ(after(text, {{"foo", std::nullopt}}),
            "# mine\n---\nlabels: {a: b}   # flow\n\n# about the name\nname: old   # why\n\n# the end\n");
  EXPECT_EQ(after(text, {{"mrn", "//x"}}), text + "mrn: \"//x\"\n");
  EXPECT_EQ(after(text, {{"nothing", std::nullopt}}), text);
}

TEST(ConfigEditTest, WhatAlreadySaysItIsNotTouched) {
  EXPECT_EQ(after("name: \"x\"   # c\nmrn: 'y'\n", {{"name", "x"}, {"mrn", "y"}}),
            "name: \"x\"   # c\nmrn: 'y'\n");
}

TEST(ConfigEditTest, BlocksComeAndGoWhole) {
  const std::string with = "a: 1\nprivate_key: |\n  -----BEGIN KEY-----\n  MIG2\n  -----END KEY-----\nb: 2\n";
  EXPECT_EQ(after("a: 1\nprivate_key: 'x # y'\nb: 2\n", {{"private_key", kPem}}), with);
  EXPECT_EQ(after(with, {{"private_key", std::nullopt}}), "a: 1\nb: 2\n");
  EXPECT_EQ(after(with, {{"private_key", "short"}}), "a: 1\nprivate_key: \"short\"\nb: 2\n");
}

TEST(ConfigEditTest, LinesOfEveryShape) {
  EXPECT_EQ(after("a: 1\r\nb: 2\r\n", {{"b", "x"}}), "a: 1\r\nb: \"x\"\r\n");
  EXPECT_EQ(after("  a: 1\n  b: 2\n", {{"c", "x"}}), "  a: 1\n  b: 2\n  c: \"x\"\n");
  EXPECT_EQ(after("a: 1", {{"b", "x"}}), "a: 1\nb: \"x\"\n");
  EXPECT_EQ(after("a: 1\n...\n", {{"b", "x"}}), "a: 1\nb: \"x\"\n...\n");
  EXPECT_EQ(after("# only\n", {{"b", "x"}}), "# only\nb: \"x\"\n");
  EXPECT_EQ(after("", {{"b", "x"}}), "b: \"x\"\n");
  EXPECT_EQ(after("# c\na: 1\n", {{"a", std::nullopt}}), "# c\n");
  EXPECT_EQ(after("a:\n- 1\n- 2\nb: 2\n", {{"a", "x"}}), "a: \"x\"\nb: 2\n");
}

TEST(ConfigEditTest, WhatLinesCannotSayIsWrittenAnewAndRight) {
  EXPECT_EQ(after("{a: 1, b: 2}\n", {{"b", "x"}}), "a: 1\nb: \"x\"\n");
  EXPECT_EQ(after("? a\n: 1\nb: 2\n", {{"b", "x"}}), "a: 1\nb: \"x\"\n");
  // A reference keeps its value when what it referred to goes or changes.
  EXPECT_EQ(after("a: &k one\nb: *k\n", {{"a", "x"}}), "a: \"x\"\nb: one\n");
  EXPECT_EQ(after("a: &k one\nb: *k\n", {{"a", std::nullopt}}), "b: one\n");
}

TEST(ConfigEditTest, WhatHasNoEndIsRefused) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) bomb += (j ? ", " : "") + before;
    bomb += "]\n";
  }
  EXPECT_EQ(after(bomb, {{"name", "x"}}),
            "error: mondoo.yml: is too large or nested too deeply to be changed");
  EXPECT_EQ(after("a: &a {b: *a}\n", {{"name", "x"}}),
            "error: mondoo.yml: is too large or nested too deeply to be changed");
}

TEST(ConfigEditTest, JsonStaysJson) {
  EXPECT_EQ(after("{\"a\": {\"deep\": [1, null, true]}, \"b\": \"x\"}", {{"b", "y"}}),
            "{\"a\":{\"deep\":[1,null,true]},\"b\":\"y\"}\n");
  EXPECT_EQ(after("{\n    \"b\": \"\\ud83d\\ude00\"\n}\n", {{"name", "on"}, {"scan_interval.timer", "5"}}),
            "{\n    \"b\": \"\xF0\x9F\x98\x80\",\n    \"name\": \"on\",\n    \"scan_interval\": {\n        "
            "\"timer\": "
            "5\n    }\n}\n");
  EXPECT_EQ(after("{\"scan_interval\": {\"splay\": 7}}", {{"scan_interval.timer", "5"}}),
            "{\"scan_interval\":{\"splay\":7,\"timer\":5}}\n");
  EXPECT_EQ(after("{\"a\": 1, \"b\": 2}", {{"a", std::nullopt}}), "{\"b\":2}\n");
  EXPECT_EQ(after("", {{"a", "x"}}, "c.json"), "{\n  \"a\": \"x\"\n}\n");
}

TEST(ConfigEditTest, DottedKeysOfJson) {
  EXPECT_EQ(after("{\"log.format\": \"a\", \"log\": {\"color\": true, \"format\": \"b\"}}",
                  {{"log.format", "json"}}),
            "{\"log\":{\"color\":true,\"format\":\"json\"}}\n");
  EXPECT_EQ(after("{\"log\": {\"color\": true, \"format\": \"b\"}}", {{"log.format", std::nullopt}}),
            "{\"log\":{\"color\":true}}\n");
  EXPECT_EQ(after("{\"log\": null}", {{"log.format", std::nullopt}}), "{\"log\":null}\n");
  EXPECT_EQ(after("{\"scan_interval\": 5}", {{"scan_interval.timer", "60"}}),
            "{\"scan_interval\":{\"timer\":60}}\n");
}

TEST(ConfigEditTest, NumbersOfJsonStayAsTheyAreSpelled) {
  EXPECT_EQ(after("{\"mrn\":55555555555555555555555555,\"x\":[1.50,-0,1E5,0.1000000000000000055]}",
                  {{"name", "n"}}),
            "{\"mrn\":55555555555555555555555555,\"x\":[1.50,-0,1E5,0.1000000000000000055],"
            "\"name\":\"n\"}\n");
  EXPECT_EQ(after("{\n  \"a\": {\"b\": 18446744073709551616}\n}", {{"name", "1"}}),
            "{\n  \"a\": {\n    \"b\": 18446744073709551616\n  },\n  \"name\": \"1\"\n}\n");
  // The reader of YAML cannot read this one.
  EXPECT_EQ(
      after("{\"s\":\"\\ud83d\\ude00\",\"scan_interval\":{\"splay\":1e1}}", {{"scan_interval.timer", "5"}}),
      "{\"s\":\"\xF0\x9F\x98\x80\",\"scan_interval\":{\"splay\":1e1,\"timer\":5}}\n");
}

TEST(ConfigEditTest, ACarriageReturnAloneEndsALine) {
  EXPECT_EQ(after("{\"mrn\":\r99}", {{"name", "x"}}), "{\"mrn\":99,\"name\":\"x\"}\n");
  const TempDir folder;
  const auto read = load(folder.write("mondoo.yml", "mrn: x\rname: y\r").string());
  ASSERT_TRUE(read) << read.error().message();
  EXPECT_EQ(read->mrn, "x");
  EXPECT_EQ(read->name, "y");
  const auto json = load(folder.write("c.json", "{\"mrn\":\r\r99}").string());
  ASSERT_TRUE(json) << json.error().message();
  EXPECT_EQ(json->mrn, "99");
}

TEST(ConfigEditTest, JsonNestedTooDeeplyIsNotTouched) {
  const std::string deep = "{\"a\":" + std::string(70, '[') + std::string(70, ']') + "}";
  EXPECT_EQ(after(deep, {{"name", "x"}}),
            "error: mondoo.yml: is too large or nested too deeply to be changed");
}

// Found by fuzzing: YAML's reader makes of \N, which is U+0085, a byte that is no UTF-8 and cannot be
// written.
TEST(ConfigEditTest, ACharacterThatCannotBeWrittenIsNotLost) {
  EXPECT_EQ(after("{key: \"a\xC2\x85z\"}\n", {{"mrn", "//m"}}), "key: \"a\\x85z\"\nmrn: \"//m\"\n");
  EXPECT_EQ(after("{key: \"a\\Nz\"}\n", {{"mrn", "//m"}}),
            "error: mondoo.yml: cannot be changed without changing what else is in it");
}

// Found by fuzzing.
TEST(ConfigEditTest, AnEntryOfAMappingThatIsNotThereMakesIt) {
  for (const std::string text : {"", "name: x\n", "scan_interval:\nname: x\n", "{name: x}\n"}) {
    const std::string changed = after(text, {{"scan_interval.timer", "5"}});
    EXPECT_EQ(YAML::Load(changed)["scan_interval"]["timer"].Scalar(), "5") << text << "became " << changed;
    EXPECT_EQ(after(text, {{"scan_interval.timer", std::nullopt}}), text);
  }
}

TEST(ConfigEditTest, SaysWhereATextCannotBeChanged) {
  EXPECT_EQ(after("a: 1\na: 2\n", {{"b", "x"}}), "error: mondoo.yml:2:1: the key a is there already");
  EXPECT_EQ(after("a: 1\n---\nb: 2\n", {{"b", "x"}}),
            "error: mondoo.yml:2:1: expected one document, found another");
}

// ---- who waits for whom ----

TEST(ConfigSaveTest, WaitsForAnotherUntilItsDeadline) {
  const TempDir folder;
  const auto file = folder.write("mondoo.yml", "a: 1\n");
  const int other = ::open((file.string() + ".lock").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(::flock(other, LOCK_EX), 0);
  const auto saved = save(file, {{"name", "x"}}, std::chrono::steady_clock::now());
  ASSERT_FALSE(saved);
  EXPECT_EQ(saved.error().kind(), ErrorKind::kTimeout);
  EXPECT_EQ(saved.error().message(),
            file.string() + " is being changed by another process, which did not finish in time");
  EXPECT_EQ(read_file(file), "a: 1\n");
  ::close(other);
  EXPECT_TRUE(save(file, {{"name", "x"}}, std::chrono::steady_clock::now()));
  EXPECT_FALSE(std::filesystem::exists(file.string() + ".lock"));
}

TEST(ConfigSaveTest, ManyAtOnceLoseNothing) {
  const TempDir folder;
  const auto file = folder / "mondoo.yml";
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&file, i] {
      for (int j = 0; j < 5; ++j) {
        const std::string name = "k" + std::to_string(i) + "x" + std::to_string(j);
        EXPECT_TRUE(save(file, {{name, name}}, std::chrono::steady_clock::now() + test::kPatience));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  const std::string text = read_file(file);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 40) << text;
}

TEST(ConfigSaveTest, WritesOnlyIfTheKeyIsStillThat) {
  const TempDir folder;
  const auto file = folder.write("mondoo.yml", "mrn: b\n");
  const auto deadline = std::chrono::steady_clock::now() + test::kPatience;
  const auto saved = save(file, {{"mrn", std::nullopt}}, deadline, {{"mrn", "a"}});
  ASSERT_FALSE(saved);
  EXPECT_EQ(saved.error().message(), file.string() + ": has been changed meanwhile: mrn is another");
  EXPECT_EQ(read_file(file), "mrn: b\n");
  EXPECT_TRUE(save(file, {{"mrn", std::nullopt}}, deadline, {{"mrn", "b"}}));
  EXPECT_EQ(read_file(file), "");
}

// ---- what a crash leaves ----

// Saves, and is killed at that stop. Returns whether it came that far.
bool save_and_kill(const std::filesystem::path& file, int kill_at) {
  return killed_at(kill_at, [&] { return save(file, {{"private_key", kPem}, {"name", "new"}}).has_value(); });
}

// Also when it is root who changes it: a service could not read its own key any more.
TEST(ConfigSaveTest, AFileStaysItsOwners) {
  const TempDir folder;
  const auto file = folder.write("mondoo.yml", "name: x\n", 0600);
  const bool root = ::geteuid() == 0;
  const uid_t owner = root ? 65534 : ::geteuid();
  const gid_t group = root ? 65533 : ::getegid();
  ASSERT_EQ(::chown(file.c_str(), owner, group), 0);
  const auto saved = save(file, {{"name", "y"}}, std::chrono::steady_clock::now());
  ASSERT_TRUE(saved) << saved.error().message();
  struct stat info {};
  ASSERT_EQ(::stat(file.c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, owner);
  EXPECT_EQ(info.st_gid, group);
  EXPECT_EQ(info.st_mode & 0777u, 0600u);
}

TEST(ConfigSaveTest, KilledAtEverySystemCallItIsTheOldOrTheNew) {
  const std::string old_text = "name: old\nfoo: kept # c\n";
  const std::string new_text =
      "name: \"new\"\nfoo: kept # c\nprivate_key: |\n  -----BEGIN KEY-----\n  MIG2\n  -----END KEY-----\n";
  const TempDir folder;
  int old_ones = 0, new_ones = 0;
  for (int kill_at = 1;; ++kill_at) {
    const auto file = folder.write("c/mondoo.yml", old_text);
    const bool killed = save_and_kill(file, kill_at);
    const std::string text = read_file(file);
    (text == new_text ? new_ones : old_ones) += 1;
    ASSERT_TRUE(text == old_text || text == new_text) << kill_at << ": " << text;
    for (const auto& entry : std::filesystem::directory_iterator(folder / "c")) {
      struct stat info {};
      ASSERT_EQ(::stat(entry.path().c_str(), &info), 0);
      EXPECT_EQ(info.st_mode & 0777u, 0600u) << entry.path();
    }
    if (!killed) break;
    // What was left behind is in nobody's way, and goes with the next.
    ASSERT_TRUE(save(file, {{"name", "next"}}));
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder / "c"))
      names.push_back(entry.path().filename());
    EXPECT_EQ(names, std::vector<std::string>{"mondoo.yml"});
  }
  EXPECT_GT(old_ones, 20);
  EXPECT_GT(new_ones, 5);
}

}  // namespace
}  // namespace cnspec::config
