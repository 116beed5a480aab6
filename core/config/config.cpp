#include "config/config.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>

#include "base/encoding.hpp"
#include "base/file.hpp"
#include "base/text.hpp"
#include "base/url.hpp"
#include "config/document.hpp"
#include "config/guard.hpp"
#include "config/keys.hpp"
#include "config/value.hpp"

namespace cnspec::config {
namespace {

namespace fs = std::filesystem;

constexpr char kSystemFile[] = "/etc/opt/mondoo/mondoo.yml";

const char* environment(const Key& key, std::string& name) {
  name = "MONDOO_";
  for (const char* c = key.name; *c; ++c) {
    name += *c == '.' || *c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(*c)));
  }
  const char* value = std::getenv(name.c_str());
  const bool may_be_empty = key.member == &Config::api_proxy;  // then there is none
  return value && (*value || may_be_empty) ? value : nullptr;
}

// Nothing: not set there.
Result<std::optional<Setting>> in_environment(const Key& key) {
  std::string variable;
  const char* text = environment(key, variable);
  if (!text) return std::nullopt;
  auto value = value_from_variable(key, text, variable);
  if (!value) return fail(value.error());
  return Setting{key.name, std::move(*value), Origin::kEnvironment, variable};
}

Result<std::optional<Setting>> in_source(const Key& key, const YAML::Node& root, const std::string& name) {
  const YAML::Node node = find(root, key.name);
  if (!node.IsDefined() || node.IsNull() || (node.IsScalar() && node.Scalar().empty())) return std::nullopt;
  auto value = value_from_node(key, node, name);
  if (!value) return fail(value.error());
  return Setting{key.name, std::move(*value), Origin::kFile, place(name, node.Mark())};
}

// What stands in the source is checked also where a variable goes before it.
Result<void> read_settings(const YAML::Node& root, const std::string& name, Config& config) {
  for (const Key& key : keys()) {
    auto written = in_source(key, root, name);
    if (!written) return fail(written.error());
    auto variable = in_environment(key);
    if (!variable) return fail(variable.error());
    if (*variable && key.guard) variable = only_tighter(key, std::move(**variable), *written, config);
    if (*variable) {
      config.settings.push_back(std::move(**variable));
    } else if (*written) {
      config.settings.push_back(std::move(**written));
    } else if (key.otherwise) {
      auto value = value_from_text(key, key.otherwise, "");
      config.settings.push_back({key.name, std::move(*value), Origin::kDefault, ""});
    }
  }
  return {};
}

// A key with a dot may also stand, as the part before the dot, for a mapping.
Result<void> read_unknown(const YAML::Node& root, const std::string& name, Config& config) {
  if (!root.IsMap()) return {};
  for (const auto& entry : root) {
    const std::string text = entry.first.IsScalar() ? entry.first.Scalar() : "?";
    if (key_named(text)) continue;
    const auto inner = std::find_if(keys().begin(), keys().end(), [&](const Key& key) {
      return std::string_view(key.name).starts_with(text + ".");
    });
    if (inner == keys().end()) {
      config.unknown_keys.push_back(text);
    } else if (entry.second.IsMap()) {
      for (const auto& below : entry.second) {
        const std::string full = text + "." + (below.first.IsScalar() ? below.first.Scalar() : "?");
        if (!key_named(full)) config.unknown_keys.push_back(full);
      }
    } else if (!entry.second.IsNull()) {
      return unusable(place(name, entry.second.Mark()) + ": " + text + " must be a mapping, as of " +
                      (inner->name + text.size() + 1) + ", found " + kind_name(entry.second));
    }
  }
  return {};
}

// To where the program looks for them. Of keys that share a place, one in the environment goes before all of
// the file's.
void fill_members(Config& config) {
  std::vector<std::string Config::*> done;
  for (const Origin origin : {Origin::kEnvironment, Origin::kFile}) {
    for (const Setting& setting : config.settings) {
      const Key* key = key_named(setting.key);
      const auto* text = std::get_if<std::string>(&setting.value);
      if (setting.origin != origin || !text || !key->member) continue;
      if (std::find(done.begin(), done.end(), key->member) != done.end()) continue;
      config.*key->member = *text;
      done.push_back(key->member);
    }
  }
  if (const Setting* set = config.find("annotations"))
    config.annotations = std::get<std::map<std::string, std::string>>(set->value);
  if (const Setting* set = config.find("features"))
    config.features = std::get<std::vector<std::string>>(set->value);
}

// A document of type external_account says so instead of auth.method, and names the platform in its own way.
void follow_external_account(Config& config) {
  if (config.type != "external_account") return;
  const Setting type = *config.find("type");
  const auto follow = [&](const char* name, const std::string& text, const Setting& because) {
    const Setting* now = config.find(name);
    if (now && now->origin == Origin::kEnvironment) return;
    set(config, {name, text, because.origin, because.from});
  };
  follow("auth.method", "wif", type);
  if (!config.universe_domain.empty()) {
    const Setting domain = *config.find("universeDomain");
    follow("api_endpoint", config.universe_domain, domain);
  }
}

std::string for_a_shell(const std::string& text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./+@%:,=~";
  if (!text.empty() && text.find_first_not_of(kPlain) == text.npos && text.front() != '~') return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

void warn_of_readers(Config& config) {
  if (config.source.kind != Source::Kind::kFile) return;
  const auto secret = std::find_if(config.settings.begin(), config.settings.end(), [](const Setting& s) {
    return s.origin == Origin::kFile && key_named(s.key)->kind == Kind::kSecret;
  });
  if (secret == config.settings.end()) return;
  if (auto warning = exposed(config.source.path, secret->key)) config.warnings.push_back(std::move(*warning));
}

void warn_of_listeners(Config& config) {
  auto warning = overheard(config.api_endpoint);
  if (!warning) return;
  const Setting& set = *config.find("api_endpoint");
  config.warnings.push_back(Error(std::move(*warning)).hint("write https:// in " + printable(set.from)));
}

fs::path home_file() {
  const char* home = std::getenv("HOME");
  if (!home || !fs::path(home).is_absolute()) return {};
  return fs::path(home) / ".config/mondoo/mondoo.yml";
}

// The text of the source that comes first, with the source filled in; nothing when there is no such file.
Result<std::optional<std::string>> read_source(std::string_view flag, Source& source) {
  const auto read = [&](const fs::path& path, const char* label) -> Result<std::optional<std::string>> {
    source.path = path;
    source.label = label;
    if (path.string().starts_with("aws-ssm-ps://")) {
      return unusable(path.string() +
                      ": reading the configuration from the AWS parameter store is not supported, "
                      "give a file");
    }
    auto text = read_small_file(path);
    if (text) {
      source.kind = Source::Kind::kFile;
      return std::move(*text);
    }
    if (text.error().kind() == ErrorKind::kNotFound) return std::nullopt;
    return fail(Error("could not read the configuration: " + text.error().message(), ErrorKind::kConfig));
  };

  if (const char* encoded = std::getenv("MONDOO_CONFIG_BASE64"); encoded && *encoded) {
    source = {Source::Kind::kEnvironment, {}, "$MONDOO_CONFIG_BASE64"};
    auto text = base64_decode(encoded);
    if (!text) return unusable("MONDOO_CONFIG_BASE64 is not base64");
    return std::move(*text);
  }
  if (!flag.empty()) return read(fs::path(flag), "--config");
  if (const char* path = std::getenv("MONDOO_CONFIG_PATH"); path && *path)
    return read(path, "$MONDOO_CONFIG_PATH");

  const fs::path home = home_file();
  if (!home.empty()) {
    auto text = read(home, "default");
    if (!text || *text) return text;
  }
  auto text = read(kSystemFile, "default");
  if (text && !*text && !home.empty()) source.path = home;
  return text;
}

}  // namespace

std::optional<std::string> overheard(const std::string& endpoint) {
  if (!is_overheard(endpoint)) return std::nullopt;
  return shown_url(endpoint) + " is asked without TLS: token and key travel readable by anybody on the way";
}

void normalise_endpoint(std::string& endpoint) {
  if (endpoint.find("://") == std::string::npos) endpoint = "https://" + endpoint;
  while (endpoint.ends_with('/')) endpoint.pop_back();
}

Result<Config> load(std::string_view flag) {
  Config config;
  auto text = read_source(flag, config.source);
  if (!text) return fail(text.error());
  const std::string name =
      config.source.path.empty() ? "MONDOO_CONFIG_BASE64" : printable(config.source.path.string());
  auto root = parse(*text ? **text : "", name);
  if (!root) return fail(root.error());
  if (auto good = read_settings(*root, name, config); !good) return fail(good.error());
  if (auto good = read_unknown(*root, name, config); !good) return fail(good.error());
  fill_members(config);
  follow_external_account(config);
  warn_of_readers(config);
  normalise_endpoint(config.api_endpoint);
  warn_of_listeners(config);
  return config;
}

std::optional<Error> exposed(const fs::path& file, const std::string& secret) {
  struct stat info {};
  if (::stat(file.c_str(), &info) != 0 || (info.st_mode & (S_IRWXG | S_IRWXO)) == 0) return std::nullopt;
  char mode[8];
  std::snprintf(mode, sizeof mode, "%04o", info.st_mode & 07777u);
  return Error(printable(file.string()) + " holds " + secret + ", and others can read or change it (mode " +
               mode + ")")
      .hint("chmod 600 " + for_a_shell(file.string()));
}

fs::path Config::private_key_path() const {
  const fs::path named = private_key_file;
  if (named.empty() || named.is_absolute() || source.path.empty()) return named;
  return fs::absolute(source.path).parent_path() / named;
}

Source source_of(std::string_view flag) {
  Source source;
  static_cast<void>(read_source(flag, source));
  return source;
}

std::string text_regardless(std::string_view flag, std::string_view name) {
  std::string variable;
  const Key& key = *key_named(name);
  if (const char* text = environment(key, variable)) return text;
  Source source;
  const auto text = read_source(flag, source);
  const auto root = parse(text && *text ? **text : "", "");
  const YAML::Node node = root ? find(*root, key.name) : YAML::Node(YAML::NodeType::Undefined);
  return node.IsDefined() && node.IsScalar() ? node.Scalar() : "";
}

}  // namespace cnspec::config
