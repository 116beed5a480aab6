// Features of the client, which every request names to the platform.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace cnspec::upstream {

// What the header Mondoo-Features says when nothing is configured.
std::string default_features();

// Those that are on by default and those that are named; "noNAME" switches one off. Names are compared
// without regard to case. `unknown` gets the names that mean nothing.
std::string features_header(const std::vector<std::string>& names, std::vector<std::string>* unknown);

// The names of those that are on, in the order of their numbers.
std::vector<std::string> active_features(const std::vector<std::string>& names);

}  // namespace cnspec::upstream
