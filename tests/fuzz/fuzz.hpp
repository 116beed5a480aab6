// What the fuzzers share: a way to say what must hold, and one to take an input apart.
#pragma once

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

namespace cnspec::fuzz {

// The fuzzer stops here and keeps the input.
inline void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %s\n", what);
  std::abort();
}

// The first byte, so that an input can say which way it goes; 0 when there is none.
inline unsigned take_byte(std::string_view& input) {
  if (input.empty()) return 0;
  const auto byte = static_cast<unsigned char>(input.front());
  input.remove_prefix(1);
  return byte;
}

// One for the process, in memory where that is possible; gone when the process ends.
inline const std::filesystem::path& scratch_folder() {
  static const std::filesystem::path made = [] {
    std::string folder =
        std::filesystem::is_directory("/dev/shm") ? "/dev/shm/cnspec-fuzz-XXXXXX" : "/tmp/cnspec-fuzz-XXXXXX";
    require(::mkdtemp(folder.data()) != nullptr, "a folder can be made");
    return folder;
  }();
  static const bool removed_at_the_end = std::atexit([] {
                                           std::error_code ignored;
                                           std::filesystem::remove_all(made, ignored);
                                         }) == 0;
  require(removed_at_the_end, "a folder can be removed");
  return made;
}

inline std::string_view view(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

}  // namespace cnspec::fuzz

// By libFuzzer.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
