// AWS Signature Version 4 for requests whose body is in memory.
#pragma once

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "shared/text.hpp"

namespace cnspec::aws {

struct Credentials {
  std::string access_key;
  providers::Secret secret_key;
  providers::Secret session_token;  // empty for long-term keys
};

struct SigningScope {
  std::string region;
  std::string service;
  std::chrono::sys_seconds time;
};

struct SignedParts {
  std::string method;
  std::string path;                                             // as on the wire, escaped; "" stands for "/"
  std::vector<std::pair<std::string, std::string>> query = {};  // not escaped
  std::vector<std::pair<std::string, std::string>> headers = {};  // all are signed; "Host" must be among them
  std::string body = {};
};

// The headers to send besides those of `parts`: X-Amz-Date, X-Amz-Security-Token when there is a session
// token, and Authorization. Throws when the crypto library fails.
std::vector<std::pair<std::string, std::string>> sign(const SignedParts& parts,
                                                      const Credentials& credentials,
                                                      const SigningScope& scope);

}  // namespace cnspec::aws
