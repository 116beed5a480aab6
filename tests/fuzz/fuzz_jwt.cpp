// The two readers of tokens: the client's, of a registration token, and the platform's, of any JWT. With an
// odd first byte the rest is a token's payload, put into a well-formed token; else it is the token.
#include <cmath>

#include "base/encoding.hpp"
#include "fuzz.hpp"
#include "platform/jwt.hpp"
#include "upstream/token.hpp"

using namespace cnspec;
using namespace cnspec::fuzz;

namespace {

std::string token_around(std::string_view payload) {
  static const std::string header = base64url_encode(R"({"alg":"ES384","typ":"JWT","kid":"x"})");
  static const std::string signature = base64url_encode(std::string(96, '\1'));
  return header + "." + base64url_encode(payload) + "." + signature;
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const platform::Key key = platform::make_key("P-384").value();
  std::string_view input = view(data, size);
  const unsigned way = take_byte(input);
  const std::string token = way & 1 ? token_around(input) : std::string(input);

  if (const auto claims = upstream::read_token(token)) {
    require(!claims->space.empty(), "a token names a space");
    require(!claims->expires || claims->expires->time_since_epoch().count() >= 0, "no expiry before 1970");
    if (claims->expires) static_cast<void>(rfc1123(*claims->expires));
  }
  if (const auto jwt = platform::parse_jwt(token)) {
    for (const char* claim : {"iat", "nbf", "exp"}) {
      if (const auto time = jwt->time(claim)) require(!std::isnan(*time), "a time is a number");
    }
    static_cast<void>(jwt->text("iss"));
    // Costs a thousand times what the rest does.
    if (way % 64 == 2) require(!jwt->is_signed_by(key), "nobody forges our signature");
  }
  return 0;
}
