// cnspec providers rollback: the version before is put back, and the one in place kept.
#include "base/text.hpp"
#include "providers.hpp"

namespace cnspec::cli {
namespace {

using provider::RolledBack;

void print_text(const RolledBack& back, bool dry_run) {
  const auto& manifest = back.provider.manifest;
  print_info((dry_run ? "would put back " : "put back ") + manifest.name + " " + manifest.version + " in " +
             printable(back.provider.path.string()));
  if (!back.previous_version.empty()) {
    print_info(back.previous_version + (dry_run ? " would be" : " is") +
               " kept; another rollback puts it in place again");
  }
  warn_if_shadowed(manifest.name, back.shadowed_by);
}

void print_json(const RolledBack& back, bool dry_run) {
  json::Document out(rapidjson::kObjectType);
  auto& alloc = out.GetAllocator();
  json::Value one(rapidjson::kObjectType);
  one.AddMember("name", json_text(back.provider.manifest.name, alloc), alloc);
  one.AddMember("version", json_text(back.provider.manifest.version, alloc), alloc);
  if (!back.previous_version.empty()) one.AddMember("before", json_text(back.previous_version, alloc), alloc);
  one.AddMember("path", json_text(back.provider.path.string(), alloc), alloc);
  if (!back.shadowed_by.empty())
    one.AddMember("shadowedBy", json_text(back.shadowed_by.string(), alloc), alloc);
  json::Value list(rapidjson::kArrayType);
  list.PushBack(one, alloc);
  out.AddMember("rolledBack", list, alloc);
  out.AddMember("dryRun", dry_run, alloc);
  print(json::write_pretty(out, 2) + "\n");
}

void roll_back(const std::string& name, const provider::InstallOptions& options, bool as_json) {
  const auto back = provider::rollback_provider(name, options);
  if (!back) exit_with(back.error());
  as_json ? print_json(*back, options.dry_run) : print_text(*back, options.dry_run);
}

}  // namespace

void add_providers_rollback(Command& providers, Globals& globals) {
  Command& command = providers.command(
      "rollback", "Put back the version of a provider that was replaced last; twice is as never");
  add_change_of_one(command, globals, roll_back);
}

}  // namespace cnspec::cli
