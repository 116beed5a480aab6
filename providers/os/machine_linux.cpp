#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>

#include "cnspec/provider.hpp"
#include "library.hpp"
#include "machine.hpp"
#include "shared/read_file.hpp"
#include "text.hpp"

namespace cnspec::os {
namespace {

constexpr char kIdPrefix[] = "//platformid.api.mondoo.app/";

// ---- Addresses ----

std::string to_text(const sockaddr* address) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address->sa_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, address, sizeof v4);
    ::inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
  } else if (address->sa_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, address, sizeof v6);
    if (!IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr)) ::inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
  }
  return text;
}

// Connecting a datagram socket chooses a route and sends nothing.
std::string source_address(int family, const sockaddr* to, socklen_t size) {
  const providers::Descriptor socket(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (socket.get() < 0 && (errno == EPERM || errno == EACCES)) {
    throw sdk::Error(CNSPEC_PERMISSION_DENIED,
                     std::string("the address is not known, since this process may open no socket: ") +
                         std::strerror(errno));
  }
  if (socket.get() < 0 || ::connect(socket.get(), to, size) != 0) return {};
  sockaddr_storage from{};
  socklen_t from_size = sizeof from;
  if (::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&from), &from_size) != 0) return {};
  return to_text(reinterpret_cast<const sockaddr*>(&from));
}

std::string first_interface_address() {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return {};
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(all, ::freeifaddrs);
  std::string v6;
  for (const ifaddrs* one = all; one; one = one->ifa_next) {
    if (!one->ifa_addr || (one->ifa_flags & IFF_LOOPBACK) || !(one->ifa_flags & IFF_UP)) continue;
    const std::string text = to_text(one->ifa_addr);
    if (one->ifa_addr->sa_family == AF_INET && !text.empty()) return text;
    if (v6.empty()) v6 = text;
  }
  return v6;
}

// ---- Containers and virtual machines ----

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string container_runtime(const Root& root) {
  // systemd, podman, lxc and nspawn tell the first process; systemd keeps what it was told in a file.
  std::string told = root.line("/run/systemd/container");
  if (told.empty()) {
    const auto environment = root.peek("/proc/1/environ");
    for (const std::string_view variable :
         split(environment ? std::string_view(*environment) : std::string_view(), '\0')) {
      if (variable.starts_with("container=")) told = variable.substr(10);
    }
  }
  if (root.exists("/run/secrets/kubernetes.io") || root.exists("/var/run/secrets/kubernetes.io"))
    return "kubernetes";
  const auto groups = root.peek("/proc/1/cgroup");
  const std::string_view cgroup = groups ? std::string_view(*groups) : std::string_view();
  if (contains(cgroup, "kubepods")) return "kubernetes";
  if (!told.empty() && told != "oci") return told;
  if (root.exists("/run/.containerenv")) return "podman";
  if (root.exists("/.dockerenv") || contains(cgroup, "/docker")) return "docker";
  if (contains(cgroup, "/libpod")) return "podman";
  if (contains(cgroup, "/lxc")) return "lxc";
  if (root.exists("/proc/vz") && !root.exists("/proc/bc")) return "openvz";
  return told;
}

struct Sign {
  std::string_view field;  // below /sys/class/dmi/id
  std::string_view text;   // is part of it
  std::string_view runtime;
  std::string_view hypervisor;
};

// The first that fits counts: clouds before the hypervisors they are made of.
constexpr Sign kSigns[] = {
    {"sys_vendor", "Amazon EC2", "aws-ec2", "KVM"},
    {"product_version", "amazon", "aws-ec2", "Xen"},
    {"product_name", "Google Compute Engine", "gcp-compute", "KVM"},
    {"chassis_asset_tag", "7783-7084-3265-9085-8269-3286-77", "azure-compute", "Hyper-V"},
    {"chassis_asset_tag", "OracleCloud.com", "oci-compute", "KVM"},
    {"sys_vendor", "Alibaba Cloud", "alibaba-ecs", "KVM"},
    {"sys_vendor", "DigitalOcean", "digitalocean", "KVM"},
    {"sys_vendor", "Hetzner", "hetzner", "KVM"},
    {"product_name", "OpenStack", "openstack", "KVM"},
    {"product_name", "RHEV Hypervisor", "rhev", "RHEV Hypervisor"},
    {"product_name", "OpenShift Virtualization", "openshift-virtualization", "OpenShift Virtualization"},
    {"product_name", "oVirt", "ovirt", "KVM"},
    {"sys_vendor", "VMware", "vmware", "VMware"},
    {"product_name", "VirtualBox", "virtualbox", "VirtualBox"},
    {"sys_vendor", "innotek", "virtualbox", "VirtualBox"},
    {"sys_vendor", "Parallels", "parallels", "Parallels"},
    {"product_name", "Parallels", "parallels", "Parallels"},
    {"sys_vendor", "Xen", "xen", "Xen"},
    {"product_name", "HVM domU", "xen", "Xen"},
    {"product_name", "KVM", "kvm", "KVM"},
    {"sys_vendor", "QEMU", "kvm", "KVM"},
    {"bios_vendor", "Bochs", "kvm", "KVM"},
};

struct Machine {
  bool is_virtual = false;
  std::string runtime;
  std::string hypervisor;
};

Machine machine_type(const Root& root) {
  constexpr std::string_view kFolder = "/sys/class/dmi/id/";
  const auto dmi = [&](std::string_view field) {
    return root.line(std::string(kFolder) + std::string(field));
  };
  Machine out;
  // The beginning is enough: every processor has the same flags.
  const auto processors = root.peek("/proc/cpuinfo", 4096);
  const bool flagged = processors && contains(*processors, " hypervisor");
  if (root.line("/sys/hypervisor/type") == "xen") {
    out = {true, root.line("/sys/hypervisor/uuid").starts_with("ec2") ? "aws-ec2" : "xen", "Xen"};
    return out;
  }
  for (const Sign& sign : kSigns) {
    const std::string value = dmi(sign.field);
    if (value.empty() || !contains(value, sign.text)) continue;
    // Clouds rent out whole machines under the same name.
    const bool whole = contains(dmi("product_name"), ".metal") || (sign.runtime == "hetzner" && !flagged);
    out.is_virtual = !sign.runtime.empty() && !whole;
    out.runtime = sign.runtime;
    if (out.is_virtual) out.hypervisor = sign.hypervisor;
    return out;
  }
  const std::string tree = root.line("/proc/device-tree/hypervisor/compatible");
  if (contains(tree, "kvm")) return {true, "kvm", "KVM"};
  if (contains(tree, "xen")) return {true, "xen", "Xen"};
  const std::string kernel = lower(root.line("/proc/sys/kernel/osrelease"));
  if (contains(kernel, "microsoft")) return {true, "wsl", "Hyper-V"};
  if (contains(dmi("sys_vendor"), "Microsoft") && dmi("product_name") == "Virtual Machine") {
    return {true, "hyper-v", "Hyper-V"};
  }
  out.is_virtual = flagged;
  return out;
}

// ---- SSH host keys ----

std::string base64(const unsigned char* bytes, std::size_t size) {
  constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < size; i += 3) {
    uint32_t group = static_cast<uint32_t>(bytes[i]) << 16;
    if (i + 1 < size) group |= static_cast<uint32_t>(bytes[i + 1]) << 8;
    if (i + 2 < size) group |= bytes[i + 2];
    for (std::size_t digit = 0; digit < 4 && i + digit <= size; ++digit)
      out += kAlphabet[group >> (18 - 6 * digit) & 63];
  }
  return out;
}

// The fingerprint as ssh-keygen prints it ("SHA256:..."), of the blob in a .pub file's second word. Nothing
// when the text is no key, or this machine has no libcrypto.
std::string fingerprint(std::string_view encoded) {
  static const auto functions = [] {
    struct {
      decltype(&EVP_DecodeBlock) decode = nullptr;
      decltype(&EVP_Digest) digest = nullptr;
      decltype(&EVP_sha256) sha256 = nullptr;
    } f;
    Library crypto("libcrypto.so.3");
    crypto.find(f.decode, "EVP_DecodeBlock");
    crypto.find(f.digest, "EVP_Digest");
    crypto.find(f.sha256, "EVP_sha256");
    return f;
  }();
  if (!functions.decode || !functions.digest || !functions.sha256) return {};
  if (encoded.size() < 16 || encoded.size() % 4 != 0 || encoded.size() > 8192) return {};
  std::string blob(encoded.size() / 4 * 3, '\0');
  const int size = functions.decode(reinterpret_cast<unsigned char*>(blob.data()),
                                    reinterpret_cast<const unsigned char*>(encoded.data()),
                                    static_cast<int>(encoded.size()));
  if (size < 0) return {};
  // The padding was decoded as well.
  const auto padding = static_cast<std::size_t>(std::count(encoded.end() - 2, encoded.end(), '='));
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned int hash_size = 0;
  if (!functions.digest(blob.data(), static_cast<std::size_t>(size) - padding, hash.data(), &hash_size,
                        functions.sha256(), nullptr)) {
    return {};
  }
  return "SHA256:" + base64(hash.data(), hash_size);
}

std::vector<std::string> host_key_ids(const Root& root) {
  std::vector<std::string> out;
  for (const char* kind : {"ed25519", "ecdsa", "rsa"}) {
    const std::string key = root.line("/etc/ssh/ssh_host_" + std::string(kind) + "_key.pub");
    const auto parts = words(key);
    if (parts.size() < 2) continue;
    std::string print = fingerprint(parts[1]);
    if (print.empty()) continue;
    print[6] = '-';  // in these ids a colon is not wanted
    out.push_back(kIdPrefix + ("runtime/ssh/hostkey/" + print));
  }
  return out;
}

bool is_local_name(std::string_view name) {
  return name.empty() || name == "(none)" || name.starts_with("localhost") || name == "ip6-localhost" ||
         name == "ip6-loopback";
}

}  // namespace

std::string kernel_architecture() {
  utsname names{};
  return ::uname(&names) == 0 ? names.machine : "";
}

std::string host_name(const Root& root) {
  if (root.live()) {
    char name[256] = "";
    if (::gethostname(name, sizeof name - 1) == 0 && !is_local_name(name)) return name;
  }
  const std::string configured = root.line("/etc/hostname");
  if (!configured.empty() && !configured.starts_with('#')) return configured;
  return root.live() ? "localhost" : "";
}

std::string qualified_name(const Root& root, const std::string& host) {
  if (host.empty() || host.find('.') != std::string::npos) return host;
  const auto hosts = root.peek("/etc/hosts", 1 << 20);
  if (!hosts) return host;
  for (const std::string_view raw : split(*hosts, '\n')) {
    const auto parts = words(raw.substr(0, raw.find('#')));
    if (parts.size() < 2 || std::find(parts.begin() + 1, parts.end(), host) == parts.end()) continue;
    // Its own name with a domain; else the first of the line, which the resolver takes for the real one.
    for (std::size_t i = 1; i < parts.size(); ++i) {
      if (parts[i].starts_with(host + ".")) return std::string(parts[i]);
    }
    if (parts[1].find('.') != std::string_view::npos && !is_local_name(parts[1]))
      return std::string(parts[1]);
  }
  return host;
}

std::string outbound_ip() {
  // Addresses that are routed like any other of the world's: those of two public DNS services.
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(53);
  ::inet_pton(AF_INET, "9.9.9.9", &v4.sin_addr);
  std::string found = source_address(AF_INET, reinterpret_cast<const sockaddr*>(&v4), sizeof v4);
  if (!found.empty()) return found;
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  v6.sin6_port = htons(53);
  ::inet_pton(AF_INET6, "2620:fe::fe", &v6.sin6_addr);
  found = source_address(AF_INET6, reinterpret_cast<const sockaddr*>(&v6), sizeof v6);
  return found.empty() ? first_interface_address() : found;
}

Habitat detect_habitat(const Root& root) {
  const std::string container = container_runtime(root);
  const Machine machine = machine_type(root);
  if (!container.empty()) return {"container", container, machine.hypervisor};
  if (machine.is_virtual) return {"virtualmachine", machine.runtime, machine.hypervisor};
  // An image that is not running has no /proc or /sys to tell.
  const bool knowable =
      root.live() || root.exists("/proc/cpuinfo") || root.exists("/sys/class/dmi/id/sys_vendor");
  return {knowable ? "baremetal" : "", machine.runtime, ""};
}

std::string machine_id(const Root& root) {
  for (const char* path : {"/var/lib/dbus/machine-id", "/etc/machine-id"}) {
    const std::string id = lower(root.line(path));
    const bool hex = id.size() == 32 && id.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (hex && id.find_first_not_of('0') != std::string::npos) return id;
  }
  return {};
}

std::vector<std::string> platform_ids(const Root& root, const std::string& host) {
  if (const std::string id = machine_id(root); !id.empty()) return {kIdPrefix + ("machineid/" + id)};
  if (auto keys = host_key_ids(root); !keys.empty()) return keys;
  if (root.live() && !is_local_name(host)) return {kIdPrefix + ("hostname/" + host)};
  return {};
}

std::optional<Uptime> uptime(const Root& root) {
  const std::string line = root.line("/proc/uptime");
  const std::string_view text = std::string_view(line).substr(0, line.find(' '));
  const auto dot = text.find('.');
  const auto seconds = number(text.substr(0, dot));
  if (!seconds) return std::nullopt;
  const auto hundredths =
      dot == std::string_view::npos ? std::optional<int64_t>(0) : number(text.substr(dot + 1));
  if (!hundredths || *hundredths < 0 || *hundredths > 99) return std::nullopt;
  return Uptime{*seconds, static_cast<uint32_t>(*hundredths) * 10'000'000};
}

}  // namespace cnspec::os
