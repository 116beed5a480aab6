#include "base/url.hpp"

#include <algorithm>

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

}  // namespace

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
