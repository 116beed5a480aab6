#include "support/agent_client.hpp"

#include <curl/curl.h>

#include "support/process.hpp"

namespace cnspec::test {
namespace {

std::size_t append(char* data, std::size_t, std::size_t size, void* to) {
  static_cast<std::string*>(to)->append(data, size);
  return size;
}

}  // namespace

struct AgentClient::Connection {
  std::string url;
  std::string ca_file;
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl{nullptr, curl_easy_cleanup};
};

AgentClient::AgentClient(std::string url, std::string ca_file)
    : connection_(new Connection{std::move(url), std::move(ca_file)}) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (ready == CURLE_OK) connection_->curl.reset(curl_easy_init());
}
AgentClient::~AgentClient() = default;
AgentClient::AgentClient(AgentClient&&) noexcept = default;

Result<transport::Response> AgentClient::post(const std::string& method, const std::string& body,
                                              const std::string& authorization) {
  CURL* c = connection_->curl.get();
  if (!c) return fail("libcurl cannot start");
  const std::string url = connection_->url + "/" + method;
  curl_slist* list = nullptr;
  for (const std::string& line : {std::string("Content-Type: application/json"),
                                  std::string("Accept: application/json"), "Authorization: " + authorization})
    list = curl_slist_append(list, line.c_str());
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(list, curl_slist_free_all);
  transport::Response response;
  curl_easy_reset(c);  // keeps the connection
  curl_easy_setopt(c, CURLOPT_URL, url.c_str());
  curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
  curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.data());
  curl_easy_setopt(c, CURLOPT_CAINFO, connection_->ca_file.c_str());
  curl_easy_setopt(c, CURLOPT_PROXY, "");
  curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(c, CURLOPT_TIMEOUT, static_cast<long>(kPatience.count()));
  curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, append);
  curl_easy_setopt(c, CURLOPT_WRITEDATA, &response.body);
  if (const CURLcode code = curl_easy_perform(c); code != CURLE_OK)
    return fail(url + ": " + curl_easy_strerror(code), ErrorKind::kUnavailable);
  long status = 0;
  curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
  response.status = static_cast<int>(status);
  return response;
}

Result<upstream::Registration> AgentClient::register_agent(const std::string& token,
                                                           const std::string& platform_id) {
  const std::string body =
      R"({"name":"load","agent_info":{"platform_name":"debian","platform_id":")" + platform_id + "\"}}";
  const auto response = post("AgentManager/RegisterAgent", body, "Bearer " + token);
  if (!response) return fail(response.error());
  const auto answer = upstream::read_answer(*response, "RegisterAgent", "");
  if (!answer) return fail(answer.error());
  return upstream::read_registration(*answer);
}

Result<void> AgentClient::ping(const upstream::Registration& registration) {
  auth::Credentials credentials;
  credentials.method = "service_account";
  credentials.mrn = registration.credential.mrn;
  credentials.private_key = registration.credential.private_key;
  const auto account = auth::make_authenticator(credentials);
  if (!account) return fail(account.error());
  const auto authorization = (*account)->authorize("{}");
  if (!authorization) return fail(authorization.error());
  const auto response = post("AgentManager/PingPong", "{}", *authorization);
  if (!response) return fail(response.error());
  if (const auto answer = upstream::read_answer(*response, "PingPong", ""); !answer)
    return fail(answer.error());
  return {};
}

}  // namespace cnspec::test
