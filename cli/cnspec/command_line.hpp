// What a command line may hold, declared by the commands in plain types. CLI11 finds the place of each word,
// in command_line.cpp alone, since its headers take seconds to compile; what the values may be, the help and
// what is said of mistakes is ours.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/error.hpp"

namespace cnspec::cli {

// Where values go. What is not given stays as it is. A flag is an option with a bool; a vector takes all the
// values of an option that may be repeated, or of arguments.
using Target = std::variant<bool*, std::optional<bool>*, std::int64_t*, std::optional<int>*, std::string*,
                            std::optional<std::string>*, std::vector<std::string>*>;

struct Option {
  std::string names;  // "-o,--output", "--name"; of an argument what it is called: "NAME"
  Target target;
  std::string summary = {};
  std::string value = {};                // what help calls the value; empty: `one_of`, else TEXT
  std::vector<std::string> one_of = {};  // the only values
  bool any_case = false;                 // for `one_of`, which is in lower case
  // Empty for a good value, else what is wrong with it: "expected ..., found ...".
  std::function<std::string(const std::string&)> check = {};
  std::string default_text = {};  // shown by help
  bool required = false;
  std::size_t least = 0, most = SIZE_MAX;  // of arguments that go into a vector
  bool commas = false;                     // "a,b" are two values
  bool hidden = false;
  bool global = false;        // of every command; help shows it of the program alone
  std::string excludes = {};  // the name of another option of the command
  // Other words that the shell may offer for a value.
  std::function<std::vector<std::string>()> offers = {};
  std::size_t given = 0;  // how often the words had it

  bool is_argument() const { return !names.starts_with('-'); }
  bool is_flag() const { return target.index() <= 1; }
  std::string short_name() const;  // "-o", or empty
  std::string name() const;        // "--output", "NAME"
};

struct Command {
  std::string name;  // of the program itself, all words that lead to it: "cnspec discover"
  std::string summary;
  std::vector<std::string> aliases = {};
  std::string details = {};  // paragraphs, a line each
  std::vector<std::string> examples = {};
  std::string kind = "command";  // what its commands are called
  bool hidden = false;
  Command* parent = nullptr;
  std::list<Option> options = {};
  std::list<Command> commands = {};  // one of them has to be named
  // Takes all words from the first one on that the command does not know.
  std::vector<std::string>* rest = nullptr;
  std::function<void()> run = {};

  Command(std::string its_name, std::string its_summary)
      : name(std::move(its_name)), summary(std::move(its_summary)) {}
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;

  Command& command(std::string its_name, std::string its_summary);
  Option& option(Option option);

  std::string full_name() const;                        // "cnspec providers list"
  const Option* find(const std::string& option) const;  // of the command itself and those around it
  std::vector<std::string> command_names() const;       // without the hidden ones
};

struct Parsed {
  Command* command = nullptr;        // the innermost one that was named
  std::vector<std::string> strange;  // what nobody knows
  bool help = false;                 // is asked for; then nothing was read
};

enum class Strange { kRefused, kKept };

// Reads the words into what was declared. With kKept, words and options that are not known are no mistake,
// nor is a command that is not named. Errors are of the kind kUsage.
Result<Parsed> parse(Command& program, const std::vector<std::string>& words, Strange strange);

// What is wrong with the words that the command has no use for; none are left when a command is missing. What
// does not look like an option is not repeated, since it may be a mistyped one's secret.
Error unexpected_words(const Command& command, const std::vector<std::string>& words);

// For a screen of that width.
std::string help_text(const Command& command, std::size_t columns);

// "a, b or c"
std::string alternatives(const std::vector<std::string>& words);

}  // namespace cnspec::cli
