#include "config/json_text.hpp"

#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/reader.h>
#include <rapidjson/stringbuffer.h>

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

}  // namespace

Result<json::Document> parse_spelled(const std::string& text) {
  json::Document document;
  rapidjson::Reader reader;
  rapidjson::MemoryStream in(text.data(), text.size());
  auto build = [&](json::Document& into) {
    Builder builder{into};
    return !reader.Parse<kFlags>(in, builder).IsError();
  };
  document.Populate(build);
  if (reader.HasParseError()) {
    const bool deep = reader.GetParseErrorCode() == rapidjson::kParseErrorTermination;
    return fail("invalid JSON at byte " + std::to_string(reader.GetErrorOffset()) + ": " +
                    (deep ? "nested deeper than " + std::to_string(kMaxDepth) + " levels"
                          : rapidjson::GetParseError_En(reader.GetParseErrorCode())),
                ErrorKind::kInvalid);
  }
  return document;
}

std::string text_of(const json::Value& value) {
  const std::string_view text = json::view(value);
  return std::string(text.starts_with(kNumber) ? text.substr(1) : text);
}

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

}  // namespace cnspec::config
