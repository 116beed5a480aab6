// Drives an engine on the program's event loop.
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>

#include "transport/engine.hpp"

namespace cnspec::transport {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

// Handlers on the loop share it, so it outlives the transport for as long as one of them is pending.
class Driver final : public Engine::Loop, public std::enable_shared_from_this<Driver> {
 public:
  explicit Driver(asio::io_context& loop) : loop_(loop), wake_(loop) {}

  void run(std::unique_ptr<Engine> engine) { engine_ = std::move(engine); }

  // Ends every wait, so that no handler keeps this alive.
  void shut_down() {
    engine_.reset();
    for (auto& [fd, socket] : sockets_) socket->descriptor.release();
    sockets_.clear();
    wake_.cancel();
  }

  void cancel_all() { engine_->cancel_all(); }

  void send(Request request, Transport::Done done) {
    const std::uint64_t id = ++last_id_;
    auto timer = std::make_shared<asio::steady_timer>(loop_);
    if (request.deadline != Deadline::max()) {
      timer->expires_at(request.deadline);
      timer->async_wait([self = weak_from_this(), id](error_code ec) {
        const auto driver = self.lock();
        if (!ec && driver && driver->engine_) driver->engine_->expire(id);
      });
    }
    // Never from inside send or the engine: the caller may do anything.
    engine_->start(id, std::move(request),
                   [this, timer, done = std::move(done)](Result<Response> result) mutable {
                     timer->cancel();
                     asio::post(loop_, [done = std::move(done), result = std::move(result)]() mutable {
                       done(std::move(result));
                     });
                   });
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
  std::uint64_t last_id_ = 0;
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

std::string_view Response::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return value;
  }
  return {};
}

Result<std::unique_ptr<Transport>> make_transport(asio::io_context& loop, MakeEngine make_engine,
                                                  Options options) {
  auto driver = std::make_shared<Driver>(loop);
  auto engine = make_engine(*driver, std::move(options));
  if (!engine) return fail(engine.error());
  driver->run(std::move(*engine));
  return std::make_unique<AsioTransport>(std::move(driver));
}

}  // namespace cnspec::transport
