// Versions compared as semver.org says, with the leniency people expect: "v1.2" is 1.2.0.
#pragma once

#include <compare>
#include <optional>
#include <string_view>

namespace cnspec {

// Nothing when either text is no version. Build metadata does not count.
std::optional<std::strong_ordering> compare_versions(std::string_view a, std::string_view b);

}  // namespace cnspec
