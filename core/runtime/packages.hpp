// What installing needs of the runtime: modules, the search, the deadline.
#pragma once

#include "provider/install.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::runtime {

// The options for the command at work; loads the archive and network modules.
Result<provider::InstallOptions> install_options(const Runtime& runtime);

// Only what unpacking needs.
Result<provider::PackageTools> package_tools();

}  // namespace cnspec::runtime
