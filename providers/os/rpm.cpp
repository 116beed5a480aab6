// The databases of rpm. Both kinds that are read hold one header a package, a block of tags in rpm's own
// format.
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>

#include "cnspec/provider.hpp"
#include "library.hpp"
#include "packages.hpp"
#include "shared/read_file.hpp"
#include "text.hpp"

namespace cnspec::os {
namespace {

using sdk::Error;

constexpr std::size_t kMaxHeader = 64 << 20;
constexpr uint32_t kMaxTags = 0x10000;

[[noreturn]] void damaged(const std::string& path, const std::string& why) {
  throw Error(CNSPEC_INVALID, "rpm database '" + path + "' is damaged: " + why);
}

uint32_t big(std::string_view bytes, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(bytes[at + i]));
  };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}
uint32_t little(std::string_view bytes, std::size_t at) { return __builtin_bswap32(big(bytes, at)); }

// ---- A header: two counts, an index of (tag, type, offset, count), the data ----

class Header {
 public:
  // Nothing when the sizes do not fit together.
  static std::optional<Header> parse(std::string_view blob) {
    if (blob.size() < 8) return std::nullopt;
    const uint64_t tags = big(blob, 0);
    const uint64_t data = big(blob, 4);
    if (tags > kMaxTags || 8 + 16 * tags + data != blob.size()) return std::nullopt;
    Header out;
    out.index_ = blob.substr(8, 16 * tags);
    out.data_ = blob.substr(8 + 16 * tags);
    return out;
  }

  // The first string of a tag; empty when it has none, or lies outside the data.
  std::string_view text(uint32_t tag) const {
    constexpr uint32_t kString = 6;
    constexpr uint32_t kStrings = 8;
    constexpr uint32_t kTranslated = 9;
    const auto entry = find(tag);
    if (!entry || (entry->type != kString && entry->type != kStrings && entry->type != kTranslated))
      return {};
    const auto end = data_.find('\0', entry->offset);
    return end == std::string_view::npos ? std::string_view()
                                         : data_.substr(entry->offset, end - entry->offset);
  }

  std::optional<uint32_t> int32(uint32_t tag) const {
    constexpr uint32_t kInt32 = 4;
    const auto entry = find(tag);
    if (!entry || entry->type != kInt32 || entry->count == 0 || data_.size() - entry->offset < 4)
      return std::nullopt;
    return big(data_, entry->offset);
  }

 private:
  struct Entry {
    uint32_t type;
    uint32_t offset;
    uint32_t count;
  };
  std::optional<Entry> find(uint32_t tag) const {
    for (std::size_t at = 0; at < index_.size(); at += 16) {
      if (big(index_, at) != tag) continue;
      const Entry entry{big(index_, at + 4), big(index_, at + 8), big(index_, at + 12)};
      if (entry.offset < data_.size()) return entry;
    }
    return std::nullopt;
  }

  std::string_view index_;
  std::string_view data_;
};

std::optional<Package> package_of(std::string_view blob) {
  constexpr uint32_t kName = 1000, kVersion = 1001, kRelease = 1002, kEpoch = 1003, kSummary = 1004,
                     kVendor = 1011, kArch = 1022, kSourceRpm = 1044;
  const auto header = Header::parse(blob);
  if (!header || header->text(kName).empty()) return std::nullopt;
  Package package;
  package.format = "rpm";
  package.name = header->text(kName);
  const uint32_t epoch = header->int32(kEpoch).value_or(0);
  if (epoch != 0) {
    package.epoch = std::to_string(epoch);
    package.version = package.epoch + ":";
  }
  package.version += header->text(kVersion);
  if (const auto release = header->text(kRelease); !release.empty())
    package.version += "-" + std::string(release);
  package.arch = header->text(kArch);
  package.vendor = header->text(kVendor);
  package.description = header->text(kSummary);
  package.origin = header->text(kSourceRpm);
  return package;
}

// ---- SQLite ----

struct Sqlite {
  decltype(&sqlite3_open_v2) open;
  decltype(&sqlite3_close_v2) close;
  decltype(&sqlite3_db_config) db_config;
  decltype(&sqlite3_limit) limit;
  decltype(&sqlite3_prepare_v2) prepare;
  decltype(&sqlite3_step) step;
  decltype(&sqlite3_column_blob) column_blob;
  decltype(&sqlite3_column_bytes) column_bytes;
  decltype(&sqlite3_column_type) column_type;
  decltype(&sqlite3_finalize) finalize;
  decltype(&sqlite3_errmsg) errmsg;
  std::string error;
};

// Few machines have a database that needs it.
const Sqlite& sqlite() {
  static const Sqlite loaded = [] {
    Sqlite s{};
    Library library("libsqlite3.so.0");
    library.find(s.open, "sqlite3_open_v2");
    library.find(s.close, "sqlite3_close_v2");
    library.find(s.db_config, "sqlite3_db_config");
    library.find(s.limit, "sqlite3_limit");
    library.find(s.prepare, "sqlite3_prepare_v2");
    library.find(s.step, "sqlite3_step");
    library.find(s.column_blob, "sqlite3_column_blob");
    library.find(s.column_bytes, "sqlite3_column_bytes");
    library.find(s.column_type, "sqlite3_column_type");
    library.find(s.finalize, "sqlite3_finalize");
    library.find(s.errmsg, "sqlite3_errmsg");
    s.error = library.error();
    return s;
  }();
  return loaded;
}

void read_sqlite(const std::string& file, const std::string& shown, const TakePackage& take) {
  const Sqlite& lib = sqlite();
  if (!lib.error.empty()) {
    throw Error(CNSPEC_UNSUPPORTED, "rpm database '" + shown + "' needs the library SQLite: " + lib.error);
  }
  // Without a journal nobody is writing: then nothing is locked, and no files appear beside the database.
  struct stat journal {};
  const bool writing = ::stat((file + "-wal").c_str(), &journal) == 0 && journal.st_size > 0;
  std::string url = "file:";
  for (const std::string_view part : split(file, '/'))
    url += (part.empty() ? "" : "/" + percent_encoded(part));
  url += writing ? "?mode=ro" : "?immutable=1";

  sqlite3* raw = nullptr;
  const int opened =
      lib.open(url.c_str(), &raw, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, nullptr);
  const std::unique_ptr<sqlite3, decltype(lib.close)> db(raw, lib.close);
  if (opened != SQLITE_OK) damaged(shown, raw ? lib.errmsg(raw) : "out of memory");
  // The file may be anybody's: no functions from its schema, nothing huge.
  lib.db_config(raw, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  lib.db_config(raw, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  lib.db_config(raw, SQLITE_DBCONFIG_ENABLE_VIEW, 0, nullptr);
  lib.limit(raw, SQLITE_LIMIT_LENGTH, static_cast<int>(kMaxHeader));

  sqlite3_stmt* prepared = nullptr;
  if (lib.prepare(raw, "SELECT blob FROM Packages ORDER BY hnum", -1, &prepared, nullptr) != SQLITE_OK) {
    damaged(shown, lib.errmsg(raw));
  }
  const std::unique_ptr<sqlite3_stmt, decltype(lib.finalize)> statement(prepared, lib.finalize);
  while (true) {
    const int step = lib.step(prepared);
    if (step == SQLITE_DONE) return;
    if (step != SQLITE_ROW) damaged(shown, lib.errmsg(raw));
    if (lib.column_type(prepared, 0) != SQLITE_BLOB) damaged(shown, "a package's header is no blob");
    const auto* bytes = static_cast<const char*>(lib.column_blob(prepared, 0));
    auto package = package_of({bytes, static_cast<std::size_t>(lib.column_bytes(prepared, 0))});
    if (!package) damaged(shown, "a package's header has the wrong size, or no name");
    if (!take(std::move(*package))) return;
  }
}

// ---- ndb: a table of slots of 16 bytes, then blobs at multiples of 16 bytes ----

bool read_at(int number, std::size_t at, std::size_t size, std::string& out) {
  out.resize(size);
  std::size_t done = 0;
  while (done < size) {
    const ssize_t count = ::pread(number, out.data() + done, size - done, static_cast<off_t>(at + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    done += static_cast<std::size_t>(count);
  }
  return true;
}

void read_ndb(const std::string& file, const std::string& shown, const TakePackage& take) {
  constexpr std::string_view kFile = "RpmP";
  constexpr std::string_view kSlot = "Slot";
  constexpr std::string_view kBlob = "BlbS";
  constexpr std::size_t kPage = 4096;
  constexpr uint32_t kMaxPages = 4096;

  int number = -1;
  struct stat status {};
  const int problem = providers::open_regular(file, number, status);
  const providers::Descriptor descriptor(number);
  if (problem != 0) throw providers::file_error(file, shown, problem);
  std::string slots;
  if (!read_at(number, 0, 32, slots)) damaged(shown, "it is shorter than its first 32 bytes");
  if (!slots.starts_with(kFile)) damaged(shown, "it does not begin with RpmP, the mark of an ndb file");
  if (little(slots, 4) != 0) {
    throw Error(CNSPEC_UNSUPPORTED, "rpm database '" + shown + "' has the ndb version " +
                                        std::to_string(little(slots, 4)) + ", expected 0");
  }
  const uint32_t pages = little(slots, 12);
  if (pages == 0 || pages > kMaxPages)
    damaged(shown, "it claims " + std::to_string(pages) + " pages of slots");
  if (!read_at(number, 0, pages * kPage, slots)) damaged(shown, "its table of slots is cut off");

  std::string blob;
  for (std::size_t at = 32; at < slots.size(); at += 16) {
    if (std::string_view(slots).substr(at, 4) != kSlot) damaged(shown, "a slot has no mark");
    const uint32_t package_number = little(slots, at + 4);
    const uint64_t offset = uint64_t{little(slots, at + 8)} * 16;
    const uint64_t room = uint64_t{little(slots, at + 12)} * 16;
    if (little(slots, at + 8) == 0) continue;  // free
    const std::string which = "package " + std::to_string(package_number);
    if (room < 32 || room > kMaxHeader) damaged(shown, which + " claims " + std::to_string(room) + " bytes");
    if (!read_at(number, offset, room, blob)) damaged(shown, which + " lies behind the end of the file");
    const uint64_t size = little(blob, 12);
    if (!blob.starts_with(kBlob) || little(blob, 4) != package_number || size > room - 16) {
      damaged(shown, which + " has a wrong head");
    }
    auto package = package_of(std::string_view(blob).substr(16, size));
    if (!package) damaged(shown, which + " has a header of the wrong size, or without a name");
    if (!take(std::move(*package))) return;
  }
}

}  // namespace

bool read_rpm(const Root& root, const TakePackage& take) {
  for (const std::string folder : {"/usr/lib/sysimage/rpm/", "/var/lib/rpm/"}) {
    if (const std::string shown = folder + "rpmdb.sqlite"; root.exists(shown)) {
      const std::string file = root.resolve(shown);
      int number = -1;
      struct stat status {};
      const int problem = providers::open_regular(file, number, status);
      const providers::Descriptor descriptor(number);
      if (problem != 0) throw providers::file_error(file, shown, problem);
      read_sqlite(file, shown, take);
      return true;
    }
    if (const std::string shown = folder + "Packages.db"; root.exists(shown)) {
      read_ndb(root.resolve(shown), shown, take);
      return true;
    }
    if (const std::string shown = folder + "Packages"; root.exists(shown)) {
      throw Error(CNSPEC_UNSUPPORTED,
                  "rpm database '" + shown +
                      "' is a Berkeley DB, as rpm wrote it before 4.16; those of the kinds sqlite "
                      "and ndb can be read");
    }
  }
  return false;
}

}  // namespace cnspec::os
