// As many providers as a benchmark wants, each with an id of its own.
#pragma once

#include <cstdio>
#include <string>

#include "support/process.hpp"

namespace cnspec::test {

// Copies of the library bench0000.so with another number written over its own.
inline void fill_with_providers(const TempDir& folder, int count) {
  const std::string original = read_file(BENCH_PROVIDER);
  for (int i = 0; i < count; ++i) {
    char number[16];
    std::snprintf(number, sizeof number, "%04d", i);
    std::string bytes = original;
    for (auto at = bytes.find("bench0000"); at != std::string::npos; at = bytes.find("bench0000", at + 9)) {
      bytes.replace(at + 5, 4, number);
    }
    folder.write(std::string("bench") + number + ".so", bytes, 0644);
  }
}

}  // namespace cnspec::test
