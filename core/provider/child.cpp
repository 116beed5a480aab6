#include "provider/child.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "base/fd.hpp"
#include "provider/confine.hpp"
#include "provider/elf.hpp"
#include "provider/frame.hpp"
#include "provider/instance.hpp"
#include "provider/refusals.hpp"
#include "provider/sandbox.hpp"
#include "provider/usage.hpp"

namespace cnspec::provider {
namespace {

using Clock = std::chrono::steady_clock;

// How often the keeper looks at what the provider uses.
constexpr int kLookMilliseconds = 200;

// ---- The provider's process ----

class Server {
 public:
  Server(int channel, int library, int keeper, const std::atomic<bool>& cancelled)
      : channel_(channel), library_(library), keeper_(keeper), cancelled_(&cancelled, [](const auto*) {}) {}

  int run() {
    greet();
    Result<void> loaded = load();
    done(loaded);
    if (!loaded) return 0;
    while (true) {
      const FrameBuffer::Frame order = receive();
      if (!obey(order)) ::_exit(kChannelBrokenStatus);
      if (order.kind == FrameKind::kClose) return 0;
    }
  }

 private:
  struct Linked {
    void* self;
    Settled settled;
  };

  // Any thread. Without the program there is nothing left to do, and nobody to tell.
  bool send(std::string_view frame) {
    const std::lock_guard lock(sending_);
    while (!frame.empty()) {
      const ssize_t n = ::send(channel_, frame.data(), frame.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) ::_exit(kChannelClosedStatus);
      frame.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }

  FrameBuffer::Frame receive() {
    while (true) {
      auto frame = in_.next();
      if (!frame) ::_exit(kChannelBrokenStatus);
      if (*frame) {
        call_ = (*frame)->call;
        return **frame;
      }
      const auto [data, size] = in_.room();
      const ssize_t n = ::recv(channel_, data, size, 0);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) ::_exit(kChannelClosedStatus);
      in_.filled(static_cast<std::size_t>(n));
    }
  }

  void done(const Result<void>& outcome) {
    FrameWriter frame(FrameKind::kDone);
    write_done(frame, outcome);
    send(frame.finish(call_));
  }

  void greet() {
    FrameWriter frame(FrameKind::kHello);
    write_hello(frame, nullptr);
    send(frame.finish(call_));
  }

  Result<void> load() {
    const FrameBuffer::Frame frame = receive();
    Hello hello;
    if (frame.kind != FrameKind::kHello) return fail("no greeting came", ErrorKind::kInvalid);
    if (auto good = read_hello(frame.payload, &hello); !good)
      return fail(Error::wrap("the program", good.error()));
    struct stat info {};
    if (::fstat(library_, &info) != 0) return fail("there is no library", ErrorKind::kInvalid);
    if (auto confined = confine(hello.sandbox, frame.payload); !confined)
      return fail(Error::wrap("cannot be confined", confined.error()));
    auto section =
        read_elf_section(library_, static_cast<std::uint64_t>(info.st_size), CNSPEC_MANIFEST_SECTION);
    if (!section) return fail(section.error());
    // Without a name, which the program puts before every line, and with every host: the program decides.
    Manifest manifest;
    manifest.capabilities.network = {"*"};
    auto instance = Instance::load(TrustedFile(library_, hello.path, info), *section, std::move(manifest));
    if (!instance) return fail(instance.error());
    instance_ = std::move(*instance);
    return {};
  }

  // From here on the keeper is asked what this process may not do; `greeting` says what that is.
  Result<void> confine(const Sandbox& sandbox, std::string_view greeting) {
    const Fd keeper(std::exchange(keeper_, -1));
    const auto listener = apply_sandbox(sandbox, library_);
    if (!listener) return fail(listener.error());
    return *listener ? send_descriptor(keeper.get(), listener->get(), greeting) : Result<void>();
  }

  Limits limits(const CallOrder& call) const { return {call.deadline, cancelled_}; }

  Linked* linked(std::uint64_t connection) {
    const auto it = connections_.find(connection);
    return it == connections_.end() ? nullptr : &it->second;
  }

  // False for an order that makes no sense.
  bool obey(const FrameBuffer::Frame& order) {
    switch (order.kind) {
      case FrameKind::kOpen: return open(read_call(order.payload));
      case FrameKind::kConnect: return connect(order.payload);
      case FrameKind::kIdentify: return identify(read_call(order.payload));
      case FrameKind::kFetch: return fetch(read_fetch(order.payload));
      case FrameKind::kDisconnect: return disconnect(read_call(order.payload));
      case FrameKind::kClose: return close();
      default: return false;
    }
  }

  bool open(const std::optional<CallOrder>& call) {
    if (!call) return false;
    Services services;
    services.log = [this](log::Level level, std::string_view line) {
      FrameWriter frame(FrameKind::kLog);
      write_log(frame, {level, line});
      send(frame.finish(call_));
    };
    services.http = [this](transport::Request request) { return http(request); };
    done(instance_->open(std::move(services), limits(*call)));
    return true;
  }

  Result<transport::Response> http(const transport::Request& request) {
    FrameWriter frame(FrameKind::kHttp);
    write_http(frame, request);
    send(frame.finish(call_));
    frame.wipe();
    const FrameBuffer::Frame answer = receive();
    auto response = answer.kind == FrameKind::kAnswer ? read_answer(answer.payload) : std::nullopt;
    if (!response) ::_exit(kChannelBrokenStatus);
    return std::move(*response);
  }

  bool connect(std::string_view payload) {
    auto order = read_connect(payload);
    in_.wipe();
    if (!order || linked(order->connection)) return false;
    Settled settled{std::move(order->config), {"*"}};
    auto connection =
        instance_->connect(order->connector, order->request, settled, {order->deadline, cancelled_});
    for (auto& [name, secret] : order->request.secrets) ::explicit_bzero(secret.data(), secret.size());
    if (connection) connections_.emplace(order->connection, Linked{*connection, std::move(settled)});
    done(connection ? Result<void>() : fail(connection.error()));
    return true;
  }

  // Rows first, then how it went.
  template <class Work>
  bool with_sink(std::vector<std::string> wanted, Work&& work) {
    FrameSink sink(std::move(wanted), call_, [this](std::string_view frame) { return send(frame); });
    const Result<void> outcome = work(sink);
    sink.flush();
    done(outcome);
    return true;
  }

  bool identify(const std::optional<CallOrder>& call) {
    const Linked* to = call ? linked(call->connection) : nullptr;
    return to && with_sink({}, [&](Sink& sink) {
             return instance_->identify(to->self, to->settled, sink, limits(*call));
           });
  }

  bool fetch(const std::optional<FetchOrder>& order) {
    const Linked* to = order ? linked(order->call.connection) : nullptr;
    return to && with_sink(order->request.fields, [&](Sink& sink) {
             return instance_->fetch(to->self, to->settled, order->request, order->request.fields, sink,
                                     limits(order->call));
           });
  }

  bool disconnect(const std::optional<CallOrder>& call) {
    const Linked* to = call ? linked(call->connection) : nullptr;
    if (!to) return false;
    instance_->disconnect(to->self);
    connections_.erase(call->connection);
    done({});
    return true;
  }

  bool close() {
    instance_.reset();
    ::fflush(nullptr);
    done({});
    return true;
  }

  const int channel_;
  const int library_;
  int keeper_;
  const std::shared_ptr<const std::atomic<bool>> cancelled_;
  std::mutex sending_;
  std::atomic<std::uint32_t> call_{0};  // the newest order's number; threads of the provider may log
  FrameBuffer in_;
  std::shared_ptr<Instance> instance_;
  std::map<std::uint64_t, Linked> connections_;
};

const std::atomic<bool>* map_flag(int fd) {
  void* page = ::mmap(nullptr, sizeof(std::atomic<bool>), PROT_READ, MAP_SHARED, fd, 0);
  return page == MAP_FAILED ? nullptr : static_cast<const std::atomic<bool>*>(page);
}

void set_signals(int how, std::initializer_list<int> which) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : which) ::sigaddset(&set, signal);
  ::sigprocmask(how, &set, nullptr);
}

[[noreturn]] void be_the_provider(pid_t keeper, int to_keeper) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != keeper) ::_exit(0);  // it went before the line above
  ::close(kLeashFd);
  set_signals(SIG_UNBLOCK, {SIGCHLD, SIGTERM});
  // As in the program itself, where a write to who is gone is an error of write.
  ::signal(SIGPIPE, SIG_IGN);
  for (const int fd : {kChannelFd, kLibraryFd}) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  const auto* cancelled = map_flag(kCancelledFd);
  ::close(kCancelledFd);
  if (!cancelled) ::_exit(kNoServiceStatus);
  ::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  // No exit handlers: those of a library that was closed have nothing left to say. And never destroyed:
  // threads that the provider forgot may still log.
  ::_exit((new Server(kChannelFd, kLibraryFd, to_keeper, *cancelled))->run());
}

// ---- The keeper ----

void tell_program(KeeperWord word, std::string_view what) {
  std::string message(1, static_cast<char>(word));
  message += what;
  while (::send(kLeashFd, message.data(), message.size(), MSG_NOSIGNAL) < 0 && errno == EINTR) continue;
}

// Ends the provider's group and all that has become ours, which is everything that was below the provider's
// process, whatever group or session it moved to. The provider's status.
int end_all(pid_t provider) {
  int status = 0;
  bool reaped = false;
  const auto give_up = Clock::now() + std::chrono::milliseconds(kGraceMilliseconds);
  ::kill(-provider, SIGKILL);  // its leader is not reaped yet, so the number is still its own
  while (true) {
    for (const pid_t pid : children()) ::kill(pid, SIGKILL);
    int one = 0;
    pid_t pid = 0;
    while ((pid = ::waitpid(-1, &one, WNOHANG)) > 0) {
      if (pid == provider) {
        status = one;
        reaped = true;
      }
    }
    if (pid < 0 || Clock::now() >= give_up) break;  // none is left, or one that we cannot end
    ::poll(nullptr, 0, 1);
  }
  return reaped ? status : 0;
}

// Answers what the provider's process asks, once that has said where, until it has ended or has to, which
// goes to `verdict`. On a thread of its own: a name may lead to a file system that never answers.
void answer(Fd provider, Fd library, pid_t pid, Fd verdict) {
  std::string words;
  pollfd ready{provider.get(), POLLIN, 0};
  ::poll(&ready, 1, -1);
  Fd listener = receive_descriptor(provider.get(), words);
  Hello hello;
  if (!listener || !read_hello(words, &hello)) return;
  provider.reset();
  Refusals refusals(std::move(listener), std::move(hello.sandbox), library.get(), pid,
                    [](const std::string& line) { tell_program(KeeperWord::kLine, line); });
  library.reset();
  while (true) {
    ready = {refusals.fd(), POLLIN, 0};
    if (::poll(&ready, 1, -1) > 0 && (ready.revents & POLLIN) == 0) return;
    const auto deserved = refusals.answer();
    if (!deserved) continue;
    // What asked waits for its end: without the listener it would go on.
    while (::write(verdict.get(), &*deserved, sizeof *deserved) > 0) ::poll(nullptr, 0, -1);
  }
}

// Negative: there is no thread to be had.
Fd answer_elsewhere(Fd provider, Fd library, pid_t pid) {
  int verdict[2];
  if (::pipe2(verdict, O_CLOEXEC) != 0) return Fd();
  Fd ours(verdict[0]);
  try {
    std::thread(answer, std::move(provider), std::move(library), pid, Fd(verdict[1])).detach();
  } catch (const std::system_error&) {
    return Fd();
  }
  return ours;
}

// What ends it when that is its use or what it did, as a status of waitpid.
std::optional<int> wait_for_the_end(pid_t provider, int signals, Fd verdict) {
  constexpr std::chrono::milliseconds kLook(kLookMilliseconds);
  Usage usage;
  auto give_up = Clock::time_point::max();
  auto next_look = Clock::now() + kLook;  // not at once, when the processor is the starting provider's
  for (auto now = Clock::now(); now < give_up; now = Clock::now()) {
    if (now >= next_look) {
      if (const auto excess = usage.excess()) return excess;
      next_look = now + kLook;
    }
    pollfd fds[] = {{kLeashFd, POLLIN, 0}, {signals, POLLIN, 0}, {verdict.get(), POLLIN, 0}};
    if (::poll(fds, std::size(fds), kLookMilliseconds) <= 0) continue;
    if (fds[0].revents != 0) break;
    if (fds[2].revents != 0) {
      int deserved = 0;
      if (::read(verdict.get(), &deserved, sizeof deserved) == sizeof deserved) return deserved;
      verdict.reset();
    }
    if (fds[1].revents == 0) continue;
    signalfd_siginfo info{};
    if (::read(signals, &info, sizeof info) != sizeof info) continue;
    if (info.ssi_signo == SIGTERM && give_up == Clock::time_point::max()) {
      ::kill(-provider, SIGTERM);
      give_up = Clock::now() + std::chrono::milliseconds(kGraceMilliseconds);
    }
    if (has_ended(provider)) break;
  }
  return std::nullopt;
}

}  // namespace

void crash_plainly() {
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT}) ::signal(signal, SIG_DFL);
}

int keep_provider(const std::filesystem::path& scratch) {
  crash_plainly();
  // What loses its parent below us becomes ours.
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  set_signals(SIG_BLOCK, {SIGCHLD, SIGTERM});
  const pid_t keeper = ::getpid();
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return kNoServiceStatus;
  Fd ours(pair[0]), theirs(pair[1]);
  const pid_t provider = ::fork();
  if (provider == 0) {
    ours.reset();
    be_the_provider(keeper, theirs.get());
  }
  if (provider < 0) return kNoServiceStatus;
  theirs.reset();
  ::setpgid(provider, provider);
  Fd verdict = answer_elsewhere(std::move(ours), Fd(kLibraryFd), provider);
  for (const int fd : {kChannelFd, kCancelledFd}) ::close(fd);
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) ::dup2(STDIN_FILENO, fd);
  sigset_t heard;
  ::sigemptyset(&heard);
  for (const int signal : {SIGCHLD, SIGTERM}) ::sigaddset(&heard, signal);
  const int signals = ::signalfd(-1, &heard, SFD_CLOEXEC);
  const bool can_keep = signals >= 0 && verdict;
  const auto deserved = can_keep ? wait_for_the_end(provider, signals, std::move(verdict))
                                 : std::optional(W_EXITCODE(kNoServiceStatus, 0));
  const int ended = end_all(provider);
  const int status = deserved.value_or(ended);
  // The program waits for this and not for us.
  tell_program(KeeperWord::kEnd, {reinterpret_cast<const char*>(&status), sizeof status});
  remove_folder(scratch);
  ::_exit(0);  // a thread may still wait for a file system
}

}  // namespace cnspec::provider
