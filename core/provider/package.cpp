#include "provider/package.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

#include "base/encoding.hpp"
#include "base/file.hpp"
#include "base/names.hpp"
#include "base/text.hpp"

namespace cnspec::provider {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPackageEnd = ".tar.xz";
constexpr std::string_view kLibraryEnd = ".so";
constexpr std::string_view kSignatureEnd = ".so.minisig";

tl::unexpected<Error> refuse(std::string what) { return fail(std::move(what), ErrorKind::kInvalid); }

std::string megabytes(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

// What people have when it is no package.
std::string describe(std::string_view head) {
  const auto begins = [&](std::string_view magic) { return head.starts_with(magic); };
  if (head.empty()) return "an empty file";
  if (begins("\x1f\x8b")) return "a file compressed by gzip";
  if (begins("BZh")) return "a file compressed by bzip2";
  if (begins("\x28\xb5\x2f\xfd")) return "a file compressed by zstd";
  if (begins("PK\x03\x04")) return "a zip archive";
  if (begins("\x7f"
             "ELF"))
    return "a library or a program; what is no package is put into the folder of providers by hand";
  if (head.size() > 262 && head.substr(257, 5) == "ustar") return "a tar that is not compressed";
  std::string text(trim(head.substr(0, 256)));
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (text.starts_with("<!doctype html") || text.starts_with("<html") || text.starts_with("<?xml")) {
    return "a web page: perhaps an error message of a server";
  }
  if (text.starts_with("{")) return "JSON: perhaps an error message of a server";
  return "something else";
}

// Reads the whole package, so that what is hashed is what is unpacked.
class Source {
 public:
  Source(const Package& package, const Crypto* crypto)
      : fd_(package.fd), hash_(crypto ? crypto->make_hash(HashKind::kSha256) : nullptr) {}

  // 0 at the end, -1 with errno set.
  ssize_t read(void* buffer, std::size_t size) {
    ssize_t n = 0;
    do n = ::pread(fd_, buffer, size, at_);
    while (n < 0 && errno == EINTR);
    if (n > 0) {
      at_ += n;
      if (hash_) hash_->update({static_cast<const char*>(buffer), static_cast<std::size_t>(n)});
    }
    return n;
  }

  Result<std::string> digest() {
    char buffer[64 << 10];
    ssize_t n = 0;
    while ((n = read(buffer, sizeof buffer)) > 0) {
    }
    if (n < 0) return fail(std::string("cannot be read: ") + std::strerror(errno));
    return hash_ ? hex_encode(hash_->finish()) : std::string();
  }

 private:
  int fd_;
  off_t at_ = 0;
  std::unique_ptr<Hash> hash_;
};

// Judges entries as they come and writes those that are wanted. Nothing of what an archive says about itself
// becomes a path: a file is made only for a name that is exactly what a provider's file is called.
class Unpacking {
 public:
  Unpacking(Source& source, const Expected& expected, const fs::path& folder, const PackageLimits& limits,
            std::uint64_t packed)
      : source_(source),
        expected_(expected),
        folder_(folder),
        limits_(limits),
        most_(std::min(limits.unpacked, std::max(limits.free, packed * limits.ratio))) {}

  Result<Unpacked> run(cnspec_read_archive_fn* read_archive) {
    cnspec_archive_reader reader{};
    reader.self = this;
    reader.read = [](void* self, void* buffer, std::size_t size, const char** problem) -> long long {
      const ssize_t n = static_cast<Unpacking*>(self)->source_.read(buffer, size);
      if (n < 0) *problem = std::strerror(errno);
      return n;
    };
    reader.entry = [](void* self, const char* name, cnspec_entry_kind kind, std::uint64_t size) {
      auto& me = *static_cast<Unpacking*>(self);
      return me.say(me.entry(name ? name : "", kind, size));
    };
    reader.data = [](void* self, const void* bytes, std::size_t size) {
      auto& me = *static_cast<Unpacking*>(self);
      return me.say(me.data({static_cast<const char*>(bytes), size}));
    };
    const char* problem = read_archive(&reader, 0);
    if (!problem_.empty()) return fail(problem_, kind_);
    if (problem) return refuse("is damaged or cut off: " + printable(problem));
    if (!finish_file()) return fail(problem_, kind_);
    if (out_.name.empty()) {
      return refuse(names_.empty() ? "is empty, expected NAME.so in it"
                                   : "has no provider in it, expected NAME.so");
    }
    if (!signature_of_.empty() && signature_of_ != out_.name) {
      return refuse("has the signature " + signature_of_ + std::string(kSignatureEnd) +
                    " but no such library");
    }
    out_.has_signature = !signature_of_.empty();
    return std::move(out_);
  }

 private:
  const char* say(bool good) { return good ? nullptr : problem_.c_str(); }
  bool no(std::string problem, ErrorKind kind = ErrorKind::kInvalid) {
    problem_ = std::move(problem);
    kind_ = kind;
    return false;
  }
  // On our side.
  bool cannot_write() {
    const std::string why = std::strerror(errno);
    return no("cannot be unpacked into " + printable(folder_.string()) + ": " + why, ErrorKind::kFailed);
  }

  bool entry(const std::string& name, cnspec_entry_kind kind, std::uint64_t size) {
    if (!finish_file()) return false;
    const std::string shown =
        name.empty() ? "an entry without a name" : "the entry \"" + printable(name) + "\"";
    if (name.find('/') != name.npos || name == ".." || name == ".") {
      const bool escapes = name.front() == '/' || ("/" + name + "/").find("/../") != std::string::npos;
      return no("has " + shown +
                (escapes ? ", which leads out of its folder" : ", expected no folders in it"));
    }
    switch (kind) {
      case CNSPEC_ENTRY_FILE: break;
      case CNSPEC_ENTRY_FOLDER: return wrong(shown, "a folder");
      case CNSPEC_ENTRY_SYMLINK: return wrong(shown, "a link");
      case CNSPEC_ENTRY_HARDLINK: return wrong(shown, "a hard link");
      case CNSPEC_ENTRY_DEVICE: return wrong(shown, "a device");
      case CNSPEC_ENTRY_FIFO: return wrong(shown, "a FIFO");
      case CNSPEC_ENTRY_SPARSE: return wrong(shown, "a file with holes in it");
      default: return wrong(shown, "nothing that is known");
    }
    if (names_.size() == limits_.entries)
      return no("has more than " + std::to_string(limits_.entries) + " entries");
    if (!names_.insert(name).second) return no("has " + shown + " twice");
    if (size > most_ - out_.size) return too_large();
    return open_for(name, shown);
  }

  bool wrong(const std::string& shown, const char* found) {
    return no("has " + shown + ", which is " + found + ", expected ordinary files only");
  }

  bool too_large() {
    return no("unpacks to more than " + megabytes(most_) +
              (most_ == limits_.unpacked ? ", the most that a provider may have"
                                         : ", far more than a package of this size may hold"));
  }

  bool open_for(const std::string& name, const std::string& shown) {
    if (name.ends_with(".json")) return true;  // of the existing tool
    const bool signature = name.ends_with(kSignatureEnd);
    const auto suffix = signature ? kSignatureEnd : kLibraryEnd;
    const std::string stem = name.ends_with(suffix) ? name.substr(0, name.size() - suffix.size()) : "";
    if (!is_provider_name(stem)) return no("has " + shown + ", expected NAME.so and NAME.so.minisig only");
    if (!expected_.name.empty() && stem != expected_.name) {
      return no("has " + shown + ", expected " + expected_.name + std::string(suffix));
    }
    std::string& seen = signature ? signature_of_ : out_.name;
    if (!seen.empty()) return no("has two providers in it, " + seen + ".so and " + name);
    seen = stem;
    file_.reset(::open((folder_ / name).c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    mode_ = signature ? 0644 : 0755;
    return file_ || cannot_write();
  }

  bool data(std::string_view bytes) {
    if (bytes.size() > most_ - out_.size) return too_large();
    out_.size += bytes.size();
    return !file_ || write_all(file_.get(), bytes) || cannot_write();
  }

  bool finish_file() {
    if (!file_) return true;
    const bool good = ::fchmod(file_.get(), mode_) == 0 && ::fsync(file_.get()) == 0;
    if (!good) return cannot_write();
    return file_.close() == 0 || cannot_write();
  }

  Source& source_;
  const Expected& expected_;
  const fs::path& folder_;
  const PackageLimits& limits_;
  const std::uint64_t most_;

  Unpacked out_;
  std::set<std::string> names_;
  std::string signature_of_;
  Fd file_;
  mode_t mode_ = 0;
  std::string problem_;
  ErrorKind kind_ = ErrorKind::kInvalid;
};

Result<void> check_hash(const std::string& found, const std::string& expected) {
  if (expected.empty() || found == expected) return {};
  return fail(
      "has another content than it should: expected SHA-256 " + printable(expected) + ", found " + found,
      ErrorKind::kUntrusted);
}

Result<Unpacked> unpack_checked(const Package& package, const Expected& expected, const fs::path& folder,
                                const PackageTools& tools, const PackageLimits& limits) {
  struct stat info {};
  if (::fstat(package.fd, &info) != 0) return fail(std::string("cannot be read: ") + std::strerror(errno));
  if (!S_ISREG(info.st_mode)) return refuse("is no file");
  const auto packed = static_cast<std::uint64_t>(info.st_size);
  if (packed > limits.package)
    return refuse("has " + megabytes(packed) + ", at most " + megabytes(limits.package) + " are read");

  auto sha256 = Source(package, tools.crypto).digest();
  if (!sha256) return fail(sha256.error());
  if (auto good = check_hash(*sha256, expected.sha256); !good) return fail(good.error());

  char head[512];
  const ssize_t known = Source(package, nullptr).read(head, sizeof head);
  const std::string_view start(head, static_cast<std::size_t>(std::max<ssize_t>(known, 0)));
  if (!start.starts_with(std::string_view("\xfd"
                                          "7zXZ\0",
                                          6))) {
    return refuse("expected a tar compressed by xz, found " + describe(start));
  }

  Source source(package, tools.crypto);
  auto unpacked = Unpacking(source, expected, folder, limits, packed).run(tools.read_archive);
  if (!unpacked) return unpacked;
  const auto again = source.digest();
  if (!again || *again != *sha256) return fail("was changed while it was read", ErrorKind::kUntrusted);
  unpacked->sha256 = *sha256;
  return unpacked;
}

}  // namespace

std::string package_file_name(const PackageName& package) {
  return package.name + "_" + package.version + "_" + package.os + "_" + package.arch +
         std::string(kPackageEnd);
}

std::optional<PackageName> parse_package_name(std::string_view file_name) {
  if (!file_name.ends_with(kPackageEnd)) return std::nullopt;
  file_name.remove_suffix(kPackageEnd.size());
  std::vector<std::string> parts;
  while (true) {
    const auto end = file_name.find('_');
    parts.emplace_back(file_name.substr(0, end));
    if (end == file_name.npos) break;
    file_name.remove_prefix(end + 1);
  }
  if (parts.size() != 4 || !is_provider_name(parts[0])) return std::nullopt;
  if (std::any_of(parts.begin(), parts.end(), [](const std::string& part) { return part.empty(); }))
    return std::nullopt;
  return PackageName{parts[0], parts[1], parts[2], parts[3]};
}

Result<void> expect_as_named(std::string_view file_name, Expected& expected) {
  const auto named = parse_package_name(file_name);
  if (!named) return {};
  const auto agree = [&](std::string& wanted, const std::string& found, const char* what) -> Result<void> {
    if (!wanted.empty() && wanted != found) {
      return refuse("the package " + printable(file_name) + " is for " + what + " " + printable(found) +
                    ", expected " + printable(wanted));
    }
    wanted = found;
    return {};
  };
  if (auto good = agree(expected.name, named->name, "provider"); !good) return good;
  if (auto good = agree(expected.version, named->version, "version"); !good) return good;
  if (named->os != this_os() || named->arch != this_arch()) {
    return refuse("the package " + printable(file_name) + " is for " + printable(named->os) + "/" +
                  printable(named->arch) + ", this is " + std::string(this_os()) + "/" +
                  std::string(this_arch()));
  }
  return {};
}

Result<TemporaryFile> TemporaryFile::make() {
  const char* named = std::getenv("TMPDIR");
  const fs::path folder = named && fs::path(named).is_absolute() ? named : "/tmp";
  int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
    std::string path = folder / "cnspec-XXXXXX";
    fd = ::mkostemp(path.data(), O_CLOEXEC);
    if (fd >= 0) ::unlink(path.c_str());
  }
  if (fd < 0) return fail("no temporary file in " + printable(folder.string()) + ": " + std::strerror(errno));
  return TemporaryFile(Fd(fd));
}

Result<Unpacked> unpack(const Package& package, const Expected& expected, const fs::path& folder,
                        const PackageTools& tools, const PackageLimits& limits) {
  auto unpacked = unpack_checked(package, expected, folder, tools, limits);
  if (unpacked) return unpacked;
  return fail(Error::wrap("the package " + printable(package.shown), unpacked.error()));
}

}  // namespace cnspec::provider
