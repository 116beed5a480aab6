#include "config/config.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <sstream>

#include "base/encoding.hpp"
#include "base/file.hpp"
#include "base/file_lock.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "config/document.hpp"
#include "config/keys.hpp"

namespace cnspec::config {
namespace {

namespace fs = std::filesystem;

constexpr char kSystemFile[] = "/etc/opt/mondoo/mondoo.yml";

// More than a key, a certificate and some MRNs take.
constexpr std::size_t kCredentialsSize = 16384;

const char* environment(const Key& key, std::string& name) {
  name = "MONDOO_";
  for (const char* c = key.name; *c; ++c) {
    name += *c == '.' || *c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(*c)));
  }
  const char* value = std::getenv(name.c_str());
  return value && *value ? value : nullptr;
}

const char* kind_name(const YAML::Node& node) {
  return node.IsMap() ? "a mapping" : node.IsSequence() ? "a list" : node.IsNull() ? "nothing" : "a text";
}

std::optional<bool> to_truth(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const char* yes : {"true", "t", "1", "yes", "on", "y"})
    if (text == yes) return true;
  for (const char* no : {"false", "f", "0", "no", "off", "n"})
    if (text == no) return false;
  return std::nullopt;
}

std::string words_text(const Key& key) { return join({key.words.begin(), key.words.end()}, " or "); }

// The value of a key that is one text, in the file or in a variable; `where` stands before errors.
Result<Value> from_text(const Key& key, const std::string& text, const std::string& where) {
  if (key.kind == Kind::kTruth) {
    if (const auto truth = to_truth(text)) return Value(*truth);
    return unusable(where + ": " + key.name + " must be true or false, found " + quoted_if_needed(text));
  }
  if (key.kind == Kind::kMinutes) {
    int minutes = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), minutes);
    if (error == std::errc() && end == text.data() + text.size() && minutes >= 0) return Value(minutes);
    return unusable(where + ": " + key.name + " must be a whole number of minutes, found " +
                    quoted_if_needed(text));
  }
  if (key.kind == Kind::kWord || key.kind == Kind::kWordByName) {
    if (std::find(key.words.begin(), key.words.end(), text) != key.words.end()) return Value(text);
    return unusable(where + ": " + key.name + " must be " + words_text(key) + ", found " +
                    quoted_if_needed(text));
  }
  if (key.kind == Kind::kTexts) {
    std::vector<std::string> words;
    std::istringstream in(text);
    for (std::string word; in >> word;) words.push_back(word);
    return Value(words);
  }
  return Value(text);
}

Result<Value> map_from(const Key& key, const YAML::Node& node, const std::string& name) {
  std::map<std::string, std::string> out;
  if (!node.IsMap()) {
    return unusable(place(name, node.Mark()) + ": " + key.name + " must map names to texts, found " +
                    kind_name(node));
  }
  for (const auto& entry : node) {
    if (!entry.first.IsScalar() || !(entry.second.IsScalar() || entry.second.IsNull())) {
      return unusable(place(name, entry.first.Mark()) + ": " + key.name + " must map names to texts, found " +
                      kind_name(entry.first.IsScalar() ? entry.second : entry.first));
    }
    const std::string text = entry.second.IsScalar() ? entry.second.Scalar() : "";
    if (!key.words.empty()) {
      if (auto word = from_text(key, text, place(name, entry.second.Mark())); !word) return word;
    }
    out[entry.first.Scalar()] = text;
  }
  return Value(out);
}

Result<Value> texts_from(const Key& key, const YAML::Node& node, const std::string& name) {
  std::vector<std::string> out;
  for (const auto& item : node) {
    if (!item.IsScalar()) {
      return unusable(place(name, item.Mark()) + ": " + key.name + " must be a list of texts, found " +
                      kind_name(item));
    }
    out.push_back(item.Scalar());
  }
  return Value(out);
}

Result<Value> from_node(const Key& key, const YAML::Node& node, const std::string& name) {
  if (key.kind == Kind::kMap || (key.kind == Kind::kWordByName && node.IsMap()))
    return map_from(key, node, name);
  if (key.kind == Kind::kTexts && node.IsSequence()) return texts_from(key, node, name);
  if (node.IsScalar()) return from_text(key, node.Scalar(), place(name, node.Mark()));
  const std::string expected = key.kind == Kind::kTruth     ? "true or false"
                               : key.kind == Kind::kMinutes ? "a whole number of minutes"
                               : key.kind == Kind::kTexts   ? "a list of texts"
                               : !key.words.empty()         ? words_text(key)
                                                            : "text";
  return unusable(place(name, node.Mark()) + ": " + key.name + " must be " + expected + ", found " +
                  kind_name(node));
}

// A variable cannot hold a mapping, but the JSON of one.
Result<Value> from_variable(const Key& key, const std::string& text, const std::string& variable) {
  const bool by_name = key.kind == Kind::kWordByName && text.starts_with('{');
  if (key.kind != Kind::kMap && !by_name) return from_text(key, text, variable);
  auto parsed = json::parse(text);
  if (!parsed || !parsed->IsObject()) {
    return unusable(variable + ": expected a JSON object such as {\"name\": \"text\"}");
  }
  auto node = parse(text, variable);
  return node ? map_from(key, node->IsNull() ? YAML::Node(YAML::NodeType::Map) : *node, variable)
              : fail(node.error());
}

// Nothing: not set there.
Result<std::optional<Setting>> in_environment(const Key& key) {
  std::string variable;
  const char* text = environment(key, variable);
  if (!text) return std::nullopt;
  auto value = from_variable(key, text, variable);
  if (!value) return fail(value.error());
  return Setting{key.name, std::move(*value), Origin::kEnvironment, variable};
}

Result<std::optional<Setting>> in_source(const Key& key, const YAML::Node& root, const std::string& name) {
  const YAML::Node node = find(root, key.name);
  if (!node.IsDefined() || node.IsNull() || (node.IsScalar() && node.Scalar().empty())) return std::nullopt;
  auto value = from_node(key, node, name);
  if (!value) return fail(value.error());
  return Setting{key.name, std::move(*value), Origin::kFile, place(name, node.Mark())};
}

// Of kWordByName: the word for one name.
std::string word_for(const Key& key, const std::optional<Setting>& setting, const std::string& name) {
  if (!setting) return key.otherwise;
  if (const auto* word = std::get_if<std::string>(&setting->value)) return *word;
  const auto& words = std::get<std::map<std::string, std::string>>(setting->value);
  auto it = words.find(name);
  if (it == words.end()) it = words.find("*");
  return it == words.end() ? key.otherwise : it->second;
}

std::set<std::string> names_in(const Setting& setting) {
  std::set<std::string> out = {"*"};
  if (const auto* words = std::get_if<std::map<std::string, std::string>>(&setting.value)) {
    for (const auto& [name, word] : *words) out.insert(name);
  }
  return out;
}

// Of a guard, what the variable leaves: a word goes up its list, and of a list of texts some stay. What it
// asks for beyond that is left out and said.
std::optional<Setting> only_tighter(const Key& key, Setting variable, const std::optional<Setting>& written,
                                    Config& config) {
  const auto in_vain = [&](const std::string& asked, const std::string& stays) {
    config.warnings.push_back(
        Error(variable.from + " cannot loosen " + key.name + ": " + asked + stays)
            .hint("change " + std::string(key.name) + " in the configuration, or unset " + variable.from));
  };
  const auto rank = [&](const std::string& word) {
    return std::find(key.words.begin(), key.words.end(), word) - key.words.begin();
  };
  if (key.kind == Kind::kWordByName) {
    std::map<std::string, std::string> both;
    std::set<std::string> names = names_in(variable);
    if (written) names.merge(names_in(*written));
    for (const std::string& name : names) {
      const std::string asked = word_for(key, variable, name), now = word_for(key, written, name);
      both[name] = rank(asked) > rank(now) ? asked : now;
      if (rank(asked) < rank(now))
        in_vain((name == "*" ? "" : "for " + name + " ") + "it is " + asked, ", and " + now + " stays");
    }
    if (written && both == std::map<std::string, std::string>{{"*", word_for(key, written, "*")}})
      return written;
    if (both.size() == 1)
      variable.value = both.begin()->second;
    else
      variable.value = both;
    return variable;
  }
  if (key.kind == Kind::kWord) {
    const std::string& asked = std::get<std::string>(variable.value);
    const std::string now = written ? std::get<std::string>(written->value) : key.otherwise;
    if (rank(asked) > rank(now)) return variable;
    if (rank(asked) < rank(now)) in_vain("it is " + quoted_if_needed(asked), ", and " + now + " stays");
    return written;
  }
  // Where the configuration lists none, those of the variable add nothing to what would be trusted without
  // them, unless signatures are wanted already.
  const Setting* trust = config.find("trust");
  const bool wanted = trust && trust->origin == Origin::kFile && trust->value == Value(std::string("signed"));
  if (!written && !wanted) return variable;
  const auto known =
      written ? std::get<std::vector<std::string>>(written->value) : std::vector<std::string>();
  const auto added = std::erase_if(std::get<std::vector<std::string>>(variable.value), [&](const auto& text) {
    return std::find(known.begin(), known.end(), text) == known.end();
  });
  if (added) in_vain("it adds " + std::to_string(added), ", and they stay out");
  return variable;
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
      auto value = from_text(key, key.otherwise, "");
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
    if (const Setting* set = config.find(name); set && set->origin == Origin::kEnvironment) return;
    set_by_flag(config, name, text, "");
    for (Setting& setting : config.settings) {
      if (setting.key == name) setting = {name, text, because.origin, because.from};
    }
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
  struct stat info {};
  if (secret == config.settings.end() || ::stat(config.source.path.c_str(), &info) != 0) return;
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) == 0) return;
  char mode[8];
  std::snprintf(mode, sizeof mode, "%04o", info.st_mode & 07777u);
  config.warnings.push_back(Error(printable(config.source.path.string()) + " holds " + secret->key +
                                  ", and others can read or change it (mode " + mode + ")")
                                .hint("chmod 600 " + for_a_shell(config.source.path.string())));
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

// Beside the file, since that is replaced at every change. Without locks, the writing is still atomic.
Result<FileLock> lock_file(const fs::path& file, FileLock::Deadline deadline) {
  return FileLock::take(file.string() + ".lock", printable(file.string()) + " is being changed by", deadline,
                        FileLock::Need::kWherePossible);
}

}  // namespace

void normalise_endpoint(std::string& endpoint) {
  if (endpoint.find("://") == std::string::npos) endpoint = "https://" + endpoint;
  while (endpoint.ends_with('/')) endpoint.pop_back();
}

Result<void> check_writable(const fs::path& path) {
  std::error_code ec;
  const auto size = fs::file_size(path, ec);
  auto room = check_room_for_file(path, kCredentialsSize + (ec ? 0 : size));
  if (!room) return fail(Error::wrap("the configuration cannot be written", room.error()));
  auto lock = lock_file(behind_links(path), std::chrono::steady_clock::now());
  if (!lock && lock.error().kind() != ErrorKind::kTimeout)
    return fail(Error::wrap("the configuration cannot be locked", lock.error()));
  return {};
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
  return config;
}

std::string log_format(std::string_view flag) {
  std::string variable;
  const Key& key = *key_named("log.format");
  if (const char* text = environment(key, variable)) return text;
  Source source;
  const auto text = read_source(flag, source);
  const auto root = parse(text && *text ? **text : "", "");
  const YAML::Node format = root ? find(*root, key.name) : YAML::Node(YAML::NodeType::Undefined);
  return format.IsDefined() && format.IsScalar() ? format.Scalar() : "";
}

namespace {

// Left behind by one that was killed; nobody else writes while we hold the lock.
void remove_unfinished(const fs::path& path) {
  const std::string begin = path.filename().string() + ".";
  std::error_code ec;
  for (fs::directory_iterator it(path.parent_path(), ec), end; !ec && it != end; it.increment(ec)) {
    const std::string name = it->path().filename().string();
    constexpr std::size_t kRandom = 12;
    const bool ours = name.starts_with(begin) && name.ends_with(".tmp") &&
                      name.size() == begin.size() + kRandom + 4 &&
                      name.find_first_not_of("0123456789abcdef", begin.size()) == name.size() - 4;
    std::error_code ignored;
    if (ours) fs::remove(it->path(), ignored);
  }
}

}  // namespace

Result<void> save(const fs::path& named, const std::vector<Change>& changes,
                  std::chrono::steady_clock::time_point deadline,
                  const std::optional<std::pair<std::string, std::string>>& only_if) {
  const fs::path path = behind_links(named);
  const std::string name = printable(path.string());
  if (auto made = make_folders(path.parent_path()); !made) return made;
  auto lock = lock_file(path, deadline);
  if (!lock) return fail(lock.error());
  auto text = read_small_file(path);
  if (!text && text.error().kind() != ErrorKind::kNotFound) return fail(text.error());
  const std::string before = text ? *text : "";
  if (only_if) {
    auto root = parse(before, name);
    if (!root) return fail(root.error());
    const YAML::Node now = find(*root, only_if->first);
    if (!now.IsDefined() || !now.IsScalar() || now.Scalar() != only_if->second)
      return fail(name + ": has been changed meanwhile: " + only_if->first + " is another");
  }
  auto after = edited(before, changes, name);
  if (!after) return fail(after.error());
  remove_unfinished(path);
  return write_file_atomically(path, *after, 0600);
}

}  // namespace cnspec::config
