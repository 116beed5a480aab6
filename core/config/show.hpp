// The configuration in force, for people and for bug reports: each key with its source, and no secret.
#pragma once

#include <string>

#include "base/json.hpp"
#include "config/config.hpp"

namespace cnspec::config {

// The proxies in force, by the scheme of what is asked, and what is asked without one. Those of https and
// http may be secrets like api_proxy.
struct Proxies {
  Setting https, http, no_proxy;
};

// {"config": {path, source, loaded}, "settings": {KEY: {value, source, from}}, "proxies": {"https": {value,
// source, from}, "http": ..., "no_proxy": ...}, "unknownKeys": [...], "warnings": [...]}. `source` is file,
// environment, flag or default.
json::Document document_of(const Config& config, const Proxies& proxies);

// One line a key: its name, where it was set, its value. Then the proxies that no key names.
std::string render_text(const Config& config, const Proxies& proxies);
std::string render_json(const Config& config, const Proxies& proxies);
std::string render_yaml(const Config& config, const Proxies& proxies);

}  // namespace cnspec::config
