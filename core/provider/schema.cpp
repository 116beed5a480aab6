#include "provider/schema.hpp"

#include <algorithm>

namespace cnspec::provider {
namespace {

constexpr std::uint32_t kAny = 0x01;
constexpr std::uint32_t kDict = 0x0a;
constexpr int kMaxDepth = 32;

std::uint32_t tag_of(std::string_view name) {
  constexpr std::pair<std::string_view, std::uint32_t> kTags[] = {
      {"any", kAny},           {"bool", CNSPEC_BOOL},   {"int", CNSPEC_INT},         {"float", CNSPEC_FLOAT},
      {"string", CNSPEC_STRING}, {"regex", CNSPEC_REGEX}, {"time", CNSPEC_TIME},       {"dict", kDict},
      {"version", CNSPEC_VERSION}, {"ip", CNSPEC_IP},   {"bytes", CNSPEC_BYTES},     {"range", CNSPEC_RANGE}};
  for (const auto& [known, tag] : kTags) {
    if (known == name) return tag;
  }
  return CNSPEC_REF;
}

// Every part is something that exists; whether it fits a field is asked elsewhere.
bool is_well_formed(const cnspec_value& value, int depth) {
  if (depth > kMaxDepth) return false;
  switch (value.type) {
    case CNSPEC_NULL:
    case CNSPEC_BOOL:
    case CNSPEC_INT:
    case CNSPEC_FLOAT:
    case CNSPEC_STRING:
    case CNSPEC_REGEX:
    case CNSPEC_TIME:
    case CNSPEC_VERSION:
    case CNSPEC_IP:
    case CNSPEC_BYTES:
    case CNSPEC_REF:
    case CNSPEC_RANGE:
    case CNSPEC_ERROR: return true;
    case CNSPEC_ARRAY:
      for (std::uint64_t i = 0; i < value.as.array.count; ++i) {
        if (!is_well_formed(value.as.array.items[i], depth + 1)) return false;
      }
      return true;
    case CNSPEC_MAP:
      for (std::uint64_t i = 0; i < value.as.map.count; ++i) {
        if (!is_well_formed(value.as.map.entries[i].value, depth + 1)) return false;
      }
      return true;
    default: return false;
  }
}

bool is_json_like(const cnspec_value& value) {
  switch (value.type) {
    case CNSPEC_BOOL:
    case CNSPEC_INT:
    case CNSPEC_FLOAT:
    case CNSPEC_STRING:
    case CNSPEC_ARRAY:
    case CNSPEC_MAP: return true;
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

bool Type::accepts(const cnspec_value& value, int depth) const {
  if (depth > kMaxDepth) return false;
  if (value.type == CNSPEC_NULL || value.type == CNSPEC_ERROR) return true;
  if (tag_ == kAny) return is_well_formed(value, depth);
  if (tag_ == kDict) return is_json_like(value) && is_well_formed(value, depth);
  if (value.type != tag_) return false;
  if (tag_ == CNSPEC_ARRAY) {
    return std::all_of(value.as.array.items, value.as.array.items + value.as.array.count,
                       [&](const cnspec_value& item) { return item_->accepts(item, depth + 1); });
  }
  if (tag_ == CNSPEC_MAP) {
    return std::all_of(value.as.map.entries, value.as.map.entries + value.as.map.count,
                       [&](const cnspec_entry& entry) { return item_->accepts(entry.value, depth + 1); });
  }
  return true;
}

const manifest::Resource& asset_resource() {
  static const manifest::Resource kAsset = [] {
    manifest::Resource asset;
    asset.name = "asset";
    const auto add = [&](const char* name, const char* type) { asset.fields.push_back({name, type, "", false, 0}); };
    for (const char* name : {"name", "platform", "title", "version", "build", "arch", "kind", "runtime", "fqdn",
                             "hostname", "ip"}) {
      add(name, "string");
    }
    for (const char* name : {"ids", "family"}) add(name, "[]string");
    for (const char* name : {"labels", "metadata", "annotations", "platformMetadata"}) add(name, "map[string]string");
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

}  // namespace cnspec::provider
