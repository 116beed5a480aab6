// A provider as it travels: NAME_VERSION_OS_ARCH.tar.xz, a flat archive of ordinary files. It holds NAME.so
// and perhaps its signature, NAME.so.minisig; NAME.json and NAME.resources.json, which the existing tool
// needs, are passed over. Everything else in it is a reason to refuse it. Blocks; any thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "base/crypto.hpp"
#include "base/error.hpp"
#include "base/fd.hpp"
#include "provider/archive_module.hpp"
#include "provider/manifest.hpp"

namespace cnspec::provider {

// What a file name says about a package.
struct PackageName {
  std::string name, version, os, arch;
};
std::string package_file_name(const PackageName& package);  // NAME_VERSION_OS_ARCH.tar.xz
// Nothing when `file_name` is not of that form.
std::optional<PackageName> parse_package_name(std::string_view file_name);

// A file without a name, which is gone when its descriptor is; in the folder for temporary files.
class TemporaryFile {
 public:
  static Result<TemporaryFile> make();
  int fd() const { return fd_.get(); }

 private:
  explicit TemporaryFile(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

// An open package. The descriptor is the caller's, and is read from the beginning with pread.
struct Package {
  int fd;
  std::string shown;  // what messages call it: its path or URL
};

// What has to be in it. Empty: not known, whatever it is.
struct Expected {
  std::string name, version;
  std::string sha256;  // of the package, in lower-case hex
};
// Says so in words, when the package's name says it is something else than what was asked for or than what
// runs here; fills in what `expected` leaves open.
Result<void> expect_as_named(std::string_view file_name, Expected& expected);

// What unpacking needs of modules that are loaded for it.
struct PackageTools {
  cnspec_read_archive_fn* read_archive = nullptr;
  const Crypto* crypto = nullptr;
};

struct PackageLimits {
  std::uint64_t package = 512ULL << 20;  // bytes, packed
  std::uint64_t unpacked = 1ULL << 30;   // of all entries together
  std::uint64_t free = 16ULL << 20;      // so much may come out of any package, however small ...
  std::uint64_t ratio = 100;             // ... and of one byte in it no more than so many
  std::size_t entries = 16;
};

// What came out of one.
struct Unpacked {
  std::string name;  // of the provider, as its file is called: NAME.so
  bool has_signature = false;
  std::string sha256;    // of the package
  std::uint64_t size{};  // of all that came out
};

// Hash first, then contents: writes NAME.so (0755) and NAME.so.minisig (0644) into `folder`, an empty one
// that only we can write to, and syncs both. Whatever fails, the folder is left as it is then.
Result<Unpacked> unpack(const Package& package, const Expected& expected, const std::filesystem::path& folder,
                        const PackageTools& tools, const PackageLimits& limits = {});

}  // namespace cnspec::provider
