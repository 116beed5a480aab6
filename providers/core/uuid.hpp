#pragma once

#include <string>
#include <string_view>

namespace cnspec::coreprovider {

struct Uuid {
  std::string text;  // lower case, with hyphens
  int version;
  const char* variant;
};

// Throws an Error for a text that is no UUID in any of its spellings.
Uuid parse_uuid(std::string_view text);

}  // namespace cnspec::coreprovider
