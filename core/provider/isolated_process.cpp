#include "provider/isolated_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <utility>

#include "base/text.hpp"
#include "provider/child.hpp"
#include "provider/confine.hpp"
#include "provider/network.hpp"

extern char** environ;

namespace cnspec::provider {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How long a call may take to end after it was asked to.
constexpr milliseconds kToStop{1000};
// How long the keeper may take to remove what was left, before it is let do this alone.
constexpr milliseconds kToRemove{500};

constexpr std::size_t kMaxLine = 4096;
constexpr std::size_t kMaxLines = 1000;
constexpr std::size_t kLastLines = 5;
constexpr std::size_t kMaxLastLine = 200;

tl::unexpected<Error> broke(const char* what) {
  return fail(std::string(what) + ": " + std::strerror(errno));
}

std::string signal_text(int number) {
  const char* name = ::sigabbrev_np(number);
  const char* meaning = ::sigdescr_np(number);
  return (name ? std::string("SIG") + name : std::to_string(number)) +
         (meaning ? std::string(" (") + meaning + ")" : "");
}

bool matches(std::string_view name, std::string_view pattern) {
  if (pattern.ends_with('*')) return name.starts_with(pattern.substr(0, pattern.size() - 1));
  return name == pattern;
}

// What the manifest names, and what does no harm. Never what changes how programs are loaded, and never what
// may hold a secret of ours.
bool may_see(std::string_view name, const std::vector<std::string>& declared) {
  if (name.starts_with("LD_") || name.starts_with("GLIBC_") || name.starts_with("MALLOC_") ||
      name.starts_with("MONDOO_") || name == "TMPDIR")
    return false;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  if (name.ends_with("SAN_OPTIONS")) return true;
#endif
  static constexpr std::string_view kHarmless[] = {"PATH", "HOME", "LANG", "LANGUAGE", "LC_*", "TZ"};
  const auto named = [&](std::string_view pattern) { return matches(name, pattern); };
  return std::any_of(std::begin(kHarmless), std::end(kHarmless), named) ||
         std::any_of(declared.begin(), declared.end(), named);
}

std::vector<std::string> environment_for(const Manifest& manifest, const std::filesystem::path& scratch) {
  std::vector<std::string> out;
  for (char** one = environ; one && *one; ++one) {
    const std::string_view entry = *one;
    if (may_see(entry.substr(0, entry.find('=')), manifest.capabilities.env)) out.emplace_back(entry);
  }
  out.push_back("TMPDIR=" + scratch.string());
  return out;
}

Clock::time_point later(Clock::time_point when, milliseconds by) {
  return when > Clock::time_point::max() - by ? Clock::time_point::max() : when + by;
}

// Keepers that were left to themselves are no zombies once they are done.
void reap_later(pid_t keeper) {
  static std::mutex mutex;
  static std::vector<pid_t>& all = *new std::vector<pid_t>;
  const std::lock_guard lock(mutex);
  if (keeper > 0) all.push_back(keeper);
  std::erase_if(all, [](pid_t pid) { return ::waitpid(pid, nullptr, WNOHANG) != 0; });
}

}  // namespace

Result<void> IsolatedProcess::start(const std::filesystem::path& program, int library) {
  int channel[2], output[2], leash[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) != 0) return broke("socketpair");
  channel_ = Fd(channel[0]);
  const Fd their_channel(channel[1]);
  if (::pipe2(output, O_CLOEXEC) != 0) return broke("pipe");
  output_ = Fd(output[0]);
  const Fd their_output(output[1]);
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, leash) != 0) return broke("socketpair");
  leash_ = Fd(leash[0]);
  const Fd their_leash(leash[1]);
  const Fd flag(::memfd_create("cnspec-cancelled", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!flag || ::ftruncate(flag.get(), sizeof(std::atomic<bool>)) != 0) return broke("memfd_create");
  // Were it cut, writing to it would be the end of this process.
  if (::fcntl(flag.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return broke("sealing memory");
  void* page = ::mmap(nullptr, sizeof(std::atomic<bool>), PROT_READ | PROT_WRITE, MAP_SHARED, flag.get(), 0);
  if (page == MAP_FAILED) return broke("mmap");
  cancelled_ = new (page) std::atomic<bool>(false);
  for (const int fd : {channel_.get(), output_.get()}) ::fcntl(fd, F_SETFL, O_NONBLOCK);

  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  ::posix_spawn_file_actions_init(&files);
  ::posix_spawnattr_init(&attributes);
  std::vector<Fd> copies;  // above all the numbers that are given: one may have that of another
  int no_copy = 0;         // errno; what has that number here must not be handed over instead
  const auto hand_over = [&](int fd, int number) {
    const Fd& copy = copies.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, kLastFd + 1));
    if (!copy) no_copy = errno;
    ::posix_spawn_file_actions_adddup2(&files, copy.get(), number);
  };
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDWR, 0);
  hand_over(their_output.get(), STDOUT_FILENO);
  hand_over(their_output.get(), STDERR_FILENO);
  hand_over(their_channel.get(), kChannelFd);
  hand_over(library, kLibraryFd);
  hand_over(their_leash.get(), kLeashFd);
  hand_over(flag.get(), kCancelledFd);
  ::posix_spawn_file_actions_addclosefrom_np(&files, kLastFd + 1);
  sigset_t none, all;
  ::sigemptyset(&none);
  ::sigfillset(&all);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &all);
  ::posix_spawnattr_setpgroup(&attributes, 0);
  ::posix_spawnattr_setflags(&attributes,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  std::vector<std::string> environment = environment_for(manifest_, scratch_.path());
  std::vector<char*> envp;
  for (std::string& one : environment) envp.push_back(one.data());
  envp.push_back(nullptr);
  // The name is for those who look at processes.
  std::string path = program.string(), name = manifest_.name, folder = scratch_.path().string();
  char* const argv[] = {path.data(), name.data(), folder.data(), nullptr};
  pid_t pid = 0;
  const int failed =
      no_copy != 0 ? no_copy : ::posix_spawn(&pid, path.c_str(), &files, &attributes, argv, envp.data());
  ::posix_spawn_file_actions_destroy(&files);
  ::posix_spawnattr_destroy(&attributes);
  if (failed != 0) return fail("cannot start " + printable(path) + ": " + std::strerror(failed));
  keeper_ = pid;
  scratch_.leave();
  return {};
}

Result<void> IsolatedProcess::call(FrameWriter& order, RowSink* sink, const std::vector<std::string>& hosts,
                                   const Limits& limits) {
  cancelled_->store(false);
  done_.reset();
  ++call_;
  send(order);
  Stop why = Stop::kNo;
  Clock::time_point give_up = later(limits.deadline, kLate);
  while (true) {
    if (why == Stop::kNo) {
      why = why_stop(sink, limits);
      if (why != Stop::kNo) {
        // The provider knows its deadline; the answer that this is what ended it is its own.
        if (why != Stop::kDeadline) cancelled_->store(true);
        if (why != Stop::kDeadline) give_up = std::min(give_up, Clock::now() + kToStop);
      }
    }
    if (Clock::now() >= give_up) return fail(deaf(why, sink, limits));
    Clock::time_point until = why == Stop::kNo ? limits.deadline : give_up;
    if (why == Stop::kNo && limits.cancelled) until = std::min(until, Clock::now() + kLook);
    wait(until);
    if (auto good = take_frames(sink, hosts, limits); !good) return good;
    if (done_) break;
    if (closed_) return fail(gone());
  }
  if (sink && sink->violation()) return fail(*sink->violation());
  if (*done_ && limits.cancelled && limits.cancelled->load())
    return fail("it was cancelled", ErrorKind::kCancelled);
  if (*done_ && Clock::now() >= limits.deadline) return fail("its deadline has passed", ErrorKind::kTimeout);
  return std::move(*done_);
}

IsolatedProcess::Stop IsolatedProcess::why_stop(const RowSink* sink, const Limits& limits) const {
  if (limits.cancelled && limits.cancelled->load(std::memory_order_relaxed)) return Stop::kCancelled;
  if (Clock::now() >= limits.deadline) return Stop::kDeadline;
  return sink && sink->violation() ? Stop::kViolation : Stop::kNo;
}

// Until something moved, or so long.
void IsolatedProcess::wait(Clock::time_point until) {
  pollfd files[] = {{channel_.get(), static_cast<short>(POLLIN | (unsent_.empty() ? 0 : POLLOUT)), 0},
                    {output_.get(), POLLIN, 0},
                    {ended_ ? -1 : leash_.get(), POLLIN, 0}};
  int timeout = -1;
  if (until != Clock::time_point::max()) {
    constexpr milliseconds kLongest{60'000};
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
    timeout = static_cast<int>(std::clamp(left, milliseconds(0), kLongest).count());
  }
  if (::poll(files, std::size(files), timeout) <= 0) return;
  if (files[2].revents != 0) hear_keeper();  // first: it spoke before the provider went on
  if (files[1].revents != 0) read_output();
  if ((files[0].revents & POLLOUT) != 0) write_some();
  if ((files[0].revents & ~POLLOUT) != 0) read_some();
}

void IsolatedProcess::send(FrameWriter& frame) {
  unsent_ += frame.finish(call_);
  frame.wipe();
  write_some();
}

void IsolatedProcess::write_some() {
  while (sent_ < unsent_.size()) {
    const ssize_t n = ::send(channel_.get(), unsent_.data() + sent_, unsent_.size() - sent_, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) break;  // read_some sees why, after what was still said
    sent_ += static_cast<std::size_t>(n);
  }
  ::explicit_bzero(unsent_.data(), unsent_.size());
  unsent_.clear();
  sent_ = 0;
}

void IsolatedProcess::read_some() {
  const auto [data, size] = in_.room();
  const ssize_t n = ::recv(channel_.get(), data, size, 0);
  if (n > 0) {
    in_.filled(static_cast<std::size_t>(n));
  } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
    closed_ = true;
  }
}

void IsolatedProcess::read_output() {
  char part[4096];
  const ssize_t n = ::read(output_.get(), part, sizeof part);
  if (n > 0) {
    take_output({part, static_cast<std::size_t>(n)});
  } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
    output_.reset();
    if (!line_.empty()) take_output("\n");
  }
}

void IsolatedProcess::take_output(std::string_view text) {
  for (const char c : text) {
    if (c != '\n' && line_.size() < kMaxLine) line_ += c;
    if (c != '\n') continue;
    if (!trim(line_).empty()) log(log::Level::kInfo, line_);
    line_.clear();
  }
}

void IsolatedProcess::remember(std::string_view line) {
  if (last_lines_.size() == kLastLines) last_lines_.pop_front();
  last_lines_.push_back(printable(trim(line).substr(0, kMaxLastLine)));
}

// What it writes, and what it logs.
void IsolatedProcess::log(log::Level level, std::string_view text) {
  remember(text);
  if (++lines_ < kMaxLines) return host_.log(level, text);
  if (lines_ == kMaxLines) host_.log(log::Level::kWarn, "logs more than is kept; the rest is dropped");
}

Result<void> IsolatedProcess::take_frames(RowSink* sink, const std::vector<std::string>& hosts,
                                          const Limits& limits) {
  while (!done_) {
    const auto next = in_.next();
    if (!next) return fail(nonsense(next.error().message()));
    if (!*next) return {};
    if (auto good = take(**next, sink, hosts, limits); !good) return good;
  }
  return {};
}

Result<void> IsolatedProcess::take(const FrameBuffer::Frame& frame, RowSink* sink,
                                   const std::vector<std::string>& hosts, const Limits& limits) {
  if (!greeted_) {
    if (frame.kind != FrameKind::kHello) return fail(nonsense("sent no greeting"));
    if (auto good = read_hello(frame.payload, nullptr); !good) return fail(nonsense(good.error().message()));
    greeted_ = true;
    return {};
  }
  if (frame.kind == FrameKind::kLog) {
    const auto line = read_log(frame.payload);
    if (!line) return fail(nonsense("sent a line for the log that cannot be read"));
    log(line->level, line->text);
    return {};
  }
  if (frame.call != call_) return fail(nonsense("answered what it was not asked"));
  switch (frame.kind) {
    case FrameKind::kRows:
      if (!sink) return fail(nonsense("sent rows that nobody asked for"));
      try {
        if (!sink->violation() && !replay_rows(frame.payload, *sink))
          return fail(nonsense("sent rows that cannot be read"));
      } catch (const std::bad_alloc&) {
        sink->violate("sent more than the memory of this machine holds");
      }
      return {};
    case FrameKind::kHttp: {
      auto request = read_http(frame.payload);
      if (!request) return fail(nonsense("sent a request for HTTP that cannot be read"));
      if (!unsent_.empty()) return fail(nonsense("asked again before it took the last answer"));
      answer_http(std::move(*request), hosts, limits);
      return {};
    }
    case FrameKind::kDone:
      done_ = read_done(frame.payload);
      if (!done_) return fail(nonsense("sent an outcome that cannot be read"));
      return {};
    default:
      return fail(nonsense("sent a frame of the kind " + std::to_string(static_cast<int>(frame.kind)) +
                           ", which is not its to send"));
  }
}

void IsolatedProcess::answer_http(transport::Request request, const std::vector<std::string>& hosts,
                                  const Limits& limits) {
  const auto now = Clock::now();
  Result<transport::Response> answer = fail("http: its time is over", ErrorKind::kTimeout);
  if (const auto deadline = request.deadline; deadline > now)
    answer = exchange(services_.get(), hosts, std::move(request), deadline - now, limits);
  FrameWriter frame(FrameKind::kAnswer);
  write_answer(frame, answer);
  send(frame);
}

// ---- How it ends ----

// Whether all that is below the keeper has, and status_ says how.
bool IsolatedProcess::has_ended(milliseconds patience) {
  const auto until = Clock::now() + patience;
  while (!ended_ && keeper_ > 0) {
    pollfd files[] = {{leash_.get(), POLLIN, 0}, {output_.get(), POLLIN, 0}};
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
    ::poll(files, 2, static_cast<int>(std::max(left, milliseconds(0)).count()));
    if (files[1].revents != 0) read_output();  // or it could wait for us
    if (files[0].revents != 0) {
      hear_keeper();
    } else if (Clock::now() >= until) {
      return false;
    }
  }
  return true;
}

void IsolatedProcess::hear_keeper() {
  char message[4096];
  const ssize_t n = ::recv(leash_.get(), message, sizeof message, 0);
  if (n < 0 && errno == EINTR) return;
  const std::string_view said(message + 1, n > 0 ? static_cast<std::size_t>(n) - 1 : 0);
  if (n > 0 && message[0] == static_cast<char>(KeeperWord::kLine)) {
    remember(said);
    // What its sandbox refused is the user's business; an end has an error of its own, which repeats this.
    host_.log(said.starts_with(kSandboxLine) ? log::Level::kWarn : log::Level::kInfo, said);
    return;
  }
  ended_ = true;
  if (said.size() == sizeof status_) {
    std::memcpy(&status_, said.data(), sizeof status_);
    return;
  }
  // The keeper is gone without a word, and whatever it had to remove is still there.
  while (::waitpid(keeper_, &status_, 0) < 0 && errno == EINTR) continue;
  keeper_ = 0;
  remove_folder(scratch_.path());
}

// It has not much to remove as a rule.
void IsolatedProcess::leave_keeper() {
  if (keeper_ <= 0) return;
  pollfd end{leash_.get(), POLLIN, 0};
  if (ended_ && ::poll(&end, 1, static_cast<int>(kToRemove.count())) > 0) {
    while (::waitpid(keeper_, nullptr, 0) < 0 && errno == EINTR) continue;
    keeper_ = 0;
  }
  reap_later(std::exchange(keeper_, 0));
}

void IsolatedProcess::end(milliseconds patience) {
  if (keeper_ > 0 && (patience.count() == 0 || !has_ended(patience))) {
    ::shutdown(leash_.get(), SHUT_WR);
    has_ended(kToEnd);
  }
  leave_keeper();
  leash_.reset();
  channel_.reset();
  while (output_) {
    pollfd file{output_.get(), POLLIN, 0};
    if (::poll(&file, 1, 0) <= 0) break;
    read_output();
  }
  output_.reset();
}

Error IsolatedProcess::with_last_words(Error error) const {
  if (last_lines_.empty()) return error;
  std::string said = error.hint().empty() ? "" : error.hint() + " ";
  said += last_lines_.size() == 1 ? "Its last line was:" : "Its last lines were:";
  for (const std::string& line : last_lines_) said += " \"" + line + "\"";
  return std::move(error).hint(std::move(said));
}

Error IsolatedProcess::gone() {
  const bool by_itself = has_ended(kToEnd);
  end(milliseconds(0));
  const auto how = [&]() -> std::string {
    // Also when its end took long, as that of much memory does.
    if (std::string verdict = sandbox_verdict(status_); !verdict.empty()) return verdict;
    if (!by_itself) return "closed the channel to the program, and was ended";
    if (WIFSIGNALED(status_)) return "its process was ended by " + signal_text(WTERMSIG(status_));
    const int code = WEXITSTATUS(status_);
    if (code == kChannelClosedStatus) return "closed the channel to the program";
    if (code == kChannelBrokenStatus) return "its process could not read what it was asked";
    if (code == kNoServiceStatus) return "its process could not be set up";
    return "its process ended with the exit code " + std::to_string(code) + " before it answered";
  };
  return with_last_words(Error(how()));
}

Error IsolatedProcess::deaf(Stop why, const RowSink* sink, const Limits& limits) {
  if (why == Stop::kViolation) {
    end(milliseconds(0));
    return *sink->violation();
  }
  if (why == Stop::kCancelled && keeper_ > 0) {
    // TERM first, as long as there is time.
    const auto left = std::chrono::duration_cast<milliseconds>(limits.deadline - Clock::now());
    const auto patience = std::clamp(left, milliseconds(0), milliseconds(kGraceMilliseconds));
    if (patience.count() > 0) ::kill(keeper_, SIGTERM);
    end(patience);
    return with_last_words(
        Error("did not stop when it was cancelled; its process was ended", ErrorKind::kCancelled));
  }
  end(milliseconds(0));
  return with_last_words(Error("did not answer by its deadline; its process was ended", ErrorKind::kTimeout));
}

Error IsolatedProcess::nonsense(const std::string& what) {
  end(milliseconds(0));
  return with_last_words(Error("broke the protocol and was ended: it " + what, ErrorKind::kInvalid));
}

}  // namespace cnspec::provider
