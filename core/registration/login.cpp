#include "registration/login.hpp"

#include <unistd.h>

#include <array>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <filesystem>
#include <random>

#include "base/interrupt.hpp"
#include "base/text.hpp"
#include "config/config.hpp"
#include "registration/clock.hpp"
#include "upstream/token.hpp"
#include "upstream/upstream.hpp"

namespace cnspec::registration {
namespace {

using runtime::Runtime;
using runtime::Task;
using upstream::AgentInfo;
using upstream::Registration;
using upstream::Upstream;

constexpr char kNotWritten[] = "the configuration could not be written";
constexpr char kInterrupted[] =
    "x interrupted while registering: the platform may know this client already; look there before you log "
    "in again\n";
// Of the command's time, what is kept for ending a registration that nobody can use, at most.
constexpr std::chrono::seconds kTimeToTakeBack{5};
constexpr int kAborted = 10;  // the platform's code
constexpr int kMaxRetries = 3;

class Login {
 public:
  Login(Runtime& runtime, const LoginRequest& request, const Observer& observer)
      : runtime_(runtime), request_(request), observer_(observer), config_(runtime.config()) {}

  Task<std::string> run() {
    if (config_.source.kind == config::Source::Kind::kEnvironment) {
      co_return fail(Error("the configuration comes from MONDOO_CONFIG_BASE64, where nothing can be written",
                           ErrorKind::kUsage)
                         .hint("unset it to log in with a file"));
    }
    if (!request_.token.empty()) co_return co_await with_token();
    if (!config_.has_credentials() && config_.auth_method.empty()) {
      co_return fail(Error("no registration token was given", ErrorKind::kUsage)
                         .hint("cnspec login --token-file FILE, or MONDOO_REGISTRATION_TOKEN"));
    }
    if (!config_.agent_mrn.empty()) co_return co_await already();
    co_return co_await with_service_account();
  }

 private:
  Task<std::string> with_token() {
    auto claims = upstream::read_token(request_.token);
    if (!claims) co_return fail(claims.error());
    if (!claims->description.empty()) info("token description: " + claims->description);
    if (!claims->expires) {
      observer_.warn("token does not contain an expiry date");
    } else if (*claims->expires <= Clock::now()) {
      co_return fail(
          Error("the registration token expired at " + rfc1123(*claims->expires), ErrorKind::kRejected)
              .hint("make a new one where you made this one; this machine's clock says " +
                    rfc1123(Clock::now())));
    } else {
      info("token will expire at " + rfc1123(*claims->expires));
    }
    // A registration that cannot be kept would be lost: its key is handed out once.
    if (auto good = config::check_writable(config_.source.path, runtime_.deadline()); !good)
      co_return fail(good.error());

    std::string endpoint = request_.api_endpoint.empty() ? claims->api_endpoint : request_.api_endpoint;
    if (endpoint.empty()) endpoint = config_.api_endpoint;
    config::normalise_endpoint(endpoint);
    warn_if_overheard(endpoint);

    auto bearer = authenticator_for(request_.token);
    if (!bearer) co_return fail(bearer.error());
    auto registered = co_await call_register(endpoint, **bearer, request_.token);
    if (!registered) co_return fail(registered.error());
    keep_time_to_take_back();
    const upstream::Credential& credential = registered->credential;
    if (request_.api_endpoint.empty() && !credential.api_endpoint.empty()) {
      const std::string before = std::exchange(endpoint, credential.api_endpoint);
      config::normalise_endpoint(endpoint);
      if (endpoint != before) warn_if_overheard(endpoint);
    }

    auto account = authenticator_for(credential, {});
    if (!account)
      co_return fail(Error::wrap("the platform sent credentials that cannot be used", account.error()));
    auto transport = runtime_.transport();
    if (!transport) co_return fail(transport.error());
    Upstream platform = runtime_.platform(**transport, endpoint);
    auto proved = co_await platform.ping(**account, until_);
    if (!proved) {
      Error why = proved.error();
      // What proves them is dated, and so is what takes the registration back.
      if (const auto skew = co_await skew_behind(why, platform, runtime_.deadline())) {
        why = clock_error(*skew, std::move(why));
        account = authenticator_for(credential, *skew);
      }
      co_return co_await take_back(
          platform, **account, registered->agent_mrn,
          "the platform registered this client, but its new credentials did not work; "
          "nothing was written",
          std::move(why));
    }

    const std::string scope = credential.scope_mrn.empty() ? claims->space : credential.scope_mrn;
    const std::vector<config::Change> changes = changes_for(*registered, scope, endpoint);
    if (auto kept = keep(changes); !kept) {
      co_return co_await take_back(platform, **account, registered->agent_mrn, kNotWritten, kept.error());
    }
    co_return registered->agent_mrn;
  }

  void keep_time_to_take_back() {
    const auto now = std::chrono::steady_clock::now();
    const auto kept =
        std::min<std::chrono::steady_clock::duration>(kTimeToTakeBack, (runtime_.deadline() - now) / 3);
    until_ = runtime_.deadline() - kept;
  }

  // Ends a login whose registration nobody could use.
  Task<std::string> take_back(Upstream& platform, auth::Authenticator& account, std::string agent_mrn,
                              std::string what, Error why) {
    auto gone = co_await platform.unregister_agent(account, agent_mrn, runtime_.deadline());
    what += gone ? ", and the registration was taken back"
                 : ", but the platform still knows " + agent_mrn + " (" + gone.error().message() + ")";
    co_return fail(Error::wrap(what, why));
  }

  // A credentials file without a client: the key registers one.
  Task<std::string> with_service_account() {
    if (auto good = config::check_writable(config_.source.path, runtime_.deadline()); !good)
      co_return fail(good.error());
    auto account = co_await runtime_.account();
    if (!account) co_return fail(account.error());
    std::string endpoint = request_.api_endpoint.empty() ? config_.api_endpoint : request_.api_endpoint;
    config::normalise_endpoint(endpoint);
    warn_if_overheard(endpoint);
    auto registered = co_await call_register(endpoint, *(*account)->authenticator, "");
    if (!registered) co_return fail(registered.error());
    keep_time_to_take_back();
    std::vector<config::Change> changes = what_the_user_set();
    set(changes, "agent_mrn", registered->agent_mrn);
    if (!request_.api_endpoint.empty()) set(changes, "api_endpoint", endpoint);
    if (auto kept = keep(changes); !kept) {
      auto transport = runtime_.transport();
      if (!transport) co_return fail(transport.error());
      Upstream platform = runtime_.platform(**transport, endpoint);
      co_return co_await take_back(platform, *(*account)->authenticator, registered->agent_mrn, kNotWritten,
                                   kept.error());
    }
    co_return registered->agent_mrn;
  }

  Task<std::string> already() {
    info("client is already logged in, skipping");
    auto account = co_await runtime_.account();
    if (!account) co_return fail(account.error());
    auto transport = runtime_.transport();
    if (!transport) co_return fail(transport.error());
    std::string endpoint = request_.api_endpoint.empty() ? config_.api_endpoint : request_.api_endpoint;
    config::normalise_endpoint(endpoint);
    warn_if_overheard(endpoint);
    Upstream platform = runtime_.platform(**transport, endpoint);
    auto proved = co_await platform.ping(*(*account)->authenticator, runtime_.deadline());
    if (!proved) {
      Error why = co_await with_clock(proved.error(), platform, runtime_.deadline());
      co_return fail(Error::wrap("the client is registered, but not accepted", std::move(why)));
    }
    std::vector<config::Change> changes = what_the_user_set();
    if (!request_.api_endpoint.empty()) set(changes, "api_endpoint", endpoint);
    if (!changes.empty()) {
      if (auto kept = keep(changes); !kept) co_return fail(kept.error());
    }
    co_return config_.agent_mrn;
  }

  Task<Registration> call_register(const std::string& endpoint, auth::Authenticator& auth,
                                   std::string token) {
    auto transport = runtime_.transport();
    if (!transport) co_return fail(transport.error());
    const AgentInfo self = co_await describe_self();
    std::string name = !request_.name.empty() ? request_.name : config_.name;
    if (name.empty()) name = self.platform_hostname;
    Upstream platform = runtime_.platform(**transport, endpoint);
    interrupt::set_last_words(kInterrupted);
    for (int retries = 0;; ++retries) {
      auto registered = co_await platform.register_agent(auth, token, name, self, runtime_.deadline());
      if (registered) co_return std::move(*registered);
      if (registered.error().status() != kAborted) {
        Error why = co_await with_clock(registered.error(), platform, runtime_.deadline());
        co_return fail(Error::wrap("failed to log in client", std::move(why)));
      }
      const auto pause = pause_before(retries);
      if (retries == kMaxRetries || std::chrono::steady_clock::now() + pause >= runtime_.deadline()) {
        co_return fail(too_many_changes(retries, registered.error()));
      }
      observer_.warn(retry_line(retries + 1, pause, registered.error()));
      boost::asio::steady_timer timer(runtime_.loop(), pause);
      co_await timer.async_wait(boost::asio::use_awaitable);
    }
  }

  // Others change the same permissions at this moment: each waits longer every time, and not as long as the
  // next.
  static std::chrono::milliseconds pause_before(int retry) {
    std::random_device random;
    std::uniform_int_distribution<int> jitter(0, 5000);
    return std::chrono::milliseconds((5000 << retry) + jitter(random));
  }

  static std::string retry_line(int retry, std::chrono::milliseconds pause, const Error& why) {
    return "failed to log in client due to concurrent IAM changes, retrying (" + std::to_string(retry) + "/" +
           std::to_string(kMaxRetries) + ") in " + std::to_string(pause.count()) +
           "ms error=" + quoted_if_needed(why.message());
  }

  static Error too_many_changes(int retries, const Error& why) {
    const bool all = retries == kMaxRetries;
    return Error::wrap("failed to log in client due to concurrent IAM changes", why)
        .hint(all ? "try again in some minutes"
                  : "there was no time for another try: try again, with --timeout 2m for instance");
  }

  // A machine that cannot be described can still be registered.
  boost::asio::awaitable<AgentInfo> describe_self() {
    AgentInfo self;
    auto row = co_await runtime_.identify_local();
    if (row) {
      self.platform_name = row->text("platform");
      self.platform_release = row->text("version");
      self.platform_arch = row->text("arch");
      self.platform_ip = row->text("ip");
      self.platform_hostname = row->text("fqdn");
      if (const auto* ids = row->find("ids"); ids && !ids->texts().empty())
        self.platform_id = ids->texts().front();
    } else {
      observer_.warn("could not gather client information error=" + quoted_if_needed(row.error().message()));
    }
    if (self.platform_hostname.empty()) {
      std::array<char, 256> name{};
      if (::gethostname(name.data(), name.size() - 1) == 0) self.platform_hostname = name.data();
    }
    co_return self;
  }

  // These are functions of their own because GCC 12 destroys aggregates twice that are made inside a
  // coroutine.

  Result<std::unique_ptr<auth::Authenticator>> authenticator_for(const std::string& token) const {
    auth::Credentials bearer;
    bearer.method = "bearer";
    bearer.token = token;
    return runtime_.authenticator(bearer);
  }

  Result<std::unique_ptr<auth::Authenticator>> authenticator_for(const upstream::Credential& credential,
                                                                 std::chrono::nanoseconds clock_skew) const {
    auth::Credentials account;
    account.method = "service_account";
    account.mrn = credential.mrn;
    account.private_key = credential.private_key;
    account.clock_skew = clock_skew;
    return runtime_.authenticator(account);
  }

  static void set(std::vector<config::Change>& changes, const char* key, const std::string& value) {
    if (!value.empty()) changes.push_back({key, value});
  }

  std::vector<config::Change> changes_for(const Registration& registered, const std::string& scope,
                                          const std::string& endpoint) const {
    std::vector<config::Change> changes = what_the_user_set();
    set(changes, "agent_mrn", registered.agent_mrn);
    set(changes, "mrn", registered.credential.mrn);
    set(changes, "scope_mrn", scope);
    set(changes, "space_mrn", scope);  // where older clients look
    set(changes, "private_key", registered.credential.private_key);
    set(changes, "certificate", registered.credential.certificate);
    set(changes, "api_endpoint", endpoint);
    changes.push_back({"parent_mrn", std::nullopt});
    return changes;
  }

  // Flags that later commands need as well.
  std::vector<config::Change> what_the_user_set() const {
    std::vector<config::Change> changes;
    set(changes, "name", request_.name);
    set(changes, "updates_url", request_.updates_url);
    if (const auto& proxy = runtime_.options().api_proxy) {
      changes.push_back({"api_proxy", proxy->empty() ? std::nullopt : proxy});
    }
    if (!runtime_.options().ca_file.empty()) {
      set(changes, "ca_file", std::filesystem::absolute(runtime_.options().ca_file).string());
    }
    if (!request_.annotations.empty()) changes.push_back({"annotations", std::nullopt, request_.annotations});
    if (request_.timer) set(changes, "scan_interval.timer", std::to_string(*request_.timer));
    if (request_.splay) set(changes, "scan_interval.splay", std::to_string(*request_.splay));
    return changes;
  }

  Result<void> keep(const std::vector<config::Change>& changes) {
    const auto& path = config_.source.path;
    info("saving config path=" + quoted_if_needed(path.string()));
    if (config_.source.kind == config::Source::Kind::kNone) {
      info("config file does not exist, create a new one path=" + quoted_if_needed(path.string()));
    }
    return config::save(path, changes, until_);
  }

  // The configuration's own has been warned of.
  void warn_if_overheard(const std::string& endpoint) const {
    if (endpoint == config_.api_endpoint) return;
    if (const auto warning = config::overheard(endpoint)) observer_.warn(*warning);
  }

  void info(const std::string& line) const { observer_.info(line); }

  Runtime& runtime_;
  const LoginRequest& request_;
  const Observer& observer_;
  const config::Config& config_;
  std::chrono::steady_clock::time_point until_ = runtime_.deadline();  // for all but taking back
};

}  // namespace

Result<std::string> login(Runtime& runtime, const LoginRequest& request, const Observer& observer) {
  Login login(runtime, request, observer);
  auto result = runtime.run(login.run());
  interrupt::set_last_words(nullptr);
  return result;
}

}  // namespace cnspec::registration
