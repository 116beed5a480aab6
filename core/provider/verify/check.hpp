// What the checks of a provider have in common. Each is a function in the file of its name and one line of
// the table in checks.cpp. It runs in a process of its own: a crash, an exit or a hang is the parent's to
// report.
#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "provider/provider.hpp"
#include "provider/verify.hpp"

namespace cnspec::provider::checks {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// An id, an argument or a flag that nothing has.
inline constexpr char kNothing[] = "cnspec-verify.invalid";

// What is told to the parent. Any thread.
class Reporter {
 public:
  explicit Reporter(int pipe) : pipe_(pipe) {}

  // What comes next: named when the process does not survive it.
  void step(const std::string& what) { write("step", what, ""); }
  void failed(const std::string& what, const std::string& hint) { write("failed", what, hint); }
  void warning(const std::string& what, const std::string& hint) { write("warning", what, hint); }
  void note(const std::string& what) { write("note", what, ""); }
  void done() { write("done", "", ""); }

 private:
  void write(const char* kind, const std::string& what, const std::string& hint);

  const int pipe_;
  std::mutex mutex_;
};

struct Subject {
  const VerifyRequest& request;
  const Surroundings& surroundings;
  Reporter& out;
  Found found;  // for all checks but "file" and "manifest"
  std::mutex mutex;
  std::vector<std::string> log;  // the host's and the provider's lines
};

// ---- The checks, in their order ----

using CheckFunction = void(Subject&);
CheckFunction check_file, check_manifest, check_load, check_abi, check_open, check_behaviour, check_threads,
    check_leaks, check_cancellation, check_handles, check_isolation, check_fetch;

// Whether the checks after it need that it is good, or that the process survived it.
enum class Needed { kNot, kAlive, kGood };

struct KnownCheck {
  std::string_view name;
  CheckFunction* run;
  Needed needed = Needed::kNot;
  bool target = false;  // only with something to connect to
};
std::span<const KnownCheck> known_checks();

// ---- What a process has ----

std::size_t count_threads();
// One that was joined may still be on its way out, and is waited for.
std::size_t settled_threads(std::size_t expected);
std::size_t count_descriptors();  // one more than there are: its own

// "1 thing", "2 things".
std::string count(std::size_t number, const char* thing);

// ---- Errors ----

inline constexpr char kSayWhy[] =
    "Before returning a code, call set_error (C++: throw an Error) with one sentence: what failed, on what, "
    "why.";

std::string without_prefix(std::string text, const std::string& prefix);
// Without the provider's name, which is known.
std::string said(const Subject& subject, const Error& error);
// Whatever was asked of it, a provider that fails has to say why.
bool silent(const Error& error);
// A failure that is allowed as such; false when the way it failed is not.
bool well_failed(Subject& subject, const Error& error);
// It said that it does not do what was asked: an answer, and no mistake.
bool unsupported(const Error& error);
// What can be done about a failure that may be the system's.
std::string hint_of(const Error& error);

// ---- The file ----

// The manifest's bytes, as discovery reads them.
Result<std::string> read_section(const std::filesystem::path& path);
// For a file that cannot be taken for a provider.
std::string hint_for_file(const Error& error);

// ---- Calls ----

inline constexpr milliseconds kCall{60'000};  // longer than any check may take
Limits limits_from_now(milliseconds from_now);

// With the log kept instead of shown.
Services services_of(Subject& subject, bool with_network);
// Opens; the finding is the caller's, since only "open" is about that.
std::unique_ptr<Provider> open_quietly(Subject& subject, bool with_network);

// What is connected to: what the author named, or else each connector with words that mean nothing.
std::vector<ConnectRequest> targets(const Subject& subject);
// The connections that can be made. That the one which the author named cannot be is for "behaviour" to say.
std::vector<std::unique_ptr<Connection>> connect_all(Subject& subject, Provider& provider);

// Those that can be asked for without knowing what to say.
bool needs_arguments(const manifest::Resource& resource);
std::vector<std::string> fields_of(const Manifest& manifest, const manifest::Resource& resource);

using Rows = std::map<std::string, Result<std::vector<Row>>>;  // by resource
// Everything that can be asked for without knowing more.
Rows fetch_all(Subject& subject, Connection& connection, const std::string& where);

}  // namespace cnspec::provider::checks
