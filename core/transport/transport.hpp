// One HTTP exchange, over whatever kind of transport there is.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "transport/proxy.hpp"

namespace boost::asio {
class io_context;
}

namespace cnspec::transport {

using Headers = std::vector<std::pair<std::string, std::string>>;
using Deadline = std::chrono::steady_clock::time_point;

struct Response;

struct Request {
  std::string method = "GET";
  std::string url = {};  // absolute, http or https
  Headers headers = {};
  std::string body = {};
  Deadline deadline = Deadline::max();
  std::size_t max_answer = 1 << 20;  // a larger body is an error
  bool insecure = false;             // accept any certificate
  bool no_proxy = false;             // ask directly, whatever the settings say
  // Given what comes of a body, on the loop's thread and with the answer's status and headers, in place of
  // Response::body; max_answer counts all the same. False: no more of it; the exchange ends with kCancelled.
  // Throws nothing. Not together with Repeat::kFreely.
  std::function<bool(const Response& head, std::string_view bytes)> sink = {};
  // Of an exchange with a sink: nothing coming for so long is kTimeout as well; zero: no limit.
  std::chrono::milliseconds max_silence{0};

  // Whether the other side may be told twice.
  enum class Repeat {
    kNever,          // goes out on a connection of its own, since one that was kept may turn out dead
    kIfUndelivered,  // again on a new connection when the kept one was dead, which nobody can be quite sure
                     // of
    // Asking twice changes nothing: asked again, twice at most and before the deadline, when the connection
    // was refused or broke, or when the answer is 429 or 503 and says when to come back.
    kFreely,
  };
  Repeat repeat = Repeat::kIfUndelivered;
};

struct Response {
  int status = 0;
  Headers headers;  // names in lower case
  std::string body;
  // The proxy that may have answered in the server's place, as errors name it; or empty.
  std::string via = {};

  // Here, since the program and the network module both need it.
  std::string_view header(std::string_view lower_case_name) const {
    for (const auto& [name, value] : headers) {
      if (name == lower_case_name) return value;
    }
    return {};
  }
};

struct Options {
  ProxySettings proxies;  // all that is gone by: libcurl never looks at the environment
  // PEM; empty: SSL_CERT_FILE, then the system's. Revocation lists in it (X509 CRL) are held against every
  // certificate; then each authority must have one.
  std::string ca_file;
  std::string user_agent;
  // Told one line about each exchange, for the log; never a header or a body.
  std::function<void(std::string_view)> trace;
};

class Transport {
 public:
  virtual ~Transport() = default;

  using Done = std::function<void(Result<Response>)>;

  // On the loop's thread. `done` is called once, on the loop, with the answer whatever its status, or with
  // why there is none (kUnavailable, kTimeout, kInvalid). Redirects are not followed.
  virtual void send(Request request, Done done) = 0;

  // On the loop's thread: every exchange under way ends with kCancelled.
  virtual void cancel_all() = 0;
};

}  // namespace cnspec::transport
