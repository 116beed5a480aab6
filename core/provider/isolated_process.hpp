// One process of an isolated provider as the program sees it, from its start to its end: see isolate.hpp.
// Inside core/provider only. One thread at a time.
#pragma once

#include <sys/mman.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "base/log.hpp"
#include "provider/frame.hpp"
#include "provider/host.hpp"
#include "provider/sandbox.hpp"

namespace cnspec::provider {

// How much later than its deadline an answer may come.
inline constexpr std::chrono::milliseconds kLate{100};
// How often somebody's wish to cancel is looked for.
inline constexpr std::chrono::milliseconds kLook{20};
// How long the keeper may take to end what is below it.
inline constexpr std::chrono::milliseconds kToEnd{500};

class IsolatedProcess {
 public:
  IsolatedProcess(const Manifest& manifest, std::shared_ptr<const Services> services, Scratch scratch)
      : manifest_(manifest), services_(std::move(services)), scratch_(std::move(scratch)) {
    host_.serve(services_);
  }
  ~IsolatedProcess() {
    end(std::chrono::milliseconds(0));
    if (cancelled_) ::munmap(cancelled_, sizeof *cancelled_);
  }
  IsolatedProcess(const IsolatedProcess&) = delete;
  IsolatedProcess& operator=(const IsolatedProcess&) = delete;

  Result<void> start(const std::filesystem::path& program, int library);

  // Sends the order and serves the process until that answers with a kDone. What the provider said is the
  // result; when there will be no answer, the process has been ended and the error says how that came.
  // `sink` null: no rows are expected.
  Result<void> call(FrameWriter& order, RowSink* sink, const std::vector<std::string>& hosts,
                    const Limits& limits);

  bool alive() const { return keeper_ > 0; }
  // Waits for the process to end by itself, at most so long, and ends it then.
  void end(std::chrono::milliseconds patience);

  const std::filesystem::path& scratch() const { return scratch_.path(); }
  void log(log::Level level, std::string_view text);

 private:
  enum class Stop { kNo, kCancelled, kDeadline, kViolation };

  Stop why_stop(const RowSink* sink, const Limits& limits) const;
  void wait(std::chrono::steady_clock::time_point until);
  void write_some();
  void read_some();
  void read_output();
  void take_output(std::string_view text);
  // Takes what has arrived. An error: the process is of no use any more.
  Result<void> take_frames(RowSink* sink, const std::vector<std::string>& hosts, const Limits& limits);
  Result<void> take(const FrameBuffer::Frame& frame, RowSink* sink, const std::vector<std::string>& hosts,
                    const Limits& limits);
  void answer_http(transport::Request request, const std::vector<std::string>& hosts, const Limits& limits);
  void send(FrameWriter& frame);

  bool has_ended(std::chrono::milliseconds patience);
  void hear_keeper();
  void remember(std::string_view line);
  void leave_keeper();
  // Each ends the process and says how it ended.
  Error gone();
  Error deaf(Stop why, const RowSink* sink, const Limits& limits);
  Error nonsense(const std::string& what);
  // With the last lines that it logged.
  Error with_last_words(Error error) const;

  const Manifest& manifest_;
  const std::shared_ptr<const Services> services_;
  Host host_{manifest_.name};
  Scratch scratch_;
  pid_t keeper_ = 0;    // 0: not started, or done
  bool ended_ = false;  // what is below the keeper
  int status_ = 0;      // then, as of waitpid
  Fd channel_, output_, leash_;
  std::atomic<bool>* cancelled_ = nullptr;

  std::string unsent_;  // from sent_ on
  std::size_t sent_ = 0;
  FrameBuffer in_;
  std::uint32_t call_ = 0;
  bool greeted_ = false;
  bool closed_ = false;  // the channel, by the other side
  std::optional<Result<void>> done_;

  std::string line_;  // of its output, not ended yet
  std::size_t lines_ = 0;
  std::deque<std::string> last_lines_;
};

}  // namespace cnspec::provider
