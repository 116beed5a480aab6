#include "terminal.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "base/interrupt.hpp"
#include "base/log.hpp"
#include "base/terminal.hpp"

namespace cnspec::cli {
namespace {

constexpr std::chrono::milliseconds kLong{300};
constexpr std::chrono::milliseconds kStep{100};

std::mutex line_mutex;
bool line_shown = false;  // under the mutex

void write_to_terminal(int fd, const std::string& text) {
  // A terminal that went away is noticed by whoever reads from it.
  if (::write(fd, text.data(), text.size()) < 0) return;
}

}  // namespace

void wait_for_input(int fd) {
  pollfd input{fd, POLLIN, 0};
  while (::poll(&input, 1, -1) < 0 && errno == EINTR) {
  }
}

bool can_ask() { return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1; }

Result<std::string> ask_hidden(const std::string& what) {
  const int fd = ::open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return fail(what + " cannot be asked for: there is no terminal", ErrorKind::kUsage);
  std::string out;
  bool ended = false;
  {
    const interrupt::Terminal terminal(fd);
    termios hidden = terminal.before();
    hidden.c_lflag &=
        ~static_cast<tcflag_t>(ECHO | ICANON);  // a line of the terminal's own ends after 4095 bytes
    hidden.c_cc[VMIN] = 1;
    hidden.c_cc[VTIME] = 0;
    if (!terminal.good() || ::tcsetattr(fd, TCSAFLUSH, &hidden) != 0) {
      ::close(fd);
      return fail(what + " cannot be asked for: " + std::strerror(errno), ErrorKind::kUsage);
    }
    write_to_terminal(fd, what + " (not shown): ");
    char c = 0;
    while (true) {
      wait_for_input(fd);
      const ssize_t got = ::read(fd, &c, 1);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) break;
      ended = c == '\n' || c == '\r';
      if (ended) break;
      const auto is = [&](int key) { return c == static_cast<char>(terminal.before().c_cc[key]); };
      if (is(VEOF)) break;
      if (is(VKILL)) {
        out.clear();
      } else if (is(VERASE) || c == '\b') {
        if (!out.empty()) out.pop_back();
      } else {
        out += c;
      }
    }
  }
  write_to_terminal(fd, "\n");
  ::close(fd);
  if (!ended) return fail("no " + what + " was typed", ErrorKind::kUsage);
  return out;
}

Progress::Progress(std::string what) : what_(std::move(what)) {
  // Whoever follows the log sees what is going on.
  if (!terminal::is_terminal(STDERR_FILENO) || log::enabled(log::Level::kDebug)) return;
  log::before_each_line(&Progress::clear);
  thread_ = std::thread(&Progress::run, this);
}

Progress::~Progress() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    end_ = true;
  }
  ended_.notify_one();
  thread_.join();
  clear();
}

void Progress::say(std::string what) {
  const std::lock_guard lock(mutex_);
  what_ = std::move(what);
}

void Progress::clear() {
  const std::lock_guard lock(line_mutex);
  if (!line_shown) return;
  write_to_terminal(STDERR_FILENO, "\r\033[K");
  line_shown = false;
  interrupt::set_progress_shown(false);
}

void Progress::run() {
  std::unique_lock lock(mutex_);
  auto wait = kLong;
  for (std::size_t step = 0; !ended_.wait_for(lock, wait, [this] { return end_; }); ++step) {
    wait = kStep;
    std::string line = std::string(1, "|/-\\"[step % 4]) + " " + what_ + " ...";
    // A line that wraps could not be taken away again.
    const auto most = static_cast<std::size_t>(std::max(terminal::columns(STDERR_FILENO) - 1, 1));
    if (line.size() > most) line.resize(most);
    const std::lock_guard drawing(line_mutex);
    interrupt::set_progress_shown(true);
    line_shown = true;
    write_to_terminal(STDERR_FILENO, "\r" + line + "\033[K");
  }
}

}  // namespace cnspec::cli
