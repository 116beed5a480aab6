// Who asks, as every request to the platform says it.
#pragma once

#include <string>

namespace cnspec::upstream {

// "HN/web-1 IP/10.0.0.5 PA/x86_64 PN/linux PR/12 build/abc123 cnspec/13.2.0": what is known of this machine
// at once, without looking up a name or sending a byte; in the order of the keys, blanks as '-'.
std::string user_agent();

}  // namespace cnspec::upstream
