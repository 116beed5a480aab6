#include "manifest/model.hpp"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <set>

namespace cnspec::manifest {
namespace {

bool lower(char c) { return c >= 'a' && c <= 'z'; }
bool upper(char c) { return c >= 'A' && c <= 'Z'; }
bool digit(char c) { return c >= '0' && c <= '9'; }

// A word of letters, digits and the `extra` characters that begins with a lower-case letter.
bool is_name(std::string_view s, std::string_view extra) {
  return !s.empty() && s.size() <= 128 && lower(s.front()) && std::all_of(s.begin(), s.end(), [&](char c) {
    return lower(c) || upper(c) || digit(c) || extra.find(c) != std::string_view::npos;
  });
}

// Dotted words: no empty word, none that begins with anything but a letter.
bool is_resource_name(std::string_view s) {
  while (true) {
    const auto dot = s.find('.');
    if (!is_name(s.substr(0, dot), "_")) return false;
    if (dot == std::string_view::npos) return true;
    s.remove_prefix(dot + 1);
  }
}

bool is_id(std::string_view s) {
  return is_name(s, "-_./") && s.find("..") == std::string_view::npos &&
         s.find("//") == std::string_view::npos;
}

bool is_version(std::string_view s) {
  return !s.empty() && s.size() <= 64 && digit(s.front()) && std::all_of(s.begin(), s.end(), [](char c) {
    return lower(c) || upper(c) || digit(c) || c == '.' || c == '-' || c == '+';
  });
}

// Nothing in it can move a terminal's cursor.
bool is_one_line(std::string_view s) {
  return std::none_of(s.begin(), s.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

bool is_host_pattern(std::string_view s) {
  if (s == "*") return true;
  if (s.starts_with("*.")) s.remove_prefix(2);
  return !s.empty() && s.size() <= 253 && std::all_of(s.begin(), s.end(), [](char c) {
    return lower(c) || upper(c) || digit(c) || c == '-' || c == '.' || c == '_' || c == ':';
  });
}

bool is_default(std::string_view type, std::string_view text) {
  if (text.empty()) return true;
  if (type == "bool") return text == "true" || text == "false";
  if (type == "int") {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size();
  }
  if (type != "map") return true;
  while (true) {
    const auto comma = text.find(',');
    if (text.substr(0, comma).find('=') == std::string_view::npos) return false;
    if (comma == std::string_view::npos) return true;
    text.remove_prefix(comma + 1);
  }
}

bool is_basic_type(std::string_view type) {
  constexpr std::array kBasic = {"bool", "int",  "float",   "string", "bytes", "regex",
                                 "time", "dict", "version", "ip",     "range", "any"};
  return std::find(kBasic.begin(), kBasic.end(), type) != kBasic.end();
}

bool is_type(std::string_view type, const Manifest& manifest) {
  for (int depth = 0; depth < 8; ++depth) {
    if (type.starts_with("[]")) {
      type.remove_prefix(2);
    } else if (type.starts_with("map[string]")) {
      type.remove_prefix(11);
    } else {
      return is_basic_type(type) || manifest.resource(type) != nullptr;
    }
  }
  return false;
}

// NAME, and with `pattern` also NAME*.
bool is_variable(std::string_view s, bool pattern) {
  if (pattern && s.size() > 1 && s.ends_with('*')) s.remove_suffix(1);
  return !s.empty() && s.size() <= 128 && !digit(s.front()) &&
         std::all_of(s.begin(), s.end(), [](char c) { return lower(c) || upper(c) || digit(c) || c == '_'; });
}

// No path that can be understood in two ways.
bool is_plain_path(std::string_view s) {
  return is_one_line(s) && s.size() <= 4096 && ('/' + std::string(s) + '/').find("/../") == std::string::npos;
}

bool is_file_entry(std::string_view s) {
  return is_plain_path(s) && (s.starts_with('/') || s == "~" || s.starts_with("~/"));
}

bool is_program(std::string_view s) {
  return !s.empty() && is_plain_path(s) && (s.starts_with('/') || s.find('/') == std::string_view::npos);
}

std::string quoted(std::string_view s) { return '"' + std::string(s) + '"'; }

struct Quoted {
  explicit Quoted(std::string_view s) : text(s) {}
  friend std::string operator+(std::string front, const Quoted& q) {
    return std::move(front) + quoted(q.text);
  }
  std::string_view text;
};

class Checker {
 public:
  explicit Checker(const Manifest& manifest) : m_(manifest) {}

  std::optional<Problem> run() {
    expect(is_id(m_.id), line("id"), "id must look like example.com/providers/coffee, found ", Quoted(m_.id));
    expect(is_name(m_.name, "-"), line("name"),
           "name must be letters, digits and dashes and begin with a lower-case letter, found ",
           Quoted(m_.name));
    expect(is_version(m_.version), line("version"), "version must look like 1.2.3, found ",
           Quoted(m_.version));
    expect(is_one_line(m_.summary), line("summary"), "summary must be one line of text");
    capabilities(m_.capabilities);
    std::set<std::string_view> names;
    for (const Connector& c : m_.connectors) connector(c, names);
    std::set<std::string_view> resources;
    for (const Resource& r : m_.resources) {
      expect(resources.insert(r.name).second, r.line, "resource ", Quoted(r.name), " is declared twice");
      resource(r);
    }
    return problem_;
  }

 private:
  int line(const char* key) const {
    const auto it = m_.lines.find(key);
    return it == m_.lines.end() ? 0 : it->second;
  }

  // The message is put together only when it is needed.
  template <class... Parts>
  void expect(bool holds, int line, const Parts&... message) {
    if (!holds && !problem_) problem_ = Problem{line, (std::string() + ... + message)};
  }

  bool reads_variable(std::string_view name) const {
    return std::any_of(m_.capabilities.env.begin(), m_.capabilities.env.end(), [&](std::string_view entry) {
      return entry.ends_with('*') ? name.starts_with(entry.substr(0, entry.size() - 1)) : name == entry;
    });
  }

  bool has_flag(std::string_view name) const {
    return std::any_of(m_.connectors.begin(), m_.connectors.end(), [&](const Connector& c) {
      return std::any_of(c.flags.begin(), c.flags.end(),
                         [&](const Flag& f) { return f.name == name && f.type == "string" && !f.secret; });
    });
  }

  bool has_argument(std::string_view number) const {
    int n = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), n);
    return error == std::errc() && end == number.data() + number.size() && n >= 1 &&
           std::any_of(m_.connectors.begin(), m_.connectors.end(),
                       [&](const Connector& c) { return c.max_args >= n; });
  }

  void capabilities(const Capabilities& c) {
    const int at = line("capabilities");
    const auto variable = [&](std::string_view entry, const char* list) {
      expect(reads_variable(entry.substr(4)), at, list,
             " names a variable that env does not list: ", Quoted(entry));
    };
    for (const std::string_view entry : c.network) {
      if (entry.starts_with("flag:")) {
        expect(has_flag(entry.substr(5)), at,
               "network names no flag of a connector with the type string: ", Quoted(entry));
      } else if (entry.starts_with("arg:")) {
        expect(has_argument(entry.substr(4)), at,
               "network names no argument of a connector: ", Quoted(entry));
      } else if (entry.starts_with("env:")) {
        variable(entry, "network");
      } else {
        expect(is_host_pattern(entry), at,
               "network must list hosts such as example.com, *.example.com or *, found ", Quoted(entry));
      }
    }
    for (const std::string_view entry : c.files) {
      if (entry.starts_with("env:")) {
        variable(entry, "files");
      } else {
        expect(is_file_entry(entry), at,
               "files must list absolute paths, ~/PATH or env:VARIABLE, without \"..\", found ",
               Quoted(entry));
      }
    }
    for (const std::string_view entry : c.env) {
      expect(is_variable(entry, true), at, "env must list names of variables such as HOME or AWS_*, found ",
             Quoted(entry));
    }
    for (const std::string_view entry : c.exec) {
      expect(is_program(entry), at, "exec must list programs such as rpm or /usr/bin/rpm, found ",
             Quoted(entry));
    }
  }

  void connector(const Connector& c, std::set<std::string_view>& names) {
    const std::string who = "connector " + quoted(c.name);
    expect(is_name(c.name, "-"), c.line, who, ": a name is letters, digits and dashes");
    expect(names.insert(c.name).second, c.line, who, " is declared twice");
    expect(is_one_line(c.summary) && is_one_line(c.usage), c.line, who,
           ": summary and usage must be one line of text");
    for (const std::string& alias : c.aliases) {
      expect(is_name(alias, "-"), c.line, who, ": alias ", Quoted(alias), " is no name");
      expect(names.insert(alias).second, c.line, who, ": alias ", Quoted(alias), " is taken");
    }
    expect(c.min_args >= 0 && c.min_args <= c.max_args && c.max_args <= 64, c.line, who,
           ": args must have 0 <= min <= max <= 64");
    std::set<std::string_view> flags;
    for (const Flag& f : c.flags) {
      flag(c, f, who + ", flag " + quoted(f.name));
      expect(flags.insert(f.name).second && (f.short_name.empty() || flags.insert(f.short_name).second),
             f.line, who, ", flag ", Quoted(f.name), ": the name or its short form is taken");
    }
  }

  void flag(const Connector& c, const Flag& f, const std::string& who) {
    constexpr std::array kTypes = {"bool", "int", "string", "list", "map"};
    expect(is_name(f.name, "-") && f.name.size() > 1, f.line, who,
           ": a name is two or more letters, digits, dashes");
    expect(f.name != "help" && f.short_name != "h", f.line, who, ": --help and -h are the program's own");
    expect(f.short_name.empty() ||
               (f.short_name.size() == 1 && (lower(f.short_name[0]) || upper(f.short_name[0]))),
           f.line, who, ": short must be one letter, found ", Quoted(f.short_name));
    expect(std::find(kTypes.begin(), kTypes.end(), f.type) != kTypes.end(), f.line, who,
           ": type must be bool, int, string, list or map, found ", Quoted(f.type));
    expect(!f.secret || f.type == "string", f.line, who, ": a secret has the type string");
    expect(!f.secret || f.default_value.empty(), f.line, who, ": a secret has no default");
    expect(is_default(f.type, f.default_value), f.line, who, ": default ", Quoted(f.default_value), " is no ",
           f.type);
    expect(is_one_line(f.summary), f.line, who, ": summary must be one line of text");
    if (f.asks_for.empty()) return;
    expect(f.type == "bool", f.line, who, ": asks_for goes with the type bool");
    expect(std::any_of(c.flags.begin(), c.flags.end(),
                       [&](const Flag& other) { return other.secret && other.name == f.asks_for; }),
           f.line, who, ": asks_for names no secret flag of the connector: ", Quoted(f.asks_for));
  }

  void resource(const Resource& r) {
    const std::string who = "resource " + quoted(r.name);
    expect(is_resource_name(r.name), r.line, who,
           ": a name is dotted words of letters, digits and underscores");
    if (!r.list.empty()) {
      expect(m_.resource(r.list) != nullptr, r.line, who, ": list names no resource: ", Quoted(r.list));
      expect(r.fields.empty(), r.line, who,
             ": a list resource has the fields of its rows, and none of its own");
    }
    fields(r.args, who + ", argument ");
    fields(r.fields, who + ", field ");
    for (const std::string& name : r.defaults) {
      expect(std::any_of(r.fields.begin(), r.fields.end(), [&](const Field& f) { return f.name == name; }),
             r.line, who, ": defaults names no field: ", Quoted(name));
    }
  }

  void fields(const std::vector<Field>& fields, const std::string& who) {
    std::set<std::string_view> names;
    for (const Field& f : fields) {
      expect(is_name(f.name, "_"), f.line, who, Quoted(f.name),
             ": a name is letters, digits and underscores");
      expect(names.insert(f.name).second, f.line, who, Quoted(f.name), " is declared twice");
      expect(is_type(f.type, m_), f.line, who, Quoted(f.name), ": type ", Quoted(f.type),
             " is neither a basic type nor a resource");
    }
  }

  const Manifest& m_;
  std::optional<Problem> problem_;
};

using Writer = rapidjson::Writer<rapidjson::StringBuffer, rapidjson::UTF8<>, rapidjson::ASCII<>>;

// Absent and empty mean the same, so empty is left out.
void put(Writer& w, const char* key, const std::string& value) {
  if (value.empty()) return;
  w.Key(key);
  w.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
}
void put(Writer& w, const char* key, bool value) {
  if (!value) return;
  w.Key(key);
  w.Bool(true);
}
void put(Writer& w, const char* key, int value) {
  if (value == 0) return;
  w.Key(key);
  w.Int(value);
}
void put(Writer& w, const char* key, const std::vector<std::string>& values) {
  if (values.empty()) return;
  w.Key(key);
  w.StartArray();
  for (const std::string& value : values)
    w.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
  w.EndArray();
}
template <class T, class WriteOne>
void put(Writer& w, const char* key, const std::vector<T>& values, WriteOne&& write_one) {
  if (values.empty()) return;
  w.Key(key);
  w.StartArray();
  for (const T& value : values) {
    w.StartObject();
    write_one(value);
    w.EndObject();
  }
  w.EndArray();
}

}  // namespace

const Resource* Manifest::resource(std::string_view wanted) const {
  const auto it =
      std::find_if(resources.begin(), resources.end(), [&](const Resource& r) { return r.name == wanted; });
  return it == resources.end() ? nullptr : &*it;
}

const Connector* Manifest::connector(std::string_view wanted) const {
  const auto it = std::find_if(connectors.begin(), connectors.end(), [&](const Connector& c) {
    return c.name == wanted || std::find(c.aliases.begin(), c.aliases.end(), wanted) != c.aliases.end();
  });
  return it == connectors.end() ? nullptr : &*it;
}

std::optional<Problem> check(const Manifest& manifest) { return Checker(manifest).run(); }

std::string to_json(const Manifest& m) {
  rapidjson::StringBuffer buffer;
  Writer w(buffer);
  const auto write_field = [&](const Field& f) {
    put(w, "name", f.name);
    put(w, "type", f.type);
    put(w, "doc", f.doc);
    put(w, "required", f.required);
  };
  w.StartObject();
  put(w, "id", m.id);
  put(w, "name", m.name);
  put(w, "version", m.version);
  put(w, "summary", m.summary);
  put(w, "os", m.os);
  put(w, "arch", m.arch);
  put(w, "abi_minor", m.abi_minor);
  put(w, "threads_many", m.threads_many);
  put(w, "open_schema", m.open_schema);
  w.Key("capabilities");
  w.StartObject();
  put(w, "network", m.capabilities.network);
  put(w, "files", m.capabilities.files);
  put(w, "env", m.capabilities.env);
  put(w, "exec", m.capabilities.exec);
  w.EndObject();
  put(w, "connectors", m.connectors, [&](const Connector& c) {
    put(w, "name", c.name);
    put(w, "aliases", c.aliases);
    put(w, "summary", c.summary);
    put(w, "usage", c.usage);
    put(w, "min_args", c.min_args);
    put(w, "max_args", c.max_args);
    put(w, "hidden", c.hidden);
    put(w, "flags", c.flags, [&](const Flag& f) {
      put(w, "name", f.name);
      put(w, "short", f.short_name);
      put(w, "type", f.type);
      put(w, "summary", f.summary);
      put(w, "default", f.default_value);
      put(w, "asks_for", f.asks_for);
      put(w, "secret", f.secret);
      put(w, "required", f.required);
      put(w, "hidden", f.hidden);
    });
  });
  put(w, "resources", m.resources, [&](const Resource& r) {
    put(w, "name", r.name);
    put(w, "doc", r.doc);
    put(w, "list", r.list);
    put(w, "defaults", r.defaults);
    put(w, "args", r.args, write_field);
    put(w, "fields", r.fields, write_field);
  });
  w.EndObject();
  return {buffer.GetString(), buffer.GetSize()};
}

}  // namespace cnspec::manifest
