// Requests to the platform, its network aside. The first byte chooses the method, the second the formats and
// who asks: nobody, somebody with the first line of the input for a token, or a service account that signs
// the body.
#include <google/protobuf/stubs/common.h>
#include <google/protobuf/util/message_differencer.h>

#include <array>
#include <optional>

#include "api.pb.h"
#include "base/encoding.hpp"
#include "fuzz.hpp"
#include "platform/jwt.hpp"
#include "platform/service.hpp"
#include "platform/spaces.hpp"
#include "upstream/answers.hpp"

using namespace cnspec;
using namespace cnspec::fuzz;
using namespace cnspec::platform;

namespace {

constexpr int kRunsPerPlatform = 5000;  // so that what is registered does not fill the memory

// A platform without a disk, and one service account of it.
struct Lab {
  Service service;
  std::string mrn;
  Key key;
};

Lab make_lab() {
  Store store = Store::open(":memory:").value();
  Key token_key = make_key("P-384").value();
  const std::string token =
      create_token(store, token_key, {.space = "lab", .description = {}, .endpoint = {}}).value();
  Lab lab{{std::move(store), make_authority().value(), std::move(token_key), {}}, {}, nullptr};
  const Answer answer = lab.service.call(
      {"AgentManager/RegisterAgent", "Bearer " + token, "application/json", "application/json", "{}"});
  const auto document = json::parse(answer.body).value();
  const auto registration = upstream::read_registration(document).value();
  lab.mrn = registration.credential.mrn;
  lab.key = private_key_from_pem(registration.credential.private_key).value();
  return lab;
}

// As the client signs.
std::string signature(const Lab& lab, std::string_view body) {
  const std::string now_text = std::to_string(now());
  const std::string text =
      base64url_encode(R"({"alg":"ES384","typ":"JWT","kid":")" + lab.mrn + "\"}") + "." +
      base64url_encode(R"({"iss":"mondoo/ams","sub":")" + lab.mrn + R"(","iat":)" + now_text + R"(,"nbf":)" +
                       now_text + R"(,"exp":)" + std::to_string(now() + 60) + R"(,"chash":")" +
                       sha256_hex(body) + "\"}");
  return "Bearer " + text + "." + base64url_encode(sign_es384(lab.key, text).value());
}

std::string_view take_line(std::string_view& input) {
  const auto end = input.find('\n');
  const std::string_view line = input.substr(0, end);
  input.remove_prefix(end == input.npos ? input.size() : end + 1);
  return line;
}

// What is understood in one format is the same in both.
template <class Message>
void round_trip(std::string_view body, Format format) {
  Message message;
  std::string why;
  if (!decode(body, format, message, why)) {
    require(!why.empty(), "a refusal has a reason");
    return;
  }
  for (const Format other : {Format::kProtobuf, Format::kJson}) {
    Message once, twice;
    require(decode(encode(message, other), other, once, why), "what was written can be read");
    require(decode(encode(once, other), other, twice, why), "also when it is written again");
    // Not by their bytes: protobuf writes the entries of a map in any order.
    require(google::protobuf::util::MessageDifferencer::Equals(once, twice), "and is the same then");
  }
}

void check(const Answer& answer, Format format) {
  require(answer.status == http_status(answer.code), "the status is the code's");
  if (answer.code == Code::kOk) return;
  platform::Status status;
  std::string why;
  require(decode(answer.body, format, status, why), "a refusal is a Status");
  require(status.code() == static_cast<int>(answer.code) && !status.message().empty(),
          "it says which and why");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<std::string> methods = Service::names();
  static std::optional<Lab> lab;
  static int runs = 0;
  if (runs == 0) google::protobuf::SetLogHandler(nullptr);  // as the platform does
  if (runs++ % kRunsPerPlatform == 0) lab.emplace(make_lab());

  std::string_view input = view(data, size);
  const unsigned which = take_byte(input);
  const unsigned how = take_byte(input);
  const Format in = how & 1 ? Format::kProtobuf : Format::kJson;
  const Format out = how & 2 ? Format::kProtobuf : Format::kJson;
  Call call;
  call.method = methods[which % methods.size()];
  call.content_type = content_type(in);
  call.accept = content_type(out);
  if ((how >> 2) % 4 == 1) call.authorization = "Bearer " + std::string(take_line(input));
  call.body = input;
  if ((how >> 2) % 16 == 2) call.authorization = signature(*lab, call.body);

  check(lab->service.call(call), out);
  round_trip<AgentRegistrationRequest>(call.body, in);
  round_trip<AgentInfo>(call.body, in);
  return 0;
}
