#include "config/show.hpp"

#include "command.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::cli {
namespace {

void show(const Globals& globals, const std::string& output) {
  const auto runtime = start(globals, std::chrono::seconds(10));
  config::Config config = runtime->config();
  if (!globals.log_level.empty()) config::set_by_flag(config, "log-level", globals.log_level, "--log-level");
  if (globals.verbose) config::set_by_flag(config, "verbose", true, "--verbose");
  const config::Proxies proxies = runtime::proxies_in_force(config, globals.api_proxy);
  if (output == "json") return print(config::render_json(config, proxies));
  if (output == "yaml") return print(config::render_yaml(config, proxies));
  print_config_line(config.source);
  print(config::render_text(config, proxies));
}

}  // namespace

void add_config(Command& program, Globals& globals) {
  Command& command = program.command("config", "Look at the configuration");
  Command& shown = command.command("show", "Show the settings in force and where each was set");
  shown.details =
      "A flag goes before a variable MONDOO_<KEY>, that before the configuration, that before the default; "
      "but MONDOO_API_PROXY goes before --api-proxy. Proxies of the environment (HTTPS_PROXY, HTTP_PROXY, "
      "ALL_PROXY, NO_PROXY) are shown where they are in force. Secrets are hidden.";
  auto output = std::make_shared<std::string>("text");
  add_output(shown, *output, {"text", "json", "yaml"});
  shown.run = [&globals, output] { show(globals, *output); };
}

}  // namespace cnspec::cli
