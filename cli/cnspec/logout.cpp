#include "registration/logout.hpp"

#include <unistd.h>

#include <cstdio>

#include "base/text.hpp"
#include "command.hpp"
#include "runtime/runtime.hpp"
#include "terminal.hpp"

namespace cnspec::cli {
namespace {

struct Flags {
  bool force = false;
  registration::LogoutRequest request;
};

// Reads what the user types, up to the end of the line or of the input.
std::string read_answer() {
  std::string out;
  char c = 0;
  while (true) {
    wait_for_input(STDIN_FILENO);
    if (::read(STDIN_FILENO, &c, 1) != 1 || c == '\n') break;
    out += c;
  }
  return std::string(trim(out));
}

// Before the command's time begins.
void confirm(const config::Config& config) {
  const std::string client = config.agent_mrn.empty() ? config.mrn : config.agent_mrn;
  if (!can_ask()) {
    exit_with(Error("--force is required to logout where nobody can be asked", ErrorKind::kUsage)
                  .hint("cnspec logout --force revokes the access of " + client));
  }
  std::fprintf(stderr, "Are you sure you want to revoke the access of %s to Mondoo Platform? [y/N] ",
               printable(client).c_str());
  std::fflush(stderr);
  const std::string answer = read_answer();
  if (answer == "y" || answer == "Y" || answer == "yes") return;
  print_warning("nothing was changed");
  throw Exit{kFailed};
}

Result<void> log_out(runtime::Runtime& runtime, const registration::LogoutRequest& request) {
  const Progress progress("telling Mondoo Platform");
  return registration::logout(runtime, request, {print_info, print_warning});
}

void run(Globals& globals, const Flags& flags) {
  const auto config = config::load(globals.config);
  if (!config) exit_unusable(globals, config.error());
  set_up_log(globals, *config);
  print_config_line(config->source);
  if (auto good = registration::check_logged_in(*config); !good) exit_with(good.error());
  if (!flags.force) confirm(*config);

  const auto runtime = start(globals, std::chrono::seconds(10));
  const auto done = log_out(*runtime, flags.request);
  if (!done) {
    print_error(done.error());
    runtime->exit(exit_code(done.error()));
  }
  runtime->exit(kOk);
}

}  // namespace

void add_logout(Command& program, Globals& globals) {
  auto flags = std::make_shared<Flags>();
  Command& command = program.command("logout", "Take this machine's registration back");
  command.aliases = {"unregister"};
  command.details =
      "The client is unregistered and its service account revoked; then its credentials are removed from the "
      "configuration, which keeps everything else. When the platform cannot be told, nothing is removed.\n"
      "Exit codes: 0 logged out; 1 not; 2 wrong usage; 78 there are no credentials, or they cannot be used.";
  command.option({.names = "--force",
                  .target = &flags->force,
                  .summary = "Do not ask; required where there is no terminal"});
  command.option({.names = "--local",
                  .target = &flags->request.local,
                  .summary = "Remove the credentials here also when the platform cannot be told"});
  command.run = [&globals, flags] { run(globals, *flags); };
}

}  // namespace cnspec::cli
