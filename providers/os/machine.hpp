// What only the operating system itself knows. One file for each: machine_linux.cpp, ...
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "root.hpp"

namespace cnspec::os {

// Of the running kernel, as `uname -m` prints it.
std::string kernel_architecture();

// The running system's name for itself; no name service is asked.
std::string host_name(const Root& root);

// The name with its domain, as far as /etc/hosts knows it; else `host`. Never asks DNS, which may not answer.
std::string qualified_name(const Root& root, const std::string& host);

// The address that packets to the world leave from, or else the first that is not loopback's; empty when
// there is none. Sends nothing. Throws an sdk::Error where this process may open no socket.
std::string outbound_ip();

struct Habitat {
  std::string kind;     // baremetal, virtualmachine, container; empty when an image does not tell
  std::string runtime;  // docker, podman, kubernetes, lxc, ...; kvm, vmware, aws-ec2, ...; empty: none known
  std::string hypervisor;  // KVM, VMware, Hyper-V, ...; empty: none known
};
Habitat detect_habitat(const Root& root);

// Lower case; empty when the system has none yet.
std::string machine_id(const Root& root);

// What other systems can tell this one by, best first: its machine id, or else its SSH host keys, or else
// (running systems only) its name.
std::vector<std::string> platform_ids(const Root& root, const std::string& host);

struct Uptime {
  int64_t seconds;
  uint32_t nanoseconds;
};
std::optional<Uptime> uptime(const Root& root);

}  // namespace cnspec::os
