// What libcurl does, without the event loop that drives it. The two live in different files of the program:
// libcurl's side is loaded on demand, and Asio's must exist only once in a process.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "transport/transport.hpp"

namespace cnspec::transport {

// One thread, and never called from inside its own callbacks except as said.
class Engine {
 public:
  // What the engine asks of the loop, from inside any of its functions.
  class Loop {
   public:
    virtual ~Loop() = default;
    // Call ready() when `fd` can be read or written; neither: forget it, it is about to be closed.
    virtual void watch(int fd, bool read, bool write) = 0;
    // Call wake() once, after this time; nothing: not any more.
    virtual void wake_after(std::optional<std::chrono::milliseconds> delay) = 0;
  };

  // What became of the connection.
  enum class Connection { kHeld, kRefused, kBroke };
  using Done = std::function<void(Result<Response>, Connection)>;

  virtual ~Engine() = default;

  // `done` is called once, from inside any function of the engine. `id` is the caller's, and new.
  virtual void start(std::uint64_t id, Request request, Done done) = 0;
  // The request's deadline has passed: it ends with kTimeout. Nothing happens when it has ended.
  virtual void expire(std::uint64_t id) = 0;
  virtual void cancel_all() = 0;

  virtual void ready(int fd, bool read, bool write) = 0;
  virtual void wake() = 0;
};

// `loop` outlives the engine.
using MakeEngine = Result<std::unique_ptr<Engine>> (*)(Engine::Loop& loop, Options options);
Result<std::unique_ptr<Engine>> make_curl_engine(Engine::Loop& loop, Options options);

// A transport that drives such an engine on the loop, which outlives it.
Result<std::unique_ptr<Transport>> make_transport(boost::asio::io_context& loop, MakeEngine make_engine,
                                                  Options options);

}  // namespace cnspec::transport
