#include "file.hpp"

#include "shared/read_file.hpp"

namespace cnspec::os {
namespace {

constexpr std::pair<char, mode_t> kKinds[] = {{'-', S_IFREG}, {'d', S_IFDIR}, {'l', S_IFLNK}, {'c', S_IFCHR},
                                              {'b', S_IFBLK}, {'p', S_IFIFO}, {'s', S_IFSOCK}};

// One of the three groups: where its bits are, and the special bit that shares its x.
struct Triple {
  int shift;
  mode_t special;
  char special_letter;
};
constexpr Triple kTriples[] = {{6, S_ISUID, 's'}, {3, S_ISGID, 's'}, {0, S_ISVTX, 't'}};

char upper(char c) { return static_cast<char>(c - 'a' + 'A'); }

}  // namespace

const struct stat& File::known() const {
  if (error != 0) throw providers::file_error(path, path, error);
  return status;
}

File look_at(const Root& root, std::string_view path) {
  File out;
  out.path = path;
  if (::stat(root.resolve(path).c_str(), &out.status) != 0) out.error = errno;
  return out;
}

std::string permissions_text(mode_t mode) {
  std::string out = "?";
  for (const auto& [letter, kind] : kKinds) {
    if ((mode & S_IFMT) == kind) out = letter;
  }
  for (const Triple& t : kTriples) {
    const mode_t bits = mode >> t.shift & 7;
    out += bits & 4 ? 'r' : '-';
    out += bits & 2 ? 'w' : '-';
    if (mode & t.special)
      out += bits & 1 ? t.special_letter : upper(t.special_letter);
    else
      out += bits & 1 ? 'x' : '-';
  }
  return out;
}

std::optional<mode_t> parse_permissions(std::string_view text) {
  if (text.size() != 10) return std::nullopt;
  mode_t mode = 0;
  for (const auto& [letter, kind] : kKinds) {
    if (text[0] == letter) mode = kind;
  }
  for (std::size_t i = 0; i < 3; ++i) {
    const Triple& t = kTriples[i];
    const std::string_view three = text.substr(1 + 3 * i, 3);
    if (three[0] == 'r') mode |= mode_t{4} << t.shift;
    if (three[1] == 'w') mode |= mode_t{2} << t.shift;
    if (three[2] == 'x' || three[2] == t.special_letter) mode |= mode_t{1} << t.shift;
    if (three[2] == t.special_letter || three[2] == upper(t.special_letter)) mode |= t.special;
  }
  // What says it in other letters, or not at all, is no mode.
  if (permissions_text(mode) != text) return std::nullopt;
  return mode;
}

}  // namespace cnspec::os
