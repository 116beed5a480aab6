// The commands of `cnspec providers`; each is in a file of its own.
#include "providers.hpp"

#include "base/text.hpp"
#include "packages/install.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::cli {

json::Value json_text(const std::string& raw, json::Document::AllocatorType& alloc) {
  return json::text(to_utf8(raw), alloc);
}

json::Value json_of(const provider::Signer& signer, json::Document::AllocatorType& alloc) {
  json::Value out(rapidjson::kObjectType);
  out.AddMember("state", rapidjson::StringRef(provider::state_name(signer)), alloc);
  if (!signer.key_id.empty()) out.AddMember("keyId", json_text(signer.key_id, alloc), alloc);
  if (!signer.comment.empty()) out.AddMember("comment", json_text(signer.comment, alloc), alloc);
  return out;
}

void add_change(Command& command, Change& change) {
  add_output(command, change.output, {"text", "json"});
  command.option(
      {.names = "--dry-run", .target = &change.dry_run, .summary = "Check everything, change nothing"});
}

std::vector<std::string> installed_names(const Globals& globals) {
  std::vector<std::string> out;
  const auto runtime = start(globals, std::chrono::seconds(2));
  for (const auto& found : runtime->providers().active) out.push_back(found.manifest.name);
  return out;
}

void add_change_of_one(Command& command, Globals& globals, ChangeOne change) {
  struct Flags {
    std::string name;
    Change change;
  };
  auto flags = std::make_shared<Flags>();
  command.option({.names = "NAME",
                  .target = &flags->name,
                  .summary = "What `providers list` calls it",
                  .required = true,
                  .offers = [&globals] { return installed_names(globals); }});
  add_change(command, flags->change);
  command.run = [&globals, flags, change] {
    const auto runtime = start(globals, std::chrono::seconds(30));
    auto options = packages::change_options(*runtime);
    options.dry_run = flags->change.dry_run;
    change(flags->name, options, flags->change.as_json());
  };
}

void warn_if_shadowed(const std::string& name, const std::filesystem::path& by) {
  if (by.empty()) return;
  print_warning("the provider " + name +
                " that is used is another one, which comes first: " + printable(by.string()));
}

void add_providers(Command& program, Globals& globals) {
  Command& providers = program.command("providers", "See, install, update and remove providers");
  providers.details =
      "Providers are the shared libraries that reach one kind of system each. Some are part of cnspec; "
      "others "
      "come from a registry, from a package, or are put into a folder by hand.";
  add_providers_list(providers, globals);
  add_providers_info(providers, globals);
  add_providers_install(providers, globals);
  add_providers_update(providers, globals);
  add_providers_rollback(providers, globals);
  add_providers_remove(providers, globals);
  add_providers_lock(providers, globals);
  add_providers_mirror(providers, globals);
  add_providers_verify(providers, globals);
}

}  // namespace cnspec::cli
