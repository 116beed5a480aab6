#include "provider/isolate.hpp"

#include <poll.h>
#include <string.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <utility>

#include "base/log.hpp"
#include "base/text.hpp"
#include "provider/frame.hpp"
#include "provider/host.hpp"
#include "provider/isolated_process.hpp"
#include "provider/load.hpp"
#include "provider/network.hpp"
#include "provider/sandbox.hpp"

namespace cnspec::provider {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kToClose{2000};
constexpr int kRestarts = 3;
constexpr milliseconds kBackOff{100};

// The provider, through however many processes.
class Isolated {
 public:
  Isolated(Found found, IsolateOptions options, Services services)
      : found_(std::move(found)),
        options_(std::move(options)),
        services_(std::make_shared<const Services>(std::move(services))) {}

  ~Isolated() { close(); }

  const Manifest& manifest() const { return found_.manifest; }

  Error named(const std::string& call, Error cause) const {
    return Error::wrap("provider \"" + manifest().name + "\": " + call, std::move(cause));
  }

  // From here on all functions but this and named() are called with the lock held.
  std::mutex& mutex() { return mutex_; }

  // Starts the process and opens the provider in it.
  Result<void> start(const Limits& limits);
  // Starts it again if it has ended.
  Result<void> revive(const Limits& limits);
  // Which process it is now, counted from 1.
  int generation() const { return generation_; }
  std::uint64_t next_connection() { return ++connections_; }

  Result<void> call(FrameWriter& order, RowSink* sink, const Settled& settled, const Limits& limits);
  // For what cannot fail: an end that comes too early is logged.
  void call_quietly(FrameKind kind, std::uint64_t connection, const char* what);

 private:
  void close();

  Found found_;  // its manifest is that of the file, once that was started
  std::string section_;
  const IsolateOptions options_;
  const std::shared_ptr<const Services> services_;
  std::mutex mutex_;
  std::unique_ptr<IsolatedProcess> process_;
  int generation_ = 0;
  std::uint64_t connections_ = 0;
  Clock::time_point last_deadline_ = Clock::time_point::max();
};

Result<void> Isolated::start(const Limits& limits) {
  last_deadline_ = limits.deadline;
  process_.reset();
  const auto failed = [](const std::string& step, Error cause) {
    return fail(Error::wrap(step, std::move(cause)));
  };
  const std::string loading = "load " + printable(found_.path.string());
  auto checked = open_checked(found_);
  if (!checked) return failed(loading, checked.error());
  // What was found may be another version by now, which counts; what is in use may not.
  if (generation_ == 0) {
    found_.manifest = std::move(checked->manifest);
    section_ = std::move(checked->section);
  } else if (checked->section != section_) {
    return failed(loading, Error("was replaced while it was in use", ErrorKind::kUntrusted));
  }
  auto scratch = Scratch::make();
  if (!scratch) return failed("start", scratch.error());
  auto process = std::make_unique<IsolatedProcess>(manifest(), services_, std::move(*scratch));
  if (auto started = process->start(options_.host_program, checked->file.fd()); !started)
    return failed("start", started.error());
  ++generation_;
  process_ = std::move(process);

  const char* home = std::getenv("HOME");
  const Hello hello{
      manifest().name, found_.path.string(),
      make_sandbox(manifest().capabilities, home ? home : "", options_.secrets, process_->scratch())};
  if (log::enabled(log::Level::kDebug)) {
    for (const std::string& gap : sandbox_gaps())
      log::debug("provider \"" + manifest().name + "\": not kept from it on this machine: " + gap);
  }
  FrameWriter greeting(FrameKind::kHello);
  write_hello(greeting, &hello);
  if (auto loaded = call(greeting, nullptr, {}, limits); !loaded) {
    process_->end(milliseconds(0));
    return failed(loading, loaded.error());
  }
  FrameWriter open(FrameKind::kOpen);
  write_call(open, {0, limits.deadline});
  const Settled before{{}, allowed_hosts(manifest().capabilities.network, {}, {})};
  if (auto opened = call(open, nullptr, before, limits); !opened) {
    process_->end(milliseconds(0));
    return failed("open", opened.error());
  }
  return {};
}

Result<void> Isolated::revive(const Limits& limits) {
  if (process_ && process_->alive()) return {};
  if (generation_ > kRestarts) {
    return fail("its process has ended " + std::to_string(generation_) +
                " times and is not started any more");
  }
  const auto until = Clock::now() + kBackOff * (1 << std::max(generation_ - 1, 0));
  while (Clock::now() < until) {
    if (limits.cancelled && limits.cancelled->load()) return fail("it was cancelled", ErrorKind::kCancelled);
    if (Clock::now() >= limits.deadline) return fail("its deadline has passed", ErrorKind::kTimeout);
    const auto left = std::min({until, limits.deadline, Clock::now() + kLook}) - Clock::now();
    ::poll(nullptr, 0, std::max(1, static_cast<int>(std::chrono::ceil<milliseconds>(left).count())));
  }
  log::debug("provider \"" + manifest().name + "\": its process is started again");
  if (auto again = start(limits); !again) return fail(Error::wrap("starting again", again.error()));
  return {};
}

Result<void> Isolated::call(FrameWriter& order, RowSink* sink, const Settled& settled, const Limits& limits) {
  last_deadline_ = limits.deadline;
  auto outcome = process_->call(order, sink, settled.hosts, limits);
  if (outcome || !outcome.error().hint().empty()) return outcome;
  if (std::string hint = access_hint(manifest().capabilities, outcome.error().message()); !hint.empty())
    return fail(Error(outcome.error()).hint(std::move(hint)));
  return outcome;
}

void Isolated::call_quietly(FrameKind kind, std::uint64_t connection, const char* what) {
  if (!process_ || !process_->alive()) return;
  const auto now = Clock::now();
  Limits limits;
  limits.deadline = std::min(now + kToClose, std::max(last_deadline_, now + kLate));
  FrameWriter order(kind);
  write_call(order, {connection, limits.deadline});
  if (auto done = process_->call(order, nullptr, {}, limits); !done) {
    process_->log(log::Level::kWarn, std::string(what) + ": " + done.error().message());
  }
}

void Isolated::close() {
  call_quietly(FrameKind::kClose, 0, "close");
  if (process_) process_->end(kToEnd);
}

class IsolatedConnection final : public Connection {
 public:
  IsolatedConnection(std::shared_ptr<Isolated> provider, ConnectRequest request, Settled settled)
      : provider_(std::move(provider)), request_(std::move(request)), settled_(std::move(settled)) {}

  ~IsolatedConnection() override {
    for (auto& [name, secret] : request_.secrets) ::explicit_bzero(secret.data(), secret.size());
    const std::lock_guard lock(provider_->mutex());
    if (generation_ == provider_->generation())
      provider_->call_quietly(FrameKind::kDisconnect, number_, "disconnect");
  }

  // With the lock held, as all below.
  Result<void> connect(const Limits& limits) {
    const std::uint64_t number = provider_->next_connection();
    FrameWriter order(FrameKind::kConnect);
    write_connect(order, number, limits.deadline, provider_->manifest().connector(request_.connector)->name,
                  request_, settled_.config);
    auto connected = provider_->call(order, nullptr, settled_, limits);
    if (!connected) return connected;
    number_ = number;
    generation_ = provider_->generation();
    return {};
  }

  Result<Row> identify(const Limits& limits) override {
    RowSink sink(provider_->manifest(), true, {});
    if (auto good = ask("identify", sink, limits,
                        [&](FrameWriter& order, const CallOrder& call) {
                          order.begin(FrameKind::kIdentify);
                          write_call(order, call);
                        });
        !good)
      return fail(good.error());
    auto row = sink.take_asset();
    if (!row) return fail(provider_->named("identify", row.error()));
    return row;
  }

  Result<std::vector<Row>> fetch(const FetchRequest& request, const Limits& limits) override {
    const std::string what = "fetch " + printable(request.type);
    auto wanted = check_fetch(provider_->manifest(), request);
    if (!wanted) return fail(provider_->named(what, wanted.error()));
    RowSink sink(provider_->manifest(), false, *wanted);
    if (auto good = ask(what, sink, limits,
                        [&](FrameWriter& order, const CallOrder& call) {
                          order.begin(FrameKind::kFetch);
                          write_fetch(order, call, request, *wanted);
                        });
        !good)
      return fail(good.error());
    return sink.take_rows();
  }

 private:
  template <class Write>
  Result<void> ask(const std::string& what, RowSink& sink, const Limits& limits, Write&& write) {
    const std::lock_guard lock(provider_->mutex());
    const auto failed = [&](Error cause) { return fail(provider_->named(what, std::move(cause))); };
    if (auto alive = provider_->revive(limits); !alive) return failed(alive.error());
    if (generation_ != provider_->generation()) {
      if (auto again = connect(limits); !again) return failed(Error::wrap("connecting again", again.error()));
    }
    FrameWriter order(FrameKind::kFetch);
    write(order, CallOrder{number_, limits.deadline});
    if (auto done = provider_->call(order, &sink, settled_, limits); !done) return failed(done.error());
    return {};
  }

  const std::shared_ptr<Isolated> provider_;
  ConnectRequest request_;
  const Settled settled_;
  std::uint64_t number_ = 0;
  int generation_ = 0;  // of the process that knows the number
};

class IsolatedProvider final : public Provider {
 public:
  explicit IsolatedProvider(std::shared_ptr<Isolated> provider) : provider_(std::move(provider)) {}

  const Manifest& manifest() const override { return provider_->manifest(); }

  Result<std::unique_ptr<Connection>> connect(const ConnectRequest& request, const Limits& limits) override {
    const auto who = [&](Error cause) { return fail(provider_->named("connect", std::move(cause))); };
    auto config = check_connect(manifest(), request);
    if (!config) return who(config.error());
    Settled settled{std::move(*config), {}};
    settled.hosts = allowed_hosts(manifest().capabilities.network, settled.config, request.args);
    auto connection = std::make_unique<IsolatedConnection>(provider_, request, std::move(settled));
    const std::lock_guard lock(provider_->mutex());
    if (auto alive = provider_->revive(limits); !alive) return who(alive.error());
    if (auto connected = connection->connect(limits); !connected) {
      Error error = connected.error();
      return who(std::move(error));
    }
    return connection;
  }

 private:
  const std::shared_ptr<Isolated> provider_;
};

}  // namespace

Result<std::unique_ptr<Provider>> start_isolated(const Found& found, IsolateOptions options,
                                                 Services services, const Limits& limits) {
  auto provider = std::make_shared<Isolated>(found, std::move(options), std::move(services));
  if (auto started = provider->start(limits); !started) {
    return fail(Error::wrap("provider \"" + found.manifest.name + "\"", started.error()));
  }
  return std::make_unique<IsolatedProvider>(std::move(provider));
}

}  // namespace cnspec::provider
