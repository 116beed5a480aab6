#include "packages/file_hash.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/encoding.hpp"
#include "base/fd.hpp"
#include "base/text.hpp"
#include "runtime/network.hpp"

namespace cnspec::packages {

Result<std::uint64_t> each_piece(int fd, const std::string& shown,
                                 const std::function<Result<void>(std::string_view)>& use) {
  constexpr std::size_t kPiece = 256 << 10;
  std::vector<char> piece(kPiece);
  std::uint64_t done = 0;
  while (true) {
    const ssize_t got = ::pread(fd, piece.data(), piece.size(), static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(shown + " cannot be read: " + std::strerror(errno));
    if (got == 0) return done;
    if (auto used = use({piece.data(), static_cast<std::size_t>(got)}); !used) return fail(used.error());
    done += static_cast<std::uint64_t>(got);
  }
}

Result<std::string> sha256_of(int fd, const std::string& shown) {
  auto network = runtime::load_network();
  if (!network) return fail(network.error());
  const auto hash = (*network)->crypto->make_hash(HashKind::kSha256);
  auto read = each_piece(fd, shown, [&](std::string_view bytes) -> Result<void> {
    hash->update(bytes);
    return {};
  });
  if (!read) return fail(read.error());
  return hex_encode(hash->finish());
}

Result<std::string> sha256_of(const std::filesystem::path& file) {
  const Fd fd(::open(file.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return fail(printable(file.string()) + " cannot be read: " + std::strerror(errno));
  return sha256_of(fd.get(), printable(file.string()));
}

}  // namespace cnspec::packages
