// A recorded value, from its type's bytes and its JSON.
#pragma once

#include <rapidjson/document.h>

#include <string>
#include <string_view>

#include "cnspec/provider.hpp"

namespace cnspec::mock {

// `type` is MQL's encoding: 7 a string, 0x19 7 a list of strings, 0x1b file a resource. Throws an Error when
// the value is not of that type, or the type is none that a field can have.
sdk::Value decode(std::string_view type, const rapidjson::Value& value, int depth = 0);

// A field as recorded: {type, value} or {error}. What is wrong with it becomes the field's error.
sdk::Value decode_field(const rapidjson::Value& field);

}  // namespace cnspec::mock
