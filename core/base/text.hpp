// Text that came from elsewhere: is it UTF-8, and is it safe to print?
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cnspec {

bool is_utf8(std::string_view text);

// Every byte that is not part of valid UTF-8 becomes U+FFFD.
std::string to_utf8(std::string_view bytes);

// For one line of output: invalid UTF-8 and control characters, those of the direction of writing too, become
// \n, \t or \xNN.
std::string printable(std::string_view text);

// A value behind "key=": quoted when a reader could not tell where it ends.
std::string quoted_if_needed(std::string_view value);

// What somebody wrote for yes or no, of options, variables and configurations alike; none: neither.
std::optional<bool> to_truth(std::string_view text);

std::string to_lower(std::string_view text);   // ASCII letters alone
std::string_view trim(std::string_view text);  // ASCII white space, both ends

std::string join(const std::vector<std::string>& parts, std::string_view separator);

// The most similar of `known`, for "did you mean"; empty when none comes close.
std::string closest(std::string_view word, const std::vector<std::string>& known);

}  // namespace cnspec
