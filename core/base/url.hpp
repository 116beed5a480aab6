// URLs as people write them: which parts of one may be printed.
#pragma once

#include <string>
#include <string_view>

namespace cnspec {

// Views into the text, in its order. A password that holds, wrongly, what ends an authority is still found.
struct UrlParts {
  std::string_view scheme;          // with its "://"; may be empty
  std::string_view user, password;  // may be keys, both of them
  std::string_view place;           // host, port and path
  std::string_view query;           // with its '?' or '#'; may hold a signature or a token
};
UrlParts split_url(std::string_view url);

// What may be printed of it, on one line: the scheme and the place.
std::string shown_url(std::string_view url);

}  // namespace cnspec
