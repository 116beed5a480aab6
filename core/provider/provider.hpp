// A loaded provider as the rest of the program sees it, wherever it runs.
//
// Threads: the functions block, so call them on a worker thread and never on the event loop, whose work the
// provider may be waiting for (HTTP). One object is used by one thread at a time.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/log.hpp"
#include "provider/discovery.hpp"
#include "provider/value.hpp"
#include "transport/transport.hpp"

namespace cnspec::provider {

// How long a call may take, and whether somebody still waits for it. A provider is told; whether it listens
// is up to it, so the caller abandons the thread of one that does not. An answer that comes too late does not
// count, whatever it is: the call then fails with kTimeout or kCancelled.
struct Limits {
  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
  std::shared_ptr<const std::atomic<bool>> cancelled;  // null: cannot be cancelled
};

// What a provider may ask of the host.
struct Services {
  // Any thread; the line names the provider already. Null: the program's own log.
  std::function<void(log::Level, std::string_view)> log;
  // Blocks until the answer is here or the request's deadline has passed. Null: there is no network.
  std::function<Result<transport::Response>(transport::Request)> http;
};

struct ConnectRequest {
  std::string connector;  // a name or an alias
  std::vector<std::string> args;
  std::map<std::string, Value> flags;          // what was set, by long name; defaults are the manifest's
  std::map<std::string, std::string> secrets;  // the flags that the manifest marks secret
};

struct FetchRequest {
  std::string type;
  std::string id;  // empty: all
  std::vector<std::string> fields;
  std::map<std::string, Value> args;
};

// Disconnects when it goes; until then its provider stays open.
class Connection {
 public:
  virtual ~Connection() = default;
  // The one row that says what this is: see asset_resource() for its fields.
  virtual Result<Row> identify(const Limits& limits) = 0;
  virtual Result<std::vector<Row>> fetch(const FetchRequest& request, const Limits& limits) = 0;
};

// Closes the instance when it and its last connection go; the library stays mapped until the process ends.
class Provider {
 public:
  virtual ~Provider() = default;
  virtual const Manifest& manifest() const = 0;
  virtual Result<std::unique_ptr<Connection>> connect(const ConnectRequest& request,
                                                      const Limits& limits) = 0;
};

// Loads the library into this process, negotiates the ABI and opens the one instance, of which there is one
// at a time. The error says the stage, what was expected and what was found. Every error of a provider's call
// names the provider and the call, and its kind follows from the provider's code: CNSPEC_INVALID is kUsage,
// UNAUTHENTICATED and PERMISSION_DENIED are kRejected, UNSUPPORTED is kFailed; what breaks the ABI's rules is
// kInvalid.
Result<std::unique_ptr<Provider>> load_in_process(const Found& found, Services services,
                                                  const Limits& limits);

}  // namespace cnspec::provider
