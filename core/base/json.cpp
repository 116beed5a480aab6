#include "base/json.hpp"

#include <rapidjson/error/en.h>
#include <rapidjson/prettywriter.h>
#include <rapidjson/reader.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

namespace cnspec::json {
namespace {

constexpr int kMaxDepth = 64;

// Depth is checked before the document is built: RapidJSON's destructor and writers recurse.
struct DepthCheck : rapidjson::BaseReaderHandler<rapidjson::UTF8<>, DepthCheck> {
  int depth = 0;
  bool StartObject() { return ++depth <= kMaxDepth; }
  bool EndObject(rapidjson::SizeType) {
    --depth;
    return true;
  }
  bool StartArray() { return ++depth <= kMaxDepth; }
  bool EndArray(rapidjson::SizeType) {
    --depth;
    return true;
  }
};

constexpr unsigned kFlags = rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag;

template <class Writer>
std::string write_with(const Value& value, rapidjson::StringBuffer& buffer, Writer& writer) {
  value.Accept(writer);
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace

Result<Document> parse(std::string_view text) {
  rapidjson::MemoryStream check_stream(text.data(), text.size());
  rapidjson::Reader reader;
  DepthCheck check;
  const auto outcome = reader.Parse<kFlags>(check_stream, check);
  if (outcome.IsError()) {
    const std::string why = outcome.Code() == rapidjson::kParseErrorTermination
                                ? "nested deeper than " + std::to_string(kMaxDepth) + " levels"
                                : rapidjson::GetParseError_En(outcome.Code());
    return fail("invalid JSON at byte " + std::to_string(outcome.Offset()) + ": " + why, ErrorKind::kInvalid);
  }
  Document document;
  document.Parse<kFlags>(text.data(), text.size());
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
