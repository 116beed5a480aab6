#include "upstream/token.hpp"

#include <algorithm>

#include "base/encoding.hpp"
#include "base/json.hpp"
#include "base/text.hpp"

namespace cnspec::upstream {
namespace {

constexpr std::string_view kTokenCharacters =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";

tl::unexpected<Error> malformed(const std::string& why) {
  return fail(Error("the registration token is malformed: " + why, ErrorKind::kInvalid)
                  .hint("copy the whole token, without spaces or line breaks"));
}

}  // namespace

Result<TokenClaims> read_token(std::string_view token) {
  token = trim(token);
  const auto first = token.find('.');
  const auto last = token.rfind('.');
  if (first == std::string_view::npos || first == last || token.find('.', first + 1) != last) {
    return malformed("expected three parts separated by dots");
  }
  if (token.find_first_not_of(kTokenCharacters) != token.npos) {
    return malformed("it has a character that no token has");
  }
  const auto payload = base64url_decode(token.substr(first + 1, last - first - 1));
  if (!payload) return malformed("its second part is not base64url");
  const auto claims = json::parse(*payload);
  if (!claims || !claims->IsObject()) return malformed("its second part is not a JSON object");

  TokenClaims out;
  out.space = json::get_string(*claims, "space");
  out.description = json::get_string(*claims, "desc");
  out.api_endpoint = json::get_string(*claims, "api_endpoint");
  if (const json::Value* exp = json::find(*claims, "exp")) {
    if (!exp->IsNumber() || exp->GetDouble() < 0) return malformed("its expiry is no time");
    // The clock ends in the year 2262; what expires later than that expires then.
    constexpr auto kLatest = std::chrono::floor<std::chrono::seconds>(Clock::duration::max());
    const double seconds = std::min(exp->GetDouble(), static_cast<double>(kLatest.count()));
    out.expires = Clock::time_point(std::chrono::seconds(static_cast<std::int64_t>(seconds)));
  }
  if (out.space.empty()) return malformed("it names no space");
  return out;
}

}  // namespace cnspec::upstream
