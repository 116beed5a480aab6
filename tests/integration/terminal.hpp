// The program on a real terminal: a pseudo-terminal whose other side the test holds.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "support/process.hpp"
#include "support/secrets.hpp"

namespace cnspec::test {

// A child whose standard streams are one terminal. What it prints comes with "\r\n" line ends, as terminals
// have it.
class OnTerminal {
 public:
  OnTerminal(const Argv& argv, const std::map<std::string, std::optional<std::string>>& env,
             unsigned short columns = 80) {
    winsize size{24, columns, 0, 0};
    pid_ = ::forkpty(&fd_, nullptr, nullptr, &size);
    name_ = described(argv);
    secrets_ = secrets_given(argv, env);
    if (pid_ < 0) throw std::runtime_error("forkpty failed");
    if (pid_ == 0) {
      for (const auto& [name, value] : env)
        value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
      std::vector<char*> words;
      for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
      words.push_back(nullptr);
      ::execvp(words[0], words.data());
      ::_exit(127);
    }
  }
  ~OnTerminal() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::close(fd_);
    expect_no_secret(screen_, name_ + ", on its terminal", secrets_);
  }
  OnTerminal(const OnTerminal&) = delete;
  OnTerminal& operator=(const OnTerminal&) = delete;

  void type(std::string_view keys) {
    if (::write(fd_, keys.data(), keys.size()) != static_cast<ssize_t>(keys.size()))
      throw std::runtime_error("pty");
  }
  void signal(int number) { ::kill(pid_, number); }

  // Reads until the screen has had this text; false when the program ended without it.
  bool wait_for(std::string_view text) {
    while (screen_.find(text) == std::string::npos) {
      if (!read_more()) return screen_.find(text) != std::string::npos;
    }
    return true;
  }

  bool echoes() const {
    termios now{};
    ::tcgetattr(fd_, &now);
    return (now.c_lflag & ECHO) != 0 && (now.c_lflag & ICANON) != 0;
  }

  // Waits for the end; the status as waitpid has it.
  int wait() {
    while (read_more()) {
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }

  const std::string& screen() const { return screen_; }

 private:
  bool read_more() {
    pollfd ready{fd_, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(std::chrono::milliseconds(kPatience).count())) <= 0)
      throw std::runtime_error("the terminal stays silent; so far: " + screen_);
    char buffer[4096];
    const ssize_t got = ::read(fd_, buffer, sizeof buffer);
    if (got <= 0) return false;  // EIO: nobody has the other side open any more
    screen_.append(buffer, static_cast<std::size_t>(got));
    return true;
  }

  int fd_ = -1;
  pid_t pid_ = -1;
  std::string name_, screen_;
  std::vector<std::string> secrets_;
};

}  // namespace cnspec::test
