#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>

#include "document.hpp"

namespace cnspec::coreprovider {
namespace {

using sdk::Error;
using sdk::Value;

[[noreturn]] void fail(const YAML::Mark& mark, const std::string& why) {
  const std::string place = mark.is_null() ? ""
                                           : "line " + std::to_string(mark.line + 1) + ", column " +
                                                 std::to_string(mark.column + 1) + ": ";
  throw Error(CNSPEC_INVALID, "cannot parse the YAML document: " + place + why);
}

template <class T>
std::optional<T> whole_number(std::string_view text, int base) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> real_number(std::string_view text) {
  std::string_view digits = text;
  const bool negative = digits.starts_with('-');
  if (negative || digits.starts_with('+')) digits.remove_prefix(1);
  for (const char* spelled : {".inf", ".Inf", ".INF"}) {
    if (digits == spelled) return negative ? -HUGE_VAL : HUGE_VAL;
  }
  for (const char* spelled : {".nan", ".NaN", ".NAN"}) {
    if (text == spelled) return std::numeric_limits<double>::quiet_NaN();
  }
  if (digits.find_first_not_of("0123456789.eE+-") != std::string_view::npos) return std::nullopt;
  if (digits.find_first_of("0123456789") == std::string_view::npos) return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return negative ? -value : value;
}

// A plain scalar by YAML's core schema: yes, no, on and off are words.
Value plain(const std::string& text) {
  const auto is = [&](std::initializer_list<const char*> spelled) {
    return std::find(spelled.begin(), spelled.end(), text) != spelled.end();
  };
  if (is({"", "~", "null", "Null", "NULL"})) return {};
  if (is({"true", "True", "TRUE"})) return true;
  if (is({"false", "False", "FALSE"})) return false;
  if (text.starts_with("0x")) {
    if (const auto number = whole_number<int64_t>(std::string_view(text).substr(2), 16)) return *number;
  }
  if (text.starts_with("0o")) {
    if (const auto number = whole_number<int64_t>(std::string_view(text).substr(2), 8)) return *number;
  }
  const std::string_view digits =
      std::string_view(text).substr(text.starts_with('+') && text.size() > 1 ? 1 : 0);
  if (!digits.starts_with("+-")) {
    if (const auto number = whole_number<int64_t>(digits, 10)) return *number;
  }
  if (const auto number = real_number(text)) return *number;
  return text;
}

// What anchors repeat is counted as often as it is repeated, so that a small text cannot become a huge value.
class Converter {
 public:
  Value convert(const YAML::Node& node, int depth) {
    if (++count_ > kMaxValues) fail(node.Mark(), "it holds more than 1000000 values");
    if (depth > kMaxDepth) fail(node.Mark(), "it is nested deeper than 31 levels");
    switch (node.Type()) {
      case YAML::NodeType::Scalar: return scalar(node);
      case YAML::NodeType::Sequence: {
        Value::Array out;
        for (const YAML::Node& item : node) out.push_back(convert(item, depth + 1));
        return out;
      }
      case YAML::NodeType::Map: return mapping(node, depth);
      default: return {};
    }
  }

 private:
  static Value scalar(const YAML::Node& node) {
    const std::string& tag = node.Tag();
    if (tag == "!" || tag == "tag:yaml.org,2002:str") return node.Scalar();
    return plain(node.Scalar());
  }

  Value mapping(const YAML::Node& node, int depth) {
    Value::Map out;
    std::set<std::string> keys;
    for (const auto& entry : node) {
      if (!entry.first.IsScalar() && !entry.first.IsNull())
        fail(entry.first.Mark(), "a key has to be a word");
      std::string key = entry.first.IsNull() ? "null" : entry.first.Scalar();
      if (!keys.insert(key).second) fail(entry.first.Mark(), "the key \"" + key + "\" is there twice");
      Value value = convert(entry.second, depth + 1);
      out.emplace_back(std::move(key), std::move(value));
    }
    return out;
  }

  std::size_t count_ = 0;
};

}  // namespace

std::vector<Value> parse_yaml(std::string_view text) {
  if (text.size() > kMaxYaml) {
    throw Error(CNSPEC_INVALID, "cannot parse the YAML document: it is larger than 4 MiB");
  }
  std::vector<Value> out;
  try {
    Converter converter;
    for (const YAML::Node& document : YAML::LoadAll(std::string(text)))
      out.push_back(converter.convert(document, 1));
  } catch (const YAML::DeepRecursion& error) {
    fail(error.mark, "it is nested deeper than 31 levels");
  } catch (const YAML::Exception& error) {
    fail(error.mark, error.msg);
  }
  return out;
}

}  // namespace cnspec::coreprovider
