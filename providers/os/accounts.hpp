// Users and groups, as /etc/passwd and /etc/group hold them. Name services are not asked: they may not
// answer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "root.hpp"

namespace cnspec::os {

struct User {
  int64_t uid;
  int64_t gid;
  std::string name;
  std::string home;
  std::string shell;

  std::string id() const;
};

struct Group {
  int64_t gid;
  std::string name;
  std::vector<std::string> members;  // those the group file names

  std::string id() const;
};

// Lines that are comments, too short or without numbers are skipped. Throws when there is no file.
std::vector<User> read_users(const Root& root);
std::vector<Group> read_groups(const Root& root);

}  // namespace cnspec::os
