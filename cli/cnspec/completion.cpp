// Shell completion. The shells ask the program itself (`cnspec __complete WORDS`), so that they know the
// connectors that are installed and never fall behind.
#include <cstdio>

#include "connectors.hpp"

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

// The values that an option or an argument takes, where it takes only some: CLI11 keeps them in its
// description of the type, as in "TEXT:{json,yaml}".
std::vector<std::string> values_of(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const auto begin = type.find('{');
  const auto end = type.find('}', begin);
  if (begin == type.npos || end == type.npos) return {};
  return CLI::detail::split(type.substr(begin + 1, end - begin - 1), ',');
}

const CLI::Option* find_option(const CLI::App& app, const std::string& name) {
  for (const CLI::App* a = &app; a; a = a->get_parent()) {
    if (const CLI::Option* option = a->get_option_no_throw(name)) return option;
  }
  return nullptr;
}

// Where the words lead: to a command, and perhaps to an option whose value is being written.
struct Place {
  CLI::App* command;
  const CLI::Option* option = nullptr;
};

std::vector<std::string> candidates(const Place& place, const std::string& start) {
  std::vector<std::string> out;
  const auto offer = [&](const std::string& word) {
    if (word.starts_with(start) && !word.starts_with("__")) out.push_back(word);
  };
  if (place.option) {
    for (const auto& value : values_of(*place.option)) offer(value);
    return out;
  }
  if (const auto equals = start.find('='); start.starts_with("--") && equals != start.npos) {
    const std::string name = start.substr(0, equals);
    const CLI::Option* option = find_option(*place.command, name);
    if (!option) return out;
    for (const auto& value : values_of(*option)) offer(name + "=" + value);
    return out;
  }
  if (start.starts_with('-')) {
    for (CLI::App* a = place.command; a; a = a->get_parent()) {
      for (const CLI::Option* option : a->get_options()) {
        if (option->get_group().empty()) continue;
        for (const auto& name : option->get_lnames()) offer("--" + name);
      }
    }
    return out;
  }
  for (const CLI::App* command : place.command->get_subcommands([](CLI::App*) { return true; })) {
    if (!command->get_group().empty()) offer(command->get_name());
  }
  for (const CLI::Option* option : place.command->get_options()) {
    if (!option->get_positional()) continue;
    for (const auto& value : values_of(*option)) offer(value);
  }
  return out;
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

}  // namespace

void complete(CLI::App& root, Globals& globals, std::vector<std::string> words) {
  if (!words.empty() && words.front() == "--") words.erase(words.begin());
  words = without_equals(std::move(words));
  Place place{&root};
  CLI::App connectors;
  std::string output;
  std::unique_ptr<runtime::Runtime> runtime;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const std::string& word = words[i];
    if (word.size() > 1 && word.starts_with('-')) {
      const CLI::Option* option = find_option(*place.command, word);
      if (!option || option->get_items_expected_max() == 0) continue;
      if (i + 2 == words.size()) {
        place.option = option;
      } else {
        ++i;
        if (word == "--providers-path") globals.providers_paths.push_back(words[i]);
      }
      continue;
    }
    const auto named =
        place.command->get_subcommands([&](CLI::App* command) { return command->check_name(word); });
    if (named.empty()) continue;
    place.command = named.front();
    if (place.command->get_name() == "discover" && place.command->get_parent() == &root) {
      runtime = start(globals, std::chrono::seconds(2));
      add_globals(connectors, globals);
      add_output(connectors, output, {"text", "json"});
      add_connectors(connectors, runtime->providers(), [](const provider::ConnectRequest&) {});
      place.command = &connectors;
    }
  }
  for (const auto& word : candidates(place, words.empty() ? "" : words.back())) print(word + "\n");
}

void add_completion(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("completion", "Print a script that makes a shell complete cnspec's words");
  command->footer(
      "bash: source <(cnspec completion bash)\nzsh: source <(cnspec completion zsh)\n"
      "fish: cnspec completion fish | source");
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command->callback([shell] { print(*shell == "bash" ? kBash : *shell == "zsh" ? kZsh : kFish); });
}

}  // namespace cnspec::cli
