#include "packages/update.hpp"

#include <algorithm>

#include "base/semver.hpp"
#include "base/text.hpp"
#include "packages/install.hpp"
#include "provider/lockfile.hpp"

namespace cnspec::packages {

using provider::InstallOptions;
using provider::Lockfile;
using runtime::Runtime;

const char* to_string(Update::Outcome outcome) {
  switch (outcome) {
    case Update::Outcome::kUpdated: return "updated";
    case Update::Outcome::kCurrent: return "current";
    case Update::Outcome::kNewer: return "newer";
    case Update::Outcome::kUnknown: return "unknown";
    case Update::Outcome::kFailed: return "failed";
  }
  return "failed";
}

namespace {

Update update_one(Runtime& runtime, PackageSource& source, const provider::Found& installed,
                  const InstallOptions& options) {
  using Outcome = Update::Outcome;
  const std::string& name = installed.manifest.name;
  Update out{name, installed.manifest.version, "", Outcome::kUnknown, false, std::nullopt};
  const Lockfile* lock = runtime.lock();
  const provider::LockedProvider* locked = lock ? lock->find(name) : nullptr;
  if (lock && !locked) {
    out.pinned = true;  // by being left out
    out.outcome = Outcome::kUnknown;
    return out;
  }
  if (locked) {
    out.pinned = true;
    out.to = locked->version;
  } else if (auto newest = source.newest(name)) {
    out.to = *newest;
  } else if (newest.error().kind() == ErrorKind::kNotFound) {
    return out;
  } else {
    out.outcome = Outcome::kFailed;
    out.error = newest.error();
    return out;
  }
  const auto order = compare_versions(out.from, out.to);
  if (order && *order >= 0) {
    out.outcome = *order == 0 ? Outcome::kCurrent : Outcome::kNewer;
    return out;
  }
  auto done = install_from_registry(runtime, source, {name, out.to}, options);
  out.outcome = done ? Outcome::kUpdated : Outcome::kFailed;
  if (!done) out.error = done.error();
  return out;
}

}  // namespace

Result<std::vector<Update>> update_providers(Runtime& runtime, PackageSource& source,
                                             const std::vector<std::string>& names,
                                             const InstallOptions& options) {
  const auto installed = installed_providers(runtime);
  std::vector<std::string> known;
  for (const provider::Found& found : installed) known.push_back(found.manifest.name);
  for (const std::string& name : names) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    if (const auto* found = runtime.providers().by_name(name);
        found && found->origin == provider::Origin::kBundled) {
      return fail(
          Error("the provider " + name + " is part of cnspec, and is updated with it", ErrorKind::kRejected));
    }
    const std::string like = closest(name, known);
    return fail(Error("the provider " + quoted_if_needed(name) + " is not installed" +
                          (like.empty() ? "" : "; did you mean " + like + "?"),
                      ErrorKind::kNotFound)
                    .hint("install it: cnspec providers install " + quoted_if_needed(name)));
  }
  std::vector<Update> out;
  for (const provider::Found& found : installed) {
    const bool meant =
        names.empty() || std::find(names.begin(), names.end(), found.manifest.name) != names.end();
    if (meant) out.push_back(update_one(runtime, source, found, options));
  }
  return out;
}

}  // namespace cnspec::packages
