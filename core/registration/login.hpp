// Registers this machine with the platform and keeps what it is given.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "provider/value.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::registration {

// Empty or absent: not asked for.
struct LoginRequest {
  std::string token;  // secret; without one, the configured service account is used
  std::string name;
  std::map<std::string, std::string> annotations;
  std::string api_endpoint;
  std::string updates_url;
  std::optional<int> timer, splay;  // minutes
};

// One line each, as it happens.
struct Observer {
  std::function<void(const std::string&)> info;
  std::function<void(const std::string&)> warn;
};

// The configuration is written once the new credentials have been proved; on any failure it stays as it was.
// Returns the agent's MRN.
Result<std::string> login(runtime::Runtime& runtime, const LoginRequest& request, const Observer& observer);

}  // namespace cnspec::registration
