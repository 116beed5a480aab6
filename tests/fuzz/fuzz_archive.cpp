// Packages: whatever the bytes, nothing comes out of them but what a provider's package may hold. The first
// byte says whether they are compressed.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "base/names.hpp"
#include "fuzz.hpp"
#include "provider/archive_module.hpp"
#include "provider/package.hpp"

using namespace cnspec;
using namespace cnspec::fuzz;

extern "C" const char* cnspec_read_archive(const cnspec_archive_reader* reader, int plain);

namespace {

namespace fs = std::filesystem;

fs::path make_folder() {
  ::mkdir((scratch_folder() / "in").c_str(), 0700);
  return scratch_folder();
}

// What a package begins with. A tar that is not compressed gets it in front, to come as far as its reader:
// else the fuzzer would have to find out what xz looks like.
constexpr std::string_view kMagic(
    "\xfd"
    "7zXZ\0",
    6);

std::size_t skip = 0;  // bytes of the magic that are not the tar's

// Hands the tar over without what was put before it.
const char* read_behind_magic(const cnspec_archive_reader* reader, int) {
  struct Behind {
    const cnspec_archive_reader* inner;
    std::size_t left;
  } behind{reader, skip};
  cnspec_archive_reader outer{};
  outer.self = &behind;
  outer.read = [](void* self, void* buffer, std::size_t size, const char** problem) -> long long {
    auto& b = *static_cast<Behind*>(self);
    while (b.left > 0) {
      const long long n = b.inner->read(b.inner->self, buffer, b.left < size ? b.left : size, problem);
      if (n <= 0) return n;
      b.left -= static_cast<std::size_t>(n);
    }
    return b.inner->read(b.inner->self, buffer, size, problem);
  };
  outer.entry = [](void* self, const char* name, cnspec_entry_kind kind, std::uint64_t size) {
    auto& b = *static_cast<Behind*>(self);
    return b.inner->entry(b.inner->self, name, kind, size);
  };
  outer.data = [](void* self, const void* bytes, std::size_t size) {
    auto& b = *static_cast<Behind*>(self);
    return b.inner->data(b.inner->self, bytes, size);
  };
  return cnspec_read_archive(&outer, 1);
}

void check_folder(const fs::path& folder, bool good, const std::string& name) {
  bool library = false;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string file = entry.path().filename().string();
    struct stat info {};
    require(::lstat(entry.path().c_str(), &info) == 0 && S_ISREG(info.st_mode), "only files come out");
    const bool signature = file.ends_with(".so.minisig");
    require(file.ends_with(".so") || signature, "and only those of a provider");
    const std::string stem = file.substr(0, file.size() - (signature ? 11 : 3));
    require(is_provider_name(stem), "under names that providers have");
    library = library || (good && file == name + ".so");
    ::unlink(entry.path().c_str());
  }
  require(!good || library, "a good package holds its provider");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fs::path made = make_folder();
  static const fs::path folder = made / "in";
  static const int fd = ::memfd_create("package", MFD_CLOEXEC);
  std::string_view input = view(data, size);
  const bool packed = take_byte(input) & 1;
  skip = packed ? 0 : kMagic.size();
  require(::ftruncate(fd, 0) == 0, "the file can be emptied");
  if (!packed) require(::pwrite(fd, kMagic.data(), kMagic.size(), 0) == 6, "the magic is written");
  require(::pwrite(fd, input.data(), input.size(), static_cast<off_t>(skip)) ==
              static_cast<ssize_t>(input.size()),
          "the input is written");
  provider::PackageTools tools;
  tools.read_archive = packed ? &cnspec_read_archive : &read_behind_magic;
  provider::PackageLimits limits;
  limits.free = 1 << 20;  // or most of the time goes into zeros
  const auto unpacked = provider::unpack({fd, "input"}, {}, folder, tools, limits);
  if (!unpacked) {
    const std::string message = unpacked.error().message();
    require(message.find('\n') == message.npos && message.starts_with("the package input: "), "in one line");
  }
  check_folder(folder, unpacked.has_value(), unpacked ? unpacked->name : "");
  return 0;
}
