// The C++20 layer over provider.h: what a provider's author writes against. Header-only.
//
//   class Hello : public cnspec::sdk::Connection {
//     void identify(Call&, Rows& rows) override { rows.begin("asset", "hello").put("name", "hello"); }
//     void fetch(Call&, const FetchRequest&, Rows& rows) override { ... }
//   };
//   class HelloProvider : public cnspec::sdk::Provider {
//     std::unique_ptr<Connection> connect(Call&, const ConnectRequest&) override { ... }
//   };
//   CNSPEC_PROVIDER(HelloProvider)
//
// A failure is thrown: Error says which code and why. Nothing thrown ever crosses the ABI. When the host
// wants no more rows (cancelled, deadline, enough), begin() throws Stopped; let it pass through.
#pragma once

#include <algorithm>
#include <chrono>
#include <concepts>
#include <cstring>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "cnspec/provider.h"

namespace cnspec::sdk {

inline cnspec_str to_abi(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view view(cnspec_str text) {
  return text.data ? std::string_view(text.data, text.size) : std::string_view();
}

// ---- Errors ----

class Error : public std::runtime_error {
 public:
  // `code` is CNSPEC_FAILED, CNSPEC_UNAUTHENTICATED, ...; the message never holds a secret.
  Error(int32_t code, const std::string& message) : std::runtime_error(message), code_(code) {}
  explicit Error(const std::string& message) : Error(CNSPEC_FAILED, message) {}

  Error&& retryable() && {
    retryable_ = true;
    return std::move(*this);
  }
  Error&& detail(std::string key, std::string value) && {
    details_.emplace_back(std::move(key), std::move(value));
    return std::move(*this);
  }

  int32_t code() const { return code_; }
  bool is_retryable() const { return retryable_; }
  const std::vector<std::pair<std::string, std::string>>& details() const { return details_; }

 private:
  int32_t code_;
  bool retryable_ = false;
  std::vector<std::pair<std::string, std::string>> details_;
};

// The host answered that it wants no more, or a service failed and has said why itself. Not for catching.
struct Stopped {
  int32_t code;
};

// ---- Values ----

struct Regex {
  std::string text;
};
struct Version {
  std::string text;
};
struct Ip {
  std::string text;
};
struct Bytes {
  std::string bytes;
};
struct Ref {
  std::string type;
  std::string id;
};
struct FieldError {
  std::string message;
};  // this field could not be had; the row's others stand

inline cnspec_time to_abi(std::chrono::system_clock::time_point when) {
  const auto since = when.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  const auto rest = std::chrono::duration_cast<std::chrono::nanoseconds>(since - seconds);
  return {seconds.count(), static_cast<uint32_t>(rest.count()), 0};
}

// A duration is a time counted from year 0.
inline cnspec_time duration(int64_t seconds, uint32_t nanoseconds = 0) {
  return {-62167219200 + seconds, nanoseconds, 0};
}

namespace detail {
template <class T>
concept Integer = std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char>;
}  // namespace detail

// Any value, nested at will; for scalars use Rows::put directly, which copies nothing.
class Value {
 public:
  using Array = std::vector<Value>;
  using Map = std::vector<std::pair<std::string, Value>>;

  Value() = default;
  Value(std::nullptr_t) {}
  Value(std::same_as<bool> auto b) : data_(b) {}  // a pointer is no truth
  Value(detail::Integer auto i) : data_(static_cast<int64_t>(i)) {}
  Value(double d) : data_(d) {}
  Value(const char* s) : data_(std::string(s)) {}
  Value(std::string_view s) : data_(std::string(s)) {}
  Value(std::string s) : data_(std::move(s)) {}
  Value(Regex v) : data_(std::move(v)) {}
  Value(Version v) : data_(std::move(v)) {}
  Value(Ip v) : data_(std::move(v)) {}
  Value(Bytes v) : data_(std::move(v)) {}
  Value(Ref v) : data_(std::move(v)) {}
  Value(FieldError v) : data_(std::move(v)) {}
  Value(cnspec_time v) : data_(v) {}
  Value(cnspec_range v) : data_(v) {}
  Value(Array v) : data_(std::move(v)) {}
  Value(Map v) : data_(std::move(v)) {}
  Value(const std::vector<std::string>& v) : data_(Array(v.begin(), v.end())) {}

  using Data = std::variant<std::nullptr_t, bool, int64_t, double, std::string, Regex, Version, Ip, Bytes,
                            Ref, FieldError, cnspec_time, cnspec_range, Array, Map>;
  const Data& data() const { return data_; }

 private:
  Data data_ = nullptr;
};

namespace detail {

// Holds the C arrays of a nested value for as long as the host copies it.
class Lowered {
 public:
  explicit Lowered(const Value& value) : value_(lower(value)) {}
  const cnspec_value* get() const { return &value_; }

 private:
  static cnspec_value text(uint32_t type, std::string_view s) {
    cnspec_value out{};
    out.type = type;
    out.as.str = to_abi(s);
    return out;
  }

  cnspec_value lower(const Value& value) {
    return std::visit([this](const auto& v) { return lower_one(v); }, value.data());
  }
  cnspec_value lower_one(std::nullptr_t) { return text(CNSPEC_NULL, {}); }
  cnspec_value lower_one(bool b) { return lower_int(CNSPEC_BOOL, b ? 1 : 0); }
  cnspec_value lower_one(int64_t i) { return lower_int(CNSPEC_INT, i); }
  cnspec_value lower_one(double d) {
    cnspec_value out{};
    out.type = CNSPEC_FLOAT;
    out.as.f64 = d;
    return out;
  }
  cnspec_value lower_one(const std::string& s) { return text(CNSPEC_STRING, s); }
  cnspec_value lower_one(const Regex& v) { return text(CNSPEC_REGEX, v.text); }
  cnspec_value lower_one(const Version& v) { return text(CNSPEC_VERSION, v.text); }
  cnspec_value lower_one(const Ip& v) { return text(CNSPEC_IP, v.text); }
  cnspec_value lower_one(const Bytes& v) { return text(CNSPEC_BYTES, v.bytes); }
  cnspec_value lower_one(const FieldError& v) { return text(CNSPEC_ERROR, v.message); }
  cnspec_value lower_one(const Ref& v) {
    refs_.push_back(std::make_unique<cnspec_ref>(cnspec_ref{to_abi(v.type), to_abi(v.id)}));
    cnspec_value out{};
    out.type = CNSPEC_REF;
    out.as.ref = refs_.back().get();
    return out;
  }
  cnspec_value lower_one(const cnspec_time& v) {
    cnspec_value out{};
    out.type = CNSPEC_TIME;
    out.as.time = v;
    return out;
  }
  cnspec_value lower_one(const cnspec_range& v) {
    cnspec_value out{};
    out.type = CNSPEC_RANGE;
    out.as.range = v;
    return out;
  }
  cnspec_value lower_one(const Value::Array& items) {
    std::vector<cnspec_value> lowered;
    lowered.reserve(items.size());
    for (const Value& item : items) lowered.push_back(lower(item));
    arrays_.push_back(std::move(lowered));
    cnspec_value out{};
    out.type = CNSPEC_ARRAY;
    out.as.array = {arrays_.back().data(), arrays_.back().size()};
    return out;
  }
  cnspec_value lower_one(const Value::Map& entries) {
    std::vector<cnspec_entry> lowered;
    lowered.reserve(entries.size());
    for (const auto& [key, item] : entries) lowered.push_back({to_abi(key), lower(item)});
    maps_.push_back(std::move(lowered));
    cnspec_value out{};
    out.type = CNSPEC_MAP;
    out.as.map = {maps_.back().data(), maps_.back().size()};
    return out;
  }
  static cnspec_value lower_int(uint32_t type, int64_t i) {
    cnspec_value out{};
    out.type = type;
    out.as.i64 = i;
    return out;
  }

  // Moving an inner vector keeps its elements where they are, so the pointers into it hold.
  std::vector<std::vector<cnspec_value>> arrays_;
  std::vector<std::vector<cnspec_entry>> maps_;
  std::vector<std::unique_ptr<cnspec_ref>> refs_;
  cnspec_value value_;
};

// What the host gave to open, shared by everything the provider makes.
struct Host {
  cnspec_host_v1 table;
  void* context;
};

}  // namespace detail

// ---- HTTP ----

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  uint32_t flags = 0;                     // CNSPEC_HTTP_INSECURE, CNSPEC_HTTP_NO_PROXY
  std::chrono::nanoseconds timeout = {};  // zero: until the call's deadline
};

struct HttpResponse {
  uint32_t status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;

  std::string_view header(std::string_view lower_case_name) const {
    for (const auto& [name, value] : headers) {
      if (name == lower_case_name) return value;
    }
    return {};
  }
};

// ---- The call: the host's services, valid until the function it was given to returns ----

class Call {
 public:
  Call(const detail::Host& host, cnspec_call call) : host_(host), call_(call) {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  void log(uint32_t level, std::string_view message) const {
    host_.table.log(host_.context, level, to_abi(message));
  }
  bool cancelled() const { return host_.table.cancelled(host_.context, call_) != 0; }
  std::chrono::nanoseconds remaining() const {
    return std::chrono::nanoseconds(host_.table.deadline(host_.context, call_));
  }

  // A flag as text; nothing when it is unset. Throws for a flag the manifest does not declare.
  std::optional<std::string> config(std::string_view flag) const {
    const cnspec_value value = config_value(flag);
    switch (value.type) {
      case CNSPEC_STRING: return std::string(view(value.as.str));
      case CNSPEC_INT: return std::to_string(value.as.i64);
      case CNSPEC_BOOL: return value.as.i64 ? "true" : "false";
      default: return std::nullopt;
    }
  }
  bool config_bool(std::string_view flag) const {
    const cnspec_value value = config_value(flag);
    return value.type == CNSPEC_BOOL && value.as.i64 != 0;
  }
  std::vector<std::string> config_list(std::string_view flag) const {
    const cnspec_value value = config_value(flag);
    std::vector<std::string> out;
    if (value.type != CNSPEC_ARRAY) return out;
    for (uint64_t i = 0; i < value.as.array.count; ++i)
      out.emplace_back(view(value.as.array.items[i].as.str));
    return out;
  }

  // A flag marked secret; nothing when it is unset. Wipe it when it has served.
  std::optional<std::string> secret(std::string_view flag) const {
    cnspec_str out{};
    if (host_.table.secret(host_.context, call_, to_abi(flag), &out) != CNSPEC_OK) return std::nullopt;
    return std::string(view(out));
  }

  // Throws Stopped when no answer came; the host has then said why.
  HttpResponse http(const HttpRequest& request) const {
    HttpResponse out;
    if (const int32_t code = try_http(request, out); code != CNSPEC_OK) throw Stopped{code};
    return out;
  }
  // The same for a request that may fail: the code, CNSPEC_OK when an answer came.
  int32_t try_http(const HttpRequest& request, HttpResponse& out) const {
    std::vector<cnspec_pair> headers;
    headers.reserve(request.headers.size());
    for (const auto& [name, value] : request.headers) headers.push_back({to_abi(name), to_abi(value)});
    cnspec_http_request raw{};
    raw.struct_size = sizeof raw;
    raw.flags = request.flags;
    raw.method = to_abi(request.method);
    raw.url = to_abi(request.url);
    raw.headers = headers.data();
    raw.header_count = headers.size();
    raw.body = to_abi(request.body);
    raw.timeout_ns = request.timeout.count();
    cnspec_http_response answer{};
    answer.struct_size = sizeof answer;
    const int32_t code = host_.table.http(host_.context, call_, &raw, &answer);
    if (code != CNSPEC_OK) return code;
    out.status = answer.status;
    for (uint64_t i = 0; i < answer.header_count; ++i) {
      out.headers.emplace_back(view(answer.headers[i].key), view(answer.headers[i].value));
    }
    out.body = view(answer.body);
    return CNSPEC_OK;
  }

  void set_error(std::string_view message, bool retryable = false, const cnspec_pair* details = nullptr,
                 uint64_t detail_count = 0) const {
    cnspec_error error{};
    error.struct_size = sizeof error;
    error.retryable = retryable ? 1 : 0;
    error.message = to_abi(message);
    error.details = details;
    error.detail_count = detail_count;
    host_.table.set_error(host_.context, call_, &error);
  }

 private:
  cnspec_value config_value(std::string_view flag) const {
    cnspec_value out{};
    const int32_t code = host_.table.config(host_.context, call_, to_abi(flag), &out);
    if (code == CNSPEC_NOT_FOUND) {
      throw Error(CNSPEC_INVALID,
                  "no flag \"" + std::string(flag) + "\" is declared in provider.yaml, or it is a secret");
    }
    if (code != CNSPEC_OK) throw Stopped{code};
    return out;
  }

  const detail::Host& host_;
  cnspec_call call_;
};

// ---- The sink ----

class Rows;

// One row, handed over when it goes out of scope or at the end of the statement.
class Row {
 public:
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;
  ~Row();

  Row& put(std::string_view field, std::nullptr_t) {
    cnspec_value v{};
    v.type = CNSPEC_NULL;
    return raw(field, v);
  }
  Row& put(std::string_view field, std::same_as<bool> auto b) {
    return integer(field, CNSPEC_BOOL, b ? 1 : 0);
  }
  Row& put(std::string_view field, detail::Integer auto i) {
    return integer(field, CNSPEC_INT, static_cast<int64_t>(i));
  }
  Row& put(std::string_view field, double d) {
    cnspec_value v{};
    v.type = CNSPEC_FLOAT;
    v.as.f64 = d;
    return raw(field, v);
  }
  Row& put(std::string_view field, std::string_view s) {
    cnspec_value v{};
    v.type = CNSPEC_STRING;
    v.as.str = to_abi(s);
    return raw(field, v);
  }
  Row& put(std::string_view field, const char* s) { return put(field, std::string_view(s)); }
  Row& put(std::string_view field, const std::string& s) { return put(field, std::string_view(s)); }
  Row& put(std::string_view field, const cnspec_time& t) {
    cnspec_value v{};
    v.type = CNSPEC_TIME;
    v.as.time = t;
    return raw(field, v);
  }
  Row& put(std::string_view field, const Value& value) { return raw(field, *detail::Lowered(value).get()); }

 private:
  friend class Rows;
  explicit Row(Rows& rows) : rows_(rows) {}
  Row& raw(std::string_view field, const cnspec_value& value);
  Row& integer(std::string_view field, uint32_t type, int64_t i) {
    cnspec_value v{};
    v.type = type;
    v.as.i64 = i;
    return raw(field, v);
  }
  Rows& rows_;
  int exceptions_ = std::uncaught_exceptions();
};

class Rows {
 public:
  Rows(const detail::Host& host, cnspec_sink sink) : host_(host), sink_(sink) {}
  Rows(const Rows&) = delete;
  Rows& operator=(const Rows&) = delete;

  // Starts a row; throws Stopped when the host wants no more.
  [[nodiscard]] Row begin(std::string_view type, std::string_view id) {
    check(answer_);
    check(host_.table.row_begin(host_.context, sink_, to_abi(type), to_abi(id)));
    return Row(*this);
  }

 private:
  friend class Row;

  static void check(int32_t answer) {
    if (answer == CNSPEC_SINK_CONTINUE) return;
    throw Stopped{answer == CNSPEC_SINK_STOP ? CNSPEC_OK : CNSPEC_CANCELLED};
  }

  // Most rows put the same few fields: a short list beats a hash. Literals are recognised by their address.
  uint32_t number_of(std::string_view field) {
    for (const auto& [name, number] : fields_) {
      if (name.size() == field.size() && std::memcmp(name.data(), field.data(), field.size()) == 0)
        return number;
    }
    const uint32_t number = host_.table.field(host_.context, sink_, to_abi(field));
    fields_.emplace_back(field, number);
    return number;
  }

  void put(std::string_view field, const cnspec_value& value) {
    if (answer_ == CNSPEC_SINK_CONTINUE) {
      answer_ = host_.table.put(host_.context, sink_, number_of(field), &value);
    }
  }
  void end() {
    if (answer_ == CNSPEC_SINK_CONTINUE) answer_ = host_.table.row_end(host_.context, sink_);
  }

  const detail::Host& host_;
  cnspec_sink sink_;
  int32_t answer_ = CNSPEC_SINK_CONTINUE;  // what the host said last; kept until the next begin can throw it
  std::vector<std::pair<std::string, uint32_t>> fields_;
};

// A row whose making failed half-way is not handed over.
inline Row::~Row() {
  if (std::uncaught_exceptions() == exceptions_) rows_.end();
}
inline Row& Row::raw(std::string_view field, const cnspec_value& value) {
  rows_.put(field, value);
  return *this;
}

// ---- What an author implements ----

struct ConnectRequest {
  std::string_view connector;
  std::vector<std::string_view> args;
};

struct FetchRequest {
  std::string_view type;
  std::string_view id;  // empty: all
  std::vector<std::string_view> fields;
  std::vector<std::pair<std::string_view, cnspec_value>> args;

  // Whether somebody will read this field. With no fields named, only those that cost nothing are wanted.
  bool wants(std::string_view field) const {
    return std::find(fields.begin(), fields.end(), field) != fields.end();
  }
  // The string argument of that name; nothing when it is absent or of another type.
  std::optional<std::string_view> arg(std::string_view name) const {
    for (const auto& [key, value] : args) {
      if (key == name && value.type == CNSPEC_STRING) return view(value.as.str);
    }
    return std::nullopt;
  }
};

class Connection {
 public:
  virtual ~Connection() = default;
  virtual void identify(Call& call, Rows& rows) = 0;
  virtual void fetch(Call& call, const FetchRequest& request, Rows& rows) = 0;
};

class Provider {
 public:
  virtual ~Provider() = default;
  virtual std::unique_ptr<Connection> connect(Call& call, const ConnectRequest& request) = 0;
};

// ---- From the ABI to the classes ----

namespace detail {

// Runs `work` and turns whatever it throws into a code and, through the host, a message.
template <class Work>
int32_t guarded(const Call& call, Work&& work) noexcept {
  try {
    work();
    return CNSPEC_OK;
  } catch (const Stopped& stopped) {
    return stopped.code;
  } catch (const Error& error) {
    try {
      std::vector<cnspec_pair> details;
      for (const auto& [key, value] : error.details()) details.push_back({to_abi(key), to_abi(value)});
      call.set_error(error.what(), error.is_retryable(), details.data(), details.size());
    } catch (...) {
      call.set_error(error.what());
    }
    return error.code() == CNSPEC_OK ? CNSPEC_FAILED : error.code();
  } catch (const std::bad_alloc&) {
    call.set_error("out of memory");
  } catch (const std::exception& error) {
    call.set_error(error.what());
  } catch (...) {
    call.set_error("an exception of an unknown type");
  }
  return CNSPEC_FAILED;
}

struct Instance {
  Host host;
  std::unique_ptr<Provider> provider;
};

struct Link {
  const Host& host;
  std::unique_ptr<Connection> connection;
};

template <class P>
struct Entry {
  static int32_t open(const cnspec_host_v1* table, void* context, cnspec_call call, void** out) noexcept {
    // A newer host's table is copied as far as it is known here; there is none smaller than that of 1.0.
    Host host{};
    if (table->struct_size < sizeof host.table) return CNSPEC_UNSUPPORTED;
    std::memcpy(&host.table, table, std::min<std::size_t>(table->struct_size, sizeof host.table));
    host.context = context;
    return guarded(Call(host, call), [&] {
      auto instance = std::make_unique<Instance>(Instance{host, nullptr});
      instance->provider = std::make_unique<P>();
      *out = instance.release();
    });
  }

  static int32_t connect(void* self, cnspec_call raw, const cnspec_connect_request* request,
                         void** out) noexcept {
    auto& instance = *static_cast<Instance*>(self);
    Call call(instance.host, raw);
    return guarded(call, [&] {
      ConnectRequest wanted;
      wanted.connector = view(request->connector);
      for (uint64_t i = 0; i < request->arg_count; ++i) wanted.args.push_back(view(request->args[i]));
      auto connection = instance.provider->connect(call, wanted);
      if (!connection) throw Error("the provider's connect returned no connection");
      *out = new Link{instance.host, std::move(connection)};
    });
  }

  static int32_t identify(void* self, cnspec_call raw, cnspec_sink sink) noexcept {
    auto& link = *static_cast<Link*>(self);
    Call call(link.host, raw);
    return guarded(call, [&] {
      Rows rows(link.host, sink);
      link.connection->identify(call, rows);
    });
  }

  static int32_t fetch(void* self, cnspec_call raw, const cnspec_fetch_request* request,
                       cnspec_sink sink) noexcept {
    auto& link = *static_cast<Link*>(self);
    Call call(link.host, raw);
    return guarded(call, [&] {
      FetchRequest wanted;
      wanted.type = view(request->type);
      wanted.id = view(request->id);
      for (uint64_t i = 0; i < request->field_count; ++i) wanted.fields.push_back(view(request->fields[i]));
      for (uint64_t i = 0; i < request->arg_count; ++i) {
        wanted.args.emplace_back(view(request->args[i].key), request->args[i].value);
      }
      Rows rows(link.host, sink);
      link.connection->fetch(call, wanted, rows);
    });
  }

  static void disconnect(void* self) noexcept { delete static_cast<Link*>(self); }
  static void close(void* self) noexcept { delete static_cast<Instance*>(self); }
};

}  // namespace detail
}  // namespace cnspec::sdk

// Exports the entry function for the class `P`. Include the generated manifest.h first: it has the manifest.
#define CNSPEC_PROVIDER(P)                                                                \
  extern "C" CNSPEC_EXPORT const cnspec_provider_v1* cnspec_provider_entry_v1(uint32_t) { \
    using Entry = ::cnspec::sdk::detail::Entry<P>;                                        \
    static constexpr cnspec_provider_v1 table = {sizeof(cnspec_provider_v1),              \
                                                 CNSPEC_ABI_MINOR,                        \
                                                 CNSPEC_MANIFEST,                         \
                                                 Entry::open,                             \
                                                 Entry::connect,                          \
                                                 Entry::identify,                         \
                                                 Entry::fetch,                            \
                                                 Entry::disconnect,                       \
                                                 Entry::close,                            \
                                                 nullptr};                                \
    return &table;                                                                        \
  }
