// The provider core: the program itself, time, identifiers, and documents of every quality.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <ctime>

#include "integration/local_provider.hpp"

namespace cnspec::test {
namespace {

LocalProvider& core() {
  static LocalProvider loaded("core");
  return loaded;
}

std::unique_ptr<provider::Connection> runtime() {
  return core().connect({.connector = "core",
                         .flags = {{"version", "1.2.3"},
                                   {"build", "abc"},
                                   {"api-version", "13"},
                                   {"providers", Value(std::vector<std::string>{"core", "os"})}}});
}

TEST(Core, IsHiddenFromUsers) {
  const auto* connector = core().manifest().connector("core");
  ASSERT_NE(connector, nullptr);
  EXPECT_TRUE(connector->hidden);
  for (const auto& flag : connector->flags) EXPECT_TRUE(flag.hidden) << flag.name;
}

TEST(Core, SaysWhatTheHostToldIt) {
  const auto connection = runtime();
  const Rows rows = fetch(*connection, {.type = "mondoo"});
  EXPECT_EQ(field(rows, "version"), "1.2.3");
  EXPECT_EQ(field(rows, "build"), "abc");
  EXPECT_EQ(field(rows, "apiVersion"), "13");
  EXPECT_EQ(field(rows, "providers"), R"(["core","os"])");
  const auto asset = connection->identify({});
  ASSERT_TRUE(asset) << asset.error().message();
  EXPECT_EQ(asset->text("name"), "cnspec");
  EXPECT_EQ(asset->text("version"), "1.2.3");
}

TEST(Core, IsContentToBeToldNothing) {
  const Rows rows = fetch(*core().connect({.connector = "core"}), {.type = "mondoo"});
  EXPECT_EQ(field(rows, "version"), "null");
  EXPECT_EQ(field(rows, "providers"), "[]");
  EXPECT_FALSE(field(rows, "arch").empty());
}

TEST(Core, EveryFieldOfEveryResourceIsSent) {
  const auto connection = runtime();
  for (const auto& resource : core().manifest().resources) {
    Ask ask{.type = resource.name};
    if (resource.name == "uuid") ask.args = {{"value", "123e4567-e89b-12d3-a456-426614174000"}};
    if (resource.name.starts_with("parse.")) ask.args = {{"content", "{}"}};
    expect_all_fields(*connection, core().manifest(), ask);
  }
}

TEST(Core, TellsTheTime) {
  const std::time_t before = std::time(nullptr);
  const Rows rows = fetch(*runtime(), {.type = "time"});
  ASSERT_TRUE(rows) << rows.error().message();
  const auto seconds = [&](const char* name) {
    return std::get<cnspec_time>(rows->front().find(name)->data).seconds;
  };
  EXPECT_GE(seconds("now"), before);
  EXPECT_LE(seconds("now"), std::time(nullptr));
  EXPECT_LE(seconds("today"), seconds("now"));
  EXPECT_GT(seconds("tomorrow"), before);
  const std::time_t tomorrow = seconds("tomorrow");
  std::tm local{};
  ::localtime_r(&tomorrow, &local);
  EXPECT_EQ(local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec, 0);
  EXPECT_EQ(seconds("day") - seconds("second"), 24 * 60 * 60 - 1);
  EXPECT_EQ(field(rows, "minute"), "60s");
  EXPECT_EQ(field(rows, "hour"), "3600s");
}

// ---- uuid ----

Rows uuid(const std::string& value) {
  return fetch(*runtime(), {.type = "uuid", .args = {{"value", value}}});
}

TEST(CoreUuid, IsTakenApart) {
  struct {
    const char* given;
    const char* version;
    const char* variant;
  } cases[] = {{"123e4567-e89b-12d3-a456-426614174000", "1", "RFC4122"},
               {"{F47AC10B-58CC-4372-8567-0E02B2C3D479}", "4", "RFC4122"},
               {"urn:uuid:018f3f2e-7b1c-7cc0-98c4-dc0c0c07398f", "7", "RFC4122"},
               {"00000000000000000000000000000000", "0", "Reserved"},
               {"00000000-0000-0000-c000-000000000046", "0", "Microsoft"},
               {"ffffffff-ffff-ffff-ffff-ffffffffffff", "15", "Future"}};
  for (const auto& c : cases) {
    const Rows rows = uuid(c.given);
    EXPECT_EQ(field(rows, "version"), c.version) << c.given;
    EXPECT_EQ(field(rows, "variant"), c.variant) << c.given;
    EXPECT_EQ(field(rows, "urn"), "urn:uuid:" + field(rows, "value")) << c.given;
  }
  EXPECT_EQ(field(uuid("{F47AC10B-58CC-4372-8567-0E02B2C3D479}"), "value"),
            "f47ac10b-58cc-4372-8567-0e02b2c3d479");
}

TEST(CoreUuid, ThatIsNoneIsRefused) {
  for (const char* wrong :
       {"hello", "123e4567-e89b-12d3-a456-42661417400", "123e4567-e89b-12d3-a456-4266141740000",
        "123e4567ae89b-12d3-a456-426614174000", "{123e4567-e89b-12d3-a456-426614174000",
        "g23e4567-e89b-12d3-a456-426614174000", "urn:uuid:", "123e4567-e89b-12d3-a45-6426614174000"}) {
    EXPECT_NE(error_of(uuid(wrong)).find("invalid uuid: " + std::string(wrong)), std::string::npos) << wrong;
  }
  EXPECT_NE(error_of(uuid("")).find("uuid needs the argument value"), std::string::npos);
  EXPECT_LT(error_of(uuid(std::string(1 << 20, 'a'))).size(), 400u);
}

// ---- Documents ----

std::string parsed(const std::string& type, const std::string& name, const std::string& content) {
  return field(fetch(*runtime(), {.type = type, .fields = {name}, .args = {{"content", content}}}), name);
}
std::string json(const std::string& content) { return parsed("parse.json", "params", content); }
std::string yaml(const std::string& content) { return parsed("parse.yaml", "params", content); }
std::string documents(const std::string& content) { return parsed("parse.yaml", "documents", content); }

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(CoreJson, BecomesValues) {
  EXPECT_EQ(json(R"({"a":[1,2.5,-3e2,"x",true,null,{}],"b":{"c":""}})"),
            R"({"a":[1.0,2.5,-300.0,"x",true,null,{}],"b":{"c":""}})");
  EXPECT_EQ(json(""), "null");
  EXPECT_EQ(json(" \n"), "null");
  EXPECT_EQ(json("null"), "null");
  EXPECT_EQ(json("\"only text\""), "only text");
  EXPECT_EQ(json(R"({"b":1,"a":2,"b":3})"), R"({"a":2.0,"b":3.0})");
  EXPECT_EQ(json("9007199254740993"), "9007199254740992.0");
}

TEST(CoreJson, ThatIsNoneSaysWhere) {
  EXPECT_PRED2(has, json("{\n  \"a\": x\n}"),
               "error: cannot parse the JSON document: line 2, column 8: Invalid value.");
  EXPECT_PRED2(has, json("{\"a\":1"), "line 1, column 7: Missing a comma or '}' after an object member.");
  EXPECT_PRED2(has, json("{} {}"), "line 1, column 4");
  EXPECT_PRED2(has, json("1e999"), "Number too big to be stored in double.");
  EXPECT_PRED2(has, json(std::string(100'000, '[')), "it is nested deeper than 31 levels");
  EXPECT_PRED2(has, json(std::string(32, '[') + std::string(32, ']')), "it is nested deeper than 31 levels");
  EXPECT_EQ(json(std::string(31, '[') + std::string(31, ']')), std::string(31, '[') + std::string(31, ']'));
}

TEST(CoreYaml, BecomesValues) {
  EXPECT_EQ(
      yaml("a: 1\nb: [1.5, x, 'yes', yes, ~, true, 0x1F, 0o17, -3, .inf, 1e3, \"2\", 1.2.3, +5]\nc:\n  d: "
           "|\n    text\n"),
      R"({"a":1,"b":[1.5,"x","yes","yes",null,true,31,15,-3,"Infinity",1000.0,"2","1.2.3",5],"c":{"d":"text\n"}})");
  EXPECT_EQ(yaml(""), "null");
  EXPECT_EQ(yaml("x: &a [1]\ny: *a\n"), R"({"x":[1],"y":[1]})");
  EXPECT_EQ(yaml("x: !!str 12\n"), R"({"x":"12"})");
  EXPECT_EQ(documents("a: 1\n---\n- 2\n---\njust text\n"), R"([{"a":1},[2],"just text"])");
  EXPECT_EQ(documents(""), "[]");
  EXPECT_EQ(yaml("{\"json\": [1, {\"too\": null}]}"), R"({"json":[1,{"too":null}]})");
}

TEST(CoreYaml, ThatIsNoneSaysWhere) {
  EXPECT_PRED2(has, yaml("- 1\n"), "it is no mapping; ask for documents");
  EXPECT_PRED2(has, yaml("a: [1\nb: 2\n"), "error: cannot parse the YAML document: line 2");
  EXPECT_PRED2(has, yaml("a: 1\na: 2\n"), "line 2, column 1: the key \"a\" is there twice");
  EXPECT_PRED2(has, yaml("? [1]\n: 2\n"), "a key has to be a word");
  EXPECT_PRED2(has, yaml("a: *none\n"), "line 1");
}

// A small text must not become a huge value, nor exhaust the stack or the patience.
TEST(CoreYaml, ThatMeansHarm) {
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + before;
    for (int j = 1; j < 10; ++j) bomb += "," + before;
    bomb += "]\n";
  }
  EXPECT_PRED2(has, yaml(bomb), "it holds more than 1000000 values");
  EXPECT_PRED2(has, documents(std::string(100'000, '[')), "it is nested deeper than 31 levels");
  EXPECT_PRED2(has, documents(std::string(100'000, '{')), "error: cannot parse the YAML document");
  EXPECT_PRED2(has, documents(std::string(50, '[') + std::string(50, ']')),
               "it is nested deeper than 31 levels");
  std::string dashes;
  for (int i = 0; i < 5000; ++i) dashes += "- ";
  EXPECT_PRED2(has, documents(dashes), "it is nested deeper than 31 levels");
  EXPECT_PRED2(has, documents("&a [*a]"), "error: cannot parse the YAML document");
  EXPECT_PRED2(has, yaml(std::string((4 << 20) + 1, '#')), "it is larger than 4 MiB");
}

TEST(CoreDocuments, ComeFromFiles) {
  const TempDir folder;
  const std::string good = folder.write("good.json", R"({"a":1})");
  const auto connection = runtime();
  const auto from = [&](const std::string& path) {
    return fetch(*connection, {.type = "parse.json", .args = {{"path", path}}});
  };
  EXPECT_EQ(field(from(good), "params"), R"({"a":1.0})");
  EXPECT_EQ(field(from(good), "path"), good);
  EXPECT_EQ(field(from(good), "content"), R"({"a":1})");
  EXPECT_PRED2(has, error_of(from(folder / "none")), "file '" + (folder / "none").string() + "' not found");
  EXPECT_PRED2(has, error_of(from("/dev/zero")), "it is a character device");
  EXPECT_PRED2(has, error_of(from(folder.path())), "it is a directory");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_PRED2(has, error_of(from(folder / "pipe")), "it is a named pipe");
  EXPECT_PRED2(has, error_of(fetch(*connection, {.type = "parse.json"})),
               "parse.json needs one of the arguments content and path");
  EXPECT_PRED2(
      has, error_of(fetch(*connection, {.type = "parse.yaml", .args = {{"content", "a"}, {"path", "/b"}}})),
      "parse.yaml takes one of the arguments content and path, not both");
}

}  // namespace
}  // namespace cnspec::test
