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

std::vector<std::string> candidates(CLI::App& app, std::string_view start) {
  std::vector<std::string> out;
  const auto offer = [&](const std::string& word) {
    if (word.starts_with(start) && !word.starts_with("__")) out.push_back(word);
  };
  if (start.starts_with('-')) {
    for (CLI::App* a = &app; a; a = a->get_parent()) {
      for (const CLI::Option* option : a->get_options()) {
        if (option->get_group().empty()) continue;
        for (const auto& name : option->get_lnames()) offer("--" + name);
      }
    }
  } else {
    for (const CLI::App* command : app.get_subcommands([](CLI::App*) { return true; })) {
      if (!command->get_group().empty()) offer(command->get_name());
    }
  }
  return out;
}

// Follows the words as far as they name subcommands; the last word is the one being written.
void complete(CLI::App& root, Globals& globals, const std::vector<std::string>& words) {
  CLI::App* at = &root;
  CLI::App connectors;
  std::unique_ptr<runtime::Runtime> runtime;
  for (std::size_t i = 0; i + 1 < words.size(); ++i) {
    const auto named = at->get_subcommands([&](CLI::App* command) { return command->check_name(words[i]); });
    if (named.empty()) continue;
    at = named.front();
    if (at->get_name() == "discover" && at->get_parent() == &root) {
      runtime = start(globals, std::chrono::seconds(2));
      add_globals(connectors, globals);
      add_connectors(connectors, runtime->providers(), [](const provider::ConnectRequest&) {});
      at = &connectors;
    }
  }
  for (const auto& word : candidates(*at, words.empty() ? "" : words.back())) print(word + "\n");
}

}  // namespace

void add_completion(CLI::App& app, Globals& globals) {
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

  CLI::App* ask = app.add_subcommand("__complete", "")->group("");
  ask->prefix_command();
  ask->fallthrough(false);
  ask->callback([&app, &globals, ask] {
    auto words = ask->remaining();
    if (!words.empty() && words.front() == "--") words.erase(words.begin());
    complete(app, globals, words);
  });
}

}  // namespace cnspec::cli
