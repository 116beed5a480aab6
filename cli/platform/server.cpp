#include "server.hpp"

#include <openssl/ssl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <set>
#include <utility>
#include <vector>

#include "base/log.hpp"

namespace cnspec::platform {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using boost::system::error_code;
using tcp = asio::ip::tcp;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxHeader = 16 << 10;
constexpr std::size_t kMaxBody = 1 << 20;
constexpr std::size_t kReadSize = 4 << 10;
constexpr std::size_t kMaxDrained = 16 << 20;
constexpr std::size_t kPiece = 64 << 10;  // of a file
constexpr std::string_view kRegistry = "providers/";
constexpr std::chrono::seconds kIdle{60};
constexpr std::chrono::seconds kLinger{2};
constexpr std::chrono::seconds kGrace{1};
constexpr std::chrono::seconds kBetweenComplaints{10};
// More than there are processors: most of them wait for the disk, and those that do so together wait once.
constexpr std::size_t kWorkers = 16;

auto into(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

bool is_http_error(const error_code& error) {
  return error.category() == http::make_error_code(http::error::end_of_stream).category() &&
         error != http::error::end_of_stream && error != http::error::partial_message;
}

std::string path_of(beast::string_view target) {
  const std::string_view text(target.data(), target.size());
  const std::string_view path = text.substr(0, text.find('?'));
  return std::string(path.starts_with('/') ? path.substr(1) : path);
}

std::string header(const http::fields& fields, http::field name) {
  const auto value = fields[name];
  return {value.data(), value.size()};
}

Answer unreadable(const error_code& error) {
  const auto refuse = [](int status, Code code, const std::string& message) {
    Answer answer = failure(code, message, Format::kJson);
    answer.status = status;
    answer.reason = message;
    return answer;
  };
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return refuse(431, Code::kResourceExhausted, "the request's header is larger than 16 KiB");
  }
  if (error == http::error::body_limit) {
    return refuse(413, Code::kResourceExhausted, "the request's body is larger than 1 MiB");
  }
  return refuse(400, Code::kInvalidArgument, "malformed HTTP request: " + error.message());
}

Answer wrong_verb(const std::string& what, const char* right) {
  Answer answer = failure(Code::kUnimplemented, what + " is asked for with " + right, Format::kJson);
  answer.status = 405;
  answer.allow = right;
  return answer;
}

Answer failed_on_demand(const Failure& failure_wanted, const Call& call) {
  if (failure_wanted.kind == Failure::Kind::kHtml) {
    return {
        Code::kUnavailable, 502, "text/html",
        "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"};
  }
  if (failure_wanted.kind == Failure::Kind::kGarbage) {
    return {Code::kOk, 200, std::string(content_type(accepted(call.accept, Format::kJson))),
            "\xff\xfe{garbage"};
  }
  // The words the platform's users know; everything else says where it comes from.
  const Format in = format_of(call.content_type).value_or(Format::kJson);
  const std::string message = failure_wanted.code == Code::kUnauthenticated
                                  ? "request permission unauthenticated"
                                  : "failed on demand (--fail)";
  return failure(failure_wanted.code, message, accepted(call.accept, in));
}

}  // namespace

struct Server::State {
  class Connection;

  State(ServerOptions given, asio::ssl::context context)
      : options(std::move(given)),
        tls(std::move(context)),
        acceptor(loop),
        signals(loop),
        grace(loop),
        pause(loop) {}

  ServerOptions options;
  asio::io_context loop{1};
  asio::ssl::context tls;
  tcp::acceptor acceptor;
  asio::signal_set signals;
  asio::steady_timer grace;
  asio::steady_timer pause;          // after a failure to accept
  Clock::time_point next_complaint;  // about one, so that they do not fill the log
  asio::thread_pool workers{kWorkers};
  std::set<Connection*> connections;
  Service* service = nullptr;
  std::string url;
  bool stopping = false;

  asio::awaitable<void> accept();
  bool evict();  // false when no connection waits
  void stop();
  void left(Connection* connection);
};

// Everything happens on the loop's thread.
class Server::State::Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(State& server, tcp::socket socket)
      : server_(server), stream_(std::move(socket), server.tls), timer_(server.loop), delay_(server.loop) {}

  asio::awaitable<void> run();

  // True while nothing but the client's next bytes (or a --delay) keeps the connection from going on.
  bool waits() const { return waiting_ && !interrupted_; }
  Clock::time_point waits_since() const { return since_; }
  // Closes it as soon as it waits.
  void interrupt() {
    interrupted_ = true;
    if (waiting_) expire(generation_);
  }

 private:
  // Between allow() and disarm() operations end with an error when the time is over.
  void allow(Clock::duration time, bool waiting) {
    since_ = Clock::now();
    waiting_ = waiting;
    timed_out_ = false;
    ++generation_;
    timer_.expires_after(interrupted_ && waiting ? Clock::duration::zero() : time);
    watch();
  }
  void disarm() {
    ++generation_;
    waiting_ = false;
    timer_.cancel();
  }
  void watch() {
    timer_.async_wait([self = shared_from_this(), generation = generation_](const error_code& error) {
      if (!error) self->expire(generation);
    });
  }
  // A TLS operation has moments in which there is nothing to cancel on its socket: hence again and again.
  void expire(unsigned generation) {
    if (generation != generation_) return;
    timed_out_ = true;
    error_code ignored;
    stream_.next_layer().cancel(ignored);
    delay_.cancel();
    timer_.expires_after(std::chrono::milliseconds(20));
    watch();
  }

  asio::awaitable<bool> exchange();
  asio::awaitable<bool> wait_for_bytes();
  asio::awaitable<Answer> answer(Call call, std::string verb);
  asio::awaitable<Answer> work(Call call);
  asio::awaitable<bool> send(const Answer& answer, unsigned version, bool keep_alive, bool without_body);
  asio::awaitable<bool> send_file(Served file, unsigned version, bool keep_alive, bool without_body);
  asio::awaitable<void> close();
  void log(std::string_view what, const Answer& answer, Clock::time_point begin) const;
  void log_file(const std::string& what, int status, Clock::time_point begin) const;

  State& server_;
  asio::ssl::stream<tcp::socket> stream_;
  beast::flat_buffer buffer_{kMaxHeader + kReadSize};
  asio::steady_timer timer_;
  asio::steady_timer delay_;
  Clock::time_point since_ = Clock::now();
  unsigned generation_ = 0;
  bool waiting_ = false;
  bool timed_out_ = false;
  bool interrupted_ = false;
};

asio::awaitable<void> Server::State::Connection::run() {
  try {
    error_code error;
    allow(server_.options.request_timeout, true);
    co_await stream_.async_handshake(asio::ssl::stream_base::server, into(error));
    disarm();
    if (error) {
      if (server_.options.access_log) log::info("TLS handshake failed: " + error.message());
    } else {
      bool more = true;
      while (more) more = co_await exchange();
      if (!interrupted_) co_await close();
    }
  } catch (const std::exception& error) {
    log::error(std::string("a connection failed: ") + error.what());
  }
  disarm();
  server_.left(this);
}

// One request and its answer. False: the connection is to be closed.
asio::awaitable<bool> Server::State::Connection::exchange() {
  if (buffer_.size() == 0 && !co_await wait_for_bytes()) co_return false;

  const auto begin = Clock::now();
  http::request_parser<http::string_body> parser;
  parser.header_limit(kMaxHeader);
  parser.body_limit(kMaxBody);
  error_code error;
  allow(server_.options.request_timeout, true);
  co_await http::async_read_header(stream_, buffer_, parser, into(error));
  if (!error && beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    http::response<http::empty_body> go_on(http::status::continue_, parser.get().version());
    co_await http::async_write(stream_, go_on, into(error));
  }
  if (!error) co_await http::async_read(stream_, buffer_, parser, into(error));
  const bool timed_out = timed_out_;
  disarm();
  if (interrupted_) co_return false;

  if (error) {
    if (!timed_out && !is_http_error(error)) co_return false;  // the client has gone
    Answer refusal = unreadable(error);
    if (timed_out) {
      refusal = failure(Code::kCanceled, "the request was not complete in time", Format::kJson);
      refusal.reason = "the request was not complete in time";
    }
    if (server_.options.access_log) log("(unreadable)", refusal, begin);  // anybody can make it
    co_await send(refusal, 11, false, false);
    co_return false;
  }

  http::request<http::string_body> request = parser.release();
  const std::string verb(request.method_string().data(), request.method_string().size());
  Call call;
  call.method = path_of(request.target());
  call.authorization = header(request, http::field::authorization);
  call.content_type = header(request, http::field::content_type);
  call.accept = header(request, http::field::accept);
  call.body = std::move(request.body());
  const std::string what = verb + " /" + call.method.substr(0, 200);

  if (const auto delay = server_.options.faults.delay_of(call.method)) {
    allow(*delay + kIdle, true);
    delay_.expires_after(*delay);
    co_await delay_.async_wait(into(error));
    disarm();
    if (interrupted_) co_return false;
  }
  const auto failure_wanted = server_.options.faults.failure_of(call.method);
  if (failure_wanted && failure_wanted->kind == Failure::Kind::kHangup) {
    stream_.next_layer().close(error);
    co_return false;
  }
  const bool keep_alive = request.keep_alive() && !server_.stopping;
  const bool reads = verb == "GET" || verb == "HEAD";
  if (!failure_wanted && reads && server_.options.registry && call.method.starts_with(kRegistry)) {
    Conditions conditions;
    conditions.if_none_match = header(request, http::field::if_none_match);
    conditions.if_range = header(request, http::field::if_range);
    conditions.range = header(request, http::field::range);
    Served file = server_.options.registry->find(call.method.substr(kRegistry.size()), conditions);
    log_file(what, file.status, begin);
    if (!co_await send_file(std::move(file), request.version(), keep_alive, verb == "HEAD")) co_return false;
    co_return keep_alive;
  }
  Answer reply;
  if (failure_wanted) {
    reply = failed_on_demand(*failure_wanted, call);
  } else {
    reply = co_await answer(std::move(call), verb);
  }
  log(what, reply, begin);
  if (!co_await send(reply, request.version(), keep_alive, verb == "HEAD")) co_return false;
  co_return keep_alive;
}

asio::awaitable<bool> Server::State::Connection::wait_for_bytes() {
  error_code error;
  allow(kIdle, true);
  const std::size_t size = co_await stream_.async_read_some(buffer_.prepare(kReadSize), into(error));
  disarm();
  buffer_.commit(size);
  co_return !error && !interrupted_;
}

asio::awaitable<Answer> Server::State::Connection::answer(Call call, std::string verb) {
  if (auto document = server_.service->document(call.method)) {
    const bool reads = verb == "GET" || verb == "HEAD";
    co_return reads ? std::move(*document) : wrong_verb("/" + call.method, "GET");
  }
  if (verb != "POST") {
    if (Service::has_method(call.method)) co_return wrong_verb("the method " + call.method, "POST");
    co_return failure(Code::kNotFound, "there is nothing at /" + call.method.substr(0, 200), Format::kJson);
  }
  if (Service::is_quick(call.method)) co_return server_.service->call(call);
  co_return co_await work(std::move(call));
}

// On a worker's thread, and back.
asio::awaitable<Answer> Server::State::Connection::work(Call call) {
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>&, void(Answer)>(
      [](auto handler, State* server, Call given) {
        asio::post(
            server->workers, [handler = std::move(handler), server, given = std::move(given)]() mutable {
              Answer answer;
              try {
                answer = server->service->call(given);
              } catch (const std::exception& error) {
                answer = failure(Code::kInternal, "the platform failed", Format::kJson);
                answer.reason = error.what();
              }
              asio::post(server->loop, [handler = std::move(handler), answer = std::move(answer)]() mutable {
                handler(std::move(answer));
              });
            });
      },
      asio::use_awaitable, &server_, std::move(call));
}

asio::awaitable<bool> Server::State::Connection::send(const Answer& answer, unsigned version, bool keep_alive,
                                                      bool without_body) {
  http::response<http::string_body> response(static_cast<http::status>(answer.status), version);
  response.set(http::field::server, "cnspec-platform");
  response.set(http::field::content_type, answer.content_type);
  response.set(http::field::cache_control, "no-store");
  if (!answer.allow.empty()) response.set(http::field::allow, answer.allow);
  if (answer.status == 401) response.set(http::field::www_authenticate, "Bearer");
  response.keep_alive(keep_alive);
  response.content_length(answer.body.size());
  if (!without_body) response.body() = answer.body;
  error_code error;
  allow(server_.options.request_timeout, false);
  co_await http::async_write(stream_, response, into(error));
  disarm();
  co_return !error;
}

asio::awaitable<bool> Server::State::Connection::send_file(Served file, unsigned version, bool keep_alive,
                                                           bool without_body) {
  http::response<http::empty_body> response(static_cast<http::status>(file.status), version);
  response.set(http::field::server, "cnspec-platform");
  response.set(http::field::cache_control, "no-cache");
  response.keep_alive(keep_alive);
  const bool has_body = file.status == 200 || file.status == 206;
  if (!file.etag.empty()) {
    response.set(http::field::etag, file.etag);
    response.set(http::field::accept_ranges, "bytes");
  }
  if (has_body) response.set(http::field::content_type, file.content_type);
  if (file.status == 206) {
    response.set(http::field::content_range, "bytes " + std::to_string(file.first) + "-" +
                                                 std::to_string(file.first + file.size - 1) + "/" +
                                                 std::to_string(file.whole));
  } else if (file.status == 416) {
    response.set(http::field::content_range, "bytes */" + std::to_string(file.whole));
  }
  if (file.status != 304) response.content_length(has_body ? file.size : 0);
  http::response_serializer<http::empty_body> head(response);
  error_code error;
  allow(server_.options.request_timeout, false);
  co_await http::async_write_header(stream_, head, into(error));
  std::vector<char> piece(has_body && !without_body ? kPiece : 0);
  std::uint64_t sent = 0;
  while (!error && !piece.empty() && sent < file.size) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), file.size - sent));
    const ssize_t got = ::pread(file.fd.get(), piece.data(), wanted, static_cast<off_t>(file.first + sent));
    if (got <= 0) break;  // it was shortened, which the client notices by its length
    sent += static_cast<std::uint64_t>(got);
    allow(server_.options.request_timeout, false);
    co_await asio::async_write(stream_, asio::buffer(piece.data(), static_cast<std::size_t>(got)),
                               into(error));
  }
  disarm();
  co_return !error && (piece.empty() || sent == file.size);
}

// What the client is still sending is read away: closing on unread bytes would reset the connection, and the
// answer could be lost with it.
asio::awaitable<void> Server::State::Connection::close() {
  error_code error;
  allow(kLinger, true);
  co_await stream_.async_shutdown(into(error));
  stream_.next_layer().shutdown(tcp::socket::shutdown_send, error);
  std::array<char, kReadSize> ignored;
  for (std::size_t drained = 0; !error && !timed_out_ && drained < kMaxDrained;) {
    drained += co_await stream_.next_layer().async_read_some(asio::buffer(ignored), into(error));
  }
  disarm();
}

void Server::State::Connection::log(std::string_view what, const Answer& answer,
                                    Clock::time_point begin) const {
  if (!server_.options.access_log && answer.reason.empty()) return;
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count();
  std::string line(what);
  line += " " + std::to_string(answer.status) + " " + std::string(name_of(answer.code)) + " " +
          std::to_string(took) + "ms";
  if (!answer.who.empty()) line += " by " + answer.who;
  if (!answer.reason.empty()) line += ": " + answer.reason;
  log::write(answer.reason.empty() ? log::Level::kInfo : log::Level::kWarn, line);
}

void Server::State::Connection::log_file(const std::string& what, int status, Clock::time_point begin) const {
  if (!server_.options.access_log) return;
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count();
  log::info(what + " " + std::to_string(status) + " " + std::to_string(took) + "ms");
}

asio::awaitable<void> Server::State::accept() {
  while (!stopping) {
    error_code error;
    tcp::socket socket = co_await acceptor.async_accept(into(error));
    if (stopping) break;
    if (error) {
      // Such as no file descriptor left.
      if (Clock::now() >= next_complaint) {
        log::warn("cannot accept a connection: " + error.message());
        next_complaint = Clock::now() + kBetweenComplaints;
      }
      evict();
      pause.expires_after(std::chrono::milliseconds(100));
      co_await pause.async_wait(into(error));
      continue;
    }
    socket.set_option(tcp::no_delay(true), error);
    if (connections.size() >= options.max_connections && !evict()) continue;  // closes the new one
    auto connection = std::make_shared<Connection>(*this, std::move(socket));
    connections.insert(connection.get());
    asio::co_spawn(
        loop, [connection] { return connection->run(); }, asio::detached);
  }
}

bool Server::State::evict() {
  Connection* longest = nullptr;
  for (Connection* each : connections) {
    if (each->waits() && (!longest || each->waits_since() < longest->waits_since())) longest = each;
  }
  if (longest) longest->interrupt();
  return longest != nullptr;
}

void Server::State::stop() {
  stopping = true;
  error_code ignored;
  acceptor.close(ignored);
  pause.cancel();
  for (Connection* each : connections) each->interrupt();
  if (connections.empty()) return;
  grace.expires_after(kGrace);
  grace.async_wait([this](const error_code& error) {
    if (!error) loop.stop();
  });
}

void Server::State::left(Connection* connection) {
  connections.erase(connection);
  if (stopping && connections.empty()) grace.cancel();
}

namespace {

Result<asio::ssl::context> make_tls(const Authority& authority, const std::vector<std::string>& hosts) {
  const auto key = make_key("P-256");
  if (!key) return fail(key.error());
  const auto certificate = issue_server(authority, *key, hosts);
  if (!certificate) return fail(certificate.error());
  asio::ssl::context context(asio::ssl::context::tls_server);
  SSL_CTX* raw = context.native_handle();
  SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION);
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  if (SSL_CTX_use_certificate(raw, certificate->get()) != 1 || SSL_CTX_use_PrivateKey(raw, key->get()) != 1) {
    return fail("cannot use the server's certificate");
  }
  return context;
}

// Host names that a certificate can hold; a machine may be called anything.
bool is_host(std::string_view text) {
  return !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '-' || c == ':';
  });
}

std::string machine_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0 || !is_host(name.data())) return {};
  return name.data();
}

}  // namespace

Result<void> parse_listen(std::string_view text, ServerOptions& options) {
  const auto refuse = [&](const std::string& why) {
    return fail(
        "cannot listen on \"" + std::string(text) + "\": " + why + ", such as 127.0.0.1:8443, [::1]:0",
        ErrorKind::kUsage);
  };
  const auto colon = text.rfind(':');
  if (colon == text.npos) return refuse("expected HOST:PORT");
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (!is_host(host) || (host.find(':') != host.npos) != bracketed) return refuse("expected HOST:PORT");
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), options.port);
  if (error != std::errc() || end != port.data() + port.size()) return refuse("the port must be 0 to 65535");
  options.host = host;
  return {};
}

namespace {

// How many connections the limit of open files leaves room for, once it is as high as we may make it; as
// many as are wanted at most.
std::size_t affordable(const ServerOptions& options) {
  constexpr rlim_t kOther = 100;  // the database, what each worker opens of it, connections on their way out
  const rlim_t each = options.registry ? 2 : 1;  // with the file that is sent
  const rlim_t wanted = options.max_connections * each + kOther;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return options.max_connections;
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = std::min(wanted, limit.rlim_max);
    ::setrlimit(RLIMIT_NOFILE, &limit);
  }
  const rlim_t room = limit.rlim_cur > kOther ? (limit.rlim_cur - kOther) / each : 0;
  return std::min<std::size_t>(room, options.max_connections);
}

}  // namespace

Result<Server> Server::listen(ServerOptions options, const Authority& authority) {
  if (const std::size_t room = affordable(options); room < options.max_connections) {
    if (room == 0)
      return fail(
          Error("the limit of open files leaves no room for connections").hint("raise it: ulimit -n"));
    log::warn("the limit of open files leaves room for " + std::to_string(room) + " connections, not for " +
              std::to_string(options.max_connections));
    options.max_connections = room;
  }
  const std::string where =
      options.host.find(':') == options.host.npos ? options.host : "[" + options.host + "]";
  const auto refuse = [&, port = options.port](const error_code& error) {
    return fail("cannot listen on " + where + ":" + std::to_string(port) + ": " + error.message());
  };
  asio::io_context names;
  error_code error;
  const auto found =
      tcp::resolver(names).resolve(options.host, std::to_string(options.port),
                                   tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error) return refuse(error);
  const tcp::endpoint endpoint = found.begin()->endpoint();
  const std::string machine = machine_name();
  const bool everywhere = endpoint.address().is_unspecified();
  std::vector<std::string> hosts = {"localhost", "127.0.0.1", "::1"};
  if (!everywhere) hosts.push_back(options.host);
  if (!machine.empty()) hosts.push_back(machine);
  auto tls = make_tls(authority, hosts);
  if (!tls) return fail(std::move(tls.error()));

  auto state = std::make_unique<State>(std::move(options), std::move(*tls));
  tcp::acceptor& acceptor = state->acceptor;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
  if (error) return refuse(error);
  // An address that means all of them is none that a client can use.
  const std::string reachable = !everywhere ? where : machine.empty() ? "localhost" : machine;
  state->url = "https://" + reachable + ":" + std::to_string(acceptor.local_endpoint().port());
  return Server(std::move(state));
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}
Server::Server(Server&&) noexcept = default;
Server& Server::operator=(Server&&) noexcept = default;
Server::~Server() = default;

const std::string& Server::url() const { return state_->url; }

void Server::run(Service& service, const std::function<void()>& on_ready) {
  State& state = *state_;
  state.service = &service;
  state.signals.add(SIGTERM);
  state.signals.add(SIGINT);
  state.signals.async_wait([&state](const error_code& error, int) {
    if (!error) state.stop();
  });
  asio::co_spawn(
      state.loop, [&state] { return state.accept(); }, asio::detached);
  on_ready();
  state.loop.run();
  state.workers.join();
}

}  // namespace cnspec::platform
