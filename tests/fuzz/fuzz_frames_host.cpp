// The program's end of the channel: whatever a provider's process sends. The bytes are a stream that is cut
// where the first byte says; each frame is read as what it says it is, and rows go into a sink.
#include "fuzz.hpp"
#include "provider/frame.hpp"

#include <algorithm>
#include <cstring>

using namespace cnspec;
using namespace cnspec::fuzz;
using namespace cnspec::provider;

namespace {

constexpr SinkLimits kLimits{1 << 20, 10'000};

void expect_printable(std::string_view text) {
  require(text.find_first_of(std::string_view("\r\n\t\x1b\0", 5)) == text.npos,
          "what is shown is one plain line");
}

void take(const FrameBuffer::Frame& frame, RowSink& sink) {
  switch (frame.kind) {
    case FrameKind::kHello: (void)read_hello(frame.payload, nullptr); break;
    case FrameKind::kRows:
      if (!sink.violation()) (void)replay_rows(frame.payload, sink);
      break;
    case FrameKind::kLog: (void)read_log(frame.payload); break;
    case FrameKind::kHttp: (void)read_http(frame.payload); break;
    case FrameKind::kDone:
      if (const auto done = read_done(frame.payload); done && !*done) {
        expect_printable(done->error().message());
        expect_printable(done->error().hint());
      }
      break;
    default: break;
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Manifest manifest = [] {
    Manifest m;
    m.open_schema = true;
    return m;
  }();
  std::string_view input = view(data, size);
  const std::size_t step = std::max<std::size_t>(take_byte(input), 1);
  RowSink sink(manifest, false, {"a", "b"}, kLimits);
  FrameBuffer buffer;
  while (!input.empty()) {
    const auto [to, room] = buffer.room();
    require(room > 0, "there is always room");
    const std::size_t n = std::min({step, room, input.size()});
    std::memcpy(to, input.data(), n);
    buffer.filled(n);
    input.remove_prefix(n);
    while (true) {
      const auto frame = buffer.next();
      if (!frame) {
        expect_printable(frame.error().message());
        return 0;
      }
      if (!*frame) break;
      take(**frame, sink);
    }
  }
  for (const Row& row : sink.take_rows()) {
    for (std::size_t i = 0; i < row.size(); ++i) (void)to_text(row.value(i));
  }
  return 0;
}
