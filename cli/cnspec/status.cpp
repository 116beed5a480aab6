#include "status/status.hpp"

#include <gnu/libc-version.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/log.hpp"
#include "base/terminal.hpp"
#include "base/text.hpp"
#include "base/version.hpp"
#include "command.hpp"
#include "config/show.hpp"
#include "runtime/runtime.hpp"
#include "status/bundle.hpp"
#include "terminal.hpp"

namespace cnspec::cli {
namespace {

status::Status gather(runtime::Runtime& runtime) {
  const Progress progress("asking Mondoo Platform");
  return status::gather(runtime);
}

std::string describe_versions() {
  utsname system{};
  ::uname(&system);
  return std::string("cnspec ") + kVersion + "\nbuild " + kBuild + "\nAPI " + kApiVersion + "\n" +
         system.sysname + " " + system.release + " " + system.machine + "\nglibc " +
         ::gnu_get_libc_version() + "\n";
}

void write_bundle(const std::string& path, runtime::Runtime& runtime, const status::Status& status) {
  const std::vector<std::pair<std::string, std::string>> files = {
      {"status.json", status::render_json(status)},
      {"status.txt", status::render_text(status, {}) + join(status::notes(status), "\n") + "\n"},
      {"config.yaml", config::render_yaml(runtime.config())},
      {"providers.json", render_providers_json(runtime.providers(), runtime.isolation())},
      {"versions.txt", describe_versions()},
      {"debug.log", log::recorded()},
  };
  if (auto written = status::write_bundle(path, files, status::known_secrets(runtime.config())); !written) {
    print_error(written.error());
    runtime.exit(exit_code(written.error()));
  }
  print_note("wrote " + printable(path) + " for a bug report; no secret that we know of is in it");
}

}  // namespace

void add_status(Command& program, Globals& globals) {
  auto output = std::make_shared<std::string>("text");
  auto bundle = std::make_shared<std::string>();
  Command& command = program.command("status", "Show whether this machine is registered and accepted");
  command.details =
      "Exit codes: 0 registered and authenticated; 1 not registered, or the platform said no or could not be "
      "asked; 2 wrong usage; 78 the configuration is unusable.";
  const Option& format = add_output(command, *output, {"text", "json", "yaml"});
  command.option({.names = "--bundle",
                  .target = bundle.get(),
                  .summary = "Write all that a bug report needs to a new file, a .tar.gz",
                  .value = "FILE"});
  command.run = [&globals, &format, output, bundle] {
    if (!bundle->empty()) {
      if (auto good = status::check_bundle(*bundle); !good) exit_with(good.error());
      log::record();
    }
    const auto runtime = start(globals, std::chrono::seconds(10));
    // Other values of that key are for other commands.
    const std::string set = runtime->config().text("output");
    if (format.given == 0 && (set == "json" || set == "yaml")) *output = set;
    const status::Status status = gather(*runtime);
    if (*output == "json")
      print(status::render_json(status));
    else if (*output == "yaml")
      print(status::render_yaml(status));
    else
      print(status::render_text(status, terminal::style_of(STDOUT_FILENO)));
    if (!bundle->empty()) write_bundle(*bundle, *runtime, status);
    if (*output == "text") {
      for (const std::string& note : status::notes(status)) print_warning(note);
    }
    runtime->exit(status::exit_code(status));
  };
}

}  // namespace cnspec::cli
