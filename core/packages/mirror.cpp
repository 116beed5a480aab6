#include "packages/mirror.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "base/file.hpp"
#include "base/interrupt.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "packages/file_hash.hpp"
#include "packages/install.hpp"
#include "packages/provider_spec.hpp"
#include "provider/lockfile.hpp"
#include "upstream/registry_answers.hpp"

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
  auto replacement = Replacement::begin(file, kFileMode);
  if (!replacement) return failed(file, "written");
  auto done = write(replacement->fd());
  if (done && (::fchmod(replacement->fd(), kFileMode) != 0 || !replacement->sync() || !replacement->put()))
    done = failed(file, "written");
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

// What one left behind that was killed, of versions too that are pinned no more.
void remove_leftovers(const fs::path& folder, int depth = 2) {  // FOLDER/NAME/VERSION
  remove_unfinished(folder, [](const std::string& name) {
    return provider::parse_package_name(name) || name == "SHA256SUMS" || name == "SHA256SUMS.minisig" ||
           name == "latest.json";
  });
  std::error_code ec;
  for (fs::directory_iterator it(folder, ec), end; depth > 0 && !ec && it != end; it.increment(ec)) {
    std::error_code gone;
    if (it->is_directory(gone)) remove_leftovers(it->path(), depth - 1);
  }
}

// Whether the checksums say of all that is wanted what is wanted.
bool agree(const std::string& wanted, const std::string& text) {
  const auto ours = upstream::read_checksums(wanted, "");
  const auto theirs = upstream::read_checksums(text, "");
  return ours && theirs && std::all_of(ours->begin(), ours->end(), [&](const auto& entry) {
           const auto same = theirs->find(entry.first);
           return same != theirs->end() && same->second == entry.second;
         });
}

class Mirror {
 public:
  Mirror(PackageSource& source, fs::path folder, bool dry_run)
      : source_(source), folder_(std::move(folder)), dry_run_(dry_run) {}

  Result<Mirroring> all(const Lockfile& lock) {
    if (!dry_run_) remove_leftovers(folder_);
    for (const auto& [name, locked] : lock.providers) {
      if (auto done = one(name, locked); !done) return fail(done.error());
    }
    if (auto done = write_catalog(lock); !done) return fail(done.error());
    return Mirroring{std::move(files_), std::move(warnings_)};
  }

 private:
  Result<void> one(const std::string& name, const LockedProvider& locked) {
    const fs::path below = fs::path(name) / locked.version;
    if (!dry_run_) {
      if (auto made = make_public_folders(folder_ / below); !made) return made;
    }
    std::vector<std::pair<PackageName, std::string>> wanted;  // with their hashes
    std::string ours;
    for (const auto& [platform, files] : locked.platforms) {
      const auto parsed = parse_platform(platform);
      if (!parsed) return fail(parsed.error());
      wanted.emplace_back(PackageName{name, locked.version, parsed->os, parsed->arch}, files.package);
      ours += files.package + "  " + provider::package_file_name(wanted.back().first) + "\n";
    }
    // They come with the packages and are written last: without them nothing is kept.
    const auto sums = read_small_file(folder_ / below / "SHA256SUMS");
    const bool listed = sums && agree(ours, *sums);
    FromRegistry came;
    for (const auto& [what, sha256] : wanted) {
      auto done = package(what, below / provider::package_file_name(what), sha256, listed, came);
      if (!done) return done;
    }
    return dry_run_ || (listed && came.sums.empty()) ? Result<void>() : checksums(below, ours, came);
  }

  struct FromRegistry {
    std::string sums, signature;
  };

  Result<void> package(const PackageName& what, const fs::path& file, const std::string& sha256,
                       bool may_keep, FromRegistry& came) {
    std::error_code ec;
    const auto size = fs::file_size(folder_ / file, ec);
    if (!ec && may_keep) {
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
    came = {fetched->checksums, fetched->signature};
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
  Result<void> checksums(const fs::path& below, const std::string& ours, const FromRegistry& came) {
    const bool use_theirs = !came.sums.empty() && agree(ours, came.sums);
    const fs::path file = folder_ / below / "SHA256SUMS";
    const fs::path signed_by = folder_ / below / "SHA256SUMS.minisig";
    // A signature never stands beside what it is not of, and what it is of never without it.
    for (const fs::path& old : {file, signed_by}) {
      if (::unlink(old.c_str()) != 0 && errno != ENOENT) return failed(old, "replaced");
    }
    if (use_theirs && !came.signature.empty()) {
      if (auto done = put_text(signed_by, came.signature); !done) return done;
    }
    return put_text(file, use_theirs ? came.sums : ours);
  }

  // Whoever mirrors an old lock file takes all those back who use the mirror without one.
  void compare_with_catalog(const Lockfile& lock) {
    const auto text = read_small_file(folder_ / "latest.json");
    transport::Response as_answer;
    as_answer.status = 200;
    as_answer.body = text ? *text : "";
    const auto there = upstream::read_catalog(as_answer, "");
    if (!text || !there) return;
    for (const auto& [name, locked] : lock.providers) {
      const auto before = there->find(name);
      if (before == there->end() || !is_older(locked.version, before->second)) continue;
      warnings_.push_back("the newest " + name + " of the mirror " + (dry_run_ ? "would be " : "is ") +
                          locked.version + " from now on, which " + printable(lock.path.string()) +
                          " pins; it was " + before->second);
    }
  }

  Result<void> write_catalog(const Lockfile& lock) {
    compare_with_catalog(lock);
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
  std::vector<std::string> warnings_;
};

}  // namespace

Result<Mirroring> mirror(Runtime& runtime, PackageSource& source, const fs::path& folder, bool dry_run) {
  const Lockfile* lock = runtime.lock();
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
