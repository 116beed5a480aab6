// What the command lines of several commands share.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace cnspec::cli {

// For CLI11's check(): empty for a duration above nothing such as "5s", else what is wrong with it.
std::string check_duration(const std::string& text);

// Parses the words that one command left to another, in their order. Throws Exit when that ends here, as it
// does for help and for mistakes.
void parse_words(CLI::App& app, std::vector<std::string> words);

}  // namespace cnspec::cli
