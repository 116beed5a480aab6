// cnspec providers mirror: what is pinned, as a folder to be a registry from.
#include "base/text.hpp"
#include "packages/mirror.hpp"
#include "providers_registry.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::cli {
namespace {

struct Flags {
  std::string folder;
  RegistryFlags registry;
  Change change;
};

void run(Globals& globals, const Flags& flags) {
  const auto runtime = start(globals, kNoTimeout);
  std::error_code ec;
  const auto folder = std::filesystem::absolute(flags.folder, ec).lexically_normal();
  if (flags.folder.empty() || ec) exit_with(Error("which folder?", ErrorKind::kUsage));
  const bool dry_run = flags.change.dry_run;
  const auto done = [&] {
    Registry registry(*runtime, flags.registry);
    return packages::mirror(*runtime, registry.source(), folder, dry_run);
  }();
  if (!done && done.error().kind() == ErrorKind::kUsage) exit_with(done.error());
  if (!done) exit_with(Error::wrap("the mirror is not complete", done.error()));
  for (const std::string& warning : done->warnings) print_warning(warning);
  if (flags.change.as_json()) {
    json::Document out(rapidjson::kObjectType);
    auto& alloc = out.GetAllocator();
    json::Value list(rapidjson::kArrayType);
    for (const packages::Mirrored& file : done->files) {
      json::Value one(rapidjson::kObjectType);
      one.AddMember("file", json_text(file.file, alloc), alloc);
      if (file.size > 0) one.AddMember("size", file.size, alloc);
      one.AddMember("kept", file.kept, alloc);
      list.PushBack(one, alloc);
    }
    out.AddMember("folder", json_text(folder.string(), alloc), alloc);
    out.AddMember("files", list, alloc);
    out.AddMember("dryRun", dry_run, alloc);
    return print(json::write_pretty(out, 2) + "\n");
  }
  for (const packages::Mirrored& file : done->files) {
    print_info((file.kept ? "there already: "
                : dry_run ? "would fetch "
                          : "fetched ") +
               printable(file.file));
  }
  if (!dry_run) {
    print_info("to install from here: --registry file://" + printable(folder.string()) +
               ", or serve the folder and name its URL as providers_url");
  }
}

}  // namespace

void add_providers_mirror(Command& providers, Globals& globals) {
  Command& command =
      providers.command("mirror", "Write the pinned providers to a folder that can be a registry");
  auto flags = std::make_shared<Flags>();
  command.option({.names = "DIR",
                  .target = &flags->folder,
                  .summary = "The folder; what is there and right is kept",
                  .required = true});
  add_registry(command, flags->registry);
  add_change(command, flags->change);
  command.run = [&globals, flags] { run(globals, *flags); };
}

}  // namespace cnspec::cli
