// JSON whose numbers stay as they are spelled: one beyond 64 bits, or written as 1.50, is another one after a
// double has held it. Inside core/config only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/json.hpp"
#include "config/config.hpp"

namespace cnspec::config {

// Nothing: it is no JSON object, or one that is nested deeper than 64 levels. Numbers are texts that text_of
// and edited_json alone can tell from others.
std::optional<json::Document> read_spelled(const std::string& text);

// Of a text or a number.
std::string text_of(const json::Value& value);

// `text` with its changes, indented as it was; `document` is what it says.
std::string edited_json(const std::string& text, json::Document document, const std::vector<Change>& changes);

}  // namespace cnspec::config
