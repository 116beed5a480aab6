// cnspec providers install: from the registry, or from a package on this machine or somewhere else.
#include <fcntl.h>

#include <cerrno>
#include <cstring>

#include "base/fd.hpp"
#include "base/names.hpp"
#include "base/text.hpp"
#include "base/time.hpp"
#include "base/url.hpp"
#include "packages/download.hpp"
#include "packages/install.hpp"
#include "providers.hpp"
#include "providers_registry.hpp"
#include "runtime/runtime.hpp"
#include "terminal.hpp"

namespace cnspec::cli {
namespace {

using provider::Expected;
using provider::Installed;
using provider::InstallOptions;
using provider::Package;

struct Flags {
  std::vector<std::string> names;
  std::string file, url, sha256;
  RegistryFlags registry;
  bool force = false;
  Change change;
};

void print_text(const Installed& installed, bool dry_run) {
  const auto& manifest = installed.provider.manifest;
  const std::string what = manifest.name + " " + manifest.version;
  const std::string where = printable(installed.provider.path.string());
  if (installed.unchanged) {
    print_info(what + " is there already: " + where);
  } else {
    print_info((dry_run ? "would install " : "installed ") + what + " (" +
               to_string(installed.provider.signer) + ") as " + where);
    if (!installed.previous_version.empty() && !dry_run) {
      print_info(installed.previous_version + " is kept; to have it back: cnspec providers rollback " +
                 manifest.name);
    } else if (!installed.previous_version.empty()) {
      print_info("in place of " + installed.previous_version + ", which would be kept");
    }
  }
  warn_if_shadowed(manifest.name, installed.shadowed_by);
}

json::Value describe(const Installed& installed, json::Document::AllocatorType& alloc) {
  json::Value out(rapidjson::kObjectType);
  out.AddMember("name", json_text(installed.provider.manifest.name, alloc), alloc);
  out.AddMember("version", json_text(installed.provider.manifest.version, alloc), alloc);
  if (!installed.previous_version.empty())
    out.AddMember("before", json_text(installed.previous_version, alloc), alloc);
  out.AddMember("path", json_text(installed.provider.path.string(), alloc), alloc);
  out.AddMember("signer", cli::json_of(installed.provider.signer, alloc), alloc);
  out.AddMember("sha256", json_text(installed.sha256, alloc), alloc);
  out.AddMember("unchanged", installed.unchanged, alloc);
  if (!installed.shadowed_by.empty())
    out.AddMember("shadowedBy", json_text(installed.shadowed_by.string(), alloc), alloc);
  return out;
}

Result<Expected> expected(const Flags& flags, std::string_view file_name) {
  Expected out;
  out.sha256 = flags.sha256;
  if (auto good = provider::expect_as_named(file_name, out); !good) return fail(good.error());
  return out;
}

InstallOptions options_for(runtime::Runtime& runtime, const Flags& flags) {
  InstallOptions options = install_options(runtime, flags.change.dry_run);
  options.force = flags.force;
  return options;
}

Result<Installed> install_file(runtime::Runtime& runtime, const Flags& flags) {
  const std::filesystem::path path(flags.file);
  const std::string shown = printable(flags.file);
  auto wanted = expected(flags, path.filename().string());
  if (!wanted) return fail(wanted.error());
  const Fd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd) return fail("the package " + shown + " cannot be opened: " + std::strerror(errno));
  const Package package{fd.get(), flags.file};
  return provider::install_package(package, *wanted, options_for(runtime, flags));
}

Result<Installed> install_url(runtime::Runtime& runtime, const Flags& flags) {
  auto url = packages::check_download_url(flags.url, !flags.sha256.empty());
  if (!url) return fail(url.error());
  auto wanted = expected(flags, packages::file_name_of_url(flags.url));
  if (!wanted) return fail(wanted.error());
  auto file = provider::TemporaryFile::make();
  if (!file) return fail(file.error());
  {
    Progress progress("downloading " + shown_url(flags.url));
    packages::DownloadLimits limits;
    limits.size = provider::PackageLimits().package;
    limits.silence =
        std::chrono::duration_cast<std::chrono::milliseconds>(*parse_duration(flags.registry.silence));
    auto done = packages::download(
        runtime, flags.url, file->fd(), limits, [&](std::uint64_t got, std::uint64_t whole) {
          progress.say(progress_text(packages::file_name_of_url(flags.url), got, whole));
        });
    if (!done) return fail(done.error());
  }
  const Package package{file->fd(), shown_url(flags.url)};
  return provider::install_package(package, *wanted, options_for(runtime, flags));
}

void run(Globals& globals, const Flags& flags) {
  if (flags.file.empty() && flags.url.empty()) {
    if (!flags.sha256.empty())
      exit_with(Error("--sha256 is for a package of --file or --url", ErrorKind::kUsage));
    if (!install_named(globals, flags.registry, flags.names, flags.force, flags.change)) throw Exit{kFailed};
    return;
  }
  if (!flags.names.empty()) {
    exit_with(Error("a package of --file or --url has its name, and takes no other", ErrorKind::kUsage));
  }
  const auto runtime = start(globals, kNoTimeout);
  const auto installed = flags.file.empty() ? install_url(*runtime, flags) : install_file(*runtime, flags);
  if (!installed) exit_with(installed.error());
  warn_if_older(*installed, flags.change.dry_run, "");
  print_installed({*installed}, flags.change.dry_run, flags.change.as_json());
}

std::string check_sha256(const std::string& text) {
  return is_sha256(text) ? "" : "expected 64 hexadecimal digits, found " + quoted_if_needed(text);
}

}  // namespace

void print_installed(const std::vector<Installed>& installed, bool dry_run, bool as_json) {
  if (!as_json) {
    for (const Installed& one : installed) print_text(one, dry_run);
    return;
  }
  json::Document out(rapidjson::kObjectType);
  auto& alloc = out.GetAllocator();
  json::Value list(rapidjson::kArrayType);
  for (const Installed& one : installed) list.PushBack(describe(one, alloc), alloc);
  out.AddMember("installed", list, alloc);
  out.AddMember("dryRun", dry_run, alloc);
  print(json::write_pretty(out, 2) + "\n");
}

void warn_if_older(const Installed& installed, bool dry_run, const std::string& why) {
  const auto& manifest = installed.provider.manifest;
  if (!packages::is_older(manifest.version, installed.previous_version)) return;
  print_warning(manifest.name + (dry_run ? " would go back from " : " goes back from ") +
                installed.previous_version + " to " + manifest.version + why);
}

void add_providers_install(Command& providers, Globals& globals) {
  Command& command =
      providers.command("install", "Install providers from the registry, or one from its package");
  auto flags = std::make_shared<Flags>();
  command.option({.names = "NAME",
                  .target = &flags->names,
                  .summary = "NAME or NAME@VERSION (default: all that the lock file pins)"});
  command.option({.names = "-f,--file",
                  .target = &flags->file,
                  .summary = "A package on this machine",
                  .value = "FILE",
                  .excludes = "--url"});
  command.option({.names = "--url",
                  .target = &flags->url,
                  .summary = "A package somewhere else, by https; by http only with --sha256",
                  .value = "URL",
                  .excludes = "--file"});
  command.option({.names = "--sha256",
                  .target = &flags->sha256,
                  .summary = "What the package must be, in hexadecimal digits",
                  .value = "DIGITS",
                  .any_case = true,
                  .check = check_sha256});
  command.option({.names = "--force",
                  .target = &flags->force,
                  .summary = "Even if it shadows a provider that was put there by hand"});
  add_registry(command, flags->registry);
  add_change(command, flags->change);
  command.details =
      "NAME alone is the newest version that the registry has, but never older than what is there: an older "
      "one has to be named, as NAME@VERSION.";
  command.examples = {"cnspec providers install coffee@1.2.0",
                      "cnspec providers install --file coffee_1.2.0_linux_amd64.tar.xz"};
  command.run = [&globals, flags] { run(globals, *flags); };
}

}  // namespace cnspec::cli
