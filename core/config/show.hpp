// The configuration in force, for people and for bug reports: each key with its source, and no secret.
#pragma once

#include <string>

#include "base/json.hpp"
#include "config/config.hpp"

namespace cnspec::config {

// {"config": {path, source, loaded}, "settings": {KEY: {value, source, from}}, "unknownKeys": [...],
// "warnings": [...]}. `source` is file, environment, flag or default.
json::Document document_of(const Config& config);

// One line a key: its name, where it was set, its value.
std::string render_text(const Config& config);
std::string render_json(const Config& config);
std::string render_yaml(const Config& config);

}  // namespace cnspec::config
