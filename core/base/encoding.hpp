// Text encodings of bytes, without a crypto library.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cnspec {

std::string base64url_encode(std::string_view bytes);                // no padding, RFC 7515
std::optional<std::string> base64url_decode(std::string_view text);  // padding is refused
std::string base64_encode(std::string_view bytes);                   // padded, RFC 4648
std::optional<std::string> base64_decode(std::string_view text);     // padded; line breaks are skipped
std::string hex_encode(std::string_view bytes);                      // lower case

// As forms and queries have it: everything but letters, digits and -_.~ becomes %XX, a space becomes +.
std::string form_encode(std::string_view text);

}  // namespace cnspec
