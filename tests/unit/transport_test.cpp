// HTTP as the program speaks it: libcurl on the event loop, against real servers of every temper.
#include <arpa/inet.h>
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>

#include "support/http_server.hpp"
#include "support/process.hpp"
#include "support/relay.hpp"
#include "transport/engine.hpp"

namespace {

// A name server that never answers, seen from libcurl: the look-up of this one name waits until the test
// ends.
constexpr char kSilentName[] = "silent.invalid";

struct SilentNameServer {
  std::mutex mutex;
  std::condition_variable changed;
  bool released = false;
  int waiting = 0;

  void wait() {
    std::unique_lock lock(mutex);
    ++waiting;
    changed.notify_all();
    while (!released) changed.wait(lock);
    --waiting;
    changed.notify_all();
  }
  // Lets the look-ups fail, and waits until they have.
  void release() {
    std::unique_lock lock(mutex);
    released = true;
    changed.notify_all();
    while (waiting > 0) changed.wait(lock);
    released = false;
  }
};
SilentNameServer& name_server() {
  static auto* instance = new SilentNameServer;
  return *instance;
}

}  // namespace

// The program's own definition goes before the C library's, also for libcurl.
extern "C" __attribute__((visibility("default"))) int getaddrinfo(const char* name, const char* service,
                                                                  const addrinfo* hints, addrinfo** out) {
  if (name && std::strcmp(name, kSilentName) == 0) {
    name_server().wait();
    return EAI_AGAIN;
  }
  static const auto real = reinterpret_cast<decltype(&getaddrinfo)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(name, service, hints, out);
}

namespace cnspec::transport {
namespace {

using namespace std::chrono_literals;
using test::Certificate;
using test::CertificateAuthority;
using test::HttpHeaders;
using test::HttpRequest;
using test::HttpResponse;
using test::HttpServer;
using Fault = HttpResponse::Fault;

Deadline in(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }

class Client {
 public:
  explicit Client(Options options = {}) {
    auto made = make_transport(loop, &make_curl_engine, std::move(options));
    EXPECT_TRUE(made);
    transport = std::move(*made);
  }

  // Runs the loop until the answer is there.
  Result<Response> send(Request request) {
    if (request.deadline == Deadline::max()) request.deadline = in(test::kPatience);
    std::optional<Result<Response>> answer;
    transport->send(std::move(request), [&](Result<Response> r) { answer.emplace(std::move(r)); });
    EXPECT_FALSE(answer) << "never from inside send";
    run_until([&] { return answer.has_value(); });
    return std::move(*answer);
  }
  Result<Response> get(const std::string& url) { return send(request_for(url)); }
  std::string error(const std::string& url) {
    const auto answer = get(url);
    return answer ? "HTTP " + std::to_string(answer->status) : answer.error().message();
  }

  template <class Ready>
  void run_until(Ready ready) {
    while (!ready()) {
      loop.restart();
      ASSERT_GT(loop.run_one(), 0u) << "the loop has nothing to do, and no answer came";
    }
  }

  static Request request_for(const std::string& url) {
    Request request;
    request.url = url;
    return request;
  }

  boost::asio::io_context loop;
  std::unique_ptr<Transport> transport;
};

class TransportTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"SSL_CERT_FILE", "SSL_CERT_DIR"}) ::unsetenv(name);
  }
  Options trusting(const CertificateAuthority& authority) {
    Options options;
    options.ca_file = folder.write("ca.pem", authority.pem()).string();
    return options;
  }
  test::TempDir folder;
};

HttpServer::Handler answering(HttpResponse response) {
  return [response](const HttpRequest&) { return response; };
}

std::string host(const HttpServer& server) { return server.url().substr(server.url().find("://") + 3); }

// ---- answers ----

TEST_F(TransportTest, AnswersWithWhatTheServerSent) {
  HttpServer server(answering(
      {.status = 404,
       .headers = {{"X-Thing", "  one "}, {"SET-COOKIE", "a"}, {"Set-Cookie", "b"}, {"X-Empty", ""}},
       .body = std::string("a\0b", 3)}));
  Client client;
  const auto answer = client.get(server.url() + "/path?q=1");
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->status, 404);
  EXPECT_EQ(answer->body, std::string("a\0b", 3));
  EXPECT_EQ(answer->header("x-thing"), "one");
  EXPECT_EQ(answer->header("x-empty"), "");
  EXPECT_EQ(std::count_if(answer->headers.begin(), answer->headers.end(),
                          [](const auto& h) { return h.first == "set-cookie"; }),
            2);
  EXPECT_EQ(server.requests().at(0).target, "/path?q=1");
}

TEST_F(TransportTest, ForgetsTheHeadersOfInterimAnswers) {
  HttpServer server(
      answering({.body = "HTTP/1.1 103 Early Hints\r\nX-Early: yes\r\n\r\nHTTP/1.1 200 OK\r\nX-Late: "
                         "yes\r\nContent-Length: 2\r\n\r\nok",
                 .fault = Fault::kRaw}));
  Client client;
  const auto answer = client.get(server.url());
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, "ok");
  EXPECT_EQ(answer->header("x-early"), "");
  EXPECT_EQ(answer->header("x-late"), "yes");
}

TEST_F(TransportTest, SendsEveryMethodWithItsBody) {
  HttpServer server(answering({.body = "hello"}));
  Client client;
  for (const char* method : {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"}) {
    for (const char* body : {"", "body"}) {
      if (std::strcmp(method, "HEAD") == 0 && *body) continue;
      Request request = Client::request_for(server.url());
      request.method = method;
      request.body = body;
      request.headers = {{"X-Mine", "yes"}, {"X-Empty", ""}};
      const auto answer = client.send(request);
      ASSERT_TRUE(answer) << method << answer.error().message();
      EXPECT_EQ(answer->body, std::strcmp(method, "HEAD") == 0 ? "" : "hello") << method;
      const HttpRequest seen = server.requests().back();
      EXPECT_EQ(seen.method, method);
      EXPECT_EQ(seen.body, body) << method;
      EXPECT_EQ(seen.header("x-mine"), "yes");
      EXPECT_EQ(seen.header("expect"), "");
    }
  }
}

TEST_F(TransportTest, SendsFiveMebibytes) {
  HttpServer server(answering({.body = "thanks"}));
  Client client;
  Request request = Client::request_for(server.url());
  request.method = "POST";
  request.body = std::string(5 << 20, 'x');
  ASSERT_TRUE(client.send(request));
  EXPECT_EQ(server.requests().at(0).body.size(), 5u << 20);
}

TEST_F(TransportTest, KeepsConnectionsAndRunsManyAtOnce) {
  HttpServer server([](const HttpRequest& r) { return HttpResponse{.body = r.path()}; });
  Client client;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(client.get(server.url()));
  EXPECT_EQ(server.connections(), 1u);

  constexpr int kMany = 50;
  int done = 0;
  for (int i = 0; i < kMany; ++i) {
    Request request = Client::request_for(server.url() + "/" + std::to_string(i));
    request.deadline = in(test::kPatience);
    client.transport->send(std::move(request), [&done, i](Result<Response> answer) {
      ASSERT_TRUE(answer) << answer.error().message();
      EXPECT_EQ(answer->body, "/" + std::to_string(i));
      ++done;
    });
  }
  client.run_until([&] { return done == kMany; });
}

TEST_F(TransportTest, FollowsNoRedirect) {
  HttpServer server(answering({.status = 302, .headers = {{"Location", "http://127.0.0.1:1/elsewhere"}}}));
  Client client;
  const auto answer = client.get(server.url());
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 302);
  EXPECT_EQ(answer->header("location"), "http://127.0.0.1:1/elsewhere");
}

TEST_F(TransportTest, AProxyIsAskedForTheWholeUrl) {
  HttpServer proxy(answering({.body = "from the proxy"}));
  Options options;
  options.proxies.http = {proxy.url(), "--api-proxy"};
  Client client(options);
  Request request = Client::request_for("http://example.invalid/x");
  const auto answer = client.send(request);
  ASSERT_TRUE(answer) << answer.error().message();
  EXPECT_EQ(answer->body, "from the proxy");
  EXPECT_EQ(proxy.requests().at(0).target, "http://example.invalid/x");
  request.no_proxy = true;
  EXPECT_FALSE(client.send(request));
}

// ---- what is too much ----

TEST_F(TransportTest, WhatAProxySaysOfATunnelIsNoPartOfTheAnswer) {
  const CertificateAuthority authority;
  HttpServer server(answering({.headers = {{"X-From", "server"}}, .body = "x"}),
                    authority.issue({"127.0.0.1"}));
  const test::Relay proxy(server.port(), 0ms,
                          "HTTP/1.1 200 Connection established\r\nX-From: proxy\r\nX-Proxy: 1\r\n\r\n");
  Options options = trusting(authority);
  options.proxies.https = {"http://127.0.0.1:" + std::to_string(proxy.port()), "the test"};
  Client client(options);
  for (int i = 0; i < 2; ++i) {  // through a new tunnel, and then through the same one
    const auto answer = client.get(server.url());
    ASSERT_TRUE(answer) << answer.error().message();
    EXPECT_EQ(answer->header("x-from"), "server");
    EXPECT_EQ(answer->header("x-proxy"), "");
  }
  EXPECT_EQ(proxy.connections(), 1u);
}

TEST_F(TransportTest, ABodyMayHaveItsLimitAndNoByteMore) {
  HttpServer server(answering({.body = std::string(1000, 'x')}));
  Client client;
  Request request = Client::request_for(server.url());
  request.max_answer = 1000;
  EXPECT_TRUE(client.send(request));
  request.max_answer = 999;
  const auto answer = client.send(request);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message(), "GET " + server.url() + ": the answer has more than 999 bytes");
  EXPECT_EQ(answer.error().kind(), ErrorKind::kInvalid);
}

TEST_F(TransportTest, AnEndlessBodyEnds) {
  HttpServer server(answering({.fault = Fault::kEndless}));
  Client client;
  EXPECT_EQ(client.error(server.url()), "GET " + server.url() + ": the answer has more than 1048576 bytes");
}

TEST_F(TransportTest, HeadersAreCounted) {
  HttpResponse many;
  for (int i = 0; i < 300; ++i) many.headers.emplace_back("X-" + std::to_string(i), "v");
  HttpServer server(answering(many));
  Client client;
  const std::string too_many = ": the answer has too many headers";
  EXPECT_EQ(client.error(server.url()), "GET " + server.url() + too_many);
  HttpServer wide(answering({.headers = HttpHeaders(9, {"X", std::string(8000, 'v')})}));
  EXPECT_EQ(client.error(wide.url()), "GET " + wide.url() + too_many);
  HttpServer endless(answering({.body = "X-1: y\r\n", .fault = Fault::kEndlessHeaders}));
  EXPECT_EQ(client.error(endless.url()), "GET " + endless.url() + too_many);
  // Each of them begins anew.
  std::string interim;
  for (int i = 0; i < 300; ++i) interim += "HTTP/1.1 103 Early Hints\r\nX-1: y\r\n\r\n";
  HttpServer early(answering({.body = interim, .fault = Fault::kRaw}));
  EXPECT_EQ(client.error(early.url()), "GET " + early.url() + too_many);
}

// ---- servers that do it wrong ----

TEST_F(TransportTest, SaysHowAServerFailed) {
  const std::tuple<HttpResponse, const char*, ErrorKind> cases[] = {
      {{.fault = Fault::kClose}, " closed the connection without an answer", ErrorKind::kUnavailable},
      {{.body = "hello", .fault = Fault::kCut}, "the answer of HOST was cut off", ErrorKind::kInvalid},
      {{.body = "220 mail.example ESMTP\r\n", .fault = Fault::kRaw},
       "HOST did not answer in HTTP",
       ErrorKind::kInvalid},
      {{.body = "SSH-2.0-OpenSSH_9.2\r\n", .fault = Fault::kRaw},
       "HOST did not answer in HTTP",
       ErrorKind::kInvalid},
      {{.body = std::string("\0\1\2\3\xff\n", 6), .fault = Fault::kRaw},
       "HOST did not answer in HTTP",
       ErrorKind::kInvalid},
  };
  for (auto [response, expected, kind] : cases) {
    HttpServer server(answering(response));
    Client client;
    const auto answer = client.get(server.url());
    ASSERT_FALSE(answer) << expected;
    std::string text = expected;
    if (const auto at = text.find("HOST"); at != text.npos) text.replace(at, 4, host(server));
    EXPECT_NE(answer.error().message().find(text), std::string::npos) << answer.error().message();
    EXPECT_EQ(answer.error().message().rfind("GET " + server.url() + ": ", 0), 0u)
        << answer.error().message();
    EXPECT_EQ(answer.error().kind(), kind) << answer.error().message();
  }
  HttpServer server(answering({.fault = Fault::kReset}));
  Client client;
  const auto reset = client.get(server.url());
  ASSERT_FALSE(reset);
  EXPECT_EQ(reset.error().kind(), ErrorKind::kUnavailable) << reset.error().message();
}

// A port of this machine on which nobody listens: bound, so that nobody else takes it.
class DeafPort {
 public:
  DeafPort() : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~DeafPort() {
    ::close(fd_);
    if (first_ >= 0) ::close(first_);
  }
  // From now on connections are accepted by the kernel, and by nobody else.
  void listen() { EXPECT_EQ(::listen(fd_, 8), 0); }
  // From now on connecting takes forever: the one place in the queue is taken.
  void listen_and_be_busy() {
    EXPECT_EQ(::listen(fd_, 0), 0);
    sockaddr_in address{};
    socklen_t size = sizeof address;
    EXPECT_EQ(::getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    first_ = ::socket(AF_INET, SOCK_STREAM, 0);
    EXPECT_EQ(::connect(first_, reinterpret_cast<sockaddr*>(&address), size), 0);
  }
  std::string host() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int fd_;
  int first_ = -1;
  unsigned port_ = 0;
};

TEST_F(TransportTest, SaysThatNobodyIsThere) {
  const DeafPort port;
  Client client;
  EXPECT_EQ(client.error("http://" + port.host() + "/x"),
            "GET http://" + port.host() + "/x: could not connect to " + port.host() + ": Connection refused");
  EXPECT_EQ(client.error("http://name.invalid/"),
            "GET http://name.invalid/: the name name.invalid could not be resolved");
  const std::string v6 = client.error("http://[::1]" + port.host().substr(9) + "/");
  EXPECT_NE(v6.find(": could not connect to [::1]:"), std::string::npos) << v6;
}

TEST_F(TransportTest, RefusesWhatIsNoUrlOfOurs) {
  Client client;
  for (const char* url :
       {"", "nonsense with blanks", "http://", "http://host:port/", "http://ho st/", "http://h\r\nX: y/",
        "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "http:///path"}) {
    const auto answer = client.get(url);
    ASSERT_FALSE(answer) << url;
    EXPECT_NE(answer.error().message(), "") << url;
    EXPECT_EQ(answer.error().message().find('\n'), std::string::npos);
  }
}

TEST_F(TransportTest, HeadersAndMethodsAreNoWayToMore) {
  HttpServer server(answering({}));
  Client client;
  const std::pair<std::string, std::string> bad[] = {
      {"X-A", "b\r\nX-C: d"},          {"X-A\r\nX-B", "c"}, {"X:A", "b"}, {"", "b"},
      {"X-A", std::string("a\0b", 3)}, {"X-A", "b\nc"}};
  for (const auto& header : bad) {
    Request request = Client::request_for(server.url());
    request.headers = {header};
    const auto answer = client.send(request);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().message().find(header.second.substr(0, 3) + "\n"), std::string::npos);
    EXPECT_EQ(answer.error().kind(), ErrorKind::kInvalid);
  }
  for (const char* method : {"", "GET /other HTTP/1.1\r\nX: y", "GE T"}) {
    Request request = Client::request_for(server.url());
    request.method = method;
    EXPECT_FALSE(client.send(request)) << method;
  }
  EXPECT_TRUE(server.requests().empty());
}

TEST_F(TransportTest, PrintsNoPasswordAndNoQuery) {
  std::vector<std::string> lines;
  Options options;
  options.trace = [&](std::string_view line) { lines.emplace_back(line); };
  Client client(options);
  HttpServer server(answering({.fault = Fault::kClose}));
  const std::string at = server.url().substr(7);
  for (const std::string& url :
       {"http://user:hunter2@" + at + "/path?token=hunter2#hunter2",
        "http://user:hun/hunter2@" + at + "/path", "http://user:hun?hunter2@" + at + "/path",
        "http://user:hun#hunter2@" + at, "http://hunter2@" + at, std::string("user:hunter2@127.0.0.1:1/x"),
        std::string("http://user:hunter2@name.invalid/"), std::string("http://user:hunter2@bad host/")}) {
    const std::string error = client.error(url);
    EXPECT_EQ(error.find("hunter2"), std::string::npos) << error;
  }
  for (const auto& line : lines) EXPECT_EQ(line.find("hunter2"), std::string::npos) << line;
  EXPECT_EQ(client.error("http://user:hunter2@" + at + "/path?q"),
            "GET " + server.url() + "/path: " + at + " closed the connection without an answer");
}

// ---- TLS ----

TEST_F(TransportTest, TrustsTheNamedAuthorityAlone) {
  const CertificateAuthority authority, other;
  HttpServer server(answering({.body = "safe"}), authority.issue({"127.0.0.1"}));
  {
    Client client(trusting(authority));
    const auto answer = client.get(server.url());
    ASSERT_TRUE(answer) << answer.error().message();
    EXPECT_EQ(answer->body, "safe");
  }
  Client client(trusting(other));
  const auto refused = client.get(server.url());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), ErrorKind::kUnavailable);
  EXPECT_NE(refused.error().message().find(host(server)), std::string::npos) << refused.error().message();
  EXPECT_NE(refused.error().hint().find("--ca-file"), std::string::npos) << refused.error().hint();
  Request any = Client::request_for(server.url());
  any.insecure = true;
  EXPECT_TRUE(client.send(any)) << "asked for, once";
  EXPECT_FALSE(client.get(server.url())) << "and not for what comes after";
}

TEST_F(TransportTest, ReadsTheAuthoritiesOnceForAllConnections) {
  const CertificateAuthority authority;
  HttpServer server(answering({}), authority.issue({"127.0.0.1"}));
  const Options options = trusting(authority);
  const int opened = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  ASSERT_GE(::inotify_add_watch(opened, options.ca_file.c_str(), IN_OPEN), 0);
  Client client(options);
  constexpr std::size_t kMany = 4;
  std::size_t done = 0;
  for (std::size_t i = 0; i < kMany; ++i) {
    Request request = Client::request_for(server.url());
    request.deadline = in(test::kPatience);
    request.repeat = Request::Repeat::kNever;
    client.transport->send(std::move(request), [&done](Result<Response> answer) {
      EXPECT_TRUE(answer) << answer.error().message();
      ++done;
    });
  }
  client.run_until([&] { return done == kMany; });
  EXPECT_EQ(server.connections(), kMany);
  // Without names, since it is a file that is watched.
  alignas(inotify_event) std::array<char, (kMany + 1) * sizeof(inotify_event)> events{};
  EXPECT_EQ(::read(opened, events.data(), events.size()), static_cast<ssize_t>(sizeof(inotify_event)));
  ::close(opened);
}

TEST_F(TransportTest, ReadsNoAuthoritiesForWhomItNeedNotBelieve) {
  const CertificateAuthority authority;
  HttpServer plain(answering({})), any(answering({}), authority.issue({"127.0.0.1"}));
  Options options;
  options.ca_file = "/nonexistent.pem";
  Client client(options);
  EXPECT_TRUE(client.get(plain.url()));
  Request request = Client::request_for(any.url());
  request.insecure = true;
  EXPECT_TRUE(client.send(request));
}

TEST_F(TransportTest, TheEnvironmentNamesAuthorities) {
  const CertificateAuthority authority, other;
  HttpServer server(answering({}), authority.issue({"127.0.0.1"}));
  const auto file = folder.write("env.pem", authority.pem());
  ::setenv("SSL_CERT_FILE", file.c_str(), 1);
  EXPECT_TRUE(Client().get(server.url()));
  EXPECT_FALSE(Client(trusting(other)).get(server.url())) << "what the user named goes before";
  ::unsetenv("SSL_CERT_FILE");
  EXPECT_FALSE(Client().get(server.url()));
  const auto directory = folder / "certs";
  folder.write("certs/authority.pem", authority.pem());
  ASSERT_EQ(test::run({"openssl", "rehash", directory.string()}).exit_code, 0);
  ::setenv("SSL_CERT_DIR", directory.c_str(), 1);
  EXPECT_TRUE(Client().get(server.url()));
  ::unsetenv("SSL_CERT_DIR");
}

TEST_F(TransportTest, SaysWhatIsWrongWithACertificate) {
  const CertificateAuthority authority;
  const auto message = [&](const Certificate& certificate) {
    HttpServer server(answering({}), certificate);
    const std::string error = Client(trusting(authority)).error(server.url());
    EXPECT_NE(error.find(host(server)), std::string::npos) << error;
    EXPECT_TRUE(server.requests().empty());
    return error;
  };
  const std::string expired = message(authority.issue({"127.0.0.1"}, -1h));
  EXPECT_NE(expired.find("expired"), std::string::npos) << expired;
  const std::string misnamed = message(authority.issue({"other.example"}));
  EXPECT_NE(misnamed.find("127.0.0.1"), std::string::npos) << misnamed;
}

TEST_F(TransportTest, AuthoritiesThatCannotBeRead) {
  const CertificateAuthority authority;
  HttpServer server(answering({}), authority.issue({"127.0.0.1"}));
  for (const std::string& file : {std::string("/nonexistent.pem"), folder.write("junk.pem", "junk").string(),
                                  folder.write("empty.pem", "").string(),
                                  folder.write("cut.pem", authority.pem().substr(0, 200)).string(),
                                  folder
                                      .write("wrong.pem",
                                             "-----BEGIN CERTIFICATE-----\nAAAA\n"
                                             "-----END CERTIFICATE-----\n")
                                      .string()}) {
    Options options;
    options.ca_file = file;
    const auto answer = Client(options).get(server.url());
    ASSERT_FALSE(answer) << file;
    EXPECT_EQ(answer.error().kind(), ErrorKind::kConfig) << answer.error().message();
    EXPECT_NE(answer.error().message().find(file), std::string::npos) << answer.error().message();
  }
}

TEST_F(TransportTest, TlsWithSomebodyWhoSpeaksNone) {
  HttpServer server(answering({}));
  const std::string url = "https://" + host(server);
  const auto answer = Client().get(url);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind(), ErrorKind::kUnavailable) << answer.error().message();
  EXPECT_EQ(answer.error().message().rfind("GET " + url + ": ", 0), 0u) << answer.error().message();
}

// ---- deadlines ----

// The error must have come by the deadline and not by another way.
std::string timed_out(Client& client, const std::string& url, std::chrono::milliseconds time = 200ms) {
  Request request = Client::request_for(url);
  request.deadline = in(time);
  const auto answer = client.send(request);
  if (answer) return "HTTP " + std::to_string(answer->status);
  EXPECT_EQ(answer.error().kind(), ErrorKind::kTimeout) << answer.error().message();
  return answer.error().message();
}

void expect_phase(const std::string& message, const std::string& phase) {
  EXPECT_NE(message.find(": timed out after "), std::string::npos) << message;
  EXPECT_TRUE(message.ends_with(", " + phase)) << message;
}

TEST_F(TransportTest, NamesThePhaseInWhichTimeRanOut) {
  HttpServer silent(answering({.fault = Fault::kSilence}));
  HttpServer dripping(answering({.body = std::string(1000, 'x'), .fault = Fault::kDrip}));
  Client client;
  expect_phase(timed_out(client, silent.url()), "waiting for the answer");
  expect_phase(timed_out(client, dripping.url()), "waiting for the answer");
  DeafPort port;
  port.listen();
  expect_phase(timed_out(client, "https://" + port.host()), "the TLS handshake with " + port.host());
  DeafPort busy;
  busy.listen_and_be_busy();
  expect_phase(timed_out(client, "https://" + busy.host()), "connecting to " + busy.host());
  expect_phase(timed_out(client, "http://" + busy.host()), "connecting to " + busy.host());
}

TEST_F(TransportTest, OnAKeptConnectionItWaitsForTheAnswer) {
  HttpServer server([](const HttpRequest& r) {
    return r.path() == "/silent" ? HttpResponse{.fault = Fault::kSilence} : HttpResponse{.body = "x"};
  });
  Client client;
  ASSERT_TRUE(client.get(server.url()));
  expect_phase(timed_out(client, server.url() + "/silent"), "waiting for the answer");
  EXPECT_EQ(server.connections(), 1u);
}

TEST_F(TransportTest, ALookUpThatNeverEndsHoldsNobodyUp) {
  {
    Client client;
    expect_phase(timed_out(client, std::string("http://") + kSilentName + "/"),
                 std::string("looking up the name of ") + kSilentName);
    HttpServer server(answering({.body = "x"}));
    EXPECT_TRUE(client.get(server.url())) << "meanwhile others are served";
  }  // and the transport ends without waiting for it
  name_server().release();
}

TEST_F(TransportTest, ADeadlineThatHasPassedIsAnswered) {
  HttpServer server(answering({.fault = Fault::kSilence}));
  Client client;
  EXPECT_EQ(timed_out(client, server.url(), -1s), "GET " + server.url() + ": no time was left for it");
}

// ---- the end ----

TEST_F(TransportTest, CancelsEverythingUnderWay) {
  HttpServer server(answering({.fault = Fault::kSilence}));
  Client client;
  int cancelled = 0;
  for (int i = 0; i < 5; ++i) {
    client.transport->send(Client::request_for(server.url()), [&](Result<Response> answer) {
      ASSERT_FALSE(answer);
      EXPECT_EQ(answer.error().kind(), ErrorKind::kCancelled);
      ++cancelled;
    });
  }
  client.loop.poll();
  client.transport->cancel_all();
  EXPECT_EQ(cancelled, 0) << "never from inside cancel_all";
  client.run_until([&] { return cancelled == 5; });
  HttpServer good(answering({.body = "x"}));
  EXPECT_TRUE(client.get(good.url())) << "it can be used on";
}

TEST_F(TransportTest, DestroyedItAnswersWhatWasUnderWay) {
  HttpServer server(answering({.fault = Fault::kSilence}));
  Client client;
  std::optional<Result<Response>> answer;
  client.transport->send(Client::request_for(server.url()),
                         [&](Result<Response> r) { answer.emplace(std::move(r)); });
  client.loop.poll();
  client.transport.reset();
  EXPECT_FALSE(answer) << "on the loop, as always";
  client.run_until([&] { return answer.has_value(); });
  ASSERT_FALSE(*answer);
  EXPECT_EQ(answer->error().kind(), ErrorKind::kCancelled);
  client.loop.restart();
  client.loop.run();  // nothing of it is left that would keep the loop running
}

TEST_F(TransportTest, MayBeUsedAndDestroyedFromInsideAnAnswer) {
  HttpServer server(answering({.body = "x"}));
  Client client;
  bool done = false;
  client.transport->send(Client::request_for(server.url()), [&](Result<Response>) {
    client.transport->send(Client::request_for(server.url()), [&](Result<Response> second) {
      EXPECT_TRUE(second);
      client.transport.reset();
      done = true;
    });
  });
  client.run_until([&] { return done; });
}

}  // namespace
}  // namespace cnspec::transport
