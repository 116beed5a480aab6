// Where a provider's requests may go: the allow-list of its manifest.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "provider/request.hpp"

namespace cnspec::provider {

// The host of an absolute http or https URL, in lower case, an IPv6 address without its brackets. Whatever
// two readers of a URL could understand differently is refused: user names, backslashes, control characters,
// escapes in the host.
Result<std::string> url_host(std::string_view url);

// Patterns: "example.com" is that host alone, "*.example.com" everything below it, "*" every host.
bool host_allowed(std::string_view host, const std::vector<std::string>& patterns);

// The host in what a user gives as an address: a URL, or [USER@]HOST[:PORT] with or without a path. In the
// form of url_host; empty when there is none.
std::string address_host(std::string_view address);

// The manifest's patterns, with the entries "flag:NAME", "arg:N" and "env:NAME" replaced by the hosts that
// the request and this process's environment give; those that give none are left out. Before there is a
// request, both are empty.
std::vector<std::string> allowed_hosts(const std::vector<std::string>& network, const Config& flags,
                                       const std::vector<std::string>& args);

// What RFC 9110 calls a token: a method, a header's name.
bool is_http_token(std::string_view text);

}  // namespace cnspec::provider
