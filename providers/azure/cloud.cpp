#include "cloud.hpp"

#include <algorithm>
#include <set>

namespace cnspec::azure {
namespace {

using providers::member;
using providers::one_line;
using providers::quoted;
using providers::Secret;
using providers::string_member;
using sdk::Error;

constexpr const char* kSubscriptionsApi = "/subscriptions?api-version=2022-12-01";
constexpr int kMaxPages = 200;
constexpr std::size_t kMaxSubscriptions = 20'000;

Error no_sense(const std::string& url, const std::string& who, const sdk::HttpResponse& response) {
  return {CNSPEC_FAILED, url + " did not answer as " + who + " does (" + providers::described(response) +
                             "); is this the right URL?"};
}

// "AADSTS7000215: Invalid client secret provided. ...", without the trace and correlation ids that follow it,
// and without the full stop: our own words may follow.
std::string essence(std::string text) {
  for (const char* tail : {"Trace ID:", "Correlation ID:", "\r", "\n"})
    text = text.substr(0, text.find(tail));
  text = one_line(text);
  if (text.ends_with('.') && !text.ends_with("...")) text.pop_back();
  return text;
}

// What to do about the codes that users meet; empty for the others.
std::string advice_on(std::string_view message, const ServicePrincipal& principal) {
  const std::string secret = "; check --client-secret (or AZURE_CLIENT_SECRET)";
  const std::string client = "; check --client-id " + quoted(principal.client_id);
  const std::string tenant = "; check --tenant-id " + quoted(principal.tenant);
  const std::pair<std::string_view, std::string> known[] = {
      {"AADSTS7000215", secret + ": it must be the secret's value, not its ID"},
      {"AADSTS7000222", "; make a new client secret, this one has expired"},
      {"AADSTS700016", client + " and --tenant-id " + quoted(principal.tenant)},
      {"AADSTS7000112", "; the application is disabled"},
      {"AADSTS90002", tenant},
      {"AADSTS900023", tenant},
      {"AADSTS53003", "; a Conditional Access policy forbids it from here"},
  };
  for (const auto& [code, advice] : known) {
    if (message.starts_with(std::string(code) + ':')) return advice;
  }
  return {};
}

[[noreturn]] void token_refused(const std::string& url, const ServicePrincipal& principal,
                                const sdk::HttpResponse& response) {
  rapidjson::Document document;
  const bool json = providers::parse_json_object(response.body, document);
  const std::string code = json ? one_line(string_member(document, "error")) : "";
  if (code.empty() && response.status < 500) throw no_sense(url, "Microsoft Entra ID", response);
  const std::string failed = "cannot sign in to Azure as " + quoted(principal.client_id) + ": ";
  if (code.empty()) {
    throw Error(CNSPEC_UNAVAILABLE,
                failed + url + " has an error of its own (" + providers::described(response) + ")")
        .retryable();
  }
  const std::string message =
      essence(providers::without(string_member(document, "error_description"), {principal.client_secret}));
  const std::string sentence = failed + (message.empty() ? code : message) + advice_on(message, principal);
  if (code == "temporarily_unavailable" || response.status == 429 || response.status >= 500) {
    throw Error(CNSPEC_UNAVAILABLE, sentence).retryable();
  }
  throw Error(CNSPEC_UNAUTHENTICATED, sentence);
}

[[noreturn]] void list_refused(const std::string& url, const Secret& token,
                               const sdk::HttpResponse& response) {
  rapidjson::Document document;
  const bool json = providers::parse_json_object(response.body, document);
  const rapidjson::Value* error = json ? member(document, "error") : nullptr;
  const std::string code = error ? one_line(string_member(*error, "code")) : "";
  if (code.empty() && response.status < 500) throw no_sense(url, "Azure Resource Manager", response);
  const std::string message =
      code.empty() ? "" : essence(providers::without(string_member(*error, "message"), {token}));
  const std::string sentence =
      "cannot list the Azure subscriptions: " +
      (code.empty() ? url + " has an error of its own (" + providers::described(response) + ")"
                    : "Azure answered " + code + (message.empty() ? "" : ": " + message));
  switch (response.status) {
    case 401: throw Error(CNSPEC_UNAUTHENTICATED, sentence);
    case 403: throw Error(CNSPEC_PERMISSION_DENIED, sentence);
    case 429: throw Error(CNSPEC_UNAVAILABLE, sentence).retryable();
    default: break;
  }
  if (response.status >= 500) throw Error(CNSPEC_UNAVAILABLE, sentence).retryable();
  throw Error(sentence);
}

Subscription subscription_in(const rapidjson::Value& value) {
  Subscription out;
  out.id = string_member(value, "id");
  out.subscription_id = string_member(value, "subscriptionId");
  out.name = string_member(value, "displayName");
  out.state = string_member(value, "state");
  out.tenant_id = string_member(value, "tenantId");
  out.authorization_source = string_member(value, "authorizationSource");
  const rapidjson::Value* tags = member(value, "tags");
  if (tags && tags->IsObject()) {
    for (const auto& tag : tags->GetObject()) {
      if (tag.value.IsString()) out.tags.emplace_back(tag.name.GetString(), tag.value.GetString());
    }
  }
  return out;
}

// The next page's URL, which gets our token and so has to be Azure's own.
std::string checked_link(const std::string& link, const Cloud& cloud) {
  const auto query = std::min(link.find('?'), link.size());
  const auto url =
      providers::parse_base_url(std::string_view(link).substr(0, query), "Azure's link to its next page");
  if (!url.same_origin(cloud.management)) {
    const auto origin = [](const providers::BaseUrl& u) { return u.scheme + "://" + u.authority(); };
    throw Error("Azure's link to its next page of subscriptions leads to " + origin(url) + ", expected " +
                origin(cloud.management));
  }
  return url.text() + link.substr(query);
}

}  // namespace

Secret get_token(sdk::Call& call, const Cloud& cloud, const ServicePrincipal& principal) {
  const sdk::HttpResponse response = call.http(
      {.method = "POST",
       .url =
           cloud.authority.text() + '/' + providers::percent_encode(principal.tenant) + "/oauth2/v2.0/token",
       .headers = {{"Content-Type", "application/x-www-form-urlencoded"}, {"Accept", "application/json"}},
       .body = providers::form({{"grant_type", "client_credentials"},
                                {"client_id", principal.client_id},
                                {"client_secret", principal.client_secret.reveal()},
                                {"scope", cloud.management.text() + "/.default"}})});
  if (response.status != 200) token_refused(cloud.authority.text(), principal, response);
  rapidjson::Document document;
  if (!providers::parse_json_object(response.body, document)) {
    throw no_sense(cloud.authority.text(), "Microsoft Entra ID", response);
  }
  const Secret token(string_member(document, "access_token"));
  const bool printable =
      std::all_of(token.reveal().begin(), token.reveal().end(), [](char c) { return c > ' ' && c <= '~'; });
  if (token.empty() || !printable) throw no_sense(cloud.authority.text(), "Microsoft Entra ID", response);
  return token;
}

std::vector<Subscription> list_subscriptions(sdk::Call& call, const Cloud& cloud, const Secret& token) {
  std::vector<Subscription> out;
  std::set<std::string> seen;
  const std::string base = cloud.management.text();
  std::string url = base + kSubscriptionsApi;
  while (!url.empty()) {
    if (!seen.insert(url).second) throw Error("Azure's pages of subscriptions form a loop");
    if (seen.size() > kMaxPages) {
      throw Error("Azure's list of subscriptions has more than " + std::to_string(kMaxPages) + " pages");
    }
    const sdk::HttpResponse response = call.http(
        {.url = url,
         .headers = {{"Authorization", "Bearer " + token.reveal()}, {"Accept", "application/json"}}});
    if (response.status != 200) list_refused(base, token, response);
    rapidjson::Document document;
    const bool json = providers::parse_json_object(response.body, document);
    const rapidjson::Value* page = json ? member(document, "value") : nullptr;
    if (!page || !page->IsArray()) throw no_sense(base, "Azure Resource Manager", response);
    for (const rapidjson::Value& value : page->GetArray()) {
      out.push_back(subscription_in(value));
      if (out.back().subscription_id.empty()) throw no_sense(base, "Azure Resource Manager", response);
    }
    if (out.size() > kMaxSubscriptions) {
      throw Error("Azure's list has more than " + std::to_string(kMaxSubscriptions) + " subscriptions");
    }
    const std::string next = string_member(document, "nextLink");
    url = next.empty() ? "" : checked_link(next, cloud);
  }
  return out;
}

}  // namespace cnspec::azure
