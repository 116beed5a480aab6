// cnspec: parses the command line and runs the one command it names.
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>

#include "base/interrupt.hpp"
#include "base/terminal.hpp"
#include "command.hpp"

namespace {

using namespace cnspec;

int run(int argc, char** argv) {
  CLI::App app("Looks at systems through providers, and registers this machine with the Mondoo Platform.",
               "cnspec");
  cli::Globals globals;
  app.require_subcommand(1);
  app.fallthrough();
  constexpr int kNarrow = 72;
  app.get_formatter()->column_width(terminal::columns(STDOUT_FILENO) < kNarrow ? 18 : 34);
  app.footer("An independent implementation; see the README for what it does and does not do.");
  cli::add_globals(app, globals);
  cli::add_login(app, globals);
  cli::add_logout(app, globals);
  cli::add_status(app, globals);
  cli::add_config(app, globals);
  cli::add_providers(app, globals);
  cli::add_discover(app, globals);
  cli::add_version(app);
  cli::add_completion(app);
  try {
    if (argc < 2) {
      cli::print(app.help());
      return cli::kOk;
    }
    if (std::string_view(argv[1]) == cli::kComplete) {
      cli::complete(app, globals, {argv + 2, argv + argc});
      return cli::kOk;
    }
    app.parse(argc, argv);
    return cli::kOk;
  } catch (const cli::Exit& exit) {
    return exit.code;
  } catch (const CLI::ParseError& error) {
    return cli::exit_for(app, error);
  }
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
    code = run(argc, argv);
  } catch (const std::exception& error) {
    cnspec::cli::print_error(cnspec::Error(error.what()));
  }
  if (std::fflush(stdout) != 0 && code == cnspec::cli::kOk) code = cnspec::cli::kFailed;
  return code;
}
