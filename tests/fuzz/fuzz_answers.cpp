// What a platform, or somebody in its place, answers to the client. The first byte chooses the HTTP status.
#include <array>

#include "base/text.hpp"
#include "fuzz.hpp"
#include "upstream/answers.hpp"

using namespace cnspec;
using namespace cnspec::fuzz;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array kStatus = {200, 401, 409, 500, 502, 302};
  std::string_view input = view(data, size);
  transport::Response response;
  response.status = kStatus[take_byte(input) % kStatus.size()];
  response.body = input;

  const auto answer = upstream::read_answer(response, "https://platform/Health/Check", "id");
  require(!answer || response.status == 200, "only status 200 is an answer");
  if (answer) {
    require(!upstream::read_health(*answer).status.empty(), "health always has a status");
    if (const auto registration = upstream::read_registration(*answer))
      require(!registration->agent_mrn.empty(), "a registration has an agent");
  } else {
    const std::string message = answer.error().message();
    require(is_utf8(message) && printable(message) == message, "a message can be printed on one line");
    require(message.size() < 64 * 1024, "a message is short");
  }
  if (const auto version = upstream::read_latest_version(response, "https://updates/latest.json"))
    require(!version->empty(), "a version is never empty");
  return 0;
}
