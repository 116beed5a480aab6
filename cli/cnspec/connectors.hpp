// Every connector of the installed providers as a command with the arguments and flags of its manifest.
#pragma once

#include <functional>

#include "command.hpp"
#include "provider/discovery.hpp"
#include "provider/provider.hpp"

namespace cnspec::cli {

// `chosen` is called when a connector's command runs; secrets were asked for on the terminal where a flag
// says so. No provider runs. `inventory` outlives the program.
void add_connectors(Command& program, const provider::Inventory& inventory,
                    std::function<void(provider::ConnectRequest)> chosen);

}  // namespace cnspec::cli
