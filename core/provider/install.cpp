#include "provider/install.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <tuple>
#include <utility>

#include "base/interrupt.hpp"
#include "base/names.hpp"
#include "base/text.hpp"
#include "provider/install_root.hpp"
#include "provider/sandbox.hpp"

namespace cnspec::provider {
namespace {

namespace fs = std::filesystem;

fs::path library_in(const fs::path& folder, const std::string& name) { return folder / (name + ".so"); }

fs::path signature_of(const fs::path& library) { return library.string() + std::string(kSignatureSuffix); }

bool same_contents(const fs::path& a, const fs::path& b) {
  if (!is_there(a) || !is_there(b)) return is_there(a) == is_there(b);
  std::ifstream one(a, std::ios::binary), other(b, std::ios::binary);
  std::vector<char> left(64 << 10), right(64 << 10);
  while (one && other) {
    one.read(left.data(), static_cast<std::streamsize>(left.size()));
    other.read(right.data(), static_cast<std::streamsize>(right.size()));
    if (one.gcount() != other.gcount() ||
        !std::equal(left.begin(), left.begin() + one.gcount(), right.begin()))
      return false;
  }
  return one.eof() && other.eof();
}

// Which of two providers of one name is used: the one that the search meets first.
class Order {
 public:
  explicit Order(const SearchOptions& search) {
    std::vector<Refused> ignored;
    folders_ = search_folders(search, ignored);
  }
  auto rank(const fs::path& library) const {
    std::size_t place = 0;
    while (place < folders_.size() && !holds(folders_[place].path, library)) ++place;
    const fs::path below =
        place < folders_.size() ? library.lexically_relative(folders_[place].path) : library;
    return std::make_pair(place, below.empty() ? std::string() : below.begin()->string());
  }

 private:
  static bool holds(const fs::path& folder, const fs::path& library) {
    return library.parent_path() == folder || library.parent_path().parent_path() == folder;
  }
  std::vector<Folder> folders_;
};

std::vector<const Found*> all(const Inventory& inventory) {
  std::vector<const Found*> out;
  for (const Found& found : inventory.active) out.push_back(&found);
  for (const Shadowed& shadowed : inventory.shadowed) out.push_back(&shadowed.provider);
  return out;
}

bool alike(const Found& a, const Found& b) {
  return a.manifest.name == b.manifest.name || a.manifest.id == b.manifest.id;
}

// The provider that is used in place of this one, if any.
fs::path shadows(const Found& provider, const Inventory& inventory, const Order& order) {
  const Found* first = nullptr;
  for (const Found* other : all(inventory)) {
    if (other->path == provider.path || !alike(*other, provider)) continue;
    if (order.rank(other->path) > order.rank(provider.path)) continue;
    if (!first || order.rank(other->path) < order.rank(first->path)) first = other;
  }
  return first ? first->path : fs::path();
}

// Somebody's own file in the same folder, which the provider would hide.
fs::path put_by_hand(const Found& provider, const fs::path& folder, const Inventory& inventory) {
  const fs::path plain = library_in(folder, provider.manifest.name);
  if (is_there(plain)) return plain;
  for (const Found* other : all(inventory)) {
    if (other->path.parent_path() == folder && alike(*other, provider)) return other->path;
  }
  return {};
}

std::string version_in_place(const fs::path& library, const Inventory& inventory) {
  for (const Found* found : all(inventory)) {
    if (found->path == library) return found->manifest.version;
  }
  return is_there(library) ? "unknown" : "";
}

Result<void> check_place(const fs::path& place) {
  struct stat info {};
  if (::lstat(place.c_str(), &info) != 0 || S_ISDIR(info.st_mode) || S_ISLNK(info.st_mode)) return {};
  return fail(
      Error(printable(place.string()) + " is in the way: expected a folder or nothing", ErrorKind::kInvalid)
          .hint("move it away"));
}

Result<void> check_name(const std::string& name) {
  if (is_provider_name(name)) return {};
  return fail(quoted_if_needed(name) + " is no name of a provider: expected letters, digits and dashes",
              ErrorKind::kUsage);
}

Result<void> check_identity(const Manifest& manifest, const std::string& file, const Expected& expected) {
  if (manifest.name != file) {
    return fail("holds " + file + ".so, which says of itself that it is the provider " + manifest.name +
                    ": expected the same name",
                ErrorKind::kInvalid);
  }
  if (!expected.version.empty() && manifest.version != expected.version) {
    return fail("holds version " + manifest.version + " of " + manifest.name + ", expected " +
                    printable(expected.version),
                ErrorKind::kInvalid);
  }
  return {};
}

// Unpacks into an empty folder that is ours alone, and judges what came out as discover() would.
Result<Inspected> open_in(const fs::path& folder, const Package& package, const Expected& expected,
                          const InstallOptions& options) {
  auto contents = unpack(package, expected, folder, options.tools);
  if (!contents) return fail(contents.error());
  const auto refuse = [&](const Error& why) {
    return fail(Error::wrap("the package " + printable(package.shown), why));
  };
  const fs::path library = library_in(folder, contents->name);
  auto found = examine(options.search, library, Origin::kFlag);
  if (!found) return refuse(Error::wrap(library.filename().string(), found.error()));
  if (auto good = check_identity(found->manifest, contents->name, expected); !good)
    return refuse(good.error());
  return Inspected{std::move(*found), std::move(*contents)};
}

// Everything but the switch. What it found lies in `staged`, and is described as if it were in place.
Result<Installed> prepare(const Package& package, const Expected& expected, const Folder& folder,
                          const fs::path& staged, const InstallOptions& options) {
  auto inspected = open_in(staged, package, expected, options);
  if (!inspected) return fail(inspected.error());
  Installed report;
  report.sha256 = inspected->contents.sha256;
  report.provider = std::move(inspected->provider);
  const std::string& name = report.provider.manifest.name;
  const fs::path place = folder.path / name;
  report.provider.path = library_in(place, name);
  report.provider.origin = folder.origin;
  if (auto good = check_place(place); !good) return fail(good.error());

  const Inventory inventory = discover(options.search);
  report.previous_version = version_in_place(report.provider.path, inventory);
  report.shadowed_by = shadows(report.provider, inventory, Order(options.search));
  report.unchanged =
      is_there(report.provider.path) && same_contents(library_in(staged, name), report.provider.path) &&
      same_contents(signature_of(library_in(staged, name)), signature_of(report.provider.path));
  const fs::path own = put_by_hand(report.provider, folder.path, inventory);
  if (!own.empty() && !options.force && !report.unchanged) {
    return fail(Error(printable(own.string()) + ", which was put there by hand, would be shadowed by " +
                          printable(report.provider.path.string()),
                      ErrorKind::kRejected)
                    .hint("move that file away, or say --force"));
  }
  return report;
}

std::vector<fs::path> files_of(const std::string& name, const fs::path& folder, const Inventory& inventory) {
  std::vector<fs::path> out;
  const auto add = [&](const fs::path& path) {
    if (is_there(path) && std::find(out.begin(), out.end(), path) == out.end()) out.push_back(path);
  };
  add(folder / name);
  add(previous_folder(folder, name));
  add(library_in(folder, name));
  add(signature_of(library_in(folder, name)));
  for (const Found* found : all(inventory)) {
    if (found->manifest.name != name) continue;
    if (found->path.parent_path() == folder) {
      add(found->path);
      add(signature_of(found->path));
    } else if (found->path.parent_path().parent_path() == folder) {
      add(found->path.parent_path());
    }
  }
  return out;
}

Error nothing_to_remove(const std::string& name, const fs::path& folder, const Inventory& inventory) {
  if (const Found* elsewhere = inventory.by_name(name)) {
    if (elsewhere->origin == Origin::kBundled) {
      return Error("the provider " + name + " is part of cnspec and cannot be removed", ErrorKind::kRejected);
    }
    const fs::path file = elsewhere->path.parent_path();
    const fs::path where = file.filename() == name ? file.parent_path() : file;
    return Error("the provider " + name + " is not in " + printable(folder.string()) + " but in " +
                     printable(where.string()),
                 ErrorKind::kNotFound)
        .hint("add --providers-path " + printable(where.string()));
  }
  std::vector<std::string> names;
  for (const Found* found : all(inventory)) {
    if (found->origin != Origin::kBundled) names.push_back(found->manifest.name);
  }
  const std::string like = closest(name, names);
  return Error("there is no provider " + name + " in " + printable(folder.string()) +
                   (like.empty() ? "" : "; did you mean " + like + "?"),
               ErrorKind::kNotFound);
}

// Nothing in a dry run, which only asks whether it could be opened.
Result<std::optional<InstallRoot>> open_install_root(const fs::path& folder, const InstallOptions& options) {
  if (options.dry_run) {
    if (auto good = check_install_root(folder); !good) return fail(good.error());
    return std::nullopt;
  }
  auto opened = InstallRoot::open(folder, options.deadline);
  if (!opened) return fail(opened.error());
  return std::move(*opened);
}

Result<void> remove_files(InstallRoot& root, const std::string& name, const fs::path& folder,
                          const std::vector<fs::path>& files) {
  for (const fs::path& path : files) {
    if (path == folder / name || path == previous_folder(folder, name)) continue;
    std::error_code ec;
    fs::remove_all(path, ec);
    if (ec) return fail(printable(path.string()) + " cannot be removed: " + ec.message());
  }
  return root.drop(name);
}

}  // namespace

Result<Folder> install_folder(const SearchOptions& search) {
  std::vector<Refused> refused;
  const auto folders = search_folders(search, refused);
  // A mistake in what was named is no reason to change another folder.
  if (!refused.empty()) {
    return fail(
        Error("no provider can be installed: " + refused.front().reason.message(), ErrorKind::kUsage));
  }
  const Origin fallback = ::geteuid() == 0 || elevated() ? Origin::kSystem : Origin::kUser;
  for (const Folder& folder : folders) {
    if (folder.origin == Origin::kFlag || folder.origin == Origin::kEnvironment || folder.origin == fallback)
      return folder;
  }
  return fail(Error("no provider can be installed: HOME is not set to an absolute path", ErrorKind::kUsage)
                  .hint("name a folder with --providers-path"));
}

Result<Inspected> inspect_package(const Package& package, const Expected& expected,
                                  const InstallOptions& options) {
  const interrupt::Hold hold;
  auto scratch = Scratch::make();
  if (!scratch) return fail(scratch.error());
  auto inspected = open_in(scratch->path(), package, expected, options);
  if (inspected) inspected->provider.path = inspected->contents.name + ".so";
  return inspected;
}

Result<Installed> install_package(const Package& package, const Expected& expected,
                                  const InstallOptions& options) {
  auto folder = install_folder(options.search);
  if (!folder) return fail(folder.error());
  if (options.dry_run) {
    if (auto good = check_install_root(folder->path); !good) return fail(good.error());
    const interrupt::Hold hold;
    auto scratch = Scratch::make();
    if (!scratch) return fail(scratch.error());
    return prepare(package, expected, *folder, scratch->path(), options);
  }
  auto root = InstallRoot::open(folder->path, options.deadline);
  if (!root) return fail(root.error());
  auto staged = root->stage();
  if (!staged) return fail(staged.error());
  auto report = prepare(package, expected, *folder, *staged, options);
  if (!report || report->unchanged) return report;
  if (auto put = root->put(report->provider.manifest.name); !put) return fail(put.error());
  return report;
}

Result<Removed> remove_provider(const std::string& name, const InstallOptions& options) {
  if (auto good = check_name(name); !good) return fail(good.error());
  auto folder = install_folder(options.search);
  if (!folder) return fail(folder.error());
  const Inventory inventory = discover(options.search);
  // The folder is not made for nothing.
  if (files_of(name, folder->path, inventory).empty())
    return fail(nothing_to_remove(name, folder->path, inventory));

  Removed report;
  report.name = name;
  auto root = open_install_root(folder->path, options);
  if (!root) return fail(root.error());
  report.files = files_of(name, folder->path, inventory);
  for (const Found* found : all(inventory)) {
    if (found->manifest.name != name) continue;
    const bool goes = std::any_of(report.files.begin(), report.files.end(), [&](const fs::path& path) {
      return found->path == path || found->path.parent_path() == path;
    });
    if (goes) {
      if (report.version.empty()) report.version = found->manifest.version;
    } else if (!report.now ||
               Order(options.search).rank(found->path) < Order(options.search).rank(report.now->path)) {
      report.now = *found;
    }
  }
  if (*root) {
    if (auto removed = remove_files(**root, name, folder->path, report.files); !removed)
      return fail(removed.error());
  }
  return report;
}

std::string kept_version(const Found& provider, const SearchOptions& search) {
  const std::string& name = provider.manifest.name;
  const fs::path place = provider.path.parent_path();
  if (place.filename() != name) return {};
  const auto kept =
      examine(search, library_in(previous_folder(place.parent_path(), name), name), provider.origin);
  return kept ? kept->manifest.version : std::string();
}

Result<RolledBack> rollback_provider(const std::string& name, const InstallOptions& options) {
  if (auto good = check_name(name); !good) return fail(good.error());
  auto folder = install_folder(options.search);
  if (!folder) return fail(folder.error());
  const fs::path before = previous_folder(folder->path, name);
  const fs::path place = folder->path / name;
  const auto nothing = [&] {
    const Inventory inventory = discover(options.search);
    const Found* used = inventory.by_name(name);
    if (used && used->origin == Origin::kBundled) {
      return fail(
          Error("the provider " + name + " is part of cnspec and cannot be put back", ErrorKind::kRejected));
    }
    return fail(
        Error("there is no version of " + name + " from before in " + printable(folder->path.string()),
              ErrorKind::kNotFound)
            .hint("one is kept whenever a provider is replaced by another version"));
  };
  // What a killed process left may hold it as well, so only a missing folder is a sure sign.
  if (!is_there(folder->path)) return nothing();

  auto root = open_install_root(folder->path, options);
  if (!root) return fail(root.error());
  if (!is_there(before)) return nothing();
  auto found = examine(options.search, library_in(before, name), folder->origin);
  if (!found) {
    return fail(Error::wrap("the version of " + name + " from before is not put back: " +
                                printable(library_in(before, name).string()),
                            found.error()));
  }
  if (auto good = check_identity(found->manifest, name, {}); !good) {
    return fail(
        Error::wrap("the version of " + name + " from before is not put back: " + printable(before.string()),
                    good.error()));
  }
  if (auto good = check_place(place); !good) return fail(good.error());
  const Inventory inventory = discover(options.search);
  RolledBack report;
  report.provider = std::move(*found);
  report.provider.path = library_in(place, name);
  report.previous_version = version_in_place(report.provider.path, inventory);
  report.shadowed_by = shadows(report.provider, inventory, Order(options.search));
  if (*root) {
    if (auto swapped = (*root)->swap(name); !swapped) return fail(swapped.error());
  }
  return report;
}

}  // namespace cnspec::provider
