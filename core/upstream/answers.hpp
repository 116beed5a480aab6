// What the platform answers, read. Plain functions that wait for nothing: they take whatever came and never
// more than that for granted.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/json.hpp"
#include "base/time.hpp"
#include "transport/transport.hpp"

namespace cnspec::upstream {

struct Health {
  std::string status;  // SERVING, NOT_SERVING, UNKNOWN, SERVICE_UNKNOWN
  std::string time;    // as sent, RFC 3339
  std::string api_version;
  Clock::time_point asked, answered;  // by our clock
};
// The platform's clock minus ours, where they differ by more than what the question took and some seconds.
std::optional<std::chrono::nanoseconds> clock_skew(const Health& health);

// A service account, as the platform hands it out once.
struct Credential {
  std::string mrn, scope_mrn, private_key, certificate, api_endpoint;
};

struct Registration {
  std::string agent_mrn;
  Credential credential;  // all empty when the caller signed with one it already had
};

// The object in a good answer of `url`. kRejected or kUnavailable, with the gRPC code as the status, for a
// refusal by the platform; kUnavailable without one for what anybody in between may say, whatever its HTTP
// status; kInvalid for what is no JSON object.
Result<json::Document> read_answer(const transport::Response& response, const std::string& url,
                                   std::string_view request_id);

// The error of what somebody at `url` answered, with a hint by which id the log there knows the request.
Error with_request_id(Error error, const std::string& url, std::string_view request_id);

Health read_health(const json::Value& answer);  // without our times
Result<Registration> read_registration(const json::Value& answer);
Result<std::string> read_latest_version(const transport::Response& response, const std::string& url);

// By name.
using Versions = std::map<std::string, std::string>;
// {"providers": [{"name": "os", "version": "1.2.3"}]}; none where nobody announces any (404).
Result<Versions> read_provider_versions(const transport::Response& response, const std::string& url);

const char* code_name(int grpc_code);  // "Unauthenticated"

}  // namespace cnspec::upstream
