#include "shared/web.hpp"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <rapidjson/reader.h>

#include <algorithm>
#include <charconv>

#include "shared/text.hpp"

namespace cnspec::providers {
namespace {

constexpr unsigned kStrict = rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag;

// Depth is checked before the document is built, whose destructor recurses.
struct DepthCheck : rapidjson::BaseReaderHandler<rapidjson::UTF8<>, DepthCheck> {
  static constexpr int kMax = 64;
  int depth = 0;
  bool StartObject() { return ++depth <= kMax; }
  bool EndObject(rapidjson::SizeType) {
    --depth;
    return true;
  }
  bool StartArray() { return ++depth <= kMax; }
  bool EndArray(rapidjson::SizeType) {
    --depth;
    return true;
  }
};

bool alnum(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

bool only(std::string_view text, std::string_view extra) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return alnum(c) || extra.find(c) != std::string_view::npos;
  });
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace

std::string percent_encode(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (alnum(c) || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

std::string form(const std::vector<std::pair<std::string, std::string>>& fields) {
  std::string out;
  for (const auto& [key, value] : fields) {
    out += (out.empty() ? "" : "&") + percent_encode(key) + '=' + percent_encode(value);
  }
  return out;
}

std::string base64(std::string_view bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

std::string BaseUrl::authority() const { return port == 0 ? host : host + ':' + std::to_string(port); }

bool BaseUrl::is_loopback() const {
  return host == "localhost" || host == "[::1]" ||
         (host.starts_with("127.") && only(host, ".") &&
          std::none_of(host.begin(), host.end(), [](char c) { return c >= 'a' && c <= 'z'; }));
}

bool BaseUrl::same_origin(const BaseUrl& other) const {
  return scheme == other.scheme && host == other.host && port == other.port;
}

BaseUrl parse_base_url(std::string_view text, const std::string& what) {
  const auto refuse = [&](const std::string& why) { throw sdk::Error(CNSPEC_INVALID, what + " " + why); };
  BaseUrl url;
  const auto colon = text.find("://");
  if (colon == std::string_view::npos) refuse("is not absolute, expected http://HOST or https://HOST");
  url.scheme = lower(text.substr(0, colon));
  if (url.scheme != "http" && url.scheme != "https") {
    refuse("has the scheme " + quoted(url.scheme) + ", expected http or https");
  }
  std::string_view rest = text.substr(colon + 3);
  if (rest.find_first_of("?#") != std::string_view::npos) refuse("must not have a query or a fragment");
  const auto slash = std::min(rest.find('/'), rest.size());
  std::string_view path = rest.substr(slash);
  std::string_view authority = rest.substr(0, slash);
  if (authority.find('@') != std::string_view::npos) refuse("must not name a user");

  const auto bracket = authority.starts_with("[") ? authority.find(']') : 0;
  if (bracket == std::string_view::npos) refuse("has an IPv6 address without its closing bracket");
  const auto port = authority.find(':', bracket);
  url.host = lower(authority.substr(0, port));
  in6_addr ignored{};
  const bool valid =
      url.host.starts_with("[") && url.host.ends_with("]")
          ? ::inet_pton(AF_INET6, url.host.substr(1, url.host.size() - 2).c_str(), &ignored) == 1
          : only(url.host, "-._");
  if (!valid) refuse("has no valid host");
  if (port != std::string_view::npos) {
    const std::string_view digits = authority.substr(port + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), url.port);
    if (error != std::errc() || end != digits.data() + digits.size() || url.port < 1 || url.port > 65535) {
      refuse("has no valid port");
    }
    if (url.port == (url.scheme == "https" ? 443 : 80)) url.port = 0;
  }
  while (path.ends_with("/")) path.remove_suffix(1);
  if (!path.empty() && !only(path, "/-._~%!$&'()*+,;=:@"))
    refuse("has characters that a URL's path must escape");
  url.path = path;
  return url;
}

bool parse_json_object(std::string_view body, rapidjson::Document& document) {
  rapidjson::MemoryStream stream(body.data(), body.size());
  rapidjson::Reader reader;
  DepthCheck check;
  if (reader.Parse<kStrict>(stream, check).IsError()) return false;
  document.Parse<kStrict>(body.data(), body.size());
  return document.IsObject();
}

const rapidjson::Value* member(const rapidjson::Value& value, std::string_view key) {
  if (!value.IsObject()) return nullptr;
  const rapidjson::Value name(key.data(), static_cast<rapidjson::SizeType>(key.size()));
  const auto it = value.FindMember(name);
  return it == value.MemberEnd() ? nullptr : &it->value;
}

std::string string_member(const rapidjson::Value& value, std::string_view key) {
  const rapidjson::Value* found = member(value, key);
  return found && found->IsString() ? std::string(found->GetString(), found->GetStringLength())
                                    : std::string();
}

std::string described(const sdk::HttpResponse& response) {
  std::string_view type = response.header("content-type");
  type = type.substr(0, type.find(';'));
  return "status " + std::to_string(response.status) + ", " +
         (type.empty() ? "no content type" : one_line(type)) + ", " + std::to_string(response.body.size()) +
         " bytes";
}

}  // namespace cnspec::providers
