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

Result<provider::InstallOptions> install_options(const Runtime& runtime) {
  auto tools = package_tools();
  if (!tools) return fail(tools.error());
  provider::InstallOptions options;
  options.search = runtime.search();
  options.tools = *tools;
  options.deadline = runtime.deadline();
  return options;
}

}  // namespace cnspec::runtime
