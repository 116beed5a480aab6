// Values in the form of the ABI, for as long as this lives.
#pragma once

#include <deque>
#include <string_view>
#include <vector>

#include "cnspec/provider.h"
#include "provider/value.hpp"

namespace cnspec::provider {

inline cnspec_str to_abi(std::string_view text) { return {text.data(), text.size()}; }
// {NULL, n} counts as empty.
inline std::string_view view(cnspec_str s) {
  return s.data ? std::string_view(s.data, s.size) : std::string_view();
}

// Keeps the arrays that the answers point to; the texts stay those of the values that were added.
class Lowered {
 public:
  Lowered() = default;
  Lowered(const Lowered&) = delete;
  Lowered& operator=(const Lowered&) = delete;

  cnspec_value add(const Value& value);

 private:
  std::deque<std::vector<cnspec_value>> arrays_;
  std::deque<std::vector<cnspec_entry>> maps_;
  std::deque<cnspec_ref> refs_;
};

}  // namespace cnspec::provider
