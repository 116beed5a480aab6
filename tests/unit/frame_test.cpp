// The frames between the program and an isolated provider's process: what is written is read back, and
// nothing that is cut, too large, too deep or made up is taken for a frame.

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <string>

#include "provider/frame.hpp"
#include "provider/lower.hpp"

namespace {

using namespace cnspec::provider;
using cnspec::Error;
using cnspec::ErrorKind;
using cnspec::Result;

constexpr std::chrono::steady_clock::time_point kWhen{std::chrono::nanoseconds(1234567890123)};

void feed(FrameBuffer& buffer, std::string_view bytes) {
  while (!bytes.empty()) {
    const auto [data, size] = buffer.room();
    const std::size_t n = std::min(size, bytes.size());
    std::memcpy(data, bytes.data(), n);
    buffer.filled(n);
    bytes.remove_prefix(n);
  }
}

std::string payload_of(FrameWriter& frame) {
  return std::string(frame.finish(1).substr(sizeof(FrameHeader)));
}

// Every payload that `read` takes has to be whole: no beginning of it is one, nor it with a byte more.
template <class Read>
void expect_exact(const std::string& payload, Read&& read) {
  EXPECT_TRUE(read(payload));
  for (std::size_t n = 0; n < payload.size(); ++n) {
    const std::string part = payload.substr(0, n);  // a copy, so that a sanitizer sees a read beyond it
    EXPECT_FALSE(read(part)) << n << " of " << payload.size() << " bytes";
  }
  EXPECT_FALSE(read(payload + '\0'));
}

TEST(Frames, ArriveHoweverTheyAreCut) {
  FrameWriter one(FrameKind::kLog), two(FrameKind::kDone);
  one.text("a line");
  two.u8(1);
  const std::string bytes = std::string(one.finish(3)) + std::string(two.finish(4));
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    FrameBuffer buffer;
    std::vector<std::pair<FrameKind, std::uint32_t>> seen;
    for (const std::string& part : {bytes.substr(0, cut), bytes.substr(cut)}) {
      feed(buffer, part);
      while (true) {
        auto frame = buffer.next();
        ASSERT_TRUE(frame);
        if (!*frame) break;
        seen.emplace_back((*frame)->kind, (*frame)->call);
      }
    }
    ASSERT_EQ(seen.size(), 2u) << cut;
    EXPECT_EQ(seen[0], std::pair(FrameKind::kLog, 3u));
    EXPECT_EQ(seen[1], std::pair(FrameKind::kDone, 4u));
  }
}

TEST(Frames, HaveAKnownKindAndABoundedSize) {
  const auto error = [](std::uint32_t size, std::uint32_t kind) {
    const std::uint32_t header[] = {size, kind, 0};
    FrameBuffer buffer;
    feed(buffer, {reinterpret_cast<const char*>(header), sizeof header});
    const auto frame = buffer.next();
    return frame ? std::string() : frame.error().message();
  };
  EXPECT_EQ(error(0, 0), "sent a frame of the unknown kind 0");
  EXPECT_EQ(error(0, kLastFrameKind + 1), "sent a frame of the unknown kind 13");
  EXPECT_EQ(error(kMaxFrame + 1, 1), "sent a frame of 269484033 bytes, at most 269484032 are taken");
  EXPECT_EQ(error(kMaxFrame, 1), "");
}

TEST(Greeting, NamesTheVersion) {
  const Hello hello{"name", "/path", {"/scratch", {"/r1", "/r2"}, {"/h"}, {}}};
  FrameWriter frame(FrameKind::kHello);
  write_hello(frame, &hello);
  const std::string payload = payload_of(frame);
  Hello back;
  expect_exact(payload, [&](std::string_view bytes) { return read_hello(bytes, &back).has_value(); });
  back = {};
  ASSERT_TRUE(read_hello(payload, &back));
  EXPECT_EQ(back.path, "/path");
  EXPECT_EQ(back.sandbox.read, hello.sandbox.read);
  EXPECT_EQ(back.sandbox.hidden, hello.sandbox.hidden);
  std::string other = payload;
  other[8] = 7;
  EXPECT_EQ(read_hello(other, nullptr).error().message(), "speaks version 7 of the protocol, expected 1");
  EXPECT_EQ(read_hello("HTTP/1.1 200 OK", nullptr).error().message(), "sent no greeting");
}

TEST(Orders, AreReadBackWhole) {
  ConnectRequest request{"name", {"a", ""}, {}, {{"password", std::string("hun\0ter2", 8)}}};
  Config config = {{"port", Value(22)},
                   {"tags", Value(std::vector<std::string>{"a", "b"})},
                   {"labels", Value(Value::Map{{"k", Value("v")}})},
                   {"none", Value()},
                   {"half", Value(0.5)}};
  FrameWriter connect(FrameKind::kConnect);
  write_connect(connect, 7, kWhen, "name", request, config);
  const std::string payload = payload_of(connect);
  expect_exact(payload, [](std::string_view bytes) { return read_connect(bytes).has_value(); });
  const auto order = read_connect(payload);
  EXPECT_EQ(order->connection, 7u);
  EXPECT_EQ(order->deadline, kWhen);
  EXPECT_EQ(order->request.args, request.args);
  EXPECT_EQ(order->request.secrets, request.secrets);
  ASSERT_EQ(order->config.size(), config.size());
  for (const auto& [name, value] : config) EXPECT_EQ(to_text(order->config.at(name)), to_text(value)) << name;

  FrameWriter fetch(FrameKind::kFetch);
  write_fetch(fetch, {7, kWhen}, {"type", "id", {}, {{"arg", Value("x")}}}, {"f1", "f2"});
  const std::string fetched = payload_of(fetch);
  expect_exact(fetched, [](std::string_view bytes) { return read_fetch(bytes).has_value(); });
  EXPECT_EQ(read_fetch(fetched)->request.fields, (std::vector<std::string>{"f1", "f2"}));
  EXPECT_EQ(read_fetch(fetched)->request.args.at("arg").text(), "x");

  FrameWriter call(FrameKind::kOpen);
  write_call(call, {7, kWhen});
  expect_exact(payload_of(call), [](std::string_view bytes) { return read_call(bytes).has_value(); });
}

TEST(Answers, AreReadBackWhole) {
  FrameWriter http(FrameKind::kHttp);
  cnspec::transport::Request request;
  request.url = "https://example.com/";
  request.headers = {{"A", "1"}, {"B", ""}};
  request.body = std::string(100'000, 'x');
  request.no_proxy = true;
  request.deadline = kWhen;
  write_http(http, request);
  const auto asked = read_http(payload_of(http));
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->headers, request.headers);
  EXPECT_EQ(asked->body, request.body);
  EXPECT_EQ(asked->deadline, kWhen);
  EXPECT_TRUE(asked->no_proxy);
  EXPECT_FALSE(asked->insecure);

  FrameWriter answer(FrameKind::kAnswer);
  write_answer(answer, cnspec::transport::Response{404, {{"a", "b"}}, "gone"});
  expect_exact(payload_of(answer), [](std::string_view bytes) { return read_answer(bytes).has_value(); });
  FrameWriter refusal(FrameKind::kAnswer);
  write_answer(refusal, cnspec::fail("not allowed", ErrorKind::kRejected));
  const std::string refused = payload_of(refusal);
  expect_exact(refused, [](std::string_view bytes) { return read_answer(bytes).has_value(); });
  EXPECT_EQ((*read_answer(refused)).error().kind(), ErrorKind::kRejected);

  FrameWriter done(FrameKind::kDone);
  write_done(done, cnspec::fail(Error("broken\x1b", ErrorKind::kNotFound).hint("Mend it.")));
  const std::string outcome = payload_of(done);
  expect_exact(outcome, [](std::string_view bytes) { return read_done(bytes).has_value(); });
  EXPECT_EQ((*read_done(outcome)).error().message(), "broken\\x1b");
  EXPECT_EQ((*read_done(outcome)).error().hint(), "Mend it.");

  FrameWriter log(FrameKind::kLog);
  write_log(log, {cnspec::log::Level::kWarn, "a line"});
  expect_exact(payload_of(log), [](std::string_view bytes) { return read_log(bytes).has_value(); });
  EXPECT_FALSE(read_log(std::string("\x09\0\0\0\0", 5)));
}

TEST(Values, AreReadBackAndBounded) {
  const Value everything(
      Value::Array{Value(true), Value(std::int64_t{std::numeric_limits<std::int64_t>::min()}), Value(2.5),
                   Value("text"), Value(Value::Map{{"k", Value(Value::Array{Value()})}})});
  Lowered lowered;
  FrameWriter frame(FrameKind::kRows);
  ASSERT_TRUE(frame.value(lowered.add(everything)));
  const std::string payload = payload_of(frame);
  expect_exact(payload, [](std::string_view bytes) {
    FrameReader reader(bytes);
    reader.value();
    return reader.finished();
  });

  // An array that says that it has more items than there are bytes, and one nested without an end.
  FrameReader too_many(std::string_view("\x19\xff\xff\xff\xff\x02", 6));
  too_many.value();
  EXPECT_FALSE(too_many.good());
  std::string deep;
  for (int i = 0; i < 10'000; ++i) deep += std::string("\x19\x01\0\0\0", 5);
  deep += "\x02";
  FrameReader nested(deep);
  nested.value();
  EXPECT_FALSE(nested.good());

  cnspec_value huge{};
  huge.type = CNSPEC_STRING;
  huge.as.str = {"", std::numeric_limits<std::uint64_t>::max()};
  FrameWriter none(FrameKind::kRows);
  EXPECT_FALSE(none.value(huge));
}

TEST(Rows, ThatAreNoneAreNotPlayed) {
  Manifest manifest;
  manifest.open_schema = true;
  for (const std::string& payload : {std::string("\x07"), std::string("\0", 1),
                                     std::string("\x01\xff\xff\xff\xff"), std::string("\x03\0\0\0", 4)}) {
    RowSink sink(manifest, false, {});
    EXPECT_FALSE(replay_rows(payload, sink));
  }
}

TEST(Rows, AreBatchedAndArriveAsTheyWereSent) {
  Manifest manifest;
  manifest.open_schema = true;
  RowSink sink(manifest, false, {"a"});
  int batches = 0;
  FrameSink rows({"a"}, 1, [&](std::string_view frame) {
    ++batches;
    EXPECT_TRUE(replay_rows(frame.substr(sizeof(FrameHeader)), sink));
    return true;
  });
  const std::string text(100, 'x');
  for (int i = 0; i < 10'000; ++i) {
    EXPECT_EQ(rows.row_begin(to_abi("thing"), to_abi("id")), CNSPEC_SINK_CONTINUE);
    cnspec_value value{};
    value.type = CNSPEC_STRING;
    value.as.str = to_abi(text);
    EXPECT_EQ(rows.put(0, value), CNSPEC_SINK_CONTINUE);
    EXPECT_EQ(rows.put(rows.field(to_abi("b")), value), CNSPEC_SINK_CONTINUE);
    EXPECT_EQ(rows.row_end(), CNSPEC_SINK_CONTINUE);
  }
  rows.flush();
  EXPECT_GT(batches, 20);
  EXPECT_LT(batches, 100);
  ASSERT_FALSE(sink.violation());
  const auto all = sink.take_rows();
  ASSERT_EQ(all.size(), 10'000u);
  EXPECT_EQ(all.back().text("b"), text);
}

TEST(Rows, StopWhereNobodyTakesThem) {
  FrameSink rows({}, 1, [](std::string_view) { return false; });
  std::int32_t answer = CNSPEC_SINK_CONTINUE;
  for (int i = 0; i < 100'000 && answer == CNSPEC_SINK_CONTINUE; ++i)
    answer = rows.row_begin(to_abi("thing"), to_abi("id"));
  EXPECT_EQ(answer, CNSPEC_SINK_STOP);
}

}  // namespace
