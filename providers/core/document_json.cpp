#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include <algorithm>
#include <cstdint>

#include "document.hpp"

namespace cnspec::coreprovider {
namespace {

using sdk::Error;
using sdk::Value;

bool blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

std::string place(std::string_view text, std::size_t offset) {
  const std::string_view before = text.substr(0, offset);
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const auto start = before.rfind('\n');
  const auto column = offset - (start == std::string_view::npos ? 0 : start + 1) + 1;
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

// Builds values as the parser meets them: no second tree, and no recursion for a deep one to exhaust.
class Builder : public rapidjson::BaseReaderHandler<rapidjson::UTF8<>, Builder> {
 public:
  const char* problem = nullptr;
  Value take() { return std::move(root_); }

  bool Null() { return add(Value()); }
  bool Bool(bool b) { return add(Value(b)); }
  bool Int(int i) { return Double(i); }
  bool Uint(unsigned u) { return Double(u); }
  bool Int64(int64_t i) { return Double(static_cast<double>(i)); }
  bool Uint64(uint64_t u) { return Double(static_cast<double>(u)); }
  bool Double(double d) { return add(Value(d)); }
  bool String(const char* text, rapidjson::SizeType size, bool) {
    return add(Value(std::string(text, size)));
  }
  bool Key(const char* text, rapidjson::SizeType size, bool) {
    open_.back().key.assign(text, size);
    return true;
  }
  bool StartObject() { return open(true); }
  bool StartArray() { return open(false); }
  bool EndObject(rapidjson::SizeType) {
    Level done = std::move(open_.back());
    open_.pop_back();
    unique(done.map);
    return add(Value(std::move(done.map)));
  }
  bool EndArray(rapidjson::SizeType) {
    Level done = std::move(open_.back());
    open_.pop_back();
    return add(Value(std::move(done.array)));
  }

 private:
  struct Level {
    bool is_map;
    std::string key;
    Value::Map map;
    Value::Array array;
  };

  bool fail(const char* why) {
    problem = why;
    return false;
  }

  bool open(bool is_map) {
    if (open_.size() >= static_cast<std::size_t>(kMaxDepth))
      return fail("it is nested deeper than 31 levels");
    open_.push_back({is_map, {}, {}, {}});
    return true;
  }

  bool add(Value value) {
    if (++count_ > kMaxValues) return fail("it holds more than 1000000 values");
    if (open_.empty())
      root_ = std::move(value);
    else if (open_.back().is_map)
      open_.back().map.emplace_back(std::move(open_.back().key), std::move(value));
    else
      open_.back().array.push_back(std::move(value));
    return true;
  }

  // Of a key that is there twice the last one counts.
  static void unique(Value::Map& map) {
    std::stable_sort(map.begin(), map.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    const auto kept = std::unique(map.rbegin(), map.rend(),
                                  [](const auto& a, const auto& b) { return a.first == b.first; });
    map.erase(map.begin(), kept.base());
  }

  std::vector<Level> open_;
  Value root_;
  std::size_t count_ = 0;
};

}  // namespace

Value parse_json(std::string_view text) {
  if (blank(text)) return {};
  constexpr unsigned kFlags = rapidjson::kParseIterativeFlag | rapidjson::kParseFullPrecisionFlag |
                              rapidjson::kParseValidateEncodingFlag;
  rapidjson::MemoryStream stream(text.data(), text.size());
  rapidjson::Reader reader;
  Builder builder;
  const auto result = reader.Parse<kFlags>(stream, builder);
  if (!result.IsError()) return builder.take();
  const std::string why = builder.problem ? builder.problem : rapidjson::GetParseError_En(result.Code());
  throw Error(CNSPEC_INVALID, "cannot parse the JSON document: " + place(text, result.Offset()) + ": " + why);
}

}  // namespace cnspec::coreprovider
