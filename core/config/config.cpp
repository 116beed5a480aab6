#include "config/config.hpp"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "base/encoding.hpp"
#include "base/file.hpp"
#include "base/text.hpp"

namespace cnspec::config {
namespace {

namespace fs = std::filesystem;

constexpr char kSystemFile[] = "/etc/opt/mondoo/mondoo.yml";

// More than a key, a certificate and some MRNs take.
constexpr std::size_t kCredentialsSize = 16384;

// The keys that are text, and where they go. The first that is set wins where two share a place.
struct TextKey {
  const char* name;
  std::string Config::*member;
};
constexpr TextKey kTextKeys[] = {
    {"agent_mrn", &Config::agent_mrn},
    {"mrn", &Config::mrn},
    {"private_key", &Config::private_key},
    {"certificate", &Config::certificate},
    {"scope_mrn", &Config::scope_mrn},
    {"space_mrn", &Config::scope_mrn},
    {"parent_mrn", &Config::scope_mrn},
    {"api_endpoint", &Config::api_endpoint},
    {"api_proxy", &Config::api_proxy},
    {"ca_file", &Config::ca_file},
    {"updates_url", &Config::updates_url},
    {"name", &Config::name},
    {"log.format", &Config::log_format},
    {"private_key_file", &Config::private_key_file},
    {"auth.method", &Config::auth_method},
    {"type", &Config::type},
    {"audience", &Config::audience},
    {"issuerUri", &Config::issuer_uri},
    {"jwtToken", &Config::jwt_token},
    {"universeDomain", &Config::universe_domain},
    {"subjectTokenType", &Config::subject_token_type},
};

tl::unexpected<Error> unusable(const std::string& what) {
  return fail(what, ErrorKind::kConfig);
}

std::string place(const std::string& name, const YAML::Mark& mark) {
  if (mark.is_null()) return name;
  return name + ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1);
}

// A mapping, or null for an empty text. `name` stands for the text in errors.
Result<YAML::Node> parse(const std::string& text, const std::string& name) {
  try {
    YAML::Node root = YAML::Load(text);
    if (!root.IsNull() && !root.IsMap())
      return unusable(name + ": expected \"key: value\" lines (YAML) or a JSON object");
    return root;
  } catch (const YAML::Exception& error) {
    return unusable(place(name, error.mark) + ": " + error.msg);
  }
}

// "log.format" is found under that flat name and as format below log.
YAML::Node find(const YAML::Node& root, const std::string& key) {
  if (!root.IsMap()) return {};
  if (const YAML::Node flat = root[key]) return flat;
  const auto dot = key.find('.');
  if (dot == std::string::npos) return YAML::Node(YAML::NodeType::Undefined);
  const YAML::Node outer = root[key.substr(0, dot)];
  return outer && outer.IsMap() ? outer[key.substr(dot + 1)] : YAML::Node(YAML::NodeType::Undefined);
}

Result<void> read_keys(const YAML::Node& root, const std::string& name, Config& config) {
  std::vector<std::string Config::*> done;
  for (const TextKey& key : kTextKeys) {
    if (std::find(done.begin(), done.end(), key.member) != done.end()) continue;
    const YAML::Node node = find(root, key.name);
    if (!node.IsDefined() || node.IsNull()) continue;
    if (!node.IsScalar()) return unusable(place(name, node.Mark()) + ": " + key.name + " must be text");
    if (node.Scalar().empty()) continue;
    config.*key.member = node.Scalar();
    done.push_back(key.member);
  }
  const YAML::Node annotations = find(root, "annotations");
  if (!annotations.IsDefined() || annotations.IsNull()) return {};
  if (!annotations.IsMap())
    return unusable(place(name, annotations.Mark()) + ": annotations must map names to texts");
  for (const auto& entry : annotations) {
    if (!entry.first.IsScalar() || !entry.second.IsScalar()) {
      return unusable(place(name, entry.first.Mark()) + ": an annotation must be text");
    }
    config.annotations[entry.first.Scalar()] = entry.second.Scalar();
  }
  return {};
}

const char* environment(const char* key) {
  std::string name = "MONDOO_";
  for (const char* c = key; *c; ++c) {
    name += *c == '.' || *c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(*c)));
  }
  const char* value = std::getenv(name.c_str());
  return value && *value ? value : nullptr;
}

void read_environment(Config& config) {
  std::vector<std::string Config::*> done;
  for (const TextKey& key : kTextKeys) {
    if (std::find(done.begin(), done.end(), key.member) != done.end()) continue;
    if (const char* value = environment(key.name)) {
      config.*key.member = value;
      done.push_back(key.member);
    }
  }
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

// A block keeps a key readable, but says nothing of how often a text ends its line or where it is indented.
bool fits_a_block(const std::string& text) {
  return text.find('\n') != text.npos && text.ends_with('\n') && !text.ends_with("\n\n") &&
         text.front() != ' ' && text.front() != '\n' && printable(text).find("\\x") == std::string::npos &&
         text.find('\t') == text.npos;
}

// yaml-cpp forgets which texts were quoted unless it is told again, and "true" must stay a text.
void emit(YAML::Emitter& out, const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Map:
      out << YAML::BeginMap;
      for (const auto& entry : node) {
        out << YAML::Key;
        emit(out, entry.first);
        out << YAML::Value;
        emit(out, entry.second);
      }
      out << YAML::EndMap;
      return;
    case YAML::NodeType::Sequence:
      out << YAML::BeginSeq;
      for (const auto& item : node) emit(out, item);
      out << YAML::EndSeq;
      return;
    case YAML::NodeType::Scalar:
      if (fits_a_block(node.Scalar()))
        out << YAML::Literal;
      else if (node.Tag() == "!" || node.Scalar().find('\n') != std::string::npos)
        out << YAML::DoubleQuoted;
      out << node.Scalar();
      return;
    default:
      out << YAML::Null;
  }
}

// Quoted, so that no reader takes a name like "on" or "1.10" for something else; but small numbers, which
// every reader gives back as they were.
YAML::Node value_node(const std::string& text) {
  YAML::Node node(text);
  const bool number = !text.empty() && text.size() < 10 && (text == "0" || text.front() != '0') &&
                      text.find_first_not_of("0123456789") == text.npos;
  if (!number) node.SetTag("!");
  return node;
}

void change_key(YAML::Node& root, const Change& change) {
  const auto dot = change.key.find('.');
  const bool removed = !change.text && change.map.empty();
  if (removed || dot != std::string::npos) root.remove(change.key);  // of a dotted key, its flat form
  if (removed) return;
  YAML::Node value(YAML::NodeType::Map);
  if (change.text) value = value_node(*change.text);
  for (const auto& [name, text] : change.map) value[name] = value_node(text);
  if (dot == std::string::npos) {
    root[change.key] = value;
    return;
  }
  YAML::Node outer = root[change.key.substr(0, dot)];
  if (!outer.IsMap()) outer = YAML::Node(YAML::NodeType::Map);
  outer[change.key.substr(dot + 1)] = value;
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
  return {};
}

Result<Config> load(std::string_view flag) {
  Config config;
  auto text = read_source(flag, config.source);
  if (!text) return fail(text.error());
  if (*text) {
    const std::string name =
        config.source.path.empty() ? "MONDOO_CONFIG_BASE64" : printable(config.source.path.string());
    auto root = parse(**text, name);
    if (!root) return fail(root.error());
    if (auto good = read_keys(*root, name, config); !good) return fail(good.error());
  }
  read_environment(config);
  normalise_endpoint(config.api_endpoint);
  return config;
}

Result<void> save(const fs::path& path, const std::vector<Change>& changes) {
  const std::string name = printable(path.string());
  auto text = read_small_file(path);
  if (!text && text.error().kind() != ErrorKind::kNotFound) return fail(text.error());
  auto root = parse(text ? *text : "", name);
  if (!root) return fail(root.error());
  if (!root->IsMap()) *root = YAML::Node(YAML::NodeType::Map);
  for (const Change& change : changes) change_key(*root, change);
  YAML::Emitter out;
  emit(out, *root);
  if (!out.good()) return fail(name + ": cannot be written as YAML: " + out.GetLastError());
  return write_file_atomically(path, std::string(out.c_str()) + "\n", 0600);
}

}  // namespace cnspec::config
