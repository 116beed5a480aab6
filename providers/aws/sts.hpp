// AWS's Security Token Service: who am I, and may I be somebody else.
#pragma once

#include <cnspec/provider.hpp>
#include <string>
#include <utility>
#include <vector>

#include "sigv4.hpp"

namespace cnspec::aws {

struct Identity {
  std::string account;
  std::string arn;
  std::string user_id;
};

struct Role {
  std::string arn;
  std::string session_name;  // empty: "cnspec"
  std::string external_id;
  std::string duration;  // seconds; empty: what AWS takes
};

// One region's STS. Every function throws sdk::Error when AWS says no, or makes no sense; `source` names in
// it where the credentials are from.
class Sts {
 public:
  // `endpoint` takes the place of sts.REGION.amazonaws.com; empty: it does not. Throws for a region that is
  // none.
  Sts(sdk::Call& call, std::string region, const std::string& endpoint);

  Identity caller_identity(const Credentials& credentials, const std::string& source) const;
  Credentials assume_role(const Role& role, const Credentials& credentials, const std::string& source) const;
  Credentials assume_role_with_web_identity(const Role& role, const providers::Secret& token,
                                            const std::string& source) const;

 private:
  struct Exchange {
    std::string what;  // being done: "assume the role ..."
    std::string source;
    const Credentials* credentials;          // null: not signed
    std::vector<providers::Secret> secrets;  // what AWS may echo and we must not
  };

  std::string post(const Exchange& exchange, std::vector<std::pair<std::string, std::string>> fields) const;
  [[noreturn]] void refused(const Exchange& exchange, const sdk::HttpResponse& response) const;

  sdk::Call& call_;
  std::string region_;
  std::string scheme_;
  std::string authority_;
  std::string path_;
};

}  // namespace cnspec::aws
