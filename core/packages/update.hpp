// Installed providers, brought to the newest version or to the one that is pinned.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "packages/package_source.hpp"
#include "provider/install.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::packages {

struct Update {
  enum class Outcome { kUpdated, kCurrent, kNewer, kUnknown, kFailed };
  std::string name, from, to;  // to: empty when the registry does not know it
  Outcome outcome;
  bool pinned = false;         // by the lock file, which says the version
  std::optional<Error> error;  // of kFailed
};
const char* to_string(Update::Outcome outcome);
// Those named, or all that are installed; never to a lower version. One that fails is an outcome and stops no
// other; an error only when nothing could be tried: kNotFound, kRejected. Blocks, as the source does.
Result<std::vector<Update>> update_providers(runtime::Runtime& runtime, PackageSource& source,
                                             const std::vector<std::string>& names,
                                             const provider::InstallOptions& options);

}  // namespace cnspec::packages
