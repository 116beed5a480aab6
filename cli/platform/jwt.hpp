// JSON Web Tokens as RFC 7515 writes them, our own with ES384 and nothing else. Safe on any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/json.hpp"
#include "crypto.hpp"

namespace cnspec::platform {

// Taken apart and decoded, but not believed: nothing here is proven before is_signed_by() is true.
struct Jwt {
  json::Document header;
  json::Document claims;
  std::string signed_text;
  std::string signature;

  bool is_signed_by(const Key& key) const { return verify_es384(key, signed_text, signature); }
  std::string_view text(std::string_view claim) const { return json::get_string(claims, claim); }
  // Seconds since 1970; nothing when the claim is missing or no number.
  std::optional<double> time(std::string_view claim) const;
};

// Refuses everything that is not three parts of base64url with JSON objects in the first two, alg ES384 and
// no `crit`. The error names the reason and quotes nothing of the token.
Result<Jwt> parse_jwt(std::string_view token);
// The same with any alg, for tokens of others; whoever verifies decides which are good.
Result<Jwt> parse_foreign_jwt(std::string_view token);

Result<std::string> sign_jwt(const Key& key, const json::Value& claims);

}  // namespace cnspec::platform
