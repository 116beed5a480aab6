// The lock file, written anew.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "packages/package_source.hpp"
#include "packages/provider_spec.hpp"
#include "provider/lockfile.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::packages {

// What the lock file becomes: it keeps what it has, and gets what is named, or else what is installed, for
// each of the platforms. Every package is fetched and read; nothing is written. Blocks, as the source does.
// kUntrusted when a version that is pinned already is another package now, kRejected when one that is not
// named is older than what is pinned or here.
struct Relock {
  provider::Lockfile lock;
  std::string before;  // the text that it was made from; empty: there was none
  struct Change {
    std::string name, from, to;  // from: empty when it was not pinned
    std::vector<std::string> platforms;
  };
  std::vector<Change> changes;
  std::vector<std::string> warnings;
};
Result<Relock> relock(runtime::Runtime& runtime, PackageSource& source,
                      const std::vector<ProviderSpec>& names, const std::vector<PlatformName>& platforms,
                      const provider::PackageTools& tools);

// Into its file, old or new and never half. Others that write it are waited for until the deadline; kRejected
// when one of them has changed it since it was read.
Result<void> write_lockfile(const Relock& relock, std::chrono::steady_clock::time_point deadline);

}  // namespace cnspec::packages
