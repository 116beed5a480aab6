// Who signs the command's requests.
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <filesystem>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "runtime/network.hpp"
#include "runtime/runtime.hpp"
#include "upstream/upstream.hpp"

namespace cnspec::runtime {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;

// Of the command's time, what is left to say that the proof took too long.
constexpr std::chrono::milliseconds kTimeToReport{200};

auth::Claimant claimant_of(const config::Config& config) {
  auth::Claimant claimant;
  claimant.method = config.auth_method;
  claimant.mrn = config.mrn;
  claimant.scope_mrn = config.scope_mrn;
  claimant.audience = config.audience;
  claimant.issuer_uri = config.issuer_uri;
  claimant.jwt_token = config.jwt_token;
  return claimant;
}

tl::unexpected<Error> bad_key_file(const std::string& why) {
  return fail("private_key_file: " + why, ErrorKind::kConfig);
}

Result<std::string> private_key_of(const config::Config& config) {
  if (!config.private_key.empty() || config.private_key_file.empty()) return config.private_key;
  const fs::path path = config.private_key_path();
  if (path.is_relative()) {
    return bad_key_file(quoted_if_needed(path.string()) +
                        " is relative, but the configuration lies in no folder; give the whole path");
  }
  auto text = read_small_file(path);
  if (!text) return bad_key_file(text.error().message());
  if (const auto warning = config::exposed(path, "the private key"))
    log::write(log::Level::kWarn, warning->message(), warning->hint());
  return text;
}

Error not_got(const std::string& method, const Error& why) {
  return Error::wrap("no credentials could be got by auth.method " + quoted_if_needed(method), why);
}

}  // namespace

Result<std::shared_ptr<const Account>> Runtime::account_of(const std::string& mrn,
                                                           const std::string& scope_mrn,
                                                           const std::string& private_key) {
  auth::Credentials credentials;
  credentials.method = "service_account";
  credentials.mrn = mrn;
  credentials.private_key = private_key;
  auto made = authenticator(credentials);
  if (!made) return fail(made.error());
  auto account = std::make_shared<Account>();
  account->mrn = mrn;
  account->scope_mrn = scope_mrn;
  account->authenticator = std::move(*made);
  return account;
}

Result<std::shared_ptr<const Account>> Runtime::configured_account() {
  auto key = private_key_of(config_);
  if (!key) return fail(key.error());
  return account_of(config_.mrn, config_.scope_mrn, *key);
}

Task<std::shared_ptr<const Account>> Runtime::account() {
  if (config_.auth_method.empty()) {
    if (!account_) account_ = configured_account();
    co_return *account_;
  }
  if (!account_ && account_ready_) {  // somebody else asks already
    boost::system::error_code ignored;
    co_await account_ready_->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  if (account_) co_return *account_;
  account_ready_ = std::make_unique<asio::steady_timer>(loop_, asio::steady_timer::time_point::max());
  auto got = co_await exchanged_account();
  if (got) {
    account_ = std::move(got);
  } else {
    account_ = fail(not_got(config_.auth_method, got.error()));
  }
  account_ready_->cancel();
  co_return *account_;
}

Task<std::shared_ptr<const Account>> Runtime::exchanged_account() {
  auto network = load_network();
  if (!network) co_return fail(network.error());
  auto made = (*network)->make_exchange(claimant_of(config_));
  if (!made) co_return fail(made.error());
  const std::shared_ptr<auth::Exchange> exchange = std::move(*made);
  auto proof = co_await prove(exchange);
  if (!proof) co_return fail(proof.error());
  auto ready = transport();
  if (!ready) co_return fail(ready.error());
  upstream::Upstream upstream = platform(**ready, config_.api_endpoint);
  auto answer = co_await upstream.exchange(std::string(exchange->call()), std::move(*proof), deadline_);
  if (!answer) co_return fail(answer.error());
  auto account = exchange->read(*answer);
  if (!account) co_return fail(account.error());
  auto signer = account_of(account->mrn, account->scope_mrn, account->private_key);
  if (!signer)
    co_return fail(Error("the platform sent a key that cannot be used: " + signer.error().message(),
                         ErrorKind::kInvalid));
  co_return std::move(*signer);
}

Task<std::string> Runtime::prove(std::shared_ptr<auth::Exchange> exchange) {
  // A transport of its own, so that what was asked in vain can be given up together.
  auto made = make_transport();
  if (!made) co_return fail(made.error());
  const std::shared_ptr<transport::Transport> others = std::move(*made);
  // Only the loop's thread may let it go.
  const std::weak_ptr<transport::Transport> weak = others;
  const auto send = [this, weak](transport::Request request, transport::Transport::Done done) {
    asio::post(loop_, [weak, request = std::move(request), done = std::move(done)]() mutable {
      if (const auto still = weak.lock()) still->send(std::move(request), std::move(done));
    });
  };
  std::function<Result<std::string>(const provider::Limits&)> work = [exchange,
                                                                      send](const provider::Limits& l) {
    return exchange->prove({l.deadline - kTimeToReport, send});
  };
  auto working = offload<std::string>(std::move(work), "the proof of identity");
  auto proof = co_await std::move(working);
  others->cancel_all();
  co_return proof;
}

}  // namespace cnspec::runtime
