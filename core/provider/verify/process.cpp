#include "provider/verify/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <string_view>
#include <utility>

#include "base/fd.hpp"
#include "base/interrupt.hpp"
#include "base/text.hpp"
#include "provider/sandbox.hpp"
#include "provider/usage.hpp"

namespace cnspec::provider::checks {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxOutput = 64 << 10;   // kept of what a child prints
constexpr std::size_t kMaxReport = 64 << 20;   // read of what it reports
constexpr std::chrono::milliseconds kPoll{5};  // how soon an end is noticed that no pipe tells of

struct Pipe {
  Fd read, write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return fail(std::string("a pipe: ") + std::strerror(errno));
  Pipe out{Fd(ends[0]), Fd(ends[1])};
  // The child's end is an ordinary one.
  ::fcntl(ends[1], F_SETFL, 0);
  return out;
}

// Ends when this process does, however that comes about.
Result<Pipe> make_leash(const std::filesystem::path& folder) {
  auto leash = make_pipe();
  if (!leash) return leash;
  ::fcntl(leash->read.get(), F_SETFL, 0);
  const auto size = static_cast<ssize_t>(folder.native().size());
  if (::write(leash->write.get(), folder.c_str(), folder.native().size()) != size)
    return fail(std::string("a pipe: ") + std::strerror(errno));
  return leash;
}

// The request may hold secrets: it is never on a disk nor in an argument.
Result<Fd> in_memory(const std::string& text) {
  Fd file(::memfd_create("cnspec-verify", MFD_CLOEXEC));
  if (file.get() < 0 || ::write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      ::lseek(file.get(), 0, SEEK_SET) != 0) {
    return fail(std::string("memory for the request: ") + std::strerror(errno));
  }
  return file;
}

// Takes what is there; false at the end of it.
bool drain(const Fd& from, std::string& to, std::size_t most) {
  char buffer[4096];
  while (true) {
    const ssize_t got = ::read(from.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return true;
    if (got == 0) return false;
    to.append(buffer, std::min(static_cast<std::size_t>(got), most - std::min(most, to.size())));
  }
}

std::string name_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/comm");
  std::string name;
  std::getline(file, name);
  return printable(name);
}

// One child from its start to its end, when no process of it is left.
class Child {
 public:
  static Result<Ended> run(const std::vector<std::string>& argv, const std::string& input,
                           std::chrono::milliseconds limit) {
    Child child;
    // What one that has to be killed leaves there goes with it.
    const auto scratch = Scratch::make();
    if (!scratch) return fail(scratch.error());
    if (auto started = child.start(argv, input, scratch->path()); !started) return fail(started.error());
    child.watch(Clock::now() + limit);
    child.finish();
    return std::move(child.ended_);
  }

  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

 private:
  Child() = default;

  Result<void> start(const std::vector<std::string>& argv, const std::string& input,
                     const std::filesystem::path& temporary) {
    auto request = in_memory(input);
    auto report = make_pipe();
    auto out = make_pipe();
    auto err = make_pipe();
    auto leash = make_leash(temporary);
    if (!request) return fail(request.error());
    for (const auto* pipe : {&report, &out, &err, &leash}) {
      if (!*pipe) return fail(pipe->error());
    }
    // Out of the way of the numbers that others get before it.
    const Fd held(::fcntl(leash->read.get(), F_DUPFD_CLOEXEC, kLeashFd + 1));
    const std::vector<pid_t> others = children();
    before_ = {others.begin(), others.end()};

    posix_spawn_file_actions_t files;
    ::posix_spawn_file_actions_init(&files);
    // The last one may take the place of another's source, which is used by then.
    ::posix_spawn_file_actions_adddup2(&files, request->get(), STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&files, out->write.get(), STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&files, err->write.get(), STDERR_FILENO);
    ::posix_spawn_file_actions_adddup2(&files, report->write.get(), kReportFd);
    ::posix_spawn_file_actions_adddup2(&files, held.get(), kLeashFd);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    std::vector<char*> words;
    for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    std::string tmpdir = "TMPDIR=" + temporary.string();
    std::vector<char*> environment = {tmpdir.data()};
    for (char** variable = environ; *variable; ++variable) {
      if (!std::string_view(*variable).starts_with("TMPDIR=")) environment.push_back(*variable);
    }
    environment.push_back(nullptr);
    const int failed = ::posix_spawn(&pid_, words[0], &files, &attributes, words.data(), environment.data());
    ::posix_spawn_file_actions_destroy(&files);
    ::posix_spawnattr_destroy(&attributes);
    if (failed != 0) return fail("cannot start " + argv[0] + ": " + std::strerror(failed));
    report_ = std::move(report->read);
    out_ = std::move(out->read);
    err_ = std::move(err->read);
    leash_ = std::move(leash->write);
    return {};
  }

  // Until it has ended or has to.
  void watch(Clock::time_point end) {
    while (true) {
      siginfo_t info{};
      // It stays a zombie for now, so that nobody else gets its number.
      if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
          info.si_pid == pid_)
        return;
      if (interrupt::is_pending()) return;
      if (Clock::now() >= end) {
        ended_.timed_out = true;
        return;
      }
      pollfd ready[] = {{report_.get(), POLLIN, 0}, {out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}};
      ::poll(ready, 3, static_cast<int>(kPoll.count()));
      take();
    }
  }

  // Nothing of it may be left, whatever group or session it went to.
  void finish() {
    if (!ended_.timed_out) {
      for (const pid_t pid : adopted()) {
        if (pid != pid_) ended_.orphans.push_back(name_of(pid));
      }
    }
    ::kill(-pid_, SIGKILL);
    while (::waitpid(pid_, &ended_.status, 0) < 0 && errno == EINTR) {
    }
    // What a dying orphan had started is adopted in its turn.
    for (auto left = adopted(); !left.empty(); left = adopted()) kill_and_wait(left);
    take();
  }

  std::vector<pid_t> adopted() const {
    std::vector<pid_t> out = children();
    std::erase_if(out, [this](pid_t pid) { return before_.contains(pid); });
    std::ranges::sort(out);
    return out;
  }

  void take() {
    const std::pair<Fd*, std::pair<std::string*, std::size_t>> streams[] = {
        {&report_, {&ended_.report, kMaxReport}},
        {&out_, {&ended_.out, kMaxOutput}},
        {&err_, {&ended_.err, kMaxOutput}}};
    for (const auto& [from, to] : streams) {
      if (*from && !drain(*from, *to.first, to.second)) from->reset();
    }
  }

  pid_t pid_ = -1;
  std::set<pid_t> before_;  // children of ours that have nothing to do with this
  Fd report_, out_, err_, leash_;
  Ended ended_;
};

}  // namespace

Result<Ended> run_alone(const std::vector<std::string>& argv, const std::string& input,
                        std::chrono::milliseconds limit) {
  return Child::run(argv, input, limit);
}

}  // namespace cnspec::provider::checks
