// The value of a key, as it is written in the file or in a variable. Inside core/config only.
#pragma once

#include <yaml-cpp/yaml.h>

#include <string>

#include "base/error.hpp"
#include "config/config.hpp"
#include "config/keys.hpp"

namespace cnspec::config {

// One text; `where` stands before errors.
Result<Value> value_from_text(const Key& key, const std::string& text, const std::string& where);
// `name` is the file's, for errors.
Result<Value> value_from_node(const Key& key, const YAML::Node& node, const std::string& name);
// A variable cannot hold a mapping, but the JSON of one.
Result<Value> value_from_variable(const Key& key, const std::string& text, const std::string& variable);

// "a mapping", "a list", "nothing" or "a text".
const char* kind_name(const YAML::Node& node);

}  // namespace cnspec::config
