#include "recording.hpp"

#include <rapidjson/error/en.h>
#include <unistd.h>

#include <algorithm>

#include "cnspec/provider.hpp"
#include "shared/read_file.hpp"

namespace cnspec::mock {
namespace {

using rapidjson::Value;
using sdk::Error;

constexpr std::size_t kMaxFile = 512 << 20;

std::string_view view(const Value& value) { return {value.GetString(), value.GetStringLength()}; }

// Null when it is absent or null.
const Value* member(const Value& object, std::string_view name) {
  const auto it = object.FindMember(Value(rapidjson::StringRef(name.data(), name.size())));
  return it == object.MemberEnd() || it->value.IsNull() ? nullptr : &it->value;
}

std::string key_of(std::string_view type, std::string_view id) {
  return std::string(type) + '\0' + std::string(id);
}

Error shape(const std::string& place, const std::string& expected) {
  return Error(CNSPEC_INVALID, place + " is no " + expected);
}

}  // namespace

const Value* Resource::find(std::string_view field) const {
  if (!fields) return nullptr;
  // Null counts here: a field may have been recorded as such.
  const auto it = fields->FindMember(Value(rapidjson::StringRef(field.data(), field.size())));
  return it == fields->MemberEnd() ? nullptr : &it->value;
}

std::vector<std::string> Resource::field_names() const {
  std::vector<std::string> out;
  if (!fields) return out;
  for (const auto& field : fields->GetObject()) out.emplace_back(view(field.name));
  return out;
}

Asset::Asset(const Value& json, const std::string& place) {
  if (!json.IsObject()) throw shape(place, "object");
  header_ = member(json, "asset");
  if (!header_ || !header_->IsObject()) throw shape(place + ".asset", "object");
  platform_ = member(*header_, "platform");
  if (platform_ && !platform_->IsObject()) platform_ = nullptr;

  if (const Value* resources = member(json, "resources")) {
    if (!resources->IsArray()) throw shape(place + ".resources", "list");
    for (rapidjson::SizeType i = 0; i < resources->Size(); ++i) {
      const Value& one = (*resources)[i];
      const std::string here = place + ".resources[" + std::to_string(i) + "]";
      if (!one.IsObject()) throw shape(here, "object");
      const Value* type = member(one, "Resource");
      const Value* id = member(one, "ID");
      const Value* fields = member(one, "Fields");
      if (!type || !type->IsString()) throw shape(here + ".Resource", "string");
      if (id && !id->IsString()) throw shape(here + ".ID", "string");
      if (fields && !fields->IsObject()) throw shape(here + ".Fields", "object");
      auto& all = types_[view(*type)];
      const Resource resource{id ? view(*id) : std::string_view(), fields};
      // Recorded twice: the later one counts.
      const auto [known, added] = places_.try_emplace(key_of(view(*type), resource.id), all.size());
      if (added)
        all.push_back(resource);
      else
        all[known->second] = resource;
    }
  }
  if (const Value* aliases = member(json, "idsLookup")) {
    if (!aliases->IsObject()) throw shape(place + ".idsLookup", "object");
    for (const auto& alias : aliases->GetObject()) {
      if (alias.value.IsString()) aliases_.emplace(view(alias.name), view(alias.value));
    }
  }
}

const Value* Asset::header(std::string_view field) const {
  if (field == "platform") return member(platform_ ? *platform_ : *header_, "name");
  const bool own = field == "name" || field == "id" || field == "mrn" || field == "fqdn";
  if (!own && platform_) {
    if (const Value* found = member(*platform_, field)) return found;
  }
  return member(*header_, field);
}

std::string_view Asset::text(std::string_view field) const {
  const Value* found = header(field);
  return found && found->IsString() ? view(*found) : std::string_view();
}

std::vector<std::string> Asset::texts(std::string_view field) const {
  std::vector<std::string> out;
  const Value* found = header(field);
  if (!found || !found->IsArray()) return out;
  for (const Value& item : found->GetArray()) {
    if (item.IsString()) out.emplace_back(view(item));
  }
  return out;
}

std::map<std::string, std::string> Asset::map(std::string_view field) const {
  std::map<std::string, std::string> out;
  const Value* found = header(field);
  if (!found || !found->IsObject()) return out;
  for (const auto& entry : found->GetObject()) {
    if (entry.value.IsString()) out.emplace(view(entry.name), view(entry.value));
  }
  return out;
}

std::vector<std::string> Asset::ids() const {
  for (const char* spelled : {"platform_ids", "platformIDs", "platformIds"}) {
    if (auto ids = texts(spelled); !ids.empty()) return ids;
  }
  return {};
}

std::string Asset::name() const {
  for (const char* field : {"name", "title", "id", "mrn"}) {
    if (const auto found = text(field); !found.empty()) return std::string(found);
  }
  const auto known = ids();
  return known.empty() ? "unnamed asset" : known[0];
}

const Resource* Asset::find(std::string_view type, std::string_view id) const {
  auto place = places_.find(key_of(type, id));
  if (place == places_.end()) {
    const auto alias = aliases_.find(key_of(type, id));
    if (alias == aliases_.end()) return nullptr;
    place = places_.find(key_of(type, alias->second));
    if (place == places_.end()) return nullptr;
  }
  return &types_.find(type)->second[place->second];
}

std::unique_ptr<Recording> Recording::load(const std::string& path) {
  const std::string what = "failed to load recording";
  if (::access(path.c_str(), F_OK) != 0 && errno == ENOENT) {
    throw Error(CNSPEC_NOT_FOUND, what + ": '" + path + "' does not exist");
  }
  auto out = std::make_unique<Recording>();
  out->text_ = providers::read_whole(path, path, kMaxFile);
  constexpr unsigned kFlags = rapidjson::kParseInsituFlag | rapidjson::kParseIterativeFlag |
                              rapidjson::kParseFullPrecisionFlag | rapidjson::kParseValidateEncodingFlag;
  auto& json = out->document_;
  // A text of a file may hold a zero byte, which would pass for its end.
  const auto zero = out->text_.find('\0');
  json.ParseInsitu<kFlags>(out->text_.data());
  if (json.HasParseError() || zero != std::string::npos) {
    const bool cut = !json.HasParseError();
    throw Error(CNSPEC_INVALID,
                what + " '" + path + "': it is not JSON: at byte " +
                    std::to_string(cut ? zero : json.GetErrorOffset()) + ": " +
                    (cut ? "a zero byte" : rapidjson::GetParseError_En(json.GetParseError())));
  }
  if (!json.IsObject()) throw Error(CNSPEC_INVALID, what + " '" + path + "': it is JSON, but no object");
  const Value* assets = member(json, "assets");
  if (assets && !assets->IsArray()) throw Error(CNSPEC_INVALID, what + " '" + path + "': assets is no list");
  if (!assets || assets->Empty()) {
    throw Error(CNSPEC_INVALID, "no assets found in recording for mock provider: '" + path + "'");
  }
  try {
    for (rapidjson::SizeType i = 0; i < assets->Size(); ++i) {
      out->assets_.emplace_back((*assets)[i], "assets[" + std::to_string(i) + "]");
    }
  } catch (const Error& error) {
    throw Error(CNSPEC_INVALID, what + " '" + path + "': " + error.what());
  }
  return out;
}

const Asset& Recording::asset(std::string_view wanted) const {
  for (const Asset& asset : assets_) {
    const auto ids = asset.ids();
    if (asset.name() == wanted || asset.text("id") == wanted || asset.text("mrn") == wanted ||
        std::find(ids.begin(), ids.end(), wanted) != ids.end()) {
      return asset;
    }
  }
  std::string known;
  for (std::size_t i = 0; i < assets_.size(); ++i) {
    if (std::to_string(i + 1) == wanted) return assets_[i];
    if (i < 20) known += (i ? ", " : "") + std::to_string(i + 1) + " (" + assets_[i].name() + ")";
    if (i == 20) known += ", ...";
  }
  throw Error(CNSPEC_NOT_FOUND, "the recording has no asset '" + std::string(wanted) + "'; it has: " + known);
}

}  // namespace cnspec::mock
