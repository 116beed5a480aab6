// Names of what a platform knows, and the making of what its administrator makes.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "crypto.hpp"
#include "store.hpp"

namespace cnspec::platform {

inline constexpr std::string_view kIssuer = "mondoo/ams";
std::string space_mrn(std::string_view space);
std::string agents_root(std::string_view space);  // where its agents and service accounts are named
// "2024-03-23T20:07:42Z"
std::string rfc3339(std::chrono::system_clock::time_point when);
Seconds now();

// Letters, digits, '.', '_' and '-', at most 63; the space's MRN is taken, too.
Result<std::string> parse_space(std::string_view text);

// A service account whose keys are lent, to be stored with who may have it.
Result<ServiceAccount> keyless_account(const std::string& space);

// A registration token, and its record in the store.
struct TokenRequest {
  std::string space;
  std::string description;
  std::string endpoint;  // empty: the token names none
  std::chrono::seconds lifetime{3600};
};
Result<std::string> create_token(Store& store, const Key& key, const TokenRequest& request);

}  // namespace cnspec::platform
