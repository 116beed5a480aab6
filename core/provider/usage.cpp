#include "provider/usage.hpp"

#include <dirent.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <string_view>

#include "base/file.hpp"
#include "provider/confine.hpp"
#include "provider/sandbox.hpp"

namespace cnspec::provider {
namespace {

// What the memory may be beyond its limit: that is there before the provider is.
constexpr std::uint64_t kMemoryToSpare = 64u << 20;

std::string proc(pid_t pid, const char* rest) { return "/proc/" + std::to_string(pid) + rest; }

// Empty: it is not there, or may not be read.
std::string read_all(const std::string& path) { return read_small_file(path).value_or(""); }

// Takes the next number, and what is before it.
std::uint64_t next_number(std::string_view& text) {
  text.remove_prefix(std::min(text.find_first_of("0123456789"), text.size()));
  std::uint64_t out = 0;
  for (; !text.empty() && text[0] >= '0' && text[0] <= '9'; text.remove_prefix(1))
    out = out * 10 + static_cast<std::uint64_t>(text[0] - '0');
  return out;
}

// From the children of one thread.
void add_children(const std::string& task, std::vector<pid_t>& out) {
  const std::string all = read_all(task + "/children");
  std::string_view rest = all;
  while (const auto pid = static_cast<pid_t>(next_number(rest))) out.push_back(pid);
}

std::vector<pid_t> children_of(pid_t pid) {
  std::vector<pid_t> out;
  const std::string path = proc(pid, "/task");
  const std::unique_ptr<DIR, int (*)(DIR*)> tasks(::opendir(path.c_str()), ::closedir);
  while (const dirent* task = tasks ? ::readdir(tasks.get()) : nullptr) {
    if (task->d_name[0] != '.') add_children(path + '/' + task->d_name, out);
  }
  return out;
}

// "NAME:   123 kB", at the beginning of a line: a process chooses what its own name is, in the first one.
std::uint64_t bytes(std::string_view lines, std::string_view name) {
  const auto at = lines.find('\n' + std::string(name) + ':');
  if (at == std::string_view::npos) return 0;
  lines.remove_prefix(at + name.size());
  return next_number(lines) << 10;
}

// Of one process, also what no limit counts: what was made read-only once it was written, what was swapped
// out, and the tables of where it all is. `shared_out`: what several processes have is divided among them,
// which takes the kernel longer to say.
std::uint64_t memory_of(pid_t pid, bool shared_out) {
  const std::string status = read_all(proc(pid, "/status"));
  const std::uint64_t tables = bytes(status, "VmPTE");
  if (const std::string fair = shared_out ? read_all(proc(pid, "/smaps_rollup")) : ""; !fair.empty())
    return tables + bytes(fair, "Pss_Anon") + bytes(fair, "Pss_Shmem") + bytes(fair, "SwapPss");
  return tables + bytes(status, "RssAnon") + bytes(status, "RssShmem") + bytes(status, "VmSwap");
}

// As a program does that is being started, until it is.
bool lives_in_its_parent(const Process& process) {
  return process.parent != ::getpid() && ::syscall(SYS_kcmp, process.pid, process.parent, KCMP_VM, 0, 0) == 0;
}

std::uint64_t memory_of(const std::vector<Process>& all, bool shared_out) {
  std::uint64_t sum = 0;
  for (const Process& one : all) {
    if (!lives_in_its_parent(one)) sum += memory_of(one.pid, shared_out);
  }
  return sum;
}

// Of a process, and of those that it has waited for, in clock ticks.
std::uint64_t processor_time_of(pid_t pid) {
  const std::string stat = read_all(proc(pid, "/stat"));
  std::string_view rest = stat;
  rest.remove_prefix(std::min(rest.rfind(')'), rest.size()));  // the end of its name
  constexpr int kBefore = 11, kTimes = 4;
  std::uint64_t sum = 0;
  for (int i = 0; i < kBefore + kTimes; ++i) {
    rest.remove_prefix(std::min(rest.find(' '), rest.size()));
    rest.remove_prefix(std::min<std::size_t>(1, rest.size()));
    std::string_view field = rest.substr(0, rest.find(' '));
    if (i > kBefore - 1) sum += next_number(field);
  }
  return sum;
}

std::uint64_t ticks(const timeval& time, std::uint64_t per_second) {
  return static_cast<std::uint64_t>(time.tv_sec) * per_second +
         static_cast<std::uint64_t>(time.tv_usec) * per_second / 1'000'000;
}

}  // namespace

std::vector<pid_t> children() { return children_of(::getpid()); }

std::vector<Process> descendants() {
  std::vector<Process> out;
  const auto add = [&](pid_t parent) {
    for (const pid_t pid : children_of(parent)) out.push_back({pid, parent});
  };
  add(::getpid());
  for (std::size_t i = 0; i < out.size(); ++i) add(out[i].pid);
  return out;
}

bool has_ended(pid_t child) {
  while (true) {
    siginfo_t info{};
    if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return false;
    if (info.si_pid == child) return true;
    ::waitpid(info.si_pid, nullptr, 0);
  }
}

void kill_and_wait(const std::vector<pid_t>& children) {
  for (const pid_t pid : children) ::kill(pid, SIGKILL);
  for (const pid_t pid : children) {
    while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) continue;
  }
}

std::optional<int> Usage::excess() {
  const std::vector<Process> all = descendants();
  constexpr std::uint64_t kMost = kMaxMemory + kMemoryToSpare;
  if (memory_of(all, false) > kMost && (all.size() == 1 || memory_of(all, true) > kMost))
    return W_EXITCODE(static_cast<int>(Violation::kMemory), 0);

  // What nobody waited for is forgotten by the kernel, and then there is less than at the last look.
  const auto per_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
  rusage ended{};
  ::getrusage(RUSAGE_CHILDREN, &ended);
  std::uint64_t now = ticks(ended.ru_utime, per_second) + ticks(ended.ru_stime, per_second);
  for (const Process& one : all) now += processor_time_of(one.pid);
  if (now > last_) spent_ += now - last_;
  last_ = now;
  if (spent_ > max_processor_seconds() * per_second) return SIGXCPU;
  return std::nullopt;
}

}  // namespace cnspec::provider
