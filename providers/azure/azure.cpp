#include <algorithm>
#include <cnspec/provider.hpp>

#include "cloud.hpp"
#include "manifest.h"

namespace cnspec::azure {
namespace {

using namespace cnspec::sdk;
using providers::quoted;

bool same_id(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

bool contains(const std::vector<std::string>& ids, std::string_view id) {
  return std::any_of(ids.begin(), ids.end(), [&](const std::string& other) { return same_id(other, id); });
}

// A secret or token goes there, so nobody on the way may read along.
providers::BaseUrl safe_url(const std::string& text, const std::string& what) {
  auto url = providers::parse_base_url(text, what);
  if (url.scheme != "https" && !url.is_loopback()) {
    throw Error(CNSPEC_INVALID,
                what + " has the scheme \"http\", expected https: only a loopback address may do without");
  }
  return url;
}

Cloud cloud_of(const Call& call) {
  const auto host = providers::env("AZURE_AUTHORITY_HOST");
  const auto flag = call.config(flags::authority_url);
  std::string authority = flag ? *flag : host.value_or("https://login.microsoftonline.com");
  // Azure's own tools write it with and without the scheme.
  if (!flag && authority.find("://") == std::string::npos) authority.insert(0, "https://");
  return {safe_url(authority, flag ? "--authority-url" : "AZURE_AUTHORITY_HOST"),
          safe_url(call.config(flags::management_url).value_or("https://management.azure.com"),
                   "--management-url")};
}

ServicePrincipal principal_of(const Call& call) {
  std::vector<std::string> missing;
  const auto need = [&](std::optional<std::string> flag, const char* name, const char* variable) {
    if (!flag || flag->empty()) flag = providers::env(variable);
    if (!flag) missing.push_back("--" + std::string(name) + " (or " + variable + ")");
    return flag.value_or("");
  };
  ServicePrincipal out{need(call.config(flags::tenant_id), flags::tenant_id, "AZURE_TENANT_ID"),
                       need(call.config(flags::client_id), flags::client_id, "AZURE_CLIENT_ID"),
                       providers::Secret(need(call.secret(flags::client_secret), flags::client_secret,
                                              "AZURE_CLIENT_SECRET"))};
  if (!missing.empty()) {
    std::string message = "there are no credentials for Azure: set ";
    for (std::size_t i = 0; i < missing.size(); ++i) {
      message += (i == 0 ? "" : i + 1 == missing.size() ? " and " : ", ") + missing[i];
    }
    throw Error(CNSPEC_UNAUTHENTICATED, message);
  }
  const bool is_tenant = std::all_of(out.tenant.begin(), out.tenant.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
  });
  if (!is_tenant) {
    throw Error(CNSPEC_INVALID, "the Azure tenant is " + quoted(out.tenant) + ", expected an ID or a domain");
  }
  return out;
}

// The subscriptions that the flags leave over. Naming one that cannot be seen is an error: it would be
// missed.
std::vector<Subscription> selected(std::vector<Subscription> all, const std::vector<std::string>& only,
                                   const std::vector<std::string>& except) {
  for (const std::string& id : only) {
    const bool seen =
        std::any_of(all.begin(), all.end(), [&](const auto& s) { return same_id(s.subscription_id, id); });
    if (!seen) {
      throw Error(CNSPEC_NOT_FOUND, "the Azure subscription " + quoted(id) + " is not among the " +
                                        std::to_string(all.size()) + " that the service principal can see");
    }
  }
  std::erase_if(all, [&](const Subscription& s) {
    return (!only.empty() && !contains(only, s.subscription_id)) || contains(except, s.subscription_id);
  });
  return all;
}

// Connecting signs in and lists; the answer is all there is to tell, so neither secret nor token outlives it.
class Tenant : public Connection {
 public:
  Tenant(std::string tenant, std::vector<Subscription> subscriptions)
      : tenant_(std::move(tenant)), subscriptions_(std::move(subscriptions)) {}

  void identify(Call&, Rows& rows) override {
    const bool one = subscriptions_.size() == 1;
    const std::string id =
        "//platformid.api.mondoo.app/runtime/azure/" +
        (one ? "subscriptions/" + subscriptions_[0].subscription_id : "tenants/" + tenant_);
    const std::string name =
        one ? "Azure subscription " + (subscriptions_[0].name.empty() ? subscriptions_[0].subscription_id
                                                                      : subscriptions_[0].name)
            : "Azure tenant " + tenant_;
    rows.begin("asset", id)
        .put("name", name)
        .put("platform", "azure")
        .put("title", "Microsoft Azure")
        .put("kind", "api")
        .put("runtime", "azure")
        .put("ids", Value::Array{id});
  }

  void fetch(Call&, const FetchRequest& request, Rows& rows) override {
    namespace fields = resources::azure_subscription;
    for (const Subscription& s : subscriptions_) {
      if (!request.id.empty() && !same_id(request.id, s.subscription_id) && !same_id(request.id, s.id))
        continue;
      Value::Map tags;
      for (const auto& [key, value] : s.tags) tags.emplace_back(key, value);
      rows.begin(fields::kType, s.subscription_id)
          .put(fields::id, s.id)
          .put(fields::subscriptionId, s.subscription_id)
          .put(fields::name, s.name)
          .put(fields::state, s.state)
          .put(fields::tenantId, s.tenant_id)
          .put(fields::authorizationSource, s.authorization_source)
          .put(fields::tags, Value(std::move(tags)));
    }
  }

 private:
  std::string tenant_;
  std::vector<Subscription> subscriptions_;
};

class Azure : public Provider {
  std::unique_ptr<Connection> connect(Call& call, const ConnectRequest&) override {
    const Cloud cloud = cloud_of(call);
    const ServicePrincipal principal = principal_of(call);
    const providers::Secret token = get_token(call, cloud, principal);
    std::vector<Subscription> all = list_subscriptions(call, cloud, token);
    if (all.empty()) {
      call.log(CNSPEC_LOG_WARN,
               "the service principal can see no subscription; it needs a role such as Reader on one");
    }
    return std::make_unique<Tenant>(principal.tenant,
                                    selected(std::move(all), call.config_list(flags::subscriptions),
                                             call.config_list(flags::subscriptions_exclude)));
  }
};

}  // namespace
}  // namespace cnspec::azure

using cnspec::azure::Azure;
CNSPEC_PROVIDER(Azure)
