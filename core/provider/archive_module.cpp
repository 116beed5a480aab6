#include "provider/archive_module.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <cerrno>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

namespace {

struct Free {
  void operator()(archive_entry* e) const { archive_entry_free(e); }
};
struct FreeWriter {
  void operator()(archive* a) const { archive_write_free(a); }
};
struct FreeReader {
  void operator()(archive* a) const { archive_read_free(a); }
};

constexpr std::size_t kBlock = 64 << 10;
constexpr la_int64_t kMaxOthers = 4 << 20;

std::string why(archive* a) {
  const char* text = archive_error_string(a);
  return text ? text : "libarchive gives no reason";
}

// The archive without its compression, to the very end: the checksum of what was compressed stands there,
// behind what a tar's reader still wants to see.
class Bytes {
 public:
  Bytes(const cnspec_archive_reader& from, bool plain) : from_(from), plain_(plain), in_(kBlock) {}

  const std::string& problem() const { return problem_; }

  bool open() {
    if (plain_) return true;
    raw_.reset(archive_read_new());
    if (!raw_) return failed("out of memory");
    archive* a = raw_.get();
    archive_entry* entry = nullptr;
    archive_read_set_read_callback(a, &Bytes::on_read);
    archive_read_set_callback_data(a, this);
    if (archive_read_support_filter_xz(a) != ARCHIVE_OK || archive_read_support_format_raw(a) != ARCHIVE_OK ||
        archive_read_open1(a) != ARCHIVE_OK || archive_read_next_header(a, &entry) != ARCHIVE_OK) {
      return failed(why(a));
    }
    return true;
  }

  // -1 and problem() set, 0 at the end.
  la_ssize_t next(const void** bytes) {
    if (plain_) return take(bytes);
    out_.resize(kBlock);
    *bytes = out_.data();
    const la_ssize_t n = archive_read_data(raw_.get(), out_.data(), out_.size());
    if (n < 0) failed(why(raw_.get()));
    return n < 0 ? -1 : n;
  }

 private:
  bool failed(const std::string& problem) {
    if (problem_.empty()) problem_ = problem;  // the first is the cause of the others
    return false;
  }
  la_ssize_t take(const void** bytes) {
    const char* problem = nullptr;
    *bytes = in_.data();
    const long long n = from_.read(from_.self, in_.data(), in_.size(), &problem);
    if (n < 0) failed(problem ? problem : "cannot be read");
    return n < 0 ? -1 : static_cast<la_ssize_t>(n);
  }
  static la_ssize_t on_read(archive* a, void* self, const void** bytes) {
    const la_ssize_t n = static_cast<Bytes*>(self)->take(bytes);
    if (n < 0) archive_set_error(a, EIO, "cannot be read");
    return n;
  }

  const cnspec_archive_reader& from_;
  const bool plain_;
  std::vector<char> in_, out_;
  std::unique_ptr<archive, FreeReader> raw_;
  std::string problem_;
};

cnspec_entry_kind kind_of(archive_entry* entry) {
  if (archive_entry_hardlink(entry)) return CNSPEC_ENTRY_HARDLINK;
  switch (archive_entry_filetype(entry)) {
    case AE_IFREG: return archive_entry_sparse_count(entry) > 0 ? CNSPEC_ENTRY_SPARSE : CNSPEC_ENTRY_FILE;
    case AE_IFDIR: return CNSPEC_ENTRY_FOLDER;
    case AE_IFLNK: return CNSPEC_ENTRY_SYMLINK;
    case AE_IFCHR:
    case AE_IFBLK: return CNSPEC_ENTRY_DEVICE;
    case AE_IFIFO: return CNSPEC_ENTRY_FIFO;
    default: return CNSPEC_ENTRY_OTHER;
  }
}

class Tar {
 public:
  Tar(const cnspec_archive_reader& to, bool plain) : to_(to), bytes_(to, plain) {}

  // Empty when all went well.
  std::string read() {
    if (!bytes_.open()) return bytes_.problem();
    const std::unique_ptr<archive, FreeReader> tar(archive_read_new());
    if (!tar) return "out of memory";
    archive* a = tar.get();
    archive_read_set_read_callback(a, &Tar::on_read);
    archive_read_set_callback_data(a, this);
    if (archive_read_support_format_tar(a) != ARCHIVE_OK || archive_read_open1(a) != ARCHIVE_OK)
      return reason(a);
    while (true) {
      archive_entry* entry = nullptr;
      const int found = archive_read_next_header(a, &entry);
      if (found == ARCHIVE_EOF) return rest();
      // A warning is about what does not matter here, such as the name of the owner.
      if (found != ARCHIVE_OK && found != ARCHIVE_WARN) return reason(a);
      const auto size = archive_entry_size(entry);
      if (const char* no = to_.entry(to_.self, archive_entry_pathname(entry), kind_of(entry),
                                     size > 0 ? static_cast<std::uint64_t>(size) : 0)) {
        return no;
      }
      if (std::string problem = contents(a); !problem.empty()) return problem;
    }
  }

 private:
  std::string contents(archive* a) {
    la_int64_t expected = 0;
    while (true) {
      const void* bytes = nullptr;
      std::size_t size = 0;
      la_int64_t at = 0;
      const int got = archive_read_data_block(a, &bytes, &size, &at);
      if (got == ARCHIVE_EOF) return {};
      if (got != ARCHIVE_OK) return reason(a);
      if (at != expected) return "has an entry with holes in it";
      expected += static_cast<la_int64_t>(size);
      others_ -= static_cast<la_int64_t>(size);
      if (const char* no = to_.data(to_.self, bytes, size)) return no;
    }
  }

  // A tar may be followed by padding.
  std::string rest() {
    const void* bytes = nullptr;
    while (const la_ssize_t n = next(&bytes)) {
      if (n < 0) return problem();
    }
    return {};
  }

  // What is in no entry, such as headers and padding, is little, or somebody wants us to read for ever.
  la_ssize_t next(const void** bytes) {
    const la_ssize_t n = bytes_.next(bytes);
    if (n > 0) others_ += n;
    return others_ > kMaxOthers ? -1 : n;
  }

  std::string problem() const { return others_ > kMaxOthers ? "is all but empty" : bytes_.problem(); }

  std::string reason(archive* a) const { return problem().empty() ? why(a) : problem(); }

  static la_ssize_t on_read(archive* a, void* self, const void** bytes) {
    const la_ssize_t n = static_cast<Tar*>(self)->next(bytes);
    if (n < 0) archive_set_error(a, EIO, "cannot be read");
    return n;
  }

  const cnspec_archive_reader& to_;
  Bytes bytes_;
  la_int64_t others_ = 0;
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const char* cnspec_read_archive(
    const cnspec_archive_reader* reader, int plain) {
  static std::string problem;
  problem = Tar(*reader, plain != 0).read();
  return problem.empty() ? nullptr : problem.c_str();
}

extern "C" __attribute__((visibility("default"))) const char* cnspec_write_archive(
    int fd, const cnspec_archive_file* files, std::size_t count, long long time) {
  static std::string problem;
  const std::unique_ptr<archive, FreeWriter> out(archive_write_new());
  const std::unique_ptr<archive_entry, Free> entry(archive_entry_new());
  if (!out || !entry) return "out of memory";
  const auto failed = [&] {
    problem = why(out.get());
    return problem.c_str();
  };
  if (archive_write_set_format_pax_restricted(out.get()) != ARCHIVE_OK ||
      archive_write_add_filter_gzip(out.get()) != ARCHIVE_OK ||
      archive_write_open_fd(out.get(), fd) != ARCHIVE_OK) {
    return failed();
  }
  for (std::size_t i = 0; i < count; ++i) {
    archive_entry_clear(entry.get());
    archive_entry_set_pathname(entry.get(), files[i].name);
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0600);
    archive_entry_set_mtime(entry.get(), static_cast<time_t>(time), 0);
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(files[i].size));
    if (archive_write_header(out.get(), entry.get()) != ARCHIVE_OK) return failed();
    if (archive_write_data(out.get(), files[i].text, files[i].size) !=
        static_cast<la_ssize_t>(files[i].size)) {
      return failed();
    }
  }
  return archive_write_close(out.get()) == ARCHIVE_OK ? nullptr : failed();
}

static_assert(std::is_same_v<decltype(cnspec_read_archive), cnspec_read_archive_fn>);
static_assert(std::is_same_v<decltype(cnspec_write_archive), cnspec_write_archive_fn>);
