#include "command_line.hpp"

#include <algorithm>
#include <charconv>
#include <CLI/CLI.hpp>
#include <map>

#include "base/text.hpp"

namespace cnspec::cli {
namespace {

// No word of a command line holds it. It keeps CLI11 from taking the next word for the value of "--name=",
// and from reading options behind "--".
constexpr char kMark = '\0';

bool looks_like_option(const std::string& word) { return word.size() > 1 && word.front() == '-'; }

bool contains(const std::vector<std::string>& words, const std::string& word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::vector<std::string> with_marks(const std::vector<std::string>& words) {
  std::vector<std::string> out;
  bool literal = false;
  for (const std::string& word : words) {
    if (literal)
      out.push_back(kMark + word);
    else if (word == "--")
      literal = true;
    else if (word.starts_with("--") && word.find('=') == word.size() - 1)
      out.push_back(word + kMark);
    else
      out.push_back(word);
  }
  return out;
}

std::string without_marks(std::string word) {
  std::erase(word, kMark);
  return word;
}

// As they were, to be read once more.
std::vector<std::string> original(const std::vector<std::string>& words) {
  std::vector<std::string> out;
  bool literal = false;
  for (const std::string& word : words) {
    if (!literal && word.starts_with(kMark)) {
      literal = true;
      out.emplace_back("--");
    }
    out.push_back(without_marks(word));
  }
  return out;
}

std::vector<std::string> split_at_commas(const std::vector<std::string>& words) {
  std::vector<std::string> out;
  for (const std::string& word : words) {
    for (std::size_t begin = 0; begin <= word.size();) {
      const std::size_t end = std::min(word.find(',', begin), word.size());
      if (end > begin || word.empty()) out.push_back(word.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  return out;
}

template <class Number>
bool read_number(const std::string& word, Number& out) {
  const char* end = word.data() + word.size();
  const auto read = std::from_chars(word.data(), end, out);
  return read.ec == std::errc() && read.ptr == end;
}

std::string expected(const Option& option) {
  if (!option.one_of.empty()) return "expected " + alternatives(option.one_of);
  const bool number = std::holds_alternative<std::int64_t*>(option.target) ||
                      std::holds_alternative<std::optional<int>*>(option.target);
  return number ? "expected a whole number" : "expected a value";
}

Error wrong(const Option& option, const std::string& what) {
  return Error(option.name() + ": " + what, ErrorKind::kUsage);
}

// Empty when it was good, else what is wrong with it.
std::string set(Option& option, std::string word) {
  if (option.any_case) word = to_lower(word);
  const std::string found = ", found " + quoted_if_needed(word);
  if (!option.one_of.empty() && !contains(option.one_of, word)) {
    const std::string like = closest(word, option.one_of);
    return expected(option) + found + (like.empty() ? "" : "; did you mean " + like + "?");
  }
  if (option.check) {
    if (std::string bad = option.check(word); !bad.empty()) return bad;
  }
  const auto put = [&](auto* target) -> std::string {
    using Value = std::remove_pointer_t<decltype(target)>;
    if constexpr (std::is_same_v<Value, bool> || std::is_same_v<Value, std::optional<bool>>) {
      const auto value = to_truth(word);
      if (!value) return "expected true or false" + found;
      *target = *value;
    } else if constexpr (std::is_same_v<Value, std::int64_t>) {
      if (!read_number(word, *target)) return expected(option) + found;
    } else if constexpr (std::is_same_v<Value, std::optional<int>>) {
      if (int number = 0; read_number(word, number))
        *target = number;
      else
        return expected(option) + found;
    } else if constexpr (std::is_same_v<Value, std::vector<std::string>>) {
      target->push_back(word);
    } else {
      *target = word;
    }
    return "";
  };
  return std::visit(put, option.target);
}

class Reader {
 public:
  Reader(Command& program, const std::vector<std::string>& words) : words_(words) { declare(app_, program); }

  Result<Parsed> read(Strange strange) {
    auto reversed = with_marks(words_);
    std::reverse(reversed.begin(), reversed.end());  // as CLI11 wants them
    std::optional<Error> without_value;
    try {
      app_.parse(std::move(reversed));
    } catch (const CLI::ArgumentMismatch& error) {
      without_value = lacks_value(error);
    }
    Parsed out;
    std::vector<Declared*> chain;
    for (const CLI::App* app = &app_; app;) {
      Declared& declared = declared_.at(app);
      chain.push_back(&declared);
      const auto remaining = app->remaining();
      if (declared.command->rest)
        *declared.command->rest = original(remaining);
      else
        out.strange.insert(out.strange.end(), remaining.begin(), remaining.end());
      out.help = out.help || (declared.help && declared.help->count() > 0);
      out.command = declared.command;
      const auto named = app->get_subcommands();
      app = named.empty() ? nullptr : named.front();
    }
    const bool no_command = !out.command->commands.empty() && strange == Strange::kRefused;
    if (out.help) {
      const bool misnamed = no_command && !out.strange.empty() && !looks_like_option(out.strange.front());
      if (misnamed) return fail(unexpected_words(*out.command, out.strange));
      return out;
    }
    if (without_value) return fail(std::move(*without_value));
    if (no_command || (strange == Strange::kRefused && !out.strange.empty()))
      return fail(unexpected_words(*out.command, out.strange));
    for (Declared* declared : chain) {
      for (auto& [option, found] : declared->options) {
        if (auto error = take(*option, found->results(), *out.command)) return fail(std::move(*error));
      }
    }
    for (Declared* declared : chain) {
      if (auto error = check(*declared->command)) return fail(std::move(*error));
    }
    for (std::string& word : out.strange) word = without_marks(std::move(word));
    return out;
  }

  const Command& named() const {
    const CLI::App* app = &app_;
    while (!app->get_subcommands().empty()) app = app->get_subcommands().front();
    return *declared_.at(app).command;
  }

 private:
  struct Declared {
    Command* command = nullptr;
    CLI::Option* help = nullptr;
    std::vector<std::pair<Option*, CLI::Option*>> options;
  };

  void declare(CLI::App& app, Command& command) {
    Declared& declared = declared_[&app];
    declared.command = &command;
    const bool takes_everything = command.rest && command.options.empty();
    app.set_help_flag();
    app.allow_extras();
    app.fallthrough(!command.rest);
    app.prefix_command(command.rest != nullptr);
    if (!command.commands.empty()) app.require_subcommand(0, 1);
    if (!takes_everything) declared.help = option(app, "-h,--help")->type_size(0)->expected(0);
    add_options(app, command, declared);
    if (command.rest && !takes_everything) {  // nothing falls through to those around it
      for (Command* around = command.parent; around; around = around->parent)
        add_options(app, *around, declared);
    }
    for (Command& inner : command.commands) {
      CLI::App* added = app.add_subcommand(inner.name);
      for (const auto& alias : inner.aliases) added->alias(alias);
      declare(*added, inner);
    }
  }

  static void add_options(CLI::App& app, Command& command, Declared& declared) {
    int arguments = 0;
    for (Option& one : command.options) {
      one.given = 0;
      const bool list = std::holds_alternative<std::vector<std::string>*>(one.target);
      CLI::Option* added = nullptr;
      if (one.is_argument()) {
        // What it is called is somebody else's text, of which CLI11 would read names.
        added = option(app, "argument" + std::to_string(++arguments));
        // One more would mean to CLI11: one value each time.
        constexpr std::size_t kMost = CLI::detail::expected_max_vector_size - 1;
        const std::size_t most = std::min(list ? one.most : 1, kMost);
        added->expected(static_cast<int>(most));
      } else {
        added = option(app, one.names);
        if (one.is_flag()) added->type_size(0)->expected(0);
      }
      declared.options.emplace_back(&one, added->allow_extra_args(false));
    }
  }

  static CLI::Option* option(CLI::App& app, const std::string& names) {
    return app.add_option(names, CLI::callback_t([](const CLI::results_t&) { return true; }))
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }

  // CLI11 says it of the last word, and begins with the option's name.
  Error lacks_value(const CLI::ArgumentMismatch& error) const {
    const std::string_view text = error.what();
    for (const auto& [app, declared] : declared_) {
      for (const auto& [option, found] : declared.options) {
        if (!option->is_argument() && text.starts_with(found->get_name() + ":"))
          return wrong(*option, expected(*option) + ", found nothing");
      }
    }
    return Error(error.what(), ErrorKind::kUsage);
  }

  std::optional<Error> take(Option& option, std::vector<std::string> words, const Command& named) const {
    if (words.empty()) return std::nullopt;
    option.given = words.size();
    if (option.is_flag()) {
      for (std::string& word : words) {
        const std::string bad = set(option, without_marks(std::move(word)));
        if (!bad.empty()) return wrong(option, bad);
      }
      return std::nullopt;
    }
    for (const std::string& word : words) {
      if (option.is_argument()) continue;
      if (word.size() > 1 && word.front() == kMark) return wrong(option, expected(option) + ", found --");
      if (auto error = check_place(option, word, named)) return error;
    }
    for (std::string& word : words) word = without_marks(std::move(word));
    if (option.commas) words = split_at_commas(words);
    if (auto* list = std::get_if<std::vector<std::string>*>(&option.target))
      (*list)->clear();
    else if (words.size() > 1)
      return wrong(option, "expected one value, found " + std::to_string(words.size()));
    for (std::string& word : words) {
      const std::string bad = set(option, std::move(word));
      if (!bad.empty()) return wrong(option, bad);
    }
    return std::nullopt;
  }

  // A value that was forgotten, so that the option behind it was taken for it; or the "=" of "-p=VALUE",
  // which would be part of it.
  std::optional<Error> check_place(const Option& option, const std::string& word,
                                   const Command& named) const {
    const std::string shorter = option.short_name();
    if (!shorter.empty() && word.starts_with('=') && contains(words_, shorter + word)) {
      return wrong(option, "expected " + shorter + " VALUE or " + option.name() + "=VALUE, found " + shorter +
                               "= and a value");
    }
    const bool joined = contains(words_, option.name() + "=" + word) ||
                        (!shorter.empty() && contains(words_, shorter + word));
    if (!joined && looks_like_option(word) && (word == "-h" || word == "--help" || named.find(word)))
      return wrong(option, expected(option) + ", found the option " + word);
    return std::nullopt;
  }

  static std::optional<Error> check(const Command& command) {
    for (const Option& option : command.options) {
      const std::string what = option.is_argument() ? option.names : "the option " + option.name();
      if (option.required && option.given == 0) {
        const std::string values = option.one_of.empty() ? "" : " (" + alternatives(option.one_of) + ")";
        return Error(command.full_name() + ": expected " + what + values + ", found nothing",
                     ErrorKind::kUsage);
      }
      if (option.given > 0 && option.given < option.least) {
        return Error(command.full_name() + ": expected " + std::to_string(option.least) +
                         " arguments or more, found " + std::to_string(option.given),
                     ErrorKind::kUsage);
      }
      const Option* other = option.excludes.empty() ? nullptr : command.find(option.excludes);
      if (option.given > 0 && other && other->given > 0) {
        return Error("expected either " + other->name() + " or " + option.name() + ", found both",
                     ErrorKind::kUsage);
      }
    }
    return std::nullopt;
  }

  const std::vector<std::string>& words_;
  CLI::App app_;
  std::map<const CLI::App*, Declared> declared_;
};

// Those of the command and of the ones around it.
std::vector<std::string> option_names(const Command& command) {
  std::vector<std::string> out = {"--help"};
  for (const Command* one = &command; one; one = one->parent) {
    for (const Option& option : one->options)
      if (!option.is_argument() && !option.hidden) out.push_back(option.name());
  }
  return out;
}

Error unknown_option(const Command& command, const std::string& word) {
  const Command* program = &command;
  while (program->parent) program = program->parent;
  const std::string name = word.substr(0, word.starts_with("--") ? word.find('=') : 2);
  std::string what = "there is no option " + quoted_if_needed(name);
  if (command.find(name)) {
    what = "the option " + name + " belongs after " + command.name;
  } else if (word.starts_with("--") && contains(program->command_names(), name.substr(2))) {
    what += "; did you mean the command " + name.substr(2) + "?";
  } else if (const std::string like = closest(name, option_names(command)); !like.empty()) {
    what += "; did you mean " + like + "?";
  }
  return Error(what, ErrorKind::kUsage).hint("see: " + command.full_name() + " --help");
}

Error unknown_command(const Command& command, const std::vector<std::string>& words) {
  const auto known = command.command_names();
  const auto explained = [&](const std::string& what) {
    return Error(what, ErrorKind::kUsage).hint("the " + command.kind + "s are: " + join(known, ", "));
  };
  if (words.empty())
    return explained(command.parent ? command.full_name() + " needs a command" : "there is no command");
  const std::string word = without_marks(words.front());
  if (contains(known, word)) return explained("the " + command.kind + " " + word + " belongs before --");
  const std::string like = closest(word, known);
  return explained("there is no command " + quoted_if_needed(word) +
                   (like.empty() ? "" : "; did you mean " + like + "?"));
}

}  // namespace

std::string alternatives(const std::vector<std::string>& words) {
  if (words.size() < 2) return join(words, "");
  return join({words.begin(), words.end() - 1}, ", ") + " or " + words.back();
}

std::string Option::short_name() const {
  return names.size() > 1 && names[0] == '-' && names[1] != '-' ? names.substr(0, 2) : "";
}

std::string Option::name() const {
  const auto comma = names.find(',');
  return is_argument() || comma == std::string::npos ? names : names.substr(comma + 1);
}

Command& Command::command(std::string its_name, std::string its_summary) {
  Command& out = commands.emplace_back(std::move(its_name), std::move(its_summary));
  out.parent = this;
  return out;
}

Option& Command::option(Option option) { return options.emplace_back(std::move(option)); }

std::string Command::full_name() const { return parent ? parent->full_name() + " " + name : name; }

const Option* Command::find(const std::string& option) const {
  for (const Command* command = this; command; command = command->parent) {
    for (const Option& one : command->options) {
      if (!one.is_argument() && (one.name() == option || one.short_name() == option)) return &one;
    }
  }
  return nullptr;
}

std::vector<std::string> Command::command_names() const {
  std::vector<std::string> out;
  for (const Command& one : commands)
    if (!one.hidden) out.push_back(one.name);
  return out;
}

Result<Parsed> parse(Command& program, const std::vector<std::string>& words, Strange strange) {
  Reader reader(program, words);
  auto out = reader.read(strange);
  if (out || !out.error().hint().empty()) return out;
  return fail(std::move(out.error()).hint("see: " + reader.named().full_name() + " --help"));
}

Error unexpected_words(const Command& command, const std::vector<std::string>& words) {
  const auto option = std::find_if(words.begin(), words.end(), looks_like_option);
  if (option != words.end()) return unknown_option(command, *option);
  if (!command.commands.empty()) return unknown_command(command, words);
  std::size_t most = 0;
  for (const Option& one : command.options) {
    if (!one.is_argument()) continue;
    most += std::holds_alternative<std::vector<std::string>*>(one.target) ? one.most : 1;
  }
  const std::string what = most == 0 ? " takes no arguments"
                                     : ": expected " + std::to_string(most) +
                                           (most == 1 ? " argument" : " arguments") + ", found more";
  return Error(command.full_name() + what, ErrorKind::kUsage).hint("see: " + command.full_name() + " --help");
}

}  // namespace cnspec::cli
