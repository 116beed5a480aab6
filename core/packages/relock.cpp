#include "packages/relock.hpp"

#include <algorithm>
#include <set>

#include "base/file.hpp"
#include "base/file_lock.hpp"
#include "base/interrupt.hpp"
#include "base/text.hpp"
#include "packages/file_hash.hpp"
#include "packages/install.hpp"
#include "provider/sandbox.hpp"

namespace cnspec::packages {
namespace {

using provider::LockedFiles;
using provider::LockedProvider;
using provider::Lockfile;
using provider::PackageName;
using runtime::Runtime;

// The hashes of a package and of the library in it.
Result<LockedFiles> read_package(PackageSource& source, const PackageName& what,
                                 const provider::PackageTools& tools) {
  auto fetched = source.fetch(what, "");
  if (!fetched) return fail(fetched.error());
  const interrupt::Hold hold;  // nothing stays behind
  auto scratch = provider::Scratch::make();
  if (!scratch) return fail(scratch.error());
  auto unpacked = provider::unpack(fetched->package(), {what.name, what.version, fetched->sha256},
                                   scratch->path(), tools);
  if (!unpacked) return fail(unpacked.error());
  auto library = sha256_of(scratch->path() / (unpacked->name + ".so"));
  if (!library) return fail(library.error());
  return LockedFiles{unpacked->sha256, std::move(*library)};
}

// What was pinned once stays what it was, as long as the version does.
Result<void> same_as_before(const Lockfile& lock, const PackageName& what, const LockedFiles& now) {
  const LockedProvider* locked = lock.find(what.name);
  if (!locked || locked->version != what.version) return {};
  const auto before = locked->platforms.find(what.os + "/" + what.arch);
  if (before == locked->platforms.end() || before->second.package == now.package) return {};
  return fail(Error("the package of " + what.name + " " + what.version + " for " + what.os + "/" + what.arch +
                        " is another one than " + printable(lock.path.string()) + " pins: expected SHA-256 " +
                        before->second.package + ", found " + now.package,
                    ErrorKind::kUntrusted)
                  .hint("a released version does not change; ask whoever runs the registry. If it is meant, "
                        "take the entry out of the file first"));
}

Result<std::vector<ProviderSpec>> wanted_or_installed(const Runtime& runtime,
                                                      const std::vector<provider::Found>& installed,
                                                      const std::vector<ProviderSpec>& names) {
  if (!names.empty()) return names;
  std::vector<ProviderSpec> out;
  for (const provider::Found& found : installed) out.push_back({found.manifest.name, found.manifest.version});
  // Those that are pinned and not installed here stay, and get the platforms that are wanted.
  if (const Lockfile* lock = runtime.lock()) {
    for (const auto& [name, locked] : lock->providers) {
      const auto same = [&, &key = name](const ProviderSpec& one) { return one.name == key; };
      if (std::none_of(out.begin(), out.end(), same)) out.push_back({name, locked.version});
    }
  }
  if (out.empty()) {
    return fail(Error("there is nothing to pin: no provider is installed", ErrorKind::kUsage)
                    .hint("name what is to be pinned: cnspec providers lock NAME"));
  }
  return out;
}

// Nothing is pinned to an older version than it was, or than what is here, unless the user names that
// version.
Result<void> not_back(Runtime& runtime, const std::vector<provider::Found>& installed,
                      const PackageSource& source, const Lockfile& before, const std::string& name,
                      const std::string& version, bool newest) {
  const LockedProvider* locked = before.find(name);
  const std::string file = printable(before.path.string());
  if (locked && is_older(version, locked->version)) {
    if (newest) {
      return fail(
          only_an_older_one(source, name, version, locked->version + ", which " + file + " pins", "lock"));
    }
    return fail(Error("the installed " + name + " " + version + " is older than " + locked->version +
                          ", which " + file + " pins",
                      ErrorKind::kRejected)
                    .hint("bring what it pins: cnspec providers install " + name +
                          "; or pin the older one: cnspec providers lock " + name + "@" + version));
  }
  const std::string here = newest ? version_here(runtime, installed, name) : "";
  if (!is_older(version, here)) return {};
  return fail(only_an_older_one(source, name, version, here + ", which is here", "lock"));
}

// Pins one provider at this version, for `platforms` and for those it was pinned for before.
Result<Relock::Change> pin(PackageSource& source, const std::string& name, const std::string& version,
                           const std::vector<PlatformName>& platforms, const provider::PackageTools& tools,
                           const Lockfile& before, LockedProvider& locked) {
  // Of another version, the platforms that were pinned are wanted again.
  std::set<std::string> all;
  for (const PlatformName& platform : platforms) all.insert(platform.text());
  if (locked.version != version) {
    for (const auto& [platform, files] : locked.platforms) all.insert(platform);
    locked.platforms.clear();
  }
  Relock::Change change{name, locked.version, version, {}};
  locked.version = version;
  for (const std::string& platform : all) {
    const auto parsed = parse_platform(platform);
    if (!parsed) return fail(parsed.error());
    const PackageName what{name, version, parsed->os, parsed->arch};
    auto files = read_package(source, what, tools);
    if (!files) return fail(files.error());
    if (auto same = same_as_before(before, what, *files); !same) return fail(same.error());
    locked.platforms[platform] = std::move(*files);
    change.platforms.push_back(platform);
  }
  return change;
}

// Of what is installed here and is not what is pinned now.
std::vector<std::string> warnings_of(const std::vector<provider::Found>& installed, const std::string& name,
                                     const LockedProvider& locked) {
  std::vector<std::string> out;
  const auto here = locked.platforms.find(this_platform().text());
  if (here == locked.platforms.end()) return out;
  for (const provider::Found& found : installed) {
    if (found.manifest.name != name) continue;
    const auto hash = sha256_of(found.path);
    if (hash && *hash == here->second.library) continue;
    out.push_back(
        "the installed " + name + " " + found.manifest.version +
        " is not what is pinned now, and will not be used; to bring that: cnspec providers install " + name);
  }
  return out;
}

}  // namespace

Result<Relock> relock(Runtime& runtime, PackageSource& source, const std::vector<ProviderSpec>& names,
                      const std::vector<PlatformName>& platforms, const provider::PackageTools& tools) {
  const auto installed = installed_providers(runtime);
  auto wanted = wanted_or_installed(runtime, installed, names);
  if (!wanted) return fail(wanted.error());
  Relock out;
  if (runtime.lock()) {
    out.lock = *runtime.lock();
    out.before = to_text(out.lock);
  }
  out.lock.path = runtime.lock_path();
  const Lockfile before = out.lock;
  for (const ProviderSpec& one : *wanted) {
    auto version = one.version.empty() ? source.newest(one.name) : one.version;
    if (!version) return fail(version.error());
    if (names.empty() || one.version.empty()) {
      auto good = not_back(runtime, installed, source, before, one.name, *version, one.version.empty());
      if (!good) return fail(good.error());
    }
    LockedProvider& locked = out.lock.providers[one.name];
    auto change = pin(source, one.name, *version, platforms, tools, before, locked);
    if (!change) return fail(change.error());
    out.changes.push_back(std::move(*change));
    for (std::string& warning : warnings_of(installed, one.name, locked))
      out.warnings.push_back(std::move(warning));
  }
  return out;
}

Result<void> write_lockfile(const Relock& relock, std::chrono::steady_clock::time_point deadline) {
  constexpr mode_t kMode = 0644;  // what is pinned is no secret
  const auto path = behind_links(relock.lock.path);
  const std::string shown = printable(path.string());
  if (auto made = make_folders(path.parent_path()); !made) return made;
  auto held = FileLock::take_beside(path, deadline);
  if (!held) return fail(held.error());
  const auto now = provider::read_lockfile(path);
  if (!now) return fail(now.error());
  if ((*now ? to_text(**now) : "") != relock.before) {
    return fail(
        Error(shown + " has been changed meanwhile", ErrorKind::kRejected).hint("run the command again"));
  }
  return write_file_atomically(path, to_text(relock.lock), kMode);
}

}  // namespace cnspec::packages
