// Azure over HTTP: a token for a service principal, and the subscriptions it can see.
#pragma once

#include <cnspec/provider.hpp>
#include <string>
#include <utility>
#include <vector>

#include "shared/text.hpp"
#include "shared/web.hpp"

namespace cnspec::azure {

struct ServicePrincipal {
  std::string tenant;
  std::string client_id;
  providers::Secret client_secret;
};

struct Cloud {
  providers::BaseUrl authority;   // where tokens come from
  providers::BaseUrl management;  // Azure Resource Manager
};

struct Subscription {
  std::string id;
  std::string subscription_id;
  std::string name;
  std::string state;
  std::string tenant_id;
  std::string authorization_source;
  std::vector<std::pair<std::string, std::string>> tags;
};

// By OAuth's client credentials, for the cloud's Resource Manager. Throws sdk::Error with Entra's reason in
// one sentence.
providers::Secret get_token(sdk::Call& call, const Cloud& cloud, const ServicePrincipal& principal);

// All pages, in Azure's order. Throws sdk::Error.
std::vector<Subscription> list_subscriptions(sdk::Call& call, const Cloud& cloud,
                                             const providers::Secret& token);

}  // namespace cnspec::azure
