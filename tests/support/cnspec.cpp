#include "support/cnspec.hpp"

#include <unistd.h>

#include <string_view>

namespace cnspec::test {

User::User() {
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string name(text.substr(0, text.find('=')));
    const bool meant_for_us =
        name.starts_with("MONDOO_") || name.ends_with("_proxy") || name.ends_with("_PROXY");
    if (meant_for_us) env[name] = std::nullopt;
  }
  for (const char* name :
       {"PROVIDERS_PATH", "DEBUG", "TRACE", "NO_COLOR", "CLICOLOR_FORCE", "SSL_CERT_FILE", "SSL_CERT_DIR"}) {
    env[name] = std::nullopt;
  }
  env["HOME"] = home_.path().string();
}

Argv User::command(const Argv& args) const {
  Argv argv = {program("cnspec")};
  argv.insert(argv.end(), args.begin(), args.end());
  return argv;
}

ProcessOptions User::options() const {
  ProcessOptions options;
  options.env = env;
  return options;
}

RunResult User::run(const Argv& args, const std::optional<std::string>& input) const {
  ProcessOptions with_input = options();
  with_input.input = input;
  return test::run(command(args), with_input);
}

Process User::start(const Argv& args) const { return Process::start(command(args), options()); }

}  // namespace cnspec::test
