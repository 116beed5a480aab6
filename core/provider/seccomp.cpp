// seccomp: system calls. The filters were made when this program was built (compile_seccomp.cpp): computing
// one takes longer than all else that confines a provider.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <span>
#include <vector>

#include "provider/confine.hpp"

namespace cnspec::provider {
namespace {

struct Filter {
  std::span<const sock_filter> code;
  std::span<const unsigned> self;  // the instructions whose constant is the process's own id
};

#include "seccomp_filters.inc"

// <linux/seccomp.h> of later kernels.
constexpr unsigned kTsyncEsrch = 1 << 4;
// Linux 5.19: who waits for an answer hears no signal before it. Without, opening a file could be
// interrupted.
constexpr unsigned kWaitKillable = 1 << 5;

// For all threads: a sanitizer's is there already.
constexpr unsigned kAllThreads = SECCOMP_FILTER_FLAG_TSYNC;
constexpr unsigned kAsking = kAllThreads | kTsyncEsrch | SECCOMP_FILTER_FLAG_NEW_LISTENER | kWaitKillable;

long install(const Filter& filter, unsigned flags) {
  std::vector<sock_filter> code(filter.code.begin(), filter.code.end());
  for (const unsigned at : filter.self) code[at].k = static_cast<std::uint32_t>(::getpid());
  const sock_fprog program{static_cast<unsigned short>(code.size()), code.data()};
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

}  // namespace

bool can_ask_about_calls() {
  // Without a filter: EFAULT when it likes the flags, EINVAL when not.
  return ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, kAsking, nullptr) != 0 && errno == EFAULT;
}

Result<Fd> restrict_calls(bool may_exec, bool sees_cuts) {
  if (::prctl(PR_GET_SECCOMP, 0, 0, 0, 0) < 0) return Fd();  // the kernel was built without
  const auto& filters = kFilters[may_exec][sees_cuts];
  if (const long listener = install(filters[true], kAsking); listener >= 0)
    return Fd(static_cast<int>(listener));
  // An old kernel, or somebody who started us is asked already (EBUSY), as some managers of containers are.
  if (install(filters[false], kAllThreads) != 0) return fail(cannot_confine("the filter of system calls"));
  return Fd();
}

}  // namespace cnspec::provider
