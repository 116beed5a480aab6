// The aws provider against stand-ins for STS, ECS and EC2's metadata, which check signatures with botocore.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <ctime>
#include <optional>
#include <thread>

#include "base/json.hpp"
#include "cloud_provider.hpp"

namespace cnspec::test {
namespace {

using provider::Value;
using Fault = HttpResponse::Fault;

struct KeyPair {
  std::string secret, token;
};

const std::map<std::string, KeyPair> kKeys = {
    {"AKIDENVIRONMENT00001", {"environmentSecret/hunter2/K7MDENG", ""}},
    {"ASIASESSION000000001", {"sessionSecret/hunter2/K7MDENG", "sessionToken/hunter2EXAMPLE=="}},
    {"AKIDPROFILE000000001", {"profileSecret/hunter2/K7MDENG", ""}},
    {"AKIDOTHER00000000001", {"otherSecret/hunter2/K7MDENG", ""}},
    {"ASIAINSTANCEEXAMPLE1",
     {"instanceSecret/hunter2/K7MDENG/bPxRfiCYEXAMPLEKEY", "instanceToken/hunter2EXAMPLE=="}},
    {"ASIACONTAINEREXAMPLE",
     {"containerSecret/hunter2/K7MDENG/bPxRfiCYEXAMPLEKEY", "containerToken/hunter2EXAMPLE=="}},
};

KeyPair role_keys() {
  const std::string xml = data("aws/assume-role.xml");
  const auto between = [&](const std::string& from, const std::string& to) {
    const auto begin = xml.find(from) + from.size();
    return xml.substr(begin, xml.find(to) - begin);
  };
  return {between("<SecretAccessKey>", "</SecretAccessKey>"), between("<SessionToken>", "</SessionToken>")};
}

std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::map<std::string, std::string> form_of(const std::string& body) {
  std::map<std::string, std::string> out;
  std::size_t begin = 0;
  while (begin < body.size()) {
    const auto end = std::min(body.find('&', begin), body.size());
    const std::string part = body.substr(begin, end - begin);
    out[decoded(part.substr(0, part.find('=')))] = decoded(part.substr(part.find('=') + 1));
    begin = end + 1;
  }
  return out;
}

// What botocore thinks of the request's signature: "ok", or why not.
std::string verified(const HttpRequest& request, const std::string& region) {
  json::Document document;
  document.SetObject();
  auto& alloc = document.GetAllocator();
  const auto text = [&](const std::string& s) { return json::Value(s.c_str(), alloc); };
  json::Value headers(rapidjson::kArrayType);
  for (const auto& [name, value] : request.headers) {
    headers.PushBack(
        json::Value(rapidjson::kArrayType).PushBack(text(name), alloc).PushBack(text(value), alloc), alloc);
  }
  json::Value keys(rapidjson::kObjectType);
  auto known = kKeys;
  known["ASIAROLEEXAMPLE00001"] = role_keys();
  for (const auto& [id, pair] : known) {
    keys.AddMember(text(id),
                   json::Value(rapidjson::kArrayType)
                       .PushBack(text(pair.secret), alloc)
                       .PushBack(text(pair.token), alloc),
                   alloc);
  }
  document.AddMember("method", text(request.method), alloc);
  document.AddMember("url", text("https://" + request.header("host") + request.target), alloc);
  document.AddMember("headers", headers, alloc);
  document.AddMember("body", text(request.body), alloc);
  document.AddMember("keys", keys, alloc);
  document.AddMember("region", text(region), alloc);
  document.AddMember("service", "sts", alloc);
  // Debian's python3-botocore belongs to the system's interpreter.
  const RunResult result = run({"/usr/bin/python3", CNSPEC_SOURCE_DIR "/tests/integration/verify_sigv4.py"},
                               {.env = {}, .cwd = {}, .input = json::write(document)});
  const std::string& out = result.out;
  return result.exit_code == 0 ? out.substr(0, out.find('\n')) : result.err;
}

HttpResponse xml(int status, std::string body) {
  return {.status = status, .headers = {{"Content-Type", "text/xml"}}, .body = std::move(body)};
}

HttpResponse sts_error(int status, const std::string& code, const std::string& message) {
  return xml(
      status,
      "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\n  <Error>\n    <Type>Sender"
      "</Type>\n    <Code>" +
          code + "</Code>\n    <Message>" + message +
          "</Message>\n  </Error>\n  <RequestId>f1a2</RequestId>\n</ErrorResponse>\n");
}

// Answers as STS does: only to what botocore would have signed the same way.
struct Sts {
  explicit Sts(std::string r) : region(std::move(r)) {}
  std::string region;

  HttpResponse operator()(const HttpRequest& request) const {
    auto fields = form_of(request.body);
    if (fields["Version"] != "2011-06-15") return sts_error(400, "InvalidAction", "Could not find operation");
    if (fields["Action"] == "AssumeRoleWithWebIdentity") {
      if (!request.header("authorization").empty()) return sts_error(400, "Test", "must not be signed");
      if (fields["WebIdentityToken"] != "eyJ.web.identity")
        return sts_error(400, "InvalidIdentityToken", "Bad token");
      return xml(200, data("aws/assume-role-with-web-identity.xml"));
    }
    if (const std::string verdict = verified(request, region); verdict != "ok") {
      return sts_error(403, "SignatureWrong", verdict);
    }
    if (fields["Action"] == "AssumeRole") return xml(200, data("aws/assume-role.xml"));
    const bool role = request.header("authorization").find("ASIAROLEEXAMPLE00001") != std::string::npos;
    return xml(200, data(role ? "aws/get-caller-identity-role.xml" : "aws/get-caller-identity.xml"));
  }
};

class AwsProvider : public testing::Test {
 protected:
  AwsProvider() {
    env("HOME", home.path());
    env("AWS_EC2_METADATA_DISABLED", "true");
  }

  void TearDown() override {
    // Not one secret in anything that was logged or answered.
    std::vector<std::string> secrets = {"eyJ.web.identity", "ecs-authorization", "imds-token", "ext-4711"};
    for (const auto& [id, pair] : kKeys) secrets.insert(secrets.end(), {pair.secret, pair.token});
    secrets.insert(secrets.end(), {role_keys().secret, role_keys().token});
    for (const std::string& secret : secrets) {
      if (secret.empty()) continue;
      EXPECT_EQ(aws.said().find(secret), std::string::npos) << aws.said();
    }
  }

  void env(const std::string& name, const std::string& value) { environment.set(name, value); }
  void keys(const std::string& id) {
    env("AWS_ACCESS_KEY_ID", id);
    env("AWS_SECRET_ACCESS_KEY", kKeys.at(id).secret);
    if (!kKeys.at(id).token.empty()) env("AWS_SESSION_TOKEN", kKeys.at(id).token);
  }
  static std::string lines_of(const std::string& id) {
    return "aws_access_key_id = " + id + "\naws_secret_access_key = " + kKeys.at(id).secret + "\n";
  }

  HttpServer& serve(HttpServer::Handler handler, const std::string& instead_of) {
    servers.push_back(std::make_unique<HttpServer>(std::move(handler)));
    aws.route(instead_of, servers.back()->url());
    return *servers.back();
  }
  HttpServer& serve_sts(const std::string& region = "us-east-1") {
    return serve(Sts(region),
                 "https://sts." + region + ".amazonaws.com" + (region.starts_with("cn-") ? ".cn" : ""));
  }

  CloudProvider::Outcome connect(const std::map<std::string, Value>& flags = {},
                                 const provider::Limits& limits = {}) {
    return aws.connect({"aws", {}, flags, {}}, limits);
  }
  // The account that connecting leads to, or the error.
  std::string account(const std::map<std::string, Value>& flags = {}) {
    auto outcome = connect(flags);
    if (!outcome.connection) return outcome.error;
    return field(outcome.connection->fetch({"aws", "", {"account"}, {}}, {}), "account");
  }
  // The error of connecting when STS answers with this.
  std::string refusal(HttpResponse response) {
    keys("ASIASESSION000000001");
    serve([response](const HttpRequest&) { return response; }, "https://sts.us-east-1.amazonaws.com");
    auto outcome = connect();
    kind = outcome.kind;
    return outcome.error;
  }

  TempDir home;
  CleanEnvironment environment{{"AWS_"}};
  std::vector<std::unique_ptr<HttpServer>> servers;
  CloudProvider aws{"aws"};
  ErrorKind kind = ErrorKind::kFailed;
};

constexpr const char* kRole = "arn:aws:iam::210987654321:role/demo";

// ---- What one gets ----

TEST_F(AwsProvider, IdentifiesTheAccount) {
  keys("AKIDENVIRONMENT00001");
  serve_sts("eu-central-1");
  auto outcome = connect({{"region", "eu-central-1"}});
  ASSERT_TRUE(outcome.connection) << outcome.error;
  const auto asset = outcome.connection->identify({});
  ASSERT_TRUE(asset) << asset.error().message();
  EXPECT_EQ(asset->text("name"), "AWS Account 123456789012");
  EXPECT_EQ(asset->text("platform"), "aws");
  EXPECT_EQ(asset->text("kind"), "api");
  EXPECT_EQ(asset->text("runtime"), "aws");
  ASSERT_TRUE(asset->find("ids"));
  EXPECT_EQ(asset->find("ids")->texts(),
            std::vector<std::string>{"//platformid.api.mondoo.app/runtime/aws/accounts/123456789012"});

  const auto rows = outcome.connection->fetch({"aws", "", {"account", "arn", "userId", "region"}, {}}, {});
  EXPECT_EQ(field(rows, "account"), "123456789012");
  EXPECT_EQ(field(rows, "arn"), "arn:aws:iam::123456789012:user/Alice");
  EXPECT_EQ(field(rows, "userId"), "AIDACKCEVSQ6C2EXAMPLE");
  EXPECT_EQ(field(rows, "region"), "eu-central-1");
  EXPECT_TRUE(outcome.connection->fetch({"aws", "999999999999", {}, {}}, {})->empty());
}

TEST_F(AwsProvider, DeclaresOnlyHostsFilesAndVariablesThatItUses) {
  const auto& capabilities = aws.manifest().capabilities;
  EXPECT_TRUE(capabilities.exec.empty());
  const auto& variables = capabilities.env;
  EXPECT_NE(std::find(variables.begin(), variables.end(), "AWS_SESSION_TOKEN"), variables.end());
}

// ---- Where credentials come from ----

TEST_F(AwsProvider, TakesSessionCredentialsFromTheEnvironment) {
  keys("ASIASESSION000000001");
  auto& sts = serve_sts();
  EXPECT_EQ(account(), "123456789012");
  EXPECT_EQ(sts.requests().at(0).header("x-amz-security-token"), kKeys.at("ASIASESSION000000001").token);
}

TEST_F(AwsProvider, ReachesALocalStandIn) {
  keys("AKIDENVIRONMENT00001");
  HttpServer sts(Sts("us-east-1"));
  EXPECT_EQ(account({{"endpoint-url", sts.url()}}), "123456789012");
  EXPECT_EQ(account({{"endpoint-url", sts.url() + "/some path/"}}),
            "provider \"aws\": connect: the AWS endpoint URL has characters that a URL's path must escape");
  EXPECT_EQ(account({{"endpoint-url", sts.url() + "/some%20path/under~it/"}}), "123456789012");
  env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
  env("AWS_ENDPOINT_URL_STS", sts.url());
  EXPECT_EQ(account(), "123456789012");
}

TEST_F(AwsProvider, ReadsTheSharedFiles) {
  serve_sts("ap-southeast-2");
  home.write(".aws/config",
             "\xef\xbb\xbf# a comment\n[default]\nregion = ap-southeast-2 ; near\ns3 =\n  max = 10\n\n"
             "[profile unused]\nregion=x\n[sso-session corp]\nsso_region = y\n");
  home.write(".aws/credentials", "[default]\r\n" + lines_of("AKIDPROFILE000000001") + "[other]\n" +
                                     lines_of("AKIDOTHER00000000001"));
  EXPECT_EQ(account(), "123456789012");
  EXPECT_NE(servers[0]->requests().at(0).header("authorization").find("AKIDPROFILE000000001/"),
            std::string::npos);
  env("AWS_PROFILE", "other");
  env("AWS_REGION", "ap-southeast-2");
  EXPECT_EQ(account(), "123456789012");
  EXPECT_NE(servers[0]->requests().at(1).header("authorization").find("AKIDOTHER00000000001/"),
            std::string::npos);
}

TEST_F(AwsProvider, ReadsTheFilesThatTheEnvironmentNames) {
  serve_sts("ca-west-1");
  home.write("my config", "[profile \"with blanks\"]\nREGION=ca-west-1\n");
  home.write("my credentials", "[with blanks]\n" + lines_of("AKIDPROFILE000000001"));
  env("AWS_CONFIG_FILE", "~/my config");
  env("AWS_SHARED_CREDENTIALS_FILE", home / "my credentials");
  EXPECT_EQ(account({{"profile", "with blanks"}}), "123456789012");
}

TEST_F(AwsProvider, PutsANamedProfileBeforeTheEnvironment) {
  keys("AKIDENVIRONMENT00001");
  auto& sts = serve_sts();
  home.write(".aws/credentials", "[mine]\n" + lines_of("AKIDPROFILE000000001"));
  EXPECT_EQ(account({{"profile", "mine"}}), "123456789012");
  EXPECT_NE(sts.requests().at(0).header("authorization").find("AKIDPROFILE000000001/"), std::string::npos);
  env("AWS_PROFILE", "mine");
  EXPECT_EQ(account(), "123456789012");
  EXPECT_NE(sts.requests().at(1).header("authorization").find("AKIDENVIRONMENT00001/"), std::string::npos);
}

TEST_F(AwsProvider, AssumesRolesThroughProfiles) {
  auto& sts = serve_sts("eu-west-1");
  home.write(".aws/config",
             std::string("[profile app]\nregion = eu-west-1\nrole_arn = ") + kRole +
                 "\nsource_profile = hop\nexternal_id = ext-4711\nrole_session_name = me@work\n"
                 "duration_seconds = 900\n[profile hop]\nrole_arn = " +
                 kRole + "\nsource_profile = hop\n");
  home.write(".aws/credentials", "[hop]\n" + lines_of("AKIDPROFILE000000001"));
  EXPECT_EQ(account({{"profile", "app"}}), "210987654321");
  const auto requests = sts.requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_NE(requests[0].header("authorization").find("AKIDPROFILE000000001/"), std::string::npos);
  EXPECT_EQ(form_of(requests[0].body)["RoleSessionName"], "cnspec");
  auto second = form_of(requests[1].body);
  EXPECT_EQ(second["RoleArn"], kRole);
  EXPECT_EQ(second["ExternalId"], "ext-4711");
  EXPECT_EQ(second["RoleSessionName"], "me@work");
  EXPECT_EQ(second["DurationSeconds"], "900");
  EXPECT_NE(requests[2].header("authorization").find("ASIAROLEEXAMPLE00001/"), std::string::npos);
}

TEST_F(AwsProvider, AssumesTheRoleOfTheFlag) {
  keys("AKIDENVIRONMENT00001");
  serve_sts();
  EXPECT_EQ(account({{"role", kRole}}), "210987654321");
}

TEST_F(AwsProvider, AssumesARoleWithTheSourceThatAProfileNames) {
  serve_sts();
  keys("AKIDENVIRONMENT00001");
  home.write(".aws/config",
             std::string("[profile app]\nrole_arn = ") + kRole + "\ncredential_source = Environment\n");
  EXPECT_EQ(account({{"profile", "app"}}), "210987654321");
  EXPECT_NE(servers[0]->requests().at(0).header("authorization").find("AKIDENVIRONMENT00001/"),
            std::string::npos);
}

TEST_F(AwsProvider, AssumesARoleWithAWebIdentity) {
  auto& sts = serve_sts();
  env("AWS_ROLE_ARN", kRole);
  env("AWS_WEB_IDENTITY_TOKEN_FILE", home.write("token", "eyJ.web.identity\n"));
  env("AWS_ROLE_SESSION_NAME", "pod");
  EXPECT_EQ(account(), "210987654321");
  EXPECT_EQ(form_of(sts.requests().at(0).body)["RoleSessionName"], "pod");

  home.write(".aws/config", std::string("[profile pod]\nrole_arn = ") + kRole +
                                "\nweb_identity_token_file = " + (home / "token").string() + "\n");
  EXPECT_EQ(account({{"profile", "pod"}}), "210987654321");
}

TEST_F(AwsProvider, AsksTheContainerEndpoint) {
  serve_sts();
  const auto ecs = [](const HttpRequest& request) {
    if (request.target != "/v2/credentials/9b1c?x=y" ||
        request.header("authorization") != "Basic ecs-authorization") {
      return HttpResponse{.status = 401, .body = "no " + request.header("authorization")};
    }
    return HttpResponse{.body = data("aws/container-credentials.json")};
  };
  serve(ecs, "http://169.254.170.2");
  env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/9b1c?x=y");
  env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic ecs-authorization");
  EXPECT_EQ(account(), "123456789012");
  EXPECT_TRUE(aws.sent().at(0).no_proxy);

  environment.set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", std::nullopt);
  HttpServer local([](const HttpRequest& r) {
    return r.header("authorization") == "ecs-authorization"
               ? HttpResponse{.body = data("aws/container-credentials.json")}
               : HttpResponse{.status = 403};
  });
  env("AWS_CONTAINER_CREDENTIALS_FULL_URI", local.url() + "/v1/credentials");
  env("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", home.write("eks", "ecs-authorization\n"));
  EXPECT_EQ(account(), "123456789012");
}

struct Imds {
  std::string role = "my-role";
  HttpResponse operator()(const HttpRequest& r) const {
    if (r.method == "PUT" && r.target == "/latest/api/token") {
      return r.header("x-aws-ec2-metadata-token-ttl-seconds").empty() ? HttpResponse{.status = 400}
                                                                      : HttpResponse{.body = "imds-token=="};
    }
    if (r.header("x-aws-ec2-metadata-token") != "imds-token==") return {.status = 401};
    const std::string base = "/latest/meta-data/iam/security-credentials/";
    if (r.target == base) return role.empty() ? HttpResponse{.status = 404} : HttpResponse{.body = role};
    if (r.target == base + role) return {.body = data("aws/instance-credentials.json")};
    if (r.target == "/latest/meta-data/placement/region") return {.body = "sa-east-1"};
    return {.status = 404};
  }
};

TEST_F(AwsProvider, AsksTheInstanceMetadata) {
  environment.set("AWS_EC2_METADATA_DISABLED", std::nullopt);
  serve_sts("sa-east-1");
  serve(Imds{}, "http://169.254.169.254");
  auto outcome = connect();
  ASSERT_TRUE(outcome.connection) << outcome.error;
  EXPECT_EQ(field(outcome.connection->fetch({"aws", "", {"region"}, {}}, {}), "region"), "sa-east-1");
  EXPECT_TRUE(aws.sent().at(0).no_proxy);

  HttpServer elsewhere(Imds{});
  env("AWS_EC2_METADATA_SERVICE_ENDPOINT", elsewhere.url() + "/");
  EXPECT_EQ(account(), "123456789012");
  EXPECT_FALSE(elsewhere.requests().empty());
}

TEST_F(AwsProvider, KnowsThePartitions) {
  keys("AKIDENVIRONMENT00001");
  serve_sts("cn-northwest-1");
  serve_sts("us-gov-west-1");
  EXPECT_EQ(account({{"region", "cn-northwest-1"}}), "123456789012");
  EXPECT_EQ(account({{"region", "us-gov-west-1"}}), "123456789012");
}

// ---- Why there are no credentials ----

TEST_F(AwsProvider, SaysWhereItLookedInVain) {
  environment.set("AWS_EC2_METADATA_DISABLED", std::nullopt);
  const auto outcome = connect();
  EXPECT_EQ(outcome.kind, ErrorKind::kRejected);
  EXPECT_EQ(outcome.error,
            "provider \"aws\": connect: there are no AWS credentials: AWS_ACCESS_KEY_ID is not set; the "
            "profile \"default\" is not in " +
                home.path().string() + "/.aws/config (which does not exist) and " + home.path().string() +
                "/.aws/credentials (which does not exist); no container endpoint is set "
                "(AWS_CONTAINER_CREDENTIALS_RELATIVE_URI, _FULL_URI); the instance metadata at "
                "http://169.254.169.254 cannot be reached");
}

TEST_F(AwsProvider, GivesUpOnSilentMetadataByItself) {
  environment.set("AWS_EC2_METADATA_DISABLED", std::nullopt);
  serve([](const HttpRequest&) { return HttpResponse{.fault = Fault::kSilence}; }, "http://169.254.169.254");
  EXPECT_NE(account().find("the instance metadata at http://169.254.169.254 does not answer in time"),
            std::string::npos);
}

TEST_F(AwsProvider, ExplainsMetadataThatHasNothingForUs) {
  environment.set("AWS_EC2_METADATA_DISABLED", std::nullopt);
  serve(Imds{.role = ""}, "http://169.254.169.254");
  EXPECT_NE(account().find("the instance has no role"), std::string::npos);
  serve([](const HttpRequest&) { return HttpResponse{.status = 403, .body = "no"}; },
        "http://169.254.169.254");
  EXPECT_NE(account().find("gave no session token (status 403, no content type, 2 bytes)"),
            std::string::npos);
  // A captive portal answers everything with its page.
  serve([](const HttpRequest&) { return HttpResponse{.body = "<html>log in</html>\r\n"}; },
        "http://169.254.169.254");
  EXPECT_NE(account().find(
                "the session token of the instance metadata at http://169.254.169.254 is empty or holds"),
            std::string::npos);
}

TEST_F(AwsProvider, ExplainsIncompleteCredentials) {
  env("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT00001");
  EXPECT_EQ(account(),
            "provider \"aws\": connect: the AWS credentials in the environment are incomplete: "
            "AWS_SECRET_ACCESS_KEY is not set");
  home.write(".aws/credentials",
             "[half]\naws_secret_access_key = " + kKeys.at("AKIDPROFILE000000001").secret + "\n");
  EXPECT_EQ(account({{"profile", "half"}}),
            "provider \"aws\": connect: the profile \"half\" is incomplete: it has no aws_access_key_id");
  env("AWS_SECRET_ACCESS_KEY", kKeys.at("AKIDENVIRONMENT00001").secret + "\nX-Evil: 1");
  EXPECT_EQ(account(),
            "provider \"aws\": connect: the secret access key from the environment is empty or holds a "
            "blank, a line break or another character no credential has");
}

TEST_F(AwsProvider, SuggestsTheProfileThatWasMeant) {
  home.write(".aws/config", "[profile production]\nregion=x\n[profile staging]\nregion=y\n");
  EXPECT_NE(account({{"profile", "prodction"}}).find("the AWS profile \"prodction\" (--profile) is not in "),
            std::string::npos);
  EXPECT_NE(aws.said().find("did you mean \"production\"?"), std::string::npos);
  env("AWS_PROFILE", "stagin");
  EXPECT_NE(account().find("did you mean \"staging\"?"), std::string::npos);
  EXPECT_EQ(account({{"profile", "something-else-entirely"}}).find("did you mean"), std::string::npos);
}

TEST_F(AwsProvider, NamesTheLineOfAMalformedFile) {
  const std::string secret = kKeys.at("AKIDPROFILE000000001").secret;
  const auto file = home.write(".aws/credentials", "[default]\naws_access_key_id = A\n" + secret + "\n");
  EXPECT_EQ(account(),
            "provider \"aws\": connect: " + file.string() + ":3: expected \"name = value\" or \"[section]\"");
  home.write(".aws/credentials", "[default\nx=y\n");
  EXPECT_EQ(account(),
            "provider \"aws\": connect: " + file.string() + ":1: the section's closing bracket is missing");
  home.write(".aws/credentials", "\nkey=" + secret + "\n");
  EXPECT_EQ(account(),
            "provider \"aws\": connect: " + file.string() + ":2: a setting before the first [section]");
  env("AWS_CONFIG_FILE", home.path());
  EXPECT_EQ(account(), "provider \"aws\": connect: the AWS configuration file \"" + home.path().string() +
                           "\" cannot be read: it is a directory");
  ASSERT_EQ(::mkfifo((home / "pipe").c_str(), 0600), 0);
  env("AWS_CONFIG_FILE", home / "pipe");
  EXPECT_NE(account().find("cannot be read: it is a named pipe"), std::string::npos);
  env("AWS_CONFIG_FILE", home.write("huge", std::string((1 << 20) + 1, '#')));
  EXPECT_NE(account().find("cannot be read: it is larger than 1 MiB"), std::string::npos);
  env("AWS_CONFIG_FILE", "/dev/null");
  env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
  EXPECT_NE(account().find("there are no AWS credentials"), std::string::npos);
}

TEST_F(AwsProvider, ExplainsProfilesItCannotUse) {
  const std::string role = std::string("role_arn = ") + kRole + "\n";
  home.write(
      ".aws/config",
      "[profile a]\n" + role + "source_profile = b\n[profile b]\n" + role +
          "source_profile = c\n[profile c]\n" + role + "source_profile = a\n[profile self]\n" + role +
          "source_profile = self\n[profile bare]\n" + role + "[profile both]\n" + role +
          "source_profile = a\ncredential_source = Environment\n[profile odd]\n" + role +
          "credential_source = Moon\n[profile lost]\n" + role + "source_profile = nobody\n[profile mfa]\n" +
          role +
          "source_profile = a\nmfa_serial = arn:aws:iam::1:mfa/x\n[profile sso]\nsso_session = corp\n" +
          "[profile process]\ncredential_process = /bin/echo\n[profile notarole]\nrole_arn = demo\n[profile "
          "empty]\n" +
          "region = eu-west-1\n[profile env]\n" + role + "credential_source = Environment\n[profile gone]\n" +
          role + "source_profile = empty\n[profile token]\n" + role +
          "web_identity_token_file = /nonexistent\n");
  const std::map<std::string, std::string> expected = {
      {"a", "the source_profile settings form a loop: \"a\" -> \"b\" -> \"c\" -> \"a\""},
      {"self", "the profile \"self\" is its own source_profile and has no keys"},
      {"bare",
       "the profile \"bare\" has role_arn, and neither source_profile nor credential_source to assume it "
       "with"},
      {"both", "the profile \"both\" has both source_profile and credential_source, expected one"},
      {"odd",
       "credential_source of the profile \"odd\" is \"Moon\", expected Environment, EcsContainer or "
       "Ec2InstanceMetadata"},
      {"lost", "the AWS profile \"nobody\" (source_profile of \"lost\") is not in "},
      {"mfa",
       "the profile \"mfa\" uses mfa_serial, which cnspec does not do; put its keys into the environment "
       "with: eval "
       "\"$(aws configure export-credentials --format env --profile 'mfa')\", and leave --profile out"},
      {"sso", "the profile \"sso\" uses sso_session, which cnspec does not do; "},
      {"process", "the profile \"process\" uses credential_process, which cnspec does not do; "},
      {"notarole", "role_arn of the profile \"notarole\" is \"demo\", expected a role like "},
      {"empty", "the profile \"empty\" has none in "},
      {"env", "credential_source of the profile \"env\" is Environment, and AWS_ACCESS_KEY_ID is not set"},
      {"gone", "the profile \"empty\" (source_profile of \"gone\") has no credentials"},
      {"token", "the token file \"/nonexistent\" does not exist"},
  };
  for (const auto& [profile, message] : expected) {
    const std::string error = account({{"profile", profile}});
    EXPECT_NE(error.find(message), std::string::npos) << profile << ": " << error;
  }
  EXPECT_TRUE(aws.sent().empty());
}

TEST_F(AwsProvider, SendsNoTokenToAContainerEndpointThatAnybodyCouldBe) {
  env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "ecs-authorization");
  env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.test/credentials");
  EXPECT_NE(account().find("names the host \"evil.test\", which is not to be trusted over plain http"),
            std::string::npos);
  env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1.evil.test/credentials");
  EXPECT_NE(account().find("not to be trusted"), std::string::npos);
  env("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://user@127.0.0.1/credentials");
  EXPECT_NE(account().find("AWS_CONTAINER_CREDENTIALS_FULL_URI must not name a user"), std::string::npos);
  env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil.test/");
  EXPECT_NE(account().find("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI does not begin with a slash"),
            std::string::npos);
  EXPECT_TRUE(aws.sent().empty());
}

TEST_F(AwsProvider, ExplainsAContainerEndpointThatFails) {
  HttpServer local([](const HttpRequest& r) {
    if (r.target == "/html")
      return HttpResponse{.headers = {{"Content-Type", "text/html"}}, .body = "<html>"};
    if (r.target == "/types") return HttpResponse{.body = R"({"AccessKeyId": 1, "SecretAccessKey": []})"};
    if (r.target == "/code") return HttpResponse{.body = R"({"Code": "AssumeRoleUnauthorizedAccess"})"};
    if (r.target == "/echo") return HttpResponse{.status = 403, .body = r.header("authorization")};
    if (r.target == "/deep") return HttpResponse{.body = std::string(100'000, '[')};
    return HttpResponse{.fault = Fault::kClose};
  });
  env("AWS_CONTAINER_AUTHORIZATION_TOKEN", "ecs-authorization");
  const std::string who = "the container endpoint " + local.url();
  const std::map<std::string, std::string> expected = {
      {"/html", who + " gave no credentials in JSON (status 200, text/html, 6 bytes)"},
      {"/types", who + " gave JSON without AccessKeyId and SecretAccessKey"},
      {"/code", who + " has no credentials: \"AssumeRoleUnauthorizedAccess\""},
      {"/echo", who + " gave no credentials (status 403, no content type, 17 bytes)"},
      {"/deep", who + " gave no credentials in JSON (status 200, no content type, 100000 bytes)"},
      {"/closed", who + " cannot be reached"},
  };
  for (const auto& [path, message] : expected) {
    env("AWS_CONTAINER_CREDENTIALS_FULL_URI", local.url() + path);
    const std::string error = account();
    EXPECT_NE(error.find(message), std::string::npos) << path << ": " << error;
  }
}

// ---- Why STS says no ----

TEST_F(AwsProvider, RefusesRegionsThatAreNone) {
  keys("AKIDENVIRONMENT00001");
  for (const char* region : {"evil.test/", "EU-central-1", "eu central", "@evil", "1", "-"}) {
    EXPECT_NE(account({{"region", region}}).find("is none, expected one like eu-central-1"),
              std::string::npos)
        << region;
  }
  EXPECT_NE(account({{"role", "admin"}}).find("--role is \"admin\", expected a role like arn:aws:iam::"),
            std::string::npos);
  EXPECT_NE(account({{"endpoint-url", "localhost:4566"}}).find("the AWS endpoint URL is not absolute"),
            std::string::npos);
  EXPECT_TRUE(aws.sent().empty());
}

TEST_F(AwsProvider, RefusesAWrongSecret) {
  env("AWS_ACCESS_KEY_ID", "AKIDENVIRONMENT00001");
  env("AWS_SECRET_ACCESS_KEY", "not-the-right-one");
  serve_sts();
  EXPECT_NE(account().find("SignatureWrong: the signature does not match"), std::string::npos);
}

TEST_F(AwsProvider, ExplainsRefusals) {
  EXPECT_EQ(refusal(sts_error(403, "ExpiredToken", "The security token included in the request is expired")),
            "provider \"aws\": connect: cannot ask AWS whose credentials these are: the credentials from the "
            "environment "
            "have expired (ExpiredToken); get new ones, for example by logging in again");
  EXPECT_EQ(kind, ErrorKind::kRejected);
  EXPECT_NE(refusal(sts_error(403, "InvalidClientTokenId",
                              "The security token included in the request is invalid."))
                .find("AWS does not know the credentials from the environment (InvalidClientTokenId)"),
            std::string::npos);
  EXPECT_NE(
      refusal(sts_error(403, "AccessDenied", "User: arn:aws:iam::123456789012:user/Alice is not authorized"))
          .find("AWS answered AccessDenied: User: arn:aws:iam::123456789012:user/Alice is not authorized "
                "(credentials from the environment)"),
      std::string::npos);
  EXPECT_NE(refusal(sts_error(400, "Throttling", "Rate exceeded")).find(" | try again"), std::string::npos);
  EXPECT_EQ(kind, ErrorKind::kUnavailable);
  EXPECT_NE(refusal(sts_error(403, "RegionDisabledException", "STS is not activated in this region"))
                .find("AWS answered RegionDisabledException: STS is not activated in this region"),
            std::string::npos);
  EXPECT_NE(
      refusal({.status = 503, .headers = {{"Content-Type", "text/html"}}, .body = "<html>"})
          .find(
              "https://sts.us-east-1.amazonaws.com has an error of its own (status 503, text/html, 6 bytes)"),
      std::string::npos);
}

TEST_F(AwsProvider, BlamesTheClockWhereItIsToBlame) {
  const auto date = [](std::time_t when) {
    char text[64];
    std::tm parts{};
    std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", ::gmtime_r(&when, &parts));
    return std::string(text);
  };
  HttpResponse expired = sts_error(403, "SignatureDoesNotMatch",
                                   "Signature expired: 20251124T080000Z is now earlier than 20251124T084500Z "
                                   "(20251124T090000Z - 15 min.)");
  expired.headers.emplace_back("Date", date(std::time(nullptr) + 3600 + 30));
  EXPECT_NE(refusal(expired).find(
                "AWS refused the time of the request (SignatureDoesNotMatch): this machine's clock is "
                "60 minutes behind AWS; set it, or let NTP do so"),
            std::string::npos)
      << aws.said();
  HttpResponse early = sts_error(400, "RequestExpired", "Request has expired.");
  early.headers.emplace_back("Date", date(std::time(nullptr) - 7200));
  EXPECT_NE(refusal(early).find("this machine's clock is 120 minutes ahead of AWS"), std::string::npos)
      << aws.said();
  EXPECT_NE(
      refusal(sts_error(400, "RequestExpired", "Request has expired.")).find("this machine's clock is wrong"),
      std::string::npos);
}

TEST_F(AwsProvider, RepeatsNoSecretThatStsEchoes) {
  const auto& [secret, token] = kKeys.at("ASIASESSION000000001");
  // What STS really says: the canonical request, with all its headers.
  const std::string error = refusal(sts_error(403, "SignatureDoesNotMatch",
                                              "The request signature we calculated does not match the "
                                              "signature you provided. The Canonical String for this "
                                              "request should have been 'POST\n/\n\nx-amz-security-token:" +
                                                  token + "'"));
  EXPECT_NE(error.find("the secret access key from the environment does not belong to the access key"),
            std::string::npos);
  const std::string padded = std::string(399, 'x') + token + " " + secret;
  EXPECT_NE(refusal(sts_error(400, "ValidationError", padded)).find("ValidationError"), std::string::npos);
  EXPECT_EQ(aws.said().find(token.substr(0, 8)), std::string::npos) << "not even the part before a cut";
  refusal({.status = 400, .headers = {{"Content-Type", "text/plain"}}, .body = secret + token});
}

TEST_F(AwsProvider, RecognisesWhatIsNotSts) {
  const std::string url = "https://sts.us-east-1.amazonaws.com did not answer as AWS STS does (";
  const std::string good = data("aws/get-caller-identity.xml");
  const std::vector<std::pair<HttpResponse, std::string>> cases = {
      {{.headers = {{"Content-Type", "text/html; charset=utf-8"}}, .body = "<html><body>Hi</body></html>"},
       url + "status 200, text/html, 28 bytes); is this the right endpoint?"},
      {{.body = ""}, url + "status 200, no content type, 0 bytes)"},
      {{.body = "{\"Account\": 1}"}, url + "status 200, no content type, 14 bytes)"},
      {{.body = good.substr(0, good.size() / 2)}, url},
      {{.status = 302, .headers = {{"Location", "https://portal.test/"}}},
       url + "status 302, no content type, 0 bytes)"},
      {{.body = "<ErrorResponse><Error/></ErrorResponse>"},
       "said that the credentials are those of account \"\""},
      {{.body = "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>12</Account>"
                "</GetCallerIdentityResult></GetCallerIdentityResponse>"},
       "said that the credentials are those of account \"12\", expected a number of 12 digits"},
      {{.body = "<x>" + std::string(2 << 20, ' ') + "</x>"}, url},
  };
  for (const auto& [response, message] : cases) {
    const std::string error = refusal(response);
    EXPECT_NE(error.find(message), std::string::npos) << error;
  }
  for (const Fault fault : {Fault::kClose, Fault::kReset, Fault::kCut, Fault::kEndless}) {
    const std::string error = refusal({.body = good, .fault = fault});
    EXPECT_NE(error.find("provider \"aws\": connect: http"), std::string::npos) << error;
  }
}

TEST_F(AwsProvider, RecognisesAssumedRolesWithoutCredentials) {
  keys("AKIDENVIRONMENT00001");
  serve(
      [](const HttpRequest&) {
        return xml(200, "<AssumeRoleResponse><AssumeRoleResult/></AssumeRoleResponse>");
      },
      "https://sts.us-east-1.amazonaws.com");
  EXPECT_NE(account({{"role", kRole}}).find("did not answer as AWS STS does"), std::string::npos);
  serve(
      [](const HttpRequest&) {
        return sts_error(403, "AccessDenied", "is not authorized to perform: sts:AssumeRole");
      },
      "https://sts.us-east-1.amazonaws.com");
  EXPECT_NE(account({{"role", kRole}})
                .find(std::string("cannot assume the role \"") + kRole +
                      "\": AWS answered "
                      "AccessDenied: is not authorized to perform: sts:AssumeRole (credentials "
                      "from the environment)"),
            std::string::npos);
}

// ---- Who does not want to wait ----

TEST_F(AwsProvider, EndsAtTheDeadline) {
  keys("AKIDENVIRONMENT00001");
  serve([](const HttpRequest&) { return HttpResponse{.fault = Fault::kSilence}; },
        "https://sts.us-east-1.amazonaws.com");
  const auto outcome = connect(
      {}, {.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(100), .cancelled = {}});
  EXPECT_EQ(outcome.kind, ErrorKind::kTimeout) << outcome.error;
}

TEST_F(AwsProvider, AsksNobodyElseOnceCancelled) {
  environment.set("AWS_EC2_METADATA_DISABLED", std::nullopt);
  const auto cancelled = std::make_shared<std::atomic<bool>>(false);
  serve(
      [cancelled](const HttpRequest&) {  // the server outlives this function
        *cancelled = true;
        return HttpResponse{.fault = Fault::kClose};
      },
      "http://169.254.169.254");
  const auto outcome =
      connect({}, {.deadline = std::chrono::steady_clock::time_point::max(), .cancelled = cancelled});
  EXPECT_EQ(outcome.kind, ErrorKind::kCancelled) << outcome.error;
  EXPECT_EQ(aws.sent().size(), 1u);
}

}  // namespace
}  // namespace cnspec::test
