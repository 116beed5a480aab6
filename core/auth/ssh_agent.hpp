// A client of the SSH agent: lists keys, asks for signatures. What the agent sends is taken for hostile.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace cnspec::auth {

// Errors name the agent's socket. kUnavailable: there is no agent; kTimeout: it did not answer before the
// deadline, after which the connection is of no use; kInvalid: what it said makes no sense; kRejected: it
// does not do what was asked.
class SshAgent {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  struct Key {
    std::string type;  // "ssh-ed25519"
    std::string blob;  // the public key as SSH sends it
    std::string comment;

    // Signs only when somebody touches the device that holds it.
    bool wants_a_touch() const { return type.starts_with("sk-"); }
  };

  // At SSH_AUTH_SOCK.
  static Result<SshAgent> connect();
  SshAgent(SshAgent&& other) noexcept;
  SshAgent& operator=(SshAgent&&) = delete;
  ~SshAgent();

  Result<std::vector<Key>> keys(Deadline deadline);
  // The signature with its algorithm's name before it, as SSH sends it; RSA keys sign with SHA-512.
  Result<std::string> sign(const Key& key, std::string_view data, Deadline deadline);

 private:
  SshAgent(int fd, std::string name) : fd_(fd), name_(std::move(name)) {}
  Result<std::string> ask(std::string_view message, Deadline deadline);  // answers with the message's inside
  Result<void> transfer(char* data, std::size_t size, bool write, Deadline deadline);
  tl::unexpected<Error> failed(const std::string& why, ErrorKind kind) const;

  int fd_;
  std::string name_;  // "the SSH agent at /run/agent"
};

}  // namespace cnspec::auth
