// The small tools everything stands on: times, versions, texts, encodings, JSON and files.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "base/encoding.hpp"
#include "base/file.hpp"
#include "base/json.hpp"
#include "base/names.hpp"
#include "base/random.hpp"
#include "base/semver.hpp"
#include "base/text.hpp"
#include "base/time.hpp"
#include "support/process.hpp"

namespace cnspec {
namespace {

using namespace std::chrono_literals;
using test::read_file;
using test::TempDir;

// ---- names ----

// In manifests, lock files and registries the same ones.
TEST(NamesTest, LeadNowhereElse) {
  EXPECT_TRUE(is_provider_name("os"));
  EXPECT_TRUE(is_provider_name("ms365-Cloud2"));
  EXPECT_TRUE(is_provider_name(std::string(128, 'a')));
  for (const std::string word : {"", "Os", "2os", "-os", "o.s", "o/s", "..", "o s", "\xc3\xb6s"})
    EXPECT_FALSE(is_provider_name(word)) << word;
  EXPECT_FALSE(is_provider_name(std::string(129, 'a')));

  EXPECT_TRUE(is_provider_version("1.2.3-rc.1+build"));
  for (const std::string word : {"", "v1.2.3", ".1", "1..2", "1.2.3/..", "latest", "1 2"})
    EXPECT_FALSE(is_provider_version(word)) << word;
  EXPECT_FALSE(is_provider_version("1.2." + std::string(61, '3')));

  EXPECT_TRUE(is_platform_name("linux/amd64"));
  for (const std::string word : {"", "linux", "linux/", "/amd64", "Linux/amd64", "linux/amd64/v2", "../x"})
    EXPECT_FALSE(is_platform_name(word)) << word;

  EXPECT_TRUE(is_sha256(std::string(64, 'f')));
  EXPECT_FALSE(is_sha256(std::string(64, 'F')));
  EXPECT_FALSE(is_sha256(std::string(63, 'f')));
}

// ---- times ----

Clock::time_point at(std::int64_t seconds, std::chrono::nanoseconds more = 0ns) {
  return Clock::time_point(std::chrono::seconds(seconds) + more);
}

TEST(TimeTest, ReadsRfc3339) {
  const std::pair<const char*, Clock::time_point> good[] = {
      {"1970-01-01T00:00:00Z", at(0)},
      {"2024-03-23T20:07:42Z", at(1711224462)},
      {"2024-03-23t20:07:42z", at(1711224462)},
      {"2024-03-23 20:07:42Z", at(1711224462)},
      {"2024-03-23T12:07:42-08:00", at(1711224462)},
      {"2024-03-24T01:37:42+05:30", at(1711224462)},
      {"2024-03-23T20:07:42.25Z", at(1711224462, 250ms)},
      {"2024-03-23T20:07:42.123456789Z", at(1711224462, 123456789ns)},
      {"2024-03-23T20:07:42.1234567891234567890Z", at(1711224462, 123456789ns)},
      {"2024-02-29T00:00:00Z", at(1709164800)},
      {"2016-12-31T23:59:60Z", at(1483228800)},  // a leap second
  };
  for (const auto& [text, expected] : good) EXPECT_EQ(parse_rfc3339(text), expected) << text;
}

TEST(TimeTest, TakesNothingElseForATime) {
  for (const char* text : {
           "",
           "now",
           "2024-03-23",
           "2024-03-23T20:07:42",
           "2024-03-23T20:07Z",
           "2024-3-23T20:07:42Z",
           "2024-03-23T20:07:42.Z",
           "2024-03-23T20:07:42Zx",
           "2024-03-23T20:07:42+0100",
           "2024-03-23T20:07:42+24:00",
           "2024-03-23T20:07:42+01:60",
           "2024-13-01T00:00:00Z",
           "2024-00-01T00:00:00Z",
           "2024-02-30T00:00:00Z",
           "2023-02-29T00:00:00Z",
           "2024-01-00T00:00:00Z",
           "2024-01-01T24:00:00Z",
           "2024-01-01T00:60:00Z",
           "2024-01-01T00:00:61Z",
           "-024-01-01T00:00:00Z",
           "2024--1-01T00:00:00Z",
           "2024-01-01T-0:00:00Z",
           " 2024-01-01T00:00:00Z",
           "+024-01-01T00:00:00Z",
           // What no clock shows would not fit into nanoseconds.
           "0000-01-01T00:00:00Z",
           "0001-01-01T00:00:00Z",
           "1969-12-31T23:59:59Z",
           "9999-12-31T23:59:59Z",
       }) {
    EXPECT_EQ(parse_rfc3339(text), std::nullopt) << text;
  }
}

TEST(TimeTest, WritesTimes) {
  EXPECT_EQ(rfc3339_utc(at(1711224462, 999ms)), "2024-03-23T20:07:42Z");
  EXPECT_EQ(rfc3339_utc(at(-1, 500ms)), "1969-12-31T23:59:59Z");
  EXPECT_EQ(rfc1123(at(1711224462)), "Sat, 23 Mar 2024 20:07:42 UTC");
  const auto local = [](const char* zone) {
    ::setenv("TZ", zone, 1);
    ::tzset();
    return rfc3339_local(at(1711224462));
  };
  EXPECT_EQ(local("PST8"), "2024-03-23T12:07:42-08:00");
  EXPECT_EQ(local("XXX-05:30"), "2024-03-24T01:37:42+05:30");
  EXPECT_EQ(local("NST03:30"), "2024-03-23T16:37:42-03:30");
  EXPECT_EQ(local("UTC0"), "2024-03-23T20:07:42Z");
  ::unsetenv("TZ");
  ::tzset();
}

TEST(TimeTest, WritesDurationsAsGoDoes) {
  EXPECT_EQ(duration_text(72h + 6277868us), "72h0m6.277868s");
  EXPECT_EQ(duration_text(-63s), "-1m3s");
  EXPECT_EQ(duration_text(250ms), "250ms");
  EXPECT_EQ(duration_text(1500us), "1.5ms");
  EXPECT_EQ(duration_text(1s), "1s");
  EXPECT_EQ(duration_text(60s), "1m0s");
  EXPECT_EQ(duration_text(0s), "0ms");
}

TEST(TimeTest, ReadsDurations) {
  const std::pair<const char*, std::chrono::nanoseconds> good[] = {
      {"90s", 90s}, {"1h30m", 90min}, {"250ms", 250ms}, {"-10m", -10min}, {"1.5s", 1500ms}, {"0s", 0s}};
  for (const auto& [text, expected] : good) EXPECT_EQ(parse_duration(text), expected) << text;
  for (const char* text : {"", "5", "s", "-", "5 s", "5x", "1h-5m", "infs", "nans", "1e5s", "99999999999h",
                           "5s ", "--5s", "0x5s", "5S"}) {
    EXPECT_EQ(parse_duration(text), std::nullopt) << text;
  }
}

// ---- versions ----

TEST(VersionTest, OrdersAsSemverDoes) {
  // Each before the next.
  const char* ordered[] = {"0.9.9",      "1.0.0-alpha",  "1.0.0-alpha.1", "1.0.0-alpha.beta",
                           "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1",
                           "1.0.0",      "1.0.1",        "1.2.0",         "1.10.0",
                           "2.0.0",      "10.0.0"};
  for (std::size_t i = 0; i < std::size(ordered); ++i) {
    for (std::size_t j = 0; j < std::size(ordered); ++j) {
      EXPECT_EQ(compare_versions(ordered[i], ordered[j]), i <=> j) << ordered[i] << " " << ordered[j];
    }
  }
}

TEST(VersionTest, ForgivesWhatPeopleWrite) {
  const std::pair<const char*, const char*> same[] = {{"v1.2.3", "1.2.3"},
                                                      {"V1.2", "1.2.0"},
                                                      {"1", "1.0.0"},
                                                      {"1.2.3+build.5", "1.2.3"},
                                                      {"1.2.3+a", "1.2.3+b"}};
  for (const auto& [a, b] : same)
    EXPECT_EQ(compare_versions(a, b), std::strong_ordering::equal) << a << " " << b;
}

TEST(VersionTest, KnowsWhatIsNone) {
  for (const char* text : {"", "v", "unstable", "1.", ".1", "1..2", "1.2.3.4", "1.2.x", "-1.2.3", "1.2.3-",
                           "1.2.3 ", "99999999999999999999.0.0", "+1", "vv1", "rolling", "<html>"}) {
    EXPECT_EQ(compare_versions(text, "1.0.0"), std::nullopt) << text;
    EXPECT_EQ(compare_versions("1.0.0", text), std::nullopt) << text;
  }
}

// ---- texts ----

TEST(TextTest, MakesAnythingPrintableOnOneLine) {
  EXPECT_EQ(printable("two\nlines\tand \x1b[31mred\x7f"), "two\\nlines\\tand \\x1b[31mred\\x7f");
  EXPECT_EQ(printable("h\xc3\xa9llo \xe2\x86\x92"), "héllo →");
  EXPECT_EQ(printable(std::string_view("nul\0", 4)), "nul\\x00");
  EXPECT_EQ(printable("\xff\xc0\xaf"), "\\xff\\xc0\\xaf");  // no UTF-8, overlong
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m")
                .substr(0, 4),
            "\\xc2");  // CSI of the C1 set
  for (const char* turn : {"\u061c", "\u200e", "\u200f", "\u202a", "\u202b", "\u202c", "\u202d", "\u202e",
                           "\u2066", "\u2067", "\u2068", "\u2069"}) {
    EXPECT_EQ(printable(turn).substr(0, 2), "\\x");
    EXPECT_EQ(printable(turn).find_first_of("\xd8\xe2"), std::string::npos) << turn;
  }
  EXPECT_EQ(printable("\u202e"), "\\xe2\\x80\\xae");
  EXPECT_EQ(printable("\u200d\u2010\u2029\u202f\u2065\u206a\u0627"),
            "\u200d\u2010\u2029\u202f\u2065\u206a\u0627");
}

TEST(TextTest, QuotesValuesThatHaveNoEnd) {
  EXPECT_EQ(quoted_if_needed("plain/value"), "plain/value");
  EXPECT_EQ(quoted_if_needed(""), "\"\"");
  EXPECT_EQ(quoted_if_needed("two words"), "\"two words\"");
  EXPECT_EQ(quoted_if_needed("say \"hi\""), "\"say \\\"hi\\\"\"");
  EXPECT_EQ(quoted_if_needed("a=b"), "\"a=b\"");
  EXPECT_EQ(quoted_if_needed("a\nb"), "\"a\\nb\"");
}

TEST(TextTest, GuessesWhatWasMeant) {
  const std::vector<std::string> known = {"login", "status", "providers"};
  EXPECT_EQ(closest("stats", known), "status");
  EXPECT_EQ(closest("lgoin", known), "login");
  EXPECT_EQ(closest("provider", known), "providers");
  EXPECT_EQ(closest("zzz", known), "");
  EXPECT_EQ(closest("", known), "");
}

// ---- encodings ----

TEST(EncodingTest, PassesTheVectorsOfRfc4648) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : vectors) {
    EXPECT_EQ(base64_encode(plain), encoded);
    EXPECT_EQ(base64_decode(encoded), plain);
  }
  EXPECT_EQ(base64url_encode("\xfb\xff\xfe"), "-__-");
  EXPECT_EQ(base64url_decode("-__-"), "\xfb\xff\xfe");
  EXPECT_EQ(hex_encode(std::string_view("\0\x7f\xff", 3)), "007fff");
  EXPECT_EQ(base64_decode("Zm9v\nYmFy\r\n"), "foobar") << "as the tool base64 breaks its lines";
}

TEST(EncodingTest, RefusesWhatHasAnotherSpelling) {
  for (const char* text : {"Zg", "Zg=", "Zh==", "Z===", "====", "Zg==Zg==", "Zm9v!", "Zm-v", "Zm9vY"}) {
    EXPECT_EQ(base64_decode(text), std::nullopt) << text;
  }
  for (const char* text : {"Zg==", "Zh", "Z", "Zm+v", "Zm v", "Zm9v\n"}) {
    EXPECT_EQ(base64url_decode(text), std::nullopt) << text;
  }
}

TEST(RandomTest, MakesIdentifiers) {
  const std::string uuid = random_uuid();
  EXPECT_EQ(uuid.size(), 36u);
  EXPECT_EQ(uuid[14], '4');
  EXPECT_NE(std::string_view("89ab").find(uuid[19]), std::string_view::npos) << uuid;
  EXPECT_NE(uuid, random_uuid());
  EXPECT_EQ(random_hex(6).size(), 12u);
}

// ---- JSON ----

TEST(JsonTest, SaysWhereItIsWrong) {
  const auto message = [](const std::string& text) {
    const auto parsed = json::parse(text);
    return parsed ? "" : parsed.error().message();
  };
  EXPECT_EQ(message("{\"a\": nope}").find("invalid JSON at byte 7: "), 0u) << message("{\"a\": nope}");
  EXPECT_NE(message(""), "");
  EXPECT_NE(message("{} {}"), "");
  EXPECT_NE(message("\"\xff\""), "") << "no UTF-8";
  EXPECT_EQ(message(std::string(64, '[') + std::string(64, ']')), "");
  EXPECT_NE(message(std::string(65, '[') + std::string(65, ']')).find("nested deeper than 64 levels"),
            std::string::npos);
  EXPECT_NE(message(std::string(1 << 20, '[')), "") << "and the stack is still there";
}

TEST(JsonTest, ReadsMembersOfAnythingWithoutFear) {
  const auto document = json::parse(R"({"s":"text","n":5,"b":true,"z":"a\u0000b"})");
  ASSERT_TRUE(document);
  EXPECT_EQ(json::get_string(*document, "s"), "text");
  EXPECT_EQ(json::get_string(*document, "n"), "");
  EXPECT_EQ(json::get_string(*document, "absent"), "");
  EXPECT_EQ(json::get_string(*document, "z"), std::string_view("a\0b", 3));
  EXPECT_TRUE(json::get_bool(*document, "b", false));
  EXPECT_TRUE(json::get_bool(*document, "s", true));
  EXPECT_EQ(json::find((*document)["n"], "s"), nullptr);
}

// ---- files ----

std::string error_of(const std::filesystem::path& path, std::size_t max = 1 << 20) {
  const auto text = read_small_file(path, max);
  return text ? "" : text.error().message();
}

TEST(FileTest, ReadsRegularFilesAlone) {
  const TempDir folder;
  const auto file = folder.write("file", "hello");
  ASSERT_TRUE(read_small_file(file));
  EXPECT_EQ(*read_small_file(file), "hello");
  EXPECT_EQ(*read_small_file(file, 5), "hello");
  EXPECT_EQ(error_of(file, 4), file.string() + ": has more than 4 bytes");
  EXPECT_EQ(error_of(folder.path()), folder.path().string() + ": expected a regular file, found a folder");
  EXPECT_EQ(error_of("/dev/zero"), "/dev/zero: expected a regular file, found a device");
  const auto fifo = folder / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_EQ(error_of(fifo), fifo.string() + ": expected a regular file, found a FIFO");
  EXPECT_EQ(read_small_file(folder / "none").error().kind(), ErrorKind::kNotFound);
  EXPECT_EQ(read_small_file(file / "below").error().kind(), ErrorKind::kNotFound);
  const auto loop = folder / "loop";
  ASSERT_EQ(::symlink("loop", loop.c_str()), 0);
  EXPECT_EQ(error_of(loop), loop.string() + ": Too many levels of symbolic links");
}

std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    out.push_back(entry.path().filename());
  return out;
}

mode_t mode_of(const std::filesystem::path& path) {
  struct stat info {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
  return info.st_mode & 07777;
}

TEST(FileTest, WritesWholeFilesWithTheirMode) {
  const TempDir folder;
  const auto file = folder / "a/b/file";
  ASSERT_TRUE(write_file_atomically(file, "one", 0600));
  EXPECT_EQ(mode_of(folder / "a"), 0700u);
  EXPECT_EQ(mode_of(folder / "a/b"), 0700u);
  ASSERT_EQ(::chmod(file.c_str(), 0644), 0);
  ASSERT_TRUE(write_file_atomically(file, "two", 0600));
  EXPECT_EQ(read_file(file), "two");
  EXPECT_EQ(mode_of(file), 0600u);
  EXPECT_EQ(names_in(folder / "a/b"), std::vector<std::string>{"file"});
}

TEST(FileTest, FollowsLinksAlsoToWhatIsNotThereYet) {
  const TempDir folder;
  folder.write("real/there", "old");
  ASSERT_EQ(::symlink("real/there", (folder / "link").c_str()), 0);
  ASSERT_EQ(::symlink("real/coming", (folder / "second").c_str()), 0);
  ASSERT_EQ(::symlink("second", (folder / "first").c_str()), 0);
  ASSERT_TRUE(write_file_atomically(folder / "link", "new", 0600));
  ASSERT_TRUE(write_file_atomically(folder / "first", "made", 0600));
  EXPECT_EQ(read_file(folder / "real/there"), "new");
  EXPECT_EQ(read_file(folder / "real/coming"), "made");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "first"));
}

// A limit on the size of files stands for a full disk: the same call fails in the same place.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : before_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &limit_);
    const rlimit full{bytes, limit_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &full);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &limit_);
    ::signal(SIGXFSZ, before_);
  }

 private:
  void (*before_)(int);
  rlimit limit_{};
};

TEST(FileTest, KeepsTheOldFileWhenTheDiskIsFull) {
  const TempDir folder;
  const auto file = folder.write("file", "old");
  {
    const FullDisk full(1000);
    const auto written = write_file_atomically(file, std::string(2000, 'x'), 0600);
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().message(), file.string() + ": File too large");
    EXPECT_FALSE(check_room_for_file(file, 2000));
    EXPECT_TRUE(check_room_for_file(file, 900));
  }
  EXPECT_EQ(read_file(file), "old");
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"file"}) << "nothing is left beside it";
}

TEST(FileTest, RemovesWhatAKilledOneLeftAndNothingElse) {
  const TempDir folder;
  const auto file = folder.write("file", "old");
  folder.write("file.0123456789ab.tmp", "begun by one that was killed");
  const std::vector<std::string> others = {"file.0123456789aB.tmp", "file.0123456789a.tmp", "file.tmp",
                                           "file.yml.0123456789ab.tmp", "other.0123456789ab.tmp"};
  for (const std::string& name : others) folder.write(name, "somebody's");
  ASSERT_EQ(::symlink("other.0123456789ab.tmp", (folder / "file.00000000000a.tmp").c_str()), 0);
  ASSERT_EQ(::mkfifo((folder / "file.00000000000b.tmp").c_str(), 0600), 0);
  std::vector<std::string> left = others;
  left.insert(left.end(), {"file", "file.00000000000a.tmp", "file.00000000000b.tmp"});
  std::sort(left.begin(), left.end());
  {
    auto at_work = Replacement::begin(file, 0600);
    ASSERT_TRUE(at_work);
    ASSERT_TRUE(write_all(at_work->fd(), "first"));
    ASSERT_TRUE(write_file_atomically(file, "second", 0600)) << "which must not take it for left behind";
    ASSERT_TRUE(at_work->sync());
    ASSERT_TRUE(write_file_atomically(file, "third", 0600));
    ASSERT_TRUE(at_work->put());
    EXPECT_EQ(read_file(file), "first");
    const auto given_up = Replacement::begin(file, 0600);
    ASSERT_TRUE(given_up);
  }
  std::vector<std::string> names = names_in(folder.path());
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, left);
}

TEST(FileTest, SaysWhatIsInTheWay) {
  const TempDir folder;
  const auto file = folder.write("file", "text");
  const auto below = write_file_atomically(file / "below", "x", 0600);
  ASSERT_FALSE(below);
  EXPECT_EQ(below.error().message(), file.string() + ": expected a folder, found a file");
  const auto onto_folder = write_file_atomically(folder.path(), "x", 0600);
  ASSERT_FALSE(onto_folder);
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"file"});
}

TEST(FileTest, TheProbeForRoomLeavesNothing) {
  const TempDir folder;
  const auto victim = folder.write("victim", "untouched");
  const auto file = folder / "sub/file";
  ASSERT_TRUE(check_room_for_file(file, 16384));
  EXPECT_TRUE(names_in(folder / "sub").empty());
  ASSERT_EQ(::symlink("../victim", (folder / "sub/file.probe").c_str()), 0);
  ASSERT_TRUE(check_room_for_file(file, 16384));
  EXPECT_EQ(read_file(victim), "untouched") << "a link with a likely name is no way to other files";
}

}  // namespace
}  // namespace cnspec
