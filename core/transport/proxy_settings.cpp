// Apart from proxy.cpp, since the program chooses and only the network module reads URLs.
#include "transport/proxy.hpp"

namespace cnspec::transport {
namespace {

ProxySetting first_of(const Environment& environment, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (auto value = environment(name); value && !value->empty()) return {std::move(*value), name};
  }
  return {};
}

}  // namespace

ProxySettings choose_proxies(const std::optional<std::string>& flag, std::string_view configured,
                             const Environment& environment) {
  ProxySettings out;
  ProxySetting direct = first_of(environment, {"NO_PROXY", "no_proxy"});
  out.no_proxy = std::move(direct.url);
  out.no_proxy_source = std::move(direct.source);
  if (auto set = environment("MONDOO_API_PROXY")) {
    out.https = {std::move(*set), "MONDOO_API_PROXY"};
  } else if (flag) {
    out.https = {*flag, "--api-proxy"};
  } else if (!configured.empty()) {
    out.https = {std::string(configured), kApiProxyKey};
  } else {
    out.https = first_of(environment, {"HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"});
    out.http = environment("REQUEST_METHOD")
                   ? first_of(environment, {"http_proxy", "ALL_PROXY", "all_proxy"})
                   : first_of(environment, {"HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"});
    return out;
  }
  out.http = out.https;
  return out;
}

}  // namespace cnspec::transport
