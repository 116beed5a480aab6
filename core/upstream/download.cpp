#include "upstream/download.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "base/fd.hpp"
#include "base/log.hpp"
#include "base/time.hpp"
#include "base/url.hpp"
#include "upstream/registry_answers.hpp"
#include "upstream/send.hpp"

namespace cnspec::upstream {
namespace {

namespace asio = boost::asio;
using transport::Request;
using transport::Response;

constexpr std::size_t kMaxPage = 2048;  // of a refusal, to tell what it is
constexpr std::size_t kPiece = 64 << 10;
constexpr int kMaxBreaks = 50;
constexpr std::chrono::milliseconds kPause{200};

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = static_cast<char>(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool write_at(int fd, std::string_view bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return true;
}

Error too_large(const std::string& url, std::uint64_t max_size) {
  return Error(url + ": it has more than " + std::to_string(max_size) + " bytes", ErrorKind::kInvalid);
}
Error too_slow(const std::string& url, std::uint64_t received, std::chrono::milliseconds time,
               std::uint64_t least_pace) {
  return Error(url + ": it comes too slowly: " + std::to_string(received) + " bytes in " +
                   duration_text(time) + ", expected " + std::to_string(least_pace) + " a second at least",
               ErrorKind::kTimeout);
}
Error not_stored(const std::string& url) {
  return Error(url + ": what comes cannot be stored: " + std::strerror(errno))
      .hint("it is stored in the folder for temporary files; TMPDIR names another");
}

Result<void> copy_from_folder(const std::string& url, int fd, std::uint64_t max_size,
                              const DownloadProgress& progress) {
  const Fd from(::open(file_url_path(url).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!from) {
    const bool missing = errno == ENOENT || errno == ENOTDIR;
    return fail(url + ": " + (missing ? "there is no such file" : std::strerror(errno)),
                missing ? ErrorKind::kNotFound : ErrorKind::kFailed);
  }
  struct stat info {};
  std::vector<char> piece(kPiece);
  std::uint64_t done = 0;
  Result<void> result;
  if (::fstat(from.get(), &info) != 0 || !S_ISREG(info.st_mode))
    result = fail(url + ": it is no ordinary file");
  while (result) {
    const ssize_t got = ::read(from.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) result = fail(url + ": " + std::strerror(errno));
    if (got <= 0) break;
    const std::string_view bytes(piece.data(), static_cast<std::size_t>(got));
    if (bytes.size() > max_size - done) {
      result = fail(too_large(url, max_size));
    } else if (!write_at(fd, bytes, done)) {
      result = fail(not_stored(url));
    }
    done += bytes.size();
    if (result && progress) progress(done, static_cast<std::uint64_t>(info.st_size));
  }
  return result;
}

// What keeps coming, but would never end. Looked at as bytes come: when none do, that is silence.
class Pace {
 public:
  explicit Pace(const DownloadLimits& limits) : least_(limits.least_pace), window_(2 * limits.max_silence) {}

  std::optional<Error> add(std::size_t bytes, const std::string& url) {
    received_ += bytes;
    const auto now = std::chrono::steady_clock::now();
    const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(now - since_);
    if (time < window_) return std::nullopt;
    const auto enough = least_ * static_cast<std::uint64_t>(window_.count()) / 1000;
    if (received_ < enough) return too_slow(url, received_, time, least_);
    received_ = 0;
    since_ = now;
    return std::nullopt;
  }

 private:
  std::uint64_t least_;  // bytes a second
  std::chrono::milliseconds window_;
  std::uint64_t received_ = 0;  // bytes in the window
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

// Shared with the sink of the exchange under way.
struct Transfer {
  explicit Transfer(const DownloadLimits& limits) : pace(limits) {}

  Pace pace;
  std::string url;
  std::string shown;  // in messages
  std::string features;
  std::string request_id;  // of the exchange under way
  int fd;
  std::uint64_t max_size;
  DownloadProgress progress;

  std::uint64_t done = 0;  // bytes stored
  std::uint64_t furthest = 0;
  std::uint64_t whole = 0;  // 0: not known
  std::string etag;         // a strong one, by which the rest can be asked for

  bool begun = false;  // something of this exchange's body came
  bool moved = false;  // ... and got further than all before
  Response refused;    // the beginning of a refusal
  std::optional<Error> problem;

  void begin(const Response& head) {
    begun = true;
    if (head.status == 206) {
      const auto range = read_content_range(head.header("content-range"));
      if (!range || range->first != done) {
        problem = Error(shown + ": asked for what follows byte " + std::to_string(done) +
                            ", the registry sent something else",
                        ErrorKind::kInvalid);
      } else {
        whole = range->whole;
      }
    } else {
      if (done > 0) log::debug(shown + ": it has changed, or the registry knows no ranges; beginning anew");
      done = 0;
      etag = head.header("etag").starts_with('"') ? head.header("etag") : "";
      const std::string length(head.header("content-length"));
      whole = std::strtoull(length.c_str(), nullptr, 10);
      if (::ftruncate(fd, 0) != 0) problem = not_stored(shown);
    }
    if (whole > max_size) problem = too_large(shown, max_size);
  }

  bool take(const Response& head, std::string_view bytes) {
    if (head.status != 200 && head.status != 206) {
      if (refused.status == 0) refused = head;
      refused.body += bytes.substr(0, kMaxPage - std::min(kMaxPage, refused.body.size()));
      return refused.body.size() < kMaxPage;
    }
    if (!begun) begin(head);
    if (!problem && bytes.size() > max_size - done) problem = too_large(shown, max_size);
    if (!problem && !write_at(fd, bytes, done)) problem = not_stored(shown);
    if (!problem) problem = pace.add(bytes.size(), shown);
    if (problem) return false;
    done += bytes.size();
    moved = moved || done > furthest;
    furthest = std::max(furthest, done);
    if (progress) progress(done, whole);
    return true;
  }
};

Request request_for(const std::shared_ptr<Transfer>& transfer, const DownloadLimits& limits) {
  transfer->begun = transfer->moved = false;
  transfer->refused = {};
  Request request;
  request.url = transfer->url;
  request.headers = own_headers(transfer->features);
  transfer->request_id = request_id(request);
  request.deadline = limits.deadline;
  request.max_silence = limits.max_silence;
  request.max_answer = std::numeric_limits<std::size_t>::max();  // the sink counts
  if (transfer->done > 0 && !transfer->etag.empty()) {
    request.headers.emplace_back("Range", "bytes=" + std::to_string(transfer->done) + "-");
    request.headers.emplace_back("If-Range", transfer->etag);
  }
  request.sink = [transfer](const Response& head, std::string_view bytes) {
    return transfer->take(head, bytes);
  };
  return request;
}

enum class Next { kDone, kFailed, kAgain };

// After an exchange; `why` is set when it failed, or would have to be if this was the last attempt.
Next judge(Transfer& transfer, Result<Response> answer, const DownloadLimits& limits, Error& why) {
  if (transfer.problem) {
    why = *transfer.problem;
    return Next::kFailed;
  }
  // More of a page than anybody needs is not waited for.
  const bool enough = !answer && answer.error().kind() == ErrorKind::kCancelled;
  if (enough && transfer.refused.status != 0) answer = transfer.refused;
  if (answer && answer->status / 100 == 2) {
    if (!transfer.begun && transfer.done == 0) return Next::kDone;  // an empty file
    if (transfer.whole == 0 || transfer.done == transfer.whole) return Next::kDone;
    why = Error(transfer.shown + ": " + std::to_string(transfer.done) + " of " +
                    std::to_string(transfer.whole) + " bytes came",
                ErrorKind::kUnavailable);
    return Next::kAgain;
  }
  if (answer) {
    answer->body = transfer.refused.body;
    why = with_request_id(refusal(*answer, transfer.shown), transfer.url, transfer.request_id);
    if (answer->status != 416 || transfer.done == 0) return Next::kFailed;
    transfer.done = 0;  // it is shorter now
    return Next::kAgain;
  }
  why = answer.error();
  const bool over = std::chrono::steady_clock::now() >= limits.deadline;
  const bool hopeless = why.kind() == ErrorKind::kConfig || why.kind() == ErrorKind::kCancelled;
  if (transfer.done == 0 || hopeless) return Next::kFailed;
  if (!over) return Next::kAgain;
  why = Error::wrap("there is no time left to go on", std::move(why));
  return Next::kFailed;
}

Error broken_off(const Transfer& transfer, Error why) {
  return transfer.done == 0
             ? why
             : Error::wrap("the download broke off after " + std::to_string(transfer.done) +
                               (transfer.whole ? " of " + std::to_string(transfer.whole) : "") + " bytes",
                           std::move(why));
}

asio::awaitable<void> pause() {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  timer.expires_after(kPause);
  boost::system::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

}  // namespace

std::filesystem::path file_url_path(std::string_view url) {
  url.remove_prefix(kFileUrl.size());
  std::string out;
  for (std::size_t i = 0; i < url.size(); ++i) {
    const bool escape =
        url[i] == '%' && i + 2 < url.size() && hex_digit(url[i + 1]) >= 0 && hex_digit(url[i + 2]) >= 0;
    out += escape ? static_cast<char>(hex_digit(url[i + 1]) * 16 + hex_digit(url[i + 2])) : url[i];
    if (escape) i += 2;
  }
  return out;
}

Task<void> download(transport::Transport* transport, std::string url, std::string features, int fd,
                    DownloadLimits limits, DownloadProgress progress) {
  if (url.starts_with(kFileUrl)) co_return copy_from_folder(url, fd, limits.size, progress);
  auto transfer = std::make_shared<Transfer>(limits);
  transfer->shown = shown_url(url);
  transfer->features = std::move(features);
  transfer->url = std::move(url);
  transfer->fd = fd;
  transfer->max_size = limits.size;
  transfer->progress = std::move(progress);
  bool stood_still = false;
  for (int breaks = 0; breaks <= kMaxBreaks; ++breaks) {
    Request request = request_for(transfer, limits);
    auto answer = co_await send(*transport, std::move(request));
    Error why("");
    const Next next = judge(*transfer, std::move(answer), limits, why);
    if (next == Next::kDone) co_return Result<void>();
    const bool again = next == Next::kAgain && (transfer->moved || !stood_still) && breaks < kMaxBreaks;
    if (!again) co_return fail(broken_off(*transfer, std::move(why)));
    stood_still = !transfer->moved;
    log::debug("going on after " + std::to_string(transfer->done) + " bytes: " + why.message());
    co_await pause();
  }
  co_return Result<void>();
}

}  // namespace cnspec::upstream
