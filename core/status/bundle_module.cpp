#include "status/bundle_module.hpp"

#include <archive.h>
#include <archive_entry.h>

#include <memory>
#include <string>

namespace {

struct Free {
  void operator()(archive* a) const { archive_write_free(a); }
  void operator()(archive_entry* e) const { archive_entry_free(e); }
};

}  // namespace

extern "C" __attribute__((visibility("default"))) const char* cnspec_write_bundle(
    int fd, const cnspec_bundle_file* files, std::size_t count, long long time) {
  static std::string problem;
  const std::unique_ptr<archive, Free> out(archive_write_new());
  const std::unique_ptr<archive_entry, Free> entry(archive_entry_new());
  if (!out || !entry) return "out of memory";
  const auto failed = [&] {
    const char* why = archive_error_string(out.get());
    problem = why ? why : "libarchive gives no reason";
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

static_assert(std::is_same_v<decltype(cnspec_write_bundle), cnspec_write_bundle_fn>);
