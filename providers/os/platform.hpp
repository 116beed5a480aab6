// Which distribution a tree holds, from its files alone.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "root.hpp"

namespace cnspec::os {

struct Platform {
  std::string name;     // "debian", "redhat", "rockylinux"
  std::string title;    // "Debian GNU/Linux 12 (bookworm)"
  std::string version;  // "12.8"
  std::string build;
  std::string distro;               // the ID of os-release, which the name may differ from
  std::vector<std::string> family;  // nearest first: debian, linux, unix, os
  std::map<std::string, std::string> metadata;

  bool in_family(std::string_view wanted) const;
};

// Nothing when the tree holds no sign of a Linux system.
std::optional<Platform> detect_platform(const Root& root);

// The processor that the tree's programs are made for, named as `uname -m` names it; empty when none is
// found.
std::string architecture_of_programs(const Root& root);

}  // namespace cnspec::os
