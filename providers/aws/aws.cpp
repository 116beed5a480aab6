#include <cnspec/provider.hpp>

#include "credentials.hpp"
#include "manifest.h"

namespace cnspec::aws {
namespace {

using namespace cnspec::sdk;

// Connecting asks who we are; the answer is all there is to tell, so no credential outlives it.
class Account : public Connection {
 public:
  Account(Identity identity, std::string region)
      : identity_(std::move(identity)), region_(std::move(region)) {}

  void identify(Call&, Rows& rows) override {
    const std::string id = "//platformid.api.mondoo.app/runtime/aws/accounts/" + identity_.account;
    rows.begin("asset", id)
        .put("name", "AWS Account " + identity_.account)
        .put("platform", "aws")
        .put("title", "Amazon Web Services")
        .put("kind", "api")
        .put("runtime", "aws")
        .put("ids", Value::Array{id});
  }

  void fetch(Call&, const FetchRequest& request, Rows& rows) override {
    namespace aws = resources::aws;
    if (!request.id.empty() && request.id != identity_.account) return;
    rows.begin(aws::kType, identity_.account)
        .put(aws::account, identity_.account)
        .put(aws::arn, identity_.arn)
        .put(aws::userId, identity_.user_id)
        .put(aws::region, region_);
  }

 private:
  Identity identity_;
  std::string region_;
};

class Aws : public Provider {
  std::unique_ptr<Connection> connect(Call& call, const ConnectRequest&) override {
    const auto flag = [&](const char* name) { return call.config(name).value_or(""); };
    const Session session = open_session(
        call, {flag(flags::profile), flag(flags::region), flag(flags::role), flag(flags::endpoint_url)});
    const Sts sts(call, session.region, session.endpoint_url);
    return std::make_unique<Account>(sts.caller_identity(session.credentials, session.source),
                                     session.region);
  }
};

}  // namespace
}  // namespace cnspec::aws

using cnspec::aws::Aws;
CNSPEC_PROVIDER(Aws)
