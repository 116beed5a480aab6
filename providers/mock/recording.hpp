// A recording: which assets it holds, and of each its resources.
#pragma once

#include <rapidjson/document.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cnspec::mock {

// One recorded resource; points into the recording.
struct Resource {
  std::string_view id;
  const rapidjson::Value* fields;  // an object, or null

  // Null when the field was not recorded.
  const rapidjson::Value* find(std::string_view field) const;
  std::vector<std::string> field_names() const;
};

class Asset {
 public:
  // Throws an Error that says which part, counted from `place`, has a wrong shape.
  Asset(const rapidjson::Value& json, const std::string& place);

  // What the header says, with the old form (all of it directly in the header) read like the new one (the
  // platform in an object of its own). Empty when it does not say.
  std::string_view text(std::string_view field) const;
  std::vector<std::string> texts(std::string_view field) const;
  std::map<std::string, std::string> map(std::string_view field) const;
  std::vector<std::string> ids() const;
  std::string name() const;  // something to call it by, never empty

  const std::map<std::string_view, std::vector<Resource>>& types() const { return types_; }
  // By its own id, or one that the recording says stands for it. Null: not recorded.
  const Resource* find(std::string_view type, std::string_view id) const;

 private:
  const rapidjson::Value* header(std::string_view field) const;

  const rapidjson::Value* header_ = nullptr;
  const rapidjson::Value* platform_ = nullptr;  // an object in the new form; null in the old one
  std::map<std::string_view, std::vector<Resource>> types_;
  std::unordered_map<std::string, std::size_t> places_;   // "type\0id": where in types_[type]
  std::unordered_map<std::string, std::string> aliases_;  // "type\0id": the real id
};

class Recording {
 public:
  // Throws an Error that names the file and, in it, the place.
  static std::unique_ptr<Recording> load(const std::string& path);

  const std::vector<Asset>& assets() const { return assets_; }
  // By number (from 1), name, id, mrn or platform id; throws an Error that lists what there is.
  const Asset& asset(std::string_view wanted) const;

 private:
  std::string text_;  // the strings of the document lie in it
  rapidjson::Document document_;
  std::vector<Asset> assets_;
};

}  // namespace cnspec::mock
