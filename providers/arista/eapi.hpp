// Arista's eAPI: commands of the switch's command line as JSON-RPC over HTTP(S).
#pragma once

#include <cnspec/provider.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "shared/text.hpp"
#include "shared/web.hpp"

namespace cnspec::arista {

struct Target {
  std::string user;
  providers::BaseUrl url;  // without path
};

// "user@host", "user@host:port", "user@[2001:db8::1]:port", "user@2001:db8::1"; the last '@' counts. Throws
// sdk::Error.
Target parse_target(std::string_view text, std::string_view transport);

struct Switch {
  std::string version;
  std::string hostname;
  std::string fqdn;
  std::string model;
  std::string serial_number;
  std::string system_mac;
  std::string architecture;
  std::string build;
  std::optional<cnspec_time> boot_time;
};

// `show version` and `show hostname` in one request. Throws sdk::Error.
Switch ask_switch(sdk::Call& call, const Target& target, const providers::Secret& password, bool insecure);

}  // namespace cnspec::arista
