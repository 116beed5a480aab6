// The reader of a provider's manifest. With an odd first byte the rest is its JSON, put into a well-formed
// section; else it is the section.
#include <cstring>

#include "cnspec/provider.h"
#include "fuzz.hpp"
#include "provider/manifest.hpp"

using namespace cnspec;
using namespace cnspec::fuzz;

namespace {

std::string section_around(std::string_view json) {
  cnspec_manifest_header header{};
  std::memcpy(header.magic, CNSPEC_MANIFEST_MAGIC, sizeof header.magic);
  header.format = 1;
  header.size = static_cast<std::uint32_t>(json.size());
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) + std::string(json);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input = view(data, size);
  const bool json_alone = take_byte(input) & 1;
  const auto manifest = provider::read_manifest(json_alone ? section_around(input) : std::string(input));
  if (!manifest) {
    const std::string message = manifest.error().message();
    require(manifest.error().kind() == ErrorKind::kInvalid, "a bad manifest is invalid");
    require(message.starts_with("manifest: "), "and said to be one");
    require(message.find_first_of("\r\n\x1b") == message.npos, "in one plain line");
    return 0;
  }
  require(!manifest->id.empty() && !manifest->name.empty() && !manifest->version.empty(), "it is named");
  const std::string json = manifest::to_json(*manifest);
  const auto again = provider::read_manifest(section_around(json));
  if (!again) std::fprintf(stderr, "%s\n", again.error().message().c_str());
  require(again.has_value(), "what can be read can be written and read");
  require(manifest::to_json(*again) == json, "and is then the same");
  return 0;
}
