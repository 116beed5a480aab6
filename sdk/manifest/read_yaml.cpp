#include "manifest/read_yaml.hpp"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <initializer_list>

namespace cnspec::manifest {
namespace {

class Reader {
 public:
  explicit Reader(const std::string& path) : path_(path) {}

  [[noreturn]] void fail(int line, const std::string& message) const {
    throw YamlError(path_ + (line > 0 ? ":" + std::to_string(line) : "") + ": " + message);
  }
  static int line(const YAML::Node& node) { return node.Mark().line + 1; }

  // A mapping with no other keys than these. Absent counts as empty.
  void expect_map(const YAML::Node& node, const std::string& what,
                  std::initializer_list<const char*> keys) const {
    if (!node.IsMap()) fail(line(node), what + " must be a mapping");
    for (const auto& entry : node) {
      const auto key = entry.first.as<std::string>();
      if (std::find(keys.begin(), keys.end(), key) == keys.end()) {
        std::string known;
        for (const char* k : keys) known += (known.empty() ? "" : ", ") + std::string(k);
        fail(line(entry.first), what + " has no key \"" + key + "\"; known are: " + known);
      }
      if (std::count_if(node.begin(), node.end(), [&](const auto& other) {
            return other.first.template as<std::string>() == key;
          }) > 1) {
        fail(line(entry.first), what + " has the key \"" + key + "\" twice");
      }
    }
  }

  std::string text(const YAML::Node& parent, const char* key, bool required = false) const {
    const YAML::Node node = parent[key];
    if (!node || node.IsNull()) {
      if (required) fail(line(parent), std::string("the key \"") + key + "\" is missing");
      return {};
    }
    if (!node.IsScalar()) fail(line(node), std::string("\"") + key + "\" must be text");
    return node.Scalar();
  }

  bool truth(const YAML::Node& parent, const char* key) const {
    const YAML::Node node = parent[key];
    if (!node) return false;
    bool value = false;
    if (!YAML::convert<bool>::decode(node, value))
      fail(line(node), std::string("\"") + key + "\" must be true or false");
    return value;
  }

  int number(const YAML::Node& parent, const char* key) const {
    const YAML::Node node = parent[key];
    if (!node) return 0;
    int value = 0;
    if (!YAML::convert<int>::decode(node, value))
      fail(line(node), std::string("\"") + key + "\" must be a whole number");
    return value;
  }

  std::vector<std::string> texts(const YAML::Node& parent, const char* key) const {
    std::vector<std::string> out;
    const YAML::Node node = parent[key];
    if (!node || node.IsNull()) return out;
    if (!node.IsSequence()) fail(line(node), std::string("\"") + key + "\" must be a list");
    for (const auto& item : node) {
      if (!item.IsScalar()) fail(line(item), std::string("an entry of \"") + key + "\" must be text");
      out.push_back(item.Scalar());
    }
    return out;
  }

  Manifest manifest(const YAML::Node& root, const std::string& version) const {
    expect_map(root, "provider.yaml",
               {"id", "name", "version", "summary", "threads", "open_schema", "capabilities", "connectors",
                "resources"});
    Manifest m;
    for (const auto& entry : root) m.lines.emplace(entry.first.Scalar(), line(entry.first));
    m.id = text(root, "id", true);
    m.name = text(root, "name", true);
    m.version = text(root, "version", version.empty());
    if (m.version.empty()) m.version = version;
    m.summary = text(root, "summary", true);
    const std::string threads = text(root, "threads");
    if (!threads.empty() && threads != "one" && threads != "many") {
      fail(line(root["threads"]), "threads must be one or many, found \"" + threads + "\"");
    }
    m.threads_many = threads == "many";
    m.open_schema = truth(root, "open_schema");
    if (const YAML::Node c = root["capabilities"]) {
      expect_map(c, "capabilities", {"network", "files", "env", "exec"});
      m.capabilities = {texts(c, "network"), texts(c, "files"), texts(c, "env"), texts(c, "exec")};
    }
    each(root, "connectors", [&](const std::string& name, const YAML::Node& node, int at) {
      m.connectors.push_back(connector(name, node, at));
    });
    each(root, "resources", [&](const std::string& name, const YAML::Node& node, int at) {
      m.resources.push_back(resource(name, node, at));
    });
    return m;
  }

 private:
  // The entries of the mapping under `key`, in the author's order.
  template <class Visit>
  void each(const YAML::Node& parent, const char* key, Visit&& visit) const {
    const YAML::Node node = parent[key];
    if (!node || node.IsNull()) return;
    if (!node.IsMap()) fail(line(node), std::string("\"") + key + "\" must map names to descriptions");
    for (const auto& entry : node) {
      if (!entry.second.IsMap()) {
        fail(line(entry.first), "\"" + entry.first.Scalar() + "\" under \"" + key + "\" must be a mapping");
      }
      visit(entry.first.Scalar(), entry.second, line(entry.first));
    }
  }

  Connector connector(const std::string& name, const YAML::Node& node, int at) const {
    expect_map(node, "connector \"" + name + "\"",
               {"summary", "aliases", "usage", "args", "hidden", "flags"});
    Connector c;
    c.name = name;
    c.line = at;
    c.summary = text(node, "summary", true);
    c.aliases = texts(node, "aliases");
    c.usage = text(node, "usage");
    if (const YAML::Node args = node["args"]) {
      expect_map(args, "args", {"min", "max"});
      c.min_args = number(args, "min");
      c.max_args = number(args, "max");
    }
    c.hidden = truth(node, "hidden");
    each(node, "flags", [&](const std::string& flag_name, const YAML::Node& f, int flag_at) {
      expect_map(f, "flag \"" + flag_name + "\"",
                 {"short", "type", "summary", "default", "asks_for", "secret", "required", "hidden"});
      Flag flag;
      flag.name = flag_name;
      flag.line = flag_at;
      flag.short_name = text(f, "short");
      flag.type = text(f, "type", true);
      flag.summary = text(f, "summary", true);
      flag.default_value = text(f, "default");
      flag.asks_for = text(f, "asks_for");
      flag.secret = truth(f, "secret");
      flag.required = truth(f, "required");
      flag.hidden = truth(f, "hidden");
      c.flags.push_back(std::move(flag));
    });
    return c;
  }

  Resource resource(const std::string& name, const YAML::Node& node, int at) const {
    expect_map(node, "resource \"" + name + "\"", {"doc", "list", "defaults", "args", "fields"});
    Resource r;
    r.name = name;
    r.line = at;
    r.doc = text(node, "doc", true);
    r.list = text(node, "list");
    r.defaults = texts(node, "defaults");
    each(node, "args", [&](const std::string& arg, const YAML::Node& a, int arg_at) {
      r.args.push_back(field(arg, a, arg_at));
    });
    each(node, "fields", [&](const std::string& field_name, const YAML::Node& f, int field_at) {
      r.fields.push_back(field(field_name, f, field_at));
    });
    return r;
  }

  Field field(const std::string& name, const YAML::Node& node, int at) const {
    expect_map(node, "\"" + name + "\"", {"type", "doc", "required"});
    return {name, text(node, "type", true), text(node, "doc", true), truth(node, "required"), at};
  }

  std::string path_;
};

const char* target_os() {
#if defined(__linux__)
  return "linux";
#elif defined(__APPLE__)
  return "darwin";
#elif defined(_WIN32)
  return "windows";
#else
#error "name this operating system here"
#endif
}

const char* target_arch() {
#if defined(__x86_64__) || defined(_M_X64)
  return "amd64";
#elif defined(__aarch64__) || defined(_M_ARM64)
  return "arm64";
#elif defined(__riscv) && __riscv_xlen == 64
  return "riscv64";
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
  return "ppc64le";
#else
#error "name this architecture here"
#endif
}

}  // namespace

Manifest read_yaml(const std::string& path, const std::string& version) {
  const Reader reader(path);
  Manifest m;
  try {
    m = reader.manifest(YAML::LoadFile(path), version);
  } catch (const YAML::BadFile&) {
    reader.fail(0, "cannot be read");
  } catch (const YAML::Exception& error) {
    reader.fail(error.mark.line + 1, error.msg);
  }
  m.os = target_os();
  m.arch = target_arch();
  if (const auto problem = check(m)) reader.fail(problem->line, problem->message);
  return m;
}

}  // namespace cnspec::manifest
