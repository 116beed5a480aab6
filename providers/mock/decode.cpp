#include "decode.hpp"

#include <cstdint>
#include <limits>

namespace cnspec::mock {
namespace {

using sdk::Error;
using sdk::Value;

constexpr int kMaxDepth = 31;  // the host takes no value deeper than 32 levels

// MQL's numbers for types that the ABI has none for.
constexpr unsigned char kAny = 0x01, kReference = 0x03, kDict = 0x0a, kScore = 0x0b, kBlock = 0x0c,
                        kEmpty = 0x0d, kFunction = 0x1c, kSlice = 0x1d;

std::string_view text(const rapidjson::Value& value) { return {value.GetString(), value.GetStringLength()}; }

std::string name_of_type(unsigned char type) {
  switch (type) {
    case CNSPEC_UNSET: return "unset";
    case kReference: return "ref";
    case CNSPEC_BOOL: return "bool";
    case CNSPEC_INT: return "int";
    case CNSPEC_FLOAT: return "float";
    case CNSPEC_STRING: return "string";
    case CNSPEC_REGEX: return "regex";
    case CNSPEC_TIME: return "time";
    case kScore: return "score";
    case kBlock: return "block";
    case kEmpty: return "empty";
    case CNSPEC_VERSION: return "version";
    case CNSPEC_IP: return "ip";
    case CNSPEC_ARRAY: return "list";
    case CNSPEC_MAP: return "map";
    case CNSPEC_REF: return "resource";
    case kFunction: return "function";
    case kSlice: return "string slice";
    case CNSPEC_RANGE: return "range";
    default: return "type number " + std::to_string(type);
  }
}

const char* name_of_json(const rapidjson::Value& value) {
  switch (value.GetType()) {
    case rapidjson::kNullType: return "null";
    case rapidjson::kFalseType:
    case rapidjson::kTrueType: return "a bool";
    case rapidjson::kObjectType: return "an object";
    case rapidjson::kArrayType: return "a list";
    case rapidjson::kStringType: return "a string";
    case rapidjson::kNumberType: return "a number";
  }
  return "unknown";
}

// Text decides nothing about its type: numbers are floats, as MQL has it for JSON.
Value decode_json(const rapidjson::Value& value, int depth) {
  if (depth > kMaxDepth) throw Error(CNSPEC_INVALID, "the recorded value is nested deeper than 31 levels");
  if (value.IsBool()) return value.GetBool();
  if (value.IsNumber()) return value.GetDouble();
  if (value.IsString()) return text(value);
  if (value.IsArray()) {
    Value::Array out;
    for (const auto& item : value.GetArray()) out.push_back(decode_json(item, depth + 1));
    return out;
  }
  if (value.IsObject()) {
    Value::Map out;
    for (const auto& member : value.GetObject()) {
      out.emplace_back(std::string(text(member.name)), decode_json(member.value, depth + 1));
    }
    return out;
  }
  return {};
}

int64_t whole(const rapidjson::Value& value) {
  if (value.IsInt64()) return value.GetInt64();
  // Written by a program whose numbers are all floats.
  const double number = value.GetDouble();
  if (!(number >= -9.2e18 && number <= 9.2e18)) {
    throw Error(CNSPEC_INVALID, "the recorded number does not fit into 64 bits");
  }
  return static_cast<int64_t>(number);
}

// Seconds since 1970, or, for durations, since year 0 in the same count.
Value time_of(const rapidjson::Value& value) {
  if (value.IsUint64() && value.GetUint64() >= static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return cnspec_time{std::numeric_limits<int64_t>::max(), 0, 0};
  }
  return cnspec_time{whole(value), 0, 0};
}

}  // namespace

Value decode(std::string_view type, const rapidjson::Value& value, int depth) {
  if (depth > kMaxDepth) throw Error(CNSPEC_INVALID, "the recorded value is nested deeper than 31 levels");
  if (value.IsNull()) return {};
  if (type.empty()) throw Error(CNSPEC_INVALID, "the recorded value has no type");
  const auto tag = static_cast<unsigned char>(type[0]);
  const std::string_view rest = type.substr(1);
  const auto expect = [&](bool fits) {
    if (!fits)
      throw Error(CNSPEC_INVALID,
                  "recorded as " + name_of_type(tag) + ", but its value is " + name_of_json(value));
  };
  switch (tag) {
    case kAny:
    case kDict: return decode_json(value, depth);
    case CNSPEC_NULL: return {};
    case CNSPEC_BOOL: expect(value.IsBool()); return value.GetBool();
    case CNSPEC_INT: expect(value.IsNumber()); return whole(value);
    case CNSPEC_FLOAT: expect(value.IsNumber()); return value.GetDouble();
    case CNSPEC_STRING: expect(value.IsString()); return text(value);
    case CNSPEC_REGEX: expect(value.IsString()); return sdk::Regex{std::string(text(value))};
    case CNSPEC_VERSION: expect(value.IsString()); return sdk::Version{std::string(text(value))};
    case CNSPEC_IP: expect(value.IsString()); return sdk::Ip{std::string(text(value))};
    case CNSPEC_TIME: expect(value.IsNumber()); return time_of(value);
    case CNSPEC_ARRAY: {
      expect(value.IsArray());
      Value::Array out;
      for (const auto& item : value.GetArray()) out.push_back(decode(rest, item, depth + 1));
      return out;
    }
    case CNSPEC_MAP: {
      expect(value.IsObject());
      // The type of the keys comes first; in JSON they are strings all the same.
      if (rest.empty())
        throw Error(CNSPEC_INVALID, "recorded as map, without the types of its keys and values");
      Value::Map out;
      for (const auto& member : value.GetObject()) {
        out.emplace_back(std::string(text(member.name)), decode(rest.substr(1), member.value, depth + 1));
      }
      return out;
    }
    case CNSPEC_REF: {
      expect(value.IsObject());
      const auto name = value.FindMember("Name");
      const auto id = value.FindMember("ID");
      const bool complete = id != value.MemberEnd() && id->value.IsString();
      if (!complete)
        throw Error(CNSPEC_INVALID,
                    "recorded as the resource " + std::string(rest) + ", but its value has no ID");
      const bool named =
          name != value.MemberEnd() && name->value.IsString() && name->value.GetStringLength() > 0;
      return sdk::Ref{std::string(named ? text(name->value) : rest), std::string(text(id->value))};
    }
    default:
      throw Error(CNSPEC_UNSUPPORTED, "recorded as " + name_of_type(tag) + ", which cannot be replayed");
  }
}

Value decode_field(const rapidjson::Value& field) {
  try {
    if (!field.IsObject())
      throw Error(CNSPEC_INVALID, std::string("recorded as ") + name_of_json(field) + ", expected an object");
    const auto error = field.FindMember("error");
    if (error != field.MemberEnd() && error->value.IsString() && error->value.GetStringLength() > 0) {
      return sdk::FieldError{std::string(text(error->value))};
    }
    const auto type = field.FindMember("type");
    const auto value = field.FindMember("value");
    if (value == field.MemberEnd()) return {};
    const bool typed = type != field.MemberEnd() && type->value.IsString();
    return decode(typed ? text(type->value) : std::string_view(), value->value);
  } catch (const Error& error) {
    return sdk::FieldError{error.what()};
  }
}

}  // namespace cnspec::mock
