// What all commands share: the global options, and how results and errors reach the user.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "command_line.hpp"

namespace cnspec::config {
struct Config;
struct Source;
}  // namespace cnspec::config
namespace cnspec::provider {
struct Inventory;
struct IsolationPolicy;
}  // namespace cnspec::provider
namespace cnspec::runtime {
class Runtime;
}  // namespace cnspec::runtime

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
  std::string trust;                   // empty: the configuration's
  std::optional<bool> auto_update;     // unset: the configuration's
  bool makes_lock = false;             // no option: the command writes the lock file
  std::chrono::milliseconds spent{0};  // no option: of the command's time, before start()
  std::string log_level;               // empty: the configuration's
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

void add_globals(Command& program, Globals& globals);

// Parses the words. Throws Exit when that ends here, as it does for help and for mistakes. With kKept, help
// is left to the caller when it was asked for together with words that nobody knows.
Parsed parse_or_exit(Command& program, const std::vector<std::string>& words,
                     Strange strange = Strange::kRefused);

// For a check of an option: empty for a duration above nothing such as "5s", else what is wrong with it.
std::string check_duration(const std::string& text);

// Each adds its command; what it runs throws Exit.
void add_login(Command& program, Globals& globals);
void add_logout(Command& program, Globals& globals);
void add_config(Command& program, Globals& globals);
void add_status(Command& program, Globals& globals);
void add_providers(Command& program, Globals& globals);
void add_providers_verify(Command& providers, Globals& globals);
void add_discover(Command& program, Globals& globals);
void add_version(Command& program);
void add_completion(Command& program);

// The word by which the scripts of `completion` ask the program itself. It is no command, since the words
// behind it are none of its own.
inline constexpr char kComplete[] = "__complete";
// Prints what the last word may become. Follows the words before it as far as they name commands.
void complete(Command& program, Globals& globals, std::vector<std::string> words);

// What `providers list -o json` prints.
std::string render_providers_json(const provider::Inventory& inventory,
                                  const provider::IsolationPolicy& isolation);

// "--output text|json|yaml"; anything else is a usage error.
Option& add_output(Command& command, std::string& output, std::vector<std::string> formats);

// How long the command may take.
std::chrono::milliseconds time_allowed(const Globals& globals, std::chrono::milliseconds otherwise);

// How loud the log is, and in which form, when the configuration is known. start() does it.
void set_up_log(const Globals& globals, const config::Config& config);

// Reads the configuration, sets up logging; throws Exit when it cannot. What a command has to say of a
// configuration that cannot be used, before the error, it says in `unusable`.
std::unique_ptr<runtime::Runtime> start(const Globals& globals, std::chrono::milliseconds default_timeout,
                                        const std::function<void(const Error&)>& unusable = {});

// "x what: why", then how to mend it.
void print_error(const Error& error);
[[noreturn]] void exit_with(const Error& error);
// Before a configuration is in force, or of one that cannot be used: its log.format, as far as it can be
// read, is followed all the same.
[[noreturn]] void exit_unusable(const Globals& globals, const Error& error,
                                const std::function<void(const Error&)>& report = {});
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
