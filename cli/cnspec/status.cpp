#include "status/status.hpp"

#include <unistd.h>

#include "base/terminal.hpp"
#include "command.hpp"
#include "terminal.hpp"

namespace cnspec::cli {
namespace {

status::Status gather(runtime::Runtime& runtime) {
  const Progress progress("asking Mondoo Platform");
  return status::gather(runtime);
}

}  // namespace

void add_status(CLI::App& app, Globals& globals) {
  auto output = std::make_shared<std::string>("text");
  CLI::App* command = app.add_subcommand("status", "Show whether this machine is registered and accepted");
  command->footer(
      "Exit codes: 0 registered and authenticated; 1 not registered, or the platform said no or could not be "
      "asked;\n"
      "2 wrong usage; 78 the configuration is unusable.");
  add_output(*command, *output, {"text", "json", "yaml"});
  command->callback([&globals, output] {
    const auto runtime = start(globals, std::chrono::seconds(10));
    const status::Status status = gather(*runtime);
    if (*output == "json")
      print(status::render_json(status));
    else if (*output == "yaml")
      print(status::render_yaml(status));
    else
      print(status::render_text(status, terminal::style_of(STDOUT_FILENO)));
    if (*output == "text") {
      for (const std::string& note : status::notes(status)) print_warning(note);
    }
    runtime->exit(status::exit_code(status));
  });
}

}  // namespace cnspec::cli
