#include "command.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/log.hpp"
#include "base/terminal.hpp"
#include "base/text.hpp"
#include "base/time.hpp"
#include "base/url.hpp"
#include "runtime/runtime.hpp"
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

std::string check_proxy(const std::string& url) {
  if (url.empty() || is_address(url, {"http", "https", "socks5", "socks5h"})) return "";
  return "expected http://HOST:PORT, or https, socks5 or socks5h, found " + quoted_if_needed(shown_url(url));
}

std::string check_file(const std::string& path) {
  std::error_code ec;
  if (path.empty() || !std::filesystem::exists(path, ec))
    return "expected a file, found nothing" + (path.empty() ? "" : " at " + quoted_if_needed(path));
  if (std::filesystem::is_directory(path, ec))
    return "expected a file, found the folder " + quoted_if_needed(path);
  return "";
}

}  // namespace

void add_globals(Command& program, Globals& g) {
  const auto add = [&](Option option) {
    option.global = true;
    program.option(std::move(option));
  };
  add({.names = "--config",
       .target = &g.config,
       .summary = "Configuration file (default: ~/.config/mondoo/mondoo.yml, then the system's)",
       .value = "FILE"});
  add({.names = "--providers-path",
       .target = &g.providers_paths,
       .summary = "Folder with providers, searched first; repeatable",
       .value = "FOLDER"});
  add({.names = "--api-proxy",
       .target = &g.api_proxy,
       .summary = "Proxy for all requests; \"\" for none",
       .value = "URL",
       .check = check_proxy});
  add({.names = "--ca-file",
       .target = &g.ca_file,
       .summary = "Trusted certificate authorities (PEM), in place of the system's",
       .value = "FILE",
       .check = check_file});
  add({.names = "--isolation",
       .target = &g.isolation,
       .summary =
           "Whether providers, or the one of that name, run in a process of their own: auto, process or "
           "none; repeatable",
       .value = "[NAME=]WORD"});
  add({.names = "--trust",
       .target = &g.trust,
       .summary = "Which providers may run: any, or signed ones alone",
       .one_of = {"any", "signed"}});
  add({.names = "--auto-update",
       .target = &g.auto_update,
       .summary =
           "Whether a command may install a provider that it lacks (key auto_update); =false for not"});
  add({.names = "--timeout",
       .target = &g.timeout,
       .summary = "How long the command may take, such as 5s or 1m",
       .value = "DURATION",
       .check = check_duration});
  add({.names = "--log-level",
       .target = &g.log_level,
       .summary = "What is logged on standard error",
       .one_of = {"error", "warn", "info", "debug", "trace"},
       .default_text = "warn"});
  add({.names = "-v,--verbose", .target = &g.verbose, .summary = "The same as --log-level debug"});
}

std::string check_duration(const std::string& text) {
  const auto duration = parse_duration(text);
  if (duration && *duration >= std::chrono::milliseconds(1)) return "";
  return "expected a duration such as 5s, 500ms or 1m, found " + quoted_if_needed(text);
}

Option& add_output(Command& command, std::string& output, std::vector<std::string> formats) {
  return command.option({.names = "-o,--output",
                         .target = &output,
                         .summary = "Format",
                         .one_of = std::move(formats),
                         .any_case = true,
                         .default_text = output});
}

Parsed parse_or_exit(Command& program, const std::vector<std::string>& words, Strange strange) {
  auto parsed = parse(program, words, strange);
  if (!parsed) exit_with(parsed.error());
  if (!parsed->help || (strange == Strange::kKept && !parsed->strange.empty())) return std::move(*parsed);
  print(help_text(*parsed->command, static_cast<std::size_t>(terminal::columns(STDOUT_FILENO))));
  throw Exit{kOk};
}

std::chrono::milliseconds time_allowed(const Globals& globals, std::chrono::milliseconds otherwise) {
  const auto given = parse_duration(globals.timeout);
  return given ? std::chrono::duration_cast<std::chrono::milliseconds>(*given) : otherwise;
}

void set_up_log(const Globals& globals, const config::Config& config) {
  log::configure(wanted_level(globals, &config), config.log_format == "json");
}

namespace {

// Who typed it knows where it is typed; of a variable, which may have been set anywhere, nobody does.
std::string from_here(std::string_view list) {
  std::string out;
  while (true) {
    const auto colon = list.find(':');
    const std::string one(list.substr(0, colon));
    std::error_code failed;
    const auto whole = std::filesystem::absolute(one, failed);
    const bool is_relative = !one.empty() && !one.starts_with('/') && !one.starts_with('~');
    out += is_relative && !failed ? whole.string() : one;
    if (colon == list.npos) return out;
    out += ':';
    list.remove_prefix(colon + 1);
  }
}

}  // namespace

std::unique_ptr<runtime::Runtime> start(const Globals& globals, std::chrono::milliseconds default_timeout,
                                        const std::function<void(const Error&)>& unusable) {
  log::configure(wanted_level(globals, nullptr), false);
  runtime::Options options;
  options.config_path = globals.config;
  for (const std::string& path : globals.providers_paths) options.providers_paths.push_back(from_here(path));
  options.api_proxy = globals.api_proxy;
  options.ca_file = globals.ca_file;
  options.trust = globals.trust;
  options.isolation = globals.isolation;
  options.auto_update = globals.auto_update;
  options.makes_lock = globals.makes_lock;
  options.timeout = time_allowed(globals, default_timeout) - globals.spent;
  auto runtime = runtime::Runtime::create(std::move(options));
  if (!runtime) exit_unusable(globals, runtime.error(), unusable);
  const config::Config& config = (*runtime)->config();
  set_up_log(globals, config);
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

void exit_unusable(const Globals& globals, const Error& error,
                   const std::function<void(const Error&)>& report) {
  const bool json = config::text_regardless(globals.config, "log.format") == "json";
  log::configure(wanted_level(globals, nullptr), json);
  if (report && error.kind() == ErrorKind::kConfig) report(error);
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
