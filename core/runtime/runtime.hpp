// The one object a command holds: configuration, providers, network, one event loop and one deadline.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "auth/auth.hpp"
#include "auth/exchange.hpp"
#include "base/error.hpp"
#include "config/config.hpp"
#include "provider/discovery.hpp"
#include "provider/open.hpp"
#include "provider/provider.hpp"
#include "transport/transport.hpp"
#include "upstream/upstream.hpp"

namespace cnspec::config {
struct Proxies;
}  // namespace cnspec::config

namespace cnspec::runtime {

template <class T>
using Task = boost::asio::awaitable<Result<T>>;

struct Options {
  std::string config_path;                    // --config
  std::vector<std::string> providers_paths;   // --providers-path
  std::optional<std::string> api_proxy;       // --api-proxy; empty: none at all
  std::string ca_file;                        // --ca-file
  std::string trust;                          // --trust: "any", "signed" or empty
  std::vector<std::string> isolation;         // --isolation: "[NAME=]WORD" each
  std::optional<bool> auto_update;            // --auto-update
  bool makes_lock = false;                    // the lock file that is named need not be there yet
  std::chrono::milliseconds timeout{10'000};  // of the command, from now on
};

// Who signs.
struct Account {
  std::string mrn, scope_mrn;
  std::shared_ptr<auth::Authenticator> authenticator;
};

class Runtime {
 public:
  // Reads the configuration, and nothing else. kConfig when that cannot be used.
  static Result<std::unique_ptr<Runtime>> create(Options options);
  ~Runtime();

  const config::Config& config() const { return config_; }
  const Options& options() const { return options_; }
  transport::Deadline deadline() const { return deadline_; }

  // Where and how providers are looked for.
  provider::SearchOptions search() const;
  // What trust, trusted_keys and the lock file say.
  const provider::TrustPolicy& trust() const { return *trust_; }
  // Which providers run in a process of their own.
  const provider::IsolationPolicy& isolation() const { return isolation_; }
  // Where the lock file is, or would be: as providers_lock names it, else beside the configuration. Empty:
  // nowhere, since the configuration is no file.
  std::filesystem::path lock_path() const;
  const provider::Lockfile* lock() const { return trust_->lock.get(); }  // null: there is none
  // Looked for when first asked; runs no provider.
  const provider::Inventory& providers();

  // Made when first asked.
  Result<transport::Transport*> transport();
  Result<std::unique_ptr<auth::Authenticator>> authenticator(const auth::Credentials& credentials);
  // The service account that the command signs with: the configuration's, or the one that the platform hands
  // out for a proof (auth.method). That is asked for once, whoever awaits it. kConfig when the configuration
  // has none that can work, and then nobody was asked.
  Task<std::shared_ptr<const Account>> account();

  // Names of features from the configuration.
  const std::vector<std::string>& features() const { return config_.features; }
  // The platform at this endpoint; every request names the features.
  upstream::Upstream platform(transport::Transport& transport, std::string endpoint) const {
    return {transport, std::move(endpoint), upstream::features_header(features(), nullptr)};
  }

  upstream::Announcements announcements(transport::Transport& transport, std::string address) const {
    return {transport, std::move(address), upstream::features_header(features(), nullptr)};
  }

  boost::asio::io_context& loop() { return loop_; }
  // Runs the coroutine to its end, and everything that was spawned on the loop meanwhile.
  template <class T>
  Result<T> run(Task<T> task);

  // Runs `work`, which may block, on a thread of its own and waits for it without blocking the loop. At the
  // deadline the thread is abandoned and `what` is said to have timed out; work that then ends by itself has
  // `grace` to say how. A guest's work runs code in this process that is no part of the program.
  template <class T>
  Task<T> offload(std::function<Result<T>(const provider::Limits&)> work, std::string what,
                  std::chrono::milliseconds grace = {}, bool is_guest = false);

  // What a provider that is used from offload() may ask of this program.
  provider::Services services();

  // Loads the provider of the connector, connects and asks what it is connected to.
  Task<provider::Row> identify(provider::ConnectRequest request);
  // The system that the program runs on, as the provider "os" knows it: no other one gets to run for having a
  // connector of the same name.
  Task<provider::Row> identify_local();

  // As end_process, and at once also when work was abandoned.
  [[noreturn]] void exit(int code);

 private:
  explicit Runtime(Options options);
  // GCC 12 destroys a closure or an aggregate twice when it is made inside a coroutine's co_await expression,
  // so plain functions make the arguments of coroutines.
  template <class T>
  static Task<T> take_result(boost::asio::awaitable<bool> wait,
                             std::shared_ptr<std::optional<Result<T>>> result, std::string what);
  // False when the deadline passed first.
  boost::asio::awaitable<bool> run_on_thread(std::function<void(const provider::Limits&)> work,
                                             std::chrono::milliseconds grace, std::string guest);
  void run_loop(boost::asio::awaitable<void> task);
  Task<provider::Row> identify_with(const provider::Found* found, provider::ConnectRequest request);
  Result<transport::Response> http_for_provider(transport::Request request);
  Result<std::unique_ptr<transport::Transport>> make_transport();
  Result<std::shared_ptr<const Account>> account_of(const std::string& mrn, const std::string& scope_mrn,
                                                    const std::string& private_key);
  Result<std::shared_ptr<const Account>> configured_account();
  Task<std::shared_ptr<const Account>> exchanged_account();
  Task<std::string> prove(std::shared_ptr<auth::Exchange> exchange);

  Options options_;
  transport::Deadline deadline_;
  config::Config config_;
  std::shared_ptr<const provider::TrustPolicy> trust_;
  provider::IsolationPolicy isolation_;
  std::unique_ptr<provider::Inventory> providers_;
  boost::asio::io_context loop_;
  std::unique_ptr<transport::Transport> transport_;
  std::optional<Result<std::shared_ptr<const Account>>> account_;
  std::unique_ptr<boost::asio::steady_timer> account_ready_;  // while the platform is asked for it
  bool abandoned_ = false;
};

// Which proxies requests go through, by this configuration, the flag --api-proxy and the environment.
config::Proxies proxies_in_force(const config::Config& config, const std::optional<std::string>& flag);

// Ends the process with this exit code: normally, or at once when a provider ran in it that is no part of the
// program, which would have its say at the end.
[[noreturn]] void end_process(int code);

// ---- the templates' bodies ----

template <class T>
Result<T> Runtime::run(Task<T> task) {
  std::optional<Result<T>> result;
  run_loop([](Task<T> inner, std::optional<Result<T>>& out) -> boost::asio::awaitable<void> {
    out.emplace(co_await std::move(inner));
  }(std::move(task), result));
  return std::move(*result);
}

template <class T>
Task<T> Runtime::offload(std::function<Result<T>(const provider::Limits&)> work, std::string what,
                         std::chrono::milliseconds grace, bool is_guest) {
  // Shared, since an abandoned thread may still write its result.
  auto result = std::make_shared<std::optional<Result<T>>>();
  auto wait = run_on_thread(
      [result, work = std::move(work)](const provider::Limits& limits) { result->emplace(work(limits)); },
      grace, is_guest ? what : std::string());
  return take_result<T>(std::move(wait), std::move(result), std::move(what));
}

template <class T>
Task<T> Runtime::take_result(boost::asio::awaitable<bool> wait,
                             std::shared_ptr<std::optional<Result<T>>> result, std::string what) {
  const bool finished = co_await std::move(wait);
  if (!finished) co_return fail(what + " did not answer in time", ErrorKind::kTimeout);
  co_return std::move(**result);
}

}  // namespace cnspec::runtime
