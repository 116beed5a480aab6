#include "config/json_text.hpp"

#include <rapidjson/memorystream.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/reader.h>
#include <rapidjson/stringbuffer.h>

#include <algorithm>

#include "base/text.hpp"
#include "config/keys.hpp"

namespace cnspec::config {
namespace {

constexpr int kMaxDepth = 64;
constexpr unsigned kFlags = rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag |
                            rapidjson::kParseNumbersAsStringsFlag;

// Stands before a number. No text that was parsed holds this byte: it is in no UTF-8.
constexpr char kNumber = '\xff';

// Builds the document, as rapidjson's own does, but for numbers and for its depth: what has been built is
// written and destroyed by recursion.
struct Builder {
  using Size = rapidjson::SizeType;
  json::Document& document;
  int depth = 0;

  bool Null() { return document.Null(); }
  bool Bool(bool value) { return document.Bool(value); }
  bool String(const char* text, Size size, bool copy) { return document.String(text, size, copy); }
  bool Key(const char* text, Size size, bool copy) { return document.Key(text, size, copy); }
  bool StartObject() { return ++depth <= kMaxDepth && document.StartObject(); }
  bool EndObject(Size members) { return --depth >= 0 && document.EndObject(members); }
  bool StartArray() { return ++depth <= kMaxDepth && document.StartArray(); }
  bool EndArray(Size items) { return --depth >= 0 && document.EndArray(items); }
  bool RawNumber(const char* text, Size size, bool) {
    const std::string marked = kNumber + std::string(text, size);
    return document.String(marked.data(), static_cast<Size>(marked.size()), true);
  }
  // Never called, since numbers are asked for as texts.
  bool Int(int value) { return document.Int(value); }
  bool Uint(unsigned value) { return document.Uint(value); }
  bool Int64(std::int64_t value) { return document.Int64(value); }
  bool Uint64(std::uint64_t value) { return document.Uint64(value); }
  bool Double(double value) { return document.Double(value); }
};

template <class Writer>
struct Spelling : Writer {
  using Writer::Writer;
  bool String(const char* text, rapidjson::SizeType size, bool copy = false) {
    const bool number = size > 0 && *text == kNumber;
    return number ? this->RawValue(text + 1, size - 1, rapidjson::kNumberType)
                  : Writer::String(text, size, copy);
  }
};

std::string write_spelled(const json::Value& value, int indentation) {
  rapidjson::StringBuffer buffer;
  if (indentation == 0) {
    Spelling<rapidjson::Writer<rapidjson::StringBuffer>> writer(buffer);
    value.Accept(writer);
  } else {
    Spelling<rapidjson::PrettyWriter<rapidjson::StringBuffer>> writer(buffer);
    writer.SetIndent(' ', static_cast<unsigned>(indentation));
    value.Accept(writer);
  }
  return {buffer.GetString(), buffer.GetSize()};
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

// A number where every reader of the key expects one.
std::string spelled(const std::string& key, const std::string& text) {
  const Key* known = key_named(key);
  const bool number = known && known->kind == Kind::kMinutes && is_small_number(text);
  return number ? kNumber + text : text;
}

// The changes of one document.
class Editor {
 public:
  explicit Editor(json::Document& document) : document_(document), alloc_(document.GetAllocator()) {}

  void apply(const Change& change) {
    json::Value value;  // null: remove
    if (change.text) value = string(spelled(change.key, *change.text));
    if (!change.map.empty()) value.SetObject();
    for (const auto& [name, text] : change.map) value.AddMember(string(name), string(text), alloc_);

    const auto dot = change.key.find('.');
    if (dot == std::string::npos) return set(document_, change.key, std::move(value));
    set(document_, change.key, {});  // its flat form
    const std::string outer = change.key.substr(0, dot);
    const json::Value* before = json::find(document_, outer);
    const bool there = before && before->IsObject();
    if (value.IsNull() && !there) return;
    if (!there) set(document_, outer, json::Value(rapidjson::kObjectType));
    set(document_.FindMember(outer.c_str())->value, change.key.substr(dot + 1), std::move(value));
  }

 private:
  json::Value string(const std::string& text) { return json::text(text, alloc_); }
  void set(json::Value& object, const std::string& key, json::Value value) {
    const auto found = object.FindMember(key.c_str());
    const bool there = found != object.MemberEnd();
    if (value.IsNull()) {
      if (there) object.EraseMember(found);
    } else if (there) {
      found->value = value;
    } else {
      object.AddMember(string(key), value, alloc_);
    }
  }

  json::Document& document_;
  json::Document::AllocatorType& alloc_;
};

}  // namespace

std::optional<json::Document> read_spelled(const std::string& text) {
  if (!trim(text).starts_with('{')) return std::nullopt;
  json::Document document;
  rapidjson::Reader reader;
  rapidjson::MemoryStream in(text.data(), text.size());
  auto build = [&](json::Document& into) {
    Builder builder{into};
    return !reader.Parse<kFlags>(in, builder).IsError();
  };
  document.Populate(build);
  if (reader.HasParseError()) return std::nullopt;
  return document;
}

std::string text_of(const json::Value& value) {
  const std::string_view text = json::view(value);
  return std::string(text.starts_with(kNumber) ? text.substr(1) : text);
}

std::string edited_json(const std::string& text, json::Document document,
                        const std::vector<Change>& changes) {
  Editor editor(document);
  for (const Change& change : changes) editor.apply(change);
  return write_spelled(document, indentation_of(text)) + "\n";
}

}  // namespace cnspec::config
