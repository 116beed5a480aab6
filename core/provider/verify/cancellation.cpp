// How soon a call returns that was cancelled or is past its deadline.
#include <atomic>
#include <functional>
#include <thread>

#include "provider/verify/check.hpp"

namespace cnspec::provider::checks {
namespace {

// How soon a call has to return after it was cancelled.
constexpr milliseconds kGrace{2000};
constexpr milliseconds kBeforeCancel{20};

// Cancels the call after a while, unless it has returned.
class Canceller {
 public:
  explicit Canceller(milliseconds after) {
    thread_ = std::thread([this, after] {
      std::this_thread::sleep_for(after);
      at_ = Clock::now();
      *flag_ = true;
    });
  }
  ~Canceller() {
    if (thread_.joinable()) thread_.join();
  }
  Limits limits() const {
    Limits out = limits_from_now(kCall);
    out.cancelled = flag_;
    return out;
  }
  // How long ago it was; call it when the call has returned.
  milliseconds since() {
    thread_.join();
    return std::chrono::duration_cast<milliseconds>(Clock::now() - at_);
  }

 private:
  std::shared_ptr<std::atomic<bool>> flag_ = std::make_shared<std::atomic<bool>>(false);
  Clock::time_point at_;
  std::thread thread_;
};

void judge_delay(Subject& subject, const std::string& call, const char* what, milliseconds delay) {
  if (delay <= kGrace) return;
  subject.out.failed(
      call + " returned " + std::to_string(delay.count()) + " ms after " + what + ", expected within " +
          std::to_string(kGrace.count()) + " ms",
      "Poll cancelled() while it works, and return when the sink answers anything but CONTINUE.");
}

}  // namespace

void check_cancellation(Subject& subject) {
  const auto provider = open_quietly(subject, true);
  if (!provider) return;
  // `call` ignores what it is told: what counts is when it returns.
  const auto try_call = [&](const std::string& name, const std::function<void(const Limits&)>& call) {
    subject.out.step(name + " (cancelled before it began)");
    {
      Limits limits;
      limits.cancelled = std::make_shared<std::atomic<bool>>(true);
      const auto start = Clock::now();
      call(limits);
      judge_delay(subject, name, "it began cancelled",
                  std::chrono::duration_cast<milliseconds>(Clock::now() - start));
    }
    subject.out.step(name + " (cancelled after " + std::to_string(kBeforeCancel.count()) + " ms)");
    {
      Canceller canceller(kBeforeCancel);
      call(canceller.limits());
      judge_delay(subject, name, "it was cancelled", canceller.since());
    }
    subject.out.step(name + " (with a deadline of " + std::to_string(kBeforeCancel.count()) + " ms)");
    const auto limits = limits_from_now(kBeforeCancel);
    call(limits);
    judge_delay(subject, name, "its deadline",
                std::chrono::duration_cast<milliseconds>(Clock::now() - limits.deadline));
  };
  for (const ConnectRequest& target : targets(subject)) {
    try_call("connect " + target.connector,
             [&](const Limits& limits) { (void)provider->connect(target, limits); });
  }
  for (const auto& connection : connect_all(subject, *provider)) {
    try_call("identify", [&](const Limits& limits) { (void)connection->identify(limits); });
    for (const auto& resource : subject.found.manifest.resources) {
      if (needs_arguments(resource)) continue;
      std::vector<std::string> fields;
      for (const auto& field : resource.fields) fields.push_back(field.name);
      try_call("fetch " + resource.name, [&](const Limits& limits) {
        (void)connection->fetch({resource.name, "", fields, {}}, limits);
      });
    }
  }
  subject.out.step("close");
}

}  // namespace cnspec::provider::checks
