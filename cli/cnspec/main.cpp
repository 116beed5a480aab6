// cnspec: parses the command line and runs the one command it names.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "base/interrupt.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "command.hpp"
#include "provider/trusted_file.hpp"
#include "runtime/runtime.hpp"

namespace {

using namespace cnspec;

int run(std::vector<std::string> words) {
  cli::Command program(
      "cnspec", "Looks at systems through providers, and registers this machine with the Mondoo Platform");
  cli::Globals globals;
  program.details =
      "What a command takes: cnspec COMMAND --help\n"
      "An independent implementation; see the README for what it does and does not do.";
  cli::add_globals(program, globals);
  cli::add_login(program, globals);
  cli::add_logout(program, globals);
  cli::add_status(program, globals);
  cli::add_config(program, globals);
  cli::add_providers(program, globals);
  cli::add_discover(program, globals);
  cli::add_version(program);
  cli::add_completion(program);
  if (words.empty()) words = {"help"};
  if (words.front() == "help") {  // "help providers list"
    words.erase(words.begin());
    words.emplace_back("--help");
  }
  try {
    if (words.front() == cli::kComplete) {
      cli::complete(program, globals, {words.begin() + 1, words.end()});
      return cli::kOk;
    }
    cli::parse_or_exit(program, words).command->run();
    return cli::kOk;
  } catch (const cli::Exit& exit) {
    return exit.code;
  }
}

bool is_harmless(std::string_view name) {
  for (const char* known : {"TERM", "COLUMNS", "NO_COLOR", "LANG"})
    if (name == known) return true;
  // The search for providers refuses it by name.
  return name.starts_with("LC_") || name == "PROVIDERS_PATH";
}

// Setuid, or with capabilities of its file: then its variables, and the folders that they name, are those of
// somebody with fewer rights.
void forget_the_environment_when_elevated() {
  if (!provider::elevated()) return;
  std::vector<std::string> foreign;
  std::vector<std::string> said;
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text(*entry);
    const std::string_view name = text.substr(0, text.find('='));
    if (is_harmless(name)) continue;
    foreign.emplace_back(name);
    if (name == "HOME" || name.starts_with("MONDOO_") || name.ends_with("_proxy") || name.ends_with("_PROXY"))
      said.push_back(printable(name));
  }
  for (const std::string& name : foreign) ::unsetenv(name.c_str());
  std::ranges::sort(said);
  if (!said.empty()) log::warn("this process is elevated and does not listen to " + join(said, ", "));
}

}  // namespace

int main(int argc, char** argv) {
  cnspec::cli::guard_standard_streams();
  cnspec::interrupt::install();
  // A file size limit, like a full disk, is an error of write as well.
  std::signal(SIGXFSZ, SIG_IGN);
  // A reader that went away, as in "cnspec status | head", is an error of write, not the end of the process.
  std::signal(SIGPIPE, SIG_IGN);
  // Ignored by whoever started us, it would keep from us how the processes of providers ended.
  std::signal(SIGCHLD, SIG_DFL);
  int code = cnspec::cli::kFailed;
  try {
    forget_the_environment_when_elevated();
    code = run({argv + std::min(argc, 1), argv + argc});
  } catch (const std::exception& error) {
    cnspec::cli::print_error(cnspec::Error(error.what()));
  }
  if (std::fflush(stdout) != 0 && code == cnspec::cli::kOk) code = cnspec::cli::kFailed;
  cnspec::runtime::end_process(code);
}
