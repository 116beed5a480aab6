// A zoo of bad providers, each loaded for real: what the host says about it, word for word, and that it goes
// on.

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "provider/discovery.hpp"
#include "provider/provider.hpp"
#include "support/process.hpp"

namespace {

using namespace cnspec::provider;
using cnspec::Error;
using cnspec::ErrorKind;
using cnspec::Result;
using cnspec::test::TempDir;
using Clock = std::chrono::steady_clock;

// One provider in a folder of its own.
class Zoo {
 public:
  explicit Zoo(const std::string& name) : path_(folder_ / (name + ".so")) {
    folder_.write(name + ".so", cnspec::test::read_file(std::string(BAD_PROVIDERS) + "/" + name + ".so"),
                  0755);
    SearchOptions options;
    options.flag_paths = {folder_.path().string()};
    Inventory inventory = discover(options);
    for (Found& found : inventory.active) {
      if (found.path == path_) found_ = std::move(found);
    }
    EXPECT_EQ(found_.path, path_) << "not found";
  }

  const Found& found() const { return found_; }
  Services& services() { return services_; }
  Result<std::unique_ptr<Provider>> load() const { return load_in_process(found_, services_, {}); }

 private:
  TempDir folder_;
  std::filesystem::path path_;
  Found found_;
  Services services_;
};

// ---- The library and its table ----

struct Refused {
  const char* name;
  const char* said;  // PATH stands for the file's path
};

void PrintTo(const Refused& refused, std::ostream* out) { *out << refused.name; }

class BadLibrary : public testing::TestWithParam<Refused> {};

TEST_P(BadLibrary, IsRefusedWithAReason) {
  const Zoo zoo(GetParam().name);
  const auto provider = zoo.load();
  ASSERT_FALSE(provider);
  std::string expected = GetParam().said;
  if (const auto at = expected.find("PATH"); at != std::string::npos) {
    expected.replace(at, 4, zoo.found().path.string());
  }
  EXPECT_EQ(provider.error().message(), expected);
}

INSTANTIATE_TEST_SUITE_P(
    Table, BadLibrary,
    testing::Values(
        Refused{"missing_symbol",
                "provider \"bad\": load PATH: speaks no version of the ABI that this cnspec does: expected "
                "the function "
                "cnspec_provider_entry_v1, found none of that kind"},
        Refused{"wrong_major",
                "provider \"bad\": load PATH: speaks no version of the ABI that this cnspec does: expected "
                "the function "
                "cnspec_provider_entry_v1, found cnspec_provider_entry_v2"},
        Refused{"null_table",
                "provider \"bad\": load PATH: does not work with this cnspec, which speaks version 1.0 of "
                "the ABI"},
        Refused{"size_0",
                "provider \"bad\": load PATH: its table says that it has 0 bytes, expected 80 or more"},
        Refused{"size_small",
                "provider \"bad\": load PATH: its table says that it has 72 bytes, expected 80 or more"},
        Refused{"size_huge",
                "provider \"bad\": load PATH: its table says that it has 4294967295 bytes, expected 80"},
        Refused{"no_open", "provider \"bad\": load PATH: its table has no callback \"open\" (NULL)"},
        Refused{"no_connect", "provider \"bad\": load PATH: its table has no callback \"connect\" (NULL)"},
        Refused{"no_identify", "provider \"bad\": load PATH: its table has no callback \"identify\" (NULL)"},
        Refused{"no_fetch", "provider \"bad\": load PATH: its table has no callback \"fetch\" (NULL)"},
        Refused{"no_disconnect",
                "provider \"bad\": load PATH: its table has no callback \"disconnect\" (NULL)"},
        Refused{"no_close", "provider \"bad\": load PATH: its table has no callback \"close\" (NULL)"},
        Refused{"undefined_symbol",
                "provider \"bad\": load PATH: cannot be loaded: undefined symbol: "
                "cnspec_test_symbol_that_nobody_defines"},
        Refused{"missing_dependency",
                "provider \"bad\": load PATH: cannot be loaded: it needs libcnspec_test_gone.so, which "
                "cannot be found"},
        Refused{"open_fails", "provider \"bad\": open: the kettle is empty (kettle: 2, floor: 3)"},
        Refused{"open_fails_silently", "provider \"bad\": open: failed without saying why"},
        Refused{"open_fails_oddly", "provider \"bad\": open: failed without saying why (code -17)"},
        Refused{"constructor", "provider \"bad\": open: no socket in the wall"}),
    [](const auto& refused) { return std::string(refused.param.name); });

TEST(BadManifest, ThatDisagreesWithTheTableIsRefused) {
  for (const char* name : {"other_manifest", "null_manifest"}) {
    const Zoo zoo(name);
    const auto provider = zoo.load();
    ASSERT_FALSE(provider);
    const std::string said = provider.error().message();
    EXPECT_NE(said.find("its table's manifest is not the one in its section .cnspec ("), std::string::npos)
        << said;
  }
}

TEST(NewerMinor, IsUsedAsFarAsItIsKnown) {
  const Zoo zoo("newer_minor");
  const auto provider = zoo.load();
  ASSERT_TRUE(provider) << provider.error().message();
  EXPECT_TRUE((*provider)->connect({"bad", {"x"}, {}, {}}, {}));
}

TEST(Loading, HasOneInstanceAtATimeAndManyOneAfterTheOther) {
  const Zoo zoo("behave");
  for (int round = 0; round < 1000; ++round) {
    auto provider = zoo.load();
    ASSERT_TRUE(provider) << provider.error().message();
    if (round > 0) continue;
    const auto second = zoo.load();
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().message(), "provider \"bad\": load " + zoo.found().path.string() +
                                            ": is in use already; a provider has one instance at a time");
  }
}

TEST(Loading, RefusesAFileThatIsNotTheOneThatWasFound) {
  const Zoo zoo("behave");
  Found other = zoo.found();
  other.manifest.id = "example.com/other";
  const auto provider = load_in_process(other, {}, {});
  ASSERT_FALSE(provider);
  EXPECT_EQ(provider.error().message(),
            "provider \"bad\": load " + other.path.string() + ": was replaced while it was being loaded");
  EXPECT_EQ(provider.error().kind(), ErrorKind::kUntrusted);
  other.path = "behave.so";
  EXPECT_EQ(load_in_process(other, {}, {}).error().message(),
            "provider \"bad\": load behave.so: expected an absolute path");
}

TEST(Loading, RefusesAFileThatBecameWritableForOthers) {
  const Zoo zoo("behave");
  std::filesystem::permissions(zoo.found().path, std::filesystem::perms(0777));
  const auto provider = zoo.load();
  ASSERT_FALSE(provider);
  EXPECT_EQ(provider.error().kind(), ErrorKind::kUntrusted);
  EXPECT_EQ(provider.error().message(), "provider \"bad\": load " + zoo.found().path.string() +
                                            ": the file is writable by everybody (mode 0777)");
}

// ---- What it does once it is loaded ----

// A loaded provider that is connected in the given mode.
class Connected {
 public:
  explicit Connected(std::string mode, const std::string& library = "behave") : zoo_(library) {
    zoo_.services().log = [this](cnspec::log::Level, std::string_view line) {
      const std::lock_guard lock(mutex_);
      lines_.emplace_back(line);
    };
    zoo_.services().http = [this](cnspec::transport::Request request) -> Result<cnspec::transport::Response> {
      requests_.push_back(request);
      return answer_;
    };
    auto loaded = zoo_.load();
    if (!loaded) throw std::runtime_error(loaded.error().message());
    provider_ = std::move(*loaded);
    auto connected = provider_->connect(
        {"bad", {std::move(mode)}, {{"name", "n"}, {"tags", Value(std::vector<std::string>{"t"})}}, {}}, {});
    if (!connected) throw std::runtime_error(connected.error().message());
    connection_ = std::move(*connected);
  }

  Provider& provider() { return *provider_; }
  Connection& operator*() { return *connection_; }
  Connection* operator->() { return connection_.get(); }
  const std::vector<std::string>& lines() const { return lines_; }
  std::vector<cnspec::transport::Request>& requests() { return requests_; }
  void answer(Result<cnspec::transport::Response> answer) { answer_ = std::move(answer); }

 private:
  Zoo zoo_;
  std::mutex mutex_;
  std::vector<std::string> lines_;
  std::vector<cnspec::transport::Request> requests_;
  Result<cnspec::transport::Response> answer_ = cnspec::transport::Response{};
  std::unique_ptr<Provider> provider_;
  std::unique_ptr<Connection> connection_;
};

std::string said(const Result<std::vector<Row>>& rows) { return rows ? "fetched" : rows.error().message(); }

struct Misdeed {
  const char* mode;
  const char* said;  // after the provider and the call
};

void PrintTo(const Misdeed& misdeed, std::ostream* out) { *out << misdeed.mode; }

class BadFetch : public testing::TestWithParam<Misdeed> {};

TEST_P(BadFetch, FailsWithAReason) {
  Connected bad(GetParam().mode);
  const auto rows = bad->fetch({"pot", "", {"cups"}, {}}, {});
  EXPECT_EQ(said(rows), std::string("provider \"bad\": fetch pot: ") + GetParam().said);
  EXPECT_TRUE(bad->identify({})) << "the connection is still of use";
}

INSTANTIATE_TEST_SUITE_P(
    Rows, BadFetch,
    testing::Values(
        Misdeed{"undeclared-type", "sent a row of \"kettle\", which its manifest does not declare"},
        Misdeed{"type-no-utf8", "sent a row whose type is not UTF-8"},
        Misdeed{"id-no-utf8", "sent a row of \"pot\" whose id is not UTF-8"},
        Misdeed{"no-begin", "put a field before it began a row"},
        Misdeed{"end-alone", "ended a row that it had not begun"},
        Misdeed{"two-begins", "began a row of \"pot\" before it ended the one before"},
        Misdeed{"wrong-type", "sent the field \"cups\" of \"pot\" as string, its manifest declares int"},
        Misdeed{"wrong-item", "sent the field \"notes\" of \"pot\" as []int, its manifest declares []string"},
        Misdeed{"wrong-ref",
                "sent the field \"owner\" of \"pot\" as reference to \"kettle\", its manifest declares pot"},
        Misdeed{"wrong-time",
                "sent the field \"made\" of \"pot\" with a time whose nanoseconds make a second or more"},
        Misdeed{"undeclared-field",
                "sent the field \"handles\" of \"pot\", which its manifest does not declare"},
        Misdeed{"field-number", "put a field of the unknown number 4711"},
        Misdeed{"null-value", "put a field without a value (NULL)"},
        Misdeed{"null-array", "sent the field \"notes\" of \"pot\" with an array of nothing (NULL)"},
        Misdeed{"null-ref", "sent the field \"owner\" of \"pot\" with a reference to nothing (NULL)"},
        Misdeed{"unset", "sent the field \"cups\" of \"pot\" with a value of a type that there is not"},
        Misdeed{"unknown-type",
                "sent the field \"cups\" of \"pot\" with a value of a type that there is not"},
        Misdeed{"too-deep", "sent the field \"extra\" of \"pot\" with a value nested deeper than 32 levels"},
        Misdeed{"endless-string", "sent more than 268435456 bytes"},
        Misdeed{"huge-string", "sent more than 268435456 bytes"},
        Misdeed{"mixed-handles", "called deadline with a sink for a call, or a call for a sink"},
        Misdeed{"other-thread", "called put from another thread than the one it was called on"},
        Misdeed{"message-lines", "one\\ntwo \\x1b[31mred\\xff"},
        Misdeed{"message-size-0", "failed without saying why"},
        Misdeed{"message-null", "failed without saying why"}, Misdeed{"retryable", "the line is busy"},
        Misdeed{"http-header", "http: the header \"X-A\" has a line break in its value"}),
    [](const auto& misdeed) {
      std::string name = misdeed.param.mode;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

TEST(Fetch, AcceptsNullsErrorsAndUnfinishedRows) {
  Connected good("good");
  const auto rows = good->fetch({"pots", "", {"cups", "cups", "label"}, {}}, {});
  ASSERT_TRUE(rows) << rows.error().message();
  ASSERT_EQ(rows->size(), 1u);
  const Row& row = rows->front();
  EXPECT_EQ(row.type, "pot");
  EXPECT_EQ(row.id, "p1");
  EXPECT_EQ(row.text("cups"), "4");
  EXPECT_TRUE(row.find("label")->is_null());
  EXPECT_TRUE(row.find("notes")->is_error());
  EXPECT_EQ(row.find("notes")->text(), "no notes \ufffd today");
  EXPECT_EQ(row.find("extra"), nullptr);

  Connected unfinished("no-end");
  const auto none = unfinished->fetch({"pot", "", {}, {}}, {});
  ASSERT_TRUE(none) << none.error().message();
  EXPECT_TRUE(none->empty());
  Connected changed_its_mind("error-then-ok");
  EXPECT_EQ(said(changed_its_mind->fetch({"pot", "", {}, {}}, {})), "fetched");
}

TEST(Fetch, KeepsAMessageShort) {
  Connected bad("message-huge");
  const std::string message = said(bad->fetch({"pot", "", {}, {}}, {}));
  EXPECT_LT(message.size(), 9000u);
  EXPECT_TRUE(message.ends_with("xxx..."));
}

TEST(Fetch, SaysThatTryingAgainMayHelp) {
  Connected bad("retryable");
  const auto rows = bad->fetch({"pot", "", {}, {}}, {});
  EXPECT_EQ(rows.error().hint(), "try again: it may work later");
  EXPECT_EQ(rows.error().kind(), ErrorKind::kUnavailable);
}

TEST(Fetch, DoubtsTheCallerToo) {
  Connected good("good");
  const auto refused = [&](FetchRequest request) {
    const auto rows = good->fetch(request, {});
    if (rows) return std::string("fetched");
    EXPECT_EQ(rows.error().kind(), ErrorKind::kUsage);
    return rows.error().message() + " | " + rows.error().hint();
  };
  EXPECT_EQ(refused({"pott", "", {}, {}}),
            "provider \"bad\": fetch pott: it has no resource \"pott\" | did you mean \"pot\"?");
  EXPECT_EQ(refused({"pot", "", {"cup"}, {}}),
            "provider \"bad\": fetch pot: resource \"pot\" has no field \"cup\" | did you mean \"cups\"?");
  EXPECT_EQ(refused({"pots", "", {"xyz"}, {}}),
            "provider \"bad\": fetch pots: resource \"pots\" has no field \"xyz\" | known are: cups, label, "
            "notes, extra, "
            "owner, made, room");
  EXPECT_EQ(refused({"pot", "", {}, {{"floor", 3}}}),
            "provider \"bad\": fetch pot: resource \"pot\" has no argument \"floor\" | known are: room");
  EXPECT_EQ(
      refused({"pot", "", {}, {{"room", 3}}}),
      "provider \"bad\": fetch pot: resource \"pot\", argument \"room\": expected string, found int | ");
}

TEST(Fetch, HandsArgumentsOver) {
  Connected bad("args");
  const auto rows = bad->fetch({"pot", "", {}, {{"room", "kitchen"}}}, {});
  ASSERT_TRUE(rows) << rows.error().message();
  EXPECT_EQ(rows->front().text("extra"), "kitchen");
}

TEST(Identify, ExpectsExactlyOneAsset) {
  const auto identify = [](const char* mode) {
    Connected bad(mode);
    const auto row = bad->identify({});
    return row ? row->text("name") : row.error().message();
  };
  EXPECT_EQ(identify("good"), "kettle");
  EXPECT_EQ(identify("identify-none"), "provider \"bad\": identify: sent no row, expected one of \"asset\"");
  EXPECT_EQ(identify("identify-two"), "provider \"bad\": identify: sent more than one row to identify");
  EXPECT_EQ(identify("identify-pot"),
            "provider \"bad\": identify: sent a row of \"pot\" to identify, expected \"asset\"");
}

// ---- Codes ----

TEST(Codes, BecomeKindsAndSentences) {
  Connected good("good");
  const auto failure = [&](const char* code) {
    auto connection = good.provider().connect({"bad", {"connect-code", code}, {}, {}}, {});
    EXPECT_FALSE(connection);
    return connection ? Error("connected") : connection.error();
  };
  const std::tuple<const char*, ErrorKind, const char*> expected[] = {
      {"1", ErrorKind::kFailed, ""},
      {"2", ErrorKind::kUsage, " (code 2, invalid arguments)"},
      {"3", ErrorKind::kNotFound, " (code 3, not found)"},
      {"4", ErrorKind::kRejected, " (code 4, credentials are missing or were not accepted)"},
      {"5", ErrorKind::kRejected, " (code 5, the credentials do not suffice)"},
      {"6", ErrorKind::kUnavailable, " (code 6, could not be reached)"},
      {"7", ErrorKind::kTimeout, " (code 7, timed out)"},
      {"8", ErrorKind::kCancelled, " (code 8, cancelled)"},
      {"9", ErrorKind::kFailed, " (code 9, not supported)"},
      {"10", ErrorKind::kFailed, " (code 10, a stale handle)"},
      {"4711", ErrorKind::kFailed, " (code 4711)"}};
  for (const auto& [code, kind, tail] : expected) {
    const Error error = failure(code);
    EXPECT_EQ(error.message(), std::string("provider \"bad\": connect: failed without saying why") + tail);
    EXPECT_EQ(error.kind(), kind) << code;
  }
}

// ---- Time ----

TEST(Cancellation, StopsEndlessRows) {
  Connected bad("endless-rows");
  Limits limits;
  limits.cancelled = std::make_shared<std::atomic<bool>>(true);
  const auto rows = bad->fetch({"pot", "", {}, {}}, limits);
  EXPECT_EQ(said(rows), "provider \"bad\": fetch pot: it was cancelled");
  EXPECT_EQ(rows.error().kind(), ErrorKind::kCancelled);
}

TEST(Deadline, StopsEndlessRows) {
  Connected bad("endless-rows");
  Limits limits;
  limits.deadline = Clock::now() + std::chrono::milliseconds(20);
  const auto rows = bad->fetch({"pot", "", {}, {}}, limits);
  EXPECT_EQ(said(rows), "provider \"bad\": fetch pot: its deadline has passed");
  EXPECT_EQ(rows.error().kind(), ErrorKind::kTimeout);
}

TEST(Deadline, CountsAlsoForOneThatIsDeafAndForOneThatIsLate) {
  for (const char* mode : {"ignores-cancel", "late-ok"}) {
    Connected bad(mode);
    Limits limits;
    limits.deadline = Clock::now() + std::chrono::milliseconds(20);
    const auto rows = bad->fetch({"pot", "", {}, {}}, limits);
    EXPECT_EQ(said(rows), "provider \"bad\": fetch pot: its deadline has passed");
  }
}

TEST(Limit, StopsEndlessRows) {
  Connected bad("endless-rows");
  const auto rows = bad->fetch({"pot", "", {}, {}}, {});
  EXPECT_TRUE(said(rows) == "provider \"bad\": fetch pot: sent more than 268435456 bytes") << said(rows);
}

// ---- Handles ----

TEST(Handles, DieWithTheirCall) {
  Connected good("good");
  ASSERT_EQ(said(good->fetch({"pot", "", {}, {}}, {})), "fetched");
  auto stale = good.provider().connect({"bad", {"stale"}, {}, {}}, {});
  ASSERT_TRUE(stale);
  EXPECT_EQ(said((*stale)->fetch({"pot", "", {}, {}}, {})), "fetched");
  ASSERT_FALSE(good.lines().empty());
  EXPECT_EQ(good.lines().front(), "provider \"bad\": called deadline with the handle of a call that is over");
}

TEST(Handles, LetLogAndCancelledBeCalledFromAnyThread) {
  Connected bad("allowed-elsewhere");
  EXPECT_EQ(said(bad->fetch({"pot", "", {}, {}}, {})), "fetched");
  EXPECT_EQ(bad.lines(), std::vector<std::string>{"provider \"bad\": from elsewhere"});
}

// ---- Flags and secrets ----

TEST(Flags, ArriveAsSetOrByDefault) {
  Connected bad("config");
  const auto flag = [&](const char* name) {
    const auto rows = bad->fetch({"pot", name, {}, {}}, {});
    return rows ? to_text(*rows->front().find("extra")) : rows.error().message();
  };
  EXPECT_EQ(flag("port"), "22");
  EXPECT_EQ(flag("fast"), "true");
  EXPECT_EQ(flag("name"), "n");
  EXPECT_EQ(flag("tags"), "[\"t\"]");
  EXPECT_EQ(flag("labels"), "{\"k\":\"v\"}");
  EXPECT_EQ(flag("password"), "provider \"bad\": fetch pot: no such flag");
  EXPECT_EQ(flag("nonsense"), "provider \"bad\": fetch pot: no such flag");
}

TEST(Flags, AreCheckedBeforeTheProviderSeesThem) {
  Connected good("good");
  const auto refused = [&](ConnectRequest request) {
    const auto connection = good.provider().connect(request, {});
    if (connection) return std::string("connected");
    EXPECT_EQ(connection.error().kind(), ErrorKind::kUsage);
    return connection.error().message() + " | " + connection.error().hint();
  };
  const std::string who = "provider \"bad\": connect: ";
  EXPECT_EQ(refused({"bat", {"x"}, {}, {}}), who + "it has no connector \"bat\" | did you mean \"bad\"?");
  EXPECT_EQ(refused({"bad", {}, {}, {}}),
            who + "connector \"bad\" expects 1 to 2 arguments, found 0 | usage: bad HOW");
  EXPECT_EQ(refused({"worse", {"x", "y", "z"}, {}, {}}),
            who + "connector \"bad\" expects 1 to 2 arguments, found 3 | usage: bad HOW");
  EXPECT_EQ(refused({"bad", {"x"}, {{"prt", 1}}, {}}),
            who + "connector \"bad\" has no flag \"prt\" | did you mean \"port\"?");
  EXPECT_EQ(refused({"bad", {"x"}, {{"port", "22"}}, {}}),
            who + "connector \"bad\", flag --port: expected int, found string | ");
  EXPECT_EQ(refused({"bad", {"x"}, {{"tags", Value(Value::Array{Value(1)})}}, {}}),
            who + "connector \"bad\", flag --tags: expected list, found []int | ");
  EXPECT_EQ(refused({"bad", {"x"}, {{"password", "hunter2"}}, {}}),
            who + "connector \"bad\", flag --password is a secret and was given as plain configuration | ");
  EXPECT_EQ(refused({"bad", {"x"}, {}, {{"name", "hunter2"}}}),
            who + "connector \"bad\", flag --name is no secret and was given as one | ");
  EXPECT_EQ(refused({"worse", {"x"}, {{"port", Value()}}, {}}), "connected");
}

TEST(Secrets, AreThereInConnect) {
  Connected good("good");
  const auto connect = [&](std::map<std::string, std::string> secrets) {
    const auto connection = good.provider().connect({"bad", {"connect-secret"}, {}, std::move(secrets)}, {});
    return connection ? "connected" : connection.error().message();
  };
  EXPECT_EQ(connect({{"password", "told"}}), "provider \"bad\": connect: told");
  EXPECT_EQ(connect({}), "provider \"bad\": connect: failed without saying why (code 3, not found)");
}

// ---- HTTP ----

TEST(Http, GoesToTheHostsOfTheManifestAlone) {
  Connected bad("http");
  bad.answer(cnspec::transport::Response{204, {}, "body"});
  const auto get = [&](const char* url) {
    const auto rows = bad->fetch({"pot", url, {}, {}}, {});
    return rows ? rows->front().text("cups") + " " + rows->front().text("label") : rows.error().message();
  };
  for (const char* url :
       {"https://good.example.com", "http://GOOD.example.com:8080/x?y=@z", "https://a.below.example.com",
        "https://a.b.below.example.com.", "https://good.example.com#@evil.com"}) {
    EXPECT_EQ(get(url), "204 body") << url;
  }
  EXPECT_EQ(bad.requests().size(), 5u);
  EXPECT_EQ(bad.requests().front().max_answer, 16u << 20);

  const std::string who = "provider \"bad\": fetch pot: http: ";
  const std::string allowed = ", it allows good.example.com, *.below.example.com";
  for (const char* host : {"evil.com", "below.example.com", "xbelow.example.com", "good.example.com.evil.com",
                           "x.good.example.com", "127.0.0.1"}) {
    EXPECT_EQ(get(("https://" + std::string(host)).c_str()),
              who + "the manifest does not allow requests to \"" + host + "\"" + allowed);
  }
  EXPECT_EQ(get("https://[::1]:80/"), who + "the manifest does not allow requests to \"::1\"" + allowed);
  EXPECT_EQ(get("https://good.example.com@evil.com/"),
            who + "the URL names a user; send credentials in a header");
  EXPECT_EQ(get("https://evil.com\\@good.example.com/"),
            who + "the URL has a blank, a backslash, a control character or one outside ASCII");
  EXPECT_EQ(get("https://good.example.com\t.evil.com/"),
            who + "the URL has a blank, a backslash, a control character or one outside ASCII");
  EXPECT_EQ(get("https://good.example.com:443:80/"), who + "the URL has a port that is none");
  EXPECT_EQ(get("https://good.example.com:99999/"), who + "the URL has a port that is none");
  EXPECT_EQ(get("https://good.example.com:/"), who + "the URL has a port that is none");
  EXPECT_EQ(get("https://good%2eexample.com/"), who + "the URL has a host that is none");
  EXPECT_EQ(get("https://[good.example.com]/"), who + "the URL has an IPv6 address that is none");
  EXPECT_EQ(get("https:///good.example.com/"), who + "the URL has a host that is none");
  EXPECT_EQ(get("file://good.example.com/etc/passwd"),
            who + "the URL has the scheme \"file\", expected http or https");
  EXPECT_EQ(get("//good.example.com/"), who + "the URL is not absolute, expected http:// or https://");
  EXPECT_EQ(get("good.example.com"), who + "the URL is not absolute, expected http:// or https://");
  EXPECT_EQ(bad.requests().size(), 5u) << "nothing of that was sent";
}

TEST(Http, IsOneRequestToTheHostOfItsUrl) {
  const auto send = [](const std::string& what) {
    Connected bad("http-send " + what);
    const std::string outcome = said(bad->fetch({"pot", "", {}, {}}, {}));
    return outcome + (bad.requests().empty() ? "" : ", sent");
  };
  const std::string who = "provider \"bad\": fetch pot: http: ";
  for (const char* name :
       {"Connection", "Keep-Alive", "TE", "Trailer", "Transfer-Encoding", "upgrade", "Proxy-Authorization"}) {
    EXPECT_EQ(send("POST " + std::string(name) + ": x"),
              who + "the header \"" + name + "\" is not a provider's to send");
  }
  for (const char* size : {"0", "3", "04", "4, 4", ""}) {
    EXPECT_EQ(send("POST Content-length: " + std::string(size)),
              who + "the header \"Content-length\" is not the size of the body");
  }
  EXPECT_EQ(send("POST Content-Length: 4"), "fetched, sent");
  for (const char* host : {"evil.com", "good.example.com.evil.com", "evil.com@good.example.com",
                           "good.example.com/x", "good.example.com evil.com", "127.0.0.1:80", ""}) {
    EXPECT_EQ(send("GET hOst: " + std::string(host)),
              who + "the header \"hOst\" names another host than the URL");
  }
  for (const char* host : {"good.example.com", "GOOD.example.com:8443"})
    EXPECT_EQ(send("GET Host: " + std::string(host)), "fetched, sent");
  EXPECT_EQ(send("CONNECT X-A: x"), who + "CONNECT is not a provider's to send");
}

TEST(Http, FailsAsTheTransportDid) {
  Connected bad("http");
  bad.answer(cnspec::fail("could not connect to good.example.com port 443", ErrorKind::kUnavailable));
  const auto rows = bad->fetch({"pot", "https://good.example.com", {}, {}}, {});
  EXPECT_EQ(said(rows), "provider \"bad\": fetch pot: could not connect to good.example.com port 443");
  EXPECT_EQ(rows.error().kind(), ErrorKind::kUnavailable);
  bad.answer(cnspec::transport::Response{200, {}, std::string((16 << 20) + 1, 'x')});
  EXPECT_EQ(said(bad->fetch({"pot", "https://good.example.com", {}, {}}, {})),
            "provider \"bad\": fetch pot: http: \"good.example.com\" answered with 16777217 bytes, at most "
            "16777216 are "
            "taken");
}

TEST(Http, EndsAtTheCallsDeadline) {
  Connected bad("http");
  Limits limits;
  limits.deadline = Clock::now() + std::chrono::hours(1);
  EXPECT_TRUE(bad->fetch({"pot", "https://good.example.com", {}, {}}, limits));
  EXPECT_EQ(bad.requests().front().deadline, limits.deadline);
  limits.deadline = Clock::now();
  const auto rows = bad->fetch({"pot", "https://good.example.com", {}, {}}, limits);
  EXPECT_EQ(said(rows), "provider \"bad\": fetch pot: its deadline has passed");
  EXPECT_EQ(bad.requests().size(), 1u);
}

TEST(Http, IsNotThereWhenTheHostHasNone) {
  const Zoo zoo("behave");
  const auto provider = zoo.load();
  ASSERT_TRUE(provider);
  const auto connection =
      (*provider)->connect({"bad", {"connect-http", "https://good.example.com"}, {}, {}}, {});
  ASSERT_FALSE(connection);
  EXPECT_EQ(connection.error().message(),
            "provider \"bad\": connect: http: there is no network for providers here");
}

// ---- Exceptions through the SDK ----

TEST(Exceptions, EndAtTheEdgeOfTheProvider) {
  const std::pair<const char*, const char*> kinds[] = {{"error", "not on this floor (floor: 3)"},
                                                       {"ok-error", "all is well"},
                                                       {"standard", "beyond the shelf"},
                                                       {"memory", "out of memory"},
                                                       {"number", "an exception of an unknown type"}};
  for (const auto& [kind, message] : kinds) {
    Connected bad(kind, "throws");
    const auto row = bad->identify({});
    ASSERT_FALSE(row);
    EXPECT_EQ(row.error().message(), std::string("provider \"bad\": identify: ") + message);
    EXPECT_EQ(said(bad->fetch({"pot", "", {}, {}}, {})),
              std::string("provider \"bad\": fetch pot: ") + message);
    const auto connection = bad.provider().connect({"bad", {"x", kind}, {}, {}}, {});
    ASSERT_FALSE(connection);
    EXPECT_EQ(connection.error().message(), std::string("provider \"bad\": connect: ") + message);
  }
}

TEST(Sdk, NamesAFlagThatIsNotDeclaredAndAConnectionThatIsNone) {
  Connected bad("no-flag", "throws");
  EXPECT_EQ(
      said(bad->fetch({"pot", "", {}, {}}, {})),
      "provider \"bad\": fetch pot: no flag \"nonsense\" is declared in provider.yaml, or it is a secret");
  const auto nothing = bad.provider().connect({"bad", {"nothing"}, {}, {}}, {});
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().message(),
            "provider \"bad\": connect: the provider's connect returned no connection");
}

TEST(Sdk, StopsWhenTheHostHasEnough) {
  Connected bad("endless", "throws");
  Limits limits;
  limits.cancelled = std::make_shared<std::atomic<bool>>(true);
  EXPECT_EQ(said(bad->fetch({"pot", "", {}, {}}, limits)), "provider \"bad\": fetch pot: it was cancelled");
}

TEST(Sdk, SendsEveryKindOfValue) {
  Connected bad("values", "throws");
  const auto rows = bad->fetch({"pot", "", {}, {}}, {});
  ASSERT_TRUE(rows) << rows.error().message();
  const Row& row = rows->front();
  EXPECT_EQ(row.text("cups"), "4");
  EXPECT_EQ(row.text("label"), "tea");
  EXPECT_EQ(row.text("notes"), "[\"a\",\"b\"]");
  EXPECT_EQ(row.text("extra"), "{\"deep\":[1,2.5,true,null,\"x\"]}");
  EXPECT_EQ(row.text("owner"), "{\"type\":\"pot\",\"id\":\"p2\"}");
  EXPECT_EQ(row.text("made"), "90s");
}

}  // namespace
