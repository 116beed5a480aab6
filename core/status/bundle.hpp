// Everything that a bug report needs, in one file.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "config/config.hpp"

namespace cnspec::status {

// Whether a bundle could be put there: a place of its own, in a folder that is there. kUsage.
Result<void> check_bundle(const std::filesystem::path& path);

// A .tar.gz of these names and texts, for its owner alone (0600) and never in place of another file. None of
// `secrets` is in it: where one stands, stars do.
Result<void> write_bundle(const std::filesystem::path& path,
                          const std::vector<std::pair<std::string, std::string>>& files,
                          const std::vector<std::string>& secrets);

// What is secret in the configuration and in the variables that programs like this one read.
std::vector<std::string> known_secrets(const config::Config& config);

}  // namespace cnspec::status
