// HTTP/1.1 over TLS, for one Service. One thread runs all connections; others do what needs the database or
// much arithmetic. A client that is slow, says too much or says nonsense gets an error, and costs no other
// client anything:
//  - a header may have 16 KiB, a body 1 MiB;
//  - a request must be complete, and an answer taken, within `request_timeout`; so must the TLS handshake;
//  - of more than `max_connections`, the one that has waited longest for its client is closed, else the new
//  one.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.hpp"
#include "crypto.hpp"
#include "faults.hpp"
#include "registry.hpp"
#include "service.hpp"

namespace cnspec::platform {

struct ServerOptions {
  std::string host = "127.0.0.1";  // an address, or a name of this machine
  std::uint16_t port = 0;          // 0: any free one
  std::chrono::milliseconds request_timeout{10'000};
  std::size_t max_connections = 256;
  bool access_log = false;  // one line about each request, on standard error
  Faults faults;
  std::shared_ptr<const RegistryFolder> registry =
      nullptr;  // what is below /providers/; null: the service says
};

// HOST:PORT, with an IPv6 address in brackets.
Result<void> parse_listen(std::string_view text, ServerOptions& into);

class Server {
 public:
  // Connections are queued from here on, and served from run() on.
  static Result<Server> listen(ServerOptions options, const Authority& authority);
  Server(Server&&) noexcept;
  Server& operator=(Server&&) noexcept;
  ~Server();

  const std::string& url() const;

  // Until SIGTERM or SIGINT; requests that are being worked on get their answer. `on_ready` is called once
  // these signals are handled.
  void run(Service& service, const std::function<void()>& on_ready);

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cnspec::platform
