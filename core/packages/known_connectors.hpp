// Which provider to install for a connector that no installed provider has.
#pragma once

#include <string>
#include <string_view>

namespace cnspec::packages {

// The provider that has a connector of this name, as far as one knows without having it; else that very name.
std::string provider_for_connector(std::string_view connector);

}  // namespace cnspec::packages
