// The sink by itself: its limits, its numbers and its types. What bad providers do to it is in
// tests/conformance.

#include "provider/sink.hpp"

#include <gtest/gtest.h>
#include <malloc.h>

#include "provider/lower.hpp"

namespace {

using namespace cnspec::provider;
using cnspec::manifest::Field;
using cnspec::manifest::Resource;

Manifest manifest_of(std::vector<Field> fields) {
  Manifest m;
  Resource r;
  r.name = "thing";
  r.fields = std::move(fields);
  m.resources.push_back(r);
  r.name = "other";
  r.fields = {{"name", "int", "", false, 0}};
  m.resources.push_back(r);
  return m;
}

const Manifest& things() {
  static const Manifest m = manifest_of({{"name", "string", "", false, 0},
                                         {"tags", "map[string][]int", "", false, 0},
                                         {"extra", "dict", "", false, 0},
                                         {"any", "any", "", false, 0}});
  return m;
}

cnspec_value text(std::string_view s, std::uint32_t type = CNSPEC_STRING) {
  cnspec_value value{};
  value.type = type;
  value.as.str = to_abi(s);
  return value;
}

std::string violation(const RowSink& sink) { return sink.violation() ? sink.violation()->message() : ""; }

TEST(RowSink, GivesTheWantedFieldsTheFirstNumbers) {
  RowSink sink(things(), false, {"tags", "name"});
  EXPECT_EQ(sink.field(to_abi("name")), 1u);
  EXPECT_EQ(sink.field(to_abi("tags")), 0u);
  EXPECT_EQ(sink.field(to_abi("extra")), 2u);
  EXPECT_EQ(sink.field(to_abi("extra")), 2u);
}

// A row takes the memory of what was put into it, and not of the names that were asked for.
TEST(RowSink, PaysForNoNames) {
  RowSink sink(things(), false, {});
  for (int i = 0; i < 4096; ++i) sink.field(to_abi("name" + std::to_string(i)));
  const auto used = [] {
    const struct mallinfo2 all = ::mallinfo2();  // nothing, with a sanitizer
    return all.uordblks + all.hblkhd;
  };
  const auto before = used();
  for (int i = 0; i < 5000; ++i) {
    ASSERT_EQ(sink.row_begin(to_abi("thing"), to_abi("t")), CNSPEC_SINK_CONTINUE);
    ASSERT_EQ(sink.row_end(), CNSPEC_SINK_CONTINUE);
  }
  EXPECT_LT(used() - before, 16u << 20);
}

TEST(RowSink, KeepsRowsOfSeveralTypesApart) {
  RowSink sink(things(), false, {"name"});
  cnspec_value number{};
  number.type = CNSPEC_INT;
  number.as.i64 = 3;
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(sink.row_begin(to_abi("thing"), to_abi("t")), CNSPEC_SINK_CONTINUE);
    EXPECT_EQ(sink.put(0, text("n")), CNSPEC_SINK_CONTINUE);
    EXPECT_EQ(sink.row_end(), CNSPEC_SINK_CONTINUE);
    EXPECT_EQ(sink.row_begin(to_abi("other"), to_abi("o")), CNSPEC_SINK_CONTINUE);
    EXPECT_EQ(sink.put(0, number), CNSPEC_SINK_CONTINUE);
    EXPECT_EQ(sink.row_end(), CNSPEC_SINK_CONTINUE);
  }
  const auto rows = sink.take_rows();
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[2].text("name"), "n");
  EXPECT_EQ(rows[3].text("name"), "3");
  EXPECT_EQ(rows[3].type, "other");
}

TEST(RowSink, LearnsFieldsInTheMiddleOfARow) {
  RowSink sink(things(), false, {});
  (void)sink.row_begin(to_abi("thing"), {});
  EXPECT_EQ(sink.put(sink.field(to_abi("name")), text("n")), CNSPEC_SINK_CONTINUE);
  EXPECT_EQ(sink.put(sink.field(to_abi("any")), text("x", CNSPEC_IP)), CNSPEC_SINK_CONTINUE);
  EXPECT_EQ(sink.put(sink.field(to_abi("gone")), text("x")), CNSPEC_SINK_STOP);
  EXPECT_EQ(violation(sink), "sent the field \"gone\" of \"thing\", which its manifest does not declare");
  EXPECT_EQ(sink.row_end(), CNSPEC_SINK_STOP) << "after a violation nothing is taken";
}

TEST(RowSink, CountsRowsAndBytes) {
  RowSink few(things(), false, {"name"}, {.bytes = 1 << 20, .rows = 1});
  (void)few.row_begin(to_abi("thing"), {});
  (void)few.row_end();
  EXPECT_EQ(few.row_begin(to_abi("thing"), {}), CNSPEC_SINK_STOP);
  EXPECT_EQ(violation(few), "sent more than 1 rows");

  RowSink small(things(), false, {"name"}, {.bytes = 1000, .rows = 10});
  (void)small.row_begin(to_abi("thing"), {});
  EXPECT_EQ(small.put(0, text(std::string(500, 'x'))), CNSPEC_SINK_CONTINUE);
  EXPECT_EQ(small.put(0, text(std::string(500, 'x'))), CNSPEC_SINK_STOP);
  EXPECT_EQ(violation(small), "sent more than 1000 bytes");

  // An array whose count is a lie is not read further than the limit allows.
  RowSink lied(things(), false, {"any"}, {.bytes = 1000, .rows = 10});
  std::vector<cnspec_value> items(100, text(""));
  cnspec_value array{};
  array.type = CNSPEC_ARRAY;
  array.as.array = {items.data(), UINT64_MAX};
  (void)lied.row_begin(to_abi("thing"), {});
  EXPECT_EQ(lied.put(0, array), CNSPEC_SINK_STOP);
  EXPECT_EQ(violation(lied), "sent more than 1000 bytes");
}

TEST(RowSink, ReadsNoTextThatIsLargerThanTheLimit) {
  RowSink sink(things(), false, {"name"});
  cnspec_str id = to_abi("x");
  id.size = UINT64_MAX;
  EXPECT_EQ(sink.row_begin(to_abi("thing"), id), CNSPEC_SINK_STOP);
  EXPECT_EQ(violation(sink), "sent more than 268435456 bytes");
}

TEST(RowSink, ChecksTypesAllTheWayDown) {
  const auto put = [](const char* field, const Value& value) {
    RowSink sink(things(), false, {field});
    Lowered lowered;
    (void)sink.row_begin(to_abi("thing"), {});
    (void)sink.put(0, lowered.add(value));
    return violation(sink);
  };
  EXPECT_EQ(put("tags", Value::Map{{"a", Value::Array{1, 2}}, {"b", Value::Array{}}}), "");
  EXPECT_EQ(
      put("tags", Value::Map{{"a", Value::Array{1, "2"}}}),
      "sent the field \"tags\" of \"thing\" as map[string][]any, its manifest declares map[string][]int");
  EXPECT_EQ(put("tags", Value::Map{{"a", 1}}),
            "sent the field \"tags\" of \"thing\" as map[string]int, its manifest declares map[string][]int");
  EXPECT_EQ(put("extra", Value::Map{{"a", Value::Array{1, 2.5, true, "x", Value()}}}), "");
  Value ip = "192.0.2.1";
  ip.type = CNSPEC_IP;
  EXPECT_EQ(put("extra", Value::Array{ip}),
            "sent the field \"extra\" of \"thing\" as []ip, its manifest declares dict");
  EXPECT_EQ(put("any", Value::Array{ip}), "");
}

TEST(RowSink, TakesUndeclaredTypesOfAnOpenSchema) {
  Manifest open = things();
  open.open_schema = true;
  RowSink sink(open, false, {"whatever"});
  (void)sink.row_begin(to_abi("unheard.of"), to_abi("u"));
  EXPECT_EQ(sink.put(0, text("v")), CNSPEC_SINK_CONTINUE);
  EXPECT_EQ(sink.row_end(), CNSPEC_SINK_CONTINUE);
  EXPECT_EQ(sink.take_rows().front().text("whatever"), "v");
}

TEST(RowSink, CanCopyLongTextThatIsNotAscii) {
  RowSink sink(things(), false, {"name"});
  (void)sink.row_begin(to_abi("thing"), {});
  const std::string good = "0123456\u00e9 and more text behind it";
  EXPECT_EQ(sink.put(0, text(good)), CNSPEC_SINK_CONTINUE);
  (void)sink.row_end();
  (void)sink.row_begin(to_abi("thing"), {});
  EXPECT_EQ(sink.put(0, text("0123456\xc3 cut")), CNSPEC_SINK_CONTINUE);
  (void)sink.row_end();
  const auto rows = sink.take_rows();
  EXPECT_EQ(rows[0].text("name"), good);
  EXPECT_EQ(rows[1].text("name"), "0123456\ufffd cut");
}

}  // namespace
