// The shared configuration of AWS: the files "config" and "credentials" with their profiles.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace cnspec::aws {

// The settings of one profile, as both files give them; where both do, the credentials file wins.
struct Profile {
  std::string name;
  std::map<std::string, std::string, std::less<>> settings;

  // Empty when it is not set.
  std::string get(std::string_view key) const;
  bool has(std::string_view key) const { return !get(key).empty(); }
};

class Profiles {
 public:
  // Reads the files that AWS_CONFIG_FILE and AWS_SHARED_CREDENTIALS_FILE name, or those in ~/.aws. A missing
  // file has no profiles; an unreadable or malformed one throws an Error with its path and line, and never
  // with its contents.
  static Profiles load();

  const Profile* find(std::string_view name) const;
  // Throws: there is no such profile, where was looked, and which was perhaps meant. `who` names it.
  [[noreturn]] void missing(std::string_view name, const std::string& who) const;
  // "FILE and FILE", with a word on those that do not exist.
  const std::string& files() const { return files_; }

 private:
  void read(const std::string& path, const std::string& what, bool is_config);

  std::map<std::string, Profile, std::less<>> profiles_;
  std::string files_;
};

}  // namespace cnspec::aws
