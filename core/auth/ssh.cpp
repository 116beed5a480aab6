// auth.method ssh: every key of the agent signs who asks for what, until when; the platform knows one of
// them.
#include <algorithm>
#include <optional>

#include "auth/kinds.hpp"
#include "auth/ssh_agent.hpp"
#include "base/encoding.hpp"
#include "base/time.hpp"

namespace cnspec::auth {
namespace {

constexpr std::chrono::minutes kLifetime{5};
constexpr std::string_view kAlgorithm = "x5t#S256";

struct Claims {
  std::string subject, expires, issued, resource;

  // What is signed: in this order, as a form, hashed.
  std::string digest() const {
    const std::string form = "exp=" + form_encode(expires) + "&iat=" + form_encode(issued) +
                             "&resource=" + form_encode(resource) + "&subject=" + form_encode(subject) + "\n";
    return hex_encode(sha256(form));
  }
};

std::string fingerprint(const SshAgent::Key& key) {
  std::string hash = base64_encode(sha256(key.blob));
  while (hash.ends_with('=')) hash.pop_back();
  return "SHA256:" + hash;
}

class Ssh final : public Exchange {
 public:
  explicit Ssh(const Claimant& claimant) : mrn_(claimant.mrn), scope_mrn_(claimant.scope_mrn) {}

  std::string_view call() const override { return "SecureTokenService/ExchangeSSH"; }

  Result<std::string> prove(const Asking& asking) override {
    // The platform needs the other half.
    const auto begin = std::chrono::steady_clock::now();
    const auto deadline = begin + (asking.deadline - begin) / 2;
    auto agent = SshAgent::connect();
    if (!agent) return fail(agent.error());
    auto keys = agent->keys(deadline);
    if (!keys) return fail(keys.error());
    if (keys->empty()) {
      return fail(Error("the SSH agent holds no keys", ErrorKind::kUnavailable).hint("give it one: ssh-add"));
    }
    std::stable_partition(keys->begin(), keys->end(), [](const auto& key) { return !key.wants_a_touch(); });

    const auto now = std::chrono::floor<std::chrono::seconds>(Clock::now());
    const Claims claims{mrn_, rfc3339_utc(now + kLifetime), rfc3339_utc(now), scope_mrn_};
    json::Document body(rapidjson::kObjectType);
    auto& alloc = body.GetAllocator();
    const auto text = [&](std::string_view s) { return json::text(s, alloc); };
    json::Value signatures(rapidjson::kArrayType);
    std::optional<Error> last;
    for (const SshAgent::Key& key : *keys) {
      auto signature = agent->sign(key, claims.digest(), deadline);
      if (!signature) {
        last = std::move(signature.error());
        if (last->kind() != ErrorKind::kRejected) break;  // what comes next on the connection is unknown
        continue;
      }
      json::Value one(rapidjson::kObjectType);
      one.AddMember("alg", text(kAlgorithm), alloc);
      one.AddMember("kid", text(fingerprint(key)), alloc);
      one.AddMember("sig", text(hex_encode(*signature)), alloc);
      signatures.PushBack(one, alloc);
    }
    if (signatures.Empty()) return fail(std::move(*last));

    json::Value asked(rapidjson::kObjectType);
    asked.AddMember("subject", text(claims.subject), alloc);
    asked.AddMember("exp", text(claims.expires), alloc);
    asked.AddMember("iat", text(claims.issued), alloc);
    asked.AddMember("resource", text(claims.resource), alloc);
    body.AddMember("claims", asked, alloc);
    body.AddMember("signatures", signatures, alloc);
    return json::write(body);
  }

  Result<Account> read(const json::Value& answer) const override { return read_account(answer); }

 private:
  const std::string mrn_, scope_mrn_;
};

}  // namespace

std::unique_ptr<Exchange> make_ssh(const Claimant& claimant) { return std::make_unique<Ssh>(claimant); }

}  // namespace cnspec::auth
