#include "config/document.hpp"

#include <yaml-cpp/eventhandler.h>

#include <algorithm>
#include <cctype>
#include <set>
#include <sstream>

#include "base/text.hpp"
#include "config/config.hpp"
#include "config/json_text.hpp"
#include "config/keys.hpp"

namespace cnspec::config {
namespace {

bool is_json(const std::string& text) {
  return trim(text).starts_with('{') && parse_spelled(text).has_value();
}

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
    root = YAML::Load(text);
    SecondDocument second;
    if (second.is_in(text))
      return unusable(place(name, second.mark) + ": expected one document, found another");
  } catch (const YAML::Exception& error) {
    if (!is_json(text)) return unusable(place(name, error.mark) + ": " + printable(error.msg));
    root = from_json(*parse_spelled(text));
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

namespace {

// How deep and how large a tree may be that is written anew. References are followed, so that a text of few
// bytes can be a tree without end.
constexpr int kMaxDepth = 64;
constexpr int kMaxNodes = 100'000;

bool can_be_written(const YAML::Node& node, int depth, int& nodes) {
  if (depth > kMaxDepth || ++nodes > kMaxNodes) return false;
  if (node.IsSequence()) {
    for (const auto& item : node)
      if (!can_be_written(item, depth + 1, nodes)) return false;
  }
  if (node.IsMap()) {
    for (const auto& entry : node) {
      if (!can_be_written(entry.first, depth + 1, nodes)) return false;
      if (!can_be_written(entry.second, depth + 1, nodes)) return false;
    }
  }
  return true;
}

bool is_quoted(const YAML::Node& scalar) { return scalar.Tag() == "!"; }

// The same for every reader, and in the same order; or at least for us, who do not look at quotes.
bool same_tree(const YAML::Node& a, const YAML::Node& b, bool with_quotes = true) {
  if (a.Type() != b.Type()) return false;
  if (a.IsScalar()) return a.Scalar() == b.Scalar() && (!with_quotes || is_quoted(a) == is_quoted(b));
  if (a.size() != b.size()) return false;
  auto other = b.begin();
  for (const auto& item : a) {
    const auto& twin = *other++;
    if (a.IsMap() &&
        !(same_tree(item.first, twin.first, with_quotes) && same_tree(item.second, twin.second, with_quotes)))
      return false;
    if (a.IsSequence() && !same_tree(item, twin, with_quotes)) return false;
  }
  return true;
}

// A block keeps a key readable, but says nothing of how often a text ends its line or where it is indented.
bool fits_a_block(const std::string& text) {
  return text.find('\n') != text.npos && text.ends_with('\n') && !text.ends_with("\n\n") &&
         text.front() != ' ' && text.front() != '\n' && printable(text).find("\\x") == std::string::npos &&
         text.find('\t') == text.npos;
}

// yaml-cpp forgets which texts were quoted unless it is told again, and "true" must stay a text.
void emit(YAML::Emitter& out, const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Map:
      out << YAML::BeginMap;
      for (const auto& entry : node) {
        out << YAML::Key;
        emit(out, entry.first);
        out << YAML::Value;
        emit(out, entry.second);
      }
      out << YAML::EndMap;
      return;
    case YAML::NodeType::Sequence:
      out << YAML::BeginSeq;
      for (const auto& item : node) emit(out, item);
      out << YAML::EndSeq;
      return;
    case YAML::NodeType::Scalar:
      if (fits_a_block(node.Scalar()))
        out << YAML::Literal;
      else if (is_quoted(node) || node.Scalar().find('\n') != std::string::npos)
        out << YAML::DoubleQuoted;
      out << node.Scalar();
      return;
    default: out << YAML::Null;
  }
}

Result<std::string> emitted(const YAML::Node& root, const std::string& name) {
  YAML::Emitter out;
  emit(out, root);
  if (!out.good()) return fail(name + ": cannot be written as YAML: " + out.GetLastError());
  const std::string text = out.c_str();
  return text.ends_with('\n') ? text : text + "\n";  // a block at the end has its own
}

// Quoted, so that no reader takes a name like "on" or "1.10" for something else; but small numbers, which
// every reader gives back as they were.
YAML::Node value_node(const std::string& text) {
  YAML::Node node(text);
  const bool number = !text.empty() && text.size() < 10 && (text == "0" || text.front() != '0') &&
                      text.find_first_not_of("0123456789") == text.npos;
  if (!number) node.SetTag("!");
  return node;
}

YAML::Node name_node(const std::string& text) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  static const std::set<std::string> kWords = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"};
  YAML::Node node(text);
  std::string lower = text;
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  const bool plain = !lower.empty() && lower.front() >= 'a' && lower.front() <= 'z' &&
                     text.find_first_not_of(kPlain) == text.npos && kWords.count(lower) == 0;
  if (!plain) node.SetTag("!");
  return node;
}

// A copy with this entry changed, at its place when it is there; an undefined value removes it. The copy's
// entries are the original's: assigning to one would change whatever else refers to it.
YAML::Node with(const YAML::Node& map, const std::string& key, const YAML::Node& value) {
  YAML::Node out(YAML::NodeType::Map);
  bool done = !value.IsDefined();
  if (map.IsMap()) {
    for (const auto& entry : map) {
      if (!entry.first.IsScalar() || entry.first.Scalar() != key) {
        out.force_insert(entry.first, entry.second);
      } else if (!done) {
        out.force_insert(entry.first, value);
        done = true;
      }
    }
  }
  if (!done) out.force_insert(key, value);
  return out;
}

YAML::Node nothing() { return YAML::Node(YAML::NodeType::Undefined); }

YAML::Node entry_of(const YAML::Node& map, const std::string& key) {
  if (!map.IsMap()) return nothing();
  const YAML::Node entry =
      map[key];  // of a mapping without it, a node that throws when it is asked for its type
  return entry.IsDefined() ? entry : nothing();
}

// One entry of the mapping with its new value.
struct Edit {
  std::string key;
  YAML::Node value;  // undefined: none
};

// What the change means for the entries at the top: a dotted key also loses its flat form.
std::vector<Edit> edits_for(const YAML::Node& root, const Change& change) {
  const auto dot = change.key.find('.');
  const bool removed = !change.text && change.map.empty();
  YAML::Node value(removed ? YAML::NodeType::Undefined : YAML::NodeType::Map);
  if (change.text) value = value_node(*change.text);
  for (const auto& [name, text] : change.map) value.force_insert(name_node(name), value_node(text));
  if (dot == std::string::npos) return {{change.key, value}};

  std::vector<Edit> out = {{change.key, nothing()}};
  const std::string outer = change.key.substr(0, dot);
  const YAML::Node before = entry_of(root, outer);
  if (removed && !before.IsMap()) return out;
  out.push_back({outer, with(before, change.key.substr(dot + 1), value)});
  return out;
}

// ---- editing the lines of YAML ----

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find('\n', begin), text.size() - 1) + 1;
    out.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return out;
}

// Belongs to what comes next, or to nobody.
bool is_between(const std::string& line, std::size_t indentation) {
  const auto text = line.find_first_not_of(" \t\r\n");
  return text == line.npos || (line[text] == '#' && text <= indentation);
}

// The comment behind a text that stands on one line, with the blanks before it.
std::string comment_behind(const std::string& line, const YAML::Node& value) {
  if (!value.IsScalar() || value.Scalar().find('#') != std::string::npos) return "";
  auto begin = line.find(" #");
  if (begin == line.npos) return "";
  begin = line.find_last_not_of(' ', begin) + 1;
  return line.substr(begin, line.find_last_not_of("\r\n") + 1 - begin);
}

std::string indented(const std::string& text, std::size_t indentation, const std::string& line_end) {
  std::string out;
  for (const std::string& line : lines_of(text)) {
    const bool blank = line == "\n";
    out += (blank ? "" : std::string(indentation, ' ')) + line.substr(0, line.find('\n')) + line_end;
  }
  return out;
}

// The text with the lines of this entry changed; empty when its lines cannot be told from others'. Whoever
// calls reads the outcome again: what this takes to be lines of an entry is a guess at what YAML allows.
std::string with_lines(const std::string& text, const YAML::Node& root, const Edit& edit,
                       const std::string& name) {
  auto lines = lines_of(text);
  std::size_t first = lines.size(), last = lines.size(), indentation = 0;
  YAML::Node before = nothing();
  if (root.IsMap() && root.size() > 0) {
    if (root.Style() == YAML::EmitterStyle::Flow || root.Mark().is_null()) return "";
    indentation = static_cast<std::size_t>(root.begin()->first.Mark().column);
    for (const auto& entry : root) {
      const auto line = static_cast<std::size_t>(entry.first.Mark().line);
      if (static_cast<std::size_t>(entry.first.Mark().column) != indentation || line >= lines.size())
        return "";
      if (first < lines.size() && last == lines.size()) last = line;
      if (entry.first.IsScalar() && entry.first.Scalar() == edit.key) {
        first = line;
        before = entry.second;
      }
    }
  }
  const auto end_mark =
      std::find_if(lines.begin(), lines.end(), [](const auto& l) { return l.starts_with("..."); });
  last = std::min(last, static_cast<std::size_t>(end_mark - lines.begin()));
  if (first < lines.size()) {
    if (last <= first) return "";
    while (last > first + 1 && is_between(lines[last - 1], indentation)) --last;
  } else {
    first = last;
  }

  const std::string line_end = !lines.empty() && lines.front().ends_with("\r\n") ? "\r\n" : "\n";
  std::string entry;
  if (edit.value.IsDefined()) {
    auto written = emitted(with(YAML::Node(), edit.key, edit.value), name);
    if (!written) return "";
    entry = *written;
    if (last == first + 1 && entry.find('\n') == entry.size() - 1) {
      entry.insert(entry.size() - 1, comment_behind(lines[first], before));
    }
    entry = indented(entry, indentation, line_end);
  }
  std::string out;
  for (std::size_t i = 0; i < first; ++i) out += lines[i];
  if (!entry.empty() && !out.empty() && !out.ends_with('\n')) out += line_end;
  out += entry;
  for (std::size_t i = last; i < lines.size(); ++i) out += lines[i];
  return out;
}

Result<std::string> edited_yaml(std::string text, const Change& change, const std::string& name) {
  auto parsed = parse(text, name);
  if (!parsed) return fail(parsed.error());
  YAML::Node root = *parsed;
  int nodes = 0;
  if (!can_be_written(root, 0, nodes))
    return fail(name + ": is too large or nested too deeply to be changed");
  for (const Edit& edit : edits_for(root, change)) {
    const YAML::Node before = entry_of(root, edit.key);
    if (!before.IsDefined() && !edit.value.IsDefined()) continue;
    if (before.IsDefined() && edit.value.IsDefined() && same_tree(before, edit.value)) continue;
    const YAML::Node wanted = with(root, edit.key, edit.value);
    std::string candidate = with_lines(text, root, edit, name);
    auto again = parse(candidate, name);
    const bool nothing_left = wanted.size() == 0 && again && again->IsNull();
    if (!again || !(nothing_left || same_tree(*again, wanted))) {
      // Correct, at the price of comments.
      auto whole = emitted(wanted, name);
      if (!whole) return whole;
      candidate = std::move(*whole);
      again = parse(candidate, name);
      if (!again) return fail(again.error());
      // Such as a character of which YAML's reader and writer think differently.
      const bool same = wanted.size() == 0 ? again->size() == 0 : same_tree(*again, wanted, false);
      if (!same) {
        return fail(
            Error(name + ": cannot be changed without changing what else is in it", ErrorKind::kConfig)
                .hint("write " + edit.key + " into it by hand"));
      }
    }
    text = std::move(candidate);
    root = *again;
  }
  return text;
}

// ---- editing JSON ----

json::Value to_json(const YAML::Node& node, const std::string& key, json::Document::AllocatorType& alloc) {
  const auto string = [&alloc](const std::string& text) {
    return json::Value(text.data(), static_cast<rapidjson::SizeType>(text.size()), alloc);
  };
  if (node.IsMap()) {
    json::Value out(rapidjson::kObjectType);
    for (const auto& entry : node) {
      const std::string& name = entry.first.Scalar();
      out.AddMember(string(name), to_json(entry.second, key + "." + name, alloc), alloc);
    }
    return out;
  }
  const Key* known = key_named(key);
  if (known && known->kind == Kind::kMinutes && !is_quoted(node))
    return json::Value(std::stoi(node.Scalar()));
  return string(node.Scalar());
}

// How many blanks the first member is indented by; 0 for a text on one line.
int indentation_of(const std::string& text) {
  const auto line = text.find('\n');
  if (line == text.npos) return 0;
  const auto member = text.find_first_not_of(" \t\r\n", line);
  const auto begin = member == text.npos ? member : text.rfind('\n', member) + 1;
  if (member == text.npos || member <= begin || text[begin] == '\t') return 2;
  return static_cast<int>(std::min<std::size_t>(member - begin, 8));
}

void set_member(json::Value& object, const std::string& key, json::Value value,
                json::Document::AllocatorType& alloc) {
  const auto found = object.FindMember(key.c_str());
  if (found != object.MemberEnd()) {
    found->value = value;
  } else {
    object.AddMember(json::Value(key.c_str(), static_cast<rapidjson::SizeType>(key.size()), alloc), value,
                     alloc);
  }
}

Result<std::string> edited_json(const std::string& text, const std::vector<Change>& changes,
                                const std::string& name) {
  auto document = parse_spelled(text);
  if (!document) return fail(name + ": " + document.error().message(), ErrorKind::kConfig);
  auto& alloc = document->GetAllocator();
  for (const Change& change : changes) {
    for (const Edit& edit : edits_for(YAML::Node(), change)) {
      const json::Value* before = json::find(*document, edit.key);
      if (!edit.value.IsDefined()) {
        if (before) document->EraseMember(edit.key.c_str());
        continue;
      }
      json::Value value = to_json(edit.value, edit.key, alloc);
      if (edit.key != change.key && before && before->IsObject()) {
        json::Value merged;
        merged.CopyFrom(*before, alloc);
        for (auto& member : value.GetObject())
          set_member(merged, std::string(json::view(member.name)), std::move(member.value), alloc);
        value = std::move(merged);
      }
      set_member(*document, edit.key, std::move(value), alloc);
    }
  }
  return write_spelled(*document, indentation_of(text)) + "\n";
}

}  // namespace

Result<std::string> edited(const std::string& text, const std::vector<Change>& changes,
                           const std::string& name) {
  if (auto parsed = parse(text, name); !parsed) return fail(parsed.error());
  if (is_json(text)) return edited_json(text, changes, name);
  if (trim(text).empty() && name.ends_with(".json")) return edited_json("{\n}", changes, name);
  std::string out = text;
  for (const Change& change : changes) {
    auto next = edited_yaml(std::move(out), change, name);
    if (!next) return next;
    out = std::move(*next);
  }
  return out;
}

}  // namespace cnspec::config
