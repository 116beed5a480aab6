// Keys that guard the machine: a variable may tighten them, and what it asks for beyond that is left out and
// said. Inside core/config only.
#pragma once

#include <optional>

#include "config/config.hpp"
#include "config/keys.hpp"

namespace cnspec::config {

// What is in force of what the file and the variable say; nothing: the default. `config` has the keys that
// come before this one, and gets the warnings.
std::optional<Setting> only_tighter(const Key& key, Setting variable, const std::optional<Setting>& written,
                                    Config& config);

}  // namespace cnspec::config
