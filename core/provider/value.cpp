#include "provider/value.hpp"

#include <cmath>
#include <cstdio>
#include <ctime>

#include "base/encoding.hpp"

namespace cnspec::provider {
namespace {

constexpr std::int64_t kYearZero = -62167219200;

std::string time_text(const cnspec_time& time) {
  if (time.seconds == INT64_MAX) return "Never";
  // MQL's rule: what lies at or before 1970 is a duration, counted from year 0.
  if (time.seconds <= 0) return std::to_string(time.seconds - kYearZero) + "s";
  std::tm parts{};
  const std::time_t seconds = time.seconds;
  if (!gmtime_r(&seconds, &parts)) return std::to_string(time.seconds);
  char text[64];
  const std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::string out(text, size);
  if (time.nanoseconds > 0) {
    std::snprintf(text, sizeof text, ".%09u", time.nanoseconds);
    out += text;
    while (out.back() == '0') out.pop_back();
  }
  return out + "Z";
}

std::string range_text(const cnspec_range& r) {
  std::string out = std::to_string(r.first_line);
  if (r.first_column) out += ":" + std::to_string(r.first_column);
  if (r.last_line) out += "-" + std::to_string(r.last_line);
  if (r.last_column) out += ":" + std::to_string(r.last_column);
  return out;
}

}  // namespace

const std::string& Value::text() const {
  static const std::string kEmpty;
  const auto* s = std::get_if<std::string>(&data);
  return s ? *s : kEmpty;
}

const Ref* Value::ref() const {
  const auto* held = std::get_if<std::shared_ptr<const Ref>>(&data);
  return held ? held->get() : nullptr;
}

std::vector<std::string> Value::texts() const {
  std::vector<std::string> out;
  if (const auto* items = std::get_if<Array>(&data)) {
    for (const Value& item : *items) out.push_back(item.text());
  }
  return out;
}

json::Value to_json(const Value& value, json::Document::AllocatorType& alloc) {
  switch (value.type) {
    case CNSPEC_BOOL: return json::Value(std::get<std::int64_t>(value.data) != 0);
    case CNSPEC_INT: return json::Value(std::get<std::int64_t>(value.data));
    case CNSPEC_FLOAT: {
      const double d = std::get<double>(value.data);
      if (std::isfinite(d)) return json::Value(d);
      return json::text(std::isnan(d) ? "NaN" : d > 0 ? "Infinity" : "-Infinity", alloc);
    }
    case CNSPEC_BYTES: return json::text(base64_encode(value.text()), alloc);
    case CNSPEC_TIME: return json::text(time_text(std::get<cnspec_time>(value.data)), alloc);
    case CNSPEC_RANGE: return json::text(range_text(std::get<cnspec_range>(value.data)), alloc);
    case CNSPEC_REF: {
      json::Value out(rapidjson::kObjectType);
      const Ref& ref = *value.ref();
      out.AddMember("type", json::text(ref.type, alloc), alloc);
      out.AddMember("id", json::text(ref.id, alloc), alloc);
      return out;
    }
    case CNSPEC_ERROR: {
      json::Value out(rapidjson::kObjectType);
      out.AddMember("error", json::text(value.text(), alloc), alloc);
      return out;
    }
    case CNSPEC_ARRAY: {
      json::Value out(rapidjson::kArrayType);
      for (const Value& item : std::get<Value::Array>(value.data)) out.PushBack(to_json(item, alloc), alloc);
      return out;
    }
    case CNSPEC_MAP: {
      json::Value out(rapidjson::kObjectType);
      for (const auto& [key, item] : std::get<Value::Map>(value.data)) {
        out.AddMember(json::text(key, alloc), to_json(item, alloc), alloc);
      }
      return out;
    }
    case CNSPEC_NULL: return json::Value();
    default: return json::text(value.text(), alloc);
  }
}

std::string to_text(const Value& value) {
  switch (value.type) {
    case CNSPEC_NULL: return "null";
    case CNSPEC_BOOL: return std::get<std::int64_t>(value.data) ? "true" : "false";
    case CNSPEC_INT: return std::to_string(std::get<std::int64_t>(value.data));
    case CNSPEC_TIME: return time_text(std::get<cnspec_time>(value.data));
    case CNSPEC_RANGE: return range_text(std::get<cnspec_range>(value.data));
    case CNSPEC_ERROR: return "error: " + value.text();
    case CNSPEC_FLOAT:
    case CNSPEC_BYTES:
    case CNSPEC_REF:
    case CNSPEC_ARRAY:
    case CNSPEC_MAP: {
      json::Document document;
      const json::Value v = to_json(value, document.GetAllocator());
      return v.IsString() ? std::string(json::view(v)) : json::write(v);
    }
    default: return value.text();
  }
}

const Value* Row::find(std::string_view field) const {
  for (const auto& [number, value] : fields_) {
    if ((*names_)[number] == field) return &value;
  }
  return nullptr;
}

std::string Row::text(std::string_view field) const {
  const Value* value = find(field);
  return value && !value->is_null() ? to_text(*value) : std::string();
}

}  // namespace cnspec::provider
