#include "provider/discovery.hpp"

#include <dirent.h>
#include <unistd.h>

#include <sys/stat.h>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <unordered_map>

#include "base/text.hpp"
#include "cnspec/provider.h"
#include "provider/elf.hpp"
#include "provider/lockfile.hpp"
#include "provider/trusted_file.hpp"

namespace cnspec::provider {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".so";

void add_paths(std::string_view list, const char* source, Origin origin, std::vector<Folder>& out,
               std::vector<Refused>& refused) {
  while (true) {
    const auto colon = list.find(':');
    const fs::path path(list.substr(0, colon));
    if (path.is_absolute()) {
      out.push_back({path.lexically_normal(), origin});
    } else {
      refused.push_back(
          {path, origin,
           Error(std::string(source) + " has " + (path.empty() ? "an empty entry" : "a relative entry") +
                     ", expected an absolute path",
                 ErrorKind::kUntrusted)});
    }
    if (colon == std::string_view::npos) return;
    list.remove_prefix(colon + 1);
  }
}

Result<std::vector<std::string>> sorted_entries(const fs::path& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), &::closedir);
  if (!dir) return fail(std::strerror(errno), errno == ENOENT ? ErrorKind::kNotFound : ErrorKind::kUntrusted);
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(dir.get())) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool is_folder(const fs::path& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

Result<Found> describe(PermissionChecker& permissions, const fs::path& path, Origin origin,
                       const std::shared_ptr<const TrustPolicy>& trust, bool alone) {
  auto opened = open_for(origin, permissions, path, trust.get(), alone);
  if (!opened) return fail(opened.error());
  auto section = read_elf_section(opened->file.fd(), opened->file.size(), CNSPEC_MANIFEST_SECTION);
  if (!section) return fail(section.error());
  auto manifest = read_manifest(*section);
  if (!manifest) return fail(manifest.error());
  if (origin != Origin::kBundled && trust && trust->lock) {
    auto allowed = allowed_name(*trust->lock, manifest->name, path.stem().string());
    if (!allowed) return fail(allowed.error());
  }
  return Found{std::move(*manifest), path, origin, std::move(opened->signer), trust};
}

class Search {
 public:
  explicit Search(std::shared_ptr<const TrustPolicy> trust) : policy_(std::move(trust)) {}

  Inventory inventory;

  void folder(const Folder& folder) {
    if (auto good = permissions_.check_folder(folder.path); !good) {
      // The user's and the system's folders are allowed not to be there; one that was named has to be.
      const bool optional = folder.origin == Origin::kUser || folder.origin == Origin::kSystem;
      if (good.error().kind() != ErrorKind::kNotFound || !optional)
        refuse(folder.path, folder.origin, good.error());
      return;
    }
    auto entries = sorted_entries(folder.path);
    if (!entries) return refuse(folder.path, folder.origin, entries.error());
    inventory.folders.push_back(folder);
    for (const std::string& entry : *entries) one(folder, entry, *entries);
  }

  void finish() {
    std::sort(inventory.active.begin(), inventory.active.end(),
              [](const Found& a, const Found& b) { return a.manifest.name < b.manifest.name; });
  }

 private:
  // NAME.so, or NAME/NAME.so. The existing tool's NAME.json beside a provider is no provider and no mistake.
  void one(const Folder& folder, const std::string& entry, const std::vector<std::string>& entries) {
    fs::path path = folder.path / entry;
    // What is gone by now is none.
    const auto refuse_if_there = [&](const fs::path& what, const Error& reason) {
      struct stat info {};
      if (::lstat((folder.path / entry).c_str(), &info) == 0) refuse(what, folder.origin, reason);
    };
    if (entry.ends_with(".json")) return;
    if (entry.ends_with(kSignatureSuffix)) return signature(folder, path);
    if (!entry.ends_with(kSuffix)) {
      if (!is_folder(path)) {
        return refuse_if_there(
            path, Error("expected a name that ends in " + std::string(kSuffix), ErrorKind::kInvalid));
      }
      const std::string file = entry + std::string(kSuffix);
      if (auto good = permissions_.check_folder(path); !good) return refuse_if_there(path, good.error());
      path /= file;
      struct stat info {};
      if (::lstat(path.c_str(), &info) != 0) {
        return refuse_if_there(
            path.parent_path(),
            Error("a folder without a provider in it, expected " + printable(file), ErrorKind::kInvalid));
      }
    }
    const bool alone = entry.ends_with(kSuffix) && !std::binary_search(entries.begin(), entries.end(),
                                                                       entry + std::string(kSignatureSuffix));
    auto found = describe(permissions_, path, folder.origin, policy_, alone);
    if (!found) return refuse_if_there(path, found.error());
    add(std::move(*found));
  }

  // Looked at with the provider beside it. One that was left behind, or has another name, vouches for
  // nothing.
  void signature(const Folder& folder, const fs::path& path) {
    const fs::path provider = path.parent_path() / path.stem();
    struct stat info {};
    if (::lstat(provider.c_str(), &info) == 0) return;
    refuse(path, folder.origin,
           Error("a signature without its file, expected " + printable(provider.filename().string()) +
                     " beside it",
                 ErrorKind::kInvalid));
  }

  // Two providers of one id cannot both answer; nor can two of one name be told apart by those who read it.
  void add(Found found) {
    const auto [id, new_id] = ids_.emplace(found.manifest.id, found.path);
    const auto [name, new_name] = names_.emplace(found.manifest.name, found.path);
    if (!new_id || !new_name) {
      const fs::path by = new_id ? name->second : id->second;
      if (new_id) ids_.erase(id);
      if (new_name) names_.erase(name);
      inventory.shadowed.push_back({std::move(found), by});
      return;
    }
    inventory.active.push_back(std::move(found));
  }

  void refuse(const fs::path& path, Origin origin, Error reason) {
    inventory.refused.push_back({path, origin, std::move(reason)});
  }

  const std::shared_ptr<const TrustPolicy> policy_;
  PermissionChecker permissions_;
  std::unordered_map<std::string, fs::path> ids_;  // of the active ones, and where they are
  std::unordered_map<std::string, fs::path> names_;
};

}  // namespace

const char* to_string(Origin origin) {
  switch (origin) {
    case Origin::kFlag: return "--providers-path";
    case Origin::kEnvironment: return "PROVIDERS_PATH";
    case Origin::kUser: return "user";
    case Origin::kSystem: return "system";
    case Origin::kBundled: return "bundled";
  }
  return "bundled";
}

const Found* Inventory::by_name(std::string_view name) const {
  const auto it =
      std::find_if(active.begin(), active.end(), [&](const Found& f) { return f.manifest.name == name; });
  return it == active.end() ? nullptr : &*it;
}

const Found* Inventory::by_connector(std::string_view connector) const {
  const Found* best = nullptr;
  for (const Found& found : active) {
    if (found.manifest.connector(connector) && (!best || found.origin < best->origin)) best = &found;
  }
  return best;
}

std::vector<Folder> search_folders(const SearchOptions& options, std::vector<Refused>& refused) {
  std::vector<Folder> out;
  for (const std::string& path : options.flag_paths) {
    add_paths(path, "--providers-path", Origin::kFlag, out, refused);
  }
  const char* environment = std::getenv("PROVIDERS_PATH");
  if (elevated()) {
    if (environment) {
      refused.push_back(
          {environment, Origin::kEnvironment,
           Error("this process is elevated and does not listen to PROVIDERS_PATH", ErrorKind::kUntrusted)});
    }
    out.push_back({"/opt/mondoo/providers", Origin::kSystem});
  } else if (environment) {
    add_paths(environment, "PROVIDERS_PATH", Origin::kEnvironment, out, refused);
  } else {
    const char* home = std::getenv("HOME");
    if (home && fs::path(home).is_absolute()) {
      out.push_back({fs::path(home) / ".config/mondoo/providers", Origin::kUser});
    }
    out.push_back({"/opt/mondoo/providers", Origin::kSystem});
  }
  if (!options.bundled.empty()) out.push_back({options.bundled, Origin::kBundled});
  return out;
}

Inventory discover(const SearchOptions& options) {
  Search search(options.trust);
  std::vector<Refused> bad_entries;
  const auto folders = search_folders(options, bad_entries);
  search.inventory.refused = std::move(bad_entries);
  for (const Folder& folder : folders) search.folder(folder);
  search.finish();
  return std::move(search.inventory);
}

Result<VerifiedFile> open_for(Origin origin, PermissionChecker& permissions, const fs::path& path,
                              const TrustPolicy* trust, bool alone) {
  if (origin != Origin::kBundled)
    return open_verified(permissions, path, trust ? *trust : TrustPolicy{}, alone);
  auto file = permissions.open(path);
  if (!file) return fail(file.error());
  return VerifiedFile{std::move(*file), {Signer::State::kBundled, "", ""}};
}

Result<Found> examine(const SearchOptions& options, const fs::path& file, Origin origin) {
  PermissionChecker permissions;
  if (auto good = permissions.check_folder(file.parent_path()); !good) return fail(good.error());
  return describe(permissions, file, origin, options.trust, false);
}

}  // namespace cnspec::provider
