#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>

#include "base/text.hpp"
#include "base/time.hpp"
#include "transport/engine.hpp"

namespace cnspec::transport {
namespace {

using Steady = std::chrono::steady_clock;

constexpr std::size_t kMaxHeaders = 256;

// What may be printed of a URL: neither user and password nor the query, which may carry a token.
std::string shown(std::string_view url) {
  const auto scheme = url.find("://");
  const auto begin = scheme == std::string_view::npos ? 0 : scheme + 3;
  const auto authority = url.substr(begin, url.find_first_of("/?#", begin) - begin);
  // A password may hold, wrongly, what ends the authority; then no port stands after the colon.
  const auto colon = authority.rfind(':');
  const bool torn = colon != std::string_view::npos && !authority.starts_with('[') &&
                    authority.find_first_not_of("0123456789", colon + 1) != std::string_view::npos;
  const auto at = url.substr(0, torn ? url.npos : begin + authority.size()).rfind('@');
  if (at == std::string_view::npos || at < begin) return printable(url.substr(0, url.find_first_of("?#")));
  const auto rest = url.substr(at + 1);
  return printable(std::string(url.substr(0, begin)) + std::string(rest.substr(0, rest.find_first_of("?#"))));
}

std::string host_of(std::string_view shown_url) {
  const auto scheme = shown_url.find("://");
  const auto rest = scheme == std::string_view::npos ? shown_url : shown_url.substr(scheme + 3);
  return std::string(rest.substr(0, rest.find('/')));
}

bool is_method(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '-' || c == '_';
  });
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
  std::uint64_t id = 0;
  Request request;
  Transport::Done done;
  Response response;
  std::unique_ptr<CURL, EasyCleanup> easy;
  std::unique_ptr<curl_slist, ListCleanup> headers;
  Steady::time_point started = Steady::now();
  bool too_large = false;
  bool too_many_headers = false;
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

  void start(std::uint64_t id, Request request, Transport::Done done) override {
    auto exchange = std::make_unique<Exchange>();
    exchange->id = id;
    exchange->request = std::move(request);
    exchange->done = std::move(done);
    if (auto ready = prepare(*exchange); !ready) return exchange->done(fail(ready.error()));
    CURL* easy = exchange->easy.get();
    exchanges_.emplace(easy, std::move(exchange));
    curl_multi_add_handle(multi_, easy);
  }

  // The deadline is ours and not libcurl's, which would wait for its resolver's thread.
  void expire(std::uint64_t id) override {
    for (const auto& [easy, exchange] : exchanges_) {
      if (exchange->id == id) return finish(easy, fail(timeout_error(*exchange)));
    }
  }

  void cancel_all() override {
    while (!exchanges_.empty()) finish(exchanges_.begin()->first, fail("cancelled", ErrorKind::kCancelled));
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
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_ERRORBUFFER, x.error);
    set(CURLOPT_PRIVATE, &x);
    set(CURLOPT_URL, r.url.c_str());
    set(CURLOPT_WRITEFUNCTION, &CurlEngine::on_body);
    set(CURLOPT_WRITEDATA, &x);
    set(CURLOPT_HEADERFUNCTION, &CurlEngine::on_header);
    set(CURLOPT_HEADERDATA, &x);
    if (!options_.user_agent.empty()) set(CURLOPT_USERAGENT, options_.user_agent.c_str());
    if (!options_.proxy.empty()) set(CURLOPT_PROXY, options_.proxy.c_str());
    if (r.no_proxy) set(CURLOPT_NOPROXY, "*");
    trust(easy, r.insecure);

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
      if (it != exchanges_.end()) finish(it->first, outcome(*it->second, message->data.result));
    }
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
    const Transport::Done done = std::move(it->second->done);
    exchanges_.erase(it);
    done(std::move(result));
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
        return certificate_error(x, host, detail);
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

  // In OpenSSL's own words; libcurl's buffer wraps them in more.
  static Error certificate_error(const Exchange& x, const std::string& host, const std::string& detail) {
    constexpr std::string_view prefix = "SSL certificate problem: ";
    const bool chain = detail.starts_with(prefix);
    const std::string why = chain ? detail.substr(prefix.size()) : detail;
    Error error = about(x, "the certificate of " + host + " is not trusted: " + why, ErrorKind::kUnavailable);
    if (why.find("issuer") != std::string::npos || why.find("self") != std::string::npos) {
      return std::move(error).hint(
          "if it is right, name the authority that signed it: --ca-file FILE or the key ca_file");
    }
    if (chain)
      return std::move(error).hint("is the clock of this machine right? If so, it is the server's to mend");
    return error;
  }

  Loop& loop_;
  const Options options_;
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
