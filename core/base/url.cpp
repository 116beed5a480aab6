#include "base/url.hpp"

#include <algorithm>
#include <charconv>

#include "base/text.hpp"

namespace cnspec {
namespace {

// Where the '@' behind user and password stands; npos without them.
std::size_t end_of_credentials(std::string_view rest) {
  const auto authority = rest.substr(0, rest.find_first_of("/?#"));
  const auto at = authority.rfind('@');
  const auto colon = authority.rfind(':');
  if (colon == authority.npos || authority.starts_with('[')) return at;
  // Without a port behind the colon it is a password that ended the authority too early.
  const bool port = authority.find_first_not_of("0123456789", colon + 1) == authority.npos;
  if (!port) return rest.rfind('@');
  return at == authority.npos ? rest.substr(0, rest.find_first_of("?#")).rfind('@') : at;
}

struct Host {
  std::string_view name;  // with the brackets of an IPv6 address
  std::string_view port;  // with its colon
};

Host split_host(std::string_view place) {
  const auto authority = place.substr(0, place.find('/'));
  const auto close = authority.starts_with('[') ? authority.find(']') : 0;
  const auto colon = authority.find(':', std::min(close, authority.size()));
  return {authority.substr(0, colon), authority.substr(std::min(colon, authority.size()))};
}

// What libcurl takes for one. The bytes of other alphabets may be a name's.
bool is_host(std::string_view name) {
  if (name.starts_with('[')) {
    const auto address = name.substr(1, name.size() - 2);
    return name.ends_with(']') && address.find(':') != address.npos &&
           address.substr(0, address.find('%')).find_first_not_of("0123456789abcdefABCDEF:.") == name.npos;
  }
  return !name.empty() && name.find_first_of("/:#?!@{}[]\\$'\"^`*<>=;,+&()") == name.npos;
}

}  // namespace

bool is_port(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value > 0 && value <= 65535;
}

bool is_address(std::string_view url, const std::vector<std::string_view>& schemes) {
  if (std::any_of(url.begin(), url.end(), [](unsigned char c) { return c <= ' ' || c == 0x7f; }))
    return false;
  const UrlParts parts = split_url(url);
  const std::string scheme = to_lower(parts.scheme.substr(0, parts.scheme.find(':')));
  const bool known = std::find(schemes.begin(), schemes.end(), scheme) != schemes.end();
  if ((!parts.scheme.empty() && !known) || !parts.query.empty()) return false;
  const bool one_way_to_read = parts.user.find_first_of("/?#") == parts.user.npos &&
                               parts.password.find_first_of("/?#") == parts.password.npos;
  if (!one_way_to_read) return false;
  if (scheme == "file") return parts.user.empty() && parts.place.starts_with('/');
  const auto [name, port] = split_host(parts.place);
  return is_host(name) && (port.empty() || is_port(port.substr(1)));
}

bool is_overheard(std::string_view url) {
  const UrlParts parts = split_url(url);
  if (to_lower(parts.scheme) != "http://") return false;
  const std::string host = to_lower(split_host(parts.place).name);
  return host != "localhost" && !host.ends_with(".localhost") && host != "[::1]" &&
         (!host.starts_with("127.") || host.find_first_not_of("0123456789.") != host.npos);
}

UrlParts split_url(std::string_view url) {
  UrlParts out;
  const auto scheme = url.find("://");
  if (scheme != url.npos) out.scheme = url.substr(0, scheme + 3);
  std::string_view rest = url.substr(out.scheme.size());
  if (const auto at = end_of_credentials(rest); at != rest.npos) {
    const auto colon = rest.substr(0, at).find(':');
    out.user = rest.substr(0, std::min(colon, at));
    if (colon != rest.npos) out.password = rest.substr(colon + 1, at - colon - 1);
    rest.remove_prefix(at + 1);
  }
  out.place = rest.substr(0, rest.find_first_of("?#"));
  out.query = rest.substr(out.place.size());
  return out;
}

std::string shown_url(std::string_view url) {
  const UrlParts parts = split_url(url);
  return printable(std::string(parts.scheme) + std::string(parts.place));
}

}  // namespace cnspec
