// What a caller asks of a provider, checked against the manifest before the provider sees it.
#pragma once

#include <map>
#include <string>

#include "base/error.hpp"
#include "provider/provider.hpp"

namespace cnspec::provider {

// Every flag of the connector that is no secret, by name: as it was set, or its default, or null.
using Config = std::map<std::string, Value, std::less<>>;

// What holds for a connection from the moment it is asked for.
struct Settled {
  Config config;
  std::vector<std::string> hosts;  // that it may ask by HTTP
};

// Why the request cannot be meant is an error of the kind kUsage.
Result<Config> check_connect(const Manifest& manifest, const ConnectRequest& request);

// Answers the wanted fields, each once.
Result<std::vector<std::string>> check_fetch(const Manifest& manifest, const FetchRequest& request);

// A flag's default, which the manifest spells as text: a list as a,b and a map as k=v,k=v. Null when there is
// none.
Value default_of(const manifest::Flag& flag);

}  // namespace cnspec::provider
