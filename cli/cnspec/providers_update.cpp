// cnspec providers update: to what the registry has, or the lock file pins.
#include "base/text.hpp"
#include "packages/update.hpp"
#include "provider/lockfile.hpp"
#include "providers_registry.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::cli {
namespace {

using packages::Update;

struct Flags {
  std::vector<std::string> names;
  RegistryFlags registry;
  Change change;
};

void print_text(const Update& update, bool dry_run, const std::string& lock) {
  const std::string what = update.name + " " + printable(update.from);
  switch (update.outcome) {
    case Update::Outcome::kUpdated:
      return print_info((dry_run ? "would update " : "updated ") + what + " -> " + update.to);
    case Update::Outcome::kCurrent:
      return print_info(what + (update.pinned ? " is what " + lock + " pins" : " is the newest version"));
    case Update::Outcome::kNewer:
      return update.pinned ? print_warning(what + " is newer than " + update.to + ", which " + lock +
                                           " pins; to have that: cnspec providers install " + update.name)
                           : print_info(what + " is newer than the registry's " + update.to);
    case Update::Outcome::kUnknown:
      return print_warning(
          what + " stays: " + (update.pinned ? lock + " does not name it" : "the registry does not know it"));
    case Update::Outcome::kFailed:
      return print_error(Error::wrap(what + " is not updated" + (update.to.empty() ? "" : " to " + update.to),
                                     *update.error));
  }
}

std::string render_json(const std::vector<Update>& updates, bool dry_run) {
  json::Document out(rapidjson::kObjectType);
  auto& alloc = out.GetAllocator();
  json::Value list(rapidjson::kArrayType);
  for (const Update& update : updates) {
    json::Value one(rapidjson::kObjectType);
    one.AddMember("name", json_text(update.name, alloc), alloc);
    one.AddMember("from", json_text(update.from, alloc), alloc);
    if (!update.to.empty()) one.AddMember("to", json_text(update.to, alloc), alloc);
    one.AddMember("outcome", rapidjson::StringRef(to_string(update.outcome)), alloc);
    one.AddMember("pinned", update.pinned, alloc);
    if (update.error) one.AddMember("error", json_text(update.error->message(), alloc), alloc);
    list.PushBack(one, alloc);
  }
  out.AddMember("updates", list, alloc);
  out.AddMember("dryRun", dry_run, alloc);
  return json::write_pretty(out, 2) + "\n";
}

void run(Globals& globals, const Flags& flags) {
  const auto runtime = start(globals, kNoTimeout);
  const auto updates = [&] {
    Registry registry(*runtime, flags.registry);
    return packages::update_providers(*runtime, registry.source(), flags.names,
                                      install_options(*runtime, flags.change.dry_run));
  }();
  if (!updates) exit_with(updates.error());
  const provider::Lockfile* lock = runtime->lock();
  bool good = true;
  for (const Update& update : *updates) {
    good = good && update.outcome != Update::Outcome::kFailed;
    if (flags.change.as_json() && !update.error) continue;
    print_text(update, flags.change.dry_run, lock ? printable(lock->path.string()) : "");
  }
  if (flags.change.as_json()) {
    print(render_json(*updates, flags.change.dry_run));
  } else if (updates->empty()) {
    print_info("no provider is installed");
  }
  if (!good) throw Exit{kFailed};
}

}  // namespace

void add_providers_update(Command& providers, Globals& globals) {
  Command& command =
      providers.command("update", "Bring installed providers to the newest version, or to what is pinned");
  auto flags = std::make_shared<Flags>();
  command.option({.names = "NAME",
                  .target = &flags->names,
                  .summary = "Those alone (default: all that are installed)",
                  .offers = [&globals] { return installed_names(globals); }});
  add_registry(command, flags->registry);
  add_change(command, flags->change);
  command.details = "A version is never replaced by a lower one; the one before stays for `rollback`.";
  command.run = [&globals, flags] { run(globals, *flags); };
}

}  // namespace cnspec::cli
