// A running `cnspec-platform` with a data folder of its own, for tests that need the real thing.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "support/process.hpp"

namespace cnspec::test {

// Starts in the constructor (accepting connections once that returns) and is killed by the destructor.
// Anything unexpected throws std::runtime_error.
class Platform {
 public:
  // `args` follow `serve`, such as {"--fail", "AgentManager/PingPong=Unavailable"}.
  explicit Platform(const Argv& args = {});

  const std::string& url() const { return url_; }          // https://127.0.0.1:PORT
  const std::string& ca_file() const { return ca_file_; }  // what a client must trust
  const std::filesystem::path& data() const { return data_.path(); }
  Process& process() { return *process_; }

  // A registration token for the space, from `cnspec-platform token create`; `args` such as
  // {"--expires=-1h"}.
  std::string token(std::string_view space = "test-space", const Argv& args = {}) const;
  // Revokes a service account or an agent.
  void revoke(std::string_view mrn) const;

  RunResult stop();                     // SIGTERM, and what the process left
  void restart(const Argv& args = {});  // same data and same address; stops or has been stopped before

 private:
  void start(const std::string& listen, const Argv& args);

  TempDir data_;
  std::optional<Process> process_;
  std::string url_;
  std::string ca_file_;
};

}  // namespace cnspec::test
