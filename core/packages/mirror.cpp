#include "packages/mirror.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/fd.hpp"
#include "base/file.hpp"
#include "base/interrupt.hpp"
#include "base/json.hpp"
#include "base/random.hpp"
#include "base/text.hpp"
#include "packages/file_hash.hpp"
#include "packages/provider_spec.hpp"
#include "provider/lockfile.hpp"

namespace cnspec::packages {
namespace {

namespace fs = std::filesystem;
using provider::LockedProvider;
using provider::Lockfile;
using provider::PackageName;
using runtime::Runtime;

constexpr mode_t kFolderMode = 0755, kFileMode = 0644;  // a web server reads them

tl::unexpected<Error> failed(const fs::path& path, const std::string& what) {
  return fail(printable(path.string()) + " cannot be " + what + ": " + std::strerror(errno));
}

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

Result<void> write_bytes(int fd, std::string_view bytes, const fs::path& file) {
  return write_all(fd, bytes) ? Result<void>() : failed(file, "written");
}

Result<void> put_text(const fs::path& file, const std::string& text) {
  return put(file, [&](int fd) { return write_bytes(fd, text, file); });
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
      auto copied = each_piece(fetched->file.fd(), fetched->url, [&](std::string_view bytes) {
        return write_bytes(fd, bytes, folder_ / file);
      });
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
    json::Value providers(rapidjson::kArrayType);
    for (const auto& [name, locked] : lock.providers) {
      json::Value one(rapidjson::kObjectType);
      one.AddMember("name", json::text(name, alloc), alloc);
      one.AddMember("version", json::text(locked.version, alloc), alloc);
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

}  // namespace cnspec::packages
