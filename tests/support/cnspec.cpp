#include "support/cnspec.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <regex>
#include <string_view>

#include "support/secrets.hpp"

namespace cnspec::test {

std::string without_request_ids(const std::string& said) {
  static const std::regex hint(
      "(\n  |; )the log of [^ \n]+ (knows|may know) this request as "
      "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}");
  return std::regex_replace(said, hint, "");
}

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
  // What is printed then is another matter than most tests think; secrets are looked for all the same.
  if (std::getenv("CNSPEC_TEST_TRACE")) env["TRACE"] = "1";
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
  learn_key_of_config();
  RunResult result = test::run(command(args), with_input);
  learn_key_of_config();
  look_into_bundle(args);
  return result;
}

void User::learn_key_of_config() const {
  std::error_code none;
  if (std::filesystem::is_regular_file(config_file(), none)) learn_key(read_file(config_file()));
}

void User::look_into_bundle(const Argv& args) const {
  const auto option = std::find(args.begin(), args.end(), "--bundle");
  std::error_code none;
  if (option == args.end() || option + 1 == args.end()) return;
  if (!std::filesystem::is_regular_file(option[1], none)) return;
  const RunResult text =
      test::run({"tar", "-xzOf", option[1]}, {.env = {}, .cwd = {}, .input = {}, .prints_secrets = true});
  expect_no_secret(text.out, "the bundle of " + described(command(args)));
}

Process User::start(const Argv& args) const { return Process::start(command(args), options()); }

}  // namespace cnspec::test
