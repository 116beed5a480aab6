#include "packages/install.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "base/semver.hpp"
#include "base/text.hpp"
#include "provider/lockfile.hpp"
#include "runtime/archive.hpp"
#include "runtime/network.hpp"

namespace cnspec::packages {

using provider::InstallOptions;
using provider::Lockfile;
using provider::PackageName;
using runtime::Runtime;

namespace {

// What a wanted provider has to be: by the lock file where there is one.
struct Choice {
  std::string version, pinned;
};

// Empty: it is not among them.
std::string version_of(const std::vector<provider::Found>& installed, const std::string& name) {
  for (const provider::Found& found : installed) {
    if (found.manifest.name == name) return found.manifest.version;
  }
  return {};
}

Result<Choice> choose(Runtime& runtime, PackageSource& source, const ProviderSpec& wanted) {
  const Lockfile* lock = runtime.lock();
  if (!lock) {
    if (!wanted.version.empty()) return Choice{wanted.version, ""};
    auto version = source.newest(wanted.name);
    if (!version) return fail(version.error());
    const std::string here = version_here(runtime, installed_providers(runtime), wanted.name);
    if (is_older(*version, here))
      return fail(only_an_older_one(source, wanted.name, *version, here + ", which is here", "install"));
    return Choice{std::move(*version), ""};
  }
  const std::string file = printable(lock->path.string());
  const provider::LockedProvider* locked = lock->find(wanted.name);
  if (!locked) {
    return fail(Error(file + " does not name " + wanted.name, ErrorKind::kRejected)
                    .hint("pin it as well: cnspec providers lock " + wanted.name));
  }
  if (!wanted.version.empty()) {
    auto allowed = provider::allowed_version(*lock, wanted.name, wanted.version);
    if (!allowed)
      return fail(
          Error(allowed.error().message(), ErrorKind::kRejected)
              .hint("pin the other version: cnspec providers lock " + wanted.name + "@" + wanted.version));
  }
  const std::string here = this_platform().text();
  const auto files = locked->platforms.find(here);
  if (files == locked->platforms.end()) {
    return fail(Error(file + " pins no " + wanted.name + " for " + here, ErrorKind::kRejected)
                    .hint("pin it as well: cnspec providers lock " + wanted.name + " --platform " + here));
  }
  return Choice{locked->version, files->second.package};
}

}  // namespace

Result<provider::PackageTools> package_tools() {
  auto archive = runtime::load_archive();
  if (!archive) return fail(archive.error());
  auto network = runtime::load_network();
  if (!network) return fail(network.error());
  return provider::PackageTools{archive->read, (*network)->crypto};
}

provider::InstallOptions change_options(const Runtime& runtime) {
  provider::InstallOptions options;
  options.search = runtime.search();
  options.deadline = runtime.deadline();
  return options;
}

Result<provider::InstallOptions> install_options(const Runtime& runtime) {
  auto tools = package_tools();
  if (!tools) return fail(tools.error());
  provider::InstallOptions options = change_options(runtime);
  options.tools = *tools;
  return options;
}

Result<InstalledFrom> install_from_registry(Runtime& runtime, PackageSource& source,
                                            const ProviderSpec& wanted, const InstallOptions& options) {
  auto choice = choose(runtime, source, wanted);
  if (!choice) return fail(choice.error());
  const PlatformName here = this_platform();
  const PackageName what{wanted.name, choice->version, here.os, here.arch};
  auto fetched = source.fetch(what, choice->pinned);
  if (!fetched) return fail(fetched.error());
  // What the lock file refuses from now on has a version all the same.
  const std::string before = version_of(installed_providers(runtime), what.name);
  auto installed =
      provider::install_package(fetched->package(), {what.name, what.version, fetched->sha256}, options);
  if (!installed) return fail(installed.error());
  if (!installed->previous_version.empty() && !before.empty()) installed->previous_version = before;
  return InstalledFrom{std::move(*installed), fetched->url, fetched->verified_by};
}

bool is_older(const std::string& version, const std::string& than) {
  const auto order = compare_versions(version, than);
  return order && *order < 0;
}

std::string version_here(Runtime& runtime, const std::vector<provider::Found>& installed,
                         const std::string& name) {
  const std::string out = version_of(installed, name);
  const provider::Found* used = runtime.providers().by_name(name);
  return used && (out.empty() || is_older(out, used->manifest.version)) ? used->manifest.version : out;
}

Error only_an_older_one(const PackageSource& source, const std::string& name, const std::string& version,
                        const std::string& newer, const std::string& command) {
  return Error("the newest version of " + name + " in the registry " + printable(source.url()) + " is " +
                   version + ", which is older than " + newer,
               ErrorKind::kRejected)
      .hint("if the older one is meant: cnspec providers " + command + " " + name + "@" + version);
}

std::vector<provider::Found> installed_providers(const Runtime& runtime) {
  provider::SearchOptions search = runtime.search();
  auto unpinned = std::make_shared<provider::TrustPolicy>(runtime.trust());
  unpinned->lock = nullptr;
  search.trust = std::move(unpinned);
  const auto place = provider::install_folder(search);
  std::vector<provider::Found> out;
  if (!place) return out;
  provider::Inventory inventory = provider::discover(search);
  const auto take = [&](provider::Found& found) {
    const bool here = found.path.parent_path() == place->path / found.manifest.name;
    if (found.origin != provider::Origin::kBundled && here) out.push_back(std::move(found));
  };
  for (provider::Found& found : inventory.active) take(found);
  for (provider::Shadowed& shadowed : inventory.shadowed) take(shadowed.provider);
  std::sort(out.begin(), out.end(), [](const provider::Found& a, const provider::Found& b) {
    return a.manifest.name < b.manifest.name;
  });
  return out;
}

}  // namespace cnspec::packages
