#include "support/relay.hpp"

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <deque>
#include <thread>
#include <vector>

namespace cnspec::test {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

// One direction of a connection.
class Lane : public std::enable_shared_from_this<Lane> {
 public:
  Lane(std::shared_ptr<tcp::socket> from, std::shared_ptr<tcp::socket> to, Clock::duration delay,
       Clock::time_point not_before)
      : from_(std::move(from)),
        to_(std::move(to)),
        timer_(from_->get_executor()),
        delay_(delay),
        not_before_(not_before) {}

  void read() {
    buffer_.resize(64 * 1024);
    from_->async_read_some(asio::buffer(buffer_),
                           [self = shared_from_this()](const error_code& error, std::size_t size) {
                             self->take(error ? std::string() : self->buffer_.substr(0, size));
                             if (!error) self->read();
                           });
  }

 private:
  // An empty text stands for the end.
  void take(std::string bytes) {
    const bool idle = waiting_.empty();
    waiting_.push_back({std::max(Clock::now() + delay_, not_before_), std::move(bytes)});
    if (idle) deliver();
  }

  void deliver() {
    timer_.expires_at(waiting_.front().due);
    timer_.async_wait([self = shared_from_this()](const error_code& error) {
      if (!error) self->write();
    });
  }

  void write() {
    if (waiting_.front().bytes.empty()) {
      error_code ignored;
      to_->shutdown(tcp::socket::shutdown_send, ignored);
      return;
    }
    asio::async_write(*to_, asio::buffer(waiting_.front().bytes),
                      [self = shared_from_this()](const error_code& error, std::size_t) {
                        self->waiting_.pop_front();
                        if (!error && !self->waiting_.empty()) self->deliver();
                      });
  }

  struct Chunk {
    Clock::time_point due;
    std::string bytes;
  };
  std::shared_ptr<tcp::socket> from_, to_;
  asio::steady_timer timer_;
  Clock::duration delay_;
  Clock::time_point not_before_;
  std::string buffer_;
  std::deque<Chunk> waiting_;
};

}  // namespace

struct Relay::State {
  State(unsigned short port, std::chrono::milliseconds time, std::string words)
      : acceptor(loop, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
        to_port(port),
        delay(time),
        greeting(std::move(words)) {
    own_port = acceptor.local_endpoint().port();
    accept();
    thread = std::thread([this] { loop.run(); });
  }
  ~State() {
    loop.stop();
    thread.join();
  }

  void accept() {
    auto client = std::make_shared<tcp::socket>(loop);
    acceptor.async_accept(*client, [this, client](const error_code& error) {
      if (error) return;
      ++connections;
      auto server = std::make_shared<tcp::socket>(loop);
      error_code refused;
      server->connect(tcp::endpoint(asio::ip::address_v4::loopback(), to_port), refused);
      if (!refused) {
        client->set_option(tcp::no_delay(true));
        server->set_option(tcp::no_delay(true));
        greeting.empty() ? relay(client, server) : greet(client, server);
      }
      accept();
    });
  }

  void greet(const std::shared_ptr<tcp::socket>& client, const std::shared_ptr<tcp::socket>& server) {
    auto request = std::make_shared<std::string>();
    asio::async_read_until(*client, asio::dynamic_buffer(*request), "\r\n\r\n",
                           [this, client, server, request](const error_code& error, std::size_t) {
                             error_code gone = error;
                             if (!gone) asio::write(*client, asio::buffer(greeting), gone);
                             if (!gone) relay(client, server);
                           });
  }

  void relay(const std::shared_ptr<tcp::socket>& client, const std::shared_ptr<tcp::socket>& server) {
    std::make_shared<Lane>(client, server, delay, Clock::now() + 3 * delay)->read();
    std::make_shared<Lane>(server, client, delay, Clock::time_point())->read();
  }

  asio::io_context loop{1};
  tcp::acceptor acceptor;
  unsigned short to_port;
  unsigned short own_port = 0;
  std::chrono::milliseconds delay;
  const std::string greeting;
  std::atomic<std::size_t> connections{0};
  std::thread thread;
};

Relay::Relay(unsigned short to_port, std::chrono::milliseconds delay, std::string greeting)
    : state_(std::make_unique<State>(to_port, delay, std::move(greeting))) {}
Relay::~Relay() = default;

unsigned short Relay::port() const { return state_->own_port; }
std::size_t Relay::connections() const { return state_->connections; }

}  // namespace cnspec::test
