#include "support/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

// glibc 2.36 declares it without C linkage.
extern "C" {
#include <sys/pidfd.h>
}

#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>

#include "support/secrets.hpp"

extern char** environ;

namespace cnspec::test {
namespace {

[[noreturn]] void die(const std::string& what, int error) {
  throw std::runtime_error(what + ": " + std::strerror(error));
}

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() { close(); }
  int get() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

struct Pipe {
  Fd read, write;
};

Pipe make_pipe() {
  std::array<int, 2> fds{};
  if (pipe2(fds.data(), O_CLOEXEC) != 0) die("pipe", errno);
  return {Fd(fds[0]), Fd(fds[1])};
}

void set_nonblocking(const Fd& fd) { fcntl(fd.get(), F_SETFL, fcntl(fd.get(), F_GETFL) | O_NONBLOCK); }

std::vector<std::string> environment(const ProcessOptions& options) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    if (options.env.find(std::string(text.substr(0, text.find('=')))) == options.env.end()) {
      result.emplace_back(text);
    }
  }
  for (const auto& [name, value] : options.env) {
    if (value) result.push_back(name + "=" + *value);
  }
  return result;
}

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (const auto& s : strings) result.push_back(const_cast<char*>(s.c_str()));
  result.push_back(nullptr);
  return result;
}

pid_t spawn(const Argv& argv, const ProcessOptions& options, int in, int out, int err) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  if (in >= 0) {
    posix_spawn_file_actions_adddup2(&actions, in, 0);
  } else {
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  }
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_adddup2(&actions, err, 2);
  if (!options.cwd.empty()) posix_spawn_file_actions_addchdir_np(&actions, options.cwd.c_str());

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  const auto env = environment(options);
  const auto envp = pointers(env);
  const auto args = pointers(argv);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, args[0], &actions, &attributes, args.data(), envp.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) die("cannot start " + argv.at(0), error);
  return pid;
}

// False at the end of the stream.
bool drain(const Fd& fd, std::string& into, std::mutex& mutex) {
  std::array<char, 65536> buffer;
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n > 0) {
      const std::lock_guard lock(mutex);
      into.append(buffer.data(), static_cast<std::size_t>(n));
    } else if (n == 0) {
      return false;
    } else if (errno != EINTR) {
      return errno == EAGAIN;
    }
  }
}

}  // namespace

struct Process::State {
  std::string name;
  pid_t pid = -1;
  Fd pidfd, in, out, err;
  std::string input;
  bool prints_secrets = false;
  std::vector<std::string> secrets;  // that it was given

  std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  std::string out_text, err_text;
  std::size_t lines_from = 0;  // where the next read_line begins in out_text
  bool out_ended = false;
  bool ended = false;
  int exit_code = -1;
  int signal = 0;

  std::thread reader;

  ~State() {
    if (pid < 0) return;
    // The child stays a zombie until here, so that its group's number cannot have been given away.
    ::kill(-pid, SIGKILL);
    if (reader.joinable()) reader.join();
    look_for_secrets();
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }

  // By the thread that uses the object, once its end was seen.
  void look_for_secrets() {
    if (std::exchange(prints_secrets, true)) return;
    expect_no_secret(out_text, name + ", standard output", secrets);
    expect_no_secret(err_text, name + ", standard error", secrets);
  }

  void feed() {
    const ssize_t n = ::write(in.get(), input.data(), input.size());
    if (n > 0) input.erase(0, static_cast<std::size_t>(n));
    if (input.empty() || (n < 0 && errno != EAGAIN && errno != EINTR)) in.close();
  }

  void read_until_end() {
    // A child that ends without reading its input must not end us; the mask is this thread's alone.
    sigset_t pipe_signal;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_signal, nullptr);

    bool exited = false;
    while (!exited) {
      std::array<pollfd, 4> fds{
          {{pidfd.get(), POLLIN, 0}, {out.get(), POLLIN, 0}, {err.get(), POLLIN, 0}, {in.get(), POLLOUT, 0}}};
      if (poll(fds.data(), fds.size(), -1) < 0) continue;
      exited = fds[0].revents != 0;
      if (out.get() >= 0 && !drain(out, out_text, mutex)) {
        out.close();
        const std::lock_guard lock(mutex);
        out_ended = true;
      }
      if (err.get() >= 0 && !drain(err, err_text, mutex)) err.close();
      if (in.get() >= 0 && fds[3].revents != 0) feed();
      changed.notify_all();
    }
    // What was written before the end may have come after the last look.
    if (out.get() >= 0) drain(out, out_text, mutex);
    if (err.get() >= 0) drain(err, err_text, mutex);
    siginfo_t info{};
    waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT);
    const std::lock_guard lock(mutex);
    out_ended = ended = true;
    if (info.si_code == CLD_EXITED) {
      exit_code = info.si_status;
    } else {
      signal = info.si_status;
    }
    changed.notify_all();
  }

  template <class Ready>
  bool wait_until(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds patience, Ready ready) {
    // The system clock, since thread sanitizers know the plain timed wait alone.
    return changed.wait_until(lock, std::chrono::system_clock::now() + patience, ready);
  }

  std::string whole_text() const {
    return name + " (stdout: \"" + out_text + "\", stderr: \"" + err_text + "\")";
  }
};

Process::Process(std::unique_ptr<State> state) : state_(std::move(state)) {}
Process::Process(Process&&) noexcept = default;
Process& Process::operator=(Process&&) noexcept = default;
Process::~Process() = default;

Process Process::start(const Argv& argv, const ProcessOptions& options) {
  auto state = std::make_unique<State>();
  state->name = described(argv);
  state->prints_secrets = options.prints_secrets;
  state->secrets = secrets_given(argv, options.env);
  Pipe out = make_pipe();
  Pipe err = make_pipe();
  Pipe in;
  if (options.input) in = make_pipe();
  state->pid = spawn(argv, options, in.read.get(), out.write.get(), err.write.get());
  state->pidfd = Fd(pidfd_open(state->pid, 0));
  if (state->pidfd.get() < 0) die("pidfd_open", errno);
  state->out = std::move(out.read);
  state->err = std::move(err.read);
  set_nonblocking(state->out);
  set_nonblocking(state->err);
  if (options.input && !options.input->empty()) {
    state->in = std::move(in.write);
    state->input = *options.input;
    set_nonblocking(state->in);
  }
  state->reader = std::thread([s = state.get()] { s->read_until_end(); });
  return Process(std::move(state));
}

pid_t Process::pid() const { return state_->pid; }

bool Process::running() const {
  const std::lock_guard lock(state_->mutex);
  return !state_->ended;
}

std::optional<std::string> Process::read_line(std::chrono::milliseconds patience) {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  std::size_t newline = std::string::npos;
  const bool in_time = s.wait_until(lock, patience, [&] {
    newline = s.out_text.find('\n', s.lines_from);
    return newline != std::string::npos || s.out_ended;
  });
  if (!in_time) throw std::runtime_error("no line in time from " + s.whole_text());
  if (newline == std::string::npos) return std::nullopt;
  std::string line = s.out_text.substr(s.lines_from, newline - s.lines_from);
  s.lines_from = newline + 1;
  return line;
}

bool Process::wait_for_err(std::string_view text, std::chrono::milliseconds patience) {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  const auto found = [&] { return s.err_text.find(text) != std::string::npos; };
  if (!s.wait_until(lock, patience, [&] { return found() || s.ended; })) {
    throw std::runtime_error("not in time on stderr: \"" + std::string(text) + "\" from " + s.whole_text());
  }
  return found();
}

void Process::signal(int number) { ::kill(state_->pid, number); }

RunResult Process::wait(std::chrono::milliseconds patience) {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  if (!s.wait_until(lock, patience, [&] { return s.ended; })) {
    ::kill(-s.pid, SIGKILL);
    throw std::runtime_error("did not end in time: " + s.whole_text());
  }
  s.look_for_secrets();
  return {s.exit_code, s.signal, s.out_text, s.err_text};
}

RunResult Process::kill() {
  ::kill(-state_->pid, SIGKILL);
  return wait();
}

RunResult run(const Argv& argv, const ProcessOptions& options) {
  return Process::start(argv, options).wait(options.patience);
}

std::string described(const Argv& argv) {
  std::string out = std::filesystem::path(argv.at(0)).filename();
  const bool command = argv.size() > 1 && !argv[1].starts_with('-') &&
                       argv[1].find_first_not_of("abcdefghijklmnopqrstuvwxyz-") == std::string::npos;
  return command ? out + " " + argv[1] : out;
}

std::string program(std::string_view name) {
  const char* from_env = std::getenv("CNSPEC_BIN_DIR");
#ifdef CNSPEC_BIN_DIR
  const std::string dir = from_env != nullptr ? from_env : CNSPEC_BIN_DIR;
#else
  if (from_env == nullptr) throw std::runtime_error("CNSPEC_BIN_DIR is not set");
  const std::string dir = from_env;
#endif
  return dir + "/" + std::string(name);
}

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "cnspec-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) die("mkdtemp " + name, errno);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path TempDir::write(std::string_view name, std::string_view text, mode_t mode) const {
  const auto file = path_ / name;
  auto folder = path_;
  for (const auto& part : std::filesystem::path(name).parent_path()) {
    folder /= part;
    if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) die("mkdir " + folder.string(), errno);
  }
  const Fd fd(open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode));
  if (fd.get() < 0) die("open " + file.string(), errno);
  fchmod(fd.get(), mode);
  while (!text.empty()) {
    const ssize_t n = ::write(fd.get(), text.data(), text.size());
    if (n < 0) die("write " + file.string(), errno);
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return file;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot open " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace cnspec::test
