#include "provider/host.hpp"

#include <string.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>

#include "base/text.hpp"
#include "provider/network.hpp"

namespace cnspec::provider {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxMessage = 8 << 10;
constexpr std::size_t kMaxAnswer = 16 << 20;
constexpr std::uint64_t kMaxDetails = 32;
constexpr std::uint64_t kMaxHeaders = 256;

// The innermost call of this thread. That a handle is this one's is all the fast path asks: no lock, no
// table.
thread_local Call* t_call = nullptr;

// Each call takes two numbers, for itself and for its sink; none is given twice.
std::atomic<std::uint64_t> g_next_handle{2};

// A few milliseconds late at most, and far cheaper than the exact time; asked once a row.
Clock::time_point about_now() {
#ifdef CLOCK_MONOTONIC_COARSE
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return Clock::time_point(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
#else
  return Clock::now();
#endif
}

// One line that is safe to print, of bounded length.
std::string one_line(std::string_view text) {
  const bool cut = text.size() > kMaxMessage;
  text = text.substr(0, kMaxMessage);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  return printable(text) + (cut ? "..." : "");
}

ErrorKind kind_of(std::int32_t code) {
  switch (code) {
    case CNSPEC_INVALID: return ErrorKind::kUsage;
    case CNSPEC_NOT_FOUND: return ErrorKind::kNotFound;
    case CNSPEC_UNAUTHENTICATED:
    case CNSPEC_PERMISSION_DENIED: return ErrorKind::kRejected;
    case CNSPEC_UNAVAILABLE: return ErrorKind::kUnavailable;
    case CNSPEC_TIMEOUT: return ErrorKind::kTimeout;
    case CNSPEC_CANCELLED: return ErrorKind::kCancelled;
    default: return ErrorKind::kFailed;
  }
}

std::int32_t code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUnavailable: return CNSPEC_UNAVAILABLE;
    case ErrorKind::kTimeout: return CNSPEC_TIMEOUT;
    case ErrorKind::kCancelled: return CNSPEC_CANCELLED;
    case ErrorKind::kUsage: return CNSPEC_INVALID;
    case ErrorKind::kRejected: return CNSPEC_PERMISSION_DENIED;
    default: return CNSPEC_FAILED;
  }
}

// For a provider that failed and did not say why.
std::string sentence_for(std::int32_t code) {
  const char* meaning = nullptr;
  switch (code) {
    case CNSPEC_FAILED: return "failed without saying why";
    case CNSPEC_INVALID: meaning = "invalid arguments"; break;
    case CNSPEC_NOT_FOUND: meaning = "not found"; break;
    case CNSPEC_UNAUTHENTICATED: meaning = "credentials are missing or were not accepted"; break;
    case CNSPEC_PERMISSION_DENIED: meaning = "the credentials do not suffice"; break;
    case CNSPEC_UNAVAILABLE: meaning = "could not be reached"; break;
    case CNSPEC_TIMEOUT: meaning = "timed out"; break;
    case CNSPEC_CANCELLED: meaning = "cancelled"; break;
    case CNSPEC_UNSUPPORTED: meaning = "not supported"; break;
    case CNSPEC_STALE: meaning = "a stale handle"; break;
    default: break;
  }
  return "failed without saying why (code " + std::to_string(code) +
         (meaning ? std::string(", ") + meaning : "") + ")";
}

// The other side's struct as far as both know it; what lies beyond is zero.
template <class T>
T copy_known(const T* from) {
  T out{};
  std::memcpy(&out, from, std::min<std::size_t>(from->struct_size, sizeof out));
  return out;
}

// Where a request ends and what proxies make of it is the transport's to say; another host's name would lead
// beyond the hosts that are allowed, where one server answers for many. Null: it may.
const char* not_its_to_send(std::string_view spelled, std::string_view value,
                            const transport::Request& request) {
  const std::string name = to_lower(spelled);
  constexpr std::string_view kOurs[] = {"connection", "keep-alive",        "te",
                                        "trailer",    "transfer-encoding", "upgrade"};
  if (name.starts_with("proxy-") || std::find(std::begin(kOurs), std::end(kOurs), name) != std::end(kOurs))
    return "is not a provider's to send";
  if (name == "content-length" && trim(value) != std::to_string(request.body.size()))
    return "is not the size of the body";
  if (name == "host" && (value.find_first_of("@/?#") != std::string_view::npos ||
                         address_host(trim(value)) != url_host(request.url).value_or("")))
    return "names another host than the URL";
  return nullptr;
}

// What would let a request be two.
Result<void> check_request(const transport::Request& request) {
  if (!is_http_token(request.method)) return fail("\"" + one_line(request.method) + "\" is no method");
  if (request.method == "CONNECT") return fail("CONNECT is not a provider's to send");
  if (request.headers.size() > kMaxHeaders)
    return fail("more than " + std::to_string(kMaxHeaders) + " headers");
  for (const auto& [name, value] : request.headers) {
    if (!is_http_token(name)) return fail("\"" + one_line(name) + "\" is no header's name");
    if (const char* whose = not_its_to_send(name, value, request))
      return fail("the header \"" + one_line(name) + "\" " + whose);
    // A line break would begin another header. The value may be a secret and is not shown.
    if (value.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
      return fail("the header \"" + name + "\" has a line break in its value");
  }
  return {};
}

}  // namespace

Result<transport::Response> exchange(const Services* services, const std::vector<std::string>& hosts,
                                     transport::Request request, std::chrono::nanoseconds timeout,
                                     const Limits& limits) {
  const auto refuse = [](std::string why, ErrorKind kind) { return fail("http: " + std::move(why), kind); };
  if (auto good = check_request(request); !good) return refuse(good.error().message(), ErrorKind::kUsage);
  const auto target = url_host(request.url);
  if (!target) return refuse(target.error().message(), ErrorKind::kUsage);
  if (!host_allowed(*target, hosts)) {
    return refuse("the manifest does not allow requests to \"" + *target + "\", it allows " +
                      (hosts.empty() ? std::string("none") : join(hosts, ", ")),
                  ErrorKind::kRejected);
  }
  if (!services || !services->http)
    return refuse("there is no network for providers here", ErrorKind::kUnavailable);
  request.max_answer = kMaxAnswer;
  request.deadline = limits.deadline;
  const auto now = Clock::now();
  if (timeout.count() > 0 && request.deadline - now > timeout) request.deadline = now + timeout;
  auto response = services->http(std::move(request));
  if (response && response->body.size() > kMaxAnswer) {
    return refuse("\"" + *target + "\" answered with " + std::to_string(response->body.size()) +
                      " bytes, at most " + std::to_string(kMaxAnswer) + " are taken",
                  ErrorKind::kFailed);
  }
  return response;
}

void Host::serve(std::shared_ptr<const Services> services) {
  const std::lock_guard lock(mutex_);
  services_ = std::move(services);
}

std::shared_ptr<const Services> Host::services() const {
  const std::lock_guard lock(mutex_);
  return services_;
}

void Host::log(log::Level level, std::string_view message) const {
  const auto services = this->services();
  if (!services) return;
  if (!services->log && !log::enabled(level)) return;
  const std::string line = (provider_.empty() ? "" : "provider \"" + provider_ + "\": ") + one_line(message);
  services->log ? services->log(level, line) : log::write(level, line);
}

void Host::blame(std::uint64_t handle, const char* service) const {
  {
    const std::lock_guard lock(mutex_);
    for (Call* call : calls_) {
      if (call->handle_ == handle || call->sink_handle() == handle) {
        call->misuse_ = std::string("called ") + service +
                        (call == t_call ? " with a sink for a call, or a call for a sink"
                                        : " from another thread than the one it was called on");
        return;
      }
    }
  }
  log(log::Level::kWarn, std::string("called ") + service + " with the handle of a call that is over");
}

Call::Call(Host& host, const Limits& limits, const Parts& parts)
    : host_(host),
      handle_(g_next_handle.fetch_add(2, std::memory_order_relaxed)),
      outer_(t_call),
      limits_(limits),
      parts_(parts) {
  if (parts.secrets) secrets_.insert(parts.secrets->begin(), parts.secrets->end());
  const std::lock_guard lock(host_.mutex_);
  host_.calls_.push_back(this);
  t_call = this;
}

Call::~Call() {
  t_call = outer_;
  for (auto& [name, value] : secrets_) ::explicit_bzero(value.data(), value.size());
  const std::lock_guard lock(host_.mutex_);
  std::erase(host_.calls_, this);
}

bool Call::late() const {
  return limits_.deadline != Clock::time_point::max() && about_now() >= limits_.deadline;
}

Result<void> Call::outcome(std::int32_t code) const {
  {
    const std::lock_guard lock(host_.mutex_);
    if (!misuse_.empty()) return fail(misuse_, ErrorKind::kInvalid);
  }
  if (parts_.sink && parts_.sink->violation()) return fail(*parts_.sink->violation());
  const auto said = [&](ErrorKind kind) {
    Error error(told_ ? told_->message : sentence_for(code), kind);
    return told_ && told_->retryable ? std::move(error).hint("try again: it may work later")
                                     : std::move(error);
  };
  const bool dropped = cancelled();
  if (dropped || Clock::now() >= limits_.deadline) {
    const char* why = dropped ? "it was cancelled" : "its deadline has passed";
    const ErrorKind kind = dropped ? ErrorKind::kCancelled : ErrorKind::kTimeout;
    if (code == CNSPEC_OK || !told_) return fail(why, kind);
    return fail(Error::wrap(why, said(kind)));
  }
  if (code == CNSPEC_OK) return {};
  return fail(said(kind_of(code)).status(code == CNSPEC_UNSUPPORTED ? kUnimplemented : 0));
}

// The functions of the table. None lets an exception out; each doubts every pointer it gets.
struct HostServices {
  static Host& host(void* context) { return *static_cast<Host*>(context); }

  // The call that `handle` stands for, if it is this thread's.
  static Call* call(void* context, cnspec_call handle, const char* service) {
    Call* const c = t_call;
    if (c && c->handle_ == handle && &c->host_ == context) [[likely]]
      return c;
    host(context).blame(handle, service);
    return nullptr;
  }
  static Call* sink(void* context, cnspec_sink handle, const char* service) {
    Call* const c = t_call;
    if (c && c->sink_handle() == handle && &c->host_ == context && c->parts_.sink) [[likely]]
      return c;
    host(context).blame(handle, service);
    return nullptr;
  }

  static void told(Call& call, std::string message, bool retryable = false) {
    call.told_ = Call::Told{std::move(message), retryable};
  }

  static void log(void* context, std::uint32_t level, cnspec_str message) noexcept {
    constexpr log::Level kLevels[] = {log::Level::kTrace, log::Level::kDebug, log::Level::kInfo,
                                      log::Level::kWarn, log::Level::kError};
    try {
      host(context).log(kLevels[std::min<std::uint32_t>(level, CNSPEC_LOG_ERROR)], view(message));
    } catch (...) {
    }
  }

  static std::uint32_t cancelled(void* context, cnspec_call handle) noexcept {
    const Call* const mine = t_call;
    if (mine && mine->handle_ == handle) return mine->cancelled() || mine->late();
    const Host& h = host(context);
    const std::lock_guard lock(h.mutex_);
    for (const Call* call : h.calls_) {
      if (call->handle_ == handle) return call->cancelled() || call->late();
    }
    return 1;
  }

  static std::int64_t deadline(void* context, cnspec_call handle) noexcept {
    try {
      const Call* const c = call(context, handle, "deadline");
      if (!c) return 0;
      if (c->limits_.deadline == Clock::time_point::max()) return INT64_MAX;
      const auto left =
          std::chrono::duration_cast<std::chrono::nanoseconds>(c->limits_.deadline - Clock::now());
      return std::max<std::int64_t>(left.count(), 0);
    } catch (...) {
      return 0;
    }
  }

  static std::int32_t set_error(void* context, cnspec_call handle, const cnspec_error* error) noexcept {
    try {
      Call* const c = call(context, handle, "set_error");
      if (!c) return CNSPEC_STALE;
      if (!error || error->struct_size < sizeof *error) {
        host(context).log(log::Level::kWarn, "called set_error with a struct_size of " +
                                                 std::to_string(error ? error->struct_size : 0) +
                                                 ", expected " + std::to_string(sizeof *error));
        return CNSPEC_INVALID;
      }
      std::string message = one_line(view(error->message));
      if (message.empty()) return CNSPEC_INVALID;
      std::string details;
      for (std::uint64_t i = 0; error->details && i < std::min(error->detail_count, kMaxDetails); ++i) {
        const cnspec_pair& pair = error->details[i];
        details +=
            (details.empty() ? "" : ", ") + one_line(view(pair.key)) + ": " + one_line(view(pair.value));
      }
      if (!details.empty()) message += " (" + details + ")";
      told(*c, std::move(message), error->retryable != 0);
      return CNSPEC_OK;
    } catch (...) {
      return CNSPEC_FAILED;
    }
  }

  static std::int32_t config(void* context, cnspec_call handle, cnspec_str key, cnspec_value* out) noexcept {
    try {
      Call* const c = call(context, handle, "config");
      if (!c) return CNSPEC_STALE;
      if (!out) return CNSPEC_INVALID;
      *out = {};
      if (!c->parts_.config) return CNSPEC_NOT_FOUND;
      const auto it = c->parts_.config->find(view(key));
      if (it == c->parts_.config->end()) return CNSPEC_NOT_FOUND;
      *out = c->lowered_.add(it->second);
      return CNSPEC_OK;
    } catch (...) {
      return CNSPEC_FAILED;
    }
  }

  static std::int32_t secret(void* context, cnspec_call handle, cnspec_str key, cnspec_str* out) noexcept {
    try {
      Call* const c = call(context, handle, "secret");
      if (!c) return CNSPEC_STALE;
      if (!out) return CNSPEC_INVALID;
      *out = {};
      const auto it = c->secrets_.find(view(key));
      if (it == c->secrets_.end()) return CNSPEC_NOT_FOUND;
      *out = to_abi(it->second);
      return CNSPEC_OK;
    } catch (...) {
      return CNSPEC_FAILED;
    }
  }

  static std::int32_t http(void* context, cnspec_call handle, const cnspec_http_request* raw,
                           cnspec_http_response* answer) noexcept {
    try {
      Call* const c = call(context, handle, "http");
      if (!c) return CNSPEC_STALE;
      const auto refuse = [&](std::int32_t code, std::string message) {
        told(*c, std::move(message));
        return code;
      };
      if (!raw || raw->struct_size < sizeof *raw || !answer || answer->struct_size < sizeof *answer) {
        return refuse(CNSPEC_INVALID,
                      "http: the request or the answer has a struct_size smaller than that of ABI 1.0");
      }
      transport::Request request;
      if (auto good = read_request(copy_known(raw), request); !good) {
        return refuse(CNSPEC_INVALID, "http: " + good.error().message());
      }
      if (c->cancelled()) return CNSPEC_CANCELLED;
      if (Clock::now() >= c->limits_.deadline) return CNSPEC_TIMEOUT;
      const std::chrono::nanoseconds timeout(raw->timeout_ns);
      auto response =
          exchange(c->host_.services().get(), c->parts_.hosts, std::move(request), timeout, c->limits_);
      if (!response) return refuse(code_of(response.error().kind()), response.error().message());
      Call::Answer& kept = c->answers_.emplace_back(Call::Answer{std::move(*response), {}});
      for (const auto& [name, value] : kept.response.headers)
        kept.headers.push_back({to_abi(name), to_abi(value)});
      answer->status = static_cast<std::uint32_t>(kept.response.status);
      answer->headers = kept.headers.data();
      answer->header_count = kept.headers.size();
      answer->body = to_abi(kept.response.body);
      return CNSPEC_OK;
    } catch (...) {
      return CNSPEC_FAILED;
    }
  }

  static Result<void> read_request(const cnspec_http_request& raw, transport::Request& out) {
    if (raw.timeout_ns < 0) return fail("a negative timeout");
    if (raw.flags & ~std::uint32_t{CNSPEC_HTTP_INSECURE | CNSPEC_HTTP_NO_PROXY})
      return fail("an unknown flag");
    out.method = view(raw.method);
    out.url = view(raw.url);
    if (raw.header_count > kMaxHeaders) return fail("more than " + std::to_string(kMaxHeaders) + " headers");
    for (std::uint64_t i = 0; raw.headers && i < raw.header_count; ++i) {
      out.headers.emplace_back(view(raw.headers[i].key), view(raw.headers[i].value));
    }
    out.body = view(raw.body);
    out.insecure = (raw.flags & CNSPEC_HTTP_INSECURE) != 0;
    out.no_proxy = (raw.flags & CNSPEC_HTTP_NO_PROXY) != 0;
    return {};
  }

  // The sink's answer: once CANCELLED, always.
  template <class Work>
  static std::int32_t into_sink(void* context, cnspec_sink handle, const char* service,
                                Work&& work) noexcept {
    try {
      Call* const c = sink(context, handle, service);
      if (!c) return CNSPEC_SINK_STOP;
      if (c->stopped_) return CNSPEC_SINK_CANCELLED;
      try {
        return work(*c, *c->parts_.sink);
      } catch (const std::bad_alloc&) {
        return c->parts_.sink->violate("sent more than the memory of this machine holds");
      }
    } catch (...) {
      return CNSPEC_SINK_STOP;
    }
  }

  static std::int32_t row_begin(void* context, cnspec_sink handle, cnspec_str type, cnspec_str id) noexcept {
    return into_sink(context, handle, "row_begin", [&](Call& c, Sink& rows) -> std::int32_t {
      if (c.cancelled() || c.late()) {
        c.stopped_ = true;
        return CNSPEC_SINK_CANCELLED;
      }
      return rows.row_begin(type, id);
    });
  }

  static std::uint32_t field(void* context, cnspec_sink handle, cnspec_str name) noexcept {
    try {
      Call* const c = sink(context, handle, "field");
      return c ? c->parts_.sink->field(name) : UINT32_MAX;
    } catch (...) {
      return UINT32_MAX;
    }
  }

  static std::int32_t put(void* context, cnspec_sink handle, std::uint32_t field,
                          const cnspec_value* value) noexcept {
    return into_sink(context, handle, "put", [&](Call&, Sink& rows) -> std::int32_t {
      if (!value) return rows.violate("put a field without a value (NULL)");
      return rows.put(field, *value);
    });
  }

  static std::int32_t row_end(void* context, cnspec_sink handle) noexcept {
    return into_sink(context, handle, "row_end", [&](Call&, Sink& rows) { return rows.row_end(); });
  }
};

const cnspec_host_v1 kHostTable = {sizeof(cnspec_host_v1),  CNSPEC_ABI_MINOR,       HostServices::log,
                                   HostServices::cancelled, HostServices::deadline, HostServices::set_error,
                                   HostServices::config,    HostServices::secret,   HostServices::http,
                                   HostServices::row_begin, HostServices::field,    HostServices::put,
                                   HostServices::row_end};

}  // namespace cnspec::provider
