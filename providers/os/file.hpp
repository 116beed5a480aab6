// Files and who may do what with them.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <string_view>

#include "root.hpp"

namespace cnspec::os {

struct File {
  std::string path;
  int error = 0;  // why stat failed; 0: `status` is filled
  struct stat status {};

  // Throws when there is no such file, or it may not be seen.
  const struct stat& known() const;
};

File look_at(const Root& root, std::string_view path);

// As ls prints it: "-rwxr-sr-t".
std::string permissions_text(mode_t mode);
// The reverse; nothing when the text is none.
std::optional<mode_t> parse_permissions(std::string_view text);

}  // namespace cnspec::os
