// Takes this machine's registration back, and its credentials off the disk.
#pragma once

#include <string>

#include "base/error.hpp"
#include "config/config.hpp"
#include "registration/login.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::registration {

struct LogoutRequest {
  bool local = false;  // the credentials go also when the platform cannot be told
};

// Whether there is anything to log out; kConfig when not.
Result<void> check_logged_in(const config::Config& config);

// Tells the platform, and then removes every credential from the configuration. Without --local nothing is
// removed when the platform could not be told. Credentials that come from the environment are not on disk:
// the lines say so. Returns when it is done; what there is to say was said.
Result<void> logout(runtime::Runtime& runtime, const LogoutRequest& request, const Observer& observer);

}  // namespace cnspec::registration
