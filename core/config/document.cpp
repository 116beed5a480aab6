#include "config/document.hpp"

#include <yaml-cpp/eventhandler.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "base/text.hpp"
#include "config/json_text.hpp"

namespace cnspec::config {
namespace {

// JSON that yaml-cpp cannot read, such as a character written as two surrogates; places are lost.
YAML::Node from_json(const json::Value& value) {
  if (value.IsObject()) {
    YAML::Node out(YAML::NodeType::Map);
    for (const auto& member : value.GetObject()) {
      out.force_insert(std::string(json::view(member.name)), from_json(member.value));
    }
    return out;
  }
  if (value.IsArray()) {
    YAML::Node out(YAML::NodeType::Sequence);
    for (const auto& item : value.GetArray()) out.push_back(from_json(item));
    return out;
  }
  if (value.IsNull()) return YAML::Node(YAML::NodeType::Null);
  return YAML::Node(value.IsBool() ? value.GetBool() ? "true" : "false" : text_of(value));
}

// yaml-cpp would read it and write something else.
tl::unexpected<Error> not_utf8(const std::string& text, const std::string& name) {
  const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
  std::size_t begin = 0;
  for (std::ptrdiff_t line = 1; line <= lines; ++line) {
    const auto end = std::min(text.find('\n', begin), text.size());
    if (!is_utf8(std::string_view(text).substr(begin, end - begin)))
      return unusable(name + ":" + std::to_string(line) + ": a character is not UTF-8");
    begin = end + 1;
  }
  return unusable(name + ": a character is not UTF-8");
}

// YAML::LoadAll would tell how many documents there are, but for some broken texts it never ends.
struct SecondDocument final : YAML::EventHandler {
  YAML::Mark mark;
  int documents = 0;

  bool is_in(const std::string& text) {
    if (text.find("\n---") == text.npos && text.find("\n...") == text.npos) return false;
    std::istringstream in(text);
    YAML::Parser parser(in);
    while (documents < 2 && parser.HandleNextDocument(*this)) ++documents;
    return documents == 2;
  }

  void OnDocumentStart(const YAML::Mark& at) override { mark = at; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
  }
  void OnMapEnd() override {}
};

// For YAML, a carriage return alone ends a line as well; for yaml-cpp it belongs to a text.
std::string with_known_line_ends(std::string text) {
  for (std::size_t at = 0; (at = text.find('\r', at)) != text.npos; ++at) {
    if (at + 1 == text.size() || text[at + 1] != '\n') text[at] = '\n';
  }
  return text;
}

Result<void> check_keys(const YAML::Node& map, const std::string& name) {
  std::set<std::string> seen;
  for (const auto& entry : map) {
    if (!entry.first.IsScalar()) continue;
    const std::string& key = entry.first.Scalar();
    if (!seen.insert(key).second)
      return unusable(place(name, entry.first.Mark()) + ": the key " + quoted_if_needed(key) +
                      " is there already");
  }
  return {};
}

}  // namespace

std::string place(const std::string& name, const YAML::Mark& mark) {
  if (mark.is_null()) return name;
  return name + ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1);
}

Result<YAML::Node> parse(const std::string& text, const std::string& name) {
  if (!is_utf8(text)) return not_utf8(text, name);
  YAML::Node root;
  try {
    const std::string lines = with_known_line_ends(text);
    root = YAML::Load(lines);
    SecondDocument second;
    if (second.is_in(lines))
      return unusable(place(name, second.mark) + ": expected one document, found another");
  } catch (const YAML::Exception& error) {
    const auto json = read_spelled(text);
    if (!json) return unusable(place(name, error.mark) + ": " + printable(error.msg));
    root = from_json(*json);
  }
  if (!root.IsNull() && !root.IsMap())
    return unusable(name + ": expected \"key: value\" lines (YAML) or a JSON object");
  if (auto good = check_keys(root, name); !good) return fail(good.error());
  return root;
}

YAML::Node find(const YAML::Node& root, const std::string& key) {
  if (!root.IsMap()) return YAML::Node(YAML::NodeType::Undefined);
  if (const YAML::Node flat = root[key]) return flat;
  const auto dot = key.find('.');
  if (dot == std::string::npos) return YAML::Node(YAML::NodeType::Undefined);
  const YAML::Node outer = root[key.substr(0, dot)];
  return outer && outer.IsMap() ? outer[key.substr(dot + 1)] : YAML::Node(YAML::NodeType::Undefined);
}

}  // namespace cnspec::config
