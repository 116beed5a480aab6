// A library that is mapped with nothing of ours around it, and what its own tables say.
#pragma once

#include <link.h>

#include <string>
#include <vector>

#include "provider/verify/check.hpp"

namespace cnspec::provider::checks {

// Null when that failed, which is said.
void* map(Subject& subject);

// They are the loader's by now, so they are believed.
struct Dynamic {
  std::vector<std::string> needed;
  std::vector<std::string> exported;
  std::string search_path;  // RPATH or RUNPATH
  bool static_tls = false;
  bool text_relocations = false;
  bool executable_stack = false;
};
Dynamic dynamic_of(const link_map& map);

}  // namespace cnspec::provider::checks
