#include <curl/curl.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>

#include "base/text.hpp"
#include "base/time.hpp"
#include "base/url.hpp"
#include "transport/authorities.hpp"
#include "transport/engine.hpp"

namespace cnspec::transport {
namespace {

using Steady = std::chrono::steady_clock;

// Of one answer, those of interim ones included.
constexpr std::size_t kMaxHeaders = 256;
constexpr std::size_t kMaxHeaderBytes = 64 << 10;

std::string host_of(std::string_view url) {
  const std::string_view place = split_url(url).place;
  return printable(place.substr(0, place.find('/')));
}

bool is_method(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_';
  });
}

bool is_header_text(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) == text.npos;
}

std::string text_or_empty(const char* text) { return text ? text : ""; }
std::string env(const char* name) { return text_or_empty(std::getenv(name)); }

struct EasyCleanup {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct ListCleanup {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

struct Exchange {
  std::uint64_t id = 0;
  Request request;
  Engine::Done done;
  std::optional<Proxy> proxy;
  Response response;
  std::unique_ptr<CURL, EasyCleanup> easy;
  std::unique_ptr<curl_slist, ListCleanup> headers;
  Steady::time_point started = Steady::now();
  std::size_t received = 0;  // bytes of the body
  std::size_t headers_received = 0, header_bytes = 0;
  bool let_through = false;  // by the proxy, on a new connection
  bool too_large = false;
  bool sink_full = false;
  bool too_many_headers = false;
  const Authorities* authorities = nullptr;  // the engine's
  char error[CURL_ERROR_SIZE] = {};
};

class CurlEngine final : public Engine {
 public:
  CurlEngine(Loop& loop, Options options)
      : loop_(loop), options_(std::move(options)), multi_(curl_multi_init()) {
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &CurlEngine::on_socket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &CurlEngine::on_timer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
  }

  ~CurlEngine() override {
    cancel_all();
    curl_multi_cleanup(multi_);
  }

  void start(std::uint64_t id, Request request, Done done) override {
    auto exchange = std::make_unique<Exchange>();
    exchange->id = id;
    exchange->request = std::move(request);
    exchange->done = std::move(done);
    if (auto ready = prepare(*exchange); !ready) {
      return exchange->done(fail(ready.error()), Connection::kHeld);
    }
    CURL* easy = exchange->easy.get();
    exchanges_.emplace(easy, std::move(exchange));
    curl_multi_add_handle(multi_, easy);
  }

  // The deadline is ours and not libcurl's, which would wait for its resolver's thread.
  void expire(std::uint64_t id) override {
    for (const auto& [easy, exchange] : exchanges_) {
      if (exchange->id == id) return finish(easy, fail(timeout_error(*exchange)), Connection::kHeld);
    }
  }

  void cancel_all() override {
    while (!exchanges_.empty()) {
      finish(exchanges_.begin()->first, fail("cancelled", ErrorKind::kCancelled), Connection::kHeld);
    }
  }

  void ready(int fd, bool read, bool write) override {
    act(fd, (read ? CURL_CSELECT_IN : 0) | (write ? CURL_CSELECT_OUT : 0));
  }
  void wake() override { act(CURL_SOCKET_TIMEOUT, 0); }

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
    set(CURLOPT_ERRORBUFFER, x.error);
    set(CURLOPT_PRIVATE, &x);
    set(CURLOPT_URL, r.url.c_str());
    set(CURLOPT_WRITEFUNCTION, &CurlEngine::on_body);
    set(CURLOPT_WRITEDATA, &x);
    set(CURLOPT_HEADERFUNCTION, &CurlEngine::on_header);
    set(CURLOPT_HEADERDATA, &x);
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_XFERINFOFUNCTION, &CurlEngine::on_progress);
    set(CURLOPT_XFERINFODATA, &x);
    if (!options_.user_agent.empty()) set(CURLOPT_USERAGENT, options_.user_agent.c_str());
    if (r.repeat == Request::Repeat::kNever) set(CURLOPT_FRESH_CONNECT, 1L);
    if (r.deadline != Deadline::max()) {
      // Not for the deadline's sake: of the time for connecting, libcurl gives each of a name's addresses a
      // part.
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(r.deadline - Steady::now());
      set(CURLOPT_CONNECTTIMEOUT_MS, std::max<long>(1, static_cast<long>(left.count())));
    }
    if (auto ready = set_proxy(x); !ready) return ready;
    trust(x);

    if (!is_method(r.method)) {
      return fail("the method " + quoted_if_needed(r.method.substr(0, 80)) + " is none", ErrorKind::kInvalid);
    }
    const bool with_body = r.method == "POST" || r.method == "PUT" || r.method == "PATCH" || !r.body.empty();
    if (r.method == "HEAD") {
      set(CURLOPT_NOBODY, 1L);
    } else if (with_body) {
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(r.body.size()));
      set(CURLOPT_POSTFIELDS, r.body.data());
    }
    if (r.method != "HEAD" && r.method != (with_body ? "POST" : "GET"))
      set(CURLOPT_CUSTOMREQUEST, r.method.c_str());
    return set_headers(x);
  }

  Result<void> set_proxy(Exchange& x) const {
    CURL* easy = x.easy.get();
    const auto set = [&](CURLoption option, auto value) { curl_easy_setopt(easy, option, value); };
    // Empty and not left out, or libcurl asks the environment.
    set(CURLOPT_PROXY, "");
    set(CURLOPT_NOPROXY, "");
    if (x.request.no_proxy) return {};
    auto proxy = proxy_for(x.request.url, options_.proxies);
    if (!proxy) return fail(proxy.error());
    x.proxy = std::move(*proxy);
    if (!x.proxy) return {};
    set(CURLOPT_PROXY, x.proxy->url.c_str());
    set(CURLOPT_PROXYAUTH, static_cast<long>(CURLAUTH_BASIC));
    set(CURLOPT_SOCKS5_AUTH, static_cast<long>(CURLAUTH_BASIC));
    if (!x.proxy->user.empty() || !x.proxy->password.empty()) {
      set(CURLOPT_PROXYUSERNAME, x.proxy->user.c_str());
      set(CURLOPT_PROXYPASSWORD, x.proxy->password.c_str());
    }
    set(CURLOPT_PROXY_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
    return {};
  }

  // A request that accepts any certificate still knows its proxy.
  void trust(Exchange& x) {
    CURL* easy = x.easy.get();
    // libcurl would read the system's set again for every connection.
    for (const CURLoption option :
         {CURLOPT_CAINFO, CURLOPT_CAPATH, CURLOPT_PROXY_CAINFO, CURLOPT_PROXY_CAPATH}) {
      curl_easy_setopt(easy, option, nullptr);
    }
    if (x.request.insecure) {
      curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
      curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    const bool with_tls = (secure(x) && !x.request.insecure) || (x.proxy && x.proxy->scheme() == "https");
    if (!with_tls) return;
    if (!authorities_) authorities_ = read_authorities();
    x.authorities = authorities_.get();
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION, &CurlEngine::on_tls);
    curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, &x);
  }

  // What is named replaces the system's set.
  std::unique_ptr<const Authorities> read_authorities() const {
    if (!options_.ca_file.empty()) return std::make_unique<Authorities>(options_.ca_file, "");
    const std::string file = env("SSL_CERT_FILE"), folder = env("SSL_CERT_DIR");
    if (!file.empty() || !folder.empty()) return std::make_unique<Authorities>(file, folder);
    const curl_version_info_data& built = *curl_version_info(CURLVERSION_NOW);
    return std::make_unique<Authorities>(text_or_empty(built.cainfo), text_or_empty(built.capath));
  }

  static CURLcode on_tls(CURL*, void* context, void* self) {
    const auto store = static_cast<const Exchange*>(self)->authorities->get();
    if (!store) return CURLE_SSL_CACERT_BADFILE;
    SSL_CTX_set1_cert_store(static_cast<SSL_CTX*>(context), *store);
    return CURLE_OK;
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
    if (size > x.request.max_answer - std::min(x.request.max_answer, x.received)) {
      x.too_large = true;
      return 0;
    }
    x.received += size;
    if (x.request.sink) {
      x.response.status = static_cast<int>(number(x, CURLINFO_RESPONSE_CODE));
      x.sink_full = !x.request.sink(x.response, {data, size});
      return x.sink_full ? 0 : size;
    }
    x.response.body.append(data, size);
    return size;
  }

  static std::size_t on_header(const char* data, std::size_t size, std::size_t count, void* self) {
    auto& x = *static_cast<Exchange*>(self);
    size *= count;
    const std::string_view line = trim({data, size});
    x.header_bytes += size;
    if (line.find(':') != line.npos) ++x.headers_received;
    x.too_many_headers = x.headers_received > kMaxHeaders || x.header_bytes > kMaxHeaderBytes;
    if (x.too_many_headers) return 0;
    const bool ended = *data == '\r' || *data == '\n';
    if (asks_for_a_tunnel(x)) return ended && !is_let_through(x) ? 0 : size;
    if (line.starts_with("HTTP/")) {
      x.response.headers.clear();  // of an interim answer
    } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
      std::string name = to_lower(line.substr(0, colon));
      x.response.headers.emplace_back(std::move(name), trim(line.substr(colon + 1)));
    }
    return size;
  }

  // At the end of the headers of a proxy that was asked for a tunnel. What else it says is not read, since
  // libcurl reads it byte by byte and does nothing else as long as something comes.
  static bool is_let_through(Exchange& x) {
    x.let_through = number(x, CURLINFO_HTTP_CONNECTCODE) / 100 == 2;
    x.headers_received = x.header_bytes = 0;
    return x.let_through;
  }

  // Called while libcurl reads such an answer, and the loop cannot end what has no time left.
  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    const auto& x = *static_cast<const Exchange*>(self);
    return asks_for_a_tunnel(x) && Steady::now() > x.request.deadline ? 1 : 0;
  }

  static int on_socket(CURL*, curl_socket_t fd, int what, void* self, void*) {
    const bool read = what == CURL_POLL_IN || what == CURL_POLL_INOUT;
    const bool write = what == CURL_POLL_OUT || what == CURL_POLL_INOUT;
    static_cast<CurlEngine*>(self)->loop_.watch(fd, read, write);
    return 0;
  }

  static int on_timer(CURLM*, long milliseconds, void* self) {
    std::optional<std::chrono::milliseconds> delay;
    if (milliseconds >= 0) delay.emplace(milliseconds);
    static_cast<CurlEngine*>(self)->loop_.wake_after(delay);
    return 0;
  }

  void act(curl_socket_t fd, int events) {
    int running = 0;
    curl_multi_socket_action(multi_, fd, events, &running);
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      const auto it = exchanges_.find(message->easy_handle);
      if (it == exchanges_.end()) continue;
      const CURLcode code = message->data.result;
      Exchange& x = *it->second;
      if (code == CURLE_RECV_ERROR && is_beyond_libcurls_limit(x)) x.too_many_headers = true;
      finish(it->first, outcome(x, code), connection(x, code));
    }
  }

  void finish(CURL* easy, Result<Response> result, Connection connection) {
    const auto it = exchanges_.find(easy);
    if (options_.trace) {
      const Exchange& x = *it->second;
      options_.trace(
          x.request.method + " " + shown_url(x.request.url) + ": " +
          (result ? "HTTP " + std::to_string(result->status) + ", " + std::to_string(x.received) + " bytes"
                  : result.error().message()) +
          ", " + duration_text(Steady::now() - x.started));
    }
    curl_multi_remove_handle(multi_, easy);
    // OpenSSL must not be at work in a process that ends because of this.
    if (it->second->authorities) it->second->authorities->wait();
    const Done done = std::move(it->second->done);
    exchanges_.erase(it);
    done(std::move(result), connection);
  }

  // "CONNECT response too large" of one line, "Too large response headers" of all.
  static bool is_beyond_libcurls_limit(const Exchange& x) {
    return std::string_view(x.error).find("oo large") != std::string_view::npos;
  }

  static Connection connection(const Exchange& x, CURLcode code) {
    if (x.too_many_headers) return Connection::kHeld;
    const long error = number(x, CURLINFO_OS_ERRNO);
    switch (code) {
      case CURLE_COULDNT_CONNECT: return error == ECONNREFUSED ? Connection::kRefused : Connection::kBroke;
      case CURLE_GOT_NOTHING:
      case CURLE_SEND_ERROR: return Connection::kBroke;
      case CURLE_RECV_ERROR:  // also what a proxy's refusal is called
        return number(x, CURLINFO_HTTP_CONNECTCODE) / 100 <= 2 ? Connection::kBroke : Connection::kHeld;
      case CURLE_SSL_CONNECT_ERROR: return broken(x.error) ? Connection::kBroke : Connection::kHeld;
      default: return Connection::kHeld;
    }
  }

  static bool broken(std::string_view detail) {
    return detail.find("reset by peer") != detail.npos || detail.find("SSL_ERROR_SYSCALL") != detail.npos ||
           detail.find("unexpected eof") != detail.npos;
  }

  Result<Response> outcome(Exchange& x, CURLcode code) {
    if (code != CURLE_OK)
      return fail(x.proxy && at_proxy(x, code) ? describe_proxy(x, code) : describe(x, code));
    x.response.status = static_cast<int>(number(x, CURLINFO_RESPONSE_CODE));
    // A proxy that passes requests on answers in the server's place.
    if (x.proxy && !tunnels(x)) {
      if (x.response.status == 407 || x.response.status == 502)
        return fail(proxy_answered(x, x.response.status));
      x.response.via = proxy_name(x);
    }
    return std::move(x.response);
  }

  static long number(const Exchange& x, CURLINFO info) {
    long value = 0;
    curl_easy_getinfo(x.easy.get(), info, &value);
    return value;
  }

  static Error about(const Exchange& x, const std::string& why, ErrorKind kind) {
    return Error(x.request.method + " " + shown_url(x.request.url) + ": " + why, kind);
  }

  static std::string server(const Exchange& x) { return host_of(x.request.url); }
  static std::string proxy_name(const Exchange& x) {
    return "the proxy " + printable(x.proxy->url) + " (" + x.proxy->source + ")";
  }

  static bool secure(const Exchange& x) {
    const std::string_view url = x.request.url;
    return url.size() > 5 && (url[4] == 's' || url[4] == 'S');
  }
  static bool socks(const Exchange& x) { return x.proxy && x.proxy->scheme().starts_with("socks"); }
  // Through a SOCKS proxy, or one that opened a way to the server when asked for it.
  static bool tunnels(const Exchange& x) { return x.proxy && (socks(x) || secure(x)); }

  // Whether the way to the server is not open yet: it may be so from before.
  static bool asks_for_a_tunnel(const Exchange& x) {
    return tunnels(x) && !socks(x) && !x.let_through && time(x, CURLINFO_PRETRANSFER_TIME_T) == 0;
  }

  // Whether what failed lies between us and the proxy.
  static bool at_proxy(const Exchange& x, CURLcode code) {
    if (!socks(x)) return !tunnels(x) || asks_for_a_tunnel(x);
    return time(x, CURLINFO_PRETRANSFER_TIME_T) == 0 && (code == CURLE_PROXY || !connected(x));
  }

  // libcurl's time of connecting includes the TLS handshake; the address is known when TCP is connected.
  static bool connected(const Exchange& x) {
    const char* address = nullptr;
    curl_easy_getinfo(x.easy.get(), CURLINFO_PRIMARY_IP, &address);
    return time(x, CURLINFO_CONNECT_TIME_T) != 0 || (address && *address);
  }

  static curl_off_t time(const Exchange& x, CURLINFO info) {
    curl_off_t microseconds = 0;
    curl_easy_getinfo(x.easy.get(), info, &microseconds);
    return microseconds;
  }

  static Error timeout_error(const Exchange& x) {
    if (x.request.max_silence.count() > 0 && Steady::now() < x.request.deadline) {
      return about(x, "nothing came for " + duration_text(x.request.max_silence) + ", " + waited_for(x),
                   ErrorKind::kTimeout);
    }
    const auto patience =
        std::chrono::duration_cast<std::chrono::milliseconds>(x.request.deadline - x.started);
    if (patience.count() <= 0) return about(x, "no time was left for it", ErrorKind::kTimeout);
    Error error =
        about(x, "timed out after " + duration_text(patience) + ", " + waited_for(x), ErrorKind::kTimeout);
    for (const auto& [name, value] : x.request.headers) {
      if (name == "X-Request-ID" && is_sent(x))
        return std::move(error).hint("the log of " + server(x) + " may know this request as " + value);
    }
    return error;
  }

  // Whether the way to the server is open, so that it may have the request.
  static bool is_sent(const Exchange& x) {
    return time(x, CURLINFO_PRETRANSFER_TIME_T) != 0 && !(x.proxy && at_proxy(x, CURLE_OPERATION_TIMEDOUT));
  }

  static std::string waited_for(const Exchange& x) {
    if (x.proxy && at_proxy(x, CURLE_OPERATION_TIMEDOUT)) {
      if (time(x, CURLINFO_NAMELOOKUP_TIME_T) == 0) return "looking up the name of " + proxy_name(x);
      return "waiting for " + proxy_name(x);
    }
    if (is_sent(x)) return "waiting for the answer";
    if (!x.proxy && time(x, CURLINFO_NAMELOOKUP_TIME_T) == 0) return "looking up the name of " + server(x);
    if (!connected(x)) return "connecting to " + server(x);
    if (secure(x) && time(x, CURLINFO_APPCONNECT_TIME_T) == 0) {
      // libcurl does not tell when a SOCKS proxy has done its part.
      if (socks(x)) return "waiting for " + proxy_name(x) + ", or for " + server(x) + " behind it";
      return "the TLS handshake with " + server(x);
    }
    return "waiting for the answer";
  }

  static std::string detail_of(const Exchange& x, CURLcode code) {
    return x.error[0] ? printable(trim(x.error)) : curl_easy_strerror(code);
  }

  static std::string could_not_connect(const Exchange& x, const std::string& to, const std::string& detail) {
    const long error = number(x, CURLINFO_OS_ERRNO);
    return "could not connect to " + to + ": " +
           (error ? std::system_category().message(static_cast<int>(error)) : detail);
  }

  static Error describe(const Exchange& x, CURLcode code) {
    const std::string host = server(x);
    const std::string detail = detail_of(x, code);
    if (x.too_many_headers) return about(x, "the answer has too many headers", ErrorKind::kInvalid);
    switch (code) {
      case CURLE_URL_MALFORMAT: return about(x, "not a usable URL", ErrorKind::kInvalid);
      case CURLE_UNSUPPORTED_PROTOCOL:
        if (detail.find("HTTP/0.9") != std::string::npos) {
          return about(x, host + " did not answer in HTTP", ErrorKind::kInvalid);
        }
        return about(x, "expected an http or https URL", ErrorKind::kInvalid);
      case CURLE_COULDNT_RESOLVE_HOST:
        return about(x, "the name " + host + " could not be resolved", ErrorKind::kUnavailable);
      case CURLE_COULDNT_CONNECT:
        return about(x, could_not_connect(x, host, detail), ErrorKind::kUnavailable);
      case CURLE_PEER_FAILED_VERIFICATION:
        return certificate_error(x, host, number(x, CURLINFO_SSL_VERIFYRESULT), detail);
      case CURLE_SSL_CACERT_BADFILE:
        return about(x, x.authorities->get().error().message(), ErrorKind::kConfig);
      case CURLE_SSL_CONNECT_ERROR: return tls_error(x, host, detail);
      case CURLE_GOT_NOTHING:
        return about(x, host + " closed the connection without an answer", ErrorKind::kUnavailable);
      case CURLE_PARTIAL_FILE: return about(x, "the answer of " + host + " was cut off", ErrorKind::kInvalid);
      case CURLE_WEIRD_SERVER_REPLY: return about(x, host + " did not answer in HTTP", ErrorKind::kInvalid);
      case CURLE_WRITE_ERROR:
        if (x.too_large) {
          return about(x, "the answer has more than " + std::to_string(x.request.max_answer) + " bytes",
                       ErrorKind::kInvalid);
        }
        if (x.sink_full) return about(x, "not wanted any more", ErrorKind::kCancelled);
        return about(x, detail, ErrorKind::kFailed);
      case CURLE_OPERATION_TIMEDOUT: return timeout_error(x);
      default: return about(x, detail, ErrorKind::kUnavailable);
    }
  }

  static Error describe_proxy(const Exchange& x, CURLcode code) {
    const std::string proxy = proxy_name(x);
    const std::string detail = detail_of(x, code);
    if (x.too_many_headers) {
      const std::string whose = tunnels(x) ? proxy : proxy + ", or of what is behind it,";
      return about(x, "the answer of " + whose + " has too many headers", ErrorKind::kUnavailable);
    }
    if (code == CURLE_ABORTED_BY_CALLBACK) return timeout_error(x);
    if (const long answer = number(x, CURLINFO_HTTP_CONNECTCODE)) return proxy_answered(x, answer);
    switch (code) {
      case CURLE_COULDNT_RESOLVE_PROXY:
      case CURLE_COULDNT_RESOLVE_HOST:  // what the name of a SOCKS proxy is to libcurl
        return about(x, "the name of " + proxy + " could not be resolved", ErrorKind::kUnavailable);
      case CURLE_COULDNT_CONNECT:
        return about(x, could_not_connect(x, proxy, detail), ErrorKind::kUnavailable);
      case CURLE_PROXY: return socks_error(x, detail);
      case CURLE_PEER_FAILED_VERIFICATION:
        return certificate_error(x, proxy, number(x, CURLINFO_PROXY_SSL_VERIFYRESULT), detail);
      case CURLE_SSL_CONNECT_ERROR: return tls_error(x, proxy, detail);
      case CURLE_GOT_NOTHING:
      case CURLE_RECV_ERROR:
      case CURLE_SEND_ERROR:
        return about(x, proxy + " closed the connection without an answer", ErrorKind::kUnavailable);
      case CURLE_UNSUPPORTED_PROTOCOL:
      case CURLE_WEIRD_SERVER_REPLY:
        return about(x, proxy + " did not answer as a proxy does", ErrorKind::kUnavailable);
      case CURLE_WRITE_ERROR:  // of a tunnel, of which it said neither yes nor no
        if (tunnels(x)) return about(x, proxy + " did not answer as a proxy does", ErrorKind::kUnavailable);
        return describe(x, code);
      case CURLE_PARTIAL_FILE:
      case CURLE_SSL_CACERT_BADFILE:
      case CURLE_OPERATION_TIMEDOUT:
      case CURLE_URL_MALFORMAT: return describe(x, code);
      default: return about(x, proxy + " cannot be used: " + detail, ErrorKind::kUnavailable);
    }
  }

  static Error proxy_answered(const Exchange& x, long status) {
    const std::string proxy = proxy_name(x);
    const std::string http = " (HTTP " + std::to_string(status) + ")";
    if (status == 407) {
      if (!x.proxy->user.empty()) {
        return about(x, proxy + " refuses the user and password for it" + http, ErrorKind::kUnavailable)
            .hint("check them in " + x.proxy->source + "; it must accept them as Basic authentication");
      }
      return about(x, proxy + " wants a user and a password" + http, ErrorKind::kUnavailable)
          .hint("name them in " + x.proxy->source + ": " + std::string(x.proxy->scheme()) +
                "://USER:PASSWORD@HOST:PORT");
    }
    if (status == 502 || status == 503 || status == 504) {
      return about(x, proxy + " could not reach " + server(x) + http, ErrorKind::kUnavailable);
    }
    if (status / 100 == 2)
      return about(x, proxy + " did not answer as a proxy does", ErrorKind::kUnavailable);
    return about(x, proxy + " does not let through to " + server(x) + http, ErrorKind::kUnavailable)
        .hint("ask whoever runs it, or except the host with NO_PROXY");
  }

  static Error socks_error(const Exchange& x, const std::string& detail) {
    const std::string proxy = proxy_name(x);
    long reason = CURLPX_OK;
    curl_easy_getinfo(x.easy.get(), CURLINFO_PROXY_ERROR, &reason);
    const auto said = [&](const std::string& what) { return about(x, what, ErrorKind::kUnavailable); };
    switch (reason) {
      case CURLPX_RESOLVE_HOST:
        return said("the name " + server(x) + " could not be resolved")
            .hint("socks5:// looks names up here; socks5h:// leaves it to the proxy");
      case CURLPX_NO_AUTH:
        return said(proxy + " wants a user and a password")
            .hint("name them in " + x.proxy->source + ": " + std::string(x.proxy->scheme()) +
                  "://USER:PASSWORD@HOST:PORT");
      case CURLPX_USER_REJECTED:
        return said(proxy + " refuses the user and password for it").hint("check them in " + x.proxy->source);
      case CURLPX_REPLY_CONNECTION_REFUSED:
      case CURLPX_REPLY_HOST_UNREACHABLE:
      case CURLPX_REPLY_NETWORK_UNREACHABLE:
      case CURLPX_REPLY_TTL_EXPIRED:
      case CURLPX_REPLY_GENERAL_SERVER_FAILURE: return said(proxy + " could not reach " + server(x));
      case CURLPX_REPLY_NOT_ALLOWED:
        return said(proxy + " does not let through to " + server(x))
            .hint("ask whoever runs it, or except the host with NO_PROXY");
      case CURLPX_RECV_CONNECT:
      case CURLPX_RECV_AUTH:
      case CURLPX_RECV_REQACK:
      case CURLPX_RECV_ADDRESS:
      case CURLPX_CLOSED: return said(proxy + " closed the connection without an answer");
      default: return said(proxy + " did not answer as a SOCKS 5 proxy does: " + detail);
    }
  }

  // `whose` is the server or the proxy; `verdict` is OpenSSL's.
  static Error certificate_error(const Exchange& x, const std::string& whose, long verdict,
                                 const std::string& detail) {
    const auto said = [&](const std::string& what, const char* hint) {
      return about(x, "the certificate of " + whose + " " + what, ErrorKind::kUnavailable).hint(hint);
    };
    constexpr char kAuthority[] =
        "if it is right, name the authority that signed it: --ca-file FILE or the key ca_file";
    constexpr char kTheirs[] = "is the clock of this machine right? If so, it is the server's to mend";
    switch (verdict) {
      case X509_V_ERR_CERT_HAS_EXPIRED: return said("has expired", kTheirs);
      case X509_V_ERR_CERT_NOT_YET_VALID: return said("is not valid yet", kTheirs);
      case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return said("is not trusted: it is self-signed",
                    "if it is right, trust it as its own authority: --ca-file FILE or the key ca_file");
      case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
      case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
      case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return said(std::string("is not trusted: ") + X509_verify_cert_error_string(verdict), kAuthority);
      case X509_V_ERR_CERT_REVOKED:
        return said("has been revoked",
                    "it is the server's to mend; until then, do not trust what answers there");
      case X509_V_ERR_UNABLE_TO_GET_CRL:
      case X509_V_ERR_CRL_HAS_EXPIRED:
        return said(
            verdict == X509_V_ERR_CRL_HAS_EXPIRED
                ? "cannot be checked: the revocation list of its authority has expired"
                : "cannot be checked: an authority in its chain has no revocation list",
            "renew the revocation lists in the file of trusted certificates, or take all of them out");
      default:
        // libcurl compares names by itself, after OpenSSL was content.
        if (detail.find("target host name") != std::string::npos) {
          return said("is not trusted: it is for another name",
                      "is the address right? If so, it is the server's to mend");
        }
        return said(std::string("is not trusted: ") + X509_verify_cert_error_string(verdict), kTheirs);
    }
  }

  static Error tls_error(const Exchange& x, const std::string& who, const std::string& detail) {
    const auto says = [&](std::string_view words) { return detail.find(words) != std::string::npos; };
    if (says("unsupported protocol") || says("alert protocol version")) {
      return about(x, who + " offers only versions of TLS before 1.2, which are not safe",
                   ErrorKind::kUnavailable)
          .hint("it is the server's to mend");
    }
    if (says("wrong version number") || says("http request") || says("packet length too long")) {
      return about(x, who + " does not speak TLS", ErrorKind::kUnavailable)
          .hint("is the port right, and is it https at all?");
    }
    if (broken(detail)) {
      return about(x, who + " broke off the TLS handshake", ErrorKind::kUnavailable);
    }
    return about(x, "TLS with " + who + " failed: " + detail, ErrorKind::kUnavailable);
  }

  Loop& loop_;
  const Options options_;
  std::unique_ptr<const Authorities> authorities_;  // read once somebody must be believed
  CURLM* multi_;
  std::map<CURL*, std::unique_ptr<Exchange>> exchanges_;
};

}  // namespace

Result<std::unique_ptr<Engine>> make_curl_engine(Engine::Loop& loop, Options options) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready != CURLE_OK) return fail(std::string("libcurl cannot start: ") + curl_easy_strerror(ready));
  return std::make_unique<CurlEngine>(loop, std::move(options));
}

}  // namespace cnspec::transport
