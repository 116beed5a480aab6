#include "base/random.hpp"

#include <sys/random.h>

#include <cerrno>
#include <cstdlib>

#include "base/encoding.hpp"

namespace cnspec {
namespace {

std::string random_bytes(std::size_t size) {
  std::string out(size, '\0');
  for (std::size_t have = 0; have < size;) {
    const ssize_t got = ::getrandom(out.data() + have, size - have, 0);
    if (got > 0)
      have += static_cast<std::size_t>(got);
    else if (errno != EINTR)
      std::abort();  // every supported kernel has it, and no good program runs without
  }
  return out;
}

}  // namespace

std::string random_hex(std::size_t size) { return hex_encode(random_bytes(size)); }

std::string random_uuid() {
  std::string bytes = random_bytes(16);
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);
  std::string out = hex_encode(bytes);
  for (const std::size_t at : {20u, 16u, 12u, 8u}) out.insert(at, 1, '-');
  return out;
}

}  // namespace cnspec
