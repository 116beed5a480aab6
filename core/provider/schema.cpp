#include "provider/schema.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace cnspec::provider {
namespace {

constexpr std::uint32_t kAny = 0x01;
constexpr std::uint32_t kDict = 0x0a;

std::uint32_t tag_of(std::string_view name) {
  constexpr std::pair<std::string_view, std::uint32_t> kTags[] = {
      {"any", kAny},           {"bool", CNSPEC_BOOL},     {"int", CNSPEC_INT},
      {"float", CNSPEC_FLOAT}, {"string", CNSPEC_STRING}, {"regex", CNSPEC_REGEX},
      {"time", CNSPEC_TIME},   {"dict", kDict},           {"version", CNSPEC_VERSION},
      {"ip", CNSPEC_IP},       {"bytes", CNSPEC_BYTES},   {"range", CNSPEC_RANGE}};
  for (const auto& [known, tag] : kTags) {
    if (known == name) return tag;
  }
  return CNSPEC_REF;
}

// What JSON can say, nested at will.
bool is_json_like(const Value& value) {
  switch (value.type) {
    case CNSPEC_NULL:
    case CNSPEC_BOOL:
    case CNSPEC_INT:
    case CNSPEC_FLOAT:
    case CNSPEC_STRING: return true;
    case CNSPEC_ARRAY: return std::ranges::all_of(std::get<Value::Array>(value.data), is_json_like);
    case CNSPEC_MAP:
      return std::ranges::all_of(std::get<Value::Map>(value.data),
                                 [](const auto& e) { return is_json_like(e.second); });
    default: return false;
  }
}

}  // namespace

Type::Type(std::string_view spelled) : spelled_(spelled) {
  if (spelled.starts_with("[]")) {
    tag_ = CNSPEC_ARRAY;
    item_ = std::make_shared<const Type>(spelled.substr(2));
  } else if (spelled.starts_with("map[string]")) {
    tag_ = CNSPEC_MAP;
    item_ = std::make_shared<const Type>(spelled.substr(11));
  } else {
    tag_ = tag_of(spelled);
  }
}

bool Type::accepts(const Value& value) const {
  if (value.type == CNSPEC_NULL || value.type == CNSPEC_ERROR || tag_ == kAny) return true;
  if (tag_ == kDict) return is_json_like(value);
  if (value.type != tag_) return false;
  switch (tag_) {
    case CNSPEC_ARRAY:
      return std::ranges::all_of(std::get<Value::Array>(value.data),
                                 [&](const Value& v) { return item_->accepts(v); });
    case CNSPEC_MAP:
      return std::ranges::all_of(std::get<Value::Map>(value.data),
                                 [&](const auto& e) { return item_->accepts(e.second); });
    case CNSPEC_REF: return value.ref()->type == spelled_;
    default: return true;
  }
}

const manifest::Resource& asset_resource() {
  static const manifest::Resource kAsset = [] {
    manifest::Resource asset;
    asset.name = "asset";
    const auto add = [&](const char* name, const char* type) {
      asset.fields.push_back({name, type, "", false, 0});
    };
    for (const char* name : {"name", "platform", "title", "version", "build", "arch", "kind", "runtime",
                             "fqdn", "hostname", "ip"}) {
      add(name, "string");
    }
    for (const char* name : {"ids", "family"}) add(name, "[]string");
    for (const char* name : {"labels", "metadata", "annotations", "platformMetadata"})
      add(name, "map[string]string");
    return asset;
  }();
  return kAsset;
}

const char* type_name(std::uint32_t tag) {
  switch (tag) {
    case CNSPEC_UNSET: return "unset";
    case CNSPEC_NULL: return "null";
    case CNSPEC_BOOL: return "bool";
    case CNSPEC_INT: return "int";
    case CNSPEC_FLOAT: return "float";
    case CNSPEC_STRING: return "string";
    case CNSPEC_REGEX: return "regex";
    case CNSPEC_TIME: return "time";
    case CNSPEC_VERSION: return "version";
    case CNSPEC_IP: return "ip";
    case CNSPEC_BYTES: return "bytes";
    case CNSPEC_ARRAY: return "array";
    case CNSPEC_MAP: return "map";
    case CNSPEC_REF: return "reference";
    case CNSPEC_RANGE: return "range";
    case CNSPEC_ERROR: return "error";
    default: return "a type of an unknown number";
  }
}

std::string spelled_type(const Value& value) {
  if (const Ref* ref = value.ref()) return "reference to \"" + printable(ref->type) + '"';
  // What all of them have in common, if anything.
  std::string common;
  const auto meet = [&](const Value& inner) {
    const std::string spelled = spelled_type(inner);
    if (common.empty()) common = spelled;
    if (common != spelled) common = "any";
  };
  if (const auto* items = std::get_if<Value::Array>(&value.data)) {
    std::ranges::for_each(*items, meet);
    return "[]" + (common.empty() ? "any" : common);
  }
  if (const auto* entries = std::get_if<Value::Map>(&value.data)) {
    for (const auto& [key, inner] : *entries) meet(inner);
    return "map[string]" + (common.empty() ? "any" : common);
  }
  return type_name(value.type);
}

}  // namespace cnspec::provider
