// The platform's calls, typed. JSON on the wire; see the methods for which need credentials.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <map>
#include <string>
#include <string_view>

#include "auth/auth.hpp"
#include "base/error.hpp"
#include "base/json.hpp"
#include "base/time.hpp"
#include "transport/transport.hpp"
#include "upstream/answers.hpp"
#include "upstream/features.hpp"

namespace cnspec::upstream {

using transport::Deadline;
template <class T>
using Task = boost::asio::awaitable<Result<T>>;

// What this machine says of itself.
struct AgentInfo {
  std::string mrn;  // once registered
  std::string platform_name, platform_release, platform_arch, platform_ip, platform_hostname, platform_id;
};

// On the loop's thread, like the transport, which outlives it. Errors: kRejected when the platform said no,
// with its gRPC code as the status; kUnavailable or kTimeout when it could not be asked; kInvalid for an
// answer that makes no sense.
class Upstream {
 public:
  // `endpoint` has no slash at its end; `features` is as features_header() makes it.
  Upstream(transport::Transport& transport, std::string endpoint, std::string features = default_features())
      : transport_(transport), endpoint_(std::move(endpoint)), features_(std::move(features)) {}

  // By which the platform's log knows the last request; empty before the first.
  const std::string& last_request_id() const { return last_request_id_; }

  Task<Health> health(Deadline deadline);
  Task<Registration> register_agent(auth::Authenticator& auth, std::string token, std::string name,
                                    AgentInfo info, Deadline deadline);
  Task<void> unregister_agent(auth::Authenticator& auth, std::string agent_mrn, Deadline deadline);
  // Proves the credentials.
  Task<void> ping(auth::Authenticator& auth, Deadline deadline);
  // Asks for credentials, by a method of SecureTokenService; the body is the proof, so nobody signs it.
  Task<json::Document> exchange(std::string method, std::string body, Deadline deadline);

 private:
  Task<json::Document> call(std::string method, std::string body, auth::Authenticator* auth,
                            Deadline deadline);

  transport::Transport& transport_;
  std::string endpoint_, features_;
  std::string last_request_id_;
};

// What is announced at an address: of releases, or of the providers in a registry. On the loop's thread, like
// the transport, which outlives it.
class Announcements {
 public:
  Announcements(transport::Transport& transport, std::string address, std::string features)
      : transport_(transport), address_(std::move(address)), features_(std::move(features)) {}

  const std::string& last_request_id() const { return last_request_id_; }

  // The newest released version of the program, in <address>/cnspec/latest.json.
  Task<std::string> latest_version(Deadline deadline);
  // The newest released version of each provider, all in <address>/latest.json.
  Task<Versions> latest_provider_versions(Deadline deadline);

 private:
  template <class T>
  Task<T> read(std::string path, Deadline deadline,
               Result<T> (*read_it)(const transport::Response&, const std::string&));

  transport::Transport& transport_;
  std::string address_, features_;
  std::string last_request_id_;
};

// What every request of ours says, whoever is asked: its id, and the features as features_header() makes
// them.
transport::Headers own_headers(const std::string& features);

}  // namespace cnspec::upstream
