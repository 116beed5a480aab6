// What cnspec-archive.so exports: libarchive, which brings a dozen libraries with it, is loaded by those few
// commands alone that pack or unpack. Plain C between the two, since each has its own C++ library.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

struct cnspec_archive_file {
  const char* name;
  const char* text;
  std::size_t size;
};

// Writes a .tar.gz to the descriptor. Null when all went well, else why not: static, or of libarchive's and
// valid until the next call.
using cnspec_write_archive_fn = const char*(int fd, const cnspec_archive_file* files, std::size_t count,
                                            long long time);

// How an archive's entry is anything but an ordinary file; in the order in which they are judged.
enum cnspec_entry_kind : std::uint32_t {
  CNSPEC_ENTRY_FILE = 0,
  CNSPEC_ENTRY_FOLDER,
  CNSPEC_ENTRY_SYMLINK,
  CNSPEC_ENTRY_HARDLINK,
  CNSPEC_ENTRY_DEVICE,  // block or character
  CNSPEC_ENTRY_FIFO,
  CNSPEC_ENTRY_SPARSE,
  CNSPEC_ENTRY_OTHER,
};

// What reads and what takes. A callback that returns text ends the reading with that text as its problem.
struct cnspec_archive_reader {
  void* self;
  // The next bytes, at most `size`; 0 at the end, -1 with `*problem` set when there are none to be had.
  long long (*read)(void* self, void* buffer, std::size_t size, const char** problem);
  // `size` is what the entry announces, `name` its raw bytes and null when it has none.
  const char* (*entry)(void* self, const char* name, cnspec_entry_kind kind, std::uint64_t size);
  // Of the entry announced last, in order.
  const char* (*data)(void* self, const void* bytes, std::size_t size);
};

// Reads a tar, compressed by xz and nothing else, unless `plain`: then compressed by nothing. Null when all
// of it was read, else why not, valid until the next call.
using cnspec_read_archive_fn = const char*(const cnspec_archive_reader* reader, int plain);
}
