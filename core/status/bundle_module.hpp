// What cnspec-bundle.so exports. It is loaded for a bundle alone: libarchive brings a dozen libraries with
// it. Plain C between the two, since each has its own C++ library.
#pragma once

#include <cstddef>

extern "C" {

struct cnspec_bundle_file {
  const char* name;
  const char* text;
  std::size_t size;
};

// Writes a .tar.gz to the descriptor. Null when all went well, else why not: static, or of libarchive's and
// valid until the next call.
using cnspec_write_bundle_fn = const char*(int fd, const cnspec_bundle_file* files, std::size_t count,
                                           long long time);
}
