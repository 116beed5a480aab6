#include <curl/curl.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cctype>
#include <cstdlib>
#include <list>
#include <map>
#include <memory>
#include <optional>

#include "base/text.hpp"
#include "base/time.hpp"
#include "transport/transport.hpp"

namespace cnspec::transport {
namespace {

namespace asio = boost::asio;
using Steady = std::chrono::steady_clock;

constexpr std::size_t kMaxHeaders = 256;

// What may be printed of a URL: neither user and password nor the query, which may carry a token.
std::string shown(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  const auto scheme = url.find("://");
  if (scheme == std::string_view::npos) return printable(url);
  const auto authority = url.substr(scheme + 3, url.find('/', scheme + 3) - scheme - 3);
  const auto at = authority.rfind('@');
  if (at == std::string_view::npos) return printable(url);
  return printable(std::string(url.substr(0, scheme + 3)) + std::string(url.substr(scheme + 3 + at + 1)));
}

std::string host_of(std::string_view shown_url) {
  const auto scheme = shown_url.find("://");
  const auto rest = scheme == std::string_view::npos ? shown_url : shown_url.substr(scheme + 3);
  return std::string(rest.substr(0, rest.find('/')));
}

bool is_header_text(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == text.npos;
}

std::string env(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

struct EasyCleanup {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct ListCleanup {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

struct Exchange {
  explicit Exchange(asio::io_context& loop) : timer(loop) {}

  Request request;
  Transport::Done done;
  Response response;
  asio::steady_timer timer;  // the deadline is ours: libcurl's own waits for its resolver's thread
  std::unique_ptr<CURL, EasyCleanup> easy;
  std::unique_ptr<curl_slist, ListCleanup> headers;
  Steady::time_point started = Steady::now();
  bool too_large = false;
  bool too_many_headers = false;
  char error[CURL_ERROR_SIZE] = {};
};

struct Socket {
  Socket(asio::io_context& loop, curl_socket_t fd) : descriptor(loop, fd) {}
  asio::posix::stream_descriptor descriptor;
  int wanted = 0;  // CURL_POLL_...
  bool reading = false;
  bool writing = false;
  bool removed = false;
};

// The state that handlers on the loop share; it outlives the transport for as long as one of them is pending.
class Multi : public std::enable_shared_from_this<Multi> {
 public:
  Multi(asio::io_context& loop, Options options)
      : loop_(loop), options_(std::move(options)), timer_(loop), multi_(curl_multi_init()) {
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &Multi::on_socket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &Multi::on_timer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  }

  ~Multi() {
    release_sockets();
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, nullptr);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, nullptr);
    curl_multi_cleanup(multi_);
  }

  void send(Request request, Transport::Done done) {
    auto exchange = std::make_unique<Exchange>(loop_);
    exchange->request = std::move(request);
    exchange->done = std::move(done);
    if (auto ready = prepare(*exchange); !ready) return later(std::move(exchange->done), fail(ready.error()));
    Exchange* raw = exchange.get();
    exchanges_.emplace(raw->easy.get(), std::move(exchange));
    if (raw->request.deadline != Deadline::max()) {
      raw->timer.expires_at(raw->request.deadline);
      raw->timer.async_wait(
          [self = shared_from_this(), easy = raw->easy.get()](boost::system::error_code ec) {
            if (!ec) self->time_out(easy);
          });
    }
    curl_multi_add_handle(multi_, raw->easy.get());
  }

  void cancel_all() {
    while (!exchanges_.empty()) {
      finish(exchanges_.begin()->first, fail("cancelled", ErrorKind::kCancelled));
    }
  }

  // Ends every wait, so that no handler keeps this alive.
  void shut_down() {
    cancel_all();
    release_sockets();
    timer_.cancel();
  }

 private:
  Result<void> prepare(Exchange& x) {
    const Request& r = x.request;
    x.easy.reset(curl_easy_init());
    CURL* easy = x.easy.get();
    if (!easy || !multi_) return fail("out of memory");
    const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(easy, option, value); };
    set(CURLOPT_NOSIGNAL, 1L);
#if CURL_AT_LEAST_VERSION(7, 87, 0)
    set(CURLOPT_QUICK_EXIT, 1L);  // ending an exchange does not wait for a name look-up
#endif
#if CURL_AT_LEAST_VERSION(7, 85, 0)
    set(CURLOPT_PROTOCOLS_STR, "http,https");
#else
    set(CURLOPT_PROTOCOLS, static_cast<long>(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_2TLS));
    set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    set(CURLOPT_FOLLOWLOCATION, 0L);
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_ERRORBUFFER, x.error);
    set(CURLOPT_PRIVATE, &x);
    set(CURLOPT_URL, r.url.c_str());
    set(CURLOPT_WRITEFUNCTION, &Multi::on_body);
    set(CURLOPT_WRITEDATA, &x);
    set(CURLOPT_HEADERFUNCTION, &Multi::on_header);
    set(CURLOPT_HEADERDATA, &x);
    if (!options_.user_agent.empty()) set(CURLOPT_USERAGENT, options_.user_agent.c_str());
    if (!options_.proxy.empty()) set(CURLOPT_PROXY, options_.proxy.c_str());
    if (r.no_proxy) set(CURLOPT_NOPROXY, "*");
    trust(easy, r.insecure);

    if (r.method == "HEAD") {
      set(CURLOPT_NOBODY, 1L);
    } else if (r.method == "POST" || !r.body.empty()) {
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(r.body.size()));
      set(CURLOPT_POSTFIELDS, r.body.data());
    }
    if (r.method != "GET" && r.method != "HEAD" && r.method != "POST")
      set(CURLOPT_CUSTOMREQUEST, r.method.c_str());
    return set_headers(x);
  }

  void trust(CURL* easy, bool insecure) const {
    if (insecure) {
      curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
      curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
      return;
    }
    const std::string file = options_.ca_file.empty() ? env("SSL_CERT_FILE") : options_.ca_file;
    const std::string folder = env("SSL_CERT_DIR");
    // What is named replaces the system's set; libcurl copies the strings.
    if (!file.empty() || !folder.empty()) {
      curl_easy_setopt(easy, CURLOPT_CAINFO, file.empty() ? nullptr : file.c_str());
      curl_easy_setopt(easy, CURLOPT_CAPATH,
                       folder.empty() || !options_.ca_file.empty() ? nullptr : folder.c_str());
    }
  }

  Result<void> set_headers(Exchange& x) const {
    curl_slist* list = nullptr;
    const auto add = [&](const std::string& line) {
      if (curl_slist* longer = curl_slist_append(list, line.c_str())) list = longer;
    };
    add("Expect:");  // no round trip of its own for a body
    for (const auto& [name, value] : x.request.headers) {
      if (name.empty() || name.find(':') != std::string::npos || !is_header_text(name) ||
          !is_header_text(value)) {
        curl_slist_free_all(list);
        return fail("the header " + quoted_if_needed(name.substr(0, 80)) + " cannot be sent",
                    ErrorKind::kInvalid);
      }
      add(value.empty() ? name + ";" : name + ": " + value);
    }
    x.headers.reset(list);
    curl_easy_setopt(x.easy.get(), CURLOPT_HTTPHEADER, list);
    return {};
  }

  static std::size_t on_body(const char* data, std::size_t size, std::size_t count, void* self) {
    auto& x = *static_cast<Exchange*>(self);
    size *= count;
    if (size > x.request.max_answer - std::min(x.request.max_answer, x.response.body.size())) {
      x.too_large = true;
      return 0;
    }
    x.response.body.append(data, size);
    return size;
  }

  static std::size_t on_header(const char* data, std::size_t size, std::size_t count, void* self) {
    auto& x = *static_cast<Exchange*>(self);
    size *= count;
    const std::string_view line = trim({data, size});
    if (line.starts_with("HTTP/")) {
      x.response.headers.clear();  // of an interim answer
    } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
      if (x.response.headers.size() >= kMaxHeaders) {
        x.too_many_headers = true;
        return 0;
      }
      std::string name(line.substr(0, colon));
      std::transform(name.begin(), name.end(), name.begin(),
                     [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      x.response.headers.emplace_back(std::move(name), trim(line.substr(colon + 1)));
    }
    return size;
  }

  // ---- libcurl tells which sockets and which time it waits for; the loop waits ----

  static int on_socket(CURL*, curl_socket_t fd, int what, void* self, void*) {
    static_cast<Multi*>(self)->watch(fd, what);
    return 0;
  }

  static int on_timer(CURLM*, long milliseconds, void* self) {
    static_cast<Multi*>(self)->set_timer(milliseconds);
    return 0;
  }

  void watch(curl_socket_t fd, int what) {
    auto it = sockets_.find(fd);
    if (what == CURL_POLL_REMOVE) {
      if (it == sockets_.end()) return;
      it->second->removed = true;
      it->second->descriptor.release();  // libcurl closes it
      sockets_.erase(it);
      return;
    }
    if (it == sockets_.end()) it = sockets_.emplace(fd, std::make_shared<Socket>(loop_, fd)).first;
    it->second->wanted = what;
    wait(it->second, fd);
  }

  void wait(const std::shared_ptr<Socket>& socket, curl_socket_t fd) {
    if ((socket->wanted & CURL_POLL_IN) && !socket->reading) {
      socket->reading = true;
      socket->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                    [self = shared_from_this(), socket, fd](boost::system::error_code ec) {
                                      socket->reading = false;
                                      if (!ec) self->ready(socket, fd, CURL_CSELECT_IN);
                                    });
    }
    if ((socket->wanted & CURL_POLL_OUT) && !socket->writing) {
      socket->writing = true;
      socket->descriptor.async_wait(asio::posix::stream_descriptor::wait_write,
                                    [self = shared_from_this(), socket, fd](boost::system::error_code ec) {
                                      socket->writing = false;
                                      if (!ec) self->ready(socket, fd, CURL_CSELECT_OUT);
                                    });
    }
  }

  void ready(const std::shared_ptr<Socket>& socket, curl_socket_t fd, int event) {
    if (socket->removed) return;
    // A wait that was begun for a direction nobody wants any more.
    if (!(socket->wanted & (event == CURL_CSELECT_IN ? CURL_POLL_IN : CURL_POLL_OUT))) return;
    act(fd, event);
    if (!socket->removed) wait(socket, fd);
  }

  // The descriptors are libcurl's to close.
  void release_sockets() {
    for (auto& [fd, socket] : sockets_) {
      socket->removed = true;
      socket->descriptor.release();
    }
    sockets_.clear();
  }

  void set_timer(long milliseconds) {
    timer_.cancel();
    if (milliseconds < 0) return;
    timer_.expires_after(std::chrono::milliseconds(milliseconds));
    timer_.async_wait([self = shared_from_this()](boost::system::error_code ec) {
      if (!ec) self->act(CURL_SOCKET_TIMEOUT, 0);
    });
  }

  void act(curl_socket_t fd, int events) {
    int running = 0;
    curl_multi_socket_action(multi_, fd, events, &running);
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const auto it = exchanges_.find(message->easy_handle);
      if (it != exchanges_.end()) finish(it->first, outcome(*it->second, message->data.result));
    }
  }

  // ---- the end of an exchange ----

  void time_out(CURL* easy) {
    const auto it = exchanges_.find(easy);
    if (it == exchanges_.end()) return;
    finish(easy, fail(timeout_error(*it->second)));
  }

  void finish(CURL* easy, Result<Response> result) {
    const auto it = exchanges_.find(easy);
    if (options_.trace) {
      const Exchange& x = *it->second;
      options_.trace(x.request.method + " " + shown(x.request.url) + ": " +
                     (result ? "HTTP " + std::to_string(result->status) + ", " +
                                   std::to_string(result->body.size()) + " bytes"
                             : result.error().message()) +
                     ", " + duration_text(Steady::now() - x.started));
    }
    curl_multi_remove_handle(multi_, easy);
    Transport::Done done = std::move(it->second->done);
    it->second->timer.cancel();
    exchanges_.erase(it);
    later(std::move(done), std::move(result));
  }

  // Never from inside send or libcurl: the caller may do anything.
  void later(Transport::Done done, Result<Response> result) {
    asio::post(loop_,
               [done = std::move(done), result = std::move(result)]() mutable { done(std::move(result)); });
  }

  Result<Response> outcome(Exchange& x, CURLcode code) {
    if (code == CURLE_OK) {
      long status = 0;
      curl_easy_getinfo(x.easy.get(), CURLINFO_RESPONSE_CODE, &status);
      x.response.status = static_cast<int>(status);
      return std::move(x.response);
    }
    return fail(describe(x, code));
  }

  static Error about(const Exchange& x, const std::string& why, ErrorKind kind) {
    return Error(x.request.method + " " + shown(x.request.url) + ": " + why, kind);
  }

  static Error timeout_error(const Exchange& x) {
    const auto time = [&](CURLINFO info) {
      curl_off_t microseconds = 0;
      curl_easy_getinfo(x.easy.get(), info, &microseconds);
      return microseconds;
    };
    const std::string url = shown(x.request.url);
    const std::string phase = time(CURLINFO_NAMELOOKUP_TIME_T) == 0 ? "looking up the name of " + host_of(url)
                              : time(CURLINFO_CONNECT_TIME_T) == 0  ? "connecting to " + host_of(url)
                              : time(CURLINFO_APPCONNECT_TIME_T) == 0 && url.starts_with("https")
                                  ? "the TLS handshake with " + host_of(url)
                                  : "waiting for the answer";
    const auto patience =
        std::chrono::duration_cast<std::chrono::milliseconds>(x.request.deadline - x.started);
    return about(
        x,
        "timed out after " + duration_text(std::max(patience, std::chrono::milliseconds(0))) + ", " + phase,
        ErrorKind::kTimeout);
  }

  static Error describe(const Exchange& x, CURLcode code) {
    const std::string host = host_of(shown(x.request.url));
    const std::string detail = x.error[0] ? printable(trim(x.error)) : curl_easy_strerror(code);
    switch (code) {
      case CURLE_URL_MALFORMAT:
        return about(x, "not a usable URL", ErrorKind::kInvalid);
      case CURLE_UNSUPPORTED_PROTOCOL:
        if (detail.find("HTTP/0.9") != std::string::npos) {
          return about(x, host + " did not answer in HTTP", ErrorKind::kInvalid);
        }
        return about(x, "expected an http or https URL", ErrorKind::kInvalid);
      case CURLE_COULDNT_RESOLVE_HOST:
        return about(x, "the name " + host + " could not be resolved", ErrorKind::kUnavailable);
      case CURLE_COULDNT_RESOLVE_PROXY:
        return about(x, "the proxy's name could not be resolved", ErrorKind::kUnavailable);
      case CURLE_COULDNT_CONNECT: {
        long error = 0;
        curl_easy_getinfo(x.easy.get(), CURLINFO_OS_ERRNO, &error);
        return about(x,
                     "could not connect to " + host + ": " +
                         (error ? std::system_category().message(static_cast<int>(error)) : detail),
                     ErrorKind::kUnavailable);
      }
      case CURLE_PEER_FAILED_VERIFICATION:
        return Error(
                   about(x,
                         "the certificate of " + host + " is not trusted: " + certificate_problem(x, detail),
                         ErrorKind::kUnavailable))
            .hint("if it is right, name the authority that signed it: --ca-file FILE or the key ca_file");
      case CURLE_SSL_CACERT_BADFILE:
        return about(x, "the trusted certificates cannot be read: " + detail, ErrorKind::kConfig);
      case CURLE_SSL_CONNECT_ERROR:
        return about(x, "TLS with " + host + " failed: " + detail, ErrorKind::kUnavailable);
      case CURLE_GOT_NOTHING:
        return about(x, host + " closed the connection without an answer", ErrorKind::kUnavailable);
      case CURLE_PARTIAL_FILE:
        return about(x, "the answer of " + host + " was cut off", ErrorKind::kInvalid);
      case CURLE_WEIRD_SERVER_REPLY:
        return about(x, host + " did not answer in HTTP", ErrorKind::kInvalid);
      case CURLE_WRITE_ERROR:
        if (x.too_large) {
          return about(x, "the answer has more than " + std::to_string(x.request.max_answer) + " bytes",
                       ErrorKind::kInvalid);
        }
        if (x.too_many_headers) return about(x, "the answer has too many headers", ErrorKind::kInvalid);
        return about(x, detail, ErrorKind::kFailed);
      case CURLE_OPERATION_TIMEDOUT:
        return timeout_error(x);
      default:
        return about(x, detail, ErrorKind::kUnavailable);
    }
  }

  // OpenSSL's own words; libcurl's buffer wraps them in more.
  static std::string certificate_problem(const Exchange& x, const std::string& detail) {
    long verdict = 0;
    curl_easy_getinfo(x.easy.get(), CURLINFO_SSL_VERIFYRESULT, &verdict);
    constexpr std::string_view prefix = "SSL certificate problem: ";
    return detail.starts_with(prefix) ? detail.substr(prefix.size()) : detail;
  }

  asio::io_context& loop_;
  const Options options_;
  asio::steady_timer timer_;
  CURLM* multi_;
  std::map<CURL*, std::unique_ptr<Exchange>> exchanges_;
  std::map<curl_socket_t, std::shared_ptr<Socket>> sockets_;
};

class CurlTransport final : public Transport {
 public:
  CurlTransport(asio::io_context& loop, Options options)
      : multi_(std::make_shared<Multi>(loop, std::move(options))) {}
  ~CurlTransport() override { multi_->shut_down(); }

  void send(Request request, Done done) override { multi_->send(std::move(request), std::move(done)); }
  void cancel_all() override { multi_->cancel_all(); }

 private:
  std::shared_ptr<Multi> multi_;
};

}  // namespace

std::string_view Response::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return value;
  }
  return {};
}

Result<std::unique_ptr<Transport>> make_curl_transport(asio::io_context& loop, Options options) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready != CURLE_OK) return fail(std::string("libcurl cannot start: ") + curl_easy_strerror(ready));
  return std::make_unique<CurlTransport>(loop, std::move(options));
}

}  // namespace cnspec::transport
