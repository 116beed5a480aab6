// What several commands' options accept.
#pragma once

#include <string>

namespace cnspec::cli {

// For CLI11's check(): empty for a duration above nothing such as "5s", else what is wrong with it.
std::string check_duration(const std::string& text);

}  // namespace cnspec::cli
