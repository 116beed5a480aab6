#include "registration/logout.hpp"

#include <optional>

#include "base/interrupt.hpp"
#include "base/text.hpp"
#include "registration/clock.hpp"
#include "upstream/upstream.hpp"

namespace cnspec::registration {
namespace {

using config::Config;
using config::Origin;
using config::Setting;
using config::Source;
using runtime::Runtime;
using runtime::Task;

constexpr int kNotFound = 5;  // the platform's code

// What an identity is made of; a login writes these, and documents with credentials have them.
constexpr const char* kCredentialKeys[] = {"agent_mrn",   "private_key", "private_key_file",
                                           "certificate", "jwtToken",    "token"};
// Of a client that gets its credentials by another method (auth.method), these are the user's choice.
constexpr const char* kAccountKeys[] = {"mrn", "scope_mrn", "space_mrn", "parent_mrn"};

// The setting that says whose the credentials are; the secret alone may come from elsewhere.
const Setting* identity_of(const Config& config) {
  for (const char* key : {"mrn", "agent_mrn", "private_key", "private_key_file", "jwtToken"}) {
    if (const Setting* setting = config.find(key)) return setting;
  }
  return nullptr;
}

// Where the user put it, when that is not a file; empty when it is one.
std::string variable_of(const Config& config) {
  const Setting* identity = identity_of(config);
  if (identity && identity->origin == Origin::kEnvironment) return identity->from;
  return config.source.kind == Source::Kind::kEnvironment ? "MONDOO_CONFIG_BASE64" : "";
}

std::vector<config::Change> removals(const Config& config) {
  std::vector<config::Change> out;
  for (const char* key : kCredentialKeys) out.push_back({key, std::nullopt});
  if (config.auth_method.empty()) {
    for (const char* key : kAccountKeys) out.push_back({key, std::nullopt});
  }
  return out;
}

class Logout {
 public:
  Logout(Runtime& runtime, const LogoutRequest& request, const Observer& observer)
      : runtime_(runtime), request_(request), observer_(observer), config_(runtime.config()) {}

  Task<void> run() {
    const bool on_disk = variable_of(config_).empty();
    // What the platform was told cannot be taken back, so whatever could fail later is tried first.
    if (on_disk) {
      if (auto good = config::check_writable(config_.source.path, runtime_.deadline()); !good)
        co_return fail(good.error());
    }
    Result<void> told = Result<void>();
    if (config_.agent_mrn.empty()) {
      observer_.warn(
          "no client is registered with these credentials, so there is none to unregister; the service "
          "account itself stays valid at the platform");
    } else {
      told = co_await tell_platform();
    }
    if (!told && !request_.local) co_return fail(not_told(told.error()));
    if (!told) {
      observer_.warn("the platform could not be told, and still knows " + config_.agent_mrn +
                     " error=" + quoted_if_needed(told.error().message()));
    }
    if (auto removed = on_disk ? remove() : say_where_they_are(); !removed) co_return fail(removed.error());
    if (!config_.agent_mrn.empty() && told) {
      observer_.info("Bye bye, space cat. Client " + who_ + " unregistered successfully");
    }
    co_return Result<void>();
  }

 private:
  Task<void> tell_platform() {
    auto account = co_await runtime_.account();
    if (!account) {
      co_return fail(Error::wrap("could not initialize client authentication", account.error()));
    }
    who_ = (*account)->mrn;
    auto transport = runtime_.transport();
    if (!transport) co_return fail(transport.error());
    upstream::Upstream platform = runtime_.platform(**transport, config_.api_endpoint);
    auth::Authenticator& signer = *(*account)->authenticator;
    auto proved = co_await platform.ping(signer, runtime_.deadline());
    if (!proved) {
      Error why = co_await with_clock(proved.error(), platform, runtime_.deadline());
      co_return fail(Error::wrap("communication with Mondoo Platform failed", std::move(why)));
    }
    observer_.info("client " + who_ + " authenticated successfully");
    auto gone = co_await platform.unregister_agent(signer, config_.agent_mrn, runtime_.deadline());
    if (!gone && gone.error().status() == kNotFound && is_client_of_key()) {
      observer_.warn("the platform did not know " + config_.agent_mrn + " any more");
    } else if (!gone) {
      co_return fail(Error::wrap("failed to unregister client", gone.error()));
    }
    co_return Result<void>();
  }

  // Of a client that was named elsewhere than the key it is no news that the key's own is gone.
  bool is_client_of_key() const { return config_.find("agent_mrn")->origin == identity_of(config_)->origin; }

  static Error not_told(const Error& why) {
    const std::string more = why.hint().empty() ? "" : why.hint() + "; ";
    return Error::wrap("nothing was removed", why)
        .hint(more + "to remove the credentials from this machine all the same: cnspec logout --local");
  }

  Result<void> remove() {
    const interrupt::Hold hold;  // the platform has been told
    const auto& path = config_.source.path;
    auto saved = config::save(path, removals(config_), runtime_.deadline(), unchanged());
    if (!saved) {
      return fail(
          Error::wrap("the credentials could not be removed from " + printable(path.string()), saved.error())
              .hint("remove agent_mrn, mrn, private_key and certificate from it by hand"));
    }
    observer_.info("credentials removed path=" + quoted_if_needed(path.string()));
    if (!config_.private_key_file.empty()) {
      observer_.warn("the private key is still in " + printable(config_.private_key_file) +
                     "; remove that file when nothing else uses it");
    }
    for (const config::Change& removed : removals(config_)) {
      const Setting* setting = config_.find(removed.key);
      if (setting && setting->origin == Origin::kEnvironment)
        observer_.warn(setting->from + " is still set in the environment");
    }
    return {};
  }

  // Another login may have put its own there since we read them.
  std::optional<std::pair<std::string, std::string>> unchanged() const {
    for (const char* key : {"private_key", "mrn", "agent_mrn"}) {
      const Setting* setting = config_.find(key);
      if (setting && setting->origin == Origin::kFile) return {{key, config_.text(key)}};
    }
    return std::nullopt;
  }

  Result<void> say_where_they_are() {
    observer_.info("the credentials come from " + variable_of(config_) +
                   ": there is nothing to remove on disk, unset it");
    return {};
  }

  Runtime& runtime_;
  const LogoutRequest& request_;
  const Observer& observer_;
  const Config& config_;
  std::string who_;
};

}  // namespace

Result<void> check_logged_in(const Config& config) {
  if (config.has_credentials() || !config.private_key_file.empty() || !config.agent_mrn.empty() ||
      !config.auth_method.empty()) {
    return {};
  }
  const std::string where = config.source.kind == Source::Kind::kNone ? "there is no configuration"
                            : config.source.path.empty()
                                ? config.source.label + " holds no credentials"
                                : printable(config.source.path.string()) + " holds no credentials";
  return fail("this client is not logged in: " + where, ErrorKind::kConfig);
}

Result<void> logout(Runtime& runtime, const LogoutRequest& request, const Observer& observer) {
  Logout logout(runtime, request, observer);
  return runtime.run(logout.run());
}

}  // namespace cnspec::registration
