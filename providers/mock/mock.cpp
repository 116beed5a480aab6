#include <algorithm>
#include <cnspec/provider.hpp>

#include "decode.hpp"
#include "manifest.h"
#include "recording.hpp"

namespace cnspec::mock {
namespace {

using sdk::Call;
using sdk::Error;
using sdk::FetchRequest;
using sdk::Row;
using sdk::Rows;
using sdk::Value;

// "a, b, c", with what does not fit counted.
std::string listed(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 20;
  std::string out;
  for (std::size_t i = 0; i < std::min(names.size(), kShown); ++i) out += (i ? ", " : "") + names[i];
  if (names.size() > kShown) out += " and " + std::to_string(names.size() - kShown) + " more";
  return names.empty() ? "nothing" : out;
}

Value text_or_null(std::string_view text) { return text.empty() ? Value() : Value(text); }

class Replay : public sdk::Connection {
 public:
  Replay(std::unique_ptr<Recording> recording, const Asset& asset)
      : recording_(std::move(recording)), asset_(asset) {}

  void identify(Call&, Rows& rows) override {
    Row row = rows.begin("asset", asset_id());
    for (const auto& [name, value] : header()) row.put(name, value);
  }

  void fetch(Call& call, const FetchRequest& request, Rows& rows) override {
    if (request.type == "asset") return asset(request, rows);
    const auto type = asset_.types().find(request.type);
    if (type == asset_.types().end()) throw unknown_type(request.type);
    const std::vector<Resource> found = select(request, type->second);
    for (const Resource& resource : found) {
      if (call.cancelled()) throw sdk::Stopped{CNSPEC_CANCELLED};
      if (!send_items(call, request, resource, rows)) send(request, resource, rows);
    }
  }

 private:
  // ---- The asset: from the header, and beyond it from what was recorded of the resource ----

  std::string asset_id() const {
    const auto ids = asset_.ids();
    return ids.empty() ? asset_.name() : ids[0];
  }

  std::vector<std::pair<std::string, Value>> header() const {
    std::vector<std::pair<std::string, Value>> out = {{"name", Value(asset_.name())},
                                                      {"ids", Value(asset_.ids())}};
    for (const char* field : {"platform", "title", "version", "build", "arch", "kind", "runtime", "fqdn"}) {
      out.emplace_back(field, text_or_null(asset_.text(field)));
    }
    out.emplace_back("family", Value(asset_.texts("family")));
    const auto put_map = [&](const char* field, const std::map<std::string, std::string>& entries) {
      out.emplace_back(field, entries.empty() ? Value() : Value(Value::Map(entries.begin(), entries.end())));
    };
    put_map("labels", asset_.map("labels"));
    put_map("annotations", asset_.map("annotations"));
    put_map("platformMetadata", asset_.map("metadata"));
    return out;
  }

  void asset(const FetchRequest& request, Rows& rows) {
    const Resource* recorded = asset_.find("asset", "");
    auto fields = header();
    if (recorded) {
      for (const std::string& name : recorded->field_names()) {
        const auto known =
            std::find_if(fields.begin(), fields.end(), [&](const auto& f) { return f.first == name; });
        Value value = decode_field(*recorded->find(name));
        if (known == fields.end())
          fields.emplace_back(name, std::move(value));
        else if (std::holds_alternative<std::nullptr_t>(known->second.data()))
          known->second = std::move(value);
      }
    }
    Row row = rows.begin("asset", asset_id());
    for (const auto& [name, value] : fields) {
      if (request.fields.empty() || request.wants(name)) row.put(name, value);
    }
    for (const std::string_view wanted : request.fields) {
      const bool known =
          std::any_of(fields.begin(), fields.end(), [&](const auto& f) { return f.first == wanted; });
      if (!known)
        row.put(wanted, sdk::FieldError{"the field \"" + std::string(wanted) +
                                        "\" of the asset is not in the recording"});
    }
  }

  // ---- Resources ----

  std::vector<Resource> select(const FetchRequest& request, const std::vector<Resource>& all) const {
    if (!request.id.empty()) {
      if (const Resource* one = asset_.find(request.type, request.id)) return {*one};
      throw unknown_id(request.type, "id '" + std::string(request.id) + "'", all);
    }
    if (request.args.empty()) return all;
    // What a resource was made with is either its id or one of its fields.
    std::vector<Resource> out;
    std::string asked;
    for (const auto& [name, value] : request.args) {
      if (value.type != CNSPEC_STRING && value.type != CNSPEC_INT) continue;
      const std::string text =
          value.type == CNSPEC_STRING ? std::string(sdk::view(value.as.str)) : std::to_string(value.as.i64);
      asked += (asked.empty() ? "" : ", ") + std::string(name) + " '" + text + "'";
      if (request.args.size() != 1) continue;
      if (const Resource* one = asset_.find(request.type, text)) return {*one};
    }
    for (const Resource& resource : all) {
      const bool fits = std::all_of(request.args.begin(), request.args.end(), [&](const auto& arg) {
        return recorded_as(resource, arg.first, arg.second);
      });
      if (fits) out.push_back(resource);
    }
    if (out.empty()) throw unknown_id(request.type, asked, all);
    return out;
  }

  static bool recorded_as(const Resource& resource, std::string_view name, const cnspec_value& wanted) {
    const rapidjson::Value* field = resource.find(name);
    if (!field) return false;
    const Value value = decode_field(*field);
    if (const auto* text = std::get_if<std::string>(&value.data())) {
      return wanted.type == CNSPEC_STRING && *text == sdk::view(wanted.as.str);
    }
    const auto* number = std::get_if<int64_t>(&value.data());
    return number && wanted.type == CNSPEC_INT && *number == wanted.as.i64;
  }

  static void send(const FetchRequest& request, const Resource& resource, Rows& rows) {
    Row row = rows.begin(request.type, resource.id);
    if (request.fields.empty()) {
      for (const std::string& name : resource.field_names())
        row.put(name, decode_field(*resource.find(name)));
    }
    for (const std::string_view name : request.fields) {
      const rapidjson::Value* field = resource.find(name);
      row.put(name, field ? decode_field(*field) : not_recorded(request.type, resource, name));
    }
  }

  // A list resource, asked for fields that only its items have: the items are the answer.
  bool send_items(Call& call, const FetchRequest& request, const Resource& resource, Rows& rows) const {
    const rapidjson::Value* list = resource.find("list");
    const bool own =
        request.fields.empty() || std::any_of(request.fields.begin(), request.fields.end(),
                                              [&](std::string_view f) { return resource.find(f); });
    if (!list || own) return false;
    const Value value = decode_field(*list);
    if (const auto* error = std::get_if<sdk::FieldError>(&value.data())) {
      throw Error("cannot list \"" + std::string(request.type) + "\": " + error->message);
    }
    const auto* items = std::get_if<Value::Array>(&value.data());
    if (!items) return false;
    for (const Value& item : *items) {
      if (call.cancelled()) throw sdk::Stopped{CNSPEC_CANCELLED};
      const auto* ref = std::get_if<sdk::Ref>(&item.data());
      if (!ref) return false;
      FetchRequest one = request;
      one.type = ref->type;
      const Resource* recorded = asset_.find(ref->type, ref->id);
      // An item whose fields were never asked for while recording has none.
      send(one, recorded ? *recorded : Resource{ref->id, nullptr}, rows);
    }
    return true;
  }

  // ---- What the recording does not hold ----

  Error unknown_type(std::string_view type) const {
    std::vector<std::string> names;
    for (const auto& [name, all] : asset_.types()) names.emplace_back(name);
    return Error(CNSPEC_NOT_FOUND, "the recording of '" + asset_.name() + "' holds no resource \"" +
                                       std::string(type) + "\"; it holds: " + listed(names));
  }

  Error unknown_id(std::string_view type, const std::string& asked, const std::vector<Resource>& all) const {
    std::vector<std::string> names;
    for (const Resource& one : all) names.push_back("'" + std::string(one.id) + "'");
    return Error(CNSPEC_NOT_FOUND, "the recording of '" + asset_.name() + "' holds no \"" +
                                       std::string(type) + "\" with the " + asked +
                                       "; it holds: " + listed(names));
  }

  static Value not_recorded(std::string_view type, const Resource& resource, std::string_view field) {
    return sdk::FieldError{"the field \"" + std::string(field) + "\" of " + std::string(type) + " '" +
                           std::string(resource.id) +
                           "' is not in the recording; it holds: " + listed(resource.field_names())};
  }

  const std::unique_ptr<Recording> recording_;
  const Asset& asset_;
};

class Mock : public sdk::Provider {
  std::unique_ptr<sdk::Connection> connect(Call& call, const sdk::ConnectRequest& request) override {
    const auto flag = call.config(flags::use_recording);
    if (flag && !flag->empty() && !request.args.empty()) {
      throw Error(CNSPEC_INVALID,
                  "mock takes one recording: give it as FILE or with --use-recording, not both");
    }
    const std::string path = request.args.empty() ? flag.value_or("") : std::string(request.args[0]);
    if (path.empty())
      throw Error(CNSPEC_INVALID, "mock needs a recording: give it as FILE or with --use-recording");
    auto recording = Recording::load(path);

    const auto wanted = call.config(flags::asset);
    const std::size_t count = recording->assets().size();
    const bool chosen = wanted && !wanted->empty();
    const Asset& asset = chosen ? recording->asset(*wanted) : recording->assets()[0];
    if (!chosen && count > 1) {
      call.log(CNSPEC_LOG_INFO, "the recording holds " + std::to_string(count) +
                                    " assets; this is the first, '" + asset.name() +
                                    "'; --asset chooses another");
    }
    return std::make_unique<Replay>(std::move(recording), asset);
  }
};

}  // namespace
}  // namespace cnspec::mock

CNSPEC_PROVIDER(cnspec::mock::Mock)
