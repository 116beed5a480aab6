#include "upstream/token.hpp"

#include "base/encoding.hpp"
#include "base/json.hpp"
#include "base/text.hpp"

namespace cnspec::upstream {
namespace {

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
  const auto payload = base64url_decode(token.substr(first + 1, last - first - 1));
  if (!payload) return malformed("its second part is not base64url");
  const auto claims = json::parse(*payload);
  if (!claims || !claims->IsObject()) return malformed("its second part is not a JSON object");

  TokenClaims out;
  out.space = json::get_string(*claims, "space");
  out.description = json::get_string(*claims, "desc");
  out.api_endpoint = json::get_string(*claims, "api_endpoint");
  if (const json::Value* exp = json::find(*claims, "exp")) {
    // Beyond this, seconds overflow the clock; it is the year 9999.
    constexpr double kLatest = 253402300799.0;
    if (!exp->IsNumber() || exp->GetDouble() < 0 || exp->GetDouble() > kLatest) {
      return malformed("its expiry is no time");
    }
    out.expires = Clock::time_point(std::chrono::seconds(static_cast<std::int64_t>(exp->GetDouble())));
  }
  if (out.space.empty()) return malformed("it names no space");
  return out;
}

}  // namespace cnspec::upstream
