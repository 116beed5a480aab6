// Shell completion. The shells ask the program itself (`cnspec __complete WORDS`), so that they know the
// connectors that are installed and never fall behind.
#include <algorithm>
#include <filesystem>
#include <iterator>

#include "connectors.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::cli {
namespace {

constexpr char kBash[] = R"sh(_cnspec() {
  local IFS=$'\n'
  COMPREPLY=($(cnspec __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _cnspec cnspec
)sh";

// clang-format off: it takes this for code.
constexpr char kZsh[] = R"sh(#compdef cnspec
_cnspec() {
  local -a candidates
  candidates=(${(f)"$(cnspec __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if (( ${#candidates} )); then compadd -a candidates; else _files; fi
}
compdef _cnspec cnspec
)sh";
// clang-format on

constexpr char kFish[] = R"sh(function __cnspec_complete
  set -l words (commandline -opc) (commandline -ct)
  cnspec __complete -- $words[2..-1] 2>/dev/null
end
complete -c cnspec -f -a '(__cnspec_complete)'
)sh";

// Where the words lead: to a command, and perhaps to an option whose value is being written.
struct Place {
  const Command* command;
  const Option* option = nullptr;
  std::size_t arguments = 0;  // how many stand there already
};

std::vector<std::string> values_of(const Option& option) {
  std::vector<std::string> out = option.one_of;
  if (option.offers) std::ranges::move(option.offers(), std::back_inserter(out));
  return out;
}

const Option* argument_at(const Place& place) {
  std::size_t before = 0;
  for (const Option& option : place.command->options) {
    if (!option.is_argument()) continue;
    before += std::holds_alternative<std::vector<std::string>*>(option.target) ? option.most : 1;
    if (place.arguments < before) return &option;
  }
  return nullptr;
}

std::vector<std::string> candidates(const Place& place, const std::string& start) {
  std::vector<std::string> out;
  const auto offer = [&](const std::string& word) {
    if (word.starts_with(start)) out.push_back(word);
  };
  if (place.option) {
    for (const auto& value : values_of(*place.option)) offer(value);
    return out;
  }
  if (const auto equals = start.find('='); start.starts_with("--") && equals != start.npos) {
    const std::string name = start.substr(0, equals);
    const Option* option = place.command->find(name);
    if (!option) return out;
    for (const auto& value : values_of(*option)) offer(name + "=" + value);
    return out;
  }
  if (start.starts_with('-')) {
    for (const Command* command = place.command; command; command = command->parent) {
      for (const Option& option : command->options) {
        if (!option.hidden && !option.is_argument()) offer(option.name());
      }
    }
    offer("--help");
    return out;
  }
  for (const auto& name : place.command->command_names()) offer(name);
  if (const Option* argument = argument_at(place)) {
    for (const auto& value : values_of(*argument)) offer(value);
  }
  return out;
}

const Command* find_command(const Command& command, const std::string& word) {
  for (const Command& one : command.commands) {
    if (one.name == word || std::ranges::find(one.aliases, word) != one.aliases.end()) return &one;
  }
  return nullptr;
}

// Bash gives "--output=json" as three words.
std::vector<std::string> without_equals(std::vector<std::string> words) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] != "=" || out.empty() || !out.back().starts_with("--"))
      out.push_back(std::move(words[i]));
    else if (i + 1 == words.size())
      out.emplace_back();
  }
  return out;
}

// What follows `discover`, or `providers verify PROVIDER`: connectors with their options.
class Connectors {
 public:
  explicit Connectors(Globals& globals) : globals_(globals) {
    add_globals(program_, globals);
    add_output(program_, output_, {"text", "json"});
  }

  const Command& of_all() {
    add_connectors(program_, installed(), [](const provider::ConnectRequest&) {});
    return program_;
  }

  const Command& of(const std::string& provider) {
    if (const auto* named = installed().by_name(provider))
      one_.active.push_back(*named);
    else if (auto file = provider::examine({}, std::filesystem::absolute(provider), provider::Origin::kFlag))
      one_.active.push_back(std::move(*file));
    add_connectors(program_, one_, [](const provider::ConnectRequest&) {});
    return program_;
  }

 private:
  const provider::Inventory& installed() {
    runtime_ = start(globals_, std::chrono::seconds(2));
    return runtime_->providers();
  }

  Globals& globals_;
  std::string output_;
  std::unique_ptr<runtime::Runtime> runtime_;
  provider::Inventory one_;
  Command program_{"cnspec discover", ""};
};

}  // namespace

void complete(Command& program, Globals& globals, std::vector<std::string> words) {
  if (!words.empty() && words.front() == "--") words.erase(words.begin());
  words = without_equals(std::move(words));
  Place place{&program};
  Connectors connectors(globals);
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.size() > 1 && word.starts_with('-')) {
      const Option* option = place.command->find(word);
      if (!option || option->is_flag()) continue;
      if (i + 2 == words.size()) {
        place.option = option;
      } else {
        ++i;
        if (word == "--providers-path") globals.providers_paths.push_back(words[i]);
      }
    } else if (const Command* named = find_command(*place.command, word)) {
      const bool discovers = named->name == "discover" && named->parent == &program;
      place = {discovers ? &connectors.of_all() : named};
    } else if (place.command->rest) {
      place = {&connectors.of(word)};
    } else {
      ++place.arguments;
    }
  }
  for (const auto& word : candidates(place, words.empty() ? "" : words.back())) print(word + "\n");
}

void add_completion(Command& program) {
  auto shell = std::make_shared<std::string>();
  Command& command =
      program.command("completion", "Print a script that makes a shell complete cnspec's words");
  command.option({.names = "SHELL",
                  .target = shell.get(),
                  .summary = "bash, zsh or fish",
                  .one_of = {"bash", "zsh", "fish"},
                  .required = true});
  command.examples = {"source <(cnspec completion bash)", "source <(cnspec completion zsh)",
                      "cnspec completion fish | source"};
  command.run = [shell] { print(*shell == "bash" ? kBash : *shell == "zsh" ? kZsh : kFish); };
}

}  // namespace cnspec::cli
