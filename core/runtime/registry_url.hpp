// Where the registry of providers is.
#pragma once

#include <string>

#include "base/error.hpp"
#include "config/config.hpp"

namespace cnspec::runtime {

// Where the registry is: `given`, else providers_url, else updates_url with /providers; a folder as
// file:///FOLDER. kConfig when nothing names one, or what does is no such URL.
Result<std::string> registry_url(const config::Config& config, const std::string& given);

}  // namespace cnspec::runtime
