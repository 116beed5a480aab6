// The arista provider against a stand-in for a switch's eAPI.
#include <gtest/gtest.h>

#include <atomic>

#include "base/encoding.hpp"
#include "base/json.hpp"
#include "cloud_provider.hpp"

namespace cnspec::test {
namespace {

using provider::Value;
using Fault = HttpResponse::Fault;

constexpr const char* kPassword = "hunter2:@/?";

HttpResponse json(std::string body) {
  return {.status = 200, .headers = {{"Content-Type", "application/json"}}, .body = std::move(body)};
}

HttpResponse eapi_error(int code, const std::string& message, const std::string& data) {
  return json(R"({"jsonrpc":"2.0","id":"cnspec","error":{"code":)" + std::to_string(code) +
              R"(,"message":")" + message + R"(","data":)" + data + "}}");
}

// As a switch does: only the right user and well-formed JSON-RPC get an answer.
struct Eapi {
  std::string user = "admin";
  HttpResponse operator()(const HttpRequest& r) const {
    if (r.target != "/command-api") return {.status = 404};
    if (r.header("authorization") != "Basic " + base64_encode(user + ":" + kPassword)) {
      return {.status = 401,
              .headers = {{"WWW-Authenticate", "Basic realm=\"COMMAND_API_AUTH\""}},
              .body = "Unable to authenticate user: Bad username/password combination"};
    }
    const auto request = json::parse(r.body);
    const json::Value* params = request ? json::find(*request, "params") : nullptr;
    const json::Value* commands = params ? json::find(*params, "cmds") : nullptr;
    const json::Value* version = params ? json::find(*params, "version") : nullptr;
    if (r.method != "POST" || !commands || json::get_string(*request, "jsonrpc") != "2.0" ||
        json::get_string(*request, "method") != "runCmds" || json::get_string(*params, "format") != "json" ||
        !version || !version->IsInt() || version->GetInt() != 1 ||
        json::write(*commands) != R"(["show version","show hostname"])") {
      return eapi_error(-32600, "Invalid Request", "null");
    }
    return test::json(data("arista/answer.json"));
  }
};

class AristaProvider : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(arista.said().find(kPassword), std::string::npos) << arista.said();
    EXPECT_EQ(arista.said().find(base64_encode(std::string("admin:") + kPassword)), std::string::npos);
  }

  CloudProvider::Outcome connect(const std::string& target,
                                 std::map<std::string, Value> flags = {{"transport", "http"}},
                                 const provider::Limits& limits = {}) {
    return arista.connect({"arista", {target}, std::move(flags), {{"password", kPassword}}}, limits);
  }
  static std::string at(const HttpServer& server, const std::string& user = "admin") {
    return user + "@127.0.0.1:" + std::to_string(server.port());
  }
  // The error of connecting to a switch that answers with this, without the switch's address.
  std::string refusal(const HttpResponse& response) {
    HttpServer server([response](const HttpRequest&) { return response; });
    auto outcome = connect(at(server));
    kind = outcome.kind;
    const std::string prefix =
        "provider \"arista\": connect: 127.0.0.1:" + std::to_string(server.port()) + " ";
    if (!outcome.error.starts_with(prefix)) return outcome.error;
    return outcome.error.substr(prefix.size());
  }

  CloudProvider arista{"arista"};
  ErrorKind kind = ErrorKind::kFailed;
};

TEST_F(AristaProvider, IdentifiesTheSwitch) {
  HttpServer server(Eapi{});
  auto outcome = connect(at(server));
  ASSERT_TRUE(outcome.connection) << outcome.error;
  const auto asset = outcome.connection->identify({});
  ASSERT_TRUE(asset) << asset.error().message();
  EXPECT_EQ(asset->text("name"), "leaf1");
  EXPECT_EQ(asset->text("platform"), "arista-eos");
  EXPECT_EQ(asset->text("title"), "Arista EOS");
  EXPECT_EQ(asset->text("version"), "4.20.1F");
  EXPECT_EQ(asset->text("arch"), "i386");
  EXPECT_EQ(asset->text("fqdn"), "leaf1.example.com");
  EXPECT_EQ(asset->find("ids")->texts(),
            std::vector<std::string>{
                "//platformid.api.mondoo.app/runtime/arista/serial/SSJ17115585/systemmac/28:99:3a:be:79:f0"});

  const auto rows = outcome.connection->fetch({"arista.eos",
                                               "",
                                               {"version", "hostname", "fqdn", "model", "serialNumber",
                                                "systemMacAddress", "architecture", "bootTime"},
                                               {}},
                                              {});
  EXPECT_EQ(field(rows, "version"), "4.20.1F");
  EXPECT_EQ(field(rows, "hostname"), "leaf1");
  EXPECT_EQ(field(rows, "fqdn"), "leaf1.example.com");
  EXPECT_EQ(field(rows, "model"), "DCS-7280SR-48C6-F");
  EXPECT_EQ(field(rows, "serialNumber"), "SSJ17115585");
  EXPECT_EQ(field(rows, "systemMacAddress"), "28:99:3a:be:79:f0");
  EXPECT_NE(field(rows, "bootTime").find("2017-12-15T19:02:21"), std::string::npos);
  EXPECT_EQ(server.requests().size(), 1u);
}

TEST_F(AristaProvider, SpeaksHttpsUnlessToldOtherwise) {
  const CertificateAuthority ca;
  const CertificateAuthority other;
  const TempDir dir;
  HttpServer server(Eapi{}, ca.issue({"127.0.0.1"}));
  arista.trust(dir.write("ca.pem", ca.pem()));
  EXPECT_TRUE(connect(at(server), {}).connection);
  arista.trust(dir.write("other.pem", other.pem()));
  EXPECT_EQ(connect(at(server), {}).kind, ErrorKind::kUnavailable);
  EXPECT_TRUE(connect(at(server), {{"insecure", true}}).connection);
  EXPECT_FALSE(connect(at(server), {{"transport", "http"}}).connection);
}

TEST_F(AristaProvider, TakesTheLastAtSignForTheHost) {
  HttpServer server(Eapi{.user = "me@example.com"});
  EXPECT_TRUE(connect(at(server, "me@example.com")).connection);
}

TEST_F(AristaProvider, UnderstandsHowHostsAreWritten) {
  const std::map<std::string, std::string> expected = {
      {"admin@switch.test", "https://switch.test/command-api"},
      {"admin@switch.test:443", "https://switch.test/command-api"},
      {"admin@switch.test:8443", "https://switch.test:8443/command-api"},
      {"admin@2001:db8::1", "https://[2001:db8::1]/command-api"},
      {"admin@[2001:db8::1]", "https://[2001:db8::1]/command-api"},
      {"admin@[2001:db8::1]:8443", "https://[2001:db8::1]:8443/command-api"},
      {"admin@192.0.2.1", "https://192.0.2.1/command-api"},
  };
  for (const auto& [target, url] : expected) {
    connect(target, {});
    ASSERT_FALSE(arista.sent().empty()) << target;
    EXPECT_EQ(arista.sent().back().url, url) << target;
  }
}

TEST_F(AristaProvider, ExplainsWrongTargets) {
  const std::map<std::string, std::string> expected = {
      {"switch.test", "\"switch.test\" names no user, expected USER@HOST or USER@HOST:PORT"},
      {"@switch.test", "names no user"},
      {"", "names no user"},
      {"admin@", "names no host"},
      {"admin@https://switch.test", "is a URL (for plain http there is --transport http)"},
      {"http://admin@switch.test", "is a URL"},
      {"admin@switch.test/x", "has a slash in its host"},
      {"admin@switch.test:", "has no valid port"},
      {"admin@switch.test:0", "has no valid port"},
      {"admin@switch.test:99999", "has no valid port"},
      {"admin@switch.test:https", "has no valid port"},
      {"admin@switch test", "has no valid host"},
      {"admin@sw?x", "must not have a query"},
      {"admin@[::1", "has an IPv6 address without its closing bracket"},
      {"admin@[zz]", "has no valid host"},
      {"ad\nmin@switch.test", "holds a control character"},
  };
  for (const auto& [target, message] : expected) {
    const auto outcome = connect(target, {});
    EXPECT_EQ(outcome.kind, ErrorKind::kUsage) << target;
    EXPECT_NE(outcome.error.find(message), std::string::npos) << target << ": " << outcome.error;
  }
  // What follows the colon is perhaps a password.
  const auto colon = connect(std::string("admin:") + kPassword + "@switch.test", {});
  EXPECT_NE(
      colon.error.find("\"...@switch.test\" has a colon in its user; give the password by --password or "
                       "--ask-pass, expected USER@HOST or USER@HOST:PORT"),
      std::string::npos)
      << colon.error;
  EXPECT_NE(connect(std::string("https://admin:") + kPassword + "@switch.test/", {}).error.find("is a URL"),
            std::string::npos);
  EXPECT_NE(connect("admin@switch.test", {{"transport", "ssh"}})
                .error.find("--transport is \"ssh\", expected https or "
                            "http"),
            std::string::npos);
  EXPECT_TRUE(arista.sent().empty());
}

TEST_F(AristaProvider, NeedsAPassword) {
  EXPECT_EQ(arista.connect({"arista", {"admin@switch.test"}, {}, {}}).error,
            "provider \"arista\": connect: there is no password for \"admin\" on switch.test; give one by "
            "--password or "
            "--ask-pass");
  EXPECT_TRUE(arista.sent().empty());
}

TEST_F(AristaProvider, ExplainsRefusals) {
  HttpServer server(Eapi{});
  EXPECT_EQ(connect(at(server, "root")).error,
            "provider \"arista\": connect: 127.0.0.1:" + std::to_string(server.port()) +
                " does not accept the user \"root\" with this password (status 401)");
  EXPECT_EQ(refusal({.status = 403}), "does not let the user \"admin\" use eAPI (status 403)");
  EXPECT_EQ(kind, ErrorKind::kRejected);
  EXPECT_EQ(refusal({.status = 301, .headers = {{"Location", "https://leaf1.example.com/command-api"}}}),
            "sends us elsewhere (status 301, to \"https://leaf1.example.com/command-api\"); name that host, "
            "port and "
            "--transport instead");
  EXPECT_EQ(refusal({.status = 503}),
            "cannot answer now (status 503, no content type, 0 bytes) | try again: it may work later");
  EXPECT_EQ(kind, ErrorKind::kUnavailable);
  EXPECT_EQ(refusal(eapi_error(1002, "CLI command 2 of 2 'show hostname' failed: invalid command",
                               R"-([{"version":"4.20.1F"},{"errors":["Invalid input (at token 1: 'hostname')"]
}])-")),
            "did not run our commands: CLI command 2 of 2 'show hostname' failed: invalid command (Invalid "
            "input (at "
            "token 1: 'hostname')) [eAPI error 1002]");
  EXPECT_EQ(
      refusal(eapi_error(1005, "CLI command 1 of 2 'show version' failed: permission denied", "null")),
      "did not run our commands: CLI command 1 of 2 'show version' failed: permission denied [eAPI error "
      "1005]");
  EXPECT_EQ(kind, ErrorKind::kRejected);
  EXPECT_EQ(refusal(json(
                R"({"error": {"code": "x", "message": 5, "data": [{"errors": [7]}, {"errors": []}, 3]}})")),
            "did not run our commands: it does not say why [eAPI error 0]");
  EXPECT_NE(
      refusal(
          eapi_error(1000, std::string("you are ") + base64_encode(std::string("admin:") + kPassword), "[]"))
          .find("you are ***"),
      std::string::npos);
  EXPECT_NE(refusal({.status = 302, .headers = {{"Location", std::string("https://x/?p=") + kPassword}}})
                .find("p=***"),
            std::string::npos);
}

TEST_F(AristaProvider, RecognisesWhatIsNoSwitch) {
  const std::string tail =
      "; is it an Arista switch, with eAPI switched on (management api http-commands, no shutdown)?";
  EXPECT_EQ(refusal({.headers = {{"Content-Type", "text/html"}}, .body = "<html>"}),
            "did not answer as eAPI does (status 200, text/html, 6 bytes)" + tail);
  EXPECT_EQ(refusal({.status = 404}),
            "did not answer as eAPI does (status 404, no content type, 0 bytes)" + tail);
  const std::string good = data("arista/answer.json");
  for (const std::string& body :
       {std::string(), std::string("[]"), std::string("{}"), std::string(R"({"result": {}})"),
        std::string(R"({"result": [{"version": "1"}]})"), std::string(R"({"result": [1, 2]})"),
        std::string(R"({"result": [{"version": 4}, {"hostname": "x"}]})"),
        std::string(R"({"result": [{"version": "4"}, {"hostname": ["x"]}]})"),
        good.substr(0, good.size() / 2), std::string(200'000, '['), good + "}"}) {
    EXPECT_NE(refusal(json(body)).find("did not answer as eAPI does"), std::string::npos)
        << body.substr(0, 80);
  }
  for (const Fault fault : {Fault::kClose, Fault::kReset, Fault::kCut, Fault::kEndless}) {
    EXPECT_NE(refusal({.body = good, .fault = fault}).find("provider \"arista\": connect: http"),
              std::string::npos);
  }
}

TEST_F(AristaProvider, KnowsVirtualSwitchesByTheirMacAlone) {
  HttpServer server([](const HttpRequest&) {
    return json(
        R"({"result": [{"version": "4.30.0F", "systemMacAddress": "00:1c:73:00:00:01", "serialNumber": "",
                    "bootupTimestamp": 1e300}, {"hostname": "veos"}]})");
  });
  auto outcome = connect(at(server));
  ASSERT_TRUE(outcome.connection) << outcome.error;
  EXPECT_EQ(
      outcome.connection->identify({})->find("ids")->texts(),
      std::vector<std::string>{"//platformid.api.mondoo.app/runtime/arista/systemmac/00:1c:73:00:00:01"});
  EXPECT_EQ(field(outcome.connection->fetch({"arista.eos", "", {"bootTime"}, {}}, {}), "bootTime"), "");
}

TEST_F(AristaProvider, EndsAtTheDeadlineAndWhenCancelled) {
  HttpServer server([](const HttpRequest&) { return HttpResponse{.fault = Fault::kSilence}; });
  const auto soon = std::chrono::steady_clock::now() + std::chrono::milliseconds(100);
  EXPECT_EQ(connect(at(server), {{"transport", "http"}}, {.deadline = soon, .cancelled = {}}).kind,
            ErrorKind::kTimeout);
  const auto cancelled = std::make_shared<std::atomic<bool>>(true);
  const auto never = std::chrono::steady_clock::time_point::max();
  EXPECT_EQ(connect(at(server), {{"transport", "http"}}, {.deadline = never, .cancelled = cancelled}).kind,
            ErrorKind::kCancelled);
}

}  // namespace
}  // namespace cnspec::test
