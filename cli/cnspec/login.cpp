#include "registration/login.hpp"

#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>

#include "base/file.hpp"
#include "base/text.hpp"
#include "command.hpp"
#include "terminal.hpp"

namespace cnspec::cli {
namespace {

struct Flags {
  std::optional<std::string> token, token_file;
  std::vector<std::string> annotations;
  registration::LoginRequest request;
};

constexpr std::size_t kMaxToken = 64 * 1024;

Result<std::string> read_standard_input() {
  std::string out;
  char buffer[4096];
  ssize_t got = 0;
  while ((got = ::read(STDIN_FILENO, buffer, sizeof buffer)) > 0) {
    out.append(buffer, static_cast<std::size_t>(got));
    if (out.size() > kMaxToken)
      return fail("standard input holds no token: it is too long", ErrorKind::kUsage);
  }
  return out;
}

// From the flag, the file, or the environment; empty when none of them has one.
Result<std::string> find_token(const Flags& flags) {
  std::string token;
  std::string source = "--token";
  if (flags.token && *flags.token == "-") {
    auto text = read_standard_input();
    if (!text) return text;
    token = std::move(*text);
    source = "standard input";
  } else if (flags.token) {
    token = *flags.token;
  } else if (flags.token_file) {
    source = "the file " + printable(*flags.token_file);
    auto text = read_small_file(*flags.token_file, kMaxToken);
    if (!text)
      return fail(Error("the token file cannot be read: " + text.error().message(), ErrorKind::kUsage));
    token = std::move(*text);
  } else if (const char* variable = std::getenv("MONDOO_REGISTRATION_TOKEN"); variable && *variable) {
    source = "MONDOO_REGISTRATION_TOKEN";
    token = variable;
  } else {
    return std::string();
  }
  const std::string_view trimmed = trim(token);
  if (trimmed.empty()) return fail("the token from " + source + " is empty", ErrorKind::kUsage);
  return std::string(trimmed);
}

Result<std::map<std::string, std::string>> parse_annotations(const std::vector<std::string>& texts) {
  std::map<std::string, std::string> out;
  for (const std::string& text : texts) {
    const auto equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      return fail("--annotation " + quoted_if_needed(text) + ": expected KEY=VALUE", ErrorKind::kUsage);
    }
    out[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return out;
}

// Asks for it when there is somebody to ask, and nothing else to log in with. Before the command's time
// begins.
Result<std::string> ask_for_token(const Globals& globals) {
  if (!can_ask()) return std::string();
  const auto config = config::load(globals.config);
  if (!config || config->has_credentials() || !config->auth_method.empty() || !config->type.empty()) {
    return std::string();
  }
  auto token = ask_hidden("registration token");
  if (!token) return token;
  const std::string_view trimmed = trim(*token);
  if (trimmed.empty()) return fail("no registration token was typed", ErrorKind::kUsage);
  return std::string(trimmed);
}

Result<std::string> log_in(runtime::Runtime& runtime, const registration::LoginRequest& request) {
  const Progress progress("registering with Mondoo Platform");
  return registration::login(runtime, request, {print_info, print_warning});
}

void run(Globals& globals, Flags& flags) {
  auto token = find_token(flags);
  if (token && token->empty()) token = ask_for_token(globals);
  if (!token) exit_with(token.error());
  flags.request.token = std::move(*token);
  auto annotations = parse_annotations(flags.annotations);
  if (!annotations) exit_with(annotations.error());
  flags.request.annotations = std::move(*annotations);

  const auto runtime = start(globals, std::chrono::seconds(30));
  if (flags.request.token.empty()) print_config_line(runtime->config().source);
  const auto agent = log_in(*runtime, flags.request);
  if (!agent) {
    print_error(agent.error());
    runtime->exit(exit_code(agent.error()));
  }
  print_info("client " + *agent + " has logged in successfully");
  if (std::fflush(stdout) != 0 || std::ferror(stdout)) {
    print_error(Error("client " + *agent + " has logged in, but standard output cannot be written"));
    runtime->exit(kFailed);
  }
  runtime->exit(kOk);
}

// A check of CLI11: empty when the text is good.
std::function<std::string(const std::string&)> minutes_from(int least) {
  return [least](const std::string& text) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size() && value >= least) return std::string();
    return "expected minutes, from " + std::to_string(least) + " on, found " + quoted_if_needed(text);
  };
}

}  // namespace

void add_login(CLI::App& app, Globals& globals) {
  auto flags = std::make_shared<Flags>();
  CLI::App* command = app.add_subcommand("login", "Register this machine with the platform");
  command->alias("register");
  command->footer(
      "Without a token, a terminal is asked for one, which is not shown. Elsewhere give it by --token-file,\n"
      "MONDOO_REGISTRATION_TOKEN or standard input (--token -): a command line can be read by every user of "
      "the\n"
      "machine. The configuration is written once the new credentials have been proved; --name, "
      "--annotation,\n"
      "--api-endpoint, --updates-url, --api-proxy, --ca-file, --timer and --splay are kept in it.");
  auto* token = command->add_option("-t,--token", flags->token, "Registration token; - reads standard input");
  command->add_option("--token-file", flags->token_file, "File that holds the registration token")
      ->excludes(token);
  command->add_option("--name", flags->request.name,
                      "Name of this machine on the platform (default: its hostname)");
  repeatable(
      command->add_option("--annotation", flags->annotations, "KEY=VALUE for every asset; repeatable"));
  command->add_option("--api-endpoint", flags->request.api_endpoint,
                      "The platform's address (default: the token's)");
  command->add_option("--updates-url", flags->request.updates_url, "Where newer versions are announced");
  command->add_option("--timer", flags->request.timer, "Minutes between scans")->check(minutes_from(1));
  command->add_option("--splay", flags->request.splay, "Minutes that a scan may be late by chance")
      ->check(minutes_from(0));
  command->callback([&globals, flags] { run(globals, *flags); });
}

}  // namespace cnspec::cli
