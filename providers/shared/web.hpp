// URLs, forms and JSON for providers that speak HTTP.
#pragma once

#include <rapidjson/document.h>

#include <cnspec/provider.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cnspec::providers {

// Everything but RFC 3986's unreserved characters becomes %XX.
std::string percent_encode(std::string_view text);
// application/x-www-form-urlencoded.
std::string form(const std::vector<std::pair<std::string, std::string>>& fields);
std::string base64(std::string_view bytes);

// An absolute http or https URL without user, query or fragment.
struct BaseUrl {
  std::string scheme;
  std::string host;  // lower case; an IPv6 address keeps its brackets
  int port = 0;      // 0: the scheme's own
  std::string path;  // empty, or begins with '/' and does not end with one

  std::string authority() const;  // what the Host header says
  std::string text() const { return scheme + "://" + authority() + path; }
  bool is_loopback() const;  // localhost, 127.0.0.0/8, ::1
  bool same_origin(const BaseUrl& other) const;
};

// Throws CNSPEC_INVALID; the message begins with `what`, such as "--endpoint-url", and shows no part of the
// text.
BaseUrl parse_base_url(std::string_view text, const std::string& what);

// Strict JSON of at most 64 levels and an object at the top; false otherwise.
bool parse_json_object(std::string_view body, rapidjson::Document& document);
// The member, or null when `value` is no object or has none.
const rapidjson::Value* member(const rapidjson::Value& value, std::string_view key);
// The string member; empty when absent or of another type.
std::string string_member(const rapidjson::Value& value, std::string_view key);

// "status 502, text/html, 1234 bytes", for an answer that makes no sense: its body may echo a secret.
std::string described(const sdk::HttpResponse& response);

}  // namespace cnspec::providers
