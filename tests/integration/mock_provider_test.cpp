// The provider mock: recordings of the old and the new form, and files that are none.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "integration/local_provider.hpp"

namespace cnspec::test {
namespace {

LocalProvider& mock() {
  static LocalProvider loaded("mock");
  return loaded;
}

std::string recording(const char* name) { return std::string(CNSPEC_SOURCE_DIR "/tests/data/mock/") + name; }

std::unique_ptr<provider::Connection> replay(const std::string& path,
                                             const std::map<std::string, Value>& flags = {}) {
  return mock().connect({.connector = "mock", .args = {path}, .flags = flags});
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// One field of one resource, with a type and value in JSON of the test's choosing.
std::string replayed(const std::string& field_json) {
  const TempDir folder;
  const auto file = folder.write(
      "r.json",
      R"({"assets":[{"asset":{"name":"x"},"resources":[{"Resource":"thing","ID":"1","Fields":{"f":)" +
          field_json + "}}]}]}");
  const auto connection = replay(file);
  return field(fetch(*connection, {.type = "thing", .fields = {"f"}}), "f");
}

TEST(Mock, IdentifiesTheAssetOfANewRecording) {
  const auto asset = replay(recording("new.json"))->identify({});
  ASSERT_TRUE(asset) << asset.error().message();
  EXPECT_EQ(asset->id, "//platformid.api.mondoo.app/runtime/docker/images/0123");
  EXPECT_EQ(asset->text("name"), "web");
  EXPECT_EQ(asset->text("platform"), "alpine");
  EXPECT_EQ(asset->text("title"), "Alpine Linux v3.19");
  EXPECT_EQ(asset->text("version"), "3.19.1");
  EXPECT_EQ(asset->text("kind"), "container-image");
  EXPECT_EQ(asset->text("runtime"), "docker-image");
  EXPECT_EQ(asset->text("family"), R"(["linux","unix","os"])");
  EXPECT_EQ(asset->text("ids"), R"(["//platformid.api.mondoo.app/runtime/docker/images/0123"])");
  EXPECT_EQ(asset->text("platformMetadata"), R"({"distro-id":"alpine"})");
}

TEST(Mock, IdentifiesTheAssetOfAnOldRecording) {
  const auto asset = replay(recording("old.json"))->identify({});
  ASSERT_TRUE(asset) << asset.error().message();
  EXPECT_EQ(asset->text("name"), "arch");
  EXPECT_EQ(asset->text("platform"), "arch");
  EXPECT_EQ(asset->text("arch"), "x86_64");
  EXPECT_EQ(asset->text("build"), "rolling");
  EXPECT_EQ(asset->text("family"), R"(["arch","linux","unix","os"])");
  EXPECT_EQ(asset->text("labels"), R"({"distro-id":"arch"})");
  EXPECT_EQ(asset->text("ids"), R"(["archlinux"])");
}

TEST(Mock, AnswersWhatWasRecorded) {
  const auto connection = replay(recording("old.json"));
  const Rows command =
      fetch(*connection, {.type = "command", .id = "uname -m", .fields = {"stdout", "exitcode"}});
  EXPECT_EQ(field(command, "stdout"), "x86_64\n");
  EXPECT_EQ(field(command, "exitcode"), "0");
  const Rows file = fetch(*connection, {.type = "file", .id = "/etc/passwd"});
  EXPECT_EQ(field(file, "size"), "23");
  EXPECT_EQ(field(file, "permissions"), R"({"type":"file.permissions","id":"-rw-r--r--"})");
  EXPECT_EQ(field(file, "content"), "error: file not found");
  // Without an id: all of them, in the recording's order.
  const Rows all = fetch(*connection, {.type = "command", .fields = {"exitcode"}});
  ASSERT_TRUE(all) << all.error().message();
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ((*all)[0].id, "uname -m");
  EXPECT_EQ((*all)[1].id, "uname -s");
}

TEST(Mock, FindsResourcesByWhatTheyWereMadeWith) {
  const auto connection = replay(recording("new.json"));
  // The id is the argument, or a field is, or the recording says which id stands for it.
  EXPECT_EQ(field(fetch(*connection, {.type = "file", .fields = {"path"}, .args = {{"path", "/etc/hosts"}}}),
                  "path"),
            "/etc/hosts");
  EXPECT_EQ(field(fetch(*connection, {.type = "package", .fields = {"version"}, .args = {{"name", "musl"}}}),
                  "version"),
            "1.2.4-r2");
  EXPECT_EQ(
      field(fetch(*connection, {.type = "aws.ec2.instance", .id = "123", .fields = {"state"}}), "state"),
      "running");
  EXPECT_EQ(
      field(fetch(*connection, {.type = "aws.ec2.instance", .id = "i-0abc", .fields = {"state"}}), "state"),
      "running");
}

TEST(Mock, ListsAreTheirItems) {
  const auto connection = replay(recording("new.json"));
  const Rows items = fetch(*connection, {.type = "packages", .fields = {"name", "version"}});
  ASSERT_TRUE(items) << items.error().message();
  ASSERT_EQ(items->size(), 2u);
  EXPECT_EQ((*items)[0].type, "package");
  EXPECT_EQ((*items)[0].text("name"), "musl");
  // It was listed, but nobody asked for its fields while recording.
  EXPECT_EQ((*items)[1].id, "apk://zlib/1/x86_64");
  EXPECT_PRED2(has, (*items)[1].text("name"), "is not in the recording; it holds: nothing");
  EXPECT_EQ(
      field(fetch(*connection, {.type = "packages", .fields = {"list"}}), "list"),
      R"([{"type":"package","id":"apk://musl/1.2.4-r2/x86_64"},{"type":"package","id":"apk://zlib/1/x86_64"}])");
}

// The asset is its header, and what was recorded beyond it.
TEST(Mock, TheAssetAsAResource) {
  const auto connection = replay(recording("new.json"));
  const Rows rows = fetch(*connection, {.type = "asset", .fields = {"name", "fqdn", "cpes", "eol"}});
  EXPECT_EQ(field(rows, "name"), "web");
  EXPECT_EQ(field(rows, "fqdn"), "web.example.org");
  EXPECT_EQ(field(rows, "cpes"), R"([{"type":"cpe","id":"cpe:2.3:o:alpinelinux:alpine_linux:3.19.1"}])");
  EXPECT_EQ(field(rows, "eol"), "error: the field \"eol\" of the asset is not in the recording");
}

TEST(Mock, ChoosesAmongAssets) {
  EXPECT_EQ(replay(recording("two.json"))->identify({})->text("name"), "first");
  EXPECT_PRED2(has, mock().logged(),
               "the recording holds 2 assets; this is the first, 'first'; --asset chooses another");
  for (const char* name : {"second", "2", "second-id", "//assets/2", "//platformid/2"}) {
    EXPECT_EQ(replay(recording("two.json"), {{"asset", name}})->identify({})->text("name"), "second") << name;
  }
  EXPECT_PRED2(
      has,
      mock().refusal({.connector = "mock", .args = {recording("two.json")}, .flags = {{"asset", "third"}}}),
      "the recording has no asset 'third'; it has: 1 (first), 2 (second)");
}

TEST(Mock, SaysWhatItDoesNotHold) {
  const auto connection = replay(recording("new.json"));
  EXPECT_PRED2(has, error_of(fetch(*connection, {.type = "users"})),
               "the recording of 'web' holds no resource \"users\"; it holds: asset, aws.ec2.instance, file, "
               "package, packages");
  EXPECT_PRED2(has, error_of(fetch(*connection, {.type = "file", .id = "/none"})),
               "the recording of 'web' holds no \"file\" with the id '/none'; it holds: '/etc/hosts'");
  EXPECT_PRED2(has, error_of(fetch(*connection, {.type = "package", .args = {{"name", "none"}}})),
               "holds no \"package\" with the name 'none'; it holds: 'apk://musl/1.2.4-r2/x86_64'");
  EXPECT_EQ(field(fetch(*connection, {.type = "file", .id = "/etc/hosts", .fields = {"size"}}), "size"),
            "error: the field \"size\" of file '/etc/hosts' is not in the recording; it holds: path");
}

TEST(Mock, ReplaysEveryType) {
  EXPECT_EQ(replayed(R"({"type":"\u0004","value":true})"), "true");
  EXPECT_EQ(replayed(R"({"type":"\u0005","value":9007199254740993})"), "9007199254740993");
  EXPECT_EQ(replayed(R"({"type":"\u0005","value":1.5e3})"), "1500");
  EXPECT_EQ(replayed(R"({"type":"\u0006","value":2})"), "2.0");
  EXPECT_EQ(replayed(R"({"type":"\u0007","value":"a\u0000b"})"), std::string("a\0b", 3));
  EXPECT_EQ(replayed(R"({"type":"\u0008","value":"^a+$"})"), "^a+$");
  EXPECT_EQ(replayed(R"({"type":"\t","value":1700000000})"), "2023-11-14T22:13:20Z");
  EXPECT_EQ(replayed(R"({"type":"\t","value":-62167219140})"), "60s");
  EXPECT_EQ(replayed(R"({"type":"\t","value":9223372036854775807})"), "Never");
  EXPECT_EQ(replayed(R"({"type":"\n","value":{"a":[1,"x",null,{"b":true}]}})"),
            R"({"a":[1.0,"x",null,{"b":true}]})");
  EXPECT_EQ(replayed(R"({"type":"\u0001","value":[1]})"), "[1.0]");
  EXPECT_EQ(replayed(R"({"type":"\u000e","value":"1.2.3"})"), "1.2.3");
  EXPECT_EQ(replayed(R"({"type":"\u000f","value":"192.0.2.1/24"})"), "192.0.2.1/24");
  EXPECT_EQ(replayed(R"({"type":"\u0019\u0019\u0005","value":[[1,2],[],null]})"), "[[1,2],[],null]");
  EXPECT_EQ(replayed(R"({"type":"\u001a\u0007\u0019\u0007","value":{"k":["v"]}})"), R"({"k":["v"]})");
  EXPECT_EQ(replayed(R"({"type":"\u001a\u0007\u001buser","value":{"k":{"Name":"user","ID":"u"}}})"),
            R"({"k":{"type":"user","id":"u"}})");
  EXPECT_EQ(replayed(R"({"type":"\u001bfile","value":{"ID":"/x"}})"), R"({"type":"file","id":"/x"})");
  EXPECT_EQ(replayed(R"({"type":"\u001bfile","value":null})"), "null");
  EXPECT_EQ(replayed(R"({"type":"\u0002"})"), "null");
  EXPECT_EQ(replayed(R"({"type":"\u0007"})"), "null");
  EXPECT_EQ(replayed(R"({"error":"could not"})"), "error: could not");
}

TEST(Mock, FieldsThatAreWrongAreErrorsOfTheirOwn) {
  EXPECT_EQ(replayed(R"({"type":"\u0005","value":"1"})"),
            "error: recorded as int, but its value is a string");
  EXPECT_EQ(replayed(R"({"type":"\u0005","value":1e300})"),
            "error: the recorded number does not fit into 64 bits");
  EXPECT_EQ(replayed(R"({"type":"\u0019\u0007","value":["a",1]})"),
            "error: recorded as string, but its value is a number");
  EXPECT_EQ(replayed(R"({"type":"\u0019","value":[1]})"), "error: the recorded value has no type");
  EXPECT_EQ(replayed(R"({"type":"\u001a","value":{"a":1}})"),
            "error: recorded as map, without the types of its keys and values");
  EXPECT_EQ(replayed(R"({"type":"\u001bfile","value":{"Name":"file"}})"),
            "error: recorded as the resource file, but its value has no ID");
  EXPECT_EQ(replayed(R"({"type":"\u000b","value":1})"), "error: recorded as score, which cannot be replayed");
  EXPECT_EQ(replayed(R"({"type":"\u0063","value":1})"),
            "error: recorded as type number 99, which cannot be replayed");
  EXPECT_EQ(replayed(R"({"value":1})"), "error: the recorded value has no type");
  EXPECT_EQ(replayed("7"), "error: recorded as a number, expected an object");
  EXPECT_EQ(replayed(R"({"type":"\n","value":)" + std::string(5000, '[') + std::string(5000, ']') + "}"),
            "error: the recorded value is nested deeper than 31 levels");
}

TEST(Mock, TheFileCanBeGivenByFlag) {
  const auto connection =
      mock().connect({.connector = "recording", .flags = {{"use-recording", recording("old.json")}}});
  EXPECT_EQ(connection->identify({})->text("name"), "arch");
  EXPECT_PRED2(has, mock().refusal({.connector = "mock"}),
               "mock needs a recording: give it as FILE or with --use-recording");
  EXPECT_PRED2(has, mock().refusal({.connector = "mock", .args = {"a"}, .flags = {{"use-recording", "b"}}}),
               "not both");
}

TEST(Mock, FilesThatAreNoRecording) {
  const TempDir folder;
  const auto with = [&](std::string_view text) {
    return mock().refusal({.connector = "mock", .args = {folder.write("r.json", text)}});
  };
  const std::string none = folder / "none.json";
  EXPECT_PRED2(has, mock().refusal({.connector = "mock", .args = {none}}),
               "failed to load recording: '" + none + "' does not exist");
  EXPECT_PRED2(has, mock().refusal({.connector = "mock", .args = {folder.path()}}), "it is a directory");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_PRED2(has, mock().refusal({.connector = "mock", .args = {folder / "pipe"}}), "it is a named pipe");
  EXPECT_PRED2(has, mock().refusal({.connector = "mock", .args = {"/dev/zero"}}), "it is a character device");

  EXPECT_PRED2(has, with("{\"assets\": [}"), "it is not JSON: at byte 12: Invalid value.");
  EXPECT_PRED2(has, with(""), "it is not JSON: at byte 0: The document is empty.");
  EXPECT_PRED2(has, with(std::string_view("{\"assets\":[]}\0x", 15)),
               "it is not JSON: at byte 13: a zero byte");
  EXPECT_PRED2(has, with("{\"assets\":[\"\xff\"]}"), "Invalid encoding in string.");
  EXPECT_PRED2(has, with("[]"), "it is JSON, but no object");
  EXPECT_PRED2(has, with("{}"), "no assets found in recording for mock provider");
  EXPECT_PRED2(has, with(R"({"assets":[]})"), "no assets found in recording for mock provider");
  EXPECT_PRED2(has, with(R"({"assets":{}})"), "assets is no list");
  EXPECT_PRED2(has, with(R"({"assets":[1]})"), "assets[0] is no object");
  EXPECT_PRED2(has, with(R"({"assets":[{}]})"), "assets[0].asset is no object");
  EXPECT_PRED2(has, with(R"({"assets":[{"asset":{},"resources":{}}]})"), "assets[0].resources is no list");
  EXPECT_PRED2(has, with(R"({"assets":[{"asset":{},"resources":[{"ID":"x"}]}]})"),
               "assets[0].resources[0].Resource is no string");
  EXPECT_PRED2(has, with(R"({"assets":[{"asset":{},"resources":[{"Resource":"x","ID":1}]}]})"),
               "assets[0].resources[0].ID is no string");
  EXPECT_PRED2(has, with(R"({"assets":[{"asset":{},"resources":[{"Resource":"x","Fields":[]}]}]})"),
               "resources[0].Fields is no object");
  EXPECT_PRED2(has, with(R"({"assets":[{"asset":{},"idsLookup":[]}]})"), "assets[0].idsLookup is no object");
  const std::string deep(1'000'000, '[');
  EXPECT_PRED2(has, with("{\"assets\":" + deep), "it is not JSON: at byte 1000010");
  std::filesystem::resize_file(folder.write("huge.json", ""), (512u << 20) + 1);
  EXPECT_PRED2(has, mock().refusal({.connector = "mock", .args = {folder / "huge.json"}}),
               "it is larger than 512 MiB");
}

TEST(Mock, StrangeHeadersAreTakenAsFarAsTheyGo) {
  const TempDir folder;
  const auto file = folder.write(
      "r.json",
      R"({"assets":[{"asset":{"name":7,"platformIDs":"x","platform":"p","family":[1,"unix"],"labels":{"a":1,"b":"c"}}}]})");
  const auto asset = replay(file)->identify({});
  ASSERT_TRUE(asset) << asset.error().message();
  EXPECT_EQ(asset->text("name"), "unnamed asset");
  EXPECT_EQ(asset->text("family"), R"(["unix"])");
  EXPECT_EQ(asset->text("labels"), R"({"b":"c"})");
}

TEST(Mock, TwoRecordingsAtOnce) {
  const auto a = replay(recording("old.json"));
  const auto b = replay(recording("new.json"));
  EXPECT_EQ(a->identify({})->text("name"), "arch");
  EXPECT_EQ(b->identify({})->text("name"), "web");
}

}  // namespace
}  // namespace cnspec::test
