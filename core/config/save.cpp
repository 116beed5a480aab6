#include <algorithm>

#include "base/file.hpp"
#include "base/file_lock.hpp"
#include "base/text.hpp"
#include "config/config.hpp"
#include "config/document.hpp"

namespace cnspec::config {
namespace {

namespace fs = std::filesystem;

// More than a key, a certificate and some MRNs take.
constexpr std::size_t kCredentialsSize = 16384;

}  // namespace

Result<void> check_writable(const fs::path& path, std::chrono::steady_clock::time_point deadline) {
  std::error_code ec;
  const auto size = fs::file_size(path, ec);
  auto room = check_room_for_file(path, kCredentialsSize + (ec ? 0 : size));
  if (!room) return fail(Error::wrap("the configuration cannot be written", room.error()));
  auto lock = FileLock::take_beside(behind_links(path), deadline);
  if (!lock) return fail(Error::wrap("the configuration cannot be locked", lock.error()));
  return {};
}

Result<void> save(const fs::path& named, const std::vector<Change>& changes,
                  std::chrono::steady_clock::time_point deadline,
                  const std::optional<std::pair<std::string, std::string>>& only_if) {
  const fs::path path = behind_links(named);
  const std::string name = printable(path.string());
  if (auto made = make_folders(path.parent_path()); !made) return made;
  auto lock = FileLock::take_beside(path, deadline);
  if (!lock) return fail(lock.error());
  auto text = read_small_file(path);
  if (!text && text.error().kind() != ErrorKind::kNotFound) return fail(text.error());
  const std::string before = text ? *text : "";
  if (only_if) {
    auto root = parse(before, name);
    if (!root) return fail(root.error());
    const YAML::Node now = find(*root, only_if->first);
    if (!now.IsDefined() || !now.IsScalar() || now.Scalar() != only_if->second)
      return fail(name + ": has been changed meanwhile: " + only_if->first + " is another");
  }
  auto after = edited(before, changes, name);
  if (!after) return fail(after.error());
  return write_file_atomically(path, *after, 0600);
}

}  // namespace cnspec::config
