#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "base/semver.hpp"
#include "base/version.hpp"
#include "runtime/registry_url.hpp"
#include "runtime/runtime.hpp"
#include "status/status.hpp"
#include "upstream/upstream.hpp"

namespace cnspec::status {
namespace {

namespace asio = boost::asio;
using runtime::Runtime;
using Steady = std::chrono::steady_clock;

constexpr std::chrono::seconds kLongRoundTrip{5};

class Gatherer {
 public:
  explicit Gatherer(Runtime& runtime) : runtime_(runtime) {}

  Status run() {
    const config::Config& config = runtime_.config();
    out_.source = config.source;
    out_.endpoint = config.api_endpoint;
    out_.updates_url = config.updates_url.empty() ? kUpdatesUrl : config.updates_url;
    if (auto url = runtime::registry_url(config, "")) out_.providers_url = std::move(*url);
    out_.owner = config.scope_mrn;
    out_.client = config.agent_mrn;
    out_.service_account = config.mrn;
    const bool exchange = !config.auth_method.empty() || config.type == "external_account";
    out_.registered = config.has_credentials() || exchange;
    out_.now = Clock::now();
    out_.features = upstream::active_features(runtime_.features());

    // The machine first: its thread is at work while the network is loaded.
    spawn("local", machine());
    spawn("health", health());
    if (exchange) spawn("credentials", credentials());
    if (out_.registered) spawn("ping", ping());
    // A folder to install from announces nothing that anybody waits for.
    if (is_asked(out_.updates_url)) spawn("latest-version", latest());
    if (is_asked(out_.providers_url)) spawn("latest-providers", latest_providers());
    runtime_.loop().restart();
    runtime_.loop().run();
    out_.providers = &runtime_.providers();
    out_.isolation = &runtime_.isolation();
    return std::move(out_);
  }

 private:
  static bool is_asked(const std::string& url) { return !url.empty() && !url.starts_with("file:"); }

  void spawn(const char* name, runtime::Task<void> task) {
    const std::size_t index = out_.checks.size();
    out_.checks.push_back({name, {}, Error("it ended without a result"), {}});
    asio::co_spawn(runtime_.loop(), measure(index, std::move(task)), asio::detached);
  }

  asio::awaitable<void> measure(std::size_t index, runtime::Task<void> task) {
    const auto begin = Steady::now();
    const auto result = co_await outcome(std::move(task));
    Check& check = out_.checks[index];
    check.took = std::chrono::duration_cast<std::chrono::milliseconds>(Steady::now() - begin);
    check.error = result ? std::nullopt : std::optional(result.error());
  }

  // What Asio throws, such as for want of descriptors, is an error of that check like any other.
  static runtime::Task<void> outcome(runtime::Task<void> task) {
    try {
      co_return co_await std::move(task);
    } catch (const std::exception& e) {
      co_return fail(e.what());
    }
  }

  runtime::Task<void> machine() {
    auto row = co_await runtime_.identify_local();
    if (!row) co_return fail(row.error());
    Machine m;
    m.name = row->text("platform");
    m.title = row->text("title");
    m.version = row->text("version");
    m.build = row->text("build");
    m.arch = row->text("arch");
    m.kind = row->text("kind");
    m.runtime = row->text("runtime");
    m.hostname = row->text("fqdn").empty() ? row->text("hostname") : row->text("fqdn");
    m.ip = row->text("ip");
    if (const auto* family = row->find("family")) m.family = family->texts();
    if (const auto* ids = row->find("ids")) m.ids = ids->texts();
    out_.machine = std::move(m);
    co_return Result<void>();
  }

  runtime::Task<void> health() {
    auto transport = runtime_.transport();
    if (!transport) co_return fail(transport.error());
    upstream::Upstream platform = runtime_.platform(**transport, out_.endpoint);
    auto answer = co_await platform.health(runtime_.deadline());
    keep_request_id("health", platform.last_request_id());
    if (!answer) co_return fail(answer.error());
    out_.health = Health{answer->status, answer->time, answer->api_version};
    const auto took = answer->answered - answer->asked;
    if (took > kLongRoundTrip) out_.round_trip = took;
    out_.clock_skew = upstream::clock_skew(*answer);
    co_return Result<void>();
  }

  // Those that the platform hands out for a proof; asked for once, for the ping as well.
  runtime::Task<void> credentials() {
    auto account = co_await runtime_.account();
    if (!account) co_return fail(account.error());
    out_.service_account = (*account)->mrn;
    if (out_.owner.empty()) out_.owner = (*account)->scope_mrn;
    co_return Result<void>();
  }

  runtime::Task<void> ping() {
    auto account = co_await runtime_.account();
    if (!account) co_return fail(account.error());
    auth::Authenticator& authenticator = *(*account)->authenticator;
    auto transport = runtime_.transport();
    if (!transport) co_return fail(transport.error());
    upstream::Upstream platform = runtime_.platform(**transport, out_.endpoint);
    auto answer = co_await platform.ping(authenticator, runtime_.deadline());
    keep_request_id("ping", platform.last_request_id());
    if (!answer) co_return fail(answer.error());
    out_.authenticated = true;
    co_return Result<void>();
  }

  void keep_request_id(std::string_view check, const std::string& id) {
    for (Check& c : out_.checks) {
      if (c.name == check) c.request_id = id;
    }
  }

  runtime::Task<void> latest() {
    auto transport = runtime_.transport();
    if (!transport) co_return fail(transport.error());
    upstream::Announcements updates = runtime_.announcements(**transport, out_.updates_url);
    auto version = co_await updates.latest_version(runtime_.deadline());
    keep_request_id("latest-version", updates.last_request_id());
    if (!version) co_return fail(version.error());
    out_.latest_version = std::move(*version);
    co_return Result<void>();
  }

  runtime::Task<void> latest_providers() {
    auto transport = runtime_.transport();
    if (!transport) co_return fail(transport.error());
    upstream::Announcements registry = runtime_.announcements(**transport, out_.providers_url);
    auto versions = co_await registry.latest_provider_versions(runtime_.deadline());
    keep_request_id("latest-providers", registry.last_request_id());
    if (!versions) co_return fail(versions.error());
    out_.latest_providers = std::move(*versions);
    co_return Result<void>();
  }

  Runtime& runtime_;
  Status out_;
};

bool is_newer(const std::string& than, const std::string& version) {
  return compare_versions(version, than) == std::strong_ordering::greater;
}

}  // namespace

Status gather(Runtime& runtime) { return Gatherer(runtime).run(); }

Status unusable(config::Source source, Error why) {
  Status out;
  out.source = std::move(source);
  out.source.kind = config::Source::Kind::kNone;  // nothing of it is in force
  out.now = Clock::now();
  out.checks.push_back({"configuration", {}, std::move(why), {}});
  return out;
}

const Error* Status::error_of(std::string_view check) const {
  for (const Check& c : checks) {
    if (c.name == check) return c.error ? &*c.error : nullptr;
  }
  return nullptr;
}

State Status::state() const {
  if (authenticated) return State::kRegistered;
  if (error_of("configuration")) return State::kUnusable;
  // What is wrong with a setting of something else does not hide what became of the question.
  const Error* error = error_of(registered ? "ping" : "health");
  if (error && error->kind() == ErrorKind::kConfig) return State::kUnusable;
  if (!registered) return State::kNotRegistered;
  return error && error->kind() == ErrorKind::kRejected ? State::kRejected : State::kUnreachable;
}

const char* to_string(State state) {
  switch (state) {
    case State::kRegistered: return "registered";
    case State::kNotRegistered: return "not-registered";
    case State::kRejected: return "rejected";
    case State::kUnreachable: return "unreachable";
    case State::kUnusable: return "unusable";
  }
  return "unreachable";
}

bool Status::newer_version_available() const { return latest_version && is_newer(kVersion, *latest_version); }

bool Status::api_version_differs() const {
  if (!health || health->api_version.empty()) return false;
  const auto order = compare_versions(health->api_version, kApiVersion);
  return order ? *order != std::strong_ordering::equal : health->api_version != kApiVersion;
}

bool Status::clock_unreadable() const { return health && !parse_rfc3339(health->time); }

bool Status::outdated(const provider::Found& provider) const {
  const auto latest = latest_providers.find(provider.manifest.name);
  return latest != latest_providers.end() && is_newer(provider.manifest.version, latest->second);
}

std::vector<std::string> notes(const Status& status) {
  std::vector<std::pair<std::string, std::string>> found;  // text, checks
  const auto add = [&](const std::string& check, const std::string& text) {
    for (auto& [known, checks] : found) {
      if (known == text) {
        checks += ", " + check;
        return;
      }
    }
    found.emplace_back(text, check);
  };
  for (const Check& check : status.checks) {
    if (check.error && !check.error->hint().empty()) add(check.name, check.error->hint());
  }
  std::vector<std::string> out;
  for (const auto& [text, checks] : found) out.push_back(checks + ": " + text);
  return out;
}

int exit_code(const Status& status) {
  switch (status.state()) {
    case State::kRegistered: return 0;
    case State::kUnusable: return 78;
    default: return 1;
  }
}

}  // namespace cnspec::status
