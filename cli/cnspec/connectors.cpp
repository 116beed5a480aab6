#include "connectors.hpp"

#include "base/text.hpp"
#include "terminal.hpp"

namespace cnspec::cli {
namespace {

using provider::ConnectRequest;
namespace manifest = cnspec::manifest;

// What CLI11 writes the values of one connector's flags into; it lives as long as the app.
struct Values {
  std::vector<std::string> args;
  std::map<std::string, bool> bools;
  std::map<std::string, std::int64_t> ints;
  std::map<std::string, std::string> strings;
  std::map<std::string, std::vector<std::string>> lists;  // lists, and maps as KEY=VALUE
};

void add_flag(CLI::App& command, const manifest::Flag& flag, Values& values) {
  const std::string names = (flag.short_name.empty() ? "" : "-" + flag.short_name + ",") + "--" + flag.name;
  CLI::Option* option = nullptr;
  if (flag.type == "bool") {
    option = command.add_flag(names, values.bools[flag.name], flag.summary);
  } else if (flag.type == "int") {
    option = command.add_option(names, values.ints[flag.name], flag.summary);
  } else if (flag.type == "list" || flag.type == "map") {
    option = repeatable(command.add_option(names, values.lists[flag.name], flag.summary))->delimiter(',');
  } else {
    option = command.add_option(names, values.strings[flag.name], flag.summary);
  }
  if (flag.required) option->required();
  if (flag.hidden) option->group("");
  if (!flag.default_value.empty()) option->default_str(flag.default_value);
}

provider::Value map_value(const std::string& flag, const std::vector<std::string>& pairs) {
  provider::Value::Map out;
  for (const std::string& pair : pairs) {
    const auto equals = pair.find('=');
    if (equals == std::string::npos) {
      exit_with(
          Error("--" + flag + " " + quoted_if_needed(pair) + ": expected KEY=VALUE", ErrorKind::kUsage));
    }
    out.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
  }
  return out;
}

ConnectRequest collect(const CLI::App& command, const manifest::Connector& connector, const Values& values) {
  ConnectRequest out;
  out.connector = connector.name;
  out.args = values.args;
  for (const auto& flag : connector.flags) {
    if (command.get_option("--" + flag.name)->count() == 0) continue;
    if (flag.secret)
      out.secrets[flag.name] = values.strings.at(flag.name);
    else if (flag.type == "bool")
      out.flags[flag.name] = values.bools.at(flag.name);
    else if (flag.type == "int")
      out.flags[flag.name] = values.ints.at(flag.name);
    else if (flag.type == "list")
      out.flags[flag.name] = provider::Value(values.lists.at(flag.name));
    else if (flag.type == "map")
      out.flags[flag.name] = map_value(flag.name, values.lists.at(flag.name));
    else
      out.flags[flag.name] = values.strings.at(flag.name);
  }
  for (const auto& flag : connector.flags) {
    if (flag.asks_for.empty() || out.secrets.count(flag.asks_for) || !out.flags.count(flag.name)) continue;
    if (!values.bools.at(flag.name)) continue;
    auto secret = ask_hidden(flag.asks_for);
    if (!secret) exit_with(secret.error());
    out.secrets[flag.asks_for] = std::move(*secret);
  }
  return out;
}

// How the arguments are written is somebody else's text, and CLI11 would read names of options out of some.
std::string argument_name(const std::string& usage) {
  return usage.empty() || usage.front() == '-' || usage.find(',') != usage.npos ? "ARG" : usage;
}

void add_connector(CLI::App& app, const manifest::Manifest& owner, const manifest::Connector& connector,
                   const std::vector<std::string>& aliases,
                   const std::function<void(ConnectRequest)>& chosen) {
  CLI::App* command = app.add_subcommand(connector.name, connector.summary);
  for (const auto& alias : aliases) command->alias(alias);
  if (connector.hidden) command->group("");
  command->fallthrough();
  command->footer("From the provider " + owner.name + " " + owner.version + ".");
  auto values = std::make_shared<Values>();
  if (connector.max_args > 0) {
    command->add_option(argument_name(connector.usage), values->args, "")
        ->expected(connector.min_args, connector.max_args)
        ->required(connector.min_args > 0);
  }
  for (const auto& flag : connector.flags) add_flag(*command, flag, *values);
  command->callback([command, &connector, values, chosen] { chosen(collect(*command, connector, *values)); });
}

}  // namespace

void add_connectors(CLI::App& app, const provider::Inventory& inventory,
                    std::function<void(ConnectRequest)> chosen) {
  for (const auto& found : inventory.active) {
    for (const auto& connector : found.manifest.connectors) {
      // A word that several providers claim is answered by one; the others lose that word alone.
      if (inventory.by_connector(connector.name) != &found) continue;
      std::vector<std::string> aliases;
      for (const std::string& alias : connector.aliases) {
        if (inventory.by_connector(alias) == &found) aliases.push_back(alias);
      }
      add_connector(app, found.manifest, connector, aliases, chosen);
    }
  }
}

}  // namespace cnspec::cli
