#include "upstream/upstream.hpp"

#include <array>
#include <boost/asio/async_result.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/random.hpp"
#include "base/text.hpp"
#include "base/version.hpp"

namespace cnspec::upstream {
namespace {

namespace asio = boost::asio;
using transport::Request;
using transport::Response;

constexpr std::size_t kMaxShownBody = 2048;

struct Code {
  int number;
  const char* name;
  int http_status;
};
constexpr std::array kCodes = {
    Code{16, "Unauthenticated", 401},  Code{7, "PermissionDenied", 403},
    Code{5, "NotFound", 404},          Code{3, "InvalidArgument", 400},
    Code{10, "Aborted", 409},          Code{6, "AlreadyExists", 409},
    Code{8, "ResourceExhausted", 429}, Code{14, "Unavailable", 503},
    Code{12, "Unimplemented", 501},    Code{4, "DeadlineExceeded", 504},
    Code{1, "Canceled", 408},          Code{9, "FailedPrecondition", 412},
    Code{13, "Internal", 500},         Code{2, "Unknown", 0},
    Code{11, "OutOfRange", 0},         Code{15, "DataLoss", 0},
};

int code_of(int http_status) {
  for (const Code& code : kCodes) {
    if (code.http_status == http_status) return code.number;
  }
  return 2;
}

// The transport speaks in callbacks; coroutines await one answer.
asio::awaitable<Result<Response>> send(transport::Transport& transport, Request request) {
  const auto begin = [&transport](auto handler, Request r) {
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    transport.send(std::move(r), [shared](Result<Response> result) { (*shared)(std::move(result)); });
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(Result<Response>)>(
      begin, asio::use_awaitable, std::move(request));
}

// "rpc error: code = Unauthenticated desc = request permission unauthenticated", as operators know it.
Error rejection(const Response& response, std::string_view request_id) {
  int code = code_of(response.status);
  std::string text;
  if (auto status = json::parse(response.body); status && json::find(*status, "code")) {
    if (const json::Value* number = json::find(*status, "code"); number->IsInt()) code = number->GetInt();
    text = json::get_string(*status, "message");
  } else {
    // Some intermediary's page.
    text = trim(std::string_view(response.body).substr(0, kMaxShownBody));
    if (response.body.size() > kMaxShownBody) text += "... [truncated]";
    if (text.empty()) text = "HTTP status " + std::to_string(response.status);
  }
  const bool no = code == 16 || code == 7 || code == 5 || code == 3 || code == 9;
  return Error("rpc error: code = " + std::string(code_name(code)) + " desc = " + printable(text),
               no ? ErrorKind::kRejected : ErrorKind::kUnavailable)
      .status(code)
      .hint("the platform's log knows this request as " + std::string(request_id));
}

// The platform writes the names of its .proto; others may write them as JSON does.
std::string_view member(const json::Value& object, std::string_view snake, std::string_view camel) {
  const auto value = json::get_string(object, snake);
  return value.empty() ? json::get_string(object, camel) : value;
}

class ObjectWriter {
 public:
  ObjectWriter& add(const char* key, std::string_view value) {
    if (!value.empty()) object_.AddMember(rapidjson::StringRef(key), text(value), alloc());
    return *this;
  }
  ObjectWriter& add(const char* key, ObjectWriter& inner) {
    json::Value copy;
    copy.CopyFrom(inner.object_, alloc());
    object_.AddMember(rapidjson::StringRef(key), copy, alloc());
    return *this;
  }
  std::string write() const { return json::write(object_); }

 private:
  json::Document::AllocatorType& alloc() { return object_.GetAllocator(); }
  json::Value text(std::string_view s) {
    return {s.data(), static_cast<rapidjson::SizeType>(s.size()), alloc()};
  }
  json::Document object_{rapidjson::kObjectType};
};

}  // namespace

const char* code_name(int grpc_code) {
  for (const Code& code : kCodes) {
    if (code.number == grpc_code) return code.name;
  }
  return "Unknown";
}

Task<json::Document> Upstream::call(std::string method, std::string body, auth::Authenticator* auth,
                                    Deadline deadline) {
  Request request;
  request.method = "POST";
  request.url = endpoint_ + "/" + method;
  const std::string request_id = random_uuid();
  request.headers = {
      {"Content-Type", "application/json"}, {"Accept", "application/json"}, {"X-Request-ID", request_id}};
  if (auth) {
    auto header = auth->authorize(body);
    if (!header) co_return fail(header.error());
    if (!header->empty()) request.headers.emplace_back("Authorization", std::move(*header));
  }
  request.body = std::move(body);
  request.deadline = deadline;

  Result<Response> response = co_await send(transport_, std::move(request));
  if (!response) co_return fail(response.error());
  if (response->status != 200) co_return fail(rejection(*response, request_id));
  auto document = json::parse(response->body);
  if (!document || !document->IsObject()) {
    const std::string why = document ? "expected a JSON object" : document.error().message();
    co_return fail(endpoint_ + "/" + method + " did not answer as the platform does: " + why,
                   ErrorKind::kInvalid);
  }
  co_return std::move(*document);
}

Task<Health> Upstream::health(Deadline deadline) {
  Health out;
  out.asked = Clock::now();
  auto answer = co_await call("Health/Check", "{}", nullptr, deadline);
  if (!answer) co_return fail(answer.error());
  out.answered = Clock::now();
  out.status = json::get_string(*answer, "status");
  if (out.status.empty()) out.status = "UNKNOWN";  // the value that JSON leaves out
  out.time = json::get_string(*answer, "time");
  out.api_version = member(*answer, "apiVersion", "api_version");
  co_return out;
}

Task<Registration> Upstream::register_agent(auth::Authenticator& auth, std::string token, std::string name,
                                            AgentInfo info, Deadline deadline) {
  ObjectWriter agent;
  agent.add("mrn", info.mrn).add("version", kVersion).add("build", kBuild);
  agent.add("platform_name", info.platform_name).add("platform_release", info.platform_release);
  agent.add("platform_arch", info.platform_arch).add("platform_ip", info.platform_ip);
  agent.add("platform_hostname", info.platform_hostname).add("platform_id", info.platform_id);
  ObjectWriter request;
  request.add("token", token).add("name", name).add("agent_info", agent);
  auto answer = co_await call("AgentManager/RegisterAgent", request.write(), &auth, deadline);
  if (!answer) co_return fail(answer.error());

  Registration out;
  out.agent_mrn = member(*answer, "agent_mrn", "agentMrn");
  if (out.agent_mrn.empty()) {
    co_return fail("the platform registered no agent: its answer has no agent_mrn", ErrorKind::kInvalid);
  }
  if (const json::Value* credential = json::find(*answer, "credential")) {
    out.credential.mrn = json::get_string(*credential, "mrn");
    out.credential.scope_mrn = member(*credential, "scope_mrn", "scopeMrn");
    if (out.credential.scope_mrn.empty())
      out.credential.scope_mrn = member(*credential, "parent_mrn", "parentMrn");
    out.credential.private_key = member(*credential, "private_key", "privateKey");
    out.credential.certificate = json::get_string(*credential, "certificate");
    out.credential.api_endpoint = member(*credential, "api_endpoint", "apiEndpoint");
  }
  co_return out;
}

Task<void> Upstream::unregister_agent(auth::Authenticator& auth, std::string agent_mrn, Deadline deadline) {
  ObjectWriter request;
  request.add("mrn", agent_mrn);
  auto answer = co_await call("AgentManager/UnRegisterAgent", request.write(), &auth, deadline);
  if (!answer) co_return fail(answer.error());
  co_return Result<void>();
}

Task<void> Upstream::ping(auth::Authenticator& auth, Deadline deadline) {
  auto answer = co_await call("AgentManager/PingPong", "{}", &auth, deadline);
  if (!answer) co_return fail(answer.error());
  co_return Result<void>();
}

Task<std::string> latest_version(transport::Transport& transport, std::string updates_url,
                                 Deadline deadline) {
  while (updates_url.ends_with('/')) updates_url.pop_back();
  Request request;
  request.url = updates_url + "/cnspec/latest.json";
  request.headers = {{"Accept", "application/json"}};
  request.deadline = deadline;
  const std::string url = request.url;
  Result<Response> response = co_await send(transport, std::move(request));
  if (!response) co_return fail(response.error());
  if (response->status != 200) {
    co_return fail(url + ": HTTP status " + std::to_string(response->status), ErrorKind::kUnavailable);
  }
  auto document = json::parse(response->body);
  const std::string version(document ? json::get_string(*document, "version") : "");
  if (version.empty()) co_return fail(url + ": expected JSON with a \"version\"", ErrorKind::kInvalid);
  co_return version;
}

}  // namespace cnspec::upstream
