// What save() writes of a file: YAML by its lines, JSON as JSON.
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <optional>
#include <set>

#include "base/text.hpp"
#include "config/config.hpp"
#include "config/document.hpp"
#include "config/json_text.hpp"
#include "config/keys.hpp"

namespace cnspec::config {
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
  if (!is_small_number(text)) node.SetTag("!");
  return node;
}

YAML::Node name_node(const std::string& text) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";
  static const std::set<std::string> kWords = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"};
  YAML::Node node(text);
  const std::string lower = to_lower(text);
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

// Where an entry of the mapping stands, or (an empty span) where a new one would.
struct Span {
  std::size_t first = 0, last = 0;  // lines; last is the one behind
  std::size_t indentation = 0;
  YAML::Node value = nothing();
};

// Nothing: its lines cannot be told from others'. What this takes to be lines of an entry is a guess at what
// YAML allows.
std::optional<Span> find_span(const std::vector<std::string>& lines, const YAML::Node& root,
                              const std::string& key) {
  const auto end_mark =
      std::find_if(lines.begin(), lines.end(), [](const auto& l) { return l.starts_with("..."); });
  const auto end = static_cast<std::size_t>(end_mark - lines.begin());
  Span span{end, end};
  if (!root.IsMap() || root.size() == 0) return span;
  if (root.Style() == YAML::EmitterStyle::Flow || root.Mark().is_null()) return std::nullopt;
  span.indentation = static_cast<std::size_t>(root.begin()->first.Mark().column);
  bool found = false;
  for (const auto& entry : root) {
    const auto line = static_cast<std::size_t>(entry.first.Mark().line);
    if (static_cast<std::size_t>(entry.first.Mark().column) != span.indentation || line >= lines.size())
      return std::nullopt;
    if (found && span.last == end) span.last = std::min(line, end);
    if (entry.first.IsScalar() && entry.first.Scalar() == key) {
      found = true;
      span.first = line;
      span.value = entry.second;
    }
  }
  if (!found) return span;
  if (span.last <= span.first) return std::nullopt;
  while (span.last > span.first + 1 && is_between(lines[span.last - 1], span.indentation)) --span.last;
  return span;
}

// The text with the lines of this entry changed; empty when that cannot be. Whoever calls reads the outcome
// again.
std::string with_lines(const std::string& text, const YAML::Node& root, const Edit& edit,
                       const std::string& name) {
  const auto lines = lines_of(text);
  const auto span = find_span(lines, root, edit.key);
  if (!span) return "";
  const std::string line_end = !lines.empty() && lines.front().ends_with("\r\n") ? "\r\n" : "\n";
  std::string entry;
  if (edit.value.IsDefined()) {
    auto written = emitted(with(YAML::Node(), edit.key, edit.value), name);
    if (!written) return "";
    entry = *written;
    if (span->last == span->first + 1 && entry.find('\n') == entry.size() - 1)
      entry.insert(entry.size() - 1, comment_behind(lines[span->first], span->value));
    entry = indented(entry, span->indentation, line_end);
  }
  std::string out;
  for (std::size_t i = 0; i < span->first; ++i) out += lines[i];
  if (!entry.empty() && !out.empty() && !out.ends_with('\n')) out += line_end;
  out += entry;
  for (std::size_t i = span->last; i < lines.size(); ++i) out += lines[i];
  return out;
}

// Correct, at the price of comments.
Result<std::string> written_anew(const YAML::Node& wanted, const std::string& key, const std::string& name) {
  auto text = emitted(wanted, name);
  if (!text) return text;
  const auto again = parse(*text, name);
  if (!again) return fail(again.error());
  // Such as a character of which YAML's reader and writer think differently.
  if (wanted.size() == 0 ? again->size() == 0 : same_tree(*again, wanted, false)) return text;
  return fail(Error(name + ": cannot be changed without changing what else is in it", ErrorKind::kConfig)
                  .hint("write " + key + " into it by hand"));
}

Result<std::string> edited_yaml(std::string text, const Change& change, const std::string& name) {
  auto root = parse(text, name);
  if (!root) return fail(root.error());
  int nodes = 0;
  if (!can_be_written(*root, 0, nodes))
    return fail(name + ": is too large or nested too deeply to be changed");
  for (const Edit& edit : edits_for(*root, change)) {
    const YAML::Node before = entry_of(*root, edit.key);
    if (!before.IsDefined() && !edit.value.IsDefined()) continue;
    if (before.IsDefined() && edit.value.IsDefined() && same_tree(before, edit.value)) continue;
    const YAML::Node wanted = with(*root, edit.key, edit.value);
    Result<std::string> candidate = with_lines(text, *root, edit, name);
    auto again = parse(*candidate, name);
    const bool nothing_left = wanted.size() == 0 && again && again->IsNull();
    if (!again || !(nothing_left || same_tree(*again, wanted))) {
      candidate = written_anew(wanted, edit.key, name);
      if (!candidate) return candidate;
      again = parse(*candidate, name);
    }
    text = std::move(*candidate);
    root = std::move(again);
  }
  return text;
}

}  // namespace

Result<std::string> edited(const std::string& text, const std::vector<Change>& changes,
                           const std::string& name) {
  if (auto parsed = parse(text, name); !parsed) return fail(parsed.error());
  const std::string json = trim(text).empty() && name.ends_with(".json") ? "{\n}" : text;
  if (auto document = read_spelled(json)) return edited_json(json, std::move(*document), changes);
  std::string out = text;
  for (const Change& change : changes) {
    auto next = edited_yaml(std::move(out), change, name);
    if (!next) return next;
    out = std::move(*next);
  }
  return out;
}

}  // namespace cnspec::config
