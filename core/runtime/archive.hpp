// The part of the program that needs libarchive, loaded when a command first needs it.
#pragma once

#include "base/error.hpp"
#include "provider/archive_module.hpp"

namespace cnspec::runtime {

struct Archive {
  cnspec_read_archive_fn* read;
  cnspec_write_archive_fn* write;
};

// Loads cnspec-archive.so, which lies where the program was installed, and keeps it.
Result<Archive> load_archive();

}  // namespace cnspec::runtime
