#include "spaces.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <ctime>

#include "base/json.hpp"
#include "base/time.hpp"
#include "jwt.hpp"
#include "wire.hpp"

namespace cnspec::platform {
namespace {

constexpr std::string_view kSpaces = "//captain.api.mondoo.app/spaces/";

}  // namespace

std::string agents_root(std::string_view space) {
  return "//agents.api.mondoo.app/spaces/" + std::string(space);
}

std::string space_mrn(std::string_view space) { return std::string(kSpaces) + std::string(space); }

std::string rfc3339(std::chrono::system_clock::time_point when) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 40> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

Seconds now() { return std::time(nullptr); }

Result<std::string> parse_space(std::string_view text) {
  const std::string_view id = text.starts_with(kSpaces) ? text.substr(kSpaces.size()) : text;
  const auto fits = [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_' || c == '.'; };
  if (id.empty() || id.size() > 63 || !std::isalnum(static_cast<unsigned char>(id.front())) ||
      !std::all_of(id.begin(), id.end(), fits)) {
    return fail("\"" + std::string(text) +
                    "\" is no space: expected 1 to 63 letters, digits, '-', '_' and '.', " +
                    "beginning with a letter or digit",
                ErrorKind::kUsage);
  }
  return std::string(id);
}

Result<ServiceAccount> keyless_account(const std::string& space) {
  const auto id = random_id();
  if (!id) return fail(id.error());
  ServiceAccount account;
  account.mrn = agents_root(space) + "/serviceaccounts/" + *id;
  account.space = space;
  account.created = now();
  return account;
}

Result<std::string> create_token(Store& store, const Key& key, const TokenRequest& request) {
  const auto id = random_id();
  if (!id) return fail(id.error());
  Token token;
  token.mrn = space_mrn(request.space) + "/tokens/" + *id;
  token.space = request.space;
  token.description = request.description;
  token.created = now();
  token.expires = token.created + request.lifetime.count();
  // One that is made expired was valid for an hour before that.
  const Seconds begins = token.expires > token.created ? token.created : token.expires - 3600;

  json::Document claims(rapidjson::kObjectType);
  auto& allocator = claims.GetAllocator();
  const auto add = [&](const char* name, std::string_view value) {
    claims.AddMember(rapidjson::StringRef(name), json::text(value, allocator), allocator);
  };
  const auto add_time = [&](const char* name, Seconds value) {
    claims.AddMember(rapidjson::StringRef(name), json::Value(value), allocator);
  };
  add("iss", kIssuer);
  add("jti", token.mrn);
  add("space", space_mrn(request.space));
  add("owner", space_mrn(request.space));
  if (!request.description.empty()) add("desc", request.description);
  if (!request.endpoint.empty()) add("api_endpoint", request.endpoint);
  add("cert_valid_until", rfc3339(std::chrono::system_clock::now() + std::chrono::hours(24 * 365)));
  add_time("iat", begins);
  add_time("nbf", begins);
  add_time("exp", token.expires);
  auto signed_token = sign_jwt(key, claims);
  if (!signed_token) return signed_token;
  if (auto added = store.add_token(token); !added) return fail(added.error());
  return signed_token;
}

}  // namespace cnspec::platform
