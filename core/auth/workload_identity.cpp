// auth.method wif: a token that the configuration or the environment holds, or that the cloud gives to what
// runs in it. Who runs where is unknown, so all clouds are asked at once.
#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <vector>

#include "auth/kinds.hpp"
#include "base/encoding.hpp"
#include "base/text.hpp"

namespace cnspec::auth {
namespace {

using transport::Request;
using transport::Response;

constexpr std::chrono::seconds kPatience{2};
constexpr std::size_t kMaxAnswer = 64 * 1024;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// The claims of what looks like a JWT.
std::optional<json::Document> claims_of(std::string_view token) {
  const auto first = token.find('.');
  const auto second = first == token.npos ? token.npos : token.find('.', first + 1);
  if (second == token.npos || token.find('.', second + 1) != token.npos) return std::nullopt;
  const auto text = base64url_decode(token.substr(first + 1, second - first - 1));
  if (!text || !base64url_decode(token.substr(0, first)) || !base64url_decode(token.substr(second + 1))) {
    return std::nullopt;
  }
  auto claims = json::parse(*text);
  if (!claims || !claims->IsObject()) return std::nullopt;
  return std::move(*claims);
}

// ---- who is asked, and how ----

struct Source {
  const char* name;
  // Nothing when the environment says that we are not there.
  std::optional<Request> (*request)(const std::string& audience);
  // Where in the answer's JSON the token is; null: the body is the token.
  const char* member;
  // What only the real one sends, in lower case; null: nothing.
  const char* header;
};

Request local(std::string method, std::string url) {
  Request request;
  request.method = std::move(method);
  request.url = std::move(url);
  request.no_proxy = true;  // part of this machine, which no proxy can reach
  return request;
}

std::optional<Request> google(const std::string& audience) {
  std::string host = environment("GCE_METADATA_HOST");
  if (host.empty()) host = "metadata.google.internal";
  Request request = local(
      "GET", "http://" + host + "/computeMetadata/v1/instance/service-accounts/default/identity?audience=" +
                 form_encode(audience));
  request.headers = {{"Metadata-Flavor", "Google"}};
  return request;
}

std::optional<Request> azure_app_service(const std::string& audience) {
  const std::string endpoint = environment("IDENTITY_ENDPOINT");
  const std::string secret = environment("IDENTITY_HEADER");
  if (endpoint.empty() || secret.empty()) return std::nullopt;
  Request request = local("GET", endpoint + "?api-version=2019-08-01&resource=" + form_encode(audience));
  request.headers = {{"X-IDENTITY-HEADER", secret}};
  return request;
}

std::optional<Request> azure_cloud_shell(const std::string& audience) {
  std::string endpoint = environment("MSI_ENDPOINT");
  if (endpoint.empty()) endpoint = "http://localhost:50342/oauth2/token";
  Request request = local("POST", std::move(endpoint));
  request.headers = {{"Metadata", "true"}, {"Content-Type", "application/x-www-form-urlencoded"}};
  request.body = "resource=" + form_encode(audience);
  return request;
}

std::optional<Request> github(const std::string& audience) {
  const std::string url = environment("ACTIONS_ID_TOKEN_REQUEST_URL");
  const std::string secret = environment("ACTIONS_ID_TOKEN_REQUEST_TOKEN");
  if (url.empty() || secret.empty()) return std::nullopt;
  Request request;
  request.url = url + (url.find('?') == std::string::npos ? "?" : "&") + "audience=" + form_encode(audience);
  request.headers = {{"Authorization", "bearer " + secret}};
  return request;
}

constexpr std::array<Source, 4> kSources = {{
    {"Google Cloud", google, nullptr, "metadata-flavor"},
    {"Azure App Service", azure_app_service, "access_token", nullptr},
    {"Azure Cloud Shell", azure_cloud_shell, "access_token", nullptr},
    {"GitHub Actions", github, "value", nullptr},
}};

// The token; else why there is none. An answer's text is not shown: it may hold half a secret.
Result<std::string> read_token(const Source& source, const Result<Response>& response) {
  if (!response) return fail(response.error());
  if (response->status != 200) {
    return fail("HTTP status " + std::to_string(response->status), ErrorKind::kUnavailable);
  }
  if (source.header && response->header(source.header).empty()) {
    return fail("another server answers in its place", ErrorKind::kInvalid);
  }
  std::string token(trim(response->body));
  if (source.member) {
    const auto document = json::parse(response->body);
    token = document ? json::get_string(*document, source.member) : "";
    if (token.empty()) {
      return fail("expected JSON with the member " + std::string(source.member), ErrorKind::kInvalid);
    }
  }
  if (!claims_of(token)) return fail("its answer is no JWT", ErrorKind::kInvalid);
  return token;
}

// What has come of the sources. Shared by who waits and by answers that may come after it went.
class Race {
 public:
  Race(std::string issuer, std::size_t runners) : issuer_(std::move(issuer)), running_(runners) {
    while (issuer_.ends_with('/')) issuer_.pop_back();
  }

  void arrive(const Source& source, const Result<Response>& response) {
    auto token = read_token(source, response);
    const std::lock_guard lock(mutex_);
    --running_;
    if (!token) {
      add(source, token.error().message());
    } else if (fits(*token)) {
      if (!best_) best_ = std::move(*token);
    } else if (!second_) {
      second_ = std::move(*token);
    }
    changed_.notify_all();
  }

  void add(const Source& source, const std::string& why) {
    (why_.empty() ? why_ : why_.append("; ")).append(source.name).append(": ").append(why);
  }

  // The issuer's token; else one that names another issuer, since only the platform knows for sure.
  Result<std::string> wait(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    changed_.wait_until(lock, deadline, [this] { return best_ || running_ == 0; });
    if (best_) return *best_;
    if (second_) return *second_;
    return fail(
        Error("there is no identity token: " + why_ +
                  (running_ > 0 ? std::string(why_.empty() ? "" : "; ") + "others did not answer" : ""),
              ErrorKind::kUnavailable)
            .hint("give it in JWT_TOKEN or the key jwtToken"));
  }

 private:
  bool fits(const std::string& token) const {
    if (issuer_.empty()) return true;
    const auto claims = claims_of(token);
    std::string issuer(claims ? json::get_string(*claims, "iss") : "");
    while (issuer.ends_with('/')) issuer.pop_back();
    return issuer == issuer_;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string issuer_, why_;
  std::size_t running_;
  std::optional<std::string> best_, second_;
};

class WorkloadIdentity final : public Exchange {
 public:
  explicit WorkloadIdentity(const Claimant& claimant) : claimant_(claimant) {}

  std::string_view call() const override { return "SecureTokenService/ExchangeExternalToken"; }

  Result<std::string> prove(const Asking& asking) override {
    auto token = find_token(asking);
    if (!token) return fail(token.error());
    json::Document body(rapidjson::kObjectType);
    auto& alloc = body.GetAllocator();
    const auto add = [&](const char* name, const std::string& s) {
      if (!s.empty()) body.AddMember(rapidjson::StringRef(name), json::text(s, alloc), alloc);
    };
    add("issuer_uri", claimant_.issuer_uri);
    add("audience", claimant_.audience);
    add("jwt_token", *token);
    return json::write(body);
  }

  Result<Account> read(const json::Value& answer) const override {
    auto text = json::get_string(answer, "base64_credential");
    if (text.empty()) text = json::get_string(answer, "base64Credential");
    const auto decoded = base64_decode(text);
    const auto document = decoded ? json::parse(*decoded) : fail("");
    if (text.empty() || !document || !document->IsObject()) {
      return fail("the platform sent no credentials: expected base64_credential with JSON inside",
                  ErrorKind::kInvalid);
    }
    return read_account(*document);
  }

 private:
  Result<std::string> find_token(const Asking& asking) const {
    for (const auto& [name, value] : {std::pair("the key jwtToken", claimant_.jwt_token),
                                      std::pair("JWT_TOKEN", environment("JWT_TOKEN"))}) {
      const std::string_view token = trim(value);
      if (token.empty()) continue;
      if (claims_of(token)) return std::string(token);
      return fail(std::string(name) + " holds no JWT: expected three parts of base64url separated by dots",
                  ErrorKind::kConfig);
    }
    return ask_all(asking);
  }

  Result<std::string> ask_all(const Asking& asking) const {
    const auto deadline = std::min(asking.deadline, std::chrono::steady_clock::now() + kPatience);
    std::vector<std::pair<const Source*, Request>> asked;
    for (const Source& source : kSources) {
      if (auto request = source.request(claimant_.audience)) asked.emplace_back(&source, std::move(*request));
    }
    const auto race = std::make_shared<Race>(claimant_.issuer_uri, asked.size());
    for (auto& [source, request] : asked) {
      request.deadline = deadline;
      request.max_answer = kMaxAnswer;
      asking.send(std::move(request), [race, source = source](const Result<Response>& response) {
        race->arrive(*source, response);
      });
    }
    // Later than the requests' own deadline, so that each says of itself that it came too late.
    return race->wait(deadline + std::chrono::milliseconds(100));
  }

  const Claimant claimant_;
};

}  // namespace

std::unique_ptr<Exchange> make_workload_identity(const Claimant& claimant) {
  return std::make_unique<WorkloadIdentity>(claimant);
}

}  // namespace cnspec::auth
