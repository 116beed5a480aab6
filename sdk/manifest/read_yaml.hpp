// provider.yaml, as an author writes it, to a Manifest.
#pragma once

#include <stdexcept>
#include <string>

#include "manifest/model.hpp"

namespace cnspec::manifest {

// What is wrong and where, ready to print: "provider.yaml:12: ...".
struct YamlError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// `version` stands in for one that the file does not give. Throws YamlError.
Manifest read_yaml(const std::string& path, const std::string& version);

}  // namespace cnspec::manifest
