// Drives an engine on the program's event loop.
#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <ctime>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "transport/engine.hpp"

namespace cnspec::transport {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr int kMaxAttempts = 3;
constexpr std::chrono::milliseconds kFirstPause{100};
// A signature is good for a minute; two such pauses must fit into it.
constexpr std::chrono::seconds kMaxRetryAfter{20};

bool busy(const Response& response) { return response.status == 429 || response.status == 503; }

// Seconds, or a date.
std::optional<std::chrono::milliseconds> retry_after(std::string_view header) {
  const std::string text(header);
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error == std::errc() && end == text.data() + text.size()) {
    return std::chrono::seconds(std::clamp<std::int64_t>(seconds, 0, 1'000'000));
  }
  std::tm date{};
  if (::strptime(text.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &date) == nullptr) return std::nullopt;
  const auto left =
      std::chrono::system_clock::from_time_t(::timegm(&date)) - std::chrono::system_clock::now();
  return std::max(std::chrono::duration_cast<std::chrono::milliseconds>(left), std::chrono::milliseconds(0));
}

// Handlers on the loop share it, so it outlives the transport for as long as one of them is pending.
class Driver final : public Engine::Loop, public std::enable_shared_from_this<Driver> {
 public:
  explicit Driver(asio::io_context& loop) : loop_(loop), wake_(loop) {}

  void run(std::unique_ptr<Engine> engine) { engine_ = std::move(engine); }

  // Ends every wait, so that no handler keeps this alive.
  void shut_down() {
    cancel_all();
    engine_.reset();
    for (auto& [fd, socket] : sockets_) socket->descriptor.release();
    sockets_.clear();
    wake_.cancel();
  }

  void cancel_all() {
    engine_->cancel_all();
    for (const auto& exchange : std::exchange(pausing_, {})) {
      exchange->timer.cancel();
      finish(exchange, fail("cancelled", ErrorKind::kCancelled));
    }
  }

  void send(Request request, Transport::Done done) {
    auto exchange = std::make_shared<Exchange>(loop_);
    exchange->deadline = request.deadline;
    if (request.sink) exchange->max_silence = request.max_silence;
    exchange->request = std::move(request);
    exchange->done = std::move(done);
    attempt(exchange);
  }

  void watch(int fd, bool read, bool write) override {
    auto it = sockets_.find(fd);
    if (!read && !write) {
      if (it == sockets_.end()) return;
      it->second->gone = true;
      it->second->descriptor.release();  // the engine closes it
      sockets_.erase(it);
      return;
    }
    if (it == sockets_.end()) it = sockets_.emplace(fd, std::make_shared<Socket>(loop_, fd)).first;
    it->second->read.wanted = read;
    it->second->write.wanted = write;
    wait(it->second);
  }

  void wake_after(std::optional<std::chrono::milliseconds> delay) override {
    wake_.cancel();
    if (!delay) return;
    wake_.expires_after(*delay);
    wake_.async_wait([self = shared_from_this()](error_code ec) {
      if (!ec && self->engine_) self->engine_->wake();
    });
  }

 private:
  using Descriptor = asio::posix::stream_descriptor;

  struct Exchange {
    explicit Exchange(asio::io_context& loop) : timer(loop) {}
    Request request;
    Transport::Done done;
    asio::steady_timer timer;  // the deadline, or the pause before the next attempt
    int attempts = 0;
    Deadline deadline = Deadline::max();
    std::chrono::milliseconds max_silence{0};
    Deadline heard;  // when something came last

    Deadline end() const {
      return max_silence.count() > 0 ? std::min(deadline, heard + max_silence) : deadline;
    }
  };

  void attempt(const std::shared_ptr<Exchange>& exchange) {
    const std::uint64_t id = ++last_id_;
    ++exchange->attempts;
    exchange->heard = std::chrono::steady_clock::now();
    expire_in_time(exchange, id);
    if (exchange->request.sink) {
      exchange->request.sink = [sink = std::move(exchange->request.sink), weak = std::weak_ptr(exchange)](
                                   const Response& head, std::string_view bytes) {
        if (const auto heard = weak.lock()) heard->heard = std::chrono::steady_clock::now();
        return sink(head, bytes);
      };
    }
    const bool again = exchange->request.repeat == Request::Repeat::kFreely;
    Request request = again ? exchange->request : std::move(exchange->request);
    engine_->start(id, std::move(request),
                   [this, exchange, again](Result<Response> result, Engine::Connection connection) {
                     exchange->timer.cancel();
                     const auto pause =
                         again ? pause_before_next(*exchange, result, connection) : std::nullopt;
                     if (!pause) return finish(exchange, std::move(result));
                     wait_and_repeat(exchange, *pause);
                   });
  }

  // The deadline stands; the end of the other side's silence moves with what it says.
  void expire_in_time(const std::shared_ptr<Exchange>& exchange, std::uint64_t id) {
    if (exchange->end() == Deadline::max()) return;
    exchange->timer.expires_at(exchange->end());
    exchange->timer.async_wait([self = weak_from_this(), weak = std::weak_ptr(exchange), id](error_code ec) {
      const auto driver = self.lock();
      const auto waiting = weak.lock();
      if (ec || !driver || !driver->engine_ || !waiting) return;
      if (std::chrono::steady_clock::now() < waiting->end()) return driver->expire_in_time(waiting, id);
      driver->engine_->expire(id);
    });
  }

  // Never from inside send or the engine: the caller may do anything.
  void finish(const std::shared_ptr<Exchange>& exchange, Result<Response> result) {
    asio::post(loop_, [done = std::move(exchange->done), result = std::move(result)]() mutable {
      done(std::move(result));
    });
  }

  void wait_and_repeat(const std::shared_ptr<Exchange>& exchange, std::chrono::milliseconds pause) {
    pausing_.insert(exchange);
    exchange->timer.expires_after(pause);
    exchange->timer.async_wait([self = weak_from_this(), exchange](error_code) {
      const auto driver = self.lock();
      // Gone when it was cancelled, in which case somebody has been told.
      if (driver && driver->engine_ && driver->pausing_.erase(exchange) > 0) driver->attempt(exchange);
    });
  }

  // Nothing: that was the last attempt.
  std::optional<std::chrono::milliseconds> pause_before_next(const Exchange& exchange,
                                                             const Result<Response>& result,
                                                             Engine::Connection connection) {
    using Connection = Engine::Connection;
    std::chrono::milliseconds pause{0};
    int attempts = kMaxAttempts;
    if (result) {
      const auto after = busy(*result) ? retry_after(result->header("retry-after")) : std::nullopt;
      if (!after || *after > kMaxRetryAfter) return std::nullopt;
      pause = *after;
    } else if (connection == Connection::kHeld) {
      return std::nullopt;
    } else if (connection == Connection::kRefused) {
      attempts = 2;  // a service that restarts is back at once, or it is down
    }
    if (exchange.attempts >= attempts) return std::nullopt;
    // Spread, so that a thousand clients of one server do not come back together.
    const auto base = kFirstPause * exchange.attempts;
    pause += std::chrono::milliseconds(
        std::uniform_int_distribution<std::int64_t>(base.count() / 2, base.count() * 3 / 2)(random_));
    if (std::chrono::steady_clock::now() + pause >= exchange.request.deadline) return std::nullopt;
    return pause;
  }

  struct Direction {
    bool wanted = false;
    bool waiting = false;
  };
  struct Socket {
    Socket(asio::io_context& loop, int number) : fd(number), descriptor(loop, number) {}
    const int fd;
    Descriptor descriptor;
    Direction read, write;
    bool gone = false;
  };

  void wait(const std::shared_ptr<Socket>& socket) {
    wait(socket, socket->read, Descriptor::wait_read);
    wait(socket, socket->write, Descriptor::wait_write);
  }

  void wait(const std::shared_ptr<Socket>& socket, Direction& direction, Descriptor::wait_type type) {
    if (!direction.wanted || direction.waiting) return;
    direction.waiting = true;
    socket->descriptor.async_wait(type, [self = shared_from_this(), socket, &direction](error_code ec) {
      direction.waiting = false;
      if (ec || socket->gone || !self->engine_) return;
      // A direction that nobody wants any more was still being waited for.
      if (direction.wanted)
        self->engine_->ready(socket->fd, &direction == &socket->read, &direction == &socket->write);
      if (!socket->gone) self->wait(socket);
    });
  }

  asio::io_context& loop_;
  asio::steady_timer wake_;
  std::minstd_rand random_{std::random_device{}()};
  std::uint64_t last_id_ = 0;
  std::set<std::shared_ptr<Exchange>> pausing_;
  std::map<int, std::shared_ptr<Socket>> sockets_;
  std::unique_ptr<Engine> engine_;
};

class AsioTransport final : public Transport {
 public:
  explicit AsioTransport(std::shared_ptr<Driver> driver) : driver_(std::move(driver)) {}
  ~AsioTransport() override { driver_->shut_down(); }

  void send(Request request, Done done) override { driver_->send(std::move(request), std::move(done)); }
  void cancel_all() override { driver_->cancel_all(); }

 private:
  std::shared_ptr<Driver> driver_;
};

}  // namespace

Result<std::unique_ptr<Transport>> make_transport(asio::io_context& loop, MakeEngine make_engine,
                                                  Options options) {
  auto driver = std::make_shared<Driver>(loop);
  auto engine = make_engine(*driver, std::move(options));
  if (!engine) return fail(engine.error());
  driver->run(std::move(*engine));
  return std::make_unique<AsioTransport>(std::move(driver));
}

}  // namespace cnspec::transport
