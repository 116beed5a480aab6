#include "service.hpp"

#include <algorithm>
#include <array>

#include "base/json.hpp"
#include "base/version.hpp"
#include "handling.hpp"
#include "spaces.hpp"

namespace cnspec::platform {
namespace {

constexpr std::array<std::string_view, 6> kProviders = {"arista", "aws", "azure", "core", "mock", "os"};
constexpr std::array<std::string_view, 3> kDocuments = {"cnspec/latest.json", "mql/latest.json",
                                                        "providers/latest.json"};

Outcome<HealthCheckResponse> check_health(Handling& h) {
  if (const auto request = h.read<HealthCheckRequest>(); !request) return tl::unexpected(request.error());
  HealthCheckResponse response;
  response.set_status(HealthCheckResponse::SERVING);
  response.set_time(rfc3339(std::chrono::system_clock::now() + h.platform.options.clock_skew));
  response.set_apiversion(kApiVersion);
  response.set_build(kBuild);
  return response;
}

template <class Out, Outcome<Out> (*method)(Handling&)>
Answer run(Handling& h) {
  const Outcome<Out> outcome = method(h);
  Answer answer =
      outcome ? success(*outcome, h.out) : failure(outcome.error().code, outcome.error().message, h.out);
  if (!outcome) answer.reason = outcome.error().reason;
  answer.who = h.who;
  return answer;
}

struct Row {
  std::string_view name;
  Answer (*run)(Handling&);
  bool quick = false;
};

constexpr std::array<Row, 7> kRows = {{
    {"Health/Check", run<HealthCheckResponse, check_health>, true},
    {"AgentManager/RegisterAgent", run<AgentRegistrationConfirmation, register_agent>},
    {"AgentManager/UnRegisterAgent", run<Confirmation, unregister_agent>},
    {"AgentManager/PingPong", run<Empty, ping_pong>},
    {"AgentManager/HealthCheck", run<Empty, check_agent>},
    {"SecureTokenService/ExchangeSSH", run<ExchangeSSHKeyResponse, exchange_ssh>},
    {"SecureTokenService/ExchangeExternalToken", run<ExchangeExternalTokenResponse, exchange_external_token>},
}};

const Row* find_row(std::string_view name) {
  const auto row = std::find_if(kRows.begin(), kRows.end(), [&](const Row& r) { return r.name == name; });
  return row == kRows.end() ? nullptr : &*row;
}

}  // namespace

Service::Service(Store store, Authority authority, Key token_key, ServiceOptions options)
    : state_(new State{std::move(store), std::move(authority), std::move(token_key), std::move(options)}) {}
Service::Service(Service&&) noexcept = default;
Service::~Service() = default;

std::vector<std::string> Service::names() {
  std::vector<std::string> result(kDocuments.begin(), kDocuments.end());
  for (const auto& row : kRows) result.emplace_back(row.name);
  std::sort(result.begin(), result.end());
  return result;
}

std::optional<Answer> Service::document(std::string_view name) const {
  if (std::find(kDocuments.begin(), kDocuments.end(), name) == kDocuments.end()) return std::nullopt;
  json::Document document(rapidjson::kObjectType);
  auto& allocator = document.GetAllocator();
  const auto version = [&] { return json::text(state_->options.latest_version, allocator); };
  if (name == "providers/latest.json") {
    json::Value providers(rapidjson::kArrayType);
    for (const std::string_view id : kProviders) {
      json::Value provider(rapidjson::kObjectType);
      provider.AddMember("name", json::text(id, allocator), allocator);
      provider.AddMember("version", version(), allocator);
      providers.PushBack(provider, allocator);
    }
    document.AddMember("providers", providers, allocator);
  } else {
    document.AddMember("version", version(), allocator);
  }
  return Answer{Code::kOk, 200, std::string(content_type(Format::kJson)), json::write(document)};
}

bool Service::has_method(std::string_view name) { return find_row(name) != nullptr; }

bool Service::is_quick(std::string_view name) {
  const auto* row = find_row(name);
  return !row || row->quick;
}

Answer Service::call(const Call& call) {
  const auto in = format_of(call.content_type);
  const Format out = accepted(call.accept, in.value_or(Format::kJson));
  const auto* row = find_row(call.method);
  if (!row) return failure(Code::kUnimplemented, "there is no method " + call.method.substr(0, 200), out);
  if (!in && (!call.content_type.empty() || !call.body.empty())) {
    const std::string given =
        call.content_type.empty() ? "missing" : "\"" + call.content_type.substr(0, 200) + "\"";
    return failure(Code::kInvalidArgument,
                   "the Content-Type is " + given + "; expected application/protobuf or application/json",
                   out);
  }
  Handling handling{*state_, call, in.value_or(Format::kProtobuf), out};
  return row->run(handling);
}

}  // namespace cnspec::platform
