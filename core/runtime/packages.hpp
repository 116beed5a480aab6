// What installing needs of the runtime: modules, the search, the deadline.
#pragma once

#include "provider/install.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::runtime {

// The options for the command at work, enough for what installs nothing.
provider::InstallOptions change_options(const Runtime& runtime);
// With the tools for packages.
Result<provider::InstallOptions> install_options(const Runtime& runtime);

// Loads the modules for archives and for the network.
Result<provider::PackageTools> package_tools();

}  // namespace cnspec::runtime
