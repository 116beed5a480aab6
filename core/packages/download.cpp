#include "packages/download.hpp"

#include <memory>
#include <optional>

#include "base/text.hpp"
#include "base/url.hpp"
#include "provider/network.hpp"

namespace cnspec::packages {
namespace {

using runtime::Runtime;
using transport::Request;
using transport::Response;

constexpr std::string_view kHttps = "https://";
constexpr std::string_view kHttp = "http://";
constexpr int kMaxHops = 5;

// Asks what is there and reads none of it; the head of the answer goes to `head`.
Request probe(const std::string& url, const std::string& features, transport::Deadline deadline,
              std::chrono::milliseconds silence, const std::shared_ptr<Response>& head) {
  Request request;
  request.url = url;
  request.headers = upstream::own_headers(features);
  request.deadline = deadline;
  request.max_silence = silence;
  request.sink = [head](const Response& came, std::string_view) {
    *head = came;
    return false;
  };
  return request;
}

Result<Response> ask(Runtime& runtime, transport::Transport& transport, Request request) {
  std::optional<Result<Response>> answer;
  transport.send(std::move(request), [&](Result<Response> r) { answer = std::move(r); });
  runtime.loop().restart();
  runtime.loop().run();
  return std::move(*answer);
}

// Where a redirection leads, or an error when it should not be followed.
Result<std::string> next_url(const std::string& url, const Response& answer) {
  std::string location(answer.header("location"));
  const auto refuse = [&](const std::string& why) {
    return fail(shown_url(url) + " leads " + why, ErrorKind::kInvalid);
  };
  if (location.empty()) return refuse("elsewhere without saying where");
  if (location.starts_with("//")) {
    location = url.substr(0, url.find("//")) + location;
  } else if (location.starts_with('/')) {
    location = url.substr(0, url.find('/', url.find("//") + 2)) + location;
  }
  if (!location.starts_with(kHttps) && !(location.starts_with(kHttp) && url.starts_with(kHttp)))
    return refuse("to " + shown_url(location) + ", expected a URL of https");
  if (auto host = provider::url_host(location); !host) return refuse("to no URL: " + host.error().message());
  return location;
}

bool is_redirection(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

}  // namespace

Result<void> check_download_url(std::string_view url, bool plain_is_fine) {
  const auto refuse = [&](const std::string& why, const char* hint) {
    // One that may hold a password is not shown.
    const std::string shown =
        url.find('@') == url.npos ? quoted_if_needed(shown_url(url)) : "what --url names";
    return fail(Error(shown + " " + why, ErrorKind::kUsage).hint(hint));
  };
  if (!url.starts_with(kHttps) && !url.starts_with(kHttp))
    return refuse("is no URL of a package", "expected https://HOST/NAME_VERSION_OS_ARCH.tar.xz");
  if (auto host = provider::url_host(url); !host)
    return refuse("is no URL of a package: " + host.error().message(),
                  "see: cnspec providers install --help");
  if (url.starts_with(kHttp) && !plain_is_fine) {
    return refuse("is not encrypted: anybody on the way could send another package",
                  "use https, or say what must come with --sha256");
  }
  if (file_name_of_url(url).empty()) return refuse("names no file", "expected the URL of a package");
  return {};
}

std::string file_name_of_url(std::string_view url) {
  const std::string_view path = url.substr(0, url.find_first_of("?#"));
  const auto host = path.find("//");
  const auto slash = path.rfind('/');
  if (slash == path.npos || (host != path.npos && slash < host + 2)) return {};
  return std::string(path.substr(slash + 1));
}

Result<void> download(Runtime& runtime, std::string url, int fd, const DownloadLimits& limits,
                      upstream::DownloadProgress progress) {
  auto transport = runtime.transport();
  if (!transport) return fail(transport.error());
  const auto deadline = runtime.deadline();
  const std::string features = upstream::features_header(runtime.features(), nullptr);
  for (int hops = 0;; ++hops) {
    auto head = std::make_shared<Response>();
    const auto answer = ask(runtime, **transport, probe(url, features, deadline, limits.silence, head));
    // It was us who did not want more of it. Whether it is what was asked for is seen when it is fetched.
    const bool cut_off = !answer && head->status != 0;
    if (!answer && !cut_off) return fail(answer.error());
    const Response& seen = answer ? *answer : *head;
    if (!is_redirection(seen.status)) break;
    if (hops == kMaxHops) return fail(shown_url(url) + " is the end of too many redirections");
    auto next = next_url(url, seen);
    if (!next) return fail(next.error());
    url = std::move(*next);
  }
  const upstream::DownloadLimits until{
      .size = limits.size, .max_silence = limits.silence, .deadline = deadline};
  return runtime.run(
      upstream::download(*transport, std::move(url), features, fd, until, std::move(progress)));
}

}  // namespace cnspec::packages
