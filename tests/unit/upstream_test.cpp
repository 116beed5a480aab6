// What the platform's answers, and those of whoever stands in between, are made into.
#include <gtest/gtest.h>

#include "base/encoding.hpp"
#include "upstream/answers.hpp"
#include "upstream/token.hpp"

namespace cnspec::upstream {
namespace {

transport::Response response(int status, const std::string& body) {
  transport::Response out;
  out.status = status;
  out.body = body;
  return out;
}

Error error_of(int status, const std::string& body) {
  auto answer = read_answer(response(status, body), "https://p/S/M", "req-1");
  EXPECT_FALSE(answer) << body;
  return answer ? Error("none") : answer.error();
}

TEST(AnswerTest, SaysWhatThePlatformSaid) {
  const Error error =
      error_of(401, R"({"code":16,"message":"request permission unauthenticated","details":[]})");
  EXPECT_EQ(error.message(), "rpc error: code = Unauthenticated desc = request permission unauthenticated");
  EXPECT_EQ(error.kind(), ErrorKind::kRejected);
  EXPECT_EQ(error.status(), 16);
  EXPECT_NE(error.hint().find("req-1"), std::string::npos);
  EXPECT_EQ(error_of(500, R"({"code":7,"message":"x"})").message(),
            "rpc error: code = PermissionDenied desc = x")
      << "the body knows better than the status";
}

TEST(AnswerTest, TellsANoFromAFailureByTheCode) {
  const std::tuple<int, const char*, ErrorKind> table[] = {
      {1, "Canceled", ErrorKind::kUnavailable},        {2, "Unknown", ErrorKind::kUnavailable},
      {3, "InvalidArgument", ErrorKind::kRejected},    {4, "DeadlineExceeded", ErrorKind::kUnavailable},
      {5, "NotFound", ErrorKind::kRejected},           {6, "AlreadyExists", ErrorKind::kUnavailable},
      {7, "PermissionDenied", ErrorKind::kRejected},   {8, "ResourceExhausted", ErrorKind::kUnavailable},
      {9, "FailedPrecondition", ErrorKind::kRejected}, {10, "Aborted", ErrorKind::kUnavailable},
      {11, "OutOfRange", ErrorKind::kUnavailable},     {12, "Unimplemented", ErrorKind::kUnavailable},
      {13, "Internal", ErrorKind::kUnavailable},       {14, "Unavailable", ErrorKind::kUnavailable},
      {15, "DataLoss", ErrorKind::kUnavailable},       {16, "Unauthenticated", ErrorKind::kRejected}};
  for (const auto& [code, name, kind] : table) {
    const Error error = error_of(400, "{\"code\":" + std::to_string(code) + ",\"message\":\"why\"}");
    EXPECT_EQ(error.message(), "rpc error: code = " + std::string(name) + " desc = why");
    EXPECT_EQ(error.kind(), kind) << code;
    EXPECT_EQ(error.status(), code);
  }
}

// A firewall or a gateway answers with the same statuses.
TEST(AnswerTest, AStatusOfHttpAloneIsNoWordOfThePlatforms) {
  const std::pair<int, const char*> table[] = {
      {401, "Unauthenticated"},   {403, "PermissionDenied"},  {404, "NotFound"},    {400, "InvalidArgument"},
      {409, "Aborted"},           {408, "Canceled"},          {503, "Unavailable"}, {501, "Unimplemented"},
      {504, "DeadlineExceeded"},  {500, "Internal"},          {302, "Unknown"},     {418, "Unknown"},
      {429, "ResourceExhausted"}, {412, "FailedPrecondition"}};
  for (const auto& [status, name] : table) {
    for (const std::string body :
         {"", "<html>no</html>", R"({"code":404,"message":"x"})", R"({"code":"16"})", R"([{"code":16}])"}) {
      const Error error = error_of(status, body);
      EXPECT_EQ(error.message(), "rpc error: code = " + std::string(name) + " desc = " +
                                     (body.empty() ? "HTTP status " + std::to_string(status) : body));
      EXPECT_EQ(error.kind(), ErrorKind::kUnavailable) << status << body;
      EXPECT_EQ(error.status(), 0) << status << body;
      EXPECT_EQ(error.hint(),
                "this is no answer of the platform: is its address right, and what is in between?");
    }
  }
}

TEST(AnswerTest, NamesTheProxyThatMayHaveAnswered) {
  transport::Response page = response(403, "<html>no</html>");
  page.via = "the proxy http://p:1 (HTTP_PROXY)";
  const Error error = read_answer(page, "http://p/S/M", "req-1").error();
  EXPECT_EQ(
      error.message(),
      "the proxy http://p:1 (HTTP_PROXY), or what is behind it, answered and not the platform: rpc error: "
      "code = PermissionDenied desc = <html>no</html>");
  EXPECT_EQ(error.hint(), "ask whoever runs the proxy, or except the host with NO_PROXY");
  page.body = R"({"code":7,"message":"no"})";
  EXPECT_EQ(read_answer(page, "http://p/S/M", "req-1").error().message(),
            "rpc error: code = PermissionDenied desc = no");
}

TEST(AnswerTest, ShowsAnIntermediarysPageAndNotTooMuchOfIt) {
  EXPECT_EQ(error_of(502, "<html>\n<b>bad gateway</b>\x1b[2J\n").message(),
            "rpc error: code = Unknown desc = <html>\\n<b>bad gateway</b>\\x1b[2J");
  const std::string all(2048, 'x');
  EXPECT_EQ(error_of(503, all).message(), "rpc error: code = Unavailable desc = " + all);
  EXPECT_EQ(error_of(503, all + "y").message(),
            "rpc error: code = Unavailable desc = " + all + "... [truncated]");
}

TEST(AnswerTest, MakesSenseOfNonsense) {
  for (const char* body : {"", "garbage", "[]", "5", "null", "\"text\"", "{\"a\":", "\xff\xfe"}) {
    const Error error = error_of(200, body);
    EXPECT_EQ(error.kind(), ErrorKind::kInvalid) << body;
    EXPECT_TRUE(error.message().starts_with("https://p/S/M did not answer as the platform does: "))
        << error.message();
  }
  EXPECT_EQ(error_of(401, R"({"code":16,"message":5})").message(),
            "rpc error: code = Unauthenticated desc = ");
}

json::Document object(const char* text) { return json::parse(text).value(); }

TEST(AnswerTest, ReadsHealthAndWhatJsonLeavesOut) {
  const Health health =
      read_health(object(R"({"status":"SERVING","time":"2024-03-23T20:07:42Z","apiVersion":"13"})"));
  EXPECT_EQ(health.status, "SERVING");
  EXPECT_EQ(health.time, "2024-03-23T20:07:42Z");
  EXPECT_EQ(health.api_version, "13");
  EXPECT_EQ(read_health(object(R"({"api_version":"13"})")).api_version, "13");
  EXPECT_EQ(read_health(object("{}")).status, "UNKNOWN");
  EXPECT_EQ(read_health(object(R"({"status":1,"time":null})")).status, "UNKNOWN");
}

TEST(AnswerTest, ReadsRegistrationsInBothSpellings) {
  for (
      const char* text :
      {R"({"agent_mrn":"a","credential":{"mrn":"m","scope_mrn":"s","private_key":"k","certificate":"c","api_endpoint":"e"}})",
       R"({"agentMrn":"a","credential":{"mrn":"m","scopeMrn":"s","privateKey":"k","certificate":"c","apiEndpoint":"e"}})",
       R"({"agent_mrn":"a","credential":{"mrn":"m","parent_mrn":"s","private_key":"k","certificate":"c","api_endpoint":"e"}})"}) {
    const auto registration = read_registration(object(text));
    ASSERT_TRUE(registration) << text;
    EXPECT_EQ(registration->agent_mrn, "a");
    EXPECT_EQ(registration->credential.mrn, "m");
    EXPECT_EQ(registration->credential.scope_mrn, "s");
    EXPECT_EQ(registration->credential.private_key, "k");
    EXPECT_EQ(registration->credential.certificate, "c");
    EXPECT_EQ(registration->credential.api_endpoint, "e");
  }
  const auto own = read_registration(object(R"({"agent_mrn":"a"})"));
  ASSERT_TRUE(own);
  EXPECT_EQ(own->credential.private_key, "");
  const auto none = read_registration(object(R"({"credential":{"private_key":"SECRET"}})"));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message(), "the platform registered no agent: its answer has no agent_mrn");
}

TEST(AnswerTest, ReadsTheLatestVersion) {
  EXPECT_EQ(read_latest_version(response(200, R"({"version":"1.2.3"})"), "U").value(), "1.2.3");
  EXPECT_EQ(read_latest_version(response(404, "not found"), "U").error().message(), "U: HTTP status 404");
  for (const char* body : {"", "<html>", "[]", "{}", R"({"version":5})"}) {
    EXPECT_EQ(read_latest_version(response(200, body), "U").error().message(),
              "U: expected JSON with a \"version\"")
        << body;
  }
}

// ---- tokens ----

std::string token(const std::string& claims) {
  return "eyJhbGciOiJFUzM4NCJ9." + base64url_encode(claims) + ".c2lnbmF0dXJl";
}
std::string why(const std::string& text) {
  const auto claims = read_token(text);
  if (claims) return "no error";
  EXPECT_EQ(claims.error().kind(), ErrorKind::kInvalid);
  return claims.error().message();
}

TEST(TokenTest, ReadsWhatATokenSays) {
  const auto claims = read_token(
      " \n" + token(R"({"space":"//s","desc":"two words","api_endpoint":"https://e","exp":1711224462.5})") +
      "\n");
  ASSERT_TRUE(claims) << claims.error().message();
  EXPECT_EQ(claims->space, "//s");
  EXPECT_EQ(claims->description, "two words");
  EXPECT_EQ(claims->api_endpoint, "https://e");
  EXPECT_EQ(rfc3339_utc(*claims->expires), "2024-03-23T20:07:42Z");
  EXPECT_FALSE(read_token(token(R"({"space":"s"})"))->expires);
}

TEST(TokenTest, OneThatLastsLongerThanTheClockHasNotExpired) {
  for (const char* exp : {"253402300799", "9223372036", "9223372037", "1e300", "18446744073709551615"}) {
    const auto claims = read_token(token("{\"space\":\"s\",\"exp\":" + std::string(exp) + "}"));
    ASSERT_TRUE(claims) << exp;
    EXPECT_GT(*claims->expires, Clock::now()) << exp;
  }
}

TEST(TokenTest, SaysWhatIsWrongAndNeverRepeatsIt) {
  const std::string malformed = "the registration token is malformed: ";
  const std::pair<std::string, std::string> cases[] = {
      {"", "expected three parts separated by dots"},
      {"SECRET", "expected three parts separated by dots"},
      {"SECRET.b", "expected three parts separated by dots"},
      {"a.b.c.SECRET", "expected three parts separated by dots"},
      {"a.SEC RET.c", "it has a character that no token has"},
      {token(R"({"space":"s"})") + "\nX-Injected: yes", "it has a character that no token has"},
      {"a.SECRETS=.c", "it has a character that no token has"},
      {"a.SECRE.c", "its second part is not base64url"},
      {"a.SECRETSECRET.c", "its second part is not a JSON object"},
      {token("[]"), "its second part is not a JSON object"},
      {token("{}"), "it names no space"},
      {token(R"({"space":5})"), "it names no space"},
      {token(R"({"space":"s","exp":"soon"})"), "its expiry is no time"},
      {token(R"({"space":"s","exp":-1})"), "its expiry is no time"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(why(text), malformed + expected) << text;
}

}  // namespace
}  // namespace cnspec::upstream
