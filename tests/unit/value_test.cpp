#include "provider/value.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/json.hpp"
#include "provider/lower.hpp"

namespace {

using namespace cnspec::provider;

template <class T>
Value of(std::uint32_t type, T data) {
  Value value;
  value.type = type;
  value.data = std::move(data);
  return value;
}

std::string json(const Value& value) {
  cnspec::json::Document document;
  const auto v = to_json(value, document.GetAllocator());
  return cnspec::json::write(v);
}

TEST(Value, IsShownToPeople) {
  EXPECT_EQ(to_text({}), "null");
  EXPECT_EQ(to_text(true), "true");
  EXPECT_EQ(to_text(std::numeric_limits<std::int64_t>::min()), "-9223372036854775808");
  EXPECT_EQ(to_text(0.1), "0.1");
  EXPECT_EQ(to_text(std::numeric_limits<double>::quiet_NaN()), "NaN");
  EXPECT_EQ(to_text(-std::numeric_limits<double>::infinity()), "-Infinity");
  EXPECT_EQ(to_text("text"), "text");
  EXPECT_EQ(to_text(of(CNSPEC_BYTES, std::string("\0\xff", 2))), "AP8=");
  EXPECT_EQ(to_text(of(CNSPEC_VERSION, std::string("1:2.3"))), "1:2.3");
  EXPECT_EQ(to_text(of(CNSPEC_ERROR, std::string("gone"))), "error: gone");
  EXPECT_EQ(to_text(of(CNSPEC_REF, std::make_shared<const Ref>(Ref{"user", "0"}))),
            R"({"type":"user","id":"0"})");
  EXPECT_EQ(to_text(Value(Value::Array{1, "a", Value()})), R"([1,"a",null])");
  EXPECT_EQ(to_text(Value(Value::Map{{"k\"", 1}})), R"({"k\"":1})");
}

TEST(Value, ShowsTimesDurationsAndNever) {
  const auto time = [](std::int64_t seconds, std::uint32_t nanoseconds = 0) {
    return to_text(of(CNSPEC_TIME, cnspec_time{seconds, nanoseconds, 0}));
  };
  EXPECT_EQ(time(1711181261), "2024-03-23T08:07:41Z");
  EXPECT_EQ(time(1, 500'000'000), "1970-01-01T00:00:01.5Z");
  EXPECT_EQ(time(-62167219200 + 90), "90s");
  EXPECT_EQ(time(std::numeric_limits<std::int64_t>::max()), "Never");
  EXPECT_EQ(time(std::numeric_limits<std::int64_t>::max() - 1), "9223372036854775806")
      << "beyond every calendar";
  EXPECT_NE(time(std::numeric_limits<std::int64_t>::min()), "") << "nor does anything overflow";
}

TEST(Value, ShowsRangesAsShortAsTheyAre) {
  const auto range = [](cnspec_range r) { return to_text(of(CNSPEC_RANGE, r)); };
  EXPECT_EQ(range({3, 0, 0, 0}), "3");
  EXPECT_EQ(range({3, 0, 5, 0}), "3-5");
  EXPECT_EQ(range({3, 7, 5, 9}), "3:7-5:9");
}

TEST(Value, KeepsItsTypeInJson) {
  EXPECT_EQ(json(true), "true");
  EXPECT_EQ(json(7), "7");
  EXPECT_EQ(json(of(CNSPEC_ERROR, std::string("gone"))), R"({"error":"gone"})");
  EXPECT_EQ(json(of(CNSPEC_BYTES, std::string("a"))), "\"YQ==\"");
  EXPECT_EQ(json(Value(std::vector<std::string>{"a", "b"})), R"(["a","b"])");
}

TEST(Value, AnswersForOtherTypesWithNothing) {
  EXPECT_EQ(Value(3).text(), "");
  EXPECT_EQ(Value(3).texts(), std::vector<std::string>{});
  EXPECT_EQ(Value(3).ref(), nullptr);
  EXPECT_EQ(Value(Value::Array{"a", 3}).texts(), (std::vector<std::string>{"a", ""}));
}

TEST(Value, KeepsItsShapeInTheAbi) {
  const Value value(
      Value::Map{{"list", Value::Array{1, Value::Array{"deep"}}}, {"none", Value()}, {"yes", true}});
  Lowered lowered;
  const cnspec_value raw = lowered.add(value);
  ASSERT_EQ(raw.type, std::uint32_t{CNSPEC_MAP});
  ASSERT_EQ(raw.as.map.count, 3u);
  EXPECT_EQ(view(raw.as.map.entries[0].key), "list");
  const cnspec_value& list = raw.as.map.entries[0].value;
  ASSERT_EQ(list.as.array.count, 2u);
  EXPECT_EQ(list.as.array.items[0].as.i64, 1);
  EXPECT_EQ(view(list.as.array.items[1].as.array.items[0].as.str), "deep");
  EXPECT_EQ(raw.as.map.entries[1].value.type, std::uint32_t{CNSPEC_NULL});
  EXPECT_EQ(raw.as.map.entries[2].value.as.i64, 1);
}

}  // namespace
