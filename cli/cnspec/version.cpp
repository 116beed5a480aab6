#include "base/version.hpp"

#include "command.hpp"

namespace cnspec::cli {

void add_version(CLI::App& app) {
  auto output = std::make_shared<std::string>("text");
  CLI::App* command = app.add_subcommand("version", "Show the version of this program");
  add_output(*command, *output, {"text", "json"});
  command->callback([output] {
    if (*output == "json") {
      print(std::string("{\"version\":\"") + kVersion + "\",\"build\":\"" + kBuild + "\",\"apiVersion\":\"" +
            kApiVersion + "\"}\n");
    } else {
      print(std::string("cnspec ") + kVersion + " (" + kBuild + ", API version " + kApiVersion + ")\n");
    }
  });
}

}  // namespace cnspec::cli
