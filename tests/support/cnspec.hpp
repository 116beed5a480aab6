// The program under test, run as a user would who has nothing set up.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "support/process.hpp"

namespace cnspec::test {

// What was said, without the hints that name a request by its id, which nobody can foresee.
std::string without_request_ids(const std::string& said);

// A user with an empty home. Nothing of the environment that the tests run in reaches the program.
class User {
 public:
  // Set or removed (nullopt) for every command.
  std::map<std::string, std::optional<std::string>> env;

  User();

  RunResult run(const Argv& args, const std::optional<std::string>& input = std::nullopt) const;
  Process start(const Argv& args) const;

  const TempDir& home() const { return home_; }
  // Where the configuration is by default, and where an admin drops providers.
  std::filesystem::path config_file() const { return home_ / ".config/mondoo/mondoo.yml"; }
  std::filesystem::path providers() const { return home_ / ".config/mondoo/providers"; }

 private:
  void learn_key_of_config() const;
  void look_into_bundle(const Argv& args) const;
  Argv command(const Argv& args) const;
  ProcessOptions options() const;
  TempDir home_;
};

}  // namespace cnspec::test
