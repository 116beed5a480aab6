#include "transport/proxy.hpp"

#include <arpa/inet.h>
#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <memory>

#include "base/text.hpp"

namespace cnspec::transport {
namespace {

constexpr std::array<std::string_view, 4> kSchemes = {"http", "https", "socks5", "socks5h"};
constexpr std::string_view kSeparators = ", \t\r\n";

std::optional<unsigned> number(std::string_view text, unsigned max) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

// IPv4 as IPv6 has it, so that there is one kind only.
using Address = std::array<std::uint8_t, 16>;

std::optional<Address> address_of(std::string_view text) {
  const std::string spelled(text.substr(0, text.find('%')));  // a zone says nothing about which address it is
  Address out{};
  if (::inet_pton(AF_INET6, spelled.c_str(), out.data()) == 1) return out;
  out[10] = out[11] = 0xff;
  if (::inet_pton(AF_INET, spelled.c_str(), out.data() + 12) == 1) return out;
  return std::nullopt;
}

bool same_network(const Address& a, const Address& b, unsigned bits) {
  const std::size_t bytes = bits / 8;
  if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(bytes), b.begin())) return false;
  return bits % 8 == 0 || ((a[bytes] ^ b[bytes]) >> (8 - bits % 8)) == 0;
}

bool in_network(const Address& host, std::string_view entry) {
  const auto slash = entry.find('/');
  const auto network = address_of(entry.substr(0, slash));
  const bool v4 = entry.find(':') == std::string_view::npos;
  const auto bits = number(entry.substr(slash + 1), v4 ? 32 : 128);
  return network && bits && same_network(host, *network, v4 ? *bits + 96 : *bits);
}

struct Entry {
  std::string host;
  std::optional<unsigned> port;
};

// Nothing for what is no entry.
std::optional<Entry> read_entry(std::string_view text) {
  std::string_view host = text, port;
  if (text.starts_with('[')) {
    const auto close = text.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    host = text.substr(1, close - 1);
    port = text.substr(close + 1);
    if (!port.empty() && !port.starts_with(':')) return std::nullopt;
  } else if (const auto colon = text.find(':'); colon != std::string_view::npos && colon == text.rfind(':')) {
    host = text.substr(0, colon);
    port = text.substr(colon);
  }
  Entry out{to_lower(host), std::nullopt};
  if (!port.empty()) {
    out.port = number(port.substr(1), 65535);
    if (!out.port) return std::nullopt;
  }
  if (out.host.ends_with('.')) out.host.pop_back();
  return out;
}

bool named(std::string_view host, const std::optional<Address>& address, unsigned port,
           std::string_view text) {
  if (text == "*") return true;
  if (text.find('/') != std::string_view::npos) return address && in_network(*address, text);
  const auto entry = read_entry(text);
  if (!entry || entry->host.empty() || (entry->port && *entry->port != port)) return false;
  if (const auto listed = address_of(entry->host)) return address == listed;
  if (address) return false;
  std::string_view name = entry->host;
  if (name == "*") return true;
  if (name.starts_with("*.")) name.remove_prefix(1);
  if (name.starts_with('.')) return host.size() > name.size() && host.ends_with(name);
  return host == name ||
         (host.size() > name.size() && host.ends_with(name) && host[host.size() - name.size() - 1] == '.');
}

// libcurl's reader of URLs, so that nothing is understood differently when the request is made.
class Url {
 public:
  bool parse(const std::string& text, unsigned flags) {
    return url_ && curl_url_set(url_.get(), CURLUPART_URL, text.c_str(), flags) == CURLUE_OK;
  }
  std::string part(CURLUPart what, unsigned flags = 0) const {
    char* text = nullptr;
    if (curl_url_get(url_.get(), what, &text, flags) != CURLUE_OK) return {};
    const std::unique_ptr<char, void (*)(void*)> owned(text, curl_free);
    return text;
  }
  std::string host() const {  // without brackets
    std::string host = to_lower(part(CURLUPART_HOST));
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    if (host.ends_with('.')) host.pop_back();
    return host;
  }

 private:
  std::unique_ptr<CURLU, void (*)(CURLU*)> url_{curl_url(), curl_url_cleanup};
};

Result<Proxy> read_proxy(const ProxySetting& setting) {
  const auto refuse = [&](const std::string& why) {
    return fail(
        Error("the proxy that " + setting.source + " names cannot be used: " + why, ErrorKind::kConfig)
            .hint("expected http://HOST:PORT, or https, socks5 or socks5h; a user and password stand before "
                  "the host as USER:PASSWORD@, special characters in them as %XX"));
  };
  const bool blank = std::any_of(setting.url.begin(), setting.url.end(),
                                 [](unsigned char c) { return c <= ' ' || c == 0x7f; });
  if (blank) return refuse("there is a blank or a control character in it");
  const auto end_of_scheme = setting.url.find("://");
  const std::string scheme =
      end_of_scheme == std::string::npos ? "http" : to_lower(setting.url.substr(0, end_of_scheme));
  if (std::find(kSchemes.begin(), kSchemes.end(), scheme) == kSchemes.end()) {
    return refuse("its scheme is none of http, https, socks5 and socks5h");
  }
  const std::string rest = setting.url.substr(end_of_scheme == std::string::npos ? 0 : end_of_scheme + 3);
  Url url;
  if (!url.parse(scheme + "://" + rest, CURLU_NON_SUPPORT_SCHEME)) return refuse("it is no URL");
  const std::string path = url.part(CURLUPART_PATH);
  if ((!path.empty() && path != "/") || rest.find_first_of("?#") != std::string::npos) {
    return refuse("something follows the host and port");
  }
  Proxy out;
  out.source = setting.source;
  out.user = url.part(CURLUPART_USER, CURLU_URLDECODE);
  out.password = url.part(CURLUPART_PASSWORD, CURLU_URLDECODE);
  if (url.part(CURLUPART_USER).size() && out.user.empty()) return refuse("its user is not valid");
  if (url.part(CURLUPART_PASSWORD).size() && out.password.empty()) return refuse("its password is not valid");
  std::string port = url.part(CURLUPART_PORT);
  // As the scheme has it, and not libcurl's 1080 for all.
  if (port.empty()) port = scheme == "https" ? "443" : scheme == "http" ? "80" : "1080";
  if (port == "0") return refuse("its port is 0");
  const std::string host = url.part(CURLUPART_HOST);
  if (host.empty()) return refuse("it has no host");
  out.url = scheme + "://" + host + ":" + port;
  return out;
}

}  // namespace

bool asked_directly(std::string_view host, unsigned port, std::string_view no_proxy) {
  const auto address = address_of(host);
  while (true) {
    const auto begin = no_proxy.find_first_not_of(kSeparators);
    if (begin == std::string_view::npos) return false;
    no_proxy.remove_prefix(begin);
    const auto end = std::min(no_proxy.find_first_of(kSeparators), no_proxy.size());
    if (named(host, address, port, no_proxy.substr(0, end))) return true;
    no_proxy.remove_prefix(end);
  }
}

Result<std::optional<Proxy>> proxy_for(std::string_view url, const ProxySettings& settings) {
  Url target;
  // What is no URL is for the request itself to complain about.
  if (!target.parse(std::string(url), 0)) return std::optional<Proxy>();
  const ProxySetting& setting = target.part(CURLUPART_SCHEME) == "https" ? settings.https : settings.http;
  if (setting.url.empty()) return std::optional<Proxy>();
  const auto port = number(target.part(CURLUPART_PORT, CURLU_DEFAULT_PORT), 65535);
  if (asked_directly(target.host(), port.value_or(0), settings.no_proxy)) return std::optional<Proxy>();
  auto proxy = read_proxy(setting);
  if (!proxy) return fail(proxy.error());
  return std::optional<Proxy>(std::move(*proxy));
}

}  // namespace cnspec::transport
