// JSON whose numbers stay as they are spelled: one beyond 64 bits, or written as 1.50, is another one after a
// double has held it. Inside core/config only.
#pragma once

#include <string>

#include "base/json.hpp"

namespace cnspec::config {

// As json::parse, but numbers are texts that text_of and write_spelled alone can tell from others.
Result<json::Document> parse_spelled(const std::string& text);

// Of a text or a number.
std::string text_of(const json::Value& value);

// With that many blanks before a member, or on one line for 0.
std::string write_spelled(const json::Value& value, int indentation);

}  // namespace cnspec::config
