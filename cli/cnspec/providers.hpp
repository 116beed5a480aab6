// What the commands of `cnspec providers` share.
#pragma once

#include <string>
#include <vector>

#include "base/json.hpp"
#include "command.hpp"
#include "provider/install.hpp"

namespace cnspec::cli {

// Each adds its subcommand.
void add_providers_list(Command& providers, Globals& globals);
void add_providers_info(Command& providers, Globals& globals);
void add_providers_install(Command& providers, Globals& globals);
void add_providers_update(Command& providers, Globals& globals);
void add_providers_lock(Command& providers, Globals& globals);
void add_providers_mirror(Command& providers, Globals& globals);
void add_providers_rollback(Command& providers, Globals& globals);
void add_providers_remove(Command& providers, Globals& globals);

json::Value json_text(const std::string& raw, json::Document::AllocatorType& alloc);
json::Value json_of(const provider::Signer& signer, json::Document::AllocatorType& alloc);

// What of a provider is put in or taken out of place: as text on standard output (what is no good news on
// standard error), or as the JSON document {"installed": [...], "dryRun": ...}.
void print_installed(const std::vector<provider::Installed>& installed, bool dry_run, bool as_json);

// What was not asked for by its version may be older than what it replaced. `why` ends the sentence.
void warn_if_older(const provider::Installed& installed, bool dry_run, const std::string& why);

// The options that the commands have in common which change something.
struct Change {
  std::string output = "text";
  bool dry_run = false;
  bool as_json() const { return output == "json"; }
};
void add_change(Command& command, Change& change);

// A command that changes the one provider it is given the name of: `change` does it and prints what came of
// it.
using ChangeOne = void (*)(const std::string& name, const provider::InstallOptions& options, bool as_json);
void add_change_of_one(Command& command, Globals& globals, ChangeOne change);

// What a shell may offer for the name of a provider.
std::vector<std::string> installed_names(const Globals& globals);

// The provider that is used in place of the one that was put there.
void warn_if_shadowed(const std::string& name, const std::filesystem::path& by);

}  // namespace cnspec::cli
