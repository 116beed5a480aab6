// cnspec providers lock: pins versions and hashes.
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/file.hpp"
#include "base/text.hpp"
#include "packages/install.hpp"
#include "packages/relock.hpp"
#include "providers_registry.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::cli {
namespace {

using packages::Relock;

struct Flags {
  std::vector<std::string> names, platforms;
  RegistryFlags registry;
  Change change;
};

// The file is replaced, so it is its folder that has to let us, or the one that this will be made in.
Result<void> check_writable(const std::filesystem::path& file) {
  std::filesystem::path folder = behind_links(file).parent_path();
  std::error_code ec;
  while (!std::filesystem::exists(folder, ec) && folder.has_relative_path()) folder = folder.parent_path();
  if (::access(folder.c_str(), W_OK | X_OK) == 0) return {};
  return fail("the lock file cannot be written: " + printable(file.string()) + ": " + std::strerror(errno));
}

void print_text(const Relock& relock, bool dry_run) {
  for (const Relock::Change& change : relock.changes) {
    const bool moved = !change.from.empty() && change.from != change.to;
    print_info((dry_run ? "would pin " : "pinned ") + change.name + " " + change.to +
               (moved ? " in place of " + change.from : "") + " for " + join(change.platforms, ", "));
  }
  const std::string path = printable(relock.lock.path.string());
  print_info(dry_run ? "would write " + path : "wrote " + path);
}

std::string render_json(const Relock& relock, bool dry_run) {
  json::Document out(rapidjson::kObjectType);
  auto& alloc = out.GetAllocator();
  json::Value list(rapidjson::kArrayType);
  for (const Relock::Change& change : relock.changes) {
    json::Value one(rapidjson::kObjectType);
    one.AddMember("name", json_text(change.name, alloc), alloc);
    if (!change.from.empty()) one.AddMember("from", json_text(change.from, alloc), alloc);
    one.AddMember("version", json_text(change.to, alloc), alloc);
    json::Value platforms(rapidjson::kArrayType);
    for (const std::string& platform : change.platforms)
      platforms.PushBack(json_text(platform, alloc), alloc);
    one.AddMember("platforms", platforms, alloc);
    list.PushBack(one, alloc);
  }
  out.AddMember("path", json_text(relock.lock.path.string(), alloc), alloc);
  out.AddMember("pinned", list, alloc);
  out.AddMember("dryRun", dry_run, alloc);
  return json::write_pretty(out, 2) + "\n";
}

void run(const Globals& globals, const Flags& flags) {
  const auto names = parse_provider_specs(flags.names);
  std::vector<packages::PlatformName> platforms;
  for (const std::string& word : flags.platforms) {
    auto platform = packages::parse_platform(word);
    if (!platform) exit_with(platform.error());
    platforms.push_back(std::move(*platform));
  }
  if (platforms.empty()) platforms.push_back(packages::this_platform());

  Globals own = globals;
  own.makes_lock = true;
  const auto runtime = start(own, kNoTimeout);
  if (runtime->lock_path().empty()) {
    exit_with(
        Error("there is no place for a lock file: the configuration is no file, and has no "
              "providers_lock",
              ErrorKind::kUsage));
  }
  if (auto good = check_writable(runtime->lock_path()); !good) exit_with(good.error());
  auto tools = packages::package_tools();
  if (!tools) exit_with(tools.error());
  const auto relock = [&] {
    Registry registry(*runtime, flags.registry);
    return packages::relock(*runtime, registry.source(), names, platforms, *tools);
  }();
  if (!relock) exit_with(relock.error());
  if (!flags.change.dry_run) {
    auto written = packages::write_lockfile(*relock, install_options(*runtime, false).deadline);
    if (!written) exit_with(Error::wrap("the lock file cannot be written", written.error()));
  }
  for (const std::string& warning : relock->warnings) print_warning(warning);
  if (flags.change.as_json()) return print(render_json(*relock, flags.change.dry_run));
  print_text(*relock, flags.change.dry_run);
}

}  // namespace

void add_providers_lock(Command& providers, Globals& globals) {
  Command& command = providers.command("lock", "Pin versions and hashes of providers in providers.lock");
  auto flags = std::make_shared<Flags>();
  command.option({.names = "NAME",
                  .target = &flags->names,
                  .summary = "NAME or NAME@VERSION (default: all that are installed or pinned)",
                  .offers = [&globals] { return installed_names(globals); }});
  command.option({.names = "--platform",
                  .target = &flags->platforms,
                  .summary = "What to pin it for; repeatable (default: this one)",
                  .value = "OS/ARCH"});
  add_registry(command, flags->registry);
  add_change(command, flags->change);
  command.details =
      "The file lies beside the configuration, or where its key providers_lock says. From then on `install` "
      "and `update` bring what it pins and nothing else, and what it names runs as it says or not at all. A "
      "version that is older than what is pinned or there has to be named. The file and its folder belong to "
      "you or to root, and nobody else may write them.";
  command.examples = {"cnspec providers lock coffee@1.2.0 --platform linux/amd64 --platform linux/arm64"};
  command.run = [&globals, flags] { run(globals, *flags); };
}

}  // namespace cnspec::cli
