#include "command.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/log.hpp"
#include "base/text.hpp"
#include "base/time.hpp"

namespace cnspec::cli {
namespace {

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value && *value && std::strcmp(value, "0") != 0;
}

// DEBUG and TRACE win over the flags, as in the existing tool.
log::Level wanted_level(const Globals& globals) {
  if (is_set("TRACE")) return log::Level::kTrace;
  if (is_set("DEBUG") || globals.verbose) return log::Level::kDebug;
  if (globals.log_level == "trace") return log::Level::kTrace;
  if (globals.log_level == "debug") return log::Level::kDebug;
  if (globals.log_level == "info") return log::Level::kInfo;
  if (globals.log_level == "error") return log::Level::kError;
  return log::Level::kWarn;
}

void print_marked(std::FILE* to, const char* color, const char* marker, const std::string& line) {
  const bool colored = use_color(fileno(to));
  std::fprintf(to, "%s%s%s %s\n", colored ? color : "", marker, colored ? "\033[0m" : "",
               printable(line).c_str());
}

}  // namespace

bool use_color(int fd) {
  const char* term = std::getenv("TERM");
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color && *no_color) return false;
  if (is_set("CLICOLOR_FORCE")) return true;
  return ::isatty(fd) == 1 && !(term && std::strcmp(term, "dumb") == 0);
}

void add_globals(CLI::App& app, Globals& g) {
  const char* group = "Options of every command";
  app.add_option("--config", g.config,
                 "Configuration file (default: ~/.config/mondoo/mondoo.yml, then the system's)")
      ->group(group);
  app.add_option("--providers-path", g.providers_paths, "Folder with providers, searched first; repeatable")
      ->expected(1)
      ->take_all()
      ->group(group);
  app.add_option("--api-proxy", g.api_proxy, "Proxy for all requests, as a URL")->group(group);
  app.add_option("--ca-file", g.ca_file, "Trusted certificate authorities (PEM), in place of the system's")
      ->check(CLI::ExistingFile)
      ->group(group);
  app.add_option("--timeout", g.timeout, "How long the command may take, such as 5s or 1m")
      ->check([](const std::string& text) {
        const auto duration = parse_duration(text);
        return duration && duration->count() > 0
                   ? ""
                   : "expected a duration such as 5s, 500ms or 1m, found \"" + text + "\"";
      })
      ->group(group);
  app.add_option("--log-level", g.log_level, "What is logged on standard error")
      ->check(CLI::IsMember({"error", "warn", "info", "debug", "trace"}))
      ->capture_default_str()
      ->group(group);
  app.add_flag("-v,--verbose", g.verbose, "The same as --log-level debug")->group(group);
}

void add_output(CLI::App& app, std::string& output, std::vector<std::string> formats) {
  app.add_option("-o,--output", output, "Format")
      ->transform(CLI::detail::to_lower)
      ->check(CLI::IsMember(std::move(formats)))
      ->capture_default_str();
}

int exit_for(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);  // help
  const CLI::App* named = &app;
  while (!named->get_subcommands().empty()) named = named->get_subcommands().front();
  std::string path;
  for (const CLI::App* a = named; a; a = a->get_parent())
    path = a->get_name() + (path.empty() ? "" : " ") + path;
  print_error(Error(error.what(), ErrorKind::kUsage).hint("see: " + path + " --help"));
  return kUsage;
}

std::unique_ptr<runtime::Runtime> start(const Globals& globals, std::chrono::milliseconds default_timeout) {
  log::configure(wanted_level(globals), false);
  runtime::Options options;
  options.config_path = globals.config;
  options.providers_paths = globals.providers_paths;
  options.api_proxy = globals.api_proxy;
  options.ca_file = globals.ca_file;
  options.timeout = default_timeout;
  if (const auto given = parse_duration(globals.timeout)) {
    options.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(*given);
  }
  auto runtime = runtime::Runtime::create(std::move(options));
  if (!runtime) exit_with(runtime.error());
  const std::string& format = (*runtime)->config().log_format;
  if (format == "json") log::configure(wanted_level(globals), true);
  return std::move(*runtime);
}

void print_error(const Error& error) {
  print_marked(stderr, "\033[38;5;210m", "x", error.message());
  if (!error.hint().empty()) std::fprintf(stderr, "  %s\n", printable(error.hint()).c_str());
}

int exit_code(const Error& error) {
  switch (error.kind()) {
    case ErrorKind::kUsage:
      return kUsage;
    case ErrorKind::kConfig:
      return kConfigUnusable;
    default:
      return kFailed;
  }
}

void exit_with(const Error& error) {
  print_error(error);
  throw Exit{exit_code(error)};
}

void print_info(const std::string& line) {
  print_marked(stdout, "\033[38;5;78m", "→", line);
}
void print_warning(const std::string& line) {
  print_marked(stderr, "\033[38;5;75m", "!", line);
}

void print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return;
  exit_with(Error(std::string("standard output cannot be written: ") + std::strerror(errno)));
}

}  // namespace cnspec::cli
