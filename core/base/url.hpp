// URLs as people write them: which parts of one may be printed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cnspec {

// Views into the text, in its order. A password that holds, wrongly, what ends an authority is still found.
struct UrlParts {
  std::string_view scheme;          // with its "://"; may be empty
  std::string_view user, password;  // may be keys, both of them
  std::string_view place;           // host, port and path
  std::string_view query;           // with its '?' or '#'; may hold a signature or a token
};
UrlParts split_url(std::string_view url);

bool is_port(std::string_view text);  // 1 to 65535, in digits

// Whether it names a host, and where it names a scheme, one of these: of a server whose paths we append, so
// without a query. "file" wants a folder instead.
bool is_address(std::string_view url, const std::vector<std::string_view>& schemes);

// Whether what is said there crosses a network that anybody may listen to: http, and not to this machine.
bool is_overheard(std::string_view url);

// What may be printed of it, on one line: the scheme and the place.
std::string shown_url(std::string_view url);

}  // namespace cnspec
