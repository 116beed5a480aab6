#include "config/keys.hpp"

#include <algorithm>

#include "base/url.hpp"
#include "base/version.hpp"

namespace cnspec::config {
namespace {

constexpr const char* kTrustWords[] = {"any", "signed"};
constexpr const char* kIsolationWords[] = {"none", "auto", "process"};

// Those without a member are for other programs that read the same file: we read them to show them.
constexpr Key kKeys[] = {
    {"agent_mrn", Kind::kText, &Config::agent_mrn},
    {"mrn", Kind::kText, &Config::mrn},
    {"private_key", Kind::kSecret, &Config::private_key},
    {"private_key_file", Kind::kText, &Config::private_key_file},
    {"certificate", Kind::kText, &Config::certificate},
    {"scope_mrn", Kind::kText, &Config::scope_mrn},
    {"space_mrn", Kind::kText, &Config::scope_mrn},
    {"parent_mrn", Kind::kText, &Config::scope_mrn},
    {"api_endpoint", Kind::kUrl, &Config::api_endpoint, kDefaultEndpoint},
    {"api_proxy", Kind::kUrl, &Config::api_proxy},
    {"ca_file", Kind::kText, &Config::ca_file},
    {"auth.method", Kind::kText, &Config::auth_method},
    {"type", Kind::kText, &Config::type},
    {"audience", Kind::kText, &Config::audience},
    {"issuerUri", Kind::kUrl, &Config::issuer_uri},
    {"jwtToken", Kind::kSecret, &Config::jwt_token},
    {"universeDomain", Kind::kUrl, &Config::universe_domain},
    {"scopes", Kind::kTexts},
    {"subjectTokenType", Kind::kText, &Config::subject_token_type},
    {"features", Kind::kTexts},
    {"labels", Kind::kMap},
    {"annotations", Kind::kMap},
    {"updates_url", Kind::kUrl, &Config::updates_url, kUpdatesUrl},
    {"providers_url", Kind::kUrl},
    {"providers_lock"},
    {"category"},
    {"detect-cicd", Kind::kTruth},
    {"auto_update", Kind::kTruth, nullptr, "true"},
    {"isolation", Kind::kWordByName, nullptr, "auto", kIsolationWords, true},
    {"trust", Kind::kWord, nullptr, "any", kTrustWords, true},
    {"trusted_keys", Kind::kTexts, nullptr, nullptr, {}, true},
    {"log.format", Kind::kText, &Config::log_format},
    {"log.color", Kind::kTruth},
    {"verbose", Kind::kTruth},
    {"log-level", Kind::kText, &Config::log_level, "warn"},
    {"output"},
    {"name", Kind::kText, &Config::name},
    {"insecure", Kind::kTruth},
    {"incognito", Kind::kTruth},
    {"platform-id"},
    {"inventory-file"},
    {"sudo.active", Kind::kTruth},
    {"scan_interval.timer", Kind::kMinutes, nullptr, "60"},
    {"scan_interval.splay", Kind::kMinutes, nullptr, "60"},
    {"typename"},
    {"token", Kind::kSecret},
    {"strict"},
    {"system_proxy"},
    {"provider_port_range"},
    {"update_channel", Kind::kText, nullptr, "stable"},
};

constexpr char kHidden[] = "********";

// "https://user:********@proxy:3128". A user without a password is a key.
std::string without_secrets(const std::string& url) {
  const UrlParts parts = split_url(url);
  std::string out(parts.scheme);
  if (!parts.password.empty())
    out += std::string(parts.user) + ":" + kHidden + "@";
  else if (!parts.user.empty())
    out += std::string(kHidden) + "@";
  out += parts.place;
  if (!parts.query.empty()) out += std::string(parts.query.substr(0, 1)) + kHidden;
  return out;
}

}  // namespace

std::span<const Key> keys() { return kKeys; }

const Key* key_named(std::string_view name) {
  const auto* found =
      std::find_if(std::begin(kKeys), std::end(kKeys), [&](const Key& key) { return name == key.name; });
  return found == std::end(kKeys) ? nullptr : found;
}

Value shown(const Setting& setting) {
  const Key* key = key_named(setting.key);
  const auto* text = std::get_if<std::string>(&setting.value);
  if (!key || !text || text->empty()) return setting.value;
  if (key->kind == Kind::kSecret) return std::string(kHidden);
  return key->kind == Kind::kUrl ? without_secrets(*text) : *text;
}

const Setting* Config::find(std::string_view key) const {
  const auto found =
      std::find_if(settings.begin(), settings.end(), [&](const Setting& s) { return s.key == key; });
  return found == settings.end() ? nullptr : &*found;
}

std::string Config::text(std::string_view key) const {
  const Setting* setting = find(key);
  const auto* text = setting ? std::get_if<std::string>(&setting->value) : nullptr;
  return text ? *text : std::string();
}

bool Config::truth(std::string_view key, bool otherwise) const {
  const Setting* setting = find(key);
  const auto* truth = setting ? std::get_if<bool>(&setting->value) : nullptr;
  return truth ? *truth : otherwise;
}

void set(Config& config, Setting setting) {
  const Key* key = key_named(setting.key);
  const auto* text = std::get_if<std::string>(&setting.value);
  if (key->member && text) config.*key->member = *text;
  const auto at = std::find_if(config.settings.begin(), config.settings.end(),
                               [&](const Setting& s) { return key_named(s.key) >= key; });
  if (at != config.settings.end() && at->key == setting.key)
    *at = std::move(setting);
  else
    config.settings.insert(at, std::move(setting));
}

void set_by_flag(Config& config, std::string_view name, Value value, std::string_view flag) {
  if (key_named(name)) set(config, {std::string(name), std::move(value), Origin::kFlag, std::string(flag)});
}

bool is_small_number(std::string_view text) {
  return !text.empty() && text.size() < 10 && (text == "0" || text.front() != '0') &&
         text.find_first_not_of("0123456789") == text.npos;
}

}  // namespace cnspec::config
