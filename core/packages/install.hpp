// Providers from a registry, installed as the lock file has them. All of it blocks, on the thread that owns
// the runtime.
#pragma once

#include <string>
#include <vector>

#include "packages/package_source.hpp"
#include "packages/provider_spec.hpp"
#include "provider/install.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::packages {

// The options for the command at work, enough for what installs nothing.
provider::InstallOptions change_options(const runtime::Runtime& runtime);
// With the tools for packages.
Result<provider::InstallOptions> install_options(const runtime::Runtime& runtime);

// Loads the modules for archives and for the network.
Result<provider::PackageTools> package_tools();

struct InstalledFrom {
  provider::Installed installed;
  std::string url;  // of the package
  VerifiedBy verified_by;
};
// One provider, as the lock file has it when there is one; `options` as install_options() makes them.
// kRejected when the lock file has another version or nothing of it, or when no version is named and the
// newest is older than what is here; kNotFound when the registry has none, kUntrusted when what came is not
// what was expected.
Result<InstalledFrom> install_from_registry(runtime::Runtime& runtime, PackageSource& source,
                                            const ProviderSpec& wanted,
                                            const provider::InstallOptions& options);

// Which providers are installed, where they are and which version they have, whatever the lock file says of
// them; without those that are part of the program.
std::vector<provider::Found> installed_providers(const runtime::Runtime& runtime);

// Who serves a registry says which version is the newest, and could name one whose holes are known: without
// the user's word nothing gets older by that.
bool is_older(const std::string& version, const std::string& than);  // false when either is none
// The one installed, or the one used in its place when that is newer. Empty: there is none.
std::string version_here(runtime::Runtime& runtime, const std::vector<provider::Found>& installed,
                         const std::string& name);
// kRejected. `newer` says which version there is, and where; `command` is the one to name the older in.
Error only_an_older_one(const PackageSource& source, const std::string& name, const std::string& version,
                        const std::string& newer, const std::string& command);

}  // namespace cnspec::packages
