#include "config/show.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "config/keys.hpp"
#include "config/yaml.hpp"

namespace cnspec::config {
namespace {

using Allocator = json::Document::AllocatorType;

json::Value text_value(const std::string& raw, Allocator& alloc) { return json::text(to_utf8(raw), alloc); }

struct ToJson {
  Allocator& alloc;
  json::Value operator()(const std::string& text) const { return text_value(text, alloc); }
  json::Value operator()(bool truth) const { return json::Value(truth); }
  json::Value operator()(int number) const { return json::Value(number); }
  json::Value operator()(const std::vector<std::string>& texts) const {
    json::Value out(rapidjson::kArrayType);
    for (const auto& text : texts) out.PushBack(text_value(text, alloc), alloc);
    return out;
  }
  json::Value operator()(const std::map<std::string, std::string>& map) const {
    json::Value out(rapidjson::kObjectType);
    for (const auto& [name, text] : map)
      out.AddMember(text_value(name, alloc), text_value(text, alloc), alloc);
    return out;
  }
};

const char* origin_name(Origin origin) {
  switch (origin) {
    case Origin::kFile: return "file";
    case Origin::kEnvironment: return "environment";
    case Origin::kFlag: return "flag";
    case Origin::kDefault: break;
  }
  return "default";
}

// "line 4", "MONDOO_NAME", "--ca-file" or "default".
std::string short_origin(const Setting& setting) {
  if (setting.origin == Origin::kDefault) return "default";
  if (setting.origin != Origin::kFile) return setting.from;
  const auto column = setting.from.rfind(':');
  const auto line = column == std::string::npos ? column : setting.from.rfind(':', column - 1);
  if (line == std::string::npos) return "file";
  const std::string number = setting.from.substr(line + 1, column - line - 1);
  const bool known = !number.empty() && number.find_first_not_of("0123456789") == number.npos;
  return known ? "line " + number : "file";
}

// A line of its own for each key, so of a certificate only the first one.
std::string short_value(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    if (text->empty()) return "(none)";
    const auto end = text->find('\n');
    return printable(text->substr(0, end)) + (end == text->npos || end + 1 == text->size() ? "" : " ...");
  }
  json::Document document;
  const json::Value out = std::visit(ToJson{document.GetAllocator()}, value);
  return printable(json::write(out));
}

json::Value setting_value(const Setting& setting, const Value& visible, Allocator& alloc) {
  json::Value out(rapidjson::kObjectType);
  out.AddMember("value", std::visit(ToJson{alloc}, visible), alloc);
  out.AddMember("source", rapidjson::StringRef(origin_name(setting.origin)), alloc);
  if (!setting.from.empty()) out.AddMember("from", text_value(setting.from, alloc), alloc);
  return out;
}

Value shown_proxy(const Setting& proxy) { return shown({"api_proxy", proxy.value, {}, {}}); }

// "Proxy for https: http://proxy:3128 (HTTPS_PROXY)"; nothing where the line of api_proxy says it.
std::string proxy_line(const Config& config, const char* what, const Setting& setting, const Value& visible) {
  const Setting* key = config.find("api_proxy");
  const bool said = key && key->from == setting.from;
  if (said || std::get<std::string>(setting.value).empty()) return {};
  return std::string(what) + ": " + short_value(visible) + " (" + setting.from + ")\n";
}

}  // namespace

json::Document document_of(const Config& config, const Proxies& proxies) {
  json::Document out(rapidjson::kObjectType);
  Allocator& alloc = out.GetAllocator();
  json::Value source(rapidjson::kObjectType);
  if (!config.source.path.empty())
    source.AddMember("path", text_value(config.source.path.string(), alloc), alloc);
  source.AddMember("source", text_value(config.source.label, alloc), alloc);
  source.AddMember("loaded", config.source.kind != Source::Kind::kNone, alloc);
  out.AddMember("config", source, alloc);

  json::Value settings(rapidjson::kObjectType);
  for (const Setting& setting : config.settings) {
    json::Value one = setting_value(setting, shown(setting), alloc);
    settings.AddMember(text_value(setting.key, alloc), one, alloc);
  }
  out.AddMember("settings", settings, alloc);

  json::Value in_force(rapidjson::kObjectType);
  in_force.AddMember("https", setting_value(proxies.https, shown_proxy(proxies.https), alloc), alloc);
  in_force.AddMember("http", setting_value(proxies.http, shown_proxy(proxies.http), alloc), alloc);
  in_force.AddMember("no_proxy", setting_value(proxies.no_proxy, proxies.no_proxy.value, alloc), alloc);
  out.AddMember("proxies", in_force, alloc);

  out.AddMember("unknownKeys", ToJson{alloc}(config.unknown_keys), alloc);
  json::Value warnings(rapidjson::kArrayType);
  for (const Error& warning : config.warnings) {
    json::Value one(rapidjson::kObjectType);
    one.AddMember("message", text_value(warning.message(), alloc), alloc);
    one.AddMember("hint", text_value(warning.hint(), alloc), alloc);
    warnings.PushBack(one, alloc);
  }
  out.AddMember("warnings", warnings, alloc);
  return out;
}

std::string render_text(const Config& config, const Proxies& proxies) {
  std::size_t key_width = 0, origin_width = 0;
  for (const Setting& setting : config.settings) {
    key_width = std::max(key_width, setting.key.size());
    origin_width = std::max(origin_width, short_origin(setting).size());
  }
  const auto padded = [](std::string text, std::size_t width) {
    text.resize(std::max(width, text.size()), ' ');
    return text;
  };
  std::string out;
  for (const Setting& setting : config.settings) {
    out += padded(setting.key, key_width) + "  " + padded(short_origin(setting), origin_width) + "  " +
           short_value(shown(setting)) + "\n";
  }
  if (!config.unknown_keys.empty()) {
    out += "Kept, but not used: " + printable(join(config.unknown_keys, ", ")) + "\n";
  }
  out += proxy_line(config, "Proxy for https", proxies.https, shown_proxy(proxies.https));
  out += proxy_line(config, "Proxy for http", proxies.http, shown_proxy(proxies.http));
  out += proxy_line(config, "Asked without a proxy", proxies.no_proxy, proxies.no_proxy.value);
  return out;
}

std::string render_json(const Config& config, const Proxies& proxies) {
  return json::write_pretty(document_of(config, proxies), 2) + "\n";
}

std::string render_yaml(const Config& config, const Proxies& proxies) {
  return to_yaml(document_of(config, proxies));
}

}  // namespace cnspec::config
