// Installed packages, from the databases that package managers keep.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "platform.hpp"
#include "root.hpp"

namespace cnspec::os {

struct Package {
  std::string format;  // deb, rpm, apk
  std::string name;
  std::string version;  // with its epoch, if it has one, and its release
  std::string epoch;
  std::string arch;
  std::string description;
  std::string origin;  // the source package
  std::string vendor;
  std::string status;
  bool installed = true;

  std::string id() const;
  // Package URL, as the purl specification has it.
  std::string purl(const Platform& platform) const;
};

// Takes the packages one by one; answers false when it wants no more.
using TakePackage = std::function<bool(Package&&)>;

// Reads the database of the platform's own package manager, or else of any that is there. Throws when there
// is none, or it cannot be read.
void read_packages(const Root& root, const Platform& platform, const TakePackage& take);

// The formats, for read_packages. Each answers false when the tree has no database of its kind.
bool read_dpkg(const Root& root, const TakePackage& take);
bool read_apk(const Root& root, const TakePackage& take);
bool read_rpm(const Root& root, const TakePackage& take);

}  // namespace cnspec::os
