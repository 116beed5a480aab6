#include "config/value.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>
#include <sstream>

#include "base/json.hpp"
#include "base/text.hpp"
#include "config/document.hpp"

namespace cnspec::config {
namespace {

std::optional<int> to_minutes(const std::string& text) {
  int minutes = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), minutes);
  if (error != std::errc() || end != text.data() + text.size() || minutes < 0) return std::nullopt;
  return minutes;
}

std::string expected(const Key& key) {
  switch (key.kind) {
    case Kind::kTruth: return "be true or false";
    case Kind::kMinutes: return "be a whole number of minutes";
    case Kind::kTexts: return "be a list of texts";
    case Kind::kMap: return "map names to texts";
    case Kind::kWord:
    case Kind::kWordByName: return "be " + join({key.words.begin(), key.words.end()}, " or ");
    default: return "be text";
  }
}

tl::unexpected<Error> unfit(const Key& key, const std::string& expectation, const std::string& found,
                            const std::string& where) {
  return unusable(where + ": " + key.name + " must " + expectation + ", found " + found);
}

Result<Value> map_from(const Key& key, const YAML::Node& node, const std::string& name) {
  const auto refuse = [&](const YAML::Node& at, const YAML::Node& found) {
    return unfit(key, "map names to texts", kind_name(found), place(name, at.Mark()));
  };
  std::map<std::string, std::string> out;
  if (!node.IsMap()) return refuse(node, node);
  for (const auto& entry : node) {
    if (!entry.first.IsScalar()) return refuse(entry.first, entry.first);
    if (!entry.second.IsScalar() && !entry.second.IsNull()) return refuse(entry.first, entry.second);
    const std::string text = entry.second.IsScalar() ? entry.second.Scalar() : "";
    if (!key.words.empty()) {
      if (auto word = value_from_text(key, text, place(name, entry.second.Mark())); !word) return word;
    }
    out[entry.first.Scalar()] = text;
  }
  return Value(out);
}

Result<Value> texts_from(const Key& key, const YAML::Node& node, const std::string& name) {
  std::vector<std::string> out;
  for (const auto& item : node) {
    if (!item.IsScalar()) return unfit(key, expected(key), kind_name(item), place(name, item.Mark()));
    out.push_back(item.Scalar());
  }
  return Value(out);
}

}  // namespace

const char* kind_name(const YAML::Node& node) {
  return node.IsMap() ? "a mapping" : node.IsSequence() ? "a list" : node.IsNull() ? "nothing" : "a text";
}

Result<Value> value_from_text(const Key& key, const std::string& text, const std::string& where) {
  std::optional<Value> value;
  if (key.kind == Kind::kTruth) {
    if (const auto truth = to_truth(text)) value = *truth;
  } else if (key.kind == Kind::kMinutes) {
    if (const auto minutes = to_minutes(text)) value = *minutes;
  } else if (key.kind == Kind::kTexts) {
    std::istringstream in(text);
    value = std::vector<std::string>(std::istream_iterator<std::string>(in), {});
  } else if (key.words.empty() || std::find(key.words.begin(), key.words.end(), text) != key.words.end()) {
    value = text;
  }
  if (!value) return unfit(key, expected(key), quoted_if_needed(text), where);
  return std::move(*value);
}

Result<Value> value_from_node(const Key& key, const YAML::Node& node, const std::string& name) {
  if (key.kind == Kind::kMap || (key.kind == Kind::kWordByName && node.IsMap()))
    return map_from(key, node, name);
  if (key.kind == Kind::kTexts && node.IsSequence()) return texts_from(key, node, name);
  const std::string where = place(name, node.Mark());
  return node.IsScalar() ? value_from_text(key, node.Scalar(), where)
                         : unfit(key, expected(key), kind_name(node), where);
}

Result<Value> value_from_variable(const Key& key, const std::string& text, const std::string& variable) {
  const bool by_name = key.kind == Kind::kWordByName && text.starts_with('{');
  if (key.kind != Kind::kMap && !by_name) return value_from_text(key, text, variable);
  auto parsed = json::parse(text);
  if (!parsed || !parsed->IsObject()) {
    return unusable(variable + ": expected a JSON object such as {\"name\": \"text\"}");
  }
  auto node = parse(text, variable);
  return node ? map_from(key, node->IsNull() ? YAML::Node(YAML::NodeType::Map) : *node, variable)
              : fail(node.error());
}

}  // namespace cnspec::config
