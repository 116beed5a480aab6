#include "provider/network.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "base/text.hpp"
#include "base/url.hpp"

namespace cnspec::provider {
namespace {

bool letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool only(std::string_view text, std::string_view extra) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return letter_or_digit(c) || extra.find(c) != std::string_view::npos;
  });
}

}  // namespace

Result<std::string> url_host(std::string_view url) {
  // The path and the query may carry a secret, so no message shows them.
  const auto refuse = [](const std::string& what) { return fail("the URL " + what, ErrorKind::kInvalid); };
  if (std::any_of(url.begin(), url.end(), [](char c) { return c == '\\' || !(c > ' ' && c < 0x7f); })) {
    return refuse("has a blank, a backslash, a control character or one outside ASCII");
  }
  const auto colon = url.find("://");
  const std::string scheme = to_lower(url.substr(0, colon == std::string_view::npos ? 0 : colon));
  if (scheme != "http" && scheme != "https") {
    return refuse(scheme.empty() ? "is not absolute, expected http:// or https://"
                                 : "has the scheme \"" + printable(scheme) + "\", expected http or https");
  }
  std::string_view authority = url.substr(colon + 3);
  authority = authority.substr(0, authority.find_first_of("/?#"));
  if (authority.find('@') != std::string_view::npos)
    return refuse("names a user; send credentials in a header");

  std::string_view host = authority;
  std::string_view after;
  if (authority.starts_with("[")) {
    const auto close = authority.find(']');
    host = authority.substr(1, close == std::string_view::npos ? close : close - 1);
    after = close == std::string_view::npos ? "?" : authority.substr(close + 1);
    const bool address = host.find(':') != std::string_view::npos &&
                         host.find_first_not_of("0123456789abcdefABCDEF:.") == std::string_view::npos;
    if (!address) return refuse("has an IPv6 address that is none");
  } else if (const auto port = authority.find(':'); port != std::string_view::npos) {
    host = authority.substr(0, port);
    after = authority.substr(port);
  }
  if (!after.empty() && (after.front() != ':' || !is_port(after.substr(1))))
    return refuse("has a port that is none");
  if (host.ends_with('.')) host.remove_suffix(1);
  if (!only(host, authority.starts_with("[") ? ":." : "-._")) return refuse("has a host that is none");
  return to_lower(host);
}

bool host_allowed(std::string_view host, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& spelled) {
    const std::string pattern = to_lower(spelled);
    if (pattern == "*") return true;
    if (!pattern.starts_with("*.")) return host == pattern;
    const std::string_view below = std::string_view(pattern).substr(1);
    return host.size() > below.size() && host.ends_with(below);
  });
}

std::string address_host(std::string_view address) {
  if (address.find("://") == std::string_view::npos) {
    std::string_view authority = address.substr(0, address.find_first_of("/?#"));
    authority = authority.substr(authority.rfind('@') + 1);  // npos + 1 is 0
    // An IPv6 address without brackets has no port.
    const bool bare = !authority.starts_with('[') && std::count(authority.begin(), authority.end(), ':') > 1;
    const std::string url = "https://" + (bare ? "[" + std::string(authority) + "]" : std::string(authority));
    return url_host(url).value_or("");
  }
  return url_host(address).value_or("");
}

std::vector<std::string> allowed_hosts(const std::vector<std::string>& network, const Config& flags,
                                       const std::vector<std::string>& args) {
  std::vector<std::string> out;
  const auto add = [&](std::string_view address) {
    if (std::string host = address_host(address); !host.empty()) out.push_back(std::move(host));
  };
  for (const std::string_view entry : network) {
    const std::string name(entry.substr(std::min(entry.size(), entry.find(':') + 1)));
    if (entry.starts_with("flag:")) {
      const auto it = flags.find(name);
      if (const auto* text = it == flags.end() ? nullptr : std::get_if<std::string>(&it->second.data))
        add(*text);
    } else if (entry.starts_with("arg:")) {
      std::size_t n = 0;
      std::from_chars(name.data(), name.data() + name.size(), n);
      if (n >= 1 && n <= args.size()) add(args[n - 1]);
    } else if (entry.starts_with("env:")) {
      if (const char* text = std::getenv(name.c_str())) add(text);
    } else {
      out.emplace_back(entry);
    }
  }
  return out;
}

bool is_http_token(std::string_view text) { return only(text, "!#$%&'*+-.^_`|~"); }

}  // namespace cnspec::provider
