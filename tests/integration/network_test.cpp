// A network that does not do what it should: the whole report comes, in time, and says what is wrong.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <map>
#include <memory>
#include <vector>

#include "support/cnspec.hpp"
#include "support/http_server.hpp"
#include "support/platform.hpp"

namespace cnspec::test {
namespace {

using boost::asio::ip::tcp;
using Fault = HttpResponse::Fault;

constexpr char kServing[] = R"({"status":"SERVING","apiVersion":"13"})";

// Connections to it never open: its queue is full and nobody empties it.
class FullBacklog {
 public:
  explicit FullBacklog(const tcp::endpoint& where) : acceptor_(loop_) {
    acceptor_.open(where.protocol());
    if (where.address().is_v6()) acceptor_.set_option(boost::asio::ip::v6_only(true));
    acceptor_.bind(where);
    acceptor_.listen(0);
    for (int i = 0; i < 8; ++i) {
      auto& client = clients_.emplace_back(loop_);
      client.open(where.protocol());
      client.non_blocking(true);
      // Not through Asio, which would wait.
      const auto to = acceptor_.local_endpoint();
      ::connect(client.native_handle(), to.data(), static_cast<socklen_t>(to.size()));
    }
  }
  std::string host() const { return "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()); }

 private:
  boost::asio::io_context loop_;
  tcp::acceptor acceptor_;
  std::vector<tcp::socket> clients_;
};

class NetworkTest : public testing::Test {
 protected:
  void SetUp() override { user.env["SSL_CERT_FILE"] = user.home().write("ca.pem", ca.pem()).string(); }

  void ask(const std::string& endpoint) { user.env["MONDOO_API_ENDPOINT"] = endpoint; }

  // All of the report, and in it why the platform could not be asked.
  void expect_cause(const std::string& cause, const Argv& more = {}, int code = 1) {
    Argv args = {"status"};
    args.insert(args.end(), more.begin(), more.end());
    expect_cause_in(user.run(args), cause, code);
  }

  static void expect_cause_in(const RunResult& status, const std::string& cause, int code = 1) {
    EXPECT_EQ(status.exit_code, code) << status.out << status.err;
    EXPECT_NE(status.out.find("/Health/Check" + cause), std::string::npos) << "expected " << cause << "\n"
                                                                           << status.out << status.err;
    for (const char* part :
         {"Platform:", "Hostname:", "Installed Providers:", "API ConnectionConfig:", "client is"}) {
      EXPECT_NE(status.out.find(part), std::string::npos) << part << "\n" << status.out;
    }
  }

  // A server that answers each request with what comes next, and well when nothing more does.
  std::unique_ptr<HttpServer> scripted(std::vector<HttpResponse> answers) {
    auto next = std::make_shared<std::atomic<std::size_t>>(0);
    return std::make_unique<HttpServer>(
        [answers = std::move(answers), next](const HttpRequest&) {
          const std::size_t i = (*next)++;
          return i < answers.size() ? answers[i] : HttpResponse{.body = kServing};
        },
        ca.issue({"127.0.0.1"}));
  }

  // Runs the program with other files in the place of some of the system's, which nobody else sees.
  RunResult run_apart(const Argv& more, const std::map<std::string, std::string>& files,
                      const std::string& script, const Argv& args) {
    std::string mounts = "set -e\n";
    int number = 0;
    for (const auto& [path, text] : files) {
      mounts += "mount --bind " + user.home().write("etc" + std::to_string(number++), text, 0644).string() +
                " " + path + "\n";
    }
    Argv argv = {"unshare", "--map-root-user", "--mount"};
    argv.insert(argv.end(), more.begin(), more.end());
    argv.insert(argv.end(), {"/bin/sh", "-c", mounts + script, "sh", program("cnspec")});
    argv.insert(argv.end(), args.begin(), args.end());
    return test::run(argv, {.env = user.env, .cwd = {}, .input = {}});
  }

  CertificateAuthority ca;
  User user;
};

// ---- one deadline over everything ----

TEST_F(NetworkTest, ConnectionNeverOpens) {
  const FullBacklog nobody(tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  ask("https://" + nobody.host());
  expect_cause(": timed out after ", {"--timeout", "700ms"});
}

TEST_F(NetworkTest, TlsNeverFinishes) {
  boost::asio::io_context loop;
  tcp::acceptor silent(loop, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
  const std::string host = "127.0.0.1:" + std::to_string(silent.local_endpoint().port());
  ask("https://" + host);
  expect_cause(": timed out after ", {"--timeout", "700ms"});
}

TEST_F(NetworkTest, AnswerDrips) {
  const auto server = scripted({{.body = std::string(100'000, ' '), .fault = Fault::kDrip}});
  ask(server->url());
  expect_cause(": timed out after ", {"--timeout", "700ms"});
}

TEST_F(NetworkTest, NamesAreNeverAnswered) {
  ask("https://platform.example");
  // Port 53 is free in a network of one's own. The program inherits the socket, which hears and says nothing.
  const RunResult status = run_apart(
      {"--net"},
      {{"/etc/resolv.conf", "nameserver 127.0.0.153\noptions timeout:30 attempts:5\n"},
       {"/etc/nsswitch.conf", "hosts: files dns\n"},
       {"/etc/hosts", "127.0.0.1 localhost\n"}},
      "ip link set lo up\nexec python3 -c '\nimport os, socket, sys\n"
      "silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nsilent.bind((\"127.0.0.153\", 53))\n"
      "silent.set_inheritable(True)\nos.execv(sys.argv[1], sys.argv[1:])' \"$@\"",
      {"status", "--timeout", "700ms"});
  expect_cause_in(status, ": timed out after ");
  EXPECT_NE(status.out.find("looking up the name of platform.example"), std::string::npos) << status.out;
}

// ---- asked again, where that is safe ----

TEST_F(NetworkTest, AsksAgainAfterABrokenConnection) {
  for (const Fault fault : {Fault::kReset, Fault::kClose}) {
    const auto server = scripted({{.fault = fault}, {.fault = fault}});
    ask(server->url());
    EXPECT_NE(user.run({"status"}).out.find("SERVING"), std::string::npos);
    EXPECT_EQ(server->requests().size(), 3u);
    EXPECT_EQ(server->requests()[0].header("x-request-id"), server->requests()[2].header("x-request-id"));
  }
}

TEST_F(NetworkTest, GivesUpAfterTheThirdTime) {
  const auto server = scripted(std::vector<HttpResponse>(10, {.fault = Fault::kReset}));
  ask(server->url());
  expect_cause(": ");
  EXPECT_EQ(server->requests().size(), 3u);
}

TEST_F(NetworkTest, ComesBackWhenTold) {
  for (const int status : {429, 503}) {
    const auto server = scripted({{.status = status, .headers = {{"Retry-After", "0"}}}});
    ask(server->url());
    EXPECT_NE(user.run({"status"}).out.find("SERVING"), std::string::npos);
    EXPECT_EQ(server->requests().size(), 2u);
  }
}

TEST_F(NetworkTest, DoesNotComeBackWhenNotToldOrTooLate) {
  for (const HttpHeaders& headers :
       {HttpHeaders{}, HttpHeaders{{"Retry-After", "15"}}, HttpHeaders{{"Retry-After", "soon"}},
        HttpHeaders{{"Retry-After", "Fri, 31 Dec 2100 23:59:59 GMT"}}}) {
    const auto server = scripted({{.status = 503, .headers = headers}});
    ask(server->url());
    EXPECT_NE(user.run({"status"}).out.find("HTTP status 503"), std::string::npos);
    EXPECT_EQ(server->requests().size(), 1u);
  }
}

TEST_F(NetworkTest, NeverRegistersTwice) {
  Platform platform;
  const std::string token = platform.token();
  for (const HttpResponse& answer :
       {HttpResponse{.fault = Fault::kReset}, HttpResponse{.fault = Fault::kClose},
        HttpResponse{.status = 503, .headers = {{"Retry-After", "0"}}}}) {
    const auto server = scripted(std::vector<HttpResponse>(5, answer));
    const RunResult login = user.run({"login", "--token", token, "--api-endpoint", server->url()});
    EXPECT_EQ(login.exit_code, 1) << login.out << login.err;
    EXPECT_EQ(server->requests().size(), 1u);
  }
}

// ---- answers that are none ----

TEST_F(NetworkTest, FollowsNoRedirect) {
  const auto other = scripted({});
  const auto server = scripted(std::vector<HttpResponse>(
      2, {.status = 307, .headers = {{"Location", other->url() + "/login?secret=hunter2"}}}));
  ask(server->url());
  expect_cause(" redirects to " + other->url() + "/login (HTTP 307), which is not followed");
  EXPECT_EQ(other->connections(), 0u);
}

TEST_F(NetworkTest, RefusesWhatIsTooLarge) {
  for (const HttpResponse& answer :
       {HttpResponse{.body = std::string((1 << 20) + 1, ' ')}, HttpResponse{.fault = Fault::kEndless}}) {
    const auto server = scripted({answer});
    ask(server->url());
    expect_cause(": the answer has more than 1048576 bytes");
  }
}

// ---- certificates and TLS ----

TEST_F(NetworkTest, SaysWhatIsWrongWithACertificate) {
  const auto serving = [](const HttpRequest&) { return HttpResponse{.body = kServing}; };
  const auto expect = [&](const Certificate& certificate, const std::string& what) {
    const HttpServer server(serving, certificate);
    ask(server.url());
    expect_cause(": the certificate of " + server.url().substr(8) + " " + what);
  };
  expect(ca.issue({"127.0.0.1"}, -std::chrono::hours(1)), "has expired");
  expect(ca.issue({"platform.test"}), "is not trusted: it is for another name");
  expect(CertificateAuthority().issue({"127.0.0.1"}),
         "is not trusted: unable to get local issuer certificate");

  const auto key = user.home() / "self.key", self = user.home() / "self.pem";
  ASSERT_EQ(run({"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-days", "1", "-subj", "/CN=self", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                 key.string(), "-out", self.string()})
                .exit_code,
            0);
  const Certificate alone{read_file(self), read_file(key)};
  expect(alone, "is not trusted: it is self-signed");
  user.env["SSL_CERT_FILE"] = self.string();
  const HttpServer trusted(serving, alone);
  ask(trusted.url());
  EXPECT_NE(user.run({"status"}).out.find("SERVING"), std::string::npos);
}

TEST_F(NetworkTest, TrustsTheSystemsAuthoritiesUnlessOthersAreNamed) {
  const HttpServer server([](const HttpRequest&) { return HttpResponse{.body = kServing}; },
                          ca.issue({"127.0.0.1"}));
  ask(server.url());
  user.env["SSL_CERT_FILE"] = std::nullopt;
  constexpr char kBundle[] = "/etc/ssl/certs/ca-certificates.crt";
  const auto status = [&](const std::string& bundle) {
    return run_apart({}, {{kBundle, bundle}}, "exec \"$@\"", {"status"});
  };
  const RunResult trusted = status(read_file(kBundle) + ca.pem());
  EXPECT_NE(trusted.out.find("SERVING"), std::string::npos) << trusted.out << trusted.err;
  expect_cause_in(status(read_file(kBundle)), ": the certificate of " + server.url().substr(8) +
                                                  " is not trusted: unable to get local issuer certificate");
  expect_cause_in(
      status(""),
      ": the trusted certificates cannot be read: " + std::string(kBundle) + " has no certificate in PEM",
      78);
  user.env["SSL_CERT_FILE"] = user.home().write("ca.pem", ca.pem()).string();
  EXPECT_NE(status("").out.find("SERVING"), std::string::npos) << "what is named replaces it";
}

TEST_F(NetworkTest, KnowsRevokedCertificatesFromAList) {
  // An authority of openssl's own, since ours keeps no books.
  const TempDir folder;
  folder.write("index.txt", "");
  folder.write("crlnumber", "01\n");
  folder.write("ca.cnf", "[ca]\ndefault_ca=a\n[a]\ndatabase=" + (folder / "index.txt").string() +
                             "\ncrlnumber=" + (folder / "crlnumber").string() +
                             "\ndefault_md=sha256\ndefault_crl_days=1\n");
  const auto sh = [&](const std::string& script) {
    const RunResult result = run({"/bin/sh", "-ec", "cd " + folder.path().string() + "\n" + script});
    ASSERT_EQ(result.exit_code, 0) << result.err;
  };
  sh("new='openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1'\n"
     "$new -x509 -subj /CN=authority -keyout ca.key -out ca.pem\n"
     "$new -x509 -CA ca.pem -CAkey ca.key -subj /CN=server -addext subjectAltName=IP:127.0.0.1 "
     "-addext basicConstraints=critical,CA:FALSE -keyout server.key -out server.pem\n"
     "openssl ca -config ca.cnf -cert ca.pem -keyfile ca.key -gencrl -out good.crl\n"
     "openssl ca -config ca.cnf -cert ca.pem -keyfile ca.key -revoke server.pem\n"
     "openssl ca -config ca.cnf -cert ca.pem -keyfile ca.key -gencrl -out bad.crl\n"
     "cat ca.pem good.crl >good.pem; cat ca.pem bad.crl >bad.pem\n");
  const HttpServer server([](const HttpRequest&) { return HttpResponse{.body = kServing}; },
                          {read_file(folder / "server.pem"), read_file(folder / "server.key")});
  ask(server.url());
  user.env["SSL_CERT_FILE"] = (folder / "good.pem").string();
  EXPECT_NE(user.run({"status"}).out.find("SERVING"), std::string::npos);
  user.env["SSL_CERT_FILE"] = (folder / "bad.pem").string();
  expect_cause(": the certificate of " + server.url().substr(8) + " has been revoked");
}

TEST_F(NetworkTest, OldTlsAndNoTls) {
  const TempDir folder;
  const Certificate certificate = ca.issue({"127.0.0.1"});
  const auto chain = folder.write("chain.pem", certificate.chain),
             key = folder.write("key.pem", certificate.key);
  // openssl tells the port that it was given.
  Process old = Process::start({"openssl", "s_server", "-accept", "127.0.0.1:0", "-tls1_1", "-cipher",
                                "ALL:@SECLEVEL=0", "-cert", chain.string(), "-key", key.string(), "-www"});
  std::string host;
  while (const auto line = old.read_line()) {
    if (line->rfind("ACCEPT ", 0) == 0) {
      host = line->substr(7);
      break;
    }
  }
  ASSERT_FALSE(host.empty());
  ask("https://" + host);
  expect_cause(": " + host + " offers only versions of TLS before 1.2, which are not safe");

  const HttpServer plain([](const HttpRequest&) { return HttpResponse{}; });
  const std::string address = plain.url().substr(7);
  ask("https://" + address);
  expect_cause(": " + address + " ");
}

// ---- a machine that tells little ----

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which need /proc themselves
TEST_F(NetworkTest, WithoutProcItSaysThatThisIsWhy) {
  const std::string why =
      "where the program is installed cannot be found out: /proc/self/exe: No such file or directory";
  const auto apart = [&](const Argv& args) {
    return run_apart({}, {}, "mount -t tmpfs none /proc\nexec \"$@\"", args);
  };
  const RunResult status = apart({"status"});
  EXPECT_EQ(status.exit_code, 1);
  EXPECT_NE(status.out.find("x could not check upstream health error=\"" + why + "\"\n"), status.out.npos)
      << status.out;
  EXPECT_NE(
      status.err.find("! no bundled provider is found: " + why + "\n  mount /proc, which is missing here\n"),
      status.err.npos)
      << status.err;
  EXPECT_NE(apart({"providers", "list"}).err.find(why), std::string::npos);
}
#endif

// ---- IPv6 ----

TEST_F(NetworkTest, Ipv6) {
  const TempDir data;
  Process platform = Process::start(
      {program("cnspec-platform"), "serve", "--listen", "[::1]:0", "--data", data.path().string()});
  const std::string url = platform.read_line().value_or("").substr(5);  // "url: ..."
  ASSERT_EQ(url.rfind("https://[::1]:", 0), 0u) << url;
  ASSERT_TRUE(platform.read_line());  // "ca: ...", and so it accepts
  user.env["SSL_CERT_FILE"] = (data / "ca.pem").string();
  ask(url);
  const RunResult status = user.run({"status"});
  EXPECT_NE(status.out.find("SERVING"), std::string::npos) << status.out;
}

TEST_F(NetworkTest, OneOfTwoFamiliesIsDead) {
  const std::map<std::string, std::string> hosts = {{"/etc/hosts", "::1 both.test\n127.0.0.1 both.test\n"}};
  const HttpServer four([](const HttpRequest&) { return HttpResponse{.body = kServing}; },
                        ca.issue({"both.test"}));
  ask("https://both.test:" + std::to_string(four.port()));
  const auto serves = [&] {
    const RunResult status = run_apart({}, hosts, "exec \"$@\"", {"status"});
    EXPECT_NE(status.out.find("SERVING"), std::string::npos) << status.out << status.err;
  };
  serves();  // refused
  const FullBacklog six(tcp::endpoint(boost::asio::ip::address_v6::loopback(), four.port()));
  serves();  // never opens
}

}  // namespace
}  // namespace cnspec::test
