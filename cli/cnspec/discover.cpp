#include <rapidjson/document.h>

#include <algorithm>

#include "base/json.hpp"
#include "base/names.hpp"
#include "base/text.hpp"
#include "connectors.hpp"
#include "packages/known_connectors.hpp"
#include "providers_registry.hpp"
#include "runtime/registry_url.hpp"
#include "runtime/runtime.hpp"
#include "terminal.hpp"

namespace cnspec::cli {
namespace {

constexpr std::chrono::seconds kTimeout{30};

// Fields in the order the provider sent them, aligned.
std::string render_text(const provider::Row& asset) {
  std::string out;
  for (std::size_t i = 0; i < asset.size(); ++i) {
    const provider::Value& value = asset.value(i);
    if (value.is_null()) continue;
    std::string label = "→ " + asset.name(i) + ":";
    label.resize(std::max<std::size_t>(label.size() + 1, 20), ' ');
    const std::string text =
        value.type == CNSPEC_ARRAY ? join(value.texts(), ", ") : provider::to_text(value);
    out += label + printable(text) + "\n";
  }
  return out;
}

std::string render_json(const provider::Row& asset) {
  json::Document out(rapidjson::kObjectType);
  auto& alloc = out.GetAllocator();
  for (std::size_t i = 0; i < asset.size(); ++i) {
    out.AddMember(json::text(asset.name(i), alloc), provider::to_json(asset.value(i), alloc), alloc);
  }
  return json::write_pretty(out, 2) + "\n";
}

Result<provider::Row> connect(runtime::Runtime& runtime, provider::ConnectRequest request) {
  const Progress progress("connecting");
  return runtime.run(runtime.identify(std::move(request)));
}

// Not with more rights than the one who asks: the registry is theirs to name.
bool may_install(const runtime::Runtime& runtime, const Globals& late) {
  return !provider::elevated() && late.auto_update.value_or(runtime.config().truth("auto_update", true));
}

// The provider that would have had it, and may not run.
const provider::Refused* refused_named(const provider::Inventory& inventory, const std::string& name) {
  const auto it =
      std::find_if(inventory.refused.begin(), inventory.refused.end(), [&](const provider::Refused& refused) {
        return refused.origin != provider::Origin::kBundled && refused.path.filename() == name + ".so";
      });
  return it == inventory.refused.end() ? nullptr : &*it;
}

// What to say of a connector that no provider has. Nothing: its provider is installed now.
std::optional<Error> missing(runtime::Runtime& runtime, const Globals& globals, const Globals& late,
                             const std::string& word, const std::vector<std::string>& known) {
  const bool some_refused = !runtime.providers().refused.empty();
  Error unknown = Error("no installed provider has a connector " + quoted_if_needed(word), ErrorKind::kUsage)
                      .hint("installed are: " + join(known, ", ") +
                            (some_refused ? "; what was refused: cnspec providers list" : ""));
  const std::string owner = packages::provider_for_connector(word);
  const std::string like = closest(word, known);
  if (owner == word && !like.empty()) {
    return Error(unknown.what() + "; did you mean " + like + "?", ErrorKind::kUsage)
        .hint(std::string(unknown.hint()));
  }
  if (!is_provider_name(owner) || runtime.providers().by_name(owner)) return unknown;
  const bool somewhere = runtime::registry_url(runtime.config(), "").has_value();
  const auto* refused = refused_named(runtime.providers(), owner);
  const auto may_not_run = [&] {
    return Error::wrap(
        "the provider " + owner + " is installed and may not run: " + printable(refused->path.string()),
        refused->reason);
  };
  if (!somewhere || !may_install(runtime, late)) {
    if (refused) return may_not_run();
    const std::string command = "cnspec providers install " + owner;
    return Error(unknown.what(), ErrorKind::kUsage)
        .hint((somewhere ? "it may be the provider " + owner + "'s: " + command
                         : "if there is a provider " + owner + " in a registry that you use: " + command +
                               " --registry URL") +
              "; " + unknown.hint());
  }
  const auto version = install_missing(runtime, owner, !globals.timeout.empty());
  if (version) {
    print_note("installed the provider " + owner + " " + *version + ", for its connector " + word);
    return std::nullopt;
  }
  if (refused) {
    print_warning("no other one could be installed in its place: " + version.error().message());
    return may_not_run();
  }
  const ErrorKind kind = version.error().kind();
  if (kind == ErrorKind::kNotFound) {
    return Error(unknown.what() + ", and " + version.error().message(), ErrorKind::kUsage)
        .hint(std::string(unknown.hint()));
  }
  return Error::wrap(unknown.what() + ", and the provider " + owner + " could not be installed",
                     version.error());
}

// A name that nobody has isolates nobody, and whoever mistyped it believes otherwise.
void warn_of_isolation(const provider::Inventory& inventory, const std::vector<std::string>& given) {
  std::vector<std::string> names;
  for (const provider::Found& found : inventory.active) names.push_back(found.manifest.name);
  for (const std::string& one : given) {
    const auto equals = one.find('=');
    const std::string name = one.substr(0, equals);
    if (equals == one.npos || std::find(names.begin(), names.end(), name) != names.end()) continue;
    const std::string like = closest(name, names);
    print_warning("--isolation " + printable(one) + ": no provider " + quoted_if_needed(name) +
                  " is installed" + (like.empty() ? "" : "; did you mean " + like + "?"));
  }
}

// Global options may stand behind the connector as well, and have to be known before the rest can be.
void take_globals(Globals& globals, const std::vector<std::string>& words) {
  Command program("cnspec discover", "");
  add_globals(program, globals);
  (void)parse(program, words, Strange::kKept);  // what is wrong is said when everything is known
}

// The words after "discover", parsed against the connectors that are installed. Comes back only when the
// provider that it lacked is there now.
void attempt(Globals& globals, const std::vector<std::string>& words, bool again) {
  auto runtime = start(globals, kTimeout);
  Command program("cnspec discover", "Connect to a system and show what it is");
  program.kind = "connector";
  program.details = "What a connector takes: cnspec discover CONNECTOR --help";
  program.examples = {"cnspec discover local", "cnspec discover local -o json"};
  std::string output = "text";
  std::optional<provider::ConnectRequest> request;
  add_output(program, output, {"text", "json"});
  Globals late = globals;  // global options may follow the connector as well
  add_globals(program, late);
  add_connectors(program, runtime->providers(), [&](provider::ConnectRequest r) { request = std::move(r); });
  const Parsed parsed = parse_or_exit(program, words, Strange::kKept);
  const auto& strange = parsed.strange;
  if (parsed.command == &program) {
    const auto known = program.command_names();
    if (strange.empty()) {
      exit_with(Error("which connector?", ErrorKind::kUsage).hint("installed are: " + join(known, ", ")));
    }
    const std::string& word = strange.front();
    if (word.starts_with('-') || std::ranges::find(known, word) != known.end())
      exit_with(unexpected_words(program, strange));
    if (again) {
      exit_with(Error("the provider that was installed for it has no connector " + quoted_if_needed(word) +
                          " either",
                      ErrorKind::kNotFound)
                    .hint("installed are: " + join(known, ", ")));
    }
    if (parsed.help) late.auto_update = false;  // to be told of it is no reason to install it
    if (const auto error = missing(*runtime, globals, late, word, known)) exit_with(*error);
    return;
  }
  if (!strange.empty()) exit_with(unexpected_words(*parsed.command, strange));
  parsed.command->run();
  warn_of_isolation(runtime->providers(), globals.isolation);
  const auto asset = connect(*runtime, std::move(*request));
  if (!asset) {
    print_error(asset.error());
    runtime->exit(exit_code(asset.error()));
  }
  print(output == "json" ? render_json(*asset) : render_text(*asset));
  runtime->exit(kOk);
}

void run(Globals& globals, const std::vector<std::string>& words) {
  take_globals(globals, words);
  attempt(globals, words, false);
  attempt(globals, words, true);
}

}  // namespace

void add_discover(Command& program, Globals& globals) {
  auto words = std::make_shared<std::vector<std::string>>();
  Command& command = program.command("discover", "Connect to a system and show what it is");
  // Which connectors there are is known once the options before them are; the rest is parsed then.
  command.rest = words.get();
  command.run = [&globals, words] { run(globals, *words); };
}

}  // namespace cnspec::cli
