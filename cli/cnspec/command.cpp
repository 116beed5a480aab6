#include "command.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/log.hpp"
#include "base/terminal.hpp"
#include "base/text.hpp"
#include "base/time.hpp"
#include "options.hpp"
#include "status/status.hpp"
#include "terminal.hpp"

namespace cnspec::cli {
namespace {

bool is_set(const char* name) {
  const char* value = std::getenv(name);
  return value && *value && std::strcmp(value, "0") != 0;
}

std::optional<log::Level> level_named(std::string_view name) {
  if (name == "trace") return log::Level::kTrace;
  if (name == "debug") return log::Level::kDebug;
  if (name == "info") return log::Level::kInfo;
  if (name == "warn") return log::Level::kWarn;
  if (name == "error") return log::Level::kError;
  return std::nullopt;
}

// DEBUG and TRACE win over the flags, as in the existing tool, and those over the configuration, which is not
// known at first.
log::Level wanted_level(const Globals& globals, const config::Config* config) {
  if (is_set("TRACE")) return log::Level::kTrace;
  if (is_set("DEBUG") || globals.verbose) return log::Level::kDebug;
  if (const auto level = level_named(globals.log_level)) return *level;
  if (!config) return log::Level::kWarn;
  for (const config::Setting& setting : config->settings) {
    const bool* verbose = std::get_if<bool>(&setting.value);
    if (setting.key == "verbose" && verbose && *verbose) return log::Level::kDebug;
  }
  return level_named(config->log_level).value_or(log::Level::kWarn);
}

void print_marked(std::FILE* to, terminal::Marker marker, const std::string& line) {
  Progress::clear();
  std::fprintf(to, "%s %s\n", terminal::marked(marker, terminal::style_of(fileno(to))).c_str(),
               printable(line).c_str());
}

// "cnspec providers list"
std::string full_name(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent ? full_name(*parent) + " " + command.get_name() : command.get_name();
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> out;
  for (const CLI::App* command :
       app.get_subcommands([](const CLI::App* c) { return !c->get_group().empty(); }))
    out.push_back(command->get_name());
  return out;
}

// Those of the command and of the ones around it.
std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> out;
  for (const CLI::App* app = &command; app; app = app->get_parent()) {
    for (const CLI::Option* option : app->get_options()) {
      for (const auto& name : option->get_lnames()) out.push_back("--" + name);
    }
  }
  return out;
}

}  // namespace

void add_globals(CLI::App& app, Globals& g) {
  const char* group = "Options of every command";
  app.add_option("--config", g.config,
                 "Configuration file (default: ~/.config/mondoo/mondoo.yml, then the system's)")
      ->group(group);
  repeatable(app.add_option("--providers-path", g.providers_paths,
                            "Folder with providers, searched first; repeatable"))
      ->group(group);
  app.add_option_function<std::string>(
         "--api-proxy", [&g](const std::string& url) { g.api_proxy = url; },
         "Proxy for all requests, as a URL; \"\" for none")
      ->group(group);
  app.add_option("--ca-file", g.ca_file, "Trusted certificate authorities (PEM), in place of the system's")
      ->check(CLI::ExistingFile)
      ->group(group);
  repeatable(
      app.add_option("--isolation", g.isolation,
                     "[NAME=]WORD: whether providers run in a process of their own: auto, process or none; "
                     "repeatable"))
      ->group(group);
  app.add_option("--trust", g.trust, "Which providers may run: any, or those that are signed alone")
      ->check(CLI::IsMember({"any", "signed"}))
      ->group(group);
  app.add_flag_function(
         "--auto-update{true}", [&g](std::int64_t count) { g.auto_update = count > 0; },
         "Whether a command may install a provider that it lacks (key auto_update); =false for not")
      ->group(group);
  app.add_option("--timeout", g.timeout, "How long the command may take, such as 5s or 1m")
      ->check(&check_duration)
      ->group(group);
  app.add_option("--log-level", g.log_level, "What is logged on standard error")
      ->check(CLI::IsMember({"error", "warn", "info", "debug", "trace"}))
      ->default_str("warn")
      ->group(group);
  app.add_flag("-v,--verbose", g.verbose, "The same as --log-level debug")->group(group);
}

std::string check_duration(const std::string& text) {
  const auto duration = parse_duration(text);
  if (duration && *duration >= std::chrono::milliseconds(1)) return "";
  return "expected a duration such as 5s, 500ms or 1m, found \"" + printable(text) + "\"";
}

void add_output(CLI::App& app, std::string& output, std::vector<std::string> formats) {
  app.add_option("-o,--output", output, "Format")
      ->transform(CLI::detail::to_lower)
      ->check(CLI::IsMember(std::move(formats)))
      ->capture_default_str();
}

Error unexpected_words(const CLI::App& command, const std::vector<std::string>& words) {
  const std::string see = "see: " + full_name(command) + " --help";
  const auto option = std::find_if(words.begin(), words.end(),
                                   [](const std::string& word) { return word.size() > 1 && word[0] == '-'; });
  if (option != words.end()) {
    const std::string name = option->substr(0, option->find('='));
    std::string what =
        "there is no option " + quoted_if_needed(name.starts_with("--") ? name : name.substr(0, 2));
    if (const std::string like = closest(name, option_names(command)); like == name) {
      what = "the option " + name + " belongs after " + command.get_name();
    } else if (!like.empty()) {
      what += "; did you mean " + like + "?";
    }
    return Error(what, ErrorKind::kUsage).hint(see);
  }
  const auto commands = command_names(command);
  if (!commands.empty()) {
    if (words.empty()) {
      return Error(command.get_parent() ? full_name(command) + " needs a command" : "there is no command",
                   ErrorKind::kUsage)
          .hint("the commands are: " + join(commands, ", "));
    }
    const std::string like = closest(words.front(), commands);
    return Error("there is no command " + quoted_if_needed(words.front()) +
                     (like.empty() ? "" : "; did you mean " + like + "?"),
                 ErrorKind::kUsage)
        .hint("the commands are: " + join(commands, ", "));
  }
  const bool some = !command.get_options([](const CLI::Option* o) { return o->get_positional(); }).empty();
  return Error(full_name(command) + (some ? " got more arguments than it takes" : " takes no arguments"),
               ErrorKind::kUsage)
      .hint(see);
}

int exit_for(const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);  // help
  const CLI::App* named = &app;
  while (!named->get_subcommands().empty()) named = named->get_subcommands().front();
  const auto words = app.remaining(true);
  const bool no_command = named->get_require_subcommand_min() > 0 && named->get_subcommands().empty();
  if (no_command || error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError)) {
    print_error(unexpected_words(*named, words));
  } else {
    print_error(Error(error.what(), ErrorKind::kUsage).hint("see: " + full_name(*named) + " --help"));
  }
  return kUsage;
}

void parse_words(CLI::App& app, std::vector<std::string> words) {
  std::reverse(words.begin(), words.end());  // as CLI11 wants them
  try {
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    throw Exit{exit_for(app, error)};
  }
}

std::unique_ptr<runtime::Runtime> start(const Globals& globals, std::chrono::milliseconds default_timeout) {
  log::configure(wanted_level(globals, nullptr), false);
  runtime::Options options;
  options.config_path = globals.config;
  options.providers_paths = globals.providers_paths;
  options.api_proxy = globals.api_proxy;
  options.ca_file = globals.ca_file;
  options.trust = globals.trust;
  options.isolation = globals.isolation;
  options.auto_update = globals.auto_update;
  options.makes_lock = globals.makes_lock;
  options.timeout = default_timeout;
  if (const auto given = parse_duration(globals.timeout)) {
    options.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(*given);
  }
  auto runtime = runtime::Runtime::create(std::move(options));
  if (!runtime) exit_unusable(globals, runtime.error());
  const config::Config& config = (*runtime)->config();
  log::configure(wanted_level(globals, &config), config.log_format == "json");
  if (!config.log_level.empty() && !level_named(config.log_level)) {
    print_warning("unknown log level: " + quoted_if_needed(config.log_level));
  }
  for (const Error& warning : config.warnings) {
    print_warning(warning.message() + "; to mend it: " + warning.hint());
  }
  std::vector<std::string> unknown;
  upstream::features_header(config.features, &unknown);
  if (!unknown.empty()) print_warning("Failed to parse feature-flags: " + join(unknown, ", "));
  return std::move(*runtime);
}

void guard_standard_streams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0 && errno == EBADF)
      ::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
  }
}

void print_error(const Error& error) {
  if (log::is_json()) return log::write(log::Level::kError, error.message(), error.hint());
  print_marked(stderr, terminal::Marker::kError, error.message());
  if (!error.hint().empty()) std::fprintf(stderr, "  %s\n", printable(error.hint()).c_str());
}

int exit_code(const Error& error) {
  switch (error.kind()) {
    case ErrorKind::kUsage: return kUsage;
    case ErrorKind::kConfig: return kConfigUnusable;
    default: return kFailed;
  }
}

void exit_with(const Error& error) {
  print_error(error);
  throw Exit{exit_code(error)};
}

void exit_unusable(const Globals& globals, const Error& error) {
  log::configure(wanted_level(globals, nullptr), config::log_format(globals.config) == "json");
  exit_with(error);
}

void print_info(const std::string& line) { print_marked(stdout, terminal::Marker::kInfo, line); }
void print_warning(const std::string& line) {
  if (log::is_json()) return log::write(log::Level::kWarn, line);
  print_marked(stderr, terminal::Marker::kWarning, line);
}
void print_note(const std::string& line) {
  if (log::is_json()) return log::write(log::Level::kInfo, line);
  print_marked(stderr, terminal::Marker::kInfo, line);
}

void print_config_line(const config::Source& source) {
  const status::ConfigLine line = status::config_line(source);
  line.warning ? print_warning(line.text) : print_info(line.text);
}

void print(const std::string& text) {
  Progress::clear();
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return;
  exit_with(Error(std::string("standard output cannot be written: ") + std::strerror(errno)));
}

}  // namespace cnspec::cli
