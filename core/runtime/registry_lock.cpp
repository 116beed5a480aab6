// What becomes of the lock file, and the mirror of what it pins.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>

#include "base/encoding.hpp"
#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/interrupt.hpp"
#include "base/json.hpp"
#include "base/random.hpp"
#include "base/text.hpp"
#include "provider/sandbox.hpp"
#include "runtime/network.hpp"
#include "runtime/registry.hpp"

namespace cnspec::runtime {
namespace {

namespace fs = std::filesystem;
using provider::LockedFiles;
using provider::LockedProvider;
using provider::Lockfile;
using provider::PackageName;

constexpr std::size_t kPiece = 256 << 10;
constexpr mode_t kFolderMode = 0755, kFileMode = 0644;  // a web server reads them

tl::unexpected<Error> failed(const fs::path& path, const std::string& what) {
  return fail(printable(path.string()) + " cannot be " + what + ": " + std::strerror(errno));
}

// Calls `use` with one piece of the file after the other, from its beginning.
Result<std::uint64_t> each_piece(int fd, const std::string& shown,
                                 const std::function<Result<void>(std::string_view)>& use) {
  std::vector<char> piece(kPiece);
  std::uint64_t done = 0;
  while (true) {
    const ssize_t got = ::pread(fd, piece.data(), piece.size(), static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(shown + " cannot be read: " + std::strerror(errno));
    if (got == 0) return done;
    if (auto used = use({piece.data(), static_cast<std::size_t>(got)}); !used) return fail(used.error());
    done += static_cast<std::uint64_t>(got);
  }
}

Result<std::string> sha256_of(int fd, const std::string& shown) {
  auto network = load_network();
  if (!network) return fail(network.error());
  const auto hash = (*network)->crypto->make_hash(HashKind::kSha256);
  auto read = each_piece(fd, shown, [&](std::string_view bytes) -> Result<void> {
    hash->update(bytes);
    return {};
  });
  if (!read) return fail(read.error());
  return hex_encode(hash->finish());
}

Result<std::string> sha256_of(const fs::path& file) {
  const Fd fd(::open(file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  return fd ? sha256_of(fd.get(), printable(file.string())) : failed(file, "read");
}

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

Result<std::vector<Wanted>> wanted_or_installed(const Runtime& runtime, const std::vector<Wanted>& names) {
  if (!names.empty()) return names;
  std::vector<Wanted> out;
  for (const provider::Found& found : installed_providers(runtime))
    out.push_back({found.manifest.name, found.manifest.version});
  // Those that are pinned and not installed here stay, and get the platforms that are wanted.
  if (const Lockfile* lock = runtime.trust().lock.get()) {
    for (const auto& [name, locked] : lock->providers) {
      const auto same = [&, &key = name](const Wanted& w) { return w.name == key; };
      if (std::none_of(out.begin(), out.end(), same)) out.push_back({name, locked.version});
    }
  }
  if (out.empty()) {
    return fail(Error("there is nothing to pin: no provider is installed", ErrorKind::kUsage)
                    .hint("name what is to be pinned: cnspec providers lock NAME"));
  }
  return out;
}

}  // namespace

Result<Relock> relock(Runtime& runtime, PackageSource& source, const std::vector<Wanted>& names,
                      const std::vector<PlatformName>& platforms, const provider::PackageTools& tools) {
  auto wanted = wanted_or_installed(runtime, names);
  if (!wanted) return fail(wanted.error());
  const auto installed = installed_providers(runtime);
  Relock out;
  if (runtime.trust().lock) out.lock = *runtime.trust().lock;
  out.lock.path = runtime.lock_path();
  const Lockfile before = out.lock;
  for (const Wanted& one : *wanted) {
    std::string version = one.version;
    if (version.empty()) {
      auto newest = source.newest(one.name);
      if (!newest) return fail(newest.error());
      version = std::move(*newest);
    }
    LockedProvider& locked = out.lock.providers[one.name];
    // Of another version, the platforms that were pinned are wanted again.
    std::set<std::string> all;
    for (const PlatformName& platform : platforms) all.insert(platform.text());
    if (locked.version != version) {
      for (const auto& [platform, files] : locked.platforms) all.insert(platform);
      locked.platforms.clear();
    }
    Relock::Change change{one.name, locked.version, version, {}};
    locked.version = version;
    for (const std::string& platform : all) {
      const auto parsed = parse_platform(platform);
      if (!parsed) return fail(parsed.error());
      const PackageName what{one.name, version, parsed->os, parsed->arch};
      auto files = read_package(source, what, tools);
      if (!files) return fail(files.error());
      if (auto same = same_as_before(before, what, *files); !same) return fail(same.error());
      locked.platforms[platform] = std::move(*files);
      change.platforms.push_back(platform);
    }
    for (const provider::Found& found : installed) {
      const auto here = locked.platforms.find(this_platform().text());
      if (found.manifest.name != one.name || here == locked.platforms.end()) continue;
      const auto hash = sha256_of(found.path);
      if (hash && *hash == here->second.library) continue;
      out.warnings.push_back("the installed " + one.name + " " + found.manifest.version +
                             " is not what is pinned now, and will not be used; to bring that: cnspec "
                             "providers install " +
                             one.name);
    }
    out.changes.push_back(std::move(change));
  }
  return out;
}

// ---- mirror ----

namespace {

// A file below the mirror's folder; old or new, never half.
Result<void> put(const fs::path& file, const std::function<Result<void>(int fd)>& write) {
  const interrupt::Hold hold;
  const fs::path temporary = file.parent_path() / ("." + file.filename().string() + "." + random_hex(6));
  Fd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kFileMode));
  if (!fd) return failed(file, "written");
  auto done = write(fd.get());
  if (done && (::fchmod(fd.get(), kFileMode) != 0 || ::fsync(fd.get()) != 0 || fd.close() != 0))
    done = failed(file, "written");
  if (done && ::rename(temporary.c_str(), file.c_str()) != 0) done = failed(file, "written");
  if (!done) ::unlink(temporary.c_str());
  return done;
}

Result<void> write_all(int fd, std::string_view bytes, const fs::path& file) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return failed(file, "written");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

Result<void> put_text(const fs::path& file, const std::string& text) {
  return put(file, [&](int fd) { return write_all(fd, text, file); });
}

Result<void> make_public_folders(const fs::path& folder) {
  std::error_code ec;
  if (folder.empty() || fs::is_directory(folder, ec)) return {};
  if (auto above = make_public_folders(folder.parent_path()); !above) return above;
  if (::mkdir(folder.c_str(), kFolderMode) != 0 && errno != EEXIST) return failed(folder, "made");
  // Whatever the umask is: who serves it has to get in.
  if (::chmod(folder.c_str(), kFolderMode) != 0) return failed(folder, "made");
  return {};
}

class Mirror {
 public:
  Mirror(PackageSource& source, fs::path folder, bool dry_run)
      : source_(source), folder_(std::move(folder)), dry_run_(dry_run) {}

  Result<std::vector<Mirrored>> all(const Lockfile& lock) {
    for (const auto& [name, locked] : lock.providers) {
      if (auto done = one(name, locked); !done) return fail(done.error());
    }
    if (auto done = write_catalog(lock); !done) return fail(done.error());
    return std::move(files_);
  }

 private:
  Result<void> one(const std::string& name, const LockedProvider& locked) {
    const fs::path below = fs::path(name) / locked.version;
    if (!dry_run_) {
      if (auto made = make_public_folders(folder_ / below); !made) return made;
    }
    std::string sums, signature, ours;
    for (const auto& [platform, files] : locked.platforms) {
      const auto parsed = parse_platform(platform);
      if (!parsed) return fail(parsed.error());
      const PackageName what{name, locked.version, parsed->os, parsed->arch};
      const std::string file = provider::package_file_name(what);
      ours += files.package + "  " + file + "\n";
      if (auto done = package(what, below / file, files.package, sums, signature); !done) return done;
    }
    return dry_run_ ? Result<void>() : checksums(below, ours, sums, signature);
  }

  Result<void> package(const PackageName& what, const fs::path& file, const std::string& sha256,
                       std::string& sums, std::string& signature) {
    std::error_code ec;
    const auto size = fs::file_size(folder_ / file, ec);
    if (!ec) {
      const auto there = sha256_of(folder_ / file);
      if (there && *there == sha256) {
        files_.push_back({file.string(), size, true});
        return {};
      }
    }
    if (dry_run_) {
      files_.push_back({file.string(), 0, false});
      return {};
    }
    auto fetched = source_.fetch(what, sha256);
    if (!fetched) return fail(fetched.error());
    auto found = sha256_of(fetched->file.fd(), fetched->url);
    if (!found) return fail(found.error());
    if (*found != sha256) {
      return fail("the package " + printable(fetched->url) +
                      " is not the one that is pinned: expected SHA-256 " + sha256 + ", found " + *found,
                  ErrorKind::kUntrusted);
    }
    sums = fetched->checksums;
    signature = fetched->signature;
    std::uint64_t written = 0;
    auto done = put(folder_ / file, [&](int fd) -> Result<void> {
      auto copied = each_piece(fetched->file.fd(), fetched->url,
                               [&](std::string_view bytes) { return write_all(fd, bytes, folder_ / file); });
      if (!copied) return fail(copied.error());
      written = *copied;
      return {};
    });
    if (done) files_.push_back({file.string(), written, false});
    return done;
  }

  // Those of the registry, so that their signature stays good, where they say the same as the lock file.
  Result<void> checksums(const fs::path& below, const std::string& ours, const std::string& theirs,
                         const std::string& signature) {
    const auto agrees = [&](const std::string& text) {
      const auto wanted = upstream::read_checksums(ours, "");
      const auto found = upstream::read_checksums(text, "");
      return wanted && found && std::all_of(wanted->begin(), wanted->end(), [&](const auto& entry) {
               const auto same = found->find(entry.first);
               return same != found->end() && same->second == entry.second;
             });
    };
    const fs::path file = folder_ / below / "SHA256SUMS";
    const auto there = read_small_file(file);
    if (theirs.empty() && there && agrees(*there)) return {};
    const bool use_theirs = !theirs.empty() && agrees(theirs);
    // First the old signature goes, so that none ever stands beside what it is not of.
    const fs::path signed_by = folder_ / below / "SHA256SUMS.minisig";
    if (::unlink(signed_by.c_str()) != 0 && errno != ENOENT) return failed(signed_by, "replaced");
    if (auto done = put_text(file, use_theirs ? theirs : ours); !done) return done;
    return use_theirs && !signature.empty() ? put_text(signed_by, signature) : Result<void>();
  }

  Result<void> write_catalog(const Lockfile& lock) {
    json::Document document(rapidjson::kObjectType);
    auto& alloc = document.GetAllocator();
    const auto text = [&](const std::string& s) {
      return json::Value(s.data(), static_cast<rapidjson::SizeType>(s.size()), alloc);
    };
    json::Value providers(rapidjson::kArrayType);
    for (const auto& [name, locked] : lock.providers) {
      json::Value one(rapidjson::kObjectType);
      one.AddMember("name", text(name), alloc);
      one.AddMember("version", text(locked.version), alloc);
      providers.PushBack(one, alloc);
    }
    document.AddMember("providers", providers, alloc);
    if (dry_run_) return {};
    if (auto made = make_public_folders(folder_); !made) return made;
    return put_text(folder_ / "latest.json", json::write_pretty(document, 2) + "\n");
  }

  PackageSource& source_;
  const fs::path folder_;
  const bool dry_run_;
  std::vector<Mirrored> files_;
};

}  // namespace

Result<std::vector<Mirrored>> mirror(Runtime& runtime, PackageSource& source, const fs::path& folder,
                                     bool dry_run) {
  const Lockfile* lock = runtime.trust().lock.get();
  if (!lock) {
    const fs::path path = runtime.lock_path();
    return fail(Error("a mirror holds what the lock file pins, and there is none" +
                          (path.empty() ? std::string() : ": " + printable(path.string())),
                      ErrorKind::kUsage)
                    .hint("write it: cnspec providers lock"));
  }
  return Mirror(source, folder, dry_run).all(*lock);
}

}  // namespace cnspec::runtime
