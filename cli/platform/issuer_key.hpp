// The public keys of those whose tokens are believed (workload identity), and tokens held against them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "jwt.hpp"

namespace cnspec::platform {

struct IssuerKey {
  std::string kid;  // empty: any
  std::string der;  // SubjectPublicKeyInfo
};

// A JWKS document, or public keys and certificates in PEM. Keys that sign nothing (use: enc) and kinds that
// are not known here are passed over; none left is an error.
Result<std::vector<IssuerKey>> read_issuer_keys(std::string_view text);

// By one of the keys, which the token's kid chooses when it has one: RS256, RS384, RS512, ES256, ES384,
// ES512.
bool is_signed_by_issuer(const Jwt& token, const std::vector<IssuerKey>& keys);

}  // namespace cnspec::platform
