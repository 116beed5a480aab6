// Signature Version 4 against the vectors that AWS publishes: its "aws-sig-v4-test-suite", and the example of
// its documentation.
#include "aws/sigv4.hpp"

#include <gtest/gtest.h>

namespace cnspec::aws {
namespace {

using namespace std::chrono_literals;

const SigningScope kScope = {"us-east-1", "service",
                             std::chrono::sys_days(std::chrono::year(2015) / 8 / 30) + 12h + 36min};
const Credentials kExample = {
    "AKIDEXAMPLE", providers::Secret("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), {}};

std::string header(const std::vector<std::pair<std::string, std::string>>& headers, const std::string& name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

std::string signature(const SignedParts& parts, const Credentials& credentials = kExample,
                      const SigningScope& scope = kScope) {
  const std::string value = header(sign(parts, credentials, scope), "Authorization");
  return value.substr(value.find("Signature=") + 10);
}

SignedParts request(const std::string& method, const std::string& path = "/") {
  return {.method = method, .path = path, .headers = {{"Host", "example.amazonaws.com"}}};
}

TEST(AwsSigV4, SignsGetVanilla) {
  const auto added = sign(request("GET"), kExample, kScope);
  EXPECT_EQ(header(added, "X-Amz-Date"), "20150830T123600Z");
  EXPECT_EQ(header(added, "Authorization"),
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
            "SignedHeaders=host;x-amz-date, "
            "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

TEST(AwsSigV4, SignsPostVanilla) {
  EXPECT_EQ(signature(request("POST")), "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b");
}

TEST(AwsSigV4, SignsPostForm) {
  auto parts = request("POST");
  parts.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
  parts.body = "Param1=value1";
  EXPECT_EQ(signature(parts), "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a");
}

TEST(AwsSigV4, SignsTheSessionToken) {
  Credentials session = kExample;
  session.session_token = providers::Secret(
      "AQoDYXdzEPT//////////"
      "wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwt"
      "hAx7mSEI/qkPpKPi/"
      "kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVX"
      "AkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+"
      "scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==");
  EXPECT_EQ(signature(request("POST"), session),
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead");
}

TEST(AwsSigV4, SortsTheQuery) {
  auto parts = request("GET");
  parts.query = {{"Param2", "value2"}, {"Param1", "value1"}};
  EXPECT_EQ(signature(parts), "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
}

TEST(AwsSigV4, NormalisesThePath) {
  const std::string root = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
  for (const char* path : {"", "/", "//", "/example/..", "/./", "/example1/example2/../.."}) {
    EXPECT_EQ(signature(request("GET", path)), root) << path;
  }
}

// "Signature calculations for AWS API requests", the request for IAM's ListUsers.
TEST(AwsSigV4, SignsTheExampleOfTheDocumentation) {
  const SignedParts parts = {.method = "GET",
                             .path = "/",
                             .query = {{"Action", "ListUsers"}, {"Version", "2010-05-08"}},
                             .headers = {{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"},
                                         {"Host", "iam.amazonaws.com"}}};
  EXPECT_EQ(signature(parts, kExample, {"us-east-1", "iam", kScope.time}),
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7");
}

}  // namespace
}  // namespace cnspec::aws
