#include "base/version.hpp"

#include "command.hpp"

namespace cnspec::cli {

void add_version(Command& program) {
  auto output = std::make_shared<std::string>("text");
  Command& command = program.command("version", "Show the version of this program");
  add_output(command, *output, {"text", "json"});
  command.run = [output] {
    if (*output == "json") {
      print(std::string("{\"version\":\"") + kVersion + "\",\"build\":\"" + kBuild + "\",\"apiVersion\":\"" +
            kApiVersion + "\"}\n");
    } else {
      print(std::string("cnspec ") + kVersion + " (" + kBuild + ", API version " + kApiVersion + ")\n");
    }
  };
}

}  // namespace cnspec::cli
