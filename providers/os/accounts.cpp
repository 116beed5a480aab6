#include "accounts.hpp"

#include "text.hpp"

namespace cnspec::os {
namespace {

constexpr std::size_t kMaxFile = 64 << 20;

// Calls `take` with the fields of each line that has enough of them.
template <class Take>
void each_line(const Root& root, const char* path, std::size_t fields, Take&& take) {
  const std::string text = root.read(path, kMaxFile);
  for (const std::string_view line : split(text, '\n')) {
    if (line.starts_with('#')) continue;
    const auto parts = split(line, ':');
    if (parts.size() >= fields && !parts[0].empty()) take(parts);
  }
}

}  // namespace

std::string User::id() const { return "user/" + std::to_string(uid) + "/" + id_text(name); }
std::string Group::id() const { return "group/" + std::to_string(gid) + "/" + id_text(name); }

std::vector<User> read_users(const Root& root) {
  std::vector<User> users;
  each_line(root, "/etc/passwd", 7, [&](const std::vector<std::string_view>& parts) {
    const auto uid = number(parts[2]);
    const auto gid = number(parts[3]);
    if (!uid || !gid) return;
    users.push_back({*uid, *gid, std::string(parts[0]), std::string(parts[5]), std::string(trim(parts[6]))});
  });
  return users;
}

std::vector<Group> read_groups(const Root& root) {
  std::vector<Group> groups;
  each_line(root, "/etc/group", 4, [&](const std::vector<std::string_view>& parts) {
    const auto gid = number(parts[2]);
    if (!gid) return;
    Group group{*gid, std::string(parts[0]), {}};
    for (const std::string_view member : split(trim(parts[3]), ',')) {
      if (!member.empty()) group.members.emplace_back(member);
    }
    groups.push_back(std::move(group));
  });
  return groups;
}

}  // namespace cnspec::os
