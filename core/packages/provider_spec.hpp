// What a user names on the command line: a provider, with or without its version, and a platform.
#pragma once

#include <string>
#include <string_view>

#include "base/error.hpp"

namespace cnspec::packages {

// NAME or NAME@VERSION; a leading v of the version is none of it. kUsage.
struct ProviderSpec {
  std::string name, version;  // version: empty for the newest
};
Result<ProviderSpec> parse_provider_spec(std::string_view word);

// "linux/amd64". kUsage for what is none.
struct PlatformName {
  std::string os, arch;
  std::string text() const { return os + "/" + arch; }
};
Result<PlatformName> parse_platform(std::string_view word);
PlatformName this_platform();

}  // namespace cnspec::packages
