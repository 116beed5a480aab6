// Everything that asks goes through the proxy that was set, whichever kind it is; and what is wrong with a
// proxy is said of the proxy. The proxies are the ones that people run.
#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <thread>

#include "provider/manifest.hpp"
#include "support/cnspec.hpp"
#include "support/http_server.hpp"
#include "support/platform.hpp"

namespace cnspec::test {
namespace {

using Fault = HttpResponse::Fault;

constexpr char kPassword[] = "hunter2:s@/%";
constexpr char kPasswordInUrl[] = "hunter2%3As%40%2F%25";

// A port that nobody listens on now.
unsigned short free_port() {
  using boost::asio::ip::tcp;
  boost::asio::io_context loop;
  tcp::acceptor acceptor(loop, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  return acceptor.local_endpoint().port();
}

// A proxy of Debian's packages, ready when the constructor returns and killed by the destructor.
class Proxy {
 public:
  virtual ~Proxy() = default;
  void stop() { process_->kill(); }
  unsigned short port() const { return port_; }

 protected:
  // Another process may take a port that was free a moment ago; then there are others.
  template <class Configure>
  void start(const Argv& command, const std::string& ready, Configure configure) {
    // The daemons change to a user of their own, who must be able to read the configuration.
    std::filesystem::permissions(folder_.path(), std::filesystem::perms(0755));
    std::string said;
    for (int attempt = 0; attempt < 5; ++attempt) {
      port_ = free_port();
      const auto file = folder_.write("proxy.conf", configure(port_), 0644);
      Argv argv = command;
      argv.push_back(file.string());
      // Their logs go to either stream.
      Argv shell = {"/bin/sh", "-c", "exec \"$@\" 1>&2", "sh"};
      shell.insert(shell.end(), argv.begin(), argv.end());
      process_ = Process::start(shell);
      if (process_->wait_for_err(ready)) return;
      said = process_->kill().err;
    }
    throw std::runtime_error(command.at(0) +
                             " does not start (is the package of scripts/install-deps there?): " + said);
  }

  TempDir folder_;
  std::optional<Process> process_;
  unsigned short port_ = 0;
};

class Tinyproxy : public Proxy {
 public:
  explicit Tinyproxy(const std::string& more = {}) {
    start({"tinyproxy", "-d", "-c"}, "Accepting connections", [&](unsigned short port) {
      return "Port " + std::to_string(port) + "\nListen 127.0.0.1\nLogLevel Info\nTimeout 60\n" + more;
    });
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port()); }
};

// Wants the user "me" with kPassword. Knows one name that nobody else does: platform.test is this machine.
class Squid : public Proxy {
 public:
  explicit Squid(const Certificate* certificate = nullptr) : tls_(certificate != nullptr) {
    const std::string hash =
        run({"openssl", "passwd", "-apr1", "-stdin"}, {.env = {}, .cwd = {}, .input = kPassword}).out;
    const auto users = folder_.write("users", "me:" + hash, 0644);
    const auto hosts = folder_.write("hosts", "127.0.0.1 platform.test\n", 0644);
    std::string listen = "http_port 127.0.0.1:";
    std::string tls;
    if (tls_) {
      listen = "https_port 127.0.0.1:";
      tls = " tls-cert=" + folder_.write("chain.pem", certificate->chain, 0644).string() +
            " tls-key=" + folder_.write("key.pem", certificate->key, 0644).string();
    }
    static int number = 0;
    name_ = "cnspectest" + std::to_string(::getpid()) + "n" + std::to_string(++number);
    start(
        {"/usr/sbin/squid", "-n", name_, "-N", "-d", "1", "-f"}, "Socket connections at",
        [&](unsigned short port) {
          return listen + std::to_string(port) + tls +
                 "\nauth_param basic program /usr/lib/squid/basic_ncsa_auth " + users.string() +
                 "\nauth_param basic children 1 startup=1\nacl known proxy_auth REQUIRED\nacl closed port 1\n"
                 "http_access deny closed\nhttp_access allow known\nhttp_access deny all\nhosts_file " +
                 hosts.string() +
                 "\npid_filename none\naccess_log none\ncache_log /dev/null\ncache deny all\npinger_enable "
                 "off\n"
                 "shutdown_lifetime 0 seconds\nvisible_hostname squid.test\ncoredump_dir /tmp\n";
        });
  }
  ~Squid() override {
    stop();
    for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
      if (entry.path().filename().string().starts_with(name_ + "-")) std::filesystem::remove(entry.path());
    }
  }
  std::string url(const std::string& user = std::string("me:") + kPasswordInUrl) const {
    return (tls_ ? "https://" : "http://") + (user.empty() ? "" : user + "@") +
           "127.0.0.1:" + std::to_string(port());
  }

 private:
  bool tls_;
  // Of its own: squids of one name share memory, and what a killed one leaves in it stops the next.
  std::string name_;
};

class Dante : public Proxy {
 public:
  explicit Dante(const std::string& rule = "pass") {
    start({"danted", "-f"}, "running", [&](unsigned short port) {
      return "logoutput: stderr\ninternal: 127.0.0.1 port = " + std::to_string(port) +
             "\nexternal: 127.0.0.1\nclientmethod: none\nsocksmethod: none\nuser.unprivileged: nobody\n"
             "client pass { from: 127.0.0.0/8 to: 0.0.0.0/0 }\nsocks " +
             rule + " { from: 127.0.0.0/8 to: 0.0.0.0/0 }\n";
    });
  }
  std::string url(const std::string& scheme) const {
    return scheme + "://127.0.0.1:" + std::to_string(port());
  }
};

// Wants the user "me" with kPassword. Dante's users are the machine's own, this one's are not.
class Microsocks {
 public:
  Microsocks() {
    using boost::asio::ip::tcp;
    for (int attempt = 0; attempt < 5 && !process_; ++attempt) {
      port_ = free_port();
      process_ = Process::start(
          {"microsocks", "-i", "127.0.0.1", "-p", std::to_string(port_), "-u", "me", "-P", kPassword});
      // It says nothing when it is ready.
      boost::asio::io_context loop;
      tcp::socket socket(loop);
      boost::system::error_code refused = boost::asio::error::connection_refused;
      while (refused && process_->running()) {
        socket.close();
        socket.connect({boost::asio::ip::address_v4::loopback(), port_}, refused);
      }
      if (refused) process_.reset();
    }
    if (!process_) throw std::runtime_error("microsocks does not start (is scripts/install-deps's there?)");
  }
  void stop() { process_->kill(); }
  std::string url(const std::string& scheme, const std::string& user) const {
    return scheme + "://" + user + "127.0.0.1:" + std::to_string(port_);
  }

 private:
  std::optional<Process> process_;
  unsigned short port_ = 0;
};

class ProxyTest : public testing::Test {
 protected:
  void log_in(const Argv& more = {}) {
    platform_ = std::make_unique<Platform>();
    Argv args = {"login",         "--token",       platform_->token(), "--ca-file", platform_->ca_file(),
                 "--updates-url", platform_->url()};
    args.insert(args.end(), more.begin(), more.end());
    const RunResult login = user.run(args);
    ASSERT_EQ(login.exit_code, 0) << login.out << login.err;
    expect_no_secret(login);
  }

  static void expect_no_secret(const RunResult& result) {
    for (const std::string& text : {result.out, result.err}) {
      EXPECT_EQ(text.find(kPassword), text.npos) << text;
      EXPECT_EQ(text.find(kPasswordInUrl), text.npos) << text;
      EXPECT_EQ(text.find("hunter2"), text.npos) << text;
    }
  }

  // All of it came through: health, ping and the newest version.
  RunResult expect_good(const Argv& more = {}) {
    Argv args = {"--log-level", "debug", "status"};
    args.insert(args.end(), more.begin(), more.end());
    RunResult status = user.run(args);
    EXPECT_EQ(status.exit_code, 0) << status.out << status.err;
    EXPECT_NE(status.out.find("client authenticated successfully"), status.out.npos) << status.out;
    EXPECT_NE(status.out.find("Latest Version"), status.out.npos) << status.out;
    expect_no_secret(status);
    return status;
  }

  // The whole report, with the proxy's fault in it and no word of wrong credentials.
  RunResult expect_fault(const std::string& fault, const Argv& more = {}) {
    Argv args = {"--log-level", "debug", "status"};
    args.insert(args.end(), more.begin(), more.end());
    RunResult status = user.run(args);
    EXPECT_EQ(status.exit_code, 1) << status.out << status.err;
    EXPECT_NE(status.out.find("/Health/Check: " + fault), status.out.npos) << "expected " << fault << "\n"
                                                                           << status.out;
    EXPECT_NE(status.out.find("/AgentManager/PingPong: " + fault), status.out.npos)
        << "expected " << fault << "\n"
        << status.out;
    EXPECT_NE(status.out.find("Installed Providers"), status.out.npos) << status.out;
    EXPECT_EQ(status.out.find("didn't successfully authenticate"), status.out.npos) << status.out;
    EXPECT_EQ(status.out.find("nauthenticated"), status.out.npos) << status.out;
    expect_no_secret(status);
    return status;
  }

  // What is behind the proxy is no proof that it was used; that nothing works without it is.
  void expect_used(Proxy& proxy, const std::string& shown, const std::string& source) {
    expect_good();
    proxy.stop();
    expect_fault("could not connect to the proxy " + shown + " (" + source + "): Connection refused");
  }

  // A proxy of that kind which answers with this whatever it is asked.
  std::string scripted(HttpResponse response) {
    server_ = std::make_unique<HttpServer>([response](const HttpRequest&) { return response; });
    return server_->url();
  }

  User user;
  std::unique_ptr<Platform> platform_;
  std::unique_ptr<HttpServer> server_;
};

// ---- every kind, and everyone who may name it ----

TEST_F(ProxyTest, HttpByFlag) {
  Tinyproxy proxy;
  log_in({"--api-proxy", proxy.url()});  // which keeps it in the configuration
  expect_used(proxy, proxy.url(), "the key api_proxy");
  expect_fault("could not connect to the proxy " + proxy.url() + " (--api-proxy)",
               {"--api-proxy", proxy.url()});
}

TEST_F(ProxyTest, HttpWithPasswordByEnvironment) {
  Squid proxy;
  user.env["HTTPS_PROXY"] = proxy.url();
  log_in();
  expect_used(proxy, proxy.url(""), "HTTPS_PROXY");
}

TEST_F(ProxyTest, LowerCaseAndOwnVariable) {
  Tinyproxy proxy;
  log_in();
  user.env["https_proxy"] = proxy.url();
  expect_good();
  user.env["MONDOO_API_PROXY"] = "http://127.0.0.1:1";
  expect_fault("could not connect to the proxy http://127.0.0.1:1 (MONDOO_API_PROXY): Connection refused");
  user.env["MONDOO_API_PROXY"] = "";  // none at all
  proxy.stop();
  expect_good();
  user.env["MONDOO_API_PROXY"] = std::nullopt;
  expect_fault("could not connect to the proxy " + proxy.url() + " (https_proxy): Connection refused");
}

TEST_F(ProxyTest, TlsToTheProxy) {
  log_in();
  CertificateAuthority ca;
  const Certificate certificate = ca.issue({"127.0.0.1"});
  Squid proxy(&certificate);
  user.env["MONDOO_API_PROXY"] = proxy.url();
  expect_fault("the certificate of the proxy " + proxy.url("") + " (MONDOO_API_PROXY) is not trusted: ");
  // Who trusts both is served by both.
  user.env["MONDOO_CA_FILE"] =
      user.home().write("both.pem", ca.pem() + read_file(platform_->ca_file())).string();
  expect_used(proxy, proxy.url(""), "MONDOO_API_PROXY");
}

TEST_F(ProxyTest, Socks5) {
  for (const char* scheme : {"socks5", "socks5h"}) {
    Dante proxy;
    user.env["MONDOO_API_PROXY"] = std::nullopt;
    log_in();
    user.env["MONDOO_API_PROXY"] = proxy.url(scheme);
    expect_used(proxy, proxy.url(scheme), "MONDOO_API_PROXY");
  }
}

TEST_F(ProxyTest, SocksWithUserAndPassword) {
  log_in();
  for (const std::string scheme : {"socks5", "socks5h"}) {
    Microsocks proxy;
    const std::string shown = proxy.url(scheme, "");
    user.env["MONDOO_API_PROXY"] = proxy.url(scheme, std::string("me:") + kPasswordInUrl + "@");
    expect_good();
    user.env["MONDOO_API_PROXY"] = proxy.url(scheme, "me:hunter2@");
    expect_fault("the proxy " + shown + " (MONDOO_API_PROXY) refuses the user and password for it");
    user.env["MONDOO_API_PROXY"] = shown;
    expect_fault("the proxy " + shown + " (MONDOO_API_PROXY) wants a user and a password");
    proxy.stop();
    expect_fault("could not connect to the proxy " + shown + " (MONDOO_API_PROXY): Connection refused");
  }
}

TEST_F(ProxyTest, NoneByFlag) {
  log_in();
  user.env["HTTPS_PROXY"] = "http://127.0.0.1:1";
  expect_good({"--api-proxy", ""});
  user.env["MONDOO_API_PROXY"] = "http://127.0.0.1:1";
  expect_fault("could not connect to the proxy http://127.0.0.1:1 (MONDOO_API_PROXY)", {"--api-proxy", ""});
}

TEST_F(ProxyTest, TheFlagForNoneAtLoginTakesTheKeyAway) {
  user.home().write(".config/mondoo/mondoo.yml", "api_proxy: http://127.0.0.1:1\n");
  log_in({"--api-proxy", ""});
  EXPECT_EQ(read_file(user.config_file()).find("api_proxy"), std::string::npos);
  expect_good();
}

TEST_F(ProxyTest, ProvidersAskThroughItToo) {
  server_ = std::make_unique<HttpServer>([](const HttpRequest&) { return HttpResponse{.status = 403}; });
  user.env["HTTP_PROXY"] = server_->url();
  const Argv discover = {"discover",   "arista", "admin@switch.test", "--transport", "http",
                         "--password", "hunter2"};
  RunResult result = user.run(discover);
  ASSERT_EQ(server_->requests().size(), 1u) << result.out << result.err;
  EXPECT_EQ(server_->requests().at(0).target.rfind("http://switch.test", 0), 0u)
      << server_->requests().at(0).target;
  expect_no_secret(result);
  // The same for what is excepted, which nobody can find.
  user.env["NO_PROXY"] = ".test";
  result = user.run(discover);
  EXPECT_EQ(server_->requests().size(), 1u);
  EXPECT_NE((result.out + result.err).find("could not be resolved"), std::string::npos)
      << result.out << result.err;
}

// The list of what is newest, checksums and the package.
TEST_F(ProxyTest, ProvidersAreInstalledThroughIt) {
  const TempDir registry;
  const std::string version = "0.1.0",
                    package = "hello_0.1.0_linux_" + std::string(provider::this_arch()) + ".tar.xz";
  std::string library = read_file(EXAMPLE_PROVIDER);
  constexpr std::string_view kOwn = R"("version":"1.0.0")", kReleased = R"("version":"0.1.0")";
  library.replace(library.find(kOwn), kOwn.size(), kReleased);
  registry.write("in/hello.so", library, 0755);
  const auto folder = registry.write("hello/0.1.0/SHA256SUMS", "", 0644).parent_path();
  ASSERT_EQ(run({"tar", "-C", (registry / "in").string(), "-cJf", (folder / package).string(), "hello.so"})
                .exit_code,
            0);
  const std::string sum = run({"sha256sum", (folder / package).string()}).out.substr(0, 64);
  registry.write("hello/0.1.0/SHA256SUMS", sum + "  " + package + "\n", 0644);
  registry.write("latest.json", R"({"providers":[{"name":"hello","version":"0.1.0"}]})", 0644);
  const Platform served({"--registry", registry.path().string(), "--access-log"});

  const auto providers = user.home() / "providers";
  user.env["PROVIDERS_PATH"] = providers.string();  // and not the system's

  Squid proxy;
  user.env["HTTPS_PROXY"] = proxy.url();
  user.env["MONDOO_CA_FILE"] = served.ca_file();
  user.env["MONDOO_UPDATES_URL"] = served.url();
  const Argv install = {"providers", "install", "hello", "--log-level", "debug"};
  const RunResult good = user.run(install);
  EXPECT_EQ(good.exit_code, 0) << good.out << good.err;
  EXPECT_TRUE(std::filesystem::exists(providers / "hello/hello.so")) << good.out;
  expect_no_secret(good);

  std::filesystem::remove_all(providers);
  user.env["HTTPS_PROXY"] = proxy.url("me:hunter2");
  const RunResult refused = user.run(install);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_NE(refused.err.find("x hello is not installed: GET " + served.url() +
                             "/providers/latest.json: the proxy " + proxy.url("") +
                             " (HTTPS_PROXY) refuses the user and password for it (HTTP 407)\n"),
            refused.err.npos)
      << refused.err;
  expect_no_secret(refused);
  proxy.stop();
  for (const Argv& args :
       {install,
        Argv{"providers", "install", "--url", served.url() + "/providers/hello/" + version + "/" + package},
        Argv{"discover", "hello", "you"}}) {
    const RunResult down = user.run(args);
    EXPECT_EQ(down.exit_code, 1);
    EXPECT_NE(down.err.find("could not connect to the proxy " + proxy.url("") +
                            " (HTTPS_PROXY): Connection refused"),
              down.err.npos)
        << down.err;
    expect_no_secret(down);
  }
  EXPECT_FALSE(std::filesystem::exists(providers / "hello"));
}

TEST_F(ProxyTest, TheProxyLooksNamesUp) {
  CertificateAuthority ca;
  HttpServer server(
      [](const HttpRequest& r) {
        return HttpResponse{.body = r.path() == "/Health/Check" ? R"({"status":"SERVING","apiVersion":"13"})"
                                                                : "{}"};
      },
      ca.issue({"platform.test"}));
  Squid proxy;
  user.env["HTTPS_PROXY"] = proxy.url();
  user.env["MONDOO_API_ENDPOINT"] = "https://platform.test:" + std::to_string(server.port());
  user.env["MONDOO_CA_FILE"] = user.home().write("ca.pem", ca.pem()).string();
  const RunResult status = user.run({"status"});
  EXPECT_NE(status.out.find("API Status:\t\tSERVING"), std::string::npos) << status.out;
}

TEST_F(ProxyTest, NoProxyExceptsHosts) {
  log_in();
  const std::string port = platform_->url().substr(platform_->url().rfind(':') + 1);
  user.env["HTTPS_PROXY"] = "http://127.0.0.1:1";
  for (const std::string& direct : {std::string("127.0.0.1"), std::string("*"), std::string("127.0.0.0/8"),
                                    "example.com, 127.0.0.1:" + port, std::string("::ffff:127.0.0.0/104")}) {
    user.env["NO_PROXY"] = direct;
    expect_good();
    user.env["NO_PROXY"] = std::nullopt;
    user.env["no_proxy"] = direct;
    expect_good();
    user.env["no_proxy"] = std::nullopt;
  }
  for (const char* proxied : {"", "127.0.0.1:1", "localhost", "10.0.0.0/8", "127.0.0"}) {
    user.env["NO_PROXY"] = proxied;
    expect_fault("could not connect to the proxy http://127.0.0.1:1 (HTTPS_PROXY): Connection refused");
  }
}

// ---- what can be wrong with it ----

TEST_F(ProxyTest, WrongPassword) {
  Squid proxy;
  log_in();
  user.env["HTTPS_PROXY"] = proxy.url("me:hunter2");
  expect_fault("the proxy " + proxy.url("") +
               " (HTTPS_PROXY) refuses the user and password for it (HTTP 407)");
  user.env["HTTPS_PROXY"] = proxy.url("");
  expect_fault("the proxy " + proxy.url("") + " (HTTPS_PROXY) wants a user and a password (HTTP 407)");
}

TEST_F(ProxyTest, CannotReachThePlatform) {
  log_in();
  platform_->stop();
  Tinyproxy tinyproxy;
  user.env["HTTPS_PROXY"] = tinyproxy.url();
  expect_fault("the proxy " + tinyproxy.url() + " (HTTPS_PROXY) ");
  Squid squid;
  user.env["HTTPS_PROXY"] = squid.url();
  expect_fault("the proxy " + squid.url("") + " (HTTPS_PROXY) could not reach " + platform_->url().substr(8));
  Dante dante;
  user.env["HTTPS_PROXY"] = dante.url("socks5h");
  expect_fault("the proxy " + dante.url("socks5h") + " (HTTPS_PROXY) could not reach " +
               platform_->url().substr(8));
}

TEST_F(ProxyTest, DoesNotLetThrough) {
  log_in();
  Dante dante("block");
  user.env["HTTPS_PROXY"] = dante.url("socks5");
  expect_fault("the proxy " + dante.url("socks5") + " (HTTPS_PROXY) does not let through to ");
  user.env["HTTPS_PROXY"] = scripted({.status = 403, .body = "<html>no</html>"});
  expect_fault("the proxy " + server_->url() + " (HTTPS_PROXY) does not let through to " +
               platform_->url().substr(8) + " (HTTP 403)");
  user.env["HTTPS_PROXY"] = scripted({.status = 302, .headers = {{"Location", "http://login.test/"}}});
  expect_fault("the proxy " + server_->url() + " (HTTPS_PROXY) does not let through to ");
}

// Of a request that it passes on, its page looks like the platform's answer.
TEST_F(ProxyTest, DoesNotPassOn) {
  log_in();
  user.env["MONDOO_API_ENDPOINT"] = "http://platform.test";
  for (const int status : {401, 403, 404, 503, 504}) {
    user.env["HTTP_PROXY"] = scripted({.status = status, .body = "<html>no</html>"});
    const std::string said =
        "error=\"the proxy " + server_->url() +
        " (HTTP_PROXY), or what is behind it, answered and not the platform: rpc error: ";
    const RunResult result = user.run({"status"});
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_NE(result.out.find("could not check upstream health " + said), std::string::npos) << result.out;
    EXPECT_NE(result.out.find("could not ask mondoo platform whether it accepts this client " + said),
              std::string::npos)
        << result.out;
    EXPECT_EQ(result.err.find("the platform's log knows"), std::string::npos) << result.err;
  }
}

TEST_F(ProxyTest, BehavesBadly) {
  log_in();
  const auto set = [&](HttpResponse response) {
    user.env["HTTPS_PROXY"] = scripted(std::move(response));
    return "the proxy " + server_->url() + " (HTTPS_PROXY) ";
  };
  std::string who = set({.status = 502});
  expect_fault(who + "could not reach " + platform_->url().substr(8) + " (HTTP 502)");
  who = set({.fault = Fault::kClose});
  expect_fault(who + "closed the connection without an answer");
  who = set({.fault = Fault::kReset});
  expect_fault(who + "closed the connection without an answer");
  who = set({.body = "\x05\x01 what?\r\n\r\n", .fault = Fault::kRaw});
  expect_fault(who);
  who = set({.body = "SSH-2.0-OpenSSH_9.2\r\n", .fault = Fault::kRaw});
  expect_fault(who);
  who = set({.status = 407, .fault = Fault::kEndless});  // of a page nobody needs the end
  expect_fault(who + "wants a user and a password (HTTP 407)");
  // A way that leads nowhere: the "server" behind it speaks no TLS.
  who = set({.body = "HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 400 Bad Request\r\n\r\n", .fault = Fault::kRaw});
  expect_fault(platform_->url().substr(8) + " ");
}

// libcurl reads what a proxy says of a tunnel a byte at a time, and nothing else as long as something comes.
TEST_F(ProxyTest, HeadersWithoutEnd) {
  log_in();
  for (const std::string& flood :
       {std::string("X-1: y\r\n"), "X-1: " + std::string(10'000, 'y') + "\r\n", std::string(1 << 20, 'y')}) {
    for (const int status : {200, 403}) {
      const std::string url = scripted({.status = status, .body = flood, .fault = Fault::kEndlessHeaders});
      user.env["HTTPS_PROXY"] = "http://me:hunter2@" + url.substr(7);
      expect_fault("the answer of the proxy " + url + " (HTTPS_PROXY) has too many headers");
    }
  }
  // Of a request that it passes on, somebody else may have sent them.
  user.env["MONDOO_API_ENDPOINT"] = "http://platform.test";
  user.env["HTTP_PROXY"] = scripted({.body = "X-1: y\r\n", .fault = Fault::kEndlessHeaders});
  expect_fault("the answer of the proxy " + server_->url() +
               " (HTTP_PROXY), or of what is behind it, has too many headers");
}

TEST_F(ProxyTest, Hangs) {
  using boost::asio::ip::tcp;
  boost::asio::io_context loop;
  // The kernel accepts, and nobody ever reads.
  tcp::acceptor silent(loop, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  log_in();
  for (const char* scheme : {"http", "https", "socks5", "socks5h"}) {
    const std::string url =
        scheme + std::string("://127.0.0.1:") + std::to_string(silent.local_endpoint().port());
    user.env["HTTPS_PROXY"] = url;
    const RunResult status = expect_fault("timed out after ", {"--timeout", "700ms"});
    EXPECT_NE(status.out.find(", waiting for the proxy " + url + " (HTTPS_PROXY)"), std::string::npos)
        << status.out;
  }
}

TEST_F(ProxyTest, CannotBeFound) {
  log_in();
  user.env["HTTPS_PROXY"] = "http://proxy.invalid:3128";
  expect_fault("the name of the proxy http://proxy.invalid:3128 (HTTPS_PROXY) could not be resolved");
  user.env["HTTPS_PROXY"] = "socks5h://proxy.invalid:1080";
  expect_fault("the name of the proxy socks5h://proxy.invalid:1080 (HTTPS_PROXY) could not be resolved");
}

TEST_F(ProxyTest, SpeaksNoTls) {
  Squid proxy;
  log_in();
  const std::string url = "https://127.0.0.1:" + std::to_string(proxy.port());
  user.env["HTTPS_PROXY"] = url;
  expect_fault("the proxy " + url + " (HTTPS_PROXY) does not speak TLS");
}

TEST_F(ProxyTest, SpeaksNoSocks) {
  log_in();
  user.env["HTTPS_PROXY"] = "socks5" + scripted({.body = "HTTP/1.1 400 Bad Request\r\n\r\n"}).substr(4);
  RunResult status = user.run({"status", "--timeout", "700ms"});
  EXPECT_NE(status.out.find("the proxy socks5"), std::string::npos) << status.out;
}

TEST_F(ProxyTest, IsNoUrl) {
  log_in();
  const std::string wrong =
      "the proxy that MONDOO_API_PROXY names cannot be used: its scheme is none of http, https, "
      "socks5 and socks5h";
  user.env["MONDOO_API_PROXY"] = "ftp://me:hunter2@proxy.test";
  const RunResult status = user.run({"status"});
  EXPECT_EQ(status.exit_code, 78) << status.out;
  EXPECT_NE(status.out.find(wrong), std::string::npos) << status.out;
  EXPECT_NE(status.out.find("Installed Providers"), std::string::npos) << status.out;
  expect_no_secret(status);
  const RunResult login =
      user.run({"login", "--token", platform_->token(), "--ca-file", platform_->ca_file()});
  EXPECT_EQ(login.exit_code, 78) << login.err;
  EXPECT_NE(login.err.find(wrong), std::string::npos) << login.err;
  expect_no_secret(login);
}

}  // namespace
}  // namespace cnspec::test
