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
  const char* otherwise = nullptr;  // the default
  // Of kWord, and of kWordByName, which is a word or a mapping of names to words in which "*" stands for all
  // others: what it may be, the loosest first.
  std::span<const char* const> words = {};
  // What guards the machine: a variable may tighten it and never loosen it.
  bool guard = false;
};

std::span<const Key> keys();
const Key* key_named(std::string_view name);

// What a person may see of it: secrets are hidden, and so are passwords in addresses.
Value shown(const Setting& setting);

}  // namespace cnspec::config
