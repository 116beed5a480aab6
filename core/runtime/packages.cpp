#include "runtime/packages.hpp"

#include "runtime/archive.hpp"
#include "runtime/network.hpp"

namespace cnspec::runtime {

Result<provider::PackageTools> package_tools() {
  auto archive = load_archive();
  if (!archive) return fail(archive.error());
  auto network = load_network();
  if (!network) return fail(network.error());
  return provider::PackageTools{archive->read, (*network)->crypto};
}

provider::InstallOptions change_options(const Runtime& runtime) {
  provider::InstallOptions options;
  options.search = runtime.search();
  options.deadline = runtime.deadline();
  return options;
}

Result<provider::InstallOptions> install_options(const Runtime& runtime) {
  auto tools = package_tools();
  if (!tools) return fail(tools.error());
  provider::InstallOptions options = change_options(runtime);
  options.tools = *tools;
  return options;
}

}  // namespace cnspec::runtime
