// Where AWS credentials come from, in the order that AWS documents for its tools:
//
//   1. the profile that --profile names (then 2 and 3 are not asked)
//   2. AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
//   3. AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN
//   4. the profile of AWS_PROFILE, or "default", in the shared files: roles, keys, web identity
//   5. the endpoint of a container (ECS, EKS)
//   6. the metadata service of an EC2 instance (version 2)
//
// The region is that of --region, AWS_REGION, AWS_DEFAULT_REGION, the profile, the instance (only when the
// credentials are the instance's as well: elsewhere the question would cost time), and us-east-1.
#pragma once

#include <cnspec/provider.hpp>
#include <string>

#include "sigv4.hpp"
#include "sts.hpp"

namespace cnspec::aws {

struct Settings {  // the connector's flags; empty: not set
  std::string profile;
  std::string region;
  std::string role;
  std::string endpoint_url;
};

struct Session {
  Credentials credentials;
  std::string source;  // where they are from, for messages
  std::string region;
  std::string endpoint_url;  // empty: AWS's own
};

// Throws sdk::Error: there are none (and where was looked), or the first source that has some has unusable
// ones.
Session open_session(sdk::Call& call, const Settings& settings);

}  // namespace cnspec::aws
