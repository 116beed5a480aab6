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

namespace boost::asio {
class io_context;
}

namespace cnspec::transport {

using Headers = std::vector<std::pair<std::string, std::string>>;
using Deadline = std::chrono::steady_clock::time_point;

struct Request {
  std::string method = "GET";
  std::string url = {};  // absolute, http or https
  Headers headers = {};
  std::string body = {};
  Deadline deadline = Deadline::max();
  std::size_t max_answer = 1 << 20;  // a larger body is an error
  bool insecure = false;             // accept any certificate
  bool no_proxy = false;
};

struct Response {
  int status = 0;
  Headers headers;  // names in lower case
  std::string body;

  std::string_view header(std::string_view lower_case_name) const;
};

struct Options {
  std::string proxy;    // URL; empty: the environment decides
  std::string ca_file;  // PEM; empty: SSL_CERT_FILE, then the system's
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
