#include "platform.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include "text.hpp"

namespace cnspec::os {
namespace {

using Settings = std::map<std::string, std::string, std::less<>>;

// os-release, lsb-release and openwrt_release: KEY=value, with or without quotes and blanks around it.
Settings parse_settings(const std::optional<std::string>& text) {
  Settings out;
  if (!text) return out;
  for (const std::string_view raw : split(*text, '\n')) {
    const std::string_view line = trim(raw);
    const auto equals = line.find('=');
    if (line.starts_with('#') || equals == std::string_view::npos) continue;
    std::string_view value = trim(line.substr(equals + 1));
    const bool quoted =
        value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front();
    if (quoted) value = value.substr(1, value.size() - 2);
    std::string plain;
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (value[i] == '\\' && i + 1 < value.size()) ++i;
      plain += value[i];
    }
    out.insert_or_assign(std::string(trim(line.substr(0, equals))), std::move(plain));
  }
  return out;
}

std::string_view get(const Settings& settings, std::string_view key) {
  const auto it = settings.find(key);
  return it == settings.end() ? std::string_view() : std::string_view(it->second);
}

void take(std::string& to, std::string_view value) {
  if (!value.empty()) to = value;
}

struct Known {
  std::string_view id;      // of os-release, in lower case
  std::string_view name;    // what the platform is called; empty: the id
  std::string_view family;  // above it, below "linux"; empty: none
};

constexpr Known kKnown[] = {
    {"arch", "", "arch"},
    {"manjaro", "", "arch"},
    {"endeavouros", "", "arch"},
    {"steamos", "", "arch"},
    {"rhel", "redhat", "redhat"},
    {"redhat", "", "redhat"},
    {"ol", "oraclelinux", "redhat"},
    {"oraclelinux", "", "redhat"},
    {"centos", "", "redhat"},
    {"almalinux", "", "redhat"},
    {"rocky", "rockylinux", "redhat"},
    {"rockylinux", "", "redhat"},
    {"fedora", "", "redhat"},
    {"scientific", "", "redhat"},
    {"eurolinux", "", "redhat"},
    {"nobara", "", "redhat"},
    {"qubes", "", "redhat"},
    {"debian", "", "debian"},
    {"ubuntu", "", "debian"},
    {"raspbian", "", "debian"},
    {"kali", "", "debian"},
    {"linuxmint", "", "debian"},
    {"pop", "", "debian"},
    {"elementary", "", "debian"},
    {"zorin", "", "debian"},
    {"parrot", "", "debian"},
    {"cumulus-linux", "", "debian"},
    {"gardenlinux", "", "debian"},
    {"tails", "", "debian"},
    {"neon", "", "debian"},
    {"mx", "", "debian"},
    {"opensuse", "", "suse"},
    {"opensuse-leap", "", "suse"},
    {"opensuse-tumbleweed", "", "suse"},
    {"sles", "", "suse"},
    {"suse-microos", "", "suse"},
    {"openeuler", "", "euler"},
    {"hce", "", "euler"},
    {"euleros", "", "euler"},
    {"bottlerocket", "", ""},
    {"amzn", "amazonlinux", ""},
    {"amazonlinux", "", ""},
    {"alpine", "", ""},
    {"wolfi", "", ""},
    {"gentoo", "", ""},
    {"busybox", "", ""},
    {"photon", "", ""},
    {"wrlinux", "", ""},
    {"lede", "", ""},
    {"openwrt", "", ""},
    {"plcnext", "", ""},
    {"mageia", "", ""},
    {"azurelinux", "", ""},
    {"flatcar", "", ""},
};

const Known* known(std::string_view id) {
  const std::string wanted = lower(id);
  const auto it =
      std::find_if(std::begin(kKnown), std::end(kKnown), [&](const Known& k) { return k.id == wanted; });
  return it == std::end(kKnown) ? nullptr : it;
}

// "CentOS Linux release 7.9.2009 (Core)": what stands before and after "release".
struct Release {
  std::string title;
  std::string version;
};
std::optional<Release> parse_release(std::string_view line) {
  constexpr std::string_view kWord = " release ";
  const auto at = line.find(kWord);
  if (at == std::string_view::npos) return std::nullopt;
  const auto after = words(line.substr(at + kWord.size()));
  if (after.empty()) return std::nullopt;
  return Release{std::string(trim(line.substr(0, at))), std::string(after[0])};
}

// Systems older than os-release say who they are in words only.
std::string_view name_from_title(const Root& root, std::string_view title) {
  if (root.exists("/etc/oracle-release")) return "oraclelinux";
  constexpr std::pair<std::string_view, std::string_view> kWords[] = {
      {"CentOS", "centos"},       {"Fedora", "fedora"},      {"Scientific", "scientific"},
      {"AlmaLinux", "almalinux"}, {"Rocky", "rockylinux"},   {"EuroLinux", "eurolinux"},
      {"Qubes", "qubes"},         {"Oracle", "oraclelinux"}, {"Amazon", "amazonlinux"},
      {"Mageia", "mageia"},       {"Red Hat", "redhat"}};
  for (const auto& [word, name] : kWords) {
    if (title.find(word) != std::string_view::npos) return name;
  }
  return "redhat";
}

// The version that the one program of a bare BusyBox image carries in its text.
std::string busybox_version(const Root& root) {
  const auto program = root.peek("/bin/busybox", 4 << 20);
  const auto at = program ? program->find("BusyBox v") : std::string::npos;
  if (at == std::string::npos) return {};
  const std::string_view rest = std::string_view(*program).substr(at + 8, 32);
  return std::string(rest.substr(0, rest.find_first_not_of("v0123456789.")));
}

class Detector {
 public:
  explicit Detector(const Root& root)
      : root_(root), lsb_(parse_settings(root.peek("/etc/lsb-release"))), os_(parse_settings(os_release())) {}

  std::optional<Platform> run() {
    take(p_.name, lower(get(lsb_, "DISTRIB_ID")));
    take(p_.title, get(lsb_, "DISTRIB_ID"));
    take(p_.title, get(lsb_, "DISTRIB_DESCRIPTION"));
    take(p_.version, get(lsb_, "DISTRIB_RELEASE"));
    take(p_.name, get(os_, "ID"));
    take(p_.title, get(os_, "PRETTY_NAME"));
    take(p_.version, get(os_, "VERSION_ID"));
    take(p_.build, get(os_, "BUILD_ID"));
    p_.distro = p_.name;

    from_other_files();
    if (p_.name.empty() && !root_.live()) return std::nullopt;
    if (p_.name.empty()) p_.name = "generic-linux";
    if (p_.distro.empty()) p_.distro = p_.name;
    name_and_family();
    corrections();
    if (p_.title.empty()) p_.title = p_.name;
    p_.metadata["distro-id"] = p_.distro;
    if (const auto variant = get(os_, "VARIANT_ID"); !variant.empty()) p_.metadata["variant-id"] = variant;
    return std::move(p_);
  }

 private:
  std::optional<std::string> os_release() const {
    for (const char* path : {"/etc/os-release", "/usr/lib/os-release", "/etc/bottlerocket-release"}) {
      if (auto text = root_.peek(path)) return text;
    }
    return std::nullopt;
  }

  // Systems that os-release and lsb-release say nothing about.
  void from_other_files() {
    if (const auto redhat = parse_release(root_.line("/etc/redhat-release"))) {
      if (p_.title.empty()) p_.title = redhat->title;
      if (p_.name.empty()) p_.name = name_from_title(root_, redhat->title);
      const Known* which = known(p_.name);
      // More exact than os-release: "8.4", where that may say "8".
      if (!which || which->family == "redhat") p_.version = redhat->version;
    }
    if (const auto wrt = parse_settings(root_.peek("/etc/openwrt_release")); !wrt.empty()) {
      take(p_.name, lower(get(wrt, "DISTRIB_ID")));
      if (p_.title.empty()) p_.title = get(wrt, "DISTRIB_ID");
      take(p_.version, get(wrt, "DISTRIB_RELEASE"));
    }
    if (const auto plcnext = root_.peek("/etc/plcnext/arpversion")) from_plcnext(*plcnext);
    if (!p_.name.empty()) return;

    if (const auto arch = root_.peek("/etc/arch-release")) {
      const bool manjaro = lower(*arch).find("manjaro") != std::string::npos;
      be(manjaro ? "manjaro" : "arch", manjaro ? std::string(trim(*arch)) : "Arch Linux", "");
    } else if (const std::string alpine = root_.line("/etc/alpine-release"); !alpine.empty()) {
      be("alpine", "Alpine Linux v" + alpine.substr(0, alpine.rfind('.')), alpine);
    } else if (const auto gentoo = parse_release(root_.line("/etc/gentoo-release"))) {
      be("gentoo", gentoo->title, gentoo->version);
    } else if (const std::string debian = root_.line("/etc/debian_version"); !debian.empty()) {
      be("debian", "Debian GNU/Linux " + debian, debian);
    } else if (root_.exists("/bin/busybox")) {
      be("busybox", "BusyBox", busybox_version(root_));
    }
  }

  void from_plcnext(std::string_view text) {
    for (const std::string_view line : split(text, '\n')) {
      constexpr std::string_view kVersion = "Arpversion:";
      constexpr std::string_view kBuild = "GIT Commit Hash:";
      if (line.starts_with(kVersion))
        be("plcnext", "PLCnext", std::string(trim(line.substr(kVersion.size()))));
      if (line.starts_with(kBuild)) p_.build = trim(line.substr(kBuild.size()));
    }
  }

  void be(std::string name, std::string title, std::string version) {
    p_.name = std::move(name);
    p_.title = std::move(title);
    p_.version = std::move(version);
  }

  void name_and_family() {
    // MX says in os-release that it is Debian, and in lsb-release that it is itself.
    if (lower(get(lsb_, "DISTRIB_ID")) == "mx") {
      be("mx", std::string(get(lsb_, "DISTRIB_DESCRIPTION")), std::string(get(lsb_, "DISTRIB_RELEASE")));
    }
    std::string_view family;
    if (const Known* which = known(p_.name)) {
      p_.name = which->name.empty() ? which->id : which->name;
      family = which->family;
    } else if (root_.exists("/etc/arch-release")) {
      family = "arch";
    } else {
      // An unknown one's nearest known relative.
      for (const std::string_view like : words(get(os_, "ID_LIKE"))) {
        const Known* relative = known(like);
        if (like == "suse") family = "suse";
        if (relative && family.empty()) family = relative->family;
      }
    }
    if (!family.empty()) p_.family.emplace_back(family);
    for (const char* common : {"linux", "unix", "os"}) p_.family.emplace_back(common);
  }

  // What single distributions say in places of their own.
  void corrections() {
    if (const auto garden = get(os_, "GARDENLINUX_VERSION"); !garden.empty()) {
      p_.name = "gardenlinux";
      p_.version = garden;
    } else if (p_.name == "debian") {
      take(p_.version, root_.line("/etc/debian_version"));
    } else if (p_.name == "alpine" && get(os_, "PRETTY_NAME") == "Alpine Linux edge") {
      p_.build = get(os_, "VERSION_ID");
      p_.version = "edge";
    } else if (p_.name == "azurelinux") {
      take(p_.title, get(os_, "NAME"));
      take(p_.build, get(os_, "VERSION"));
    } else if (p_.name == "flatcar") {
      take(p_.title, get(os_, "NAME"));
    }
  }

  const Root& root_;
  const Settings lsb_;
  const Settings os_;
  Platform p_;
};

}  // namespace

bool Platform::in_family(std::string_view wanted) const {
  return std::find(family.begin(), family.end(), wanted) != family.end();
}

std::optional<Platform> detect_platform(const Root& root) { return Detector(root).run(); }

std::string architecture_of_programs(const Root& root) {
  constexpr std::pair<int, std::string_view> kMachines[] = {
      {3, "i686"},    {8, "mips"},    {20, "ppc"},      {21, "ppc64"},    {22, "s390x"},
      {40, "armv7l"}, {62, "x86_64"}, {183, "aarch64"}, {243, "riscv64"}, {258, "loongarch64"}};
  for (const char* path :
       {"/bin/sh", "/usr/bin/env", "/bin/busybox", "/usr/lib/systemd/systemd", "/sbin/init"}) {
    const auto head = root.peek(path, 20);
    if (!head || head->size() < 20 ||
        !head->starts_with("\x7f"
                           "ELF"))
      continue;
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>((*head)[i]); };
    const bool little = byte(5) == 1;
    const int machine = little ? byte(18) | byte(19) << 8 : byte(18) << 8 | byte(19);
    for (const auto& [number, name] : kMachines) {
      if (number == machine) return number == 21 && little ? "ppc64le" : std::string(name);
    }
  }
  return {};
}

}  // namespace cnspec::os
