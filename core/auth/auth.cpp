#include "auth/auth.hpp"

#include "auth/kinds.hpp"
#include "base/text.hpp"

namespace cnspec::auth {
namespace {

// "Bearer " and a fixed token; without one, nothing.
class Fixed final : public Authenticator {
 public:
  explicit Fixed(std::string header) : header_(std::move(header)) {}
  Result<std::string> authorize(std::string_view) override { return header_; }

 private:
  std::string header_;
};

Result<std::unique_ptr<Authenticator>> make_none(const Credentials&) { return std::make_unique<Fixed>(""); }

Result<std::unique_ptr<Authenticator>> make_bearer(const Credentials& credentials) {
  return std::make_unique<Fixed>("Bearer " + credentials.token);
}

struct Kind {
  std::string_view method;
  Result<std::unique_ptr<Authenticator>> (*make)(const Credentials&);
};

constexpr Kind kKinds[] = {
    {"none", make_none},
    {"bearer", make_bearer},
    {"service_account", make_service_account},
};

}  // namespace

Result<std::unique_ptr<Authenticator>> make_authenticator(const Credentials& credentials) {
  for (const Kind& kind : kKinds) {
    if (kind.method == credentials.method) return kind.make(credentials);
  }
  std::string known;
  for (const Kind& kind : kKinds) known += (known.empty() ? "" : ", ") + std::string(kind.method);
  return fail(
      "unknown authentication method " + quoted_if_needed(credentials.method) + ", expected one of " + known,
      ErrorKind::kUsage);
}

}  // namespace cnspec::auth
