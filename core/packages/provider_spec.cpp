#include "packages/provider_spec.hpp"

#include "base/names.hpp"
#include "base/text.hpp"
#include "provider/package.hpp"

namespace cnspec::packages {
namespace {

tl::unexpected<Error> usage(std::string what) { return fail(std::move(what), ErrorKind::kUsage); }

}  // namespace

Result<ProviderSpec> parse_provider_spec(std::string_view word) {
  const auto at = word.find('@');
  ProviderSpec out{std::string(word.substr(0, at)), ""};
  const std::string shown = quoted_if_needed(word.substr(0, 200));
  if (!is_provider_name(out.name)) {
    return usage(shown + ": expected NAME or NAME@VERSION, where a name is letters, digits and dashes");
  }
  if (at == word.npos) return out;
  std::string_view version = word.substr(at + 1);
  if (version.starts_with('v')) version.remove_prefix(1);
  if (!is_provider_version(version))
    return usage(shown + ": expected NAME@VERSION, with a version such as 1.2.3");
  out.version = version;
  return out;
}

Result<PlatformName> parse_platform(std::string_view word) {
  const auto slash = word.find('/');
  PlatformName out{std::string(word.substr(0, slash)),
                   std::string(slash == word.npos ? "" : word.substr(slash + 1))};
  if (is_platform_name(word)) return out;
  return usage("--platform " + quoted_if_needed(word.substr(0, 200)) +
               ": expected OS/ARCH, such as linux/amd64");
}

PlatformName this_platform() {
  return {std::string(provider::this_os()), std::string(provider::this_arch())};
}

}  // namespace cnspec::packages
