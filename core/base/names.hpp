// The words by which providers are known from outside: in lock files, registries and on the command line.
// They become parts of paths and of URLs, so what passes here can lead nowhere else.
#pragma once

#include <string_view>

namespace cnspec {

// Letters, digits and dashes, a lower-case letter first; as long as a manifest allows.
bool is_provider_name(std::string_view text);
// As semver.org has them, with a digit first, no longer than 64 characters.
bool is_provider_version(std::string_view text);
// OS/ARCH, each of lower-case letters and digits: "linux/amd64".
bool is_platform_name(std::string_view text);
// 64 lower-case hexadecimal digits.
bool is_sha256(std::string_view text);

}  // namespace cnspec
