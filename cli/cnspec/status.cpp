#include "status/status.hpp"

#include <gnu/libc-version.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>

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

const std::vector<std::string> kFormats = {"text", "json", "yaml"};

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

void print_report(const status::Status& status, const std::string& format) {
  if (format == "json")
    print(status::render_json(status));
  else if (format == "yaml")
    print(status::render_yaml(status));
  else
    print(status::render_text(status, terminal::style_of(STDOUT_FILENO)));
}

// Null: there is none that can be used.
Result<void> write_bundle(const Globals& globals, const std::string& path, const status::Status& status,
                          const config::Config* config) {
  std::vector<std::pair<std::string, std::string>> files = {
      {"status.json", status::render_json(status)},
      {"status.txt", status::render_text(status, {}) + join(status::notes(status), "\n") + "\n"},
      {"versions.txt", describe_versions()},
      {"debug.log", log::recorded()},
  };
  if (config) {
    const config::Proxies proxies = runtime::proxies_in_force(*config, globals.api_proxy);
    files.emplace_back("config.yaml", config::render_yaml(*config, proxies));
  }
  if (status.providers)
    files.emplace_back("providers.json", render_providers_json(*status.providers, *status.isolation));
  const auto secrets = status::known_secrets(config ? *config : config::Config());
  if (auto written = status::write_bundle(path, files, secrets); !written) return written;
  print_note("wrote " + printable(path) + " for a bug report; no secret that we know of is in it");
  return {};
}

// The report of a configuration that cannot be used; the error is said all the same, and is all of the text.
void report_unusable(const Globals& globals, const Error& error, const std::string& format,
                     const std::string& bundle) {
  const status::Status status = status::unusable(config::source_of(globals.config), error);
  if (format != "text") print_report(status, format);
  if (bundle.empty()) return;
  const auto config = config::load(globals.config);  // it may be only what it names that is no good
  if (auto written = write_bundle(globals, bundle, status, config ? &*config : nullptr); !written)
    print_error(written.error());
}

}  // namespace

void add_status(Command& program, Globals& globals) {
  auto output = std::make_shared<std::string>("text");
  auto bundle = std::make_shared<std::string>();
  Command& command = program.command("status", "Show whether this machine is registered and accepted");
  command.details =
      "Exit codes: 0 registered and authenticated; 1 not registered, or the platform said no or could not be "
      "asked; 2 wrong usage; 78 the configuration is unusable.";
  const Option& format = add_output(command, *output, kFormats);
  command.option({.names = "--bundle",
                  .target = bundle.get(),
                  .summary = "Write all that a bug report needs to a new file, a .tar.gz",
                  .value = "FILE"});
  command.run = [&globals, &format, output, bundle] {
    if (!bundle->empty()) {
      if (auto good = status::check_bundle(*bundle); !good) exit_with(good.error());
      log::record();
    }
    const auto follow = [&](const std::string& spelled) {
      const std::string set = to_lower(spelled);
      const bool known = set.empty() || std::find(kFormats.begin(), kFormats.end(), set) != kFormats.end();
      if (format.given == 0 && known && !set.empty()) *output = set;
      return known || format.given > 0;
    };
    const auto runtime = start(globals, std::chrono::seconds(10), [&](const Error& error) {
      follow(config::text_regardless(globals.config, "output"));
      report_unusable(globals, error, *output, *bundle);
    });
    // Other commands that read the same configuration know more formats, so only a slip is worth a word.
    if (const std::string set = runtime->config().text("output"); !follow(set)) {
      if (const std::string meant = closest(set, kFormats); !meant.empty())
        print_warning("unknown output format: " + quoted_if_needed(set) + " (" +
                      printable(runtime->config().find("output")->from) + "); did you mean " + meant + "?");
    }
    const status::Status status = gather(*runtime);
    print_report(status, *output);
    if (!bundle->empty()) {
      if (auto written = write_bundle(globals, *bundle, status, &runtime->config()); !written) {
        print_error(written.error());
        runtime->exit(exit_code(written.error()));
      }
    }
    if (*output == "text") {
      for (const std::string& note : status::notes(status)) print_warning(note);
    }
    runtime->exit(status::exit_code(status));
  };
}

}  // namespace cnspec::cli
