// The host's half of the ABI: the table of services that a provider calls, and the calls they are given for.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "cnspec/provider.h"
#include "provider/lower.hpp"
#include "provider/provider.hpp"
#include "provider/request.hpp"
#include "provider/sink.hpp"

namespace cnspec::provider {

// Error::status of a call that answered CNSPEC_UNSUPPORTED: what gRPC calls Unimplemented.
inline constexpr int kUnimplemented = 12;

extern const cnspec_host_v1 kHostTable;

class Call;

// What a provider gets as `context`. It is never destroyed: a thread that the provider forgot may still hold
// it.
class Host {
 public:
  explicit Host(std::string provider) : provider_(std::move(provider)) {}
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  const std::string& provider() const { return provider_; }

  // Between open and close. Null afterwards: then the services do nothing.
  void serve(std::shared_ptr<const Services> services);
  std::shared_ptr<const Services> services() const;

  // Any thread. The line begins with the provider's name, if it has one here.
  void log(log::Level level, std::string_view message) const;

 private:
  friend class Call;
  friend struct HostServices;

  // A service was called with a handle that is not this thread's: the call it belongs to fails, if it still
  // runs.
  void blame(std::uint64_t handle, const char* service) const;

  const std::string provider_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Services> services_;
  std::vector<Call*> calls_;  // those that run
};

// One exchange for a provider, when `hosts` (as for host_allowed) allow it: kRejected when not, kUsage for a
// request that is none.
Result<transport::Response> exchange(const Services* services, const std::vector<std::string>& hosts,
                                     transport::Request request, std::chrono::nanoseconds timeout,
                                     const Limits& limits);

// One call into the provider, on this thread, from construction to destruction. It is what a handle stands
// for.
class Call {
 public:
  struct Parts {
    const std::vector<std::string>& hosts;                        // that may be asked by HTTP
    const Config* config = nullptr;                               // null: there are no flags yet
    const std::map<std::string, std::string>* secrets = nullptr;  // copied, and wiped at the end
    Sink* sink = nullptr;
  };

  Call(Host& host, const Limits& limits, const Parts& parts);
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  cnspec_call handle() const { return handle_; }
  cnspec_sink sink_handle() const { return handle_ + 1; }

  // What the call came to, given the code that the provider's function returned. An answer that comes after
  // the deadline or a cancellation does not count, whatever it is: it may be a part of the whole.
  Result<void> outcome(std::int32_t code) const;

  Lowered& lowered() { return lowered_; }

 private:
  friend class Host;
  friend struct HostServices;

  struct Answer {
    transport::Response response;
    std::vector<cnspec_pair> headers;
  };
  struct Told {  // by set_error
    std::string message;
    bool retryable;
  };

  bool cancelled() const { return limits_.cancelled && limits_.cancelled->load(std::memory_order_relaxed); }
  bool late() const;  // give or take a few milliseconds

  Host& host_;
  const cnspec_call handle_;
  Call* const outer_;  // the call that this thread was in before
  const Limits limits_;
  const Parts parts_;
  bool stopped_ = false;  // the sink has answered CANCELLED
  std::map<std::string, std::string, std::less<>> secrets_;
  Lowered lowered_;
  std::deque<Answer> answers_;
  std::optional<Told> told_;
  std::string misuse_;  // of its handles; guarded by the host's mutex
};

}  // namespace cnspec::provider
