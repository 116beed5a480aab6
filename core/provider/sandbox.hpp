// What the child of an isolated provider may touch: made by the parent from the manifest, applied by the
// child to itself before the provider's library is mapped, and by nothing undone.
//
// Who stops what, on Linux:
//   Landlock   opening files: read under Sandbox::read, write in Sandbox::scratch, run Sandbox::exec;
//              looking into other processes; from ABI 4 TCP, from ABI 6 signals and abstract sockets
//   seccomp    sockets, new processes and programs, signals to others, and what no provider has a use for
//   setrlimit  memory, processor time, descriptors, tasks, the size of a file
//   the keeper (child.hpp)  memory that no limit counts; memory and processor time of the provider's process
//              and the programs that it started, together
// No kernel withholds that a file exists, and its size, owner and times; nor how much is written in all.
// What is refused is said in a line by the keeper (refusals.hpp), which the kernel asks; where it is no
// accident the provider's process ends then, with a status that sandbox_verdict() knows. Where the kernel
// asks nobody, which sandbox_gaps() says, what is refused has no name. Untold everywhere: names that the
// user's own rights keep from the keeper too, what a program opens that is run without being readable, the
// interpreter of a script, signals to groups, and what the kernel keeps for root.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "manifest/model.hpp"

namespace cnspec::provider {

// How the lines begin that say what was refused to a provider that goes on.
inline constexpr char kSandboxLine[] = "sandbox: refused ";

// The limits of every isolated provider.
inline constexpr std::uint64_t kMaxMemory = 2ull << 30;      // bytes, of all its processes together
inline constexpr std::uint64_t kMaxProcessorSeconds = 600;   // of all its threads and processes together
inline constexpr std::uint64_t kMaxDescriptors = 256;        // open at a time
inline constexpr std::uint64_t kMaxFileSize = 256ull << 20;  // bytes, of each file it writes
inline constexpr std::uint64_t kMaxTasks = 128;              // threads and processes on top of the machine's

// Plain values, so that it can be sent. All paths are absolute.
struct Sandbox {
  std::string scratch;              // the one folder to write in; exists already
  std::vector<std::string> read;    // files and folders; what does not exist is skipped
  std::vector<std::string> hidden;  // not readable, by whatever name they lie below one of `read`
  std::vector<std::string> exec;    // programs
};

// For the parent. `home` is what "~" stands for; empty: such entries are left out. `secrets` are the
// program's own files, such as the configuration and the private key: no manifest makes them readable.
Sandbox make_sandbox(const manifest::Capabilities& capabilities, const std::filesystem::path& home,
                     const std::vector<std::filesystem::path>& secrets, const std::filesystem::path& scratch);

// A new folder for one child, 0700, removed with all it holds when the object goes: end the child first.
class Scratch {
 public:
  static Result<Scratch> make();
  Scratch(Scratch&& other) noexcept;
  Scratch& operator=(Scratch&& other) noexcept;
  ~Scratch();

  const std::filesystem::path& path() const { return path_; }
  // Somebody else removes it.
  void leave() { is_ours_ = false; }

 private:
  explicit Scratch(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
  bool is_ours_ = true;
};

// For the child, while it has one thread: from here on this process is confined. `library` is the open file
// that it will map (it may be a sealed memfd). What the kernel has no means for is left out, see
// sandbox_gaps(); whatever else fails is an error, and then the provider must not run. A parent's death
// signal and the process group must be set before. What is given is for Refusals in another process, which
// has to answer before a file can be opened; none: nobody is asked.
Result<Fd> apply_sandbox(const Sandbox& sandbox, int library);

// For the parent, of a child that ended: what of the sandbox it ran against, as the rest of a sentence that
// begins with the provider ("was stopped: it opened a socket, ..."). Empty when the sandbox had no part in
// it. `status` is that of waitpid. A provider that exits with one of our statuses accuses itself.
std::string sandbox_verdict(int status);

// For the parent, of a call that failed with `message`: a hint when that speaks of permissions. What the
// provider tried cannot be known, so the hint says what it may.
std::string access_hint(const manifest::Capabilities& capabilities, std::string_view message);

// What this machine's kernel does not enforce, one clause each ("reading files: this kernel has no
// Landlock"); empty: all of it is enforced. Asks the kernel, at the price of two system calls.
std::vector<std::string> sandbox_gaps();

}  // namespace cnspec::provider
