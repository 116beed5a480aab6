// What all commands share: the global options, and how results and errors reach the user.
#pragma once

#include <chrono>
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::cli {

// Exit codes that scripts can trust.
inline constexpr int kOk = 0;
inline constexpr int kFailed = 1;
inline constexpr int kUsage = 2;
inline constexpr int kConfigUnusable = 78;

struct Globals {
  std::string config;
  std::vector<std::string> providers_paths;
  std::optional<std::string> api_proxy;
  std::string ca_file;
  std::vector<std::string> isolation;
  std::string trust;                // empty: the configuration's
  std::optional<bool> auto_update;  // unset: the configuration's
  bool makes_lock = false;          // no option: the command writes the lock file
  std::string log_level;            // empty: the configuration's
  bool verbose = false;
  std::string timeout;  // empty: the command's own
};

// Thrown to end a command with this code when all that is to be said was said.
struct Exit {
  int code;
};

// Before anything is opened: a file or a connection that took the number of a closed standard stream would
// be sent what is printed. Writing to a closed standard output remains an error.
void guard_standard_streams();

// May be given several times, with one word each; left alone, CLI11 takes all the words behind it as well.
inline CLI::Option* repeatable(CLI::Option* option) {
  return option->expected(1)->take_all()->allow_extra_args(false);
}

void add_globals(CLI::App& app, Globals& globals);

// The exit code of a command line that could not be parsed, or that asked for help; prints either.
int exit_for(const CLI::App& app, const CLI::ParseError& error);

// What is wrong with the words that the command has no use for; none are left when a command is missing. What
// does not look like an option is not repeated, since it may be a mistyped one's secret.
Error unexpected_words(const CLI::App& command, const std::vector<std::string>& words);

// Each adds its subcommand; the callback does the work and throws Exit.
void add_login(CLI::App& app, Globals& globals);
void add_logout(CLI::App& app, Globals& globals);
void add_config(CLI::App& app, Globals& globals);
void add_status(CLI::App& app, Globals& globals);
void add_providers(CLI::App& app, Globals& globals);
void add_providers_verify(CLI::App& providers, Globals& globals);
void add_discover(CLI::App& app, Globals& globals);
void add_version(CLI::App& app);
void add_completion(CLI::App& app);

// The word by which the scripts of `completion` ask the program itself. It is no command, since CLI11 would
// take the words behind it for commands.
inline constexpr char kComplete[] = "__complete";
// Prints what the last word may become. Follows the words before it as far as they name commands.
void complete(CLI::App& root, Globals& globals, std::vector<std::string> words);

// What `providers list -o json` prints.
std::string render_providers_json(const provider::Inventory& inventory,
                                  const provider::IsolationPolicy& isolation);

// "--output text|json|yaml"; anything else is a usage error.
void add_output(CLI::App& app, std::string& output, std::vector<std::string> formats);

// Reads the configuration, sets up logging; throws Exit when it cannot.
std::unique_ptr<runtime::Runtime> start(const Globals& globals, std::chrono::milliseconds default_timeout);

// "x what: why", then how to mend it.
void print_error(const Error& error);
[[noreturn]] void exit_with(const Error& error);
// Of a configuration that cannot be used: its log.format, as far as it can be read, is followed all the same.
[[noreturn]] void exit_unusable(const Globals& globals, const Error& error);
int exit_code(const Error& error);

// One line of a report with its marker, on standard output (info) or standard error.
void print_info(const std::string& line);
void print_warning(const std::string& line);
// What belongs to no report, on standard error.
void print_note(const std::string& line);

// Which configuration a command goes by.
void print_config_line(const config::Source& source);

// Throws Exit{kFailed} with a message when standard output cannot take it, as on a full disk.
void print(const std::string& text);

}  // namespace cnspec::cli
