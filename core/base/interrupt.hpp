// Ctrl-C, and the TERM of a service manager: the program ends at once, whatever it waits for, but leaves the
// terminal and its files as they should be.
#pragma once

#include <termios.h>

namespace cnspec::interrupt {

// From now on SIGINT, SIGTERM, SIGHUP and SIGQUIT first put things right (see below) and then end the process
// as they do by default, so that a shell sees 130, 143 and so on. What was ignored at the start stays
// ignored.
void install();

// While one lives, the end waits for it: for what is soon done and must not be left half done. Any thread;
// they nest.
class Hold {
 public:
  Hold();
  ~Hold();
  Hold(const Hold&) = delete;
  Hold& operator=(const Hold&) = delete;
};

// Whether an end is waiting for the last Hold: whoever holds it for long asks, and hurries.
bool is_pending();

// The terminal's settings, put back by the destructor or by the end. One at a time.
class Terminal {
 public:
  explicit Terminal(int fd);
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  // Whether `fd` is a terminal, and what its settings were.
  bool good() const { return good_; }
  const termios& before() const;

 private:
  bool good_;
};

// Whether a line of progress stands on standard error, to be erased at the end.
void set_progress_shown(bool shown);

// Said on standard error at the end; `line` is static and ends with a newline. Null: nothing.
void set_last_words(const char* line);

}  // namespace cnspec::interrupt
