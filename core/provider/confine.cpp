// The child's half: it confines itself, for good. Linux only.

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/fd.hpp"
#include "provider/confine.hpp"
#include "provider/sandbox.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CNSPEC_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CNSPEC_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
extern "C" void __lsan_do_leak_check(void);
#endif

namespace cnspec::provider {
namespace {

// ---- Capabilities of root: only reading what it is allowed to read stays ----

Result<void> drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> sets{};
  if (::syscall(SYS_capget, &header, sets.data()) != 0) return fail(cannot_confine("capget"));
  const std::uint32_t kept = sets[0].effective & (1u << CAP_DAC_READ_SEARCH);
  sets = {};
  sets[0].effective = sets[0].permitted = kept;
  if (::syscall(SYS_capset, &header, sets.data()) != 0) return fail(cannot_confine("capset"));
  return {};
}

// ---- Limits ----

Result<void> limit(decltype(RLIMIT_CORE) what, std::uint64_t to, std::uint64_t hard, const char* name) {
  rlimit now{};
  if (::getrlimit(what, &now) != 0) return fail(cannot_confine(name));
  now.rlim_max = std::min<rlim_t>(now.rlim_max, hard);
  now.rlim_cur = std::min<rlim_t>(now.rlim_max, to);
  if (::setrlimit(what, &now) != 0) return fail(cannot_confine(name));
  return {};
}

// The first to go when the machine has no memory left before the keeper looks. A kernel without it is no
// reason not to run.
void go_first() {
  const Fd score(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  if (score && ::write(score.get(), "1000", 4) != 4) return;
}

// All there are on the machine, or 0. Its line: "0.20 0.18 0.12 1/80 11206".
std::uint64_t tasks_now() {
  const Fd load(::open("/proc/loadavg", O_RDONLY | O_CLOEXEC));
  std::array<char, 128> line{};
  if (!load || ::read(load.get(), line.data(), line.size() - 1) <= 0) return 0;
  const char* slash = std::strchr(line.data(), '/');
  return slash ? std::strtoull(slash + 1, nullptr, 10) : 0;
}

Result<void> set_limits() {
  go_first();
  // One byte: at none, the kernel still hands a core to a program that /proc/sys/kernel/core_pattern names,
  // and it holds the secrets of connections.
  Result<void> done = limit(RLIMIT_CORE, 1, 1, "the limit on core files");
  const auto then = [&done](decltype(RLIMIT_CORE) what, std::uint64_t to, std::uint64_t hard,
                            const char* name) {
    if (done) done = limit(what, to, hard, name);
  };
#ifndef CNSPEC_SANITIZED  // whose shadow memory is counted
  then(RLIMIT_DATA, kMaxMemory, kMaxMemory, "the limit on memory");
#endif
  then(RLIMIT_CPU, kMaxProcessorSeconds, kMaxProcessorSeconds + 5, "the limit on processor time");
  then(RLIMIT_NOFILE, kMaxDescriptors, kMaxDescriptors, "the limit on descriptors");
  then(RLIMIT_FSIZE, kMaxFileSize, kMaxFileSize, "the limit on the size of files");
  // The kernel counts all tasks of the user, of which at most the machine's are there already.
  if (const std::uint64_t now = tasks_now(); now > 0)
    then(RLIMIT_NPROC, now + kMaxTasks, now + kMaxTasks, "the limit on tasks");
  return done;
}

}  // namespace

Error cannot_confine(const std::string& what) {
  return Error("cannot confine the provider: " + what + ": " + std::strerror(errno));
}

Result<Fd> apply_sandbox(const Sandbox& sandbox, int library) {
#if defined(__SANITIZE_ADDRESS__)
  // It stops its threads like a debugger, so not later; and it does this once.
  __lsan_do_leak_check();
#endif
  const int abi = landlock_abi();
  if (auto done = set_limits(); !done) return fail(done.error());
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail(cannot_confine("no new privileges"));
  if (abi > 0) {
    if (auto done = restrict_files(sandbox, library, abi); !done) return fail(done.error());
  }
  if (auto done = drop_capabilities(); !done) return fail(done.error());
  return restrict_calls(!sandbox.exec.empty(), abi >= 3);
}

}  // namespace cnspec::provider
