// A document for programs, as YAML.
#pragma once

#include <string>

#include "base/json.hpp"

namespace cnspec::config {

// Objects, lists, texts, truths and whole numbers; ends with a newline. Texts are quoted: one like 13.10 is
// no number.
std::string to_yaml(const json::Value& value);

}  // namespace cnspec::config
