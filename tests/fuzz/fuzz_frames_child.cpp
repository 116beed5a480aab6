// The other end of the channel: the orders that a provider's process reads. The first byte says which one the
// rest is; what can be read is written again and has to read the same.
#include "fuzz.hpp"
#include "provider/frame.hpp"

using namespace cnspec;
using namespace cnspec::fuzz;
using namespace cnspec::provider;

namespace {

std::string_view payload_of(FrameWriter& frame) { return frame.finish(0).substr(sizeof(FrameHeader)); }

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input = view(data, size);
  switch (take_byte(input) % 5) {
    case 0: {
      Hello hello;
      if (!read_hello(input, &hello)) break;
      FrameWriter again(FrameKind::kHello);
      write_hello(again, &hello);
      require(payload_of(again) == input, "a greeting is written as it was read");
      break;
    }
    case 1: {
      const auto order = read_connect(input);
      if (!order) break;
      FrameWriter again(FrameKind::kConnect);
      write_connect(again, order->connection, order->deadline, order->connector, order->request,
                    order->config);
      const auto back = read_connect(payload_of(again));
      require(back && back->request.args == order->request.args &&
                  back->request.secrets == order->request.secrets &&
                  back->config.size() == order->config.size(),
              "an order to connect survives");
      break;
    }
    case 2: {
      const auto order = read_fetch(input);
      if (!order) break;
      FrameWriter again(FrameKind::kFetch);
      write_fetch(again, order->call, order->request, order->request.fields);
      const auto back = read_fetch(payload_of(again));
      require(back && back->request.fields == order->request.fields && back->request.id == order->request.id,
              "an order to fetch survives");
      break;
    }
    case 3: {
      const auto call = read_call(input);
      if (!call) break;
      FrameWriter again(FrameKind::kOpen);
      write_call(again, *call);
      require(payload_of(again) == input, "an order is written as it was read");
      break;
    }
    default: {
      const auto answer = read_answer(input);
      if (!answer) break;
      FrameWriter again(FrameKind::kAnswer);
      write_answer(again, *answer);
      require(read_answer(payload_of(again)).has_value(), "an answer survives");
      break;
    }
  }
  return 0;
}
