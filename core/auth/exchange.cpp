#include "auth/exchange.hpp"

#include "auth/kinds.hpp"
#include "base/text.hpp"

namespace cnspec::auth {
namespace {

struct Kind {
  std::string_view method;
  std::unique_ptr<Exchange> (*make)(const Claimant&);
};

constexpr Kind kKinds[] = {
    {"ssh", make_ssh},
    {"wif", make_workload_identity},
};

}  // namespace

Result<std::unique_ptr<Exchange>> make_exchange(const Claimant& claimant) {
  std::string known;
  for (const Kind& kind : kKinds) {
    if (kind.method == claimant.method) return kind.make(claimant);
    known += (known.empty() ? "" : " or ") + std::string(kind.method);
  }
  return fail("unknown auth.method " + quoted_if_needed(claimant.method) + ", expected " + known,
              ErrorKind::kConfig);
}

Result<Account> read_account(const json::Value& credential) {
  const auto member = [&](std::string_view snake, std::string_view camel) {
    const auto value = json::get_string(credential, snake);
    return std::string(value.empty() ? json::get_string(credential, camel) : value);
  };
  Account out;
  out.mrn = json::get_string(credential, "mrn");
  out.private_key = member("private_key", "privateKey");
  for (const auto& [snake, camel] :
       {std::pair("scope_mrn", "scopeMrn"), {"space_mrn", "spaceMrn"}, {"parent_mrn", "parentMrn"}}) {
    if (out.scope_mrn.empty()) out.scope_mrn = member(snake, camel);
  }
  if (out.mrn.empty() || out.private_key.empty()) {
    return fail(
        "the platform sent credentials without " + std::string(out.mrn.empty() ? "mrn" : "private_key"),
        ErrorKind::kInvalid);
  }
  return out;
}

}  // namespace cnspec::auth
