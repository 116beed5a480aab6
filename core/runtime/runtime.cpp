#include "runtime/runtime.hpp"

#include <unistd.h>

#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <mutex>
#include <thread>

#include "base/log.hpp"
#include "base/text.hpp"
#include "base/version.hpp"
#include "config/show.hpp"
#include "provider/lockfile.hpp"
#include "runtime/network.hpp"

namespace cnspec::runtime {
namespace asio = boost::asio;
using provider::Limits;

namespace {

// How much longer than its deadline a provider's request is waited for: the transport ends it, this is for a
// loop that does not run any more.
constexpr std::chrono::milliseconds kHttpGrace{500};
// How long after the deadline it may take to end an isolated provider and to say how it ended.
constexpr std::chrono::milliseconds kEndGrace{800};
// How much later than that the loop is taken for broken, as when a provider closed its descriptors.
constexpr std::chrono::seconds kLoopGrace{2};

// A provider that is no part of the program runs in this process, the newest one; null: none ever did. From
// then on nobody but us may end the process, and what the provider left to be done at the end is not done.
// Never freed: a thread may still read it.
std::atomic<const std::string*> g_guest{nullptr};
pid_t g_process = 0;

void on_exit_called() {
  if (::getpid() != g_process) return;  // a copy that the provider made of the process
  log::write(log::Level::kError, *g_guest.load() + " ended the program: it called exit");
  ::_exit(EXIT_FAILURE);
}

void let_in(const std::string& guest) {
  if (g_guest.exchange(new std::string(guest))) return;
  g_process = ::getpid();
  std::atexit(&on_exit_called);
  std::at_quick_exit(&on_exit_called);
}

std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? std::optional<std::string>(value) : std::nullopt;
}

// The flag only tightens what the configuration says.
Result<void> follow_trust_flag(config::Config& config, const std::string& trust) {
  if (trust.empty()) return {};
  const config::Setting& now = *config.find("trust");
  if (trust == "any" && now.value == config::Value(std::string("signed"))) {
    return fail(Error("--trust any cannot loosen trust: signed, which stands in " + printable(now.from),
                      ErrorKind::kUsage)
                    .hint("change it there, or sign the provider"));
  }
  config::set_by_flag(config, "trust", trust, "--trust");
  return {};
}

Result<const Crypto*> load_crypto() {
  auto network = load_network();
  if (!network) return fail(network.error());
  return (*network)->crypto;
}

Result<provider::TrustPolicy> trust_of(const config::Config& config) {
  const config::Setting* keys = config.find("trusted_keys");
  auto policy = provider::make_trust_policy(
      config.text("trust"),
      keys ? std::get<std::vector<std::string>>(keys->value) : std::vector<std::string>(), &load_crypto);
  if (!policy && keys) return fail(Error::wrap(printable(keys->from), policy.error()));
  return policy;
}

provider::IsolationRules isolation_rules(const config::Config& config) {
  const config::Setting* set = config.find("isolation");
  provider::IsolationRules out;
  const auto add = [&](const std::string& name, const std::string& word) {
    out.emplace(name, *provider::isolation_named(word));  // the configuration took only these words
  };
  if (!set) return out;
  if (const auto* word = std::get_if<std::string>(&set->value)) {
    add("*", *word);
  } else {
    for (const auto& [name, one] : std::get<std::map<std::string, std::string>>(set->value)) add(name, one);
  }
  return out;
}

Result<provider::IsolationRules> isolation_flags(const std::vector<std::string>& given) {
  provider::IsolationRules out;
  for (const std::string& one : given) {
    const auto equals = one.find('=');
    const bool named = equals != std::string::npos;
    auto word = provider::isolation_named(named ? one.substr(equals + 1) : one);
    if (!word || equals == 0)
      return fail(Error("--isolation: expected [NAME=]auto, [NAME=]process or [NAME=]none, found \"" +
                            printable(one) + "\"",
                        ErrorKind::kUsage));
    out.insert_or_assign(named ? one.substr(0, equals) : "*", *word);
  }
  return out;
}

// What holds the machine's key, wherever it may be.
std::vector<std::filesystem::path> secret_files(const config::Config& config) {
  std::vector<std::filesystem::path> out = {"/etc/opt/mondoo"};
  if (const char* home = std::getenv("HOME"); home && *home == '/')
    out.push_back(std::filesystem::path(home) / ".config/mondoo/mondoo.yml");
  for (const std::filesystem::path& path : {config.source.path, config.private_key_path()}) {
    std::error_code failed;
    if (!path.empty()) out.push_back(std::filesystem::absolute(path, failed));
  }
  return out;
}

// What pins providers must not be passed over for a mistake in its name.
Result<std::shared_ptr<const provider::Lockfile>> lock_at(const std::filesystem::path& path,
                                                          const config::Config& config, bool may_be_missing) {
  if (path.empty()) return nullptr;
  auto lock = provider::read_lockfile(path);
  if (!lock) return fail(lock.error());
  if (*lock) return std::make_shared<const provider::Lockfile>(std::move(**lock));
  const config::Setting* named = config.find("providers_lock");
  if (!named || may_be_missing) return nullptr;
  return fail(Error(printable(named->from) + " names the lock file " + printable(path.string()) +
                        ", which is not there",
                    ErrorKind::kConfig)
                  .hint("write it: cnspec providers lock"));
}

}  // namespace

Runtime::Runtime(Options options)
    : options_(std::move(options)),
      deadline_(std::chrono::steady_clock::now() + options_.timeout),
      loop_(1) {}

Runtime::~Runtime() = default;

Result<std::unique_ptr<Runtime>> Runtime::create(Options options) {
  std::unique_ptr<Runtime> runtime(new Runtime(std::move(options)));
  auto config = config::load(runtime->options_.config_path);
  if (!config) return fail(config.error());
  runtime->config_ = std::move(*config);
  const Options& given = runtime->options_;
  if (!given.ca_file.empty()) config::set_by_flag(runtime->config_, "ca_file", given.ca_file, "--ca-file");
  if (given.api_proxy && !std::getenv("MONDOO_API_PROXY"))
    config::set_by_flag(runtime->config_, "api_proxy", *given.api_proxy, "--api-proxy");
  if (auto good = follow_trust_flag(runtime->config_, given.trust); !good) return fail(good.error());
  if (given.auto_update)
    config::set_by_flag(runtime->config_, "auto_update", *given.auto_update, "--auto-update");
  auto flags = isolation_flags(given.isolation);
  if (!flags) return fail(flags.error());
  runtime->isolation_ = {
      isolation_rules(runtime->config_), std::move(*flags), {}, secret_files(runtime->config_)};
  auto trust = trust_of(runtime->config_);
  if (!trust) return fail(trust.error());
  auto lock = lock_at(runtime->lock_path(), runtime->config_, given.makes_lock);
  if (!lock) return fail(lock.error());
  trust->lock = std::move(*lock);
  runtime->trust_ = std::make_shared<const provider::TrustPolicy>(std::move(*trust));
  return runtime;
}

provider::SearchOptions Runtime::search() const {
  const auto folder = library_folder();
  return {options_.providers_paths, folder ? *folder / "providers" : std::filesystem::path(), trust_};
}

std::filesystem::path Runtime::lock_path() const {
  const std::filesystem::path named = config_.text("providers_lock");
  const std::filesystem::path folder = config_.source.path.parent_path();
  if (!named.empty()) return named.is_absolute() || folder.empty() ? named : folder / named;
  return config_.source.path.empty() ? std::filesystem::path() : folder / provider::kLockfileName;
}

const provider::Inventory& Runtime::providers() {
  if (providers_) return *providers_;
  if (const auto folder = library_folder(); !folder) {
    const Error why = Error::wrap("no bundled provider is found", folder.error());
    log::write(log::Level::kWarn, why.message(), why.hint());
  }
  providers_ = std::make_unique<provider::Inventory>(provider::discover(search()));
  return *providers_;
}

Result<transport::Transport*> Runtime::transport() {
  if (transport_) return transport_.get();
  auto made = make_transport();
  if (!made) return fail(made.error());
  transport_ = std::move(*made);
  return transport_.get();
}

Result<std::unique_ptr<transport::Transport>> Runtime::make_transport() {
  auto network = load_network();
  if (!network) return fail(network.error());
  transport::Options options;
  options.proxies = transport::choose_proxies(options_.api_proxy, config_.api_proxy, environment);
  options.ca_file = config_.ca_file;
  options.user_agent = std::string("PN/linux build/") + kBuild + " cnspec/" + kVersion;
  if (log::enabled(log::Level::kDebug)) options.trace = [](std::string_view line) { log::debug(line); };
  return transport::make_transport(loop_, (*network)->make_engine, std::move(options));
}

Result<std::unique_ptr<auth::Authenticator>> Runtime::authenticator(const auth::Credentials& credentials) {
  auto network = load_network();
  if (!network) return fail(network.error());
  return (*network)->make_authenticator(credentials);
}

void Runtime::run_loop(asio::awaitable<void> task) {
  asio::co_spawn(loop_, std::move(task), asio::detached);
  loop_.restart();
  loop_.run();
}

asio::awaitable<bool> Runtime::run_on_thread(std::function<void(const Limits&)> work,
                                             std::chrono::milliseconds grace, std::string guest) {
  // The thread may keep it for longer than the loop lives.
  struct State {
    std::thread thread;
    std::optional<asio::steady_timer> timer;  // while it is waited for; on the loop's thread
    bool finished = false;                    // on the loop's thread
    std::atomic<bool> over = false;           // nobody waits any more
    std::mutex mutex;
    bool abandoned = false;  // under the mutex: then the loop may be gone
  };
  auto state = std::make_shared<State>();
  auto cancelled = std::make_shared<std::atomic<bool>>(false);
  state->timer.emplace(loop_, deadline_ + grace);
  if (!guest.empty()) {
    let_in(guest);
    std::thread([state, guest, end = deadline_ + grace + kLoopGrace] {
      std::this_thread::sleep_until(end);
      if (state->over) return;
      log::write(log::Level::kError, guest + " did not answer in time");
      ::_exit(EXIT_FAILURE);
    }).detach();
  }

  const auto guard = asio::make_work_guard(loop_);
  state->thread = std::thread([this, state, work = std::move(work), limits = Limits{deadline_, cancelled}] {
    work(limits);
    const std::lock_guard lock(state->mutex);
    if (state->abandoned) return;
    asio::post(loop_, [state] {
      state->finished = true;
      if (state->timer) state->timer->cancel();
    });
  });

  boost::system::error_code ignored;
  if (!state->finished) co_await state->timer->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  state->timer.reset();
  state->over = true;
  if (state->finished && guest.empty()) {
    state->thread.join();  // what it kept for itself is gone before the process ends
    co_return true;
  }
  // With the mutex: the thread has done with the loop. What a guest wants to do at the end of a thread may
  // take for ever.
  const std::lock_guard lock(state->mutex);
  state->thread.detach();
  if (state->finished) co_return true;
  state->abandoned = true;
  abandoned_ = true;
  *cancelled = true;
  co_return false;
}

// On a provider's thread. What is shared outlives whichever side gives up first.
Result<transport::Response> Runtime::http_for_provider(transport::Request request) {
  request.deadline = std::min(request.deadline, deadline_);
  const auto wait_until = request.deadline + kHttpGrace;
  auto answer = std::make_shared<std::promise<Result<transport::Response>>>();
  auto future = answer->get_future();
  asio::post(loop_, [this, answer, request = std::move(request)]() mutable {
    auto ready = transport();
    if (!ready) return answer->set_value(fail(ready.error()));
    (*ready)->send(std::move(request),
                   [answer](Result<transport::Response> r) { answer->set_value(std::move(r)); });
  });
  if (future.wait_until(wait_until) != std::future_status::ready) {
    return fail("the request was not answered in time", ErrorKind::kTimeout);
  }
  return future.get();
}

provider::Services Runtime::services() {
  provider::Services out;
  out.http = [this](transport::Request r) { return http_for_provider(std::move(r)); };
  return out;
}

Task<provider::Row> Runtime::identify(provider::ConnectRequest request) {
  const provider::Found* found = providers().by_connector(request.connector);
  return identify_with(found, std::move(request));
}

Task<provider::Row> Runtime::identify_with(const provider::Found* found, provider::ConnectRequest request) {
  std::string what = "connector " + quoted_if_needed(request.connector);
  if (found) what = "provider \"" + found->manifest.name + "\"";
  const provider::Services services = this->services();
  const bool isolated = found && isolation_.isolates(*found);
  const bool is_guest = found && !isolated && found->origin != provider::Origin::kBundled;
  return offload<provider::Row>(
      [this, found, services, request = std::move(request)](const Limits& limits) -> Result<provider::Row> {
        if (!found)
          return fail("no installed provider has a connector " + request.connector, ErrorKind::kNotFound);
        auto loaded = provider::open_provider(*found, isolation_, services, limits);
        if (!loaded) return fail(loaded.error());
        auto connection = (*loaded)->connect(request, limits);
        if (!connection) return fail(connection.error());
        return (*connection)->identify(limits);
      },
      what, isolated ? kEndGrace : std::chrono::milliseconds(0), is_guest);
}

Task<provider::Row> Runtime::identify_local() {
  provider::ConnectRequest local;
  local.connector = "local";
  return identify_with(providers().by_name("os"), std::move(local));
}

config::Proxies proxies_in_force(const config::Config& config, const std::optional<std::string>& flag) {
  const auto chosen = transport::choose_proxies(flag, config.api_proxy, environment);
  const config::Setting* key = config.find("api_proxy");
  const auto setting = [&](const char* name, const std::string& value, const std::string& source) {
    if (key && source == transport::kApiProxyKey) return config::Setting{name, value, key->origin, key->from};
    const auto origin = source.empty()            ? config::Origin::kDefault
                        : source.starts_with('-') ? config::Origin::kFlag
                                                  : config::Origin::kEnvironment;
    return config::Setting{name, value, origin, source};
  };
  return {setting("https", chosen.https.url, chosen.https.source),
          setting("http", chosen.http.url, chosen.http.source),
          setting("no_proxy", chosen.no_proxy, chosen.no_proxy_source)};
}

void Runtime::exit(int code) {
  if (!abandoned_) end_process(code);
  // A thread that runs a provider's code must not find this process half torn down.
  std::fflush(nullptr);
  ::_exit(code);
}

void end_process(int code) {
  std::fflush(nullptr);
  if (g_guest.load()) ::_exit(code);
  std::exit(code);
}

}  // namespace cnspec::runtime
