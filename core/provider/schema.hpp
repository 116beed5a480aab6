// Which fields a row may have and of which type: the manifest's word, checked on what a provider sends.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cnspec/provider.h"
#include "provider/manifest.hpp"
#include "provider/value.hpp"

namespace cnspec::provider {

// A declared type, such as []string, ready to be compared with values.
class Type {
 public:
  explicit Type(std::string_view spelled);

  const std::string& spelled() const { return spelled_; }
  // Whether `value` may stand in a field of this type. Null and errors may, in any.
  bool accepts(const Value& value) const;

 private:
  std::string spelled_;
  std::uint32_t tag_;                 // CNSPEC_..., or kAny or kDict
  std::shared_ptr<const Type> item_;  // of an array or map
};

// The rows that identify sends: the fields of an asset, which every provider shares.
const manifest::Resource& asset_resource();

const char* type_name(std::uint32_t tag);

// The type of a value as a manifest would spell it.
std::string spelled_type(const Value& value);

}  // namespace cnspec::provider
