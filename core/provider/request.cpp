#include "provider/request.hpp"

#include <algorithm>
#include <charconv>

#include "base/text.hpp"
#include "provider/schema.hpp"

namespace cnspec::provider {
namespace {

tl::unexpected<Error> refuse(std::string what) { return fail(std::move(what), ErrorKind::kUsage); }

std::string in_quotes(std::string_view s) { return '"' + printable(s) + '"'; }

template <class Items>
std::vector<std::string> names_of(const Items& items) {
  std::vector<std::string> names;
  for (const auto& item : items) names.push_back(item.name);
  return names;
}

// "`owner` has no `kind` `word`"
tl::unexpected<Error> unknown(const std::string& owner, const char* kind, std::string_view word,
                              const std::vector<std::string>& known) {
  Error error(owner + " has no " + kind + " " + in_quotes(word), ErrorKind::kUsage);
  if (known.empty()) return fail(std::move(error));
  const std::string near = closest(word, known);
  return fail(std::move(error).hint(near.empty() ? "known are: " + join(known, ", ")
                                                 : "did you mean " + in_quotes(near) + "?"));
}

// The types of flags, as those of fields.
std::string_view field_type(std::string_view flag_type) {
  if (flag_type == "list") return "[]string";
  if (flag_type == "map") return "map[string]string";
  return flag_type;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto comma = text.find(',');
    parts.push_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

bool fits(const Value& value, std::string_view type) {
  return !value.is_error() && Type(type).accepts(value);
}

std::string count(int number, const char* word) {
  return std::to_string(number) + " " + word + (number == 1 ? "" : "s");
}

Result<void> check_args(const manifest::Connector& connector, std::size_t given) {
  const int found = static_cast<int>(std::min<std::size_t>(given, 1'000'000));
  if (found >= connector.min_args && found <= connector.max_args) return {};
  const std::string expected =
      connector.min_args == connector.max_args
          ? count(connector.min_args, "argument")
          : std::to_string(connector.min_args) + " to " + count(connector.max_args, "argument");
  Error error(
      "connector " + in_quotes(connector.name) + " expects " + expected + ", found " + std::to_string(found),
      ErrorKind::kUsage);
  if (connector.usage.empty()) return fail(std::move(error));
  return fail(std::move(error).hint("usage: " + connector.name + " " + connector.usage));
}

}  // namespace

Value default_of(const manifest::Flag& flag) {
  const std::string& text = flag.default_value;
  if (text.empty()) return {};
  if (flag.type == "bool") return Value(text == "true");
  if (flag.type == "int") {
    std::int64_t number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return Value(number);
  }
  if (flag.type == "list") {
    Value::Array items;
    for (const auto part : split(text)) items.emplace_back(std::string(part));
    return Value(std::move(items));
  }
  if (flag.type == "map") {
    Value::Map entries;
    for (const auto part : split(text)) {
      const auto equals = part.find('=');
      const auto value = equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
      entries.emplace_back(std::string(part.substr(0, equals)), Value(std::string(value)));
    }
    return Value(std::move(entries));
  }
  return Value(text);
}

Result<Config> check_connect(const Manifest& manifest, const ConnectRequest& request) {
  const manifest::Connector* connector = manifest.connector(request.connector);
  if (!connector) return unknown("it", "connector", request.connector, names_of(manifest.connectors));
  if (auto good = check_args(*connector, request.args.size()); !good) return fail(good.error());

  const auto declared = [&](const std::string& name) -> const manifest::Flag* {
    const auto it = std::find_if(connector->flags.begin(), connector->flags.end(),
                                 [&](const manifest::Flag& f) { return f.name == name; });
    return it == connector->flags.end() ? nullptr : &*it;
  };
  const auto who = [&](const std::string& name) {
    return "connector " + in_quotes(connector->name) + ", flag --" + printable(name);
  };
  for (const auto& [name, value] : request.flags) {
    const manifest::Flag* flag = declared(name);
    if (!flag)
      return unknown("connector " + in_quotes(connector->name), "flag", name, names_of(connector->flags));
    if (flag->secret) return refuse(who(name) + " is a secret and was given as plain configuration");
    if (value.is_null()) continue;
    if (!fits(value, field_type(flag->type))) {
      return refuse(who(name) + ": expected " + flag->type + ", found " + spelled_type(value));
    }
  }
  for (const auto& [name, value] : request.secrets) {
    const manifest::Flag* flag = declared(name);
    if (!flag)
      return unknown("connector " + in_quotes(connector->name), "flag", name, names_of(connector->flags));
    if (!flag->secret) return refuse(who(name) + " is no secret and was given as one");
  }

  Config config;
  for (const manifest::Flag& flag : connector->flags) {
    if (flag.secret) {
      if (flag.required && !request.secrets.contains(flag.name))
        return refuse(who(flag.name) + " is required");
      continue;
    }
    const auto given = request.flags.find(flag.name);
    Value value = given != request.flags.end() && !given->second.is_null() ? given->second : default_of(flag);
    if (flag.required && value.is_null()) return refuse(who(flag.name) + " is required");
    config.emplace(flag.name, std::move(value));
  }
  return config;
}

Result<std::vector<std::string>> check_fetch(const Manifest& manifest, const FetchRequest& request) {
  std::vector<std::string> wanted;
  for (const std::string& field : request.fields) {
    if (std::find(wanted.begin(), wanted.end(), field) == wanted.end()) wanted.push_back(field);
  }
  const manifest::Resource* resource = manifest.resource(request.type);
  if (!resource) {
    if (manifest.open_schema) return wanted;
    return unknown("it", "resource", request.type, names_of(manifest.resources));
  }
  const std::string who = "resource " + in_quotes(resource->name);

  // The rows of a list resource have the fields of what it lists.
  const manifest::Resource* rows = resource->list.empty() ? resource : manifest.resource(resource->list);
  std::vector<std::string> fields = names_of(rows->fields);
  for (const manifest::Field& arg : rows->args) fields.push_back(arg.name);
  for (const std::string& field : wanted) {
    if (std::find(fields.begin(), fields.end(), field) == fields.end()) {
      return unknown(who, "field", field, fields);
    }
  }
  for (const auto& [name, value] : request.args) {
    const auto arg = std::find_if(resource->args.begin(), resource->args.end(),
                                  [&](const manifest::Field& f) { return f.name == name; });
    if (arg == resource->args.end()) return unknown(who, "argument", name, names_of(resource->args));
    if (!fits(value, arg->type)) {
      return refuse(who + ", argument " + in_quotes(name) + ": expected " + arg->type + ", found " +
                    spelled_type(value));
    }
  }
  if (request.id.empty()) {
    for (const manifest::Field& arg : resource->args) {
      if (arg.required && !request.args.contains(arg.name)) {
        return refuse(who + ", argument " + in_quotes(arg.name) + " is required");
      }
    }
  }
  return wanted;
}

}  // namespace cnspec::provider
