// Child processes and temporary folders for tests. Failures of the machinery itself throw std::runtime_error,
// which GoogleTest reports as the test's failure.
#pragma once

#include <sys/types.h>
#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cnspec::test {

// Long enough for a sanitizer build on a busy machine: reaching it means a hang, never slowness.
inline constexpr std::chrono::seconds kPatience{60};

// The step of a loop that tries one place of many after the other: a sanitizer makes each try slow, and sees
// in a seventh of them what it would see in all.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr int kStride = 7;
#else
inline constexpr int kStride = 1;
#endif

using Argv = std::vector<std::string>;

struct ProcessOptions {
  std::map<std::string, std::optional<std::string>> env;  // on top of ours; nullopt removes a variable
  std::filesystem::path cwd;                              // empty: ours
  std::optional<std::string> input;                       // standard input; nullopt: /dev/null
  std::chrono::milliseconds patience = kPatience;         // for run() alone
  bool prints_secrets = false;  // that is what the program is for; else the test fails (support/secrets.hpp)
};

struct RunResult {
  int exit_code = -1;  // -1 when a signal ended it
  int signal = 0;      // 0 when it exited by itself
  std::string out;
  std::string err;
};

// A child in a process group of its own. Its output is read as it comes, so it never blocks on a full pipe.
// The destructor kills the whole group and reaps the child. One thread uses an object at a time.
class Process {
 public:
  // argv[0] is a path, or a name looked up in PATH.
  static Process start(const Argv& argv, const ProcessOptions& options = {});

  Process(Process&&) noexcept;
  Process& operator=(Process&&) noexcept;
  ~Process();

  pid_t pid() const;
  bool running() const;
  // The next line of standard output without its newline; nullopt when the output ended before one was
  // complete. Throws when neither happens in time.
  std::optional<std::string> read_line(std::chrono::milliseconds patience = kPatience);
  // Waits until standard error holds `text`; false when the process ended without writing it.
  bool wait_for_err(std::string_view text, std::chrono::milliseconds patience = kPatience);
  // Sends a signal to the child alone; nothing happens when it has ended.
  void signal(int number);
  // Waits for the end. Throws when it does not come in time; then the group has been killed.
  RunResult wait(std::chrono::milliseconds patience = kPatience);
  // SIGKILL to the whole group, then wait().
  RunResult kill();

 private:
  struct State;
  explicit Process(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Starts, feeds, waits, and returns everything at once.
RunResult run(const Argv& argv, const ProcessOptions& options = {});

// "cnspec status", as a message names what was started: its name, and the next word where it is a command.
std::string described(const Argv& argv);

// The path of one of our executables: $CNSPEC_BIN_DIR, else the build's own bin folder.
std::string program(std::string_view name);

// A folder with mode 0700, removed at the end.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
  // Writes a file below the folder, making the folders between (0700), and returns its path.
  std::filesystem::path write(std::string_view name, std::string_view text, mode_t mode = 0600) const;

 private:
  std::filesystem::path path_;
};

std::string read_file(const std::filesystem::path& path);

}  // namespace cnspec::test
