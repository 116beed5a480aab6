#include "support/http_server.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace cnspec::test {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::use_awaitable;
using asio::ip::tcp;

constexpr std::size_t kMaxRequest = 64u << 20;
constexpr std::chrono::milliseconds kDripPause{10};

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c); });
  return text;
}

// ---- Certificates ----

template <class T, void (*Free)(T*)>
struct Freed {
  void operator()(T* p) const { Free(p); }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY, EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Freed<X509, X509_free>>;
using BioPtr = std::unique_ptr<BIO, Freed<BIO, BIO_free_all>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION, X509_EXTENSION_free>>;

void expect(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(std::string("certificate for a test: ") + what);
}

Key make_key() {
  Key key(EVP_EC_gen("P-256"));
  expect(key != nullptr, "no key");
  return key;
}

void extend(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  expect(extension && X509_add_ext(certificate, extension.get(), -1) == 1, "extension refused");
}

X509Ptr make_certificate(EVP_PKEY* key, const std::string& name, std::chrono::seconds ends) {
  X509Ptr certificate(X509_new());
  expect(certificate && X509_set_version(certificate.get(), 2) == 1, "no certificate");
  std::uint64_t serial = 0;
  expect(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1, "no random number");
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate.get()), serial >> 1);
  constexpr std::chrono::seconds kDay = std::chrono::hours(24);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()),
                  (std::min(ends, std::chrono::seconds(0)) - kDay).count());
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), ends.count());
  X509_set_pubkey(certificate.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.data()),
                             static_cast<int>(name.size()), -1, 0);
  return certificate;
}

template <class Write>
std::string pem_of(Write write) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  expect(bio && write(bio.get()) == 1, "cannot be written");
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

std::string pem_of(X509* certificate) {
  return pem_of([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

std::string alternative_names(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) {
    boost::system::error_code no_address;
    asio::ip::make_address(name, no_address);
    out += (out.empty() ? "" : ",") + std::string(no_address ? "DNS:" : "IP:") + name;
  }
  return out;
}

}  // namespace

struct CertificateAuthority::State {
  Key key = make_key();
  X509Ptr certificate = make_certificate(key.get(), "cnspec test authority", std::chrono::hours(48));
};

CertificateAuthority::CertificateAuthority() : state_(std::make_unique<State>()) {
  X509* self = state_->certificate.get();
  X509_set_issuer_name(self, X509_get_subject_name(self));
  extend(self, self, NID_basic_constraints, "critical,CA:TRUE");
  extend(self, self, NID_key_usage, "critical,keyCertSign,cRLSign");
  extend(self, self, NID_subject_key_identifier, "hash");
  expect(X509_sign(self, state_->key.get(), EVP_sha256()) > 0, "not signed");
}

CertificateAuthority::~CertificateAuthority() = default;

std::string CertificateAuthority::pem() const { return pem_of(state_->certificate.get()); }

Certificate CertificateAuthority::issue(const std::vector<std::string>& names,
                                        std::chrono::seconds ends) const {
  const Key key = make_key();
  const X509Ptr leaf = make_certificate(key.get(), names.at(0), ends);
  X509* issuer = state_->certificate.get();
  X509_set_issuer_name(leaf.get(), X509_get_subject_name(issuer));
  extend(leaf.get(), issuer, NID_basic_constraints, "critical,CA:FALSE");
  extend(leaf.get(), issuer, NID_key_usage, "critical,digitalSignature");
  extend(leaf.get(), issuer, NID_ext_key_usage, "serverAuth");
  extend(leaf.get(), issuer, NID_subject_alt_name, alternative_names(names));
  extend(leaf.get(), issuer, NID_subject_key_identifier, "hash");
  extend(leaf.get(), issuer, NID_authority_key_identifier, "keyid");
  expect(X509_sign(leaf.get(), state_->key.get(), EVP_sha256()) > 0, "not signed");
  return {pem_of(leaf.get()), pem_of([&](BIO* bio) {
            return PEM_write_bio_PKCS8PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
          })};
}

// ---- Requests ----

std::string HttpRequest::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return value;
  }
  return {};
}

std::string HttpRequest::path() const { return target.substr(0, target.find('?')); }

// ---- The server: one thread, one coroutine a connection ----

struct HttpServer::State {
  Handler handler;
  std::unique_ptr<asio::ssl::context> tls;
  asio::io_context loop{1};
  tcp::acceptor acceptor{loop, tcp::endpoint(asio::ip::address_v4::loopback(), 0)};
  const unsigned short port = acceptor.local_endpoint().port();
  std::atomic<std::size_t> connections{0};

  mutable std::mutex mutex;  // guards requests
  mutable std::condition_variable arrived;
  std::vector<HttpRequest> requests;

  std::thread thread;

  explicit State(Handler h) : handler(std::move(h)) {}

  void run() {
    asio::co_spawn(loop, accept(), asio::detached);
    thread = std::thread([this] { loop.run(); });
  }

  void stop() {
    loop.stop();
    thread.join();
  }

  asio::awaitable<void> accept() {
    for (;;) {
      tcp::socket socket = co_await acceptor.async_accept(use_awaitable);
      const std::size_t number = connections++;
      if (tls) {
        asio::co_spawn(loop, serve_tls(std::move(socket), number), asio::detached);
      } else {
        asio::co_spawn(loop, serve_plain(std::move(socket), number), asio::detached);
      }
    }
  }

  asio::awaitable<void> serve_plain(tcp::socket socket, std::size_t number) {
    co_await serve(socket, socket, number);
    boost::system::error_code ignored;
    socket.shutdown(tcp::socket::shutdown_send, ignored);
    co_await drain(socket);
  }

  asio::awaitable<void> serve_tls(tcp::socket socket, std::size_t number) {
    asio::ssl::stream<tcp::socket> stream(std::move(socket), *tls);
    try {
      co_await stream.async_handshake(asio::ssl::stream_base::server, use_awaitable);
    } catch (const boost::system::system_error&) {
      co_return;  // the client did not trust us; connections() tells
    }
    co_await serve(stream, stream.next_layer(), number);
    try {
      if (stream.next_layer().is_open()) co_await stream.async_shutdown(use_awaitable);
    } catch (const boost::system::system_error&) {
      // Few clients say goodbye.
    }
  }

  // Waits for the client's end: closing with unread bytes would reset the connection under its feet.
  asio::awaitable<void> drain(tcp::socket& socket) {
    try {
      char bytes[4096];
      while (socket.is_open()) co_await socket.async_read_some(asio::buffer(bytes), use_awaitable);
    } catch (const boost::system::system_error&) {
    }
  }

  template <class Stream>
  asio::awaitable<void> serve(Stream& stream, tcp::socket& socket, std::size_t number) {
    try {
      boost::beast::flat_buffer buffer;
      bool keep = true;
      while (keep) {
        http::request_parser<http::string_body> parser;
        parser.body_limit(kMaxRequest);
        co_await http::async_read_header(stream, buffer, parser, use_awaitable);
        if (boost::beast::iequals(parser.get()[http::field::expect], "100-continue")) {
          static constexpr char kGoOn[] = "HTTP/1.1 100 Continue\r\n\r\n";
          co_await asio::async_write(stream, asio::buffer(kGoOn, sizeof kGoOn - 1), use_awaitable);
        }
        co_await http::async_read(stream, buffer, parser, use_awaitable);
        const auto message = parser.release();
        const HttpRequest request = noted(message, number);
        keep = co_await answer(stream, socket, request, handled(request), message.keep_alive());
      }
    } catch (const boost::system::system_error&) {
      // The client went away, or sent what is no request.
    }
  }

  HttpRequest noted(const http::request<http::string_body>& message, std::size_t number) {
    HttpRequest request;
    request.method = std::string(message.method_string());
    request.target = std::string(message.target());
    for (const auto& field : message) {
      request.headers.emplace_back(lower(std::string(field.name_string())), std::string(field.value()));
    }
    request.body = message.body();
    request.connection = number;
    const std::lock_guard lock(mutex);
    requests.push_back(request);
    arrived.notify_all();
    return request;
  }

  HttpResponse handled(const HttpRequest& request) const {
    try {
      return handler(request);
    } catch (const std::exception& error) {
      return {.status = 500, .headers = {{"Content-Type", "text/plain"}}, .body = error.what()};
    }
  }

  static std::string head(const HttpResponse& response, const std::string& length, bool keep) {
    const auto status = http::int_to_status(static_cast<unsigned>(response.status));
    std::string out = "HTTP/1.1 " + std::to_string(response.status) + ' ' +
                      std::string(http::obsolete_reason(status)) + "\r\n" + length + "\r\n";
    for (const auto& [name, value] : response.headers) out += name + ": " + value + "\r\n";
    return out + (keep ? "\r\n" : "Connection: close\r\n\r\n");
  }

  // Whether the connection can serve another request.
  template <class Stream>
  asio::awaitable<bool> answer(Stream& stream, tcp::socket& socket, const HttpRequest& request,
                               const HttpResponse& response, bool keep) {
    using Fault = HttpResponse::Fault;
    const std::string length = "Content-Length: " + std::to_string(response.body.size());
    // Coroutines of GCC 12 destroy temporaries of a co_await twice in some places: every text has a name.
    std::string text;
    switch (response.fault) {
      case Fault::kNone: {
        const bool no_body = request.method == "HEAD" || response.status == 204 || response.status == 304;
        text = head(response, length, keep) + (no_body ? "" : response.body);
        co_await asio::async_write(stream, asio::buffer(text), use_awaitable);
        co_return keep;
      }
      case Fault::kClose: co_return false;
      case Fault::kReset:
        socket.set_option(asio::socket_base::linger(true, 0));
        socket.close();
        co_return false;
      case Fault::kSilence: co_await drain(socket); co_return false;
      case Fault::kRaw:
        co_await asio::async_write(stream, asio::buffer(response.body), use_awaitable);
        co_return false;
      case Fault::kCut:
        text = head(response, length, false) + response.body.substr(0, response.body.size() / 2);
        co_await asio::async_write(stream, asio::buffer(text), use_awaitable);
        co_return false;
      case Fault::kDrip: {
        text = head(response, "Content-Length: " + std::to_string(response.body.size() + 1), false);
        co_await asio::async_write(stream, asio::buffer(text), use_awaitable);
        asio::steady_timer pause(loop);
        for (const char& byte : response.body) {
          co_await asio::async_write(stream, asio::buffer(&byte, 1), use_awaitable);
          pause.expires_after(kDripPause);
          co_await pause.async_wait(use_awaitable);
        }
        co_await drain(socket);
        co_return false;
      }
      case Fault::kEndless: {
        text = head(response, "Transfer-Encoding: chunked", false);
        co_await asio::async_write(stream, asio::buffer(text), use_awaitable);
        text = "10000\r\n" + std::string(0x10000, 'x') + "\r\n";
        for (;;) co_await asio::async_write(stream, asio::buffer(text), use_awaitable);
      }
      case Fault::kEndlessHeaders: {
        text = head(response, "Server: test", true);
        text.resize(text.size() - 2);  // without the empty line
        co_await asio::async_write(stream, asio::buffer(text), use_awaitable);
        for (;;) co_await asio::async_write(stream, asio::buffer(response.body), use_awaitable);
      }
    }
    co_return false;
  }
};

HttpServer::HttpServer(Handler handler) : state_(std::make_unique<State>(std::move(handler))) {
  state_->run();
}

HttpServer::HttpServer(Handler handler, const Certificate& certificate)
    : state_(std::make_unique<State>(std::move(handler))) {
  state_->tls = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  SSL_CTX_set_min_proto_version(state_->tls->native_handle(), TLS1_2_VERSION);
  state_->tls->use_certificate_chain(asio::buffer(certificate.chain));
  state_->tls->use_private_key(asio::buffer(certificate.key), asio::ssl::context::pem);
  state_->run();
}

HttpServer::~HttpServer() { state_->stop(); }

unsigned short HttpServer::port() const { return state_->port; }

std::string HttpServer::url() const {
  return (state_->tls ? "https://127.0.0.1:" : "http://127.0.0.1:") + std::to_string(port());
}

std::vector<HttpRequest> HttpServer::requests() const {
  const std::lock_guard lock(state_->mutex);
  return state_->requests;
}

std::size_t HttpServer::connections() const { return state_->connections; }

void HttpServer::wait_for_requests(std::size_t count) const {
  std::unique_lock lock(state_->mutex);
  // The system clock, since thread sanitizers know the plain timed wait alone.
  if (!state_->arrived.wait_until(lock, std::chrono::system_clock::now() + std::chrono::minutes(1),
                                  [&] { return state_->requests.size() >= count; })) {
    throw std::runtime_error("only " + std::to_string(state_->requests.size()) + " of " +
                             std::to_string(count) + " requests came");
  }
}

}  // namespace cnspec::test
