// The test server itself: what other tests take from it for granted.
#include "support/http_server.hpp"

#include <gtest/gtest.h>

#include <thread>

#include "support/http_client.hpp"
#include "support/process.hpp"

namespace cnspec::test {
namespace {

using Fault = HttpResponse::Fault;
using std::chrono::steady_clock;

transport::Request get(const std::string& url) { return {.url = url}; }

HttpServer::Handler always(HttpResponse response) {
  return [response](const HttpRequest&) { return response; };
}

TEST(HttpServer, AnswersAndRemembers) {
  HttpServer server([](const HttpRequest& r) {
    return HttpResponse{.status = 201, .headers = {{"X-Path", r.path()}}, .body = r.method + " " + r.body};
  });
  const auto answer = http_exchange(
      {.method = "PUT", .url = server.url() + "/a/b?c=d", .headers = {{"X-Test", "1"}}, .body = "hello"});
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->status, 201);
  EXPECT_EQ(answer->body, "PUT hello");
  ASSERT_EQ(server.requests().size(), 1u);
  const HttpRequest request = server.requests()[0];
  EXPECT_EQ(request.target, "/a/b?c=d");
  EXPECT_EQ(request.header("x-test"), "1");
  EXPECT_EQ(request.body, "hello");
}

TEST(HttpServer, SaysWhatItsHandlerThrew) {
  HttpServer server([](const HttpRequest&) -> HttpResponse { throw std::runtime_error("not expected"); });
  const auto answer = http_exchange(get(server.url()));
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->status, 500);
  EXPECT_EQ(answer->body, "not expected");
}

TEST(HttpServer, SpeaksTlsToWhoTrustsIt) {
  const CertificateAuthority ca;
  const CertificateAuthority other;
  const TempDir dir;
  const auto trusted = dir.write("ca.pem", ca.pem());
  const auto untrusted = dir.write("other.pem", other.pem());
  HttpServer server(always({.body = "secret"}), ca.issue({"127.0.0.1", "localhost"}));
  const auto answer = http_exchange(get(server.url()), trusted);
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->body, "secret");
  EXPECT_FALSE(http_exchange(get(server.url()), untrusted));
  EXPECT_EQ(server.requests().size(), 1u);

  HttpServer misnamed(always({}), ca.issue({"elsewhere.test"}));
  EXPECT_FALSE(http_exchange(get(misnamed.url()), trusted));
  HttpServer expired(always({}), ca.issue({"127.0.0.1"}, std::chrono::hours(-1)));
  EXPECT_FALSE(http_exchange(get(expired.url()), trusted));
}

TEST(HttpServer, MisbehavesOnDemand) {
  const auto exchange = [](HttpResponse response, std::chrono::milliseconds patience = kPatience) {
    HttpServer server(always(std::move(response)));
    auto request = get(server.url());
    request.deadline = steady_clock::now() + patience;
    return http_exchange(request);
  };
  const std::chrono::milliseconds brief(200);
  EXPECT_EQ(exchange({.fault = Fault::kClose}).error().kind(), ErrorKind::kInvalid);
  EXPECT_EQ(exchange({.fault = Fault::kReset}).error().kind(), ErrorKind::kUnavailable);
  EXPECT_EQ(exchange({.body = "no HTTP\r\n\r\n", .fault = Fault::kRaw}).error().kind(), ErrorKind::kInvalid);
  EXPECT_EQ(exchange({.body = "0123456789", .fault = Fault::kCut}).error().kind(), ErrorKind::kInvalid);
  EXPECT_EQ(exchange({.fault = Fault::kEndless}).error().kind(), ErrorKind::kInvalid);
  EXPECT_EQ(exchange({.fault = Fault::kSilence}, brief).error().kind(), ErrorKind::kTimeout);
  EXPECT_EQ(exchange({.body = "drop by drop", .fault = Fault::kDrip}, brief).error().kind(),
            ErrorKind::kTimeout);
}

TEST(HttpServer, EndsWithItsClientsStillWaiting) {
  auto server = std::make_unique<HttpServer>(always({.fault = Fault::kSilence}));
  std::thread client([url = server->url()] { EXPECT_FALSE(http_exchange(get(url))); });
  server->wait_for_requests(1);
  server.reset();
  client.join();
}

}  // namespace
}  // namespace cnspec::test
