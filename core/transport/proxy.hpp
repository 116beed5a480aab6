// Which proxy a request goes through. One rule for everything that asks: the platform, token services,
// updates, the registry, and providers through the host.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace cnspec::transport {

struct ProxySetting {
  std::string url;     // empty: no proxy. May hold a password.
  std::string source;  // who said so, as the user knows it: "--api-proxy", "HTTPS_PROXY"
};

inline constexpr char kApiProxyKey[] = "the key api_proxy";  // as a source

struct ProxySettings {
  ProxySetting https, http;   // by the scheme of what is asked
  std::string no_proxy = {};  // what is asked directly all the same
  std::string no_proxy_source = {};
};

// A variable's value; nothing when it is not set.
using Environment = std::function<std::optional<std::string>(const char* name)>;

// The first that is set, for every URL: MONDOO_API_PROXY, `flag` (--api-proxy), `configured` (the key
// api_proxy). The first two may be set to nothing, which means no proxy at all. Without any of them the
// environment decides by the scheme of what is asked: HTTPS_PROXY or HTTP_PROXY, else ALL_PROXY. Of two
// spellings the upper-case one wins, as in the tool that we follow, unless it is empty: then it is as good as
// unset. HTTP_PROXY does not count where REQUEST_METHOD is set: in a CGI script it is a header that a
// stranger sent. NO_PROXY holds for all of them.
ProxySettings choose_proxies(const std::optional<std::string>& flag, std::string_view configured,
                             const Environment& environment);

struct Proxy {
  std::string url;  // scheme, host and port: what may be printed
  std::string user, password;
  std::string source;

  std::string_view scheme() const { return std::string_view(url).substr(0, url.find(':')); }
};

// An absolute http or https URL: the proxy to ask for it, or nothing. kConfig when the proxy's URL cannot be
// used; the error says where it came from and never repeats it.
//
// no_proxy is a list, separated by commas or blanks, of
//   *                       everything
//   example.com             that host and all below it; so .example.com and *.example.com, without the host
//   itself 192.0.2.1, 2001:db8::1  an address, also in brackets 10.0.0.0/8, fd00::/8    all addresses of a
//   network
// each but a network with :PORT for that port only. Names are not looked up: an address in the list says
// nothing about a URL with a name. Entries that are none of this are passed over.
Result<std::optional<Proxy>> proxy_for(std::string_view url, const ProxySettings& settings);

// Whether no_proxy names this host (in lower case, without brackets) and port.
bool asked_directly(std::string_view host, unsigned port, std::string_view no_proxy);

}  // namespace cnspec::transport
