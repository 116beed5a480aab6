// The parent's half: what a child may touch, and what became of it.

#include "provider/sandbox.hpp"

#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "base/text.hpp"
#include "provider/confine.hpp"

namespace cnspec::provider {
namespace {

namespace fs = std::filesystem;

// Left out of a folder that was declared, unless they, or what is below them, are declared themselves: the
// hashes of passwords, private keys (the user's ~/.ssh too), and devices, behind which all files lie once
// more.
constexpr const char* kGuarded[] = {"/etc/shadow",
                                    "/etc/shadow-",
                                    "/etc/gshadow",
                                    "/etc/gshadow-",
                                    "/etc/ssh/ssh_host_rsa_key",
                                    "/etc/ssh/ssh_host_ecdsa_key",
                                    "/etc/ssh/ssh_host_ed25519_key",
                                    "/dev"};

// Where a program is looked for that is declared by its name: never where a user can put one.
constexpr const char* kProgramFolders[] = {"/usr/sbin", "/usr/bin", "/sbin", "/bin"};

// As the kernel will see it; what does not exist yet keeps its name.
std::string kernel_name(const fs::path& path) {
  std::error_code failed;
  const fs::path real = fs::weakly_canonical(path, failed);
  std::string out = (failed ? path.lexically_normal() : real).string();
  if (out.size() > 1 && out.ends_with('/')) out.pop_back();
  return out;
}

// Empty: the entry stands for nothing here.
std::string path_of(std::string_view entry, const fs::path& home) {
  std::string path(entry);
  if (entry.starts_with("env:")) {
    const char* value = std::getenv(path.c_str() + 4);
    path = value ? value : "";
  }
  if (path == "~" || path.starts_with("~/")) path = home.empty() ? "" : home.string() + path.substr(1);
  return path.starts_with('/') ? path : "";
}

std::string describe(const std::vector<std::string>& entries) {
  return entries.empty() ? "none" : join(entries, ", ");
}

}  // namespace

bool lies_in(std::string_view path, std::string_view folder) {
  if (folder == "/") return path.starts_with('/');
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

Sandbox make_sandbox(const manifest::Capabilities& capabilities, const fs::path& home,
                     const std::vector<fs::path>& secrets, const fs::path& scratch) {
  Sandbox out;
  out.scratch = kernel_name(scratch);
  for (const fs::path& secret : secrets) {
    if (secret.is_absolute()) out.hidden.push_back(kernel_name(secret));
  }
  const std::vector<std::string> ours = out.hidden;
  for (const std::string& entry : capabilities.files) {
    const std::string path = path_of(entry, home);
    if (path.empty()) continue;
    const std::string real = kernel_name(path);
    const bool ours_alone =
        std::any_of(ours.begin(), ours.end(), [&](const std::string& s) { return lies_in(real, s); });
    if (!ours_alone) out.read.push_back(real);
  }
  for (const char* guarded : kGuarded) out.hidden.emplace_back(guarded);
  if (!home.empty()) out.hidden.push_back(kernel_name(home / ".ssh"));
  for (const std::string& program : capabilities.exec) {
    if (program.starts_with('/')) {
      out.exec.push_back(kernel_name(program));
      continue;
    }
    for (const char* folder : kProgramFolders) {
      const std::string path = std::string(folder) + '/' + program;
      if (::access(path.c_str(), X_OK) != 0) continue;
      out.exec.push_back(kernel_name(path));
      break;
    }
  }
  return out;
}

Result<Scratch> Scratch::make() {
  std::error_code failed;
  const fs::path parent = fs::temp_directory_path(failed);  // $TMPDIR, else /tmp
  std::string path = (failed || !parent.is_absolute() ? fs::path("/tmp") : parent) / "cnspec-XXXXXX";
  if (!::mkdtemp(path.data())) {
    return fail("cannot make a temporary folder " + printable(path) + ": " + std::strerror(errno));
  }
  return Scratch(kernel_name(path));
}

Scratch::Scratch(Scratch&& other) noexcept : path_(std::exchange(other.path_, {})) {}

Scratch& Scratch::operator=(Scratch&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}

Scratch::~Scratch() {
  if (path_.empty()) return;
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string sandbox_verdict(int status) {
  if (WIFEXITED(status)) {
    switch (static_cast<Violation>(WEXITSTATUS(status))) {
      case Violation::kNetwork:
        return "was stopped: it lacks the capability network. It used a socket, which no isolated provider "
               "may: "
               "HTTP goes through the host, to what its manifest lists under network";
      case Violation::kExec:
        return "was stopped: it lacks the capability exec. It started a process, and its manifest lists no "
               "program under exec that is here";
      case Violation::kProcess:
        return "was stopped: it reached for another process, by a signal or a look into its memory, which no "
               "capability allows";
    }
    return {};
  }
  if (!WIFSIGNALED(status)) return {};
  switch (WTERMSIG(status)) {
    case SIGSYS:  // while it had signals blocked, as the C library does when it starts a program
      return "was stopped: it made a system call that its capabilities do not cover. It lacks exec if it "
             "started a program, which is the usual case, or network if it opened a socket";
    case SIGXCPU:
      return "was stopped: it used " + std::to_string(kMaxProcessorSeconds) +
             " seconds of processor time, which is all a provider gets";
    case SIGXFSZ:
      return "was stopped: it wrote a file of more than " + std::to_string(kMaxFileSize >> 20) +
             " MiB, which is all a provider may";
    default: return {};
  }
}

std::string access_hint(const manifest::Capabilities& capabilities, std::string_view message) {
  std::string lower(message);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  constexpr const char* kSigns[] = {"permission denied",       "not permitted", "access denied", "eacces",
                                    "access is not permitted", "eperm",         "os error 13"};
  if (std::none_of(std::begin(kSigns), std::end(kSigns),
                   [&](const char* sign) { return lower.find(sign) != std::string::npos; }))
    return {};
  return "It runs isolated and may lack a capability: files to read (its manifest lists " +
         describe(capabilities.files) + "), programs to run under exec (" + describe(capabilities.exec) +
         ") or hosts for HTTP through the host under network (" + describe(capabilities.network) +
         "). It writes in its own temporary folder only";
}

int landlock_abi() {
  constexpr unsigned kVersion = 1;  // LANDLOCK_CREATE_RULESET_VERSION
  const long abi = ::syscall(kLandlockCreateRuleset, nullptr, 0, kVersion);
  return abi < 0 ? 0 : static_cast<int>(abi);
}

std::vector<std::string> sandbox_gaps() {
  std::vector<std::string> out;
  const int abi = landlock_abi();
  if (abi == 0) {
    out.emplace_back(
        "reading, writing and running files outside of what is declared (this kernel has no Landlock, or it "
        "is switched off)");
  }
  if (::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0) {
    out.emplace_back("sockets, new processes and signals to others (this kernel has no seccomp)");
  } else if (abi < 6) {
    out.emplace_back(
        "signals to others of a provider that may run programs (this kernel's Landlock has version " +
        std::to_string(abi) + ", that takes 6)");
  }
  if (::geteuid() == 0) out.emplace_back("the number of threads and processes (root has no limit)");
  return out;
}

}  // namespace cnspec::provider
