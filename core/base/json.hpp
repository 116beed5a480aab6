// RapidJSON, with the reading habits every caller needs. A document never throws and never recurses deeply.
#pragma once

#include <rapidjson/document.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace cnspec::json {

using Document = rapidjson::Document;
using Value = rapidjson::Value;

// Parses strict JSON; nesting beyond 64 levels is an error. The error names the byte offset.
Result<Document> parse(std::string_view text);

// The member, or null when `object` is no object or lacks it.
const Value* find(const Value& object, std::string_view key);
// The string member; empty when absent or of another type.
std::string_view get_string(const Value& object, std::string_view key);
bool get_bool(const Value& object, std::string_view key, bool otherwise);

// A string that is the document's own, with every byte, also a NUL.
inline Value text(std::string_view bytes, Document::AllocatorType& alloc) {
  return Value(bytes.data(), static_cast<rapidjson::SizeType>(bytes.size()), alloc);
}
inline std::string_view view(const Value& string) { return {string.GetString(), string.GetStringLength()}; }

std::string write(const Value& value);                     // compact
std::string write_pretty(const Value& value, int indent);  // one member a line

}  // namespace cnspec::json
