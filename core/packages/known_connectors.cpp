#include "packages/known_connectors.hpp"

#include <array>
#include <utility>

namespace cnspec::packages {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kConnectors = {{
    {"container", "os"},
    {"device", "os"},
    {"docker", "os"},
    {"filesystem", "os"},
    {"fs", "os"},
    {"local", "os"},
    {"ssh", "os"},
    {"vagrant", "os"},
    {"winrm", "os"},
}};

}  // namespace

std::string provider_for_connector(std::string_view connector) {
  for (const auto& [name, owner] : kConnectors) {
    if (name == connector) return std::string(owner);
  }
  return std::string(connector);
}

}  // namespace cnspec::packages
