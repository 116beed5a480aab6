#include "connectors.hpp"

#include "base/text.hpp"
#include "terminal.hpp"

namespace cnspec::cli {
namespace {

using provider::ConnectRequest;
namespace manifest = cnspec::manifest;

// The values of one connector's flags; they live as long as its command.
struct Values {
  std::vector<std::string> args;
  std::map<std::string, bool> bools;
  std::map<std::string, std::int64_t> ints;
  std::map<std::string, std::string> strings;
  std::map<std::string, std::vector<std::string>> lists;  // lists, and maps as KEY=VALUE
};

void add_flag(Command& command, const manifest::Flag& flag, Values& values) {
  Option option{.names = (flag.short_name.empty() ? "" : "-" + flag.short_name + ",") + "--" + flag.name,
                .target = &values.strings[flag.name],
                .summary = flag.summary,
                .default_text = flag.default_value,
                .required = flag.required,
                .hidden = flag.hidden};
  if (flag.type == "bool") {
    option.target = &values.bools[flag.name];
  } else if (flag.type == "int") {
    option.target = &values.ints[flag.name];
    option.value = "NUMBER";
  } else if (flag.type == "list" || flag.type == "map") {
    option.target = &values.lists[flag.name];
    option.value = flag.type == "list" ? "TEXT,..." : "KEY=VALUE,...";
    option.commas = true;
  }
  command.option(std::move(option));
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

ConnectRequest collect(const Command& command, const manifest::Connector& connector, const Values& values) {
  ConnectRequest out;
  out.connector = connector.name;
  out.args = values.args;
  for (const auto& flag : connector.flags) {
    if (command.find("--" + flag.name)->given == 0) continue;
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

void add_connector(Command& program, const manifest::Manifest& owner, const manifest::Connector& connector,
                   const std::vector<std::string>& aliases,
                   const std::function<void(ConnectRequest)>& chosen) {
  Command& command = program.command(connector.name, connector.summary);
  command.aliases = aliases;
  command.hidden = connector.hidden;
  command.details = "From the provider " + owner.name + " " + owner.version + ".";
  auto values = std::make_shared<Values>();
  if (connector.max_args > 0) {
    // How they are written is somebody else's text, which might look like an option.
    const std::string& usage = connector.usage;
    command.option({.names = usage.empty() || usage.front() == '-' ? "ARG" : usage,
                    .target = &values->args,
                    .required = connector.min_args > 0,
                    .least = static_cast<std::size_t>(connector.min_args),
                    .most = static_cast<std::size_t>(connector.max_args)});
  }
  for (const auto& flag : connector.flags) add_flag(command, flag, *values);
  command.run = [&command, &connector, values, chosen] { chosen(collect(command, connector, *values)); };
}

}  // namespace

void add_connectors(Command& program, const provider::Inventory& inventory,
                    std::function<void(ConnectRequest)> chosen) {
  for (const auto& found : inventory.active) {
    for (const auto& connector : found.manifest.connectors) {
      // A word that several providers claim is answered by one; the others lose that word alone.
      if (inventory.by_connector(connector.name) != &found) continue;
      std::vector<std::string> aliases;
      for (const std::string& alias : connector.aliases) {
        if (inventory.by_connector(alias) == &found) aliases.push_back(alias);
      }
      add_connector(program, found.manifest, connector, aliases, chosen);
    }
  }
}

}  // namespace cnspec::cli
