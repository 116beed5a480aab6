#include "base/interrupt.hpp"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstring>

namespace cnspec::interrupt {
namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

// All of it is read by the signal's handler: lock-free, and never torn down.
std::atomic<int> holds{0};
std::atomic<int> pending{0};
std::atomic<int> terminal{-1};
std::atomic<bool> progress_shown{false};
std::atomic<const char*> last_words{nullptr};
termios settings{};  // written before `terminal` is set

void say(const char* text) {
  // There is nothing to be done when nobody reads it.
  if (::write(STDERR_FILENO, text, std::strlen(text)) < 0) return;
}

// Async-signal-safe, all of it.
[[noreturn]] void end(int signal) {
  if (const int fd = terminal.exchange(-1); fd >= 0) {
    std::signal(SIGTTOU, SIG_IGN);  // as a background process we would be stopped here
    // What was typed so far may be half a password, and is for nobody else to read.
    ::tcsetattr(fd, TCSAFLUSH, &settings);
    say("\n");
  }
  if (progress_shown.exchange(false)) say("\r\033[K");
  if (const char* words = last_words.exchange(nullptr)) say(words);
  std::signal(signal, SIG_DFL);
  sigset_t one;
  ::sigemptyset(&one);
  ::sigaddset(&one, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  ::raise(signal);
  ::_exit(128 + signal);  // as the first process of a container, which no default action ends
}

void on_signal(int signal) {
  pending = signal;
  if (holds == 0) end(signal);
}

}  // namespace

void install() {
  for (const int signal : kSignals) {
    struct sigaction before {};
    if (::sigaction(signal, nullptr, &before) != 0 || before.sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = &on_signal;
    action.sa_flags = SA_RESTART;
    ::sigfillset(&action.sa_mask);
    ::sigaction(signal, &action, nullptr);
  }
}

Hold::Hold() { ++holds; }

Hold::~Hold() {
  if (--holds == 0 && pending != 0) end(pending);
}

bool is_pending() { return pending != 0; }

Terminal::Terminal(int fd) : good_(::tcgetattr(fd, &settings) == 0) {
  if (good_) terminal = fd;
}

Terminal::~Terminal() {
  if (const int fd = terminal.exchange(-1); fd >= 0) ::tcsetattr(fd, TCSAFLUSH, &settings);
}

const termios& Terminal::before() const { return settings; }

void set_progress_shown(bool shown) { progress_shown = shown; }

void set_last_words(const char* line) { last_words = line; }

}  // namespace cnspec::interrupt
