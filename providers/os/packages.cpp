#include "packages.hpp"

#include <algorithm>
#include <array>

#include "cnspec/provider.hpp"
#include "text.hpp"

namespace cnspec::os {
namespace {

constexpr std::size_t kMaxDatabase = 256 << 20;

using Reader = bool (*)(const Root&, const TakePackage&);

std::string_view before(std::string_view text, char separator) {
  const auto at = text.find(separator);
  return at == std::string_view::npos ? std::string_view() : text.substr(0, at);
}

// The stanzas of a Debian control file: "Key: value" lines, continued by lines that begin with a blank, and
// an empty line between packages.
bool each_deb(std::string_view text, const TakePackage& take) {
  Package package;
  std::string* continued = nullptr;
  const auto finish = [&] {
    const bool more = package.name.empty() || take(std::move(package));
    package = Package();
    continued = nullptr;
    return more;
  };
  while (!text.empty()) {
    const auto end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (trim(line).empty()) {
      if (!finish()) return false;
      continue;
    }
    if (line[0] == ' ' || line[0] == '\t') {
      // A lone dot stands for an empty line.
      if (continued) *continued += '\n' + (trim(line) == "." ? std::string() : std::string(line.substr(1)));
      continue;
    }
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view key = line.substr(0, colon);
    const std::string_view value = trim(line.substr(colon + 1));
    continued = nullptr;
    if (key == "Package") {
      package.name = value;
      package.format = "deb";
    } else if (key == "Version") {
      package.version = value;
      package.epoch = before(value, ':');
    } else if (key == "Architecture") {
      package.arch = value;
    } else if (key == "Status") {
      package.status = value;
      package.installed = value.ends_with(" installed");
    } else if (key == "Source") {
      package.origin = trim(value.substr(0, value.find('(')));
    } else if (key == "Description") {
      package.description = value;
      continued = &package.description;
    }
  }
  return finish();
}

}  // namespace

std::string Package::id() const {
  return format + "://" + id_text(name) + "/" + id_text(version) + "/" + id_text(arch);
}

std::string Package::purl(const Platform& platform) const {
  std::string out = "pkg:" + format + "/" + percent_encoded(platform.name) + "/" + percent_encoded(name);
  if (!version.empty()) out += "@" + percent_encoded(version);
  std::string distro = platform.distro;
  if (!platform.version.empty()) distro += "-" + platform.version;
  const std::array<std::pair<const char*, const std::string*>, 3> qualifiers = {
      {{"arch", &arch}, {"distro", &distro}, {"epoch", &epoch}}};
  char separator = '?';
  for (const auto& [key, value] : qualifiers) {
    if (value->empty()) continue;
    out += separator + std::string(key) + "=" + percent_encoded(*value);
    separator = '&';
  }
  return out;
}

bool read_dpkg(const Root& root, const TakePackage& take) {
  bool found = false;
  if (root.exists("/var/lib/dpkg/status")) {
    found = true;
    if (!each_deb(root.read("/var/lib/dpkg/status", kMaxDatabase), take)) return true;
  }
  // Images without dpkg have a file for each package.
  for (const std::string& name : root.list("/var/lib/dpkg/status.d")) {
    if (name.ends_with(".md5sums") || name.ends_with(".preserve")) continue;
    found = true;
    if (!each_deb(root.read("/var/lib/dpkg/status.d/" + name, kMaxDatabase), take)) return true;
  }
  return found;
}

// Lines "K:value", an empty line between packages.
bool read_apk(const Root& root, const TakePackage& take) {
  const char* path = "/lib/apk/db/installed";
  if (!root.exists(path)) path = "/usr/lib/apk/db/installed";
  if (!root.exists(path)) return false;
  const std::string database = root.read(path, kMaxDatabase);
  Package package;
  const auto finish = [&] {
    const bool more = package.name.empty() || take(std::move(package));
    package = Package();
    return more;
  };
  std::string_view text = database;
  while (!text.empty()) {
    const auto end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (trim(line).empty()) {
      if (!finish()) return true;
      continue;
    }
    if (line.size() < 2 || line[1] != ':') continue;
    const std::string_view value = trim(line.substr(2));
    switch (line[0]) {
      case 'P':
        package.name = value;
        package.format = "apk";
        break;
      case 'V': package.version = value; break;
      case 'A': package.arch = value; break;
      case 'o': package.origin = value; break;
      case 'T': package.description = value; break;
      default: break;
    }
  }
  finish();
  return true;
}

void read_packages(const Root& root, const Platform& platform, const TakePackage& take) {
  std::array<Reader, 3> readers = {read_dpkg, read_apk, read_rpm};
  const auto prefer = [&](Reader own) {
    std::swap(readers[0], *std::find(readers.begin(), readers.end(), own));
  };
  if (platform.name == "alpine" || platform.name == "wolfi") {
    prefer(read_apk);
  } else if (!platform.in_family("debian")) {
    prefer(read_rpm);
  }
  for (const Reader reader : readers) {
    if (reader(root, take)) return;
  }
  throw sdk::Error(
      CNSPEC_UNSUPPORTED,
      "packages of " + platform.title +
          " cannot be listed: found no database of dpkg "
          "(/var/lib/dpkg/status), apk (/lib/apk/db/installed) or rpm (/usr/lib/sysimage/rpm, /var/lib/rpm)");
}

}  // namespace cnspec::os
