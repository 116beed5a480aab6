// cnspec providers remove: a provider goes, with the version that was kept of it.
#include "base/text.hpp"
#include "providers.hpp"

namespace cnspec::cli {
namespace {

using provider::Removed;

void print_text(const Removed& removed, bool dry_run) {
  const std::string what = removed.name + (removed.version.empty() ? "" : " " + removed.version);
  print_info((dry_run ? "would remove " : "removed ") + what);
  for (const auto& path : removed.files) print("  " + printable(path.string()) + "\n");
  if (!removed.now) return;
  print_info("the provider " + removed.name + " is " + (dry_run ? "then " : "now ") +
             removed.now->manifest.version + " of " + printable(removed.now->path.string()));
}

void print_json(const Removed& removed, bool dry_run) {
  json::Document out(rapidjson::kObjectType);
  auto& alloc = out.GetAllocator();
  json::Value files(rapidjson::kArrayType);
  for (const auto& path : removed.files) files.PushBack(json_text(path.string(), alloc), alloc);
  json::Value one(rapidjson::kObjectType);
  one.AddMember("name", json_text(removed.name, alloc), alloc);
  if (!removed.version.empty()) one.AddMember("version", json_text(removed.version, alloc), alloc);
  one.AddMember("files", files, alloc);
  if (removed.now) {
    json::Value now(rapidjson::kObjectType);
    now.AddMember("version", json_text(removed.now->manifest.version, alloc), alloc);
    now.AddMember("path", json_text(removed.now->path.string(), alloc), alloc);
    one.AddMember("now", now, alloc);
  }
  json::Value list(rapidjson::kArrayType);
  list.PushBack(one, alloc);
  out.AddMember("removed", list, alloc);
  out.AddMember("dryRun", dry_run, alloc);
  print(json::write_pretty(out, 2) + "\n");
}

void remove(const std::string& name, const provider::InstallOptions& options, bool as_json) {
  const auto removed = provider::remove_provider(name, options);
  if (!removed) exit_with(removed.error());
  as_json ? print_json(*removed, options.dry_run) : print_text(*removed, options.dry_run);
}

}  // namespace

void add_providers_remove(Command& providers, Globals& globals) {
  Command& command = providers.command("remove", "Remove an installed provider, and the version kept of it");
  add_change_of_one(command, globals, remove);
}

}  // namespace cnspec::cli
