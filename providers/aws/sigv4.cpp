#include "sigv4.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstdio>
#include <map>

#include "shared/web.hpp"

namespace cnspec::aws {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;
using providers::percent_encode;
using providers::Secret;

std::string hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return out;
}

std::string sha256_hex(std::string_view data) {
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  if (EVP_Digest(data.data(), data.size(), reinterpret_cast<unsigned char*>(digest.data()), &size,
                 EVP_sha256(), nullptr) != 1) {
    throw sdk::Error("the request to AWS cannot be signed: SHA-256 is not available");
  }
  return hex(std::string_view(digest).substr(0, size));
}

Secret hmac(const Secret& key, std::string_view data) {
  std::string digest(EVP_MAX_MD_SIZE, '\0');
  unsigned size = 0;
  if (!HMAC(EVP_sha256(), key.reveal().data(), static_cast<int>(key.reveal().size()),
            reinterpret_cast<const unsigned char*>(data.data()), data.size(),
            reinterpret_cast<unsigned char*>(digest.data()), &size)) {
    throw sdk::Error("the request to AWS cannot be signed: HMAC-SHA-256 is not available");
  }
  digest.resize(size);
  return Secret(std::move(digest));
}

// "20150830T123600Z"
std::string basic_time(std::chrono::sys_seconds time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  char out[40];
  std::snprintf(out, sizeof out, "%04d%02u%02uT%02d%02d%02dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()));
  return out;
}

// "a/./b//../c" is "a/c"; every segment, escaped already for the wire, is escaped once more.
std::string canonical_path(std::string_view path) {
  std::vector<std::string_view> kept;
  const bool folder = path.ends_with('/');
  while (!path.empty()) {
    const auto slash = std::min(path.find('/'), path.size());
    const std::string_view segment = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (segment == ".." && !kept.empty()) kept.pop_back();
    if (!segment.empty() && segment != "." && segment != "..") kept.push_back(segment);
  }
  std::string out;
  for (const std::string_view segment : kept) out += '/' + percent_encode(segment);
  return out.empty() || folder ? out + '/' : out;
}

std::string canonical_query(const Pairs& query) {
  Pairs escaped;
  for (const auto& [key, value] : query) escaped.emplace_back(percent_encode(key), percent_encode(value));
  std::sort(escaped.begin(), escaped.end());
  std::string out;
  for (const auto& [key, value] : escaped) out += (out.empty() ? "" : "&") + key + '=' + value;
  return out;
}

// Blanks at the ends are dropped and runs of them within become one.
std::string canonical_value(std::string_view value) {
  std::string out;
  for (const char c : providers::trimmed(value)) {
    const bool blank = c == ' ' || c == '\t';
    if (!blank || !out.ends_with(' ')) out += blank ? ' ' : c;
  }
  return out;
}

std::string lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

}  // namespace

Pairs sign(const SignedParts& parts, const Credentials& credentials, const SigningScope& scope) {
  const std::string time = basic_time(scope.time);
  Pairs added = {{"X-Amz-Date", time}};
  if (!credentials.session_token.empty()) {
    added.emplace_back("X-Amz-Security-Token", credentials.session_token.reveal());
  }

  std::map<std::string, std::string> headers;
  for (const Pairs* list : {&parts.headers, &static_cast<const Pairs&>(added)}) {
    for (const auto& [name, value] : *list) {
      auto& joined = headers[lower(name)];
      joined += (joined.empty() ? "" : ",") + canonical_value(value);
    }
  }
  std::string names;
  std::string lines;
  for (const auto& [name, value] : headers) {
    names += (names.empty() ? "" : ";") + name;
    lines += name + ':' + value + '\n';
  }

  const std::string request = parts.method + '\n' + canonical_path(parts.path) + '\n' +
                              canonical_query(parts.query) + '\n' + lines + '\n' + names + '\n' +
                              sha256_hex(parts.body);
  const std::string date = time.substr(0, 8);
  const std::string range = date + '/' + scope.region + '/' + scope.service + "/aws4_request";
  const std::string to_sign = "AWS4-HMAC-SHA256\n" + time + '\n' + range + '\n' + sha256_hex(request);

  Secret key("AWS4" + credentials.secret_key.reveal());
  for (const std::string_view step : {std::string_view(date), std::string_view(scope.region),
                                      std::string_view(scope.service), std::string_view("aws4_request")}) {
    key = hmac(key, step);
  }
  added.emplace_back("Authorization", "AWS4-HMAC-SHA256 Credential=" + credentials.access_key + '/' + range +
                                          ", SignedHeaders=" + names +
                                          ", Signature=" + hex(hmac(key, to_sign).reveal()));
  return added;
}

}  // namespace cnspec::aws
