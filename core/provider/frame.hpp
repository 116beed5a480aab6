// What goes over the socket between the program and the process of an isolated provider: frames of a length,
// a kind and a payload. Both ends are on one machine and of one build, so numbers are sent as they are; the
// version is there to say so when they are not. Whatever is read here is doubted: nothing reads beyond its
// frame, allocates more than a bounded multiple of it or nests deeper than values may.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "cnspec/provider.h"
#include "provider/provider.hpp"
#include "provider/request.hpp"
#include "provider/sandbox.hpp"
#include "provider/sink.hpp"
#include "transport/transport.hpp"

namespace cnspec::provider {

inline constexpr char kFrameMagic[] = "CNSPECPH";
inline constexpr std::uint32_t kFrameVersion = 1;
// The largest payload: one value may be as large as all that a sink takes.
inline constexpr std::uint32_t kMaxFrame = (256u << 20) + (1u << 20);
// Rows are sent when so many bytes of them are together.
inline constexpr std::size_t kBatch = 64 << 10;

enum class FrameKind : std::uint32_t {
  kHello = 1,  // the first from both sides
  // From the program. Each is answered by a kDone.
  kOpen,
  kConnect,
  kIdentify,
  kFetch,
  kDisconnect,
  kClose,
  // From the provider's process, while it answers.
  kRows,
  kLog,
  kHttp,
  kDone,
  // From the program: the answer to a kHttp.
  kAnswer,
};
inline constexpr std::uint32_t kLastFrameKind = static_cast<std::uint32_t>(FrameKind::kAnswer);

struct FrameHeader {
  std::uint32_t size;  // of the payload, in bytes
  FrameKind kind;
  std::uint32_t call;  // the number of the order that this is, or belongs to
};

// Builds one frame.
class FrameWriter {
 public:
  explicit FrameWriter(FrameKind kind) { begin(kind); }

  void begin(FrameKind kind);
  // The whole frame, its header filled.
  std::string_view finish(std::uint32_t call);
  std::size_t size() const { return bytes_.size(); }
  std::size_t payload() const { return bytes_.size() - sizeof(FrameHeader); }

  void u8(std::uint8_t number) { bytes_.push_back(static_cast<char>(number)); }
  void u32(std::uint32_t number) { raw(&number, sizeof number); }
  void u64(std::uint64_t number) { raw(&number, sizeof number); }
  void i64(std::int64_t number) { raw(&number, sizeof number); }
  void text(std::string_view text);
  void texts(const std::vector<std::string>& all);
  void time(std::chrono::steady_clock::time_point when) { i64(when.time_since_epoch().count()); }
  // False when it is too large for a frame; then the frame is of no use.
  bool value(const cnspec_value& value, int depth = 0);
  void values(const std::map<std::string, Value, std::less<>>& all);
  // Overwrites what was built, which may be a secret.
  void wipe();

 private:
  void raw(const void* data, std::size_t size) { bytes_.append(static_cast<const char*>(data), size); }

  std::string bytes_;
};

// Reads one payload. After a read beyond the end, or of something impossible, it is no longer good() and all
// that it answers is empty.
class FrameReader {
 public:
  explicit FrameReader(std::string_view payload) : rest_(payload) {}

  bool good() const { return good_; }
  bool at_end() const { return rest_.empty(); }
  // Good, and nothing is left.
  bool finished() const { return good_ && rest_.empty(); }

  std::uint8_t u8() { return number<std::uint8_t>(); }
  std::uint32_t u32() { return number<std::uint32_t>(); }
  std::uint64_t u64() { return number<std::uint64_t>(); }
  std::int64_t i64() { return number<std::int64_t>(); }
  std::string_view text();
  std::vector<std::string> texts();
  std::chrono::steady_clock::time_point time();
  // Points into the payload and into this reader.
  cnspec_value value(int depth = 0);
  std::map<std::string, Value, std::less<>> values();
  // Forgets the values that it read, which no longer may be used.
  void forget_values();

 private:
  template <class T>
  T number();
  // How many things of at least `each` bytes follow.
  std::uint32_t count(std::size_t each);
  bool take_values(std::uint64_t how_many);
  void spoil();

  std::string_view rest_;
  bool good_ = true;
  std::uint64_t values_ = 0;
  std::deque<std::vector<cnspec_value>> arrays_;
  std::deque<std::vector<cnspec_entry>> maps_;
  std::deque<cnspec_ref> refs_;
};

// Puts frames together from the bytes of a stream.
class FrameBuffer {
 public:
  struct Frame {
    FrameKind kind;
    std::uint32_t call;
    std::string_view payload;  // until the next call
  };

  // Where to read the next bytes to, and how many at most.
  std::pair<char*, std::size_t> room();
  void filled(std::size_t bytes) { end_ += bytes; }
  // Nothing when there is no whole frame yet; an error (kInvalid) for what is none.
  Result<std::optional<Frame>> next();
  // Overwrites the frames that were answered, which may have held secrets.
  void wipe();

 private:
  // Not a vector, which would fill what nobody has read yet, and so make it memory that is used.
  std::unique_ptr<char[]> bytes_;
  std::size_t size_ = 0;
  std::size_t begin_ = 0, end_ = 0;
};

// ---- What the frames say. Each read answers nothing for a payload that is not what its kind says. ----

// From the program; the other side's hello is the same without a body.
struct Hello {
  std::string name;  // the provider's
  std::string path;  // of its library, for errors
  Sandbox sandbox;
};
void write_hello(FrameWriter& frame, const Hello* hello);
// An error says that the other side is another version, or none at all. `hello` null: without a body.
Result<void> read_hello(std::string_view payload, Hello* hello);

struct ConnectOrder {
  std::uint64_t connection = 0;
  std::chrono::steady_clock::time_point deadline;
  std::string connector;
  ConnectRequest request;  // args and secrets alone
  Config config;
};
void write_connect(FrameWriter& frame, std::uint64_t connection,
                   std::chrono::steady_clock::time_point deadline, const std::string& connector,
                   const ConnectRequest& request, const Config& config);
std::optional<ConnectOrder> read_connect(std::string_view payload);

// Of open (0), identify, disconnect and close (0).
struct CallOrder {
  std::uint64_t connection = 0;
  std::chrono::steady_clock::time_point deadline;
};
void write_call(FrameWriter& frame, const CallOrder& order);
std::optional<CallOrder> read_call(std::string_view payload);

struct FetchOrder {
  CallOrder call;
  FetchRequest request;  // its fields are the wanted ones
};
void write_fetch(FrameWriter& frame, const CallOrder& call, const FetchRequest& request,
                 const std::vector<std::string>& wanted);
std::optional<FetchOrder> read_fetch(std::string_view payload);

// With the request's deadline; what it leaves open is the receiver's to decide.
void write_http(FrameWriter& frame, const transport::Request& request);
std::optional<transport::Request> read_http(std::string_view payload);

void write_answer(FrameWriter& frame, const Result<transport::Response>& answer);
std::optional<Result<transport::Response>> read_answer(std::string_view payload);

struct LogLine {
  log::Level level;
  std::string_view text;
};
void write_log(FrameWriter& frame, const LogLine& line);
std::optional<LogLine> read_log(std::string_view payload);

void write_done(FrameWriter& frame, const Result<void>& outcome);
std::optional<Result<void>> read_done(std::string_view payload);

// The sink in the provider's process: rows become frames, and are judged on the other side.
class FrameSink final : public Sink {
 public:
  // `send` takes a whole frame; false: there is nobody left to send to.
  FrameSink(std::vector<std::string> wanted, std::uint32_t call, std::function<bool(std::string_view)> send);

  std::int32_t row_begin(cnspec_str type, cnspec_str id) override;
  std::uint32_t field(cnspec_str name) override;
  std::int32_t put(std::uint32_t field, const cnspec_value& value) override;
  std::int32_t row_end() override;
  std::int32_t violate(std::string message) override;
  // Never one: the other side knows.
  const std::optional<Error>& violation() const override { return none_; }

  // Sends what is left.
  void flush();

 private:
  std::int32_t sent();
  std::int32_t too_much();

  std::vector<std::string> names_;
  const std::uint32_t call_;
  const std::function<bool(std::string_view)> send_;
  FrameWriter frame_{FrameKind::kRows};
  bool stopped_ = false;
  const std::optional<Error> none_;
};

// Plays a kRows into the sink. False when it is none; what the provider did wrong is the sink's to know, and
// then the rest is not looked at.
bool replay_rows(std::string_view payload, RowSink& sink);

}  // namespace cnspec::provider
