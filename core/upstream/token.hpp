// Registration tokens, as far as a client can read them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/time.hpp"

namespace cnspec::upstream {

// What a registration token says of itself; nothing is verified, that is the platform's business.
struct TokenClaims {
  std::string space;
  std::string description;
  std::string api_endpoint;
  std::optional<Clock::time_point> expires;
};
Result<TokenClaims> read_token(std::string_view token);

}  // namespace cnspec::upstream
