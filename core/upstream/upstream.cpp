#include "upstream/upstream.hpp"

#include <boost/asio/async_result.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/random.hpp"
#include "base/url.hpp"
#include "base/version.hpp"
#include "upstream/send.hpp"
#include "upstream/user_agent.hpp"

namespace cnspec::upstream {
namespace {

namespace asio = boost::asio;
using transport::Request;
using transport::Response;

constexpr std::size_t kMaxShownTarget = 200;
constexpr char kRequestId[] = "X-Request-ID";

// Nobody is followed: what is sent is meant for the one it was sent to.
Result<Response> refuse_redirect(Result<Response> answer, const std::string& url) {
  const int status = answer ? answer->status : 0;
  if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308) return answer;
  const std::string target = shown_url(answer->header("location")).substr(0, kMaxShownTarget);
  return fail(Error(shown_url(url) + " redirects to " + (target.empty() ? "somewhere else" : target) +
                        " (HTTP " + std::to_string(status) + "), which is not followed",
                    ErrorKind::kInvalid)
                  .hint("is a login page of this network in between? If not, set the address that is meant"));
}

class ObjectWriter {
 public:
  ObjectWriter& add(const char* key, std::string_view value) {
    if (!value.empty()) object_.AddMember(rapidjson::StringRef(key), json::text(value, alloc()), alloc());
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
  json::Document object_{rapidjson::kObjectType};
};

}  // namespace

transport::Headers own_headers(const std::string& features) {
  return {{kRequestId, random_uuid()}, {"Mondoo-Features", features}};
}

std::string_view request_id(const Request& request) {
  for (const auto& [name, value] : request.headers) {
    if (name == kRequestId) return value;
  }
  return {};
}

// The transport speaks in callbacks; coroutines await one answer.
asio::awaitable<Result<Response>> send(transport::Transport& transport, Request request) {
  const auto begin = [&transport](auto handler, Request r) {
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    transport.send(std::move(r), [shared](Result<Response> result) { (*shared)(std::move(result)); });
  };
  const std::string url = request.url;
  Result<Response> result =
      co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(Result<Response>)>(
          begin, asio::use_awaitable, std::move(request));
  co_return refuse_redirect(std::move(result), url);
}

Task<json::Document> Upstream::call(std::string method, std::string body, auth::Authenticator* auth,
                                    Deadline deadline) {
  Request request;
  request.method = "POST";
  request.url = endpoint_ + "/" + method;
  static const std::string own_name = user_agent();
  request.headers = own_headers(features_);
  request.headers.emplace_back("Content-Type", "application/json");
  request.headers.emplace_back("Accept", "application/json");
  request.headers.emplace_back("User-Agent", own_name);
  last_request_id_ = request_id(request);
  const std::string id = last_request_id_;
  if (auth) {
    auto header = auth->authorize(body);
    if (!header) co_return fail(header.error());
    if (!header->empty()) request.headers.emplace_back("Authorization", std::move(*header));
  }
  request.body = std::move(body);
  request.deadline = deadline;
  // Nothing else may happen twice: a key is handed out once, a proof is used once.
  const bool harmless = method == "Health/Check" || method == "AgentManager/PingPong";
  request.repeat = harmless ? Request::Repeat::kFreely : Request::Repeat::kNever;

  Result<Response> response = co_await send(transport_, std::move(request));
  if (!response) co_return fail(response.error());
  co_return read_answer(*response, endpoint_ + "/" + method, id);
}

Task<Health> Upstream::health(Deadline deadline) {
  const auto asked = Clock::now();
  auto answer = co_await call("Health/Check", "{}", nullptr, deadline);
  if (!answer) co_return fail(answer.error());
  Health health = read_health(*answer);
  health.asked = asked;
  health.answered = Clock::now();
  co_return health;
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

  co_return read_registration(*answer);
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

Task<json::Document> Upstream::exchange(std::string method, std::string body, Deadline deadline) {
  co_return co_await call(std::move(method), std::move(body), nullptr, deadline);
}

template <class T>
Task<T> Announcements::read(std::string path, Deadline deadline,
                            Result<T> (*read_it)(const Response&, const std::string&)) {
  std::string url = address_;
  if (url.find("://") == url.npos) url = "https://" + url;
  while (url.ends_with('/')) url.pop_back();
  url += path;
  Request request;
  request.url = url;
  request.headers = own_headers(features_);
  request.headers.emplace_back("Accept", "application/json");
  request.repeat = Request::Repeat::kFreely;
  request.deadline = deadline;
  last_request_id_ = request_id(request);
  Result<Response> response = co_await send(transport_, std::move(request));
  if (!response) co_return fail(response.error());
  auto read = read_it(*response, url);
  if (!read) co_return fail(with_request_id(read.error(), url, last_request_id_));
  co_return read;
}

Task<std::string> Announcements::latest_version(Deadline deadline) {
  return read("/cnspec/latest.json", deadline, &read_latest_version);
}

Task<Versions> Announcements::latest_provider_versions(Deadline deadline) {
  return read("/latest.json", deadline, &read_provider_versions);
}

}  // namespace cnspec::upstream
