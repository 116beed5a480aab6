// A TCP relay on loopback that makes a server as far away as one likes.
#pragma once

#include <chrono>
#include <memory>
#include <string>

namespace cnspec::test {

// Forwards from the constructor's return to the destructor's begin. Bytes take `delay` each way. A client's
// connect itself returns at once, as the kernel answers it; what it then sends waits the round trip that
// connecting would have taken.
//
// With a `greeting` it is a proxy that lets everybody through to that server: what a client sends first, up
// to an empty line, goes no further and is answered with the greeting.
class Relay {
 public:
  Relay(unsigned short to_port, std::chrono::milliseconds delay, std::string greeting = {});
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  unsigned short port() const;  // on 127.0.0.1
  std::size_t connections() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cnspec::test
