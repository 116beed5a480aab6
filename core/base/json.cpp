#include "base/json.hpp"

#include <rapidjson/error/en.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

namespace cnspec::json {
namespace {

constexpr int kMaxDepth = 64;

// Depth is checked before the document is built: RapidJSON's destructor and writers recurse.
// Where the text goes too deep; npos: nowhere.
std::size_t too_deep_at(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) return i;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return text.npos;
}

constexpr unsigned kFlags = rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag;

template <class Writer>
std::string write_with(const Value& value, rapidjson::StringBuffer& buffer, Writer& writer) {
  value.Accept(writer);
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace

Result<Document> parse(std::string_view text) {
  if (const auto at = too_deep_at(text); at != text.npos) {
    return fail("invalid JSON at byte " + std::to_string(at) + ": nested deeper than " +
                    std::to_string(kMaxDepth) + " levels",
                ErrorKind::kInvalid);
  }
  Document document;
  document.Parse<kFlags>(text.data(), text.size());
  if (document.HasParseError()) {
    return fail("invalid JSON at byte " + std::to_string(document.GetErrorOffset()) + ": " +
                    rapidjson::GetParseError_En(document.GetParseError()),
                ErrorKind::kInvalid);
  }
  return document;
}

const Value* find(const Value& object, std::string_view key) {
  if (!object.IsObject()) return nullptr;
  const auto it = object.FindMember(Value(key.data(), static_cast<rapidjson::SizeType>(key.size())));
  return it == object.MemberEnd() ? nullptr : &it->value;
}

std::string_view get_string(const Value& object, std::string_view key) {
  const Value* value = find(object, key);
  return value && value->IsString() ? view(*value) : std::string_view{};
}

bool get_bool(const Value& object, std::string_view key, bool otherwise) {
  const Value* value = find(object, key);
  return value && value->IsBool() ? value->GetBool() : otherwise;
}

std::string write(const Value& value) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  return write_with(value, buffer, writer);
}

std::string write_pretty(const Value& value, int indent) {
  rapidjson::StringBuffer buffer;
  rapidjson::PrettyWriter<rapidjson::StringBuffer> writer(buffer);
  writer.SetIndent(' ', static_cast<unsigned>(indent));
  return write_with(value, buffer, writer);
}

}  // namespace cnspec::json
