// The text of a configuration as a tree of YAML, and its changing. Inside core/config only.
#pragma once

#include <yaml-cpp/yaml.h>

#include <string>

#include "base/error.hpp"

namespace cnspec::config {

// "FILE:3:14"; just the name when the place is not known.
std::string place(const std::string& name, const YAML::Mark& mark);

inline tl::unexpected<Error> unusable(const std::string& what) { return fail(what, ErrorKind::kConfig); }

// A mapping without double keys, or null for an empty text. `name` stands for the text in errors.
Result<YAML::Node> parse(const std::string& text, const std::string& name);

// "log.format" is found under that flat name and as format below log.
YAML::Node find(const YAML::Node& root, const std::string& key);

}  // namespace cnspec::config
