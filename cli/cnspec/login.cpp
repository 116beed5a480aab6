#include "registration/login.hpp"

#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <cstdlib>

#include "base/file.hpp"
#include "base/text.hpp"
#include "base/url.hpp"
#include "command.hpp"
#include "runtime/runtime.hpp"
#include "terminal.hpp"

namespace cnspec::cli {
namespace {

struct Flags {
  std::optional<std::string> token, token_file;
  std::vector<std::string> annotations;
  registration::LoginRequest request;
};

constexpr std::size_t kMaxToken = 64 * 1024;

constexpr std::chrono::seconds kTime{30};

using Deadline = std::chrono::steady_clock::time_point;

// Somebody who types has all the time there is.
Result<std::string> read_standard_input(Deadline deadline) {
  if (::isatty(STDIN_FILENO) == 1) deadline = Deadline::max();
  return read_to_end(STDIN_FILENO, "standard input", kMaxToken, deadline);
}

Error unreadable(const char* what, const std::string& file, const Error& why) {
  const ErrorKind kind = why.kind() == ErrorKind::kTimeout ? why.kind() : ErrorKind::kUsage;
  return Error(std::string(what) + " cannot be read: " + why.message(), kind)
      .hint(file.starts_with("/dev/") ? "--token - reads standard input" : "");
}

// From the flag, the file, or the environment; empty when none of them has one.
Result<std::string> find_token(const Flags& flags, Deadline deadline) {
  std::string token;
  std::string source = "--token";
  if (flags.token && *flags.token == "-") {
    auto text = read_standard_input(deadline);
    if (!text) return fail(unreadable("the token", "", text.error()));
    token = std::move(*text);
    source = "standard input";
  } else if (flags.token) {
    token = *flags.token;
  } else if (flags.token_file) {
    source = "the file " + printable(*flags.token_file);
    auto text = read_small_file_or_pipe(*flags.token_file, kMaxToken, deadline);
    if (!text) return fail(unreadable("the token file", *flags.token_file, text.error()));
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
  auto annotations = parse_annotations(flags.annotations);
  if (!annotations) exit_unusable(globals, annotations.error());
  flags.request.annotations = std::move(*annotations);
  const auto begin = std::chrono::steady_clock::now();
  auto token = find_token(flags, begin + time_allowed(globals, kTime));
  globals.spent =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
  if (token && token->empty()) token = ask_for_token(globals);
  if (!token) exit_unusable(globals, token.error());
  flags.request.token = std::move(*token);

  const auto runtime = start(globals, kTime);
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

std::function<std::string(const std::string&)> address(std::vector<std::string_view> schemes,
                                                       const char* example) {
  return [schemes = std::move(schemes), example](const std::string& text) {
    return is_address(text, schemes)
               ? std::string()
               : std::string("expected ") + example + ", found " + quoted_if_needed(shown_url(text));
  };
}

// For a check of an option: empty when the text is good.
std::function<std::string(const std::string&)> minutes_from(int least) {
  return [least](const std::string& text) {
    int value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size() && value >= least) return std::string();
    return "expected minutes, from " + std::to_string(least) + " on, found " + quoted_if_needed(text);
  };
}

}  // namespace

void add_login(Command& program, Globals& globals) {
  auto flags = std::make_shared<Flags>();
  Command& command = program.command("login", "Register this machine with the platform");
  command.aliases = {"register"};
  command.details =
      "Without a token, a terminal is asked for one, which is not shown. Elsewhere give it by --token-file, "
      "MONDOO_REGISTRATION_TOKEN or standard input (--token -): a command line can be read by every user of "
      "the machine.\n"
      "The configuration is written once the new credentials have been proved; --name, --annotation, "
      "--api-endpoint, --updates-url, --api-proxy, --ca-file, --timer and --splay are kept in it.";
  command.examples = {"cnspec login --token-file token.txt",
                      "cnspec login --name web1 --annotation team=web"};
  command.option({.names = "-t,--token",
                  .target = &flags->token,
                  .summary = "Registration token; - reads standard input",
                  .value = "TOKEN",
                  .excludes = "--token-file"});
  command.option({.names = "--token-file",
                  .target = &flags->token_file,
                  .summary = "File or pipe that holds the registration token",
                  .value = "FILE",
                  .excludes = "--token"});
  command.option({.names = "--name",
                  .target = &flags->request.name,
                  .summary = "Name of this machine on the platform (default: its hostname)",
                  .value = "NAME"});
  command.option({.names = "--annotation",
                  .target = &flags->annotations,
                  .summary = "For every asset; repeatable",
                  .value = "KEY=VALUE"});
  command.option({.names = "--api-endpoint",
                  .target = &flags->request.api_endpoint,
                  .summary = "The platform's address (default: the token's)",
                  .value = "URL",
                  .check = address({"https", "http"}, "https://HOST")});
  command.option({.names = "--updates-url",
                  .target = &flags->request.updates_url,
                  .summary = "Where newer versions are announced",
                  .value = "URL",
                  .check = address({"https", "http", "file"}, "https://HOST or file:///FOLDER")});
  command.option({.names = "--timer",
                  .target = &flags->request.timer,
                  .summary = "Minutes between scans",
                  .value = "MINUTES",
                  .check = minutes_from(1)});
  command.option({.names = "--splay",
                  .target = &flags->request.splay,
                  .summary = "Minutes that a scan may be late by chance",
                  .value = "MINUTES",
                  .check = minutes_from(0)});
  command.run = [&globals, flags] { run(globals, *flags); };
}

}  // namespace cnspec::cli
