// The user at the terminal: what is asked of them, and what shows them that something is going on.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "base/error.hpp"

namespace cnspec::cli {

// Whether there is somebody to ask: both standard input and standard error are a terminal.
bool can_ask();

// Waits, before a read, until there is something to read or the end of it. A read is restarted after a
// signal, and the thread sanitizer hands signals on only where it knows that a thread waits.
void wait_for_input(int fd);

// Reads a line from the terminal without showing it, and gives the terminal back as it was, whatever happens
// meanwhile. kUsage when there is no terminal. `what` is what is asked for, such as "password".
Result<std::string> ask_hidden(const std::string& what);

// A line on standard error that moves while this lives: on a terminal only, and only when it takes long.
class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void say(std::string what);

  // Before anything is printed: takes the line away, until it moves on.
  static void clear();

 private:
  void run();

  std::mutex mutex_;
  std::string what_;  // under the mutex
  std::condition_variable ended_;
  bool end_ = false;
  std::thread thread_;
};

}  // namespace cnspec::cli
