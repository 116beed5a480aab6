// A real HTTP/1.1 server on a free loopback port, with scripted answers and scripted misbehaviour, and a
// certificate authority for its TLS. Failures of the machinery itself throw std::runtime_error.
//
//   HttpServer server([](const HttpRequest& r) { return HttpResponse{.body = "hello " + r.path()}; });
//   ... GET server.url() + "/you" ...
//   EXPECT_EQ(server.requests().at(0).method, "GET");
//
//   CertificateAuthority ca;
//   HttpServer secure(handler, ca.issue({"127.0.0.1"}));   // clients trust ca.pem()
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cnspec::test {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;
  std::string target;   // as sent: "/a?b=c", or an absolute URL when the server is used as a proxy
  HttpHeaders headers;  // names in lower case, in the order sent
  std::string body;
  std::size_t connection = 0;  // which of the server's connections, counted from 0: keep-alive can be seen

  std::string header(std::string_view lower_case_name) const;  // the first; empty when absent
  std::string path() const;                                    // the target up to '?'
};

struct HttpResponse {
  // What is done instead of answering well.
  enum class Fault {
    kNone,
    kClose,           // closes the connection without an answer
    kReset,           // the same with a TCP reset
    kSilence,         // never answers and keeps the connection open
    kRaw,             // sends `body` as it is, in place of a whole answer, and closes
    kCut,             // announces the whole body, sends half of it and closes
    kDrip,            // one byte of the body every 10 ms, without end after its last one
    kEndless,         // a chunked body without end, as fast as it is taken
    kEndlessHeaders,  // `body` among the headers, again and again without end, as fast as it is taken
  };

  int status = 200;
  HttpHeaders headers = {};  // Content-Length is added; Content-Type is not
  std::string body = {};
  Fault fault = Fault::kNone;
};

// PEM texts; `key` is the certificate's private key.
struct Certificate {
  std::string chain;
  std::string key;
};

// Made anew on every run, so nothing can trust it by accident.
class CertificateAuthority {
 public:
  CertificateAuthority();
  ~CertificateAuthority();
  CertificateAuthority(const CertificateAuthority&) = delete;
  CertificateAuthority& operator=(const CertificateAuthority&) = delete;

  std::string pem() const;  // what a client must trust

  // A server's certificate for DNS names and IP addresses. It began a day before `ends`, or a day ago,
  // whichever is earlier: a negative `ends` makes an expired one.
  Certificate issue(const std::vector<std::string>& names,
                    std::chrono::seconds ends = std::chrono::hours(24)) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Accepts connections from the constructor's return until the destructor's begin, which waits for nobody.
class HttpServer {
 public:
  // Called on the server's one thread, one request at a time; while it blocks nobody is served. What it
  // throws is answered with status 500 and the exception's text.
  using Handler = std::function<HttpResponse(const HttpRequest&)>;

  explicit HttpServer(Handler handler);
  HttpServer(Handler handler, const Certificate& certificate);  // TLS, from 1.2
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  unsigned short port() const;
  std::string url() const;  // http://127.0.0.1:PORT or https://127.0.0.1:PORT

  // Any thread. What has come so far, in order of arrival; the handler's answer may still be under way.
  std::vector<HttpRequest> requests() const;
  std::size_t connections() const;  // accepted so far, failed TLS handshakes included
  // Any thread but the handler's. Waits until that many requests have come; throws when they do not come in a
  // minute.
  void wait_for_requests(std::size_t count) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cnspec::test
