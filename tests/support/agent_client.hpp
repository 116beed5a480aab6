// A client of the platform as many of them make a load: one connection, kept open, and a service account.
#pragma once

#include <memory>
#include <string>

#include "auth/auth.hpp"
#include "base/error.hpp"
#include "upstream/answers.hpp"

namespace cnspec::test {

// One thread uses an object at a time.
class AgentClient {
 public:
  AgentClient(std::string url, std::string ca_file);
  ~AgentClient();
  AgentClient(AgentClient&&) noexcept;

  Result<upstream::Registration> register_agent(const std::string& token, const std::string& platform_id);
  // Signed by the account that `registration` brought.
  Result<void> ping(const upstream::Registration& registration);

 private:
  Result<transport::Response> post(const std::string& method, const std::string& body,
                                   const std::string& authorization);
  struct Connection;
  std::unique_ptr<Connection> connection_;
};

}  // namespace cnspec::test
