#include "upstream/registry.hpp"

#include <algorithm>
#include <cstdio>
#include <iterator>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "upstream/send.hpp"

namespace cnspec::upstream {
namespace {

namespace fs = std::filesystem;
using transport::Headers;
using transport::Request;
using transport::Response;

constexpr std::size_t kMaxCatalog = 1 << 20;
constexpr std::size_t kMaxCached = 2 * kMaxCatalog + 4096;  // escaped, in JSON
constexpr std::size_t kMaxPage = 2048;                      // of a refusal

// An answer like a server's.
Result<Response> read_from_folder(const std::string& url, std::size_t max_size) {
  Response out;
  auto text = read_small_file(file_url_path(url), max_size);
  if (text) {
    out.status = 200;
    out.body = std::move(*text);
    return out;
  }
  if (text.error().kind() != ErrorKind::kNotFound) return fail(text.error());
  return fail(url + ": there is no such file", ErrorKind::kNotFound);
}

// ---- what was announced last ----

struct Cached {
  std::string etag, body;
};

// Two addresses may share a name: the file says which it is of.
fs::path cache_file(const RegistryOptions& options) {
  std::uint64_t hash = 14695981039346656037U;  // FNV-1a
  for (const char c : options.base) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211U;
  char name[40];
  std::snprintf(name, sizeof name, "registry-%016llx.json", static_cast<unsigned long long>(hash));
  return options.cache / name;
}

Cached read_cache(const RegistryOptions& options) {
  if (options.cache.empty()) return {};
  const auto text = read_small_file(cache_file(options), kMaxCached);
  if (!text) return {};
  const auto document = json::parse(*text);
  if (!document || json::get_string(*document, "url") != options.base) return {};
  Cached out{std::string(json::get_string(*document, "etag")),
             std::string(json::get_string(*document, "body"))};
  // Damaged, it would come back with every 304.
  Response again;
  again.status = 200;
  again.body = out.body;
  const bool good = printable(out.etag) == out.etag && read_catalog(again, options.base).has_value();
  return good ? out : Cached{};
}

void write_cache(const RegistryOptions& options, const Response& answer) {
  const std::string_view etag = answer.header("etag");
  if (options.cache.empty() || etag.empty() || !is_utf8(etag) || !is_utf8(answer.body)) return;
  json::Document document(rapidjson::kObjectType);
  auto& allocator = document.GetAllocator();
  const auto put = [&](const char* name, std::string_view value) {
    document.AddMember(rapidjson::StringRef(name), json::text(value, allocator), allocator);
  };
  put("url", options.base);
  put("etag", etag);
  put("body", answer.body);
  auto written = write_file_atomically(cache_file(options), json::write(document) + "\n", 0600);
  if (!written) log::debug("what the registry announces is not kept: " + written.error().message());
}

}  // namespace

Task<Response> Registry::ask(std::string method, std::string address, Headers headers, std::size_t max_size) {
  if (address.starts_with(kFileUrl)) co_return read_from_folder(address, max_size);
  Request request;
  request.method = std::move(method);
  request.url = std::move(address);
  request.headers = own_headers(options_.features);
  std::move(headers.begin(), headers.end(), std::back_inserter(request.headers));
  last_request_id_ = request_id(request);
  request.max_answer = max_size;
  request.repeat = Request::Repeat::kFreely;
  request.deadline = std::min(options_.deadline, std::chrono::steady_clock::now() + options_.max_silence);
  co_return co_await send(*transport_, std::move(request));
}

Task<Versions> Registry::catalog() {
  const std::string address = url("latest.json");
  const Cached cached = read_cache(options_);
  Headers headers;
  headers.emplace_back("Accept", "application/json");
  if (!cached.etag.empty()) headers.emplace_back("If-None-Match", cached.etag);
  auto answer = co_await ask("GET", address, std::move(headers), kMaxCatalog);
  if (!answer) co_return fail(answer.error());
  if (answer->status == 304 && !cached.etag.empty()) {
    answer->status = 200;
    answer->body = cached.body;
    co_return read_catalog(*answer, address);
  }
  auto versions = read_catalog(*answer, address);
  if (!versions) co_return fail(with_id(versions.error(), address));
  write_cache(options_, *answer);
  co_return versions;
}

Task<std::string> Registry::text(std::string path, std::size_t max_size) {
  const std::string address = url(path);
  Headers none;
  auto answer = co_await ask("GET", address, std::move(none), max_size);
  if (!answer) co_return fail(answer.error());
  if (answer->status != 200) co_return fail(with_id(refusal(*answer, address), address));
  co_return std::move(answer->body);
}

Task<bool> Registry::has(std::string path) {
  const std::string address = url(path);
  if (address.starts_with(kFileUrl)) {
    std::error_code ec;
    co_return fs::is_regular_file(file_url_path(address), ec);
  }
  Headers none;
  auto answer = co_await ask("HEAD", address, std::move(none), kMaxPage);
  if (!answer) co_return fail(answer.error());
  if (answer->status == 200) co_return true;
  const Error why = refusal(*answer, address);
  if (why.kind() == ErrorKind::kNotFound) co_return false;
  co_return fail(with_id(why, address));
}

// A folder keeps no log.
Error Registry::with_id(Error error, const std::string& address) const {
  return address.starts_with(kFileUrl) ? error : with_request_id(std::move(error), address, last_request_id_);
}

Task<void> Registry::download(std::string path, int fd, std::uint64_t max_size, Progress progress) {
  const DownloadLimits limits{
      .size = max_size, .max_silence = options_.max_silence, .deadline = options_.deadline};
  return upstream::download(transport_, url(path), options_.features, fd, limits, std::move(progress));
}

}  // namespace cnspec::upstream
