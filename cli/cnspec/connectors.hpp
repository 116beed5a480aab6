// Every connector of the installed providers as a subcommand with the arguments and flags of its manifest.
#pragma once

#include <functional>

#include "command.hpp"
#include "provider/discovery.hpp"
#include "provider/provider.hpp"

namespace cnspec::cli {

// `chosen` is called when the command line names a connector; secrets were asked for on the terminal where a
// flag says so. No provider runs. `inventory` outlives the app.
void add_connectors(CLI::App& app, const provider::Inventory& inventory,
                    std::function<void(provider::ConnectRequest)> chosen);

}  // namespace cnspec::cli
