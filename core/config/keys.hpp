// Every key of mondoo.yml that we know, and where its value goes. Inside core/config only.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "config/config.hpp"

namespace cnspec::config {

enum class Kind { kText, kWord, kWordByName, kSecret, kUrl, kTruth, kMinutes, kTexts, kMap };

struct Key {
  const char* name;
  Kind kind = Kind::kText;
  // Where a text goes. The first that is set wins where two share a place.
  std::string Config::*member = nullptr;
  const char* otherwise = nullptr;  // the default; empty: nothing, and that is worth saying
  // Of kWord, and of kWordByName, which is a word or a mapping of names to words in which "*" stands for all
  // others: what it may be, the loosest first.
  std::span<const char* const> words = {};
  // What guards the machine: a variable may tighten it and never loosen it.
  bool guard = false;
};

std::span<const Key> keys();
const Key* key_named(std::string_view name);

// Over what was set before, at its place among the settings and where the program looks for it. Of a known
// key.
void set(Config& config, Setting setting);

// A whole number that every reader gives back as it was written.
bool is_small_number(std::string_view text);

// What a person may see of it: secrets are hidden, and so are passwords in addresses.
Value shown(const Setting& setting);

}  // namespace cnspec::config
