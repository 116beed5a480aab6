// Documents that anybody may have written, as values. Whatever cannot be one throws an Error that says where.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "cnspec/provider.hpp"

namespace cnspec::coreprovider {

// Beyond these a document is refused. The host takes no value deeper than 32 levels.
inline constexpr int kMaxDepth = 31;
inline constexpr std::size_t kMaxValues = 1'000'000;

// Null for an empty text.
sdk::Value parse_json(std::string_view text);

inline constexpr std::size_t kMaxYaml = 4 << 20;
std::vector<sdk::Value> parse_yaml(std::string_view text);

}  // namespace cnspec::coreprovider
