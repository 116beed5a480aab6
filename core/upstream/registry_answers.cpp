#include "upstream/registry_answers.hpp"

#include <charconv>

#include "base/names.hpp"
#include "base/text.hpp"
#include "base/url.hpp"

namespace cnspec::upstream {
namespace {

using transport::Response;

bool is_html(const Response& answer) {
  return answer.header("content-type").starts_with("text/html") || trim(answer.body).starts_with('<');
}

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

Error refusal(const Response& answer, const std::string& url) {
  const std::string status =
      "HTTP status " + std::to_string(answer.status) + (is_html(answer) ? ", with a page of HTML" : "");
  const std::string where = shown_url(url);
  switch (answer.status) {
    case 404:
    case 410: return Error(where + ": there is no such file (" + status + ")", ErrorKind::kNotFound);
    case 401:
    case 403:
      return Error(where + ": the registry does not hand it out (" + status + ")", ErrorKind::kRejected);
    default:
      return Error(where + ": the registry could not answer (" + status + ")", ErrorKind::kUnavailable);
  }
}

Result<Versions> read_catalog(const Response& answer, const std::string& url) {
  if (answer.status != 200) return fail(refusal(answer, url));
  const auto document = json::parse(answer.body);
  const json::Value* providers = document ? json::find(*document, "providers") : nullptr;
  if (!providers || !providers->IsArray()) {
    std::string found = document ? "other JSON" : document.error().message();
    if (!document && is_html(answer)) found = "a page of HTML";
    return fail(
        Error(shown_url(url) + ": expected JSON with a list of \"providers\", found " + found,
              ErrorKind::kInvalid)
            .hint("is it the address of a registry, and is no login page of this network in between?"));
  }
  Versions versions;
  for (const json::Value& provider : providers->GetArray()) {
    const auto name = json::get_string(provider, "name");
    const auto version = json::get_string(provider, "version");
    if (is_provider_name(name) && is_provider_version(version)) versions.emplace(name, version);
  }
  return versions;
}

Result<Checksums> read_checksums(std::string_view text, const std::string& shown) {
  Checksums out;
  for (std::size_t line = 1; !text.empty(); ++line) {
    const auto end = text.find('\n');
    std::string_view entry = text.substr(0, end);
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
    if (entry.ends_with('\r')) entry.remove_suffix(1);
    if (trim(entry).empty()) continue;
    const auto senseless = [&](const char* why) {
      return fail(shown + ":" + std::to_string(line) + ": " + why, ErrorKind::kInvalid);
    };
    const std::string sum = to_lower(entry.substr(0, 64));
    // Two spaces, or a space and the star of binary files.
    const bool well_formed =
        is_sha256(sum) && entry.size() > 66 && entry[64] == ' ' && (entry[65] == ' ' || entry[65] == '*');
    if (!well_formed) return senseless("expected 64 hexadecimal digits, two spaces and a file's name");
    std::string_view name = entry.substr(66);
    if (name.starts_with("./")) name.remove_prefix(2);
    const auto [known, is_new] = out.emplace(name, sum);
    if (!is_new && known->second != sum) return senseless("another sum for a file that stands above");
  }
  return out;
}

std::optional<ContentRange> read_content_range(std::string_view header) {
  constexpr std::string_view kUnit = "bytes ";
  const auto dash = header.find('-');
  const auto slash = header.find('/');
  if (!header.starts_with(kUnit) || dash == header.npos || slash == header.npos || slash < dash)
    return std::nullopt;
  const auto first = number(header.substr(kUnit.size(), dash - kUnit.size()));
  const auto last = number(header.substr(dash + 1, slash - dash - 1));
  const auto whole = number(header.substr(slash + 1));
  if (!first || !last || !whole || *first > *last || *last >= *whole) return std::nullopt;
  return ContentRange{*first, *last, *whole};
}

}  // namespace cnspec::upstream
