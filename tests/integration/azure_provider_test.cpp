// The azure provider against stand-ins for Microsoft Entra ID and Azure Resource Manager.
#include <gtest/gtest.h>

#include <atomic>

#include "cloud_provider.hpp"

namespace cnspec::test {
namespace {

using provider::Value;
using Fault = HttpResponse::Fault;

constexpr const char* kTenant = "31c75423-32d6-4322-88b7-c478bdde4858";
constexpr const char* kClient = "11112222-bbbb-3333-cccc-4444dddd5555";
constexpr const char* kSecret = "qWgdYAm-hunter2-1qKv5bPX~s/e&c=r?t";
constexpr const char* kToken =
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiIsIng1dCI6Ik1uQ19WWmNBVGZNNXBP.bearer.example";
constexpr const char* kFirst = "291bba3f-e0a5-47bc-a099-3bdcb2a50a05";
constexpr const char* kSecond = "72aa8ff0-a4f7-4d5d-9d2c-6a6f7f0d1e11";
constexpr const char* kLogin = "https://login.microsoftonline.com";
constexpr const char* kManagement = "https://management.azure.com";

HttpResponse json(int status, std::string body) {
  return {.status = status,
          .headers = {{"Content-Type", "application/json; charset=utf-8"}},
          .body = std::move(body)};
}

HttpResponse entra_error(int status, const std::string& error, const std::string& description) {
  return json(status, R"({"error":")" + error + R"(","error_description":")" + description + R"("})");
}

HttpResponse arm_error(int status, const std::string& code, const std::string& message) {
  return json(status, R"({"error":{"code":")" + code + R"(","message":")" + message + R"("}})");
}

// As Entra does: only the exact form gets a token.
HttpResponse entra(const HttpRequest& r) {
  const bool good = r.method == "POST" && r.path() == std::string("/") + kTenant + "/oauth2/v2.0/token" &&
                    r.header("content-type") == "application/x-www-form-urlencoded" &&
                    r.body == std::string("grant_type=client_credentials&client_id=") + kClient +
                                  "&client_secret=qWgdYAm-hunter2-1qKv5bPX~s%2Fe%26c%3Dr%3Ft"
                                  "&scope=https%3A%2F%2Fmanagement.azure.com%2F.default";
  return good ? json(200, data("azure/token.json")) : json(401, data("azure/bad-secret.json"));
}

HttpResponse arm(const HttpRequest& r) {
  if (r.header("authorization") != std::string("Bearer ") + kToken) {
    return arm_error(401, "AuthenticationFailed",
                     "Authentication failed. The 'Authorization' header is missing.");
  }
  if (r.target == "/subscriptions?api-version=2022-12-01&%24skiptoken=abc%3D") {
    return json(200, data("azure/subscriptions-2.json"));
  }
  if (r.target != "/subscriptions?api-version=2022-12-01") return arm_error(404, "NotFound", r.target);
  std::string page = data("azure/subscriptions-1.json");
  const std::string mark = "@MANAGEMENT@";
  return json(200, page.replace(page.find(mark), mark.size(), kManagement));
}

class AzureProvider : public testing::Test {
 protected:
  void TearDown() override {
    for (const char* secret : {kSecret, kToken, "s%2Fe%26c%3Dr%3Ft"}) {
      EXPECT_EQ(azure.said().find(secret), std::string::npos) << azure.said();
    }
  }

  void serve(HttpServer::Handler handler, const std::string& instead_of) {
    servers.push_back(std::make_unique<HttpServer>(std::move(handler)));
    azure.route(instead_of, servers.back()->url());
  }
  void serve_azure() {
    serve(entra, kLogin);
    serve(arm, kManagement);
  }

  CloudProvider::Outcome connect(std::map<std::string, Value> flags = {},
                                 const provider::Limits& limits = {}) {
    flags.emplace("tenant-id", kTenant);
    flags.emplace("client-id", kClient);
    return azure.connect({"azure", {}, flags, {{"client-secret", kSecret}}}, limits);
  }
  std::string error_of(const std::map<std::string, Value>& flags = {}) {
    auto outcome = connect(flags);
    kind = outcome.kind;
    return outcome.connection ? "connected" : outcome.error;
  }
  // The error of connecting when Entra, or the Resource Manager, answers with this.
  std::string sign_in_refusal(const HttpResponse& response) {
    serve([response](const HttpRequest&) { return response; }, kLogin);
    return error_of();
  }
  std::string list_refusal(const HttpResponse& response) {
    serve(entra, kLogin);
    serve([response](const HttpRequest&) { return response; }, kManagement);
    return error_of();
  }
  static std::vector<std::string> ids_in(const CloudProvider::Outcome& outcome) {
    std::vector<std::string> ids;
    if (!outcome.connection) return {outcome.error};
    const auto rows = outcome.connection->fetch({"azure.subscription", "", {"subscriptionId"}, {}}, {});
    if (!rows) return {rows.error().message()};
    for (const auto& row : *rows) ids.push_back(row.text("subscriptionId"));
    return ids;
  }

  CleanEnvironment environment{{"AZURE_"}};
  std::vector<std::unique_ptr<HttpServer>> servers;
  CloudProvider azure{"azure"};
  ErrorKind kind = ErrorKind::kFailed;
};

using Ids = std::vector<std::string>;

TEST_F(AzureProvider, ListsAllPagesOfSubscriptions) {
  serve_azure();
  auto outcome = connect();
  ASSERT_TRUE(outcome.connection) << outcome.error;
  EXPECT_EQ(ids_in(outcome), (Ids{kFirst, kSecond}));
  const auto rows = outcome.connection->fetch(
      {"azure.subscription",
       std::string("/subscriptions/") + kFirst,
       {"id", "subscriptionId", "name", "state", "tenantId", "authorizationSource", "tags"},
       {}},
      {});
  EXPECT_EQ(field(rows, "id"), std::string("/subscriptions/") + kFirst);
  EXPECT_EQ(field(rows, "name"), "Example Subscription");
  EXPECT_EQ(field(rows, "state"), "Enabled");
  EXPECT_EQ(field(rows, "tenantId"), kTenant);
  EXPECT_EQ(field(rows, "authorizationSource"), "RoleBased");
  EXPECT_EQ(field(rows, "tags"), R"({"tagKey1":"tagValue1","tagKey2":"tagValue2"})");
  EXPECT_EQ(outcome.connection->fetch({"azure.subscriptions", "", {"name"}, {}}, {})->size(), 2u);

  const auto asset = outcome.connection->identify({});
  ASSERT_TRUE(asset) << asset.error().message();
  EXPECT_EQ(asset->text("name"), std::string("Azure tenant ") + kTenant);
  EXPECT_EQ(asset->text("platform"), "azure");
  EXPECT_EQ(asset->find("ids")->texts(),
            Ids{std::string("//platformid.api.mondoo.app/runtime/azure/tenants/") + kTenant});
}

TEST_F(AzureProvider, LooksAtTheSubscriptionsThatWereChosen) {
  serve_azure();
  const std::string upper = "291BBA3F-E0A5-47BC-A099-3BDCB2A50A05";
  auto one = connect({{"subscriptions", Value(Ids{upper})}});
  EXPECT_EQ(ids_in(one), Ids{kFirst});
  const auto asset = one.connection->identify({});
  EXPECT_EQ(asset->text("name"), "Azure subscription Example Subscription");
  EXPECT_EQ(asset->find("ids")->texts(),
            Ids{std::string("//platformid.api.mondoo.app/runtime/azure/subscriptions/") + kFirst});
  EXPECT_EQ(ids_in(connect({{"subscriptions-exclude", Value(Ids{kFirst})}})), Ids{kSecond});
  EXPECT_EQ(error_of({{"subscriptions", Value(Ids{"nope"})}}),
            "provider \"azure\": connect: the Azure subscription \"nope\" is not among the 2 that the "
            "service principal "
            "can see");
}

TEST_F(AzureProvider, TakesTheServicePrincipalFromTheEnvironment) {
  EXPECT_EQ(azure.connect({"azure", {}, {}, {}}).error,
            "provider \"azure\": connect: there are no credentials for Azure: set --tenant-id (or "
            "AZURE_TENANT_ID), "
            "--client-id (or AZURE_CLIENT_ID) and --client-secret (or AZURE_CLIENT_SECRET)");
  environment.set("AZURE_TENANT_ID", kTenant);
  environment.set("AZURE_CLIENT_ID", kClient);
  EXPECT_EQ(azure.connect({"azure", {}, {}, {}}).error,
            "provider \"azure\": connect: there are no credentials for Azure: set --client-secret (or "
            "AZURE_CLIENT_SECRET)");
  environment.set("AZURE_CLIENT_SECRET", kSecret);
  serve_azure();
  EXPECT_EQ(ids_in(azure.connect({"azure", {}, {}, {}})), (Ids{kFirst, kSecond}));
}

TEST_F(AzureProvider, ReachesLocalStandIns) {
  HttpServer login([](const HttpRequest&) { return json(200, data("azure/token.json")); });
  HttpServer management([](const HttpRequest&) { return json(200, data("azure/subscriptions-2.json")); });
  EXPECT_EQ(ids_in(connect({{"authority-url", login.url()}, {"management-url", management.url() + "/"}})),
            Ids{kSecond});
  environment.set("AZURE_AUTHORITY_HOST", login.url());
  EXPECT_EQ(ids_in(connect({{"management-url", management.url()}})), Ids{kSecond});
}

TEST_F(AzureProvider, SendsTheSecretOverHttpsOnly) {
  EXPECT_NE(error_of({{"authority-url", "http://login.test"}})
                .find("--authority-url has the scheme \"http\", expected "
                      "https: only a loopback address may do without"),
            std::string::npos);
  EXPECT_NE(
      error_of({{"management-url", "http://127.0.0.1.nip.test"}}).find("--management-url has the scheme"),
      std::string::npos);
  EXPECT_NE(error_of({{"management-url", "management.azure.com"}}).find("--management-url is not absolute"),
            std::string::npos);
  EXPECT_NE(error_of({{"tenant-id", "../evil"}})
                .find("the Azure tenant is \"../evil\", expected an ID or a domain"),
            std::string::npos);
  // As Azure's tools write it.
  environment.set("AZURE_AUTHORITY_HOST", "login.microsoftonline.us");
  EXPECT_NE(error_of().find("https://login.microsoftonline.us/"), std::string::npos);
}

TEST_F(AzureProvider, ExplainsRefusedSignIns) {
  const std::string who =
      std::string("provider \"azure\": connect: cannot sign in to Azure as \"") + kClient + "\": ";
  EXPECT_EQ(
      sign_in_refusal(json(401, data("azure/bad-secret.json"))),
      who +
          "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the "
          "client secret value, not the client secret ID, for a secret added to app "
          "'11112222-bbbb-3333-cccc-4444dddd5555'; check --client-secret (or AZURE_CLIENT_SECRET): it must "
          "be "
          "the secret's value, not its ID");
  EXPECT_EQ(kind, ErrorKind::kRejected);
  EXPECT_EQ(sign_in_refusal(entra_error(400, "invalid_request",
                                        "AADSTS90002: Tenant 'x' not found. Check it.\\r\\nTrace "
                                        "ID: 1")),
            who + "AADSTS90002: Tenant 'x' not found. Check it; check --tenant-id \"" + kTenant + "\"");
  EXPECT_NE(sign_in_refusal(entra_error(401, "invalid_client",
                                        "AADSTS7000222: The provided client secret keys for app "
                                        "are expired."))
                .find("; make a new client secret, this one has expired"),
            std::string::npos);
  EXPECT_NE(
      sign_in_refusal(entra_error(400, "unauthorized_client", "AADSTS700016: Application was not found."))
          .find(std::string("; check --client-id \"") + kClient + "\" and --tenant-id"),
      std::string::npos);
  EXPECT_EQ(sign_in_refusal(entra_error(400, "invalid_scope", "")), who + "invalid_scope");
  EXPECT_NE(sign_in_refusal(entra_error(503, "temporarily_unavailable", "AADSTS90033: A transient error"))
                .find(" | try again"),
            std::string::npos);
  EXPECT_EQ(kind, ErrorKind::kUnavailable);
  EXPECT_NE(sign_in_refusal({.status = 502, .headers = {{"Content-Type", "text/html"}}, .body = "<html>"})
                .find("has an error of its own (status 502, text/html, 6 bytes)"),
            std::string::npos);
  // A server that sends back what it got.
  EXPECT_NE(
      sign_in_refusal(entra_error(400, "echo", std::string("you sent ") + kSecret)).find("you sent ***"),
      std::string::npos);
  EXPECT_NE(sign_in_refusal(entra_error(400, "echo", std::string(399, 'x') + kSecret)).find("x*..."),
            std::string::npos);
  EXPECT_EQ(azure.said().find("qWgdYAm"), std::string::npos) << "not even the part before a cut";
}

TEST_F(AzureProvider, ExplainsRefusedLists) {
  const std::string who = "provider \"azure\": connect: cannot list the Azure subscriptions: Azure answered ";
  EXPECT_EQ(list_refusal(arm_error(401, "InvalidAuthenticationToken", "The access token is invalid.")),
            who + "InvalidAuthenticationToken: The access token is invalid");
  EXPECT_EQ(kind, ErrorKind::kRejected);
  EXPECT_EQ(list_refusal(arm_error(403, "AuthorizationFailed", "The client does not have authorization")),
            who + "AuthorizationFailed: The client does not have authorization");
  EXPECT_EQ(list_refusal(arm_error(429, "TooManyRequests", "Wait.")),
            who + "TooManyRequests: Wait | try again: it may work later");
  EXPECT_NE(list_refusal(arm_error(400, "Echo", kToken)).find("Echo: ***"), std::string::npos);
  EXPECT_NE(
      list_refusal({.status = 500}).find("has an error of its own (status 500, no content type, 0 bytes)"),
      std::string::npos);
}

TEST_F(AzureProvider, RecognisesWhatIsNotAzure) {
  const std::string login = std::string(kLogin) + " did not answer as Microsoft Entra ID does (";
  EXPECT_NE(sign_in_refusal({.headers = {{"Content-Type", "text/html"}}, .body = "<html>"})
                .find(login + "status 200, text/html, 6 bytes); is this the right URL?"),
            std::string::npos);
  for (const char* body :
       {"", "[]", "{}", R"({"access_token": 7})", R"({"access_token": "two\nlines"})", "{\"access_"}) {
    EXPECT_NE(sign_in_refusal(json(200, body)).find(login), std::string::npos) << body;
  }
  EXPECT_NE(sign_in_refusal({.status = 404}).find(login), std::string::npos);

  const std::string management =
      std::string(kManagement) + " did not answer as Azure Resource Manager does (";
  const std::string deep = R"({"value": )" + std::string(70, '[') + std::string(70, ']') + "}";
  for (const std::string& body :
       {std::string("<html>"), std::string("{}"), std::string(R"({"value": {}})"),
        std::string(R"({"value": [1]})"), std::string(R"({"value": [{"id": "x"}]})"), deep}) {
    EXPECT_NE(list_refusal(json(200, body)).find(management), std::string::npos) << body;
  }
  EXPECT_NE(list_refusal({.status = 302, .headers = {{"Location", "https://x/"}}}).find(management),
            std::string::npos);
  for (const Fault fault : {Fault::kClose, Fault::kReset, Fault::kCut, Fault::kEndless}) {
    EXPECT_NE(
        list_refusal({.body = "{\"value\": []}", .fault = fault}).find("provider \"azure\": connect: http"),
        std::string::npos);
  }
}

TEST_F(AzureProvider, TakesWrongTypesAsAbsent) {
  serve(entra, kLogin);
  serve(
      [](const HttpRequest&) {
        return json(200,
                    R"({"value": [{"subscriptionId": "a", "displayName": 5, "tags": {"k": 1, "l": "m"}}]})");
      },
      kManagement);
  auto outcome = connect();
  ASSERT_TRUE(outcome.connection) << outcome.error;
  const auto rows = outcome.connection->fetch({"azure.subscription", "", {"name", "tags"}, {}}, {});
  EXPECT_EQ(field(rows, "name"), "");
  EXPECT_EQ(field(rows, "tags"), R"({"l":"m"})");
  EXPECT_EQ(outcome.connection->identify({})->text("name"), "Azure subscription a");
}

TEST_F(AzureProvider, FollowsNoLinkElsewhere) {
  const auto linked = [&](const std::string& link) {
    return list_refusal(json(200, R"({"value": [], "nextLink": ")" + link + R"("})"));
  };
  const std::string to = "Azure's link to its next page of subscriptions leads to ";
  const std::string expected = ", expected https://management.azure.com";
  for (const char* origin :
       {"https://evil.test", "https://management.azure.com:8443", "http://management.azure.com"}) {
    EXPECT_NE(linked(std::string(origin) + "/subscriptions?x").find(to + origin + expected),
              std::string::npos);
  }
  EXPECT_NE(linked("https://management.azure.com@evil.test/").find("must not name a user"),
            std::string::npos);
  EXPECT_NE(linked("/subscriptions").find("is not absolute"), std::string::npos);
  EXPECT_NE(linked("https://management.azure.com/subscriptions?api-version=2022-12-01").find("form a loop"),
            std::string::npos);
}

TEST_F(AzureProvider, EndsWhenPagesDoNot) {
  serve(entra, kLogin);
  serve(
      [page = 0](const HttpRequest&) mutable {
        return json(200, R"({"value": [], "nextLink": "https://management.azure.com/s?p=)" +
                             std::to_string(++page) + R"("})");
      },
      kManagement);
  EXPECT_NE(error_of().find("has more than 200 pages"), std::string::npos);
}

TEST_F(AzureProvider, EndsAtTheDeadlineAndWhenCancelled) {
  const auto cancelled = std::make_shared<std::atomic<bool>>(false);
  serve(
      [&](const HttpRequest& r) {
        *cancelled = true;
        return entra(r);
      },
      kLogin);
  serve([](const HttpRequest&) { return HttpResponse{.fault = Fault::kSilence}; }, kManagement);
  EXPECT_EQ(
      connect({}, {.deadline = std::chrono::steady_clock::time_point::max(), .cancelled = cancelled}).kind,
      ErrorKind::kCancelled);
  EXPECT_EQ(azure.sent().size(), 1u);
  EXPECT_EQ(connect({}, {.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(100),
                         .cancelled = {}})
                .kind,
            ErrorKind::kTimeout);
}

}  // namespace
}  // namespace cnspec::test
