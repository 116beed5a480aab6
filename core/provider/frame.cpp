#include "provider/frame.hpp"

#include <string.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/text.hpp"
#include "provider/lower.hpp"

namespace cnspec::provider {
namespace {

constexpr int kMaxDepth = 33;  // one more than a sink takes, so that it is the sink that refuses it
constexpr std::size_t kMaxFieldNumbers = 4096;
constexpr std::size_t kLeastRead = 64 << 10;
constexpr std::size_t kMaxDoneMessage = 64 << 10;
constexpr std::uint32_t kMaxPairs = 4096;  // more than any request's headers, or connection's secrets
// As many as would fill a sink.
constexpr std::uint64_t kMaxValues = SinkLimits{}.bytes / sizeof(Value) + 1;

// Values that a pointer to nothing stands for, which a sink refuses in words of its own.
constexpr std::uint8_t kNoArray = 0xf0;
constexpr std::uint8_t kNoMap = 0xf1;
constexpr std::uint8_t kNoRef = 0xf2;
constexpr std::uint8_t kUnknownType = 0xff;

enum class RowOp : std::uint8_t { kBegin = 1, kField, kPut, kEnd, kViolate, kTooMuch };

// {NULL, n} counts as empty.
std::uint64_t size_of(cnspec_str s) { return s.data ? s.size : 0; }

Value owned(const cnspec_value& from) {
  Value to;
  to.type = from.type;
  switch (from.type) {
    case CNSPEC_BOOL:
    case CNSPEC_INT: to.data = from.as.i64; break;
    case CNSPEC_FLOAT: to.data = from.as.f64; break;
    case CNSPEC_RANGE: to.data = from.as.range; break;
    case CNSPEC_TIME: to.data = from.as.time; break;
    case CNSPEC_STRING:
    case CNSPEC_REGEX:
    case CNSPEC_VERSION:
    case CNSPEC_IP:
    case CNSPEC_ERROR:
    case CNSPEC_BYTES: to.data = std::string(view(from.as.str)); break;
    case CNSPEC_REF:
      if (!from.as.ref) return {};
      to.data = std::make_shared<const Ref>(
          Ref{std::string(view(from.as.ref->type)), std::string(view(from.as.ref->id))});
      break;
    case CNSPEC_ARRAY: {
      auto& items = to.data.emplace<Value::Array>();
      for (std::uint64_t i = 0; from.as.array.items && i < from.as.array.count; ++i)
        items.push_back(owned(from.as.array.items[i]));
      break;
    }
    case CNSPEC_MAP: {
      auto& entries = to.data.emplace<Value::Map>();
      for (std::uint64_t i = 0; from.as.map.entries && i < from.as.map.count; ++i) {
        const cnspec_entry& entry = from.as.map.entries[i];
        entries.emplace_back(std::string(view(entry.key)), owned(entry.value));
      }
      break;
    }
    default: return {};
  }
  return to;
}

void write_pairs(FrameWriter& frame, const transport::Headers& pairs) {
  frame.u32(static_cast<std::uint32_t>(pairs.size()));
  for (const auto& [key, value] : pairs) {
    frame.text(key);
    frame.text(value);
  }
}

transport::Headers read_pairs(FrameReader& frame) {
  transport::Headers out;
  const std::uint32_t count = frame.u32();
  if (count > kMaxPairs) return out;  // not read, and so the frame cannot be
  for (std::uint32_t left = count; left > 0 && frame.good(); --left) {
    std::string key(frame.text());
    out.emplace_back(std::move(key), frame.text());
  }
  return out;
}

void write_error(FrameWriter& frame, const Error& error) {
  frame.u8(static_cast<std::uint8_t>(error.kind()));
  frame.text(error.message().substr(0, kMaxDoneMessage));
  frame.text(error.hint().substr(0, kMaxDoneMessage));
}

std::optional<Error> read_error(FrameReader& frame) {
  const std::uint8_t kind = frame.u8();
  const std::string_view message = frame.text().substr(0, kMaxDoneMessage);
  const std::string_view hint = frame.text().substr(0, kMaxDoneMessage);
  if (!frame.good() || kind > static_cast<std::uint8_t>(ErrorKind::kInvalid)) return std::nullopt;
  return Error(printable(message), static_cast<ErrorKind>(kind)).hint(printable(hint));
}

}  // namespace

// ---- Writing ----

void FrameWriter::begin(FrameKind kind) {
  const FrameHeader header{0, kind, 0};
  bytes_.clear();
  raw(&header, sizeof header);
}

std::string_view FrameWriter::finish(std::uint32_t call) {
  FrameHeader header;
  std::memcpy(&header, bytes_.data(), sizeof header);
  header.size = static_cast<std::uint32_t>(payload());
  header.call = call;
  std::memcpy(bytes_.data(), &header, sizeof header);
  return bytes_;
}

void FrameWriter::text(std::string_view text) {
  u32(static_cast<std::uint32_t>(text.size()));
  bytes_.append(text);
}

void FrameWriter::texts(const std::vector<std::string>& all) {
  u32(static_cast<std::uint32_t>(all.size()));
  for (const std::string& one : all) text(one);
}

void FrameWriter::values(const std::map<std::string, Value, std::less<>>& all) {
  u32(static_cast<std::uint32_t>(all.size()));
  Lowered lowered;
  for (const auto& [name, one] : all) {
    text(name);
    value(lowered.add(one));
  }
}

void FrameWriter::wipe() { ::explicit_bzero(bytes_.data(), bytes_.size()); }

bool FrameWriter::value(const cnspec_value& v, int depth) {
  const auto fits = [&](std::uint64_t more) { return more < kMaxFrame && payload() + more < kMaxFrame; };
  const auto put_text = [&](cnspec_str s) {
    if (!fits(size_of(s))) return false;
    text(view(s));
    return true;
  };
  if (!fits(64)) return false;
  if (depth > kMaxDepth) return u8(CNSPEC_NULL), true;  // the sink does not look that deep
  const auto tag = [&](std::uint32_t type) { u8(static_cast<std::uint8_t>(type)); };
  switch (v.type) {
    case CNSPEC_NULL: return tag(v.type), true;
    case CNSPEC_BOOL:
    case CNSPEC_INT: return tag(v.type), i64(v.as.i64), true;
    case CNSPEC_FLOAT: return tag(v.type), raw(&v.as.f64, sizeof v.as.f64), true;
    case CNSPEC_TIME: return tag(v.type), i64(v.as.time.seconds), u32(v.as.time.nanoseconds), true;
    case CNSPEC_RANGE: return tag(v.type), raw(&v.as.range, sizeof v.as.range), true;
    case CNSPEC_STRING:
    case CNSPEC_REGEX:
    case CNSPEC_VERSION:
    case CNSPEC_IP:
    case CNSPEC_ERROR:
    case CNSPEC_BYTES: return tag(v.type), put_text(v.as.str);
    case CNSPEC_REF:
      if (!v.as.ref) return u8(kNoRef), true;
      tag(v.type);
      return put_text(v.as.ref->type) && put_text(v.as.ref->id);
    case CNSPEC_ARRAY: {
      const auto [items, count] = v.as.array;
      if (!items && count > 0) return u8(kNoArray), true;
      if (!fits(count)) return false;
      tag(v.type);
      u32(static_cast<std::uint32_t>(count));
      for (std::uint64_t i = 0; i < count; ++i) {
        if (!value(items[i], depth + 1)) return false;
      }
      return true;
    }
    case CNSPEC_MAP: {
      const auto [entries, count] = v.as.map;
      if (!entries && count > 0) return u8(kNoMap), true;
      if (!fits(count)) return false;
      tag(v.type);
      u32(static_cast<std::uint32_t>(count));
      for (std::uint64_t i = 0; i < count; ++i) {
        if (!put_text(entries[i].key) || !value(entries[i].value, depth + 1)) return false;
      }
      return true;
    }
    default: return u8(kUnknownType), true;
  }
}

// ---- Reading ----

template <class T>
T FrameReader::number() {
  T out{};
  if (rest_.size() < sizeof out) {
    spoil();
    return out;
  }
  std::memcpy(&out, rest_.data(), sizeof out);
  rest_.remove_prefix(sizeof out);
  return out;
}

void FrameReader::spoil() {
  good_ = false;
  rest_ = {};
}

std::uint32_t FrameReader::count(std::size_t each) {
  const std::uint32_t n = u32();
  if (n <= rest_.size() / each) return n;
  spoil();
  return 0;
}

bool FrameReader::take_values(std::uint64_t how_many) {
  if (how_many > kMaxValues - values_) {
    spoil();
    return false;
  }
  values_ += how_many;
  return true;
}

std::string_view FrameReader::text() {
  const std::uint32_t size = count(1);
  const std::string_view out = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return out;
}

std::vector<std::string> FrameReader::texts() {
  std::vector<std::string> out;
  for (std::uint32_t left = count(sizeof(std::uint32_t)); left > 0 && good_; --left) out.emplace_back(text());
  return out;
}

std::chrono::steady_clock::time_point FrameReader::time() {
  return std::chrono::steady_clock::time_point(std::chrono::steady_clock::duration(i64()));
}

std::map<std::string, Value, std::less<>> FrameReader::values() {
  std::map<std::string, Value, std::less<>> out;
  for (std::uint32_t left = count(sizeof(std::uint32_t)); left > 0 && good_; --left) {
    std::string name(text());
    out.insert_or_assign(std::move(name), owned(value()));
  }
  return out;
}

void FrameReader::forget_values() {
  arrays_.clear();
  maps_.clear();
  refs_.clear();
  values_ = 0;
}

cnspec_value FrameReader::value(int depth) {
  cnspec_value out{};
  const std::uint8_t tag = u8();
  if (depth > kMaxDepth + 1) spoil();
  if (!good_) return out;
  out.type = tag;
  switch (tag) {
    case CNSPEC_NULL: break;
    case CNSPEC_BOOL:
    case CNSPEC_INT: out.as.i64 = i64(); break;
    case CNSPEC_FLOAT: out.as.f64 = number<double>(); break;
    case CNSPEC_TIME:
      out.as.time.seconds = i64();
      out.as.time.nanoseconds = u32();
      break;
    case CNSPEC_RANGE: out.as.range = number<cnspec_range>(); break;
    case CNSPEC_STRING:
    case CNSPEC_REGEX:
    case CNSPEC_VERSION:
    case CNSPEC_IP:
    case CNSPEC_ERROR:
    case CNSPEC_BYTES: out.as.str = to_abi(text()); break;
    case CNSPEC_REF: {
      const std::string_view type = text();
      const std::string_view id = text();
      if (take_values(1)) out.as.ref = &refs_.emplace_back(cnspec_ref{to_abi(type), to_abi(id)});
      break;
    }
    case CNSPEC_ARRAY: {
      const std::uint32_t n = count(1);
      if (!take_values(n)) break;
      auto& items = arrays_.emplace_back();
      items.reserve(n);
      for (std::uint32_t i = 0; i < n && good_; ++i) items.push_back(value(depth + 1));
      out.as.array = {items.data(), items.size()};
      break;
    }
    case CNSPEC_MAP: {
      const std::uint32_t n = count(1 + sizeof(std::uint32_t));
      if (!take_values(n)) break;
      auto& entries = maps_.emplace_back();
      entries.reserve(n);
      for (std::uint32_t i = 0; i < n && good_; ++i) {
        const std::string_view key = text();
        entries.push_back({to_abi(key), value(depth + 1)});
      }
      out.as.map = {entries.data(), entries.size()};
      break;
    }
    case kNoRef: out.type = CNSPEC_REF; break;
    case kNoArray:
      out.type = CNSPEC_ARRAY;
      out.as.array = {nullptr, 1};
      break;
    case kNoMap:
      out.type = CNSPEC_MAP;
      out.as.map = {nullptr, 1};
      break;
    default: out.type = kUnknownType; break;
  }
  if (!good_) return cnspec_value{};
  return out;
}

std::pair<char*, std::size_t> FrameBuffer::room() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (size_ - end_ < kLeastRead) {
    const std::size_t kept = end_ - begin_;
    if (kept + kLeastRead <= size_) {
      std::memmove(bytes_.get(), bytes_.get() + begin_, kept);
    } else {
      // Doubled as the bytes arrive: a length alone makes nobody pay for it.
      size_ = std::max(4 * kLeastRead, 2 * size_);
      auto larger = std::make_unique_for_overwrite<char[]>(size_);
      if (kept > 0) std::memcpy(larger.get(), bytes_.get() + begin_, kept);
      bytes_ = std::move(larger);
    }
    begin_ = 0;
    end_ = kept;
  }
  return {bytes_.get() + end_, size_ - end_};
}

Result<std::optional<FrameBuffer::Frame>> FrameBuffer::next() {
  if (end_ - begin_ < sizeof(FrameHeader)) return std::nullopt;
  FrameHeader header;
  std::memcpy(&header, bytes_.get() + begin_, sizeof header);
  const auto kind = static_cast<std::uint32_t>(header.kind);
  if (kind < 1 || kind > kLastFrameKind)
    return fail("sent a frame of the unknown kind " + std::to_string(kind), ErrorKind::kInvalid);
  if (header.size > kMaxFrame) {
    return fail("sent a frame of " + std::to_string(header.size) + " bytes, at most " +
                    std::to_string(kMaxFrame) + " are taken",
                ErrorKind::kInvalid);
  }
  if (end_ - begin_ - sizeof header < header.size) return std::nullopt;
  const char* payload = bytes_.get() + begin_ + sizeof header;
  begin_ += sizeof header + header.size;
  return Frame{header.kind, header.call, {payload, header.size}};
}

void FrameBuffer::wipe() { ::explicit_bzero(bytes_.get(), begin_); }

// ---- What the frames say ----

void write_hello(FrameWriter& frame, const Hello* hello) {
  for (const char c : std::string_view(kFrameMagic)) frame.u8(static_cast<std::uint8_t>(c));
  frame.u32(kFrameVersion);
  if (!hello) return;
  frame.text(hello->name);
  frame.text(hello->path);
  frame.text(hello->sandbox.scratch);
  frame.texts(hello->sandbox.read);
  frame.texts(hello->sandbox.hidden);
  frame.texts(hello->sandbox.exec);
}

Result<void> read_hello(std::string_view payload, Hello* hello) {
  const std::string_view magic = kFrameMagic;
  if (!payload.starts_with(magic)) return fail("sent no greeting", ErrorKind::kInvalid);
  FrameReader frame(payload.substr(magic.size()));
  const std::uint32_t version = frame.u32();
  if (frame.good() && version != kFrameVersion) {
    return fail("speaks version " + std::to_string(version) + " of the protocol, expected " +
                    std::to_string(kFrameVersion),
                ErrorKind::kInvalid);
  }
  if (hello) {
    hello->name = frame.text();
    hello->path = frame.text();
    hello->sandbox.scratch = frame.text();
    hello->sandbox.read = frame.texts();
    hello->sandbox.hidden = frame.texts();
    hello->sandbox.exec = frame.texts();
  }
  if (!frame.finished()) return fail("sent a greeting that cannot be read", ErrorKind::kInvalid);
  return {};
}

void write_connect(FrameWriter& frame, std::uint64_t connection,
                   std::chrono::steady_clock::time_point deadline, const std::string& connector,
                   const ConnectRequest& request, const Config& config) {
  frame.u64(connection);
  frame.time(deadline);
  frame.text(connector);
  frame.texts(request.args);
  frame.values(config);
  frame.u32(static_cast<std::uint32_t>(request.secrets.size()));
  for (const auto& [name, secret] : request.secrets) {
    frame.text(name);
    frame.text(secret);
  }
}

std::optional<ConnectOrder> read_connect(std::string_view payload) {
  FrameReader frame(payload);
  ConnectOrder order;
  order.connection = frame.u64();
  order.deadline = frame.time();
  order.connector = frame.text();
  order.request.args = frame.texts();
  order.config = frame.values();
  for (auto& [name, secret] : read_pairs(frame)) order.request.secrets.emplace(name, std::move(secret));
  if (!frame.finished()) return std::nullopt;
  return order;
}

void write_call(FrameWriter& frame, const CallOrder& order) {
  frame.u64(order.connection);
  frame.time(order.deadline);
}

std::optional<CallOrder> read_call(std::string_view payload) {
  FrameReader frame(payload);
  CallOrder order;
  order.connection = frame.u64();
  order.deadline = frame.time();
  if (!frame.finished()) return std::nullopt;
  return order;
}

void write_fetch(FrameWriter& frame, const CallOrder& call, const FetchRequest& request,
                 const std::vector<std::string>& wanted) {
  write_call(frame, call);
  frame.text(request.type);
  frame.text(request.id);
  frame.texts(wanted);
  frame.values({request.args.begin(), request.args.end()});
}

std::optional<FetchOrder> read_fetch(std::string_view payload) {
  FrameReader frame(payload);
  FetchOrder order;
  order.call.connection = frame.u64();
  order.call.deadline = frame.time();
  order.request.type = frame.text();
  order.request.id = frame.text();
  order.request.fields = frame.texts();
  auto args = frame.values();
  order.request.args = {std::make_move_iterator(args.begin()), std::make_move_iterator(args.end())};
  if (!frame.finished()) return std::nullopt;
  return order;
}

void write_http(FrameWriter& frame, const transport::Request& request) {
  frame.text(request.method);
  frame.text(request.url);
  write_pairs(frame, request.headers);
  frame.text(request.body);
  frame.u8(request.insecure);
  frame.u8(request.no_proxy);
  frame.time(request.deadline);
}

std::optional<transport::Request> read_http(std::string_view payload) {
  FrameReader frame(payload);
  transport::Request request;
  request.method = frame.text();
  request.url = frame.text();
  request.headers = read_pairs(frame);
  request.body = frame.text();
  request.insecure = frame.u8() != 0;
  request.no_proxy = frame.u8() != 0;
  request.deadline = frame.time();
  if (!frame.finished()) return std::nullopt;
  return request;
}

void write_answer(FrameWriter& frame, const Result<transport::Response>& answer) {
  frame.u8(answer.has_value());
  if (!answer) return write_error(frame, answer.error());
  frame.u32(static_cast<std::uint32_t>(answer->status));
  write_pairs(frame, answer->headers);
  frame.text(answer->body);
}

std::optional<Result<transport::Response>> read_answer(std::string_view payload) {
  FrameReader frame(payload);
  std::optional<Result<transport::Response>> out;
  if (frame.u8()) {
    transport::Response response;
    response.status = static_cast<int>(frame.u32());
    response.headers = read_pairs(frame);
    response.body = frame.text();
    out.emplace(std::move(response));
  } else if (auto error = read_error(frame)) {
    out.emplace(fail(std::move(*error)));
  }
  if (!frame.finished()) return std::nullopt;
  return out;
}

void write_log(FrameWriter& frame, const LogLine& line) {
  frame.u8(static_cast<std::uint8_t>(line.level));
  frame.text(line.text);
}

std::optional<LogLine> read_log(std::string_view payload) {
  FrameReader frame(payload);
  const std::uint8_t level = frame.u8();
  const std::string_view text = frame.text();
  if (!frame.finished() || level > static_cast<std::uint8_t>(log::Level::kError)) return std::nullopt;
  return LogLine{static_cast<log::Level>(level), text};
}

void write_done(FrameWriter& frame, const Result<void>& outcome) {
  frame.u8(outcome.has_value());
  if (!outcome) write_error(frame, outcome.error());
}

std::optional<Result<void>> read_done(std::string_view payload) {
  FrameReader frame(payload);
  std::optional<Result<void>> out;
  if (frame.u8()) {
    out.emplace();
  } else if (auto error = read_error(frame)) {
    out.emplace(fail(std::move(*error)));
  }
  if (!frame.finished()) return std::nullopt;
  return out;
}

// ---- Rows ----

FrameSink::FrameSink(std::vector<std::string> wanted, std::uint32_t call,
                     std::function<bool(std::string_view)> send)
    : names_(std::move(wanted)), call_(call), send_(std::move(send)) {}

std::int32_t FrameSink::sent() {
  if (frame_.payload() >= kBatch) flush();
  return stopped_ ? CNSPEC_SINK_STOP : CNSPEC_SINK_CONTINUE;
}

void FrameSink::flush() {
  if (frame_.payload() == 0) return;
  if (!send_(frame_.finish(call_))) stopped_ = true;
  frame_.begin(FrameKind::kRows);
}

// What did not fit was half written, so the batch begins anew without it: the call has failed anyway.
std::int32_t FrameSink::too_much() {
  frame_.begin(FrameKind::kRows);
  frame_.u8(static_cast<std::uint8_t>(RowOp::kTooMuch));
  flush();
  stopped_ = true;
  return CNSPEC_SINK_STOP;
}

std::int32_t FrameSink::row_begin(cnspec_str type, cnspec_str id) {
  if (stopped_) return CNSPEC_SINK_STOP;
  if (size_of(type) > kMaxFrame / 4 || size_of(id) > kMaxFrame / 4) return too_much();
  frame_.u8(static_cast<std::uint8_t>(RowOp::kBegin));
  frame_.text(view(type));
  frame_.text(view(id));
  return sent();
}

std::uint32_t FrameSink::field(cnspec_str name) {
  for (std::size_t i = 0; i < names_.size(); ++i) {
    if (names_[i] == view(name)) return static_cast<std::uint32_t>(i);
  }
  if (stopped_) return UINT32_MAX;
  frame_.u8(static_cast<std::uint8_t>(RowOp::kField));
  frame_.text(view(name).substr(0, 256));  // a longer one is refused all the same
  names_.emplace_back(view(name).substr(0, 256));
  if (names_.size() > kMaxFieldNumbers) stopped_ = true, flush();
  return static_cast<std::uint32_t>(names_.size() - 1);
}

std::int32_t FrameSink::put(std::uint32_t field, const cnspec_value& value) {
  if (stopped_) return CNSPEC_SINK_STOP;
  frame_.u8(static_cast<std::uint8_t>(RowOp::kPut));
  frame_.u32(field);
  if (!frame_.value(value)) return too_much();
  return sent();
}

std::int32_t FrameSink::row_end() {
  if (stopped_) return CNSPEC_SINK_STOP;
  frame_.u8(static_cast<std::uint8_t>(RowOp::kEnd));
  return sent();
}

std::int32_t FrameSink::violate(std::string message) {
  if (stopped_) return CNSPEC_SINK_STOP;
  frame_.u8(static_cast<std::uint8_t>(RowOp::kViolate));
  frame_.text(message);
  flush();
  stopped_ = true;
  return CNSPEC_SINK_STOP;
}

bool replay_rows(std::string_view payload, RowSink& sink) {
  FrameReader frame(payload);
  while (!frame.at_end() && !sink.violation()) {
    switch (static_cast<RowOp>(frame.u8())) {
      case RowOp::kBegin: {
        const std::string_view type = frame.text();
        const std::string_view id = frame.text();
        if (frame.good()) sink.row_begin(to_abi(type), to_abi(id));
        break;
      }
      case RowOp::kField: {
        const std::string_view name = frame.text();
        if (frame.good()) sink.field(to_abi(name));
        break;
      }
      case RowOp::kPut: {
        const std::uint32_t field = frame.u32();
        const cnspec_value value = frame.value();
        if (frame.good()) sink.put(field, value);
        frame.forget_values();
        break;
      }
      case RowOp::kEnd: sink.row_end(); break;
      case RowOp::kViolate: {
        const std::string_view message = frame.text();
        if (frame.good()) sink.violate(printable(message.substr(0, 1024)));
        break;
      }
      case RowOp::kTooMuch: sink.too_much(); break;
      default: return false;
    }
  }
  return frame.good();
}

}  // namespace cnspec::provider
