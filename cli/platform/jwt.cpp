#include "jwt.hpp"

#include "base/encoding.hpp"

namespace cnspec::platform {
namespace {

auto malformed(const std::string& why) { return fail("malformed token: " + why, ErrorKind::kInvalid); }

Result<json::Document> decode_object(std::string_view part, const std::string& name) {
  const auto text = base64url_decode(part);
  if (!text) return malformed("the " + name + " is not base64url");
  auto document = json::parse(*text);
  if (!document) return malformed("the " + name + " is no JSON");
  if (!document->IsObject()) return malformed("the " + name + " is no JSON object");
  return document;
}

}  // namespace

std::optional<double> Jwt::time(std::string_view claim) const {
  const json::Value* value = json::find(claims, claim);
  if (!value || !value->IsNumber()) return std::nullopt;
  return value->GetDouble();
}

Result<Jwt> parse_jwt(std::string_view token) {
  auto jwt = parse_foreign_jwt(token);
  if (jwt && json::get_string(jwt->header, "alg") != "ES384") return malformed("alg is not ES384");
  return jwt;
}

Result<Jwt> parse_foreign_jwt(std::string_view token) {
  const auto first = token.find('.');
  const auto second = first == token.npos ? token.npos : token.find('.', first + 1);
  if (second == token.npos || token.find('.', second + 1) != token.npos) {
    return malformed("expected three parts separated by dots");
  }
  auto header = decode_object(token.substr(0, first), "header");
  if (!header) return fail(std::move(header.error()));
  if (json::find(*header, "crit")) return malformed("crit names extensions that are not known here");
  auto claims = decode_object(token.substr(first + 1, second - first - 1), "payload");
  if (!claims) return fail(std::move(claims.error()));
  auto signature = base64url_decode(token.substr(second + 1));
  if (!signature) return malformed("the signature is not base64url");
  return Jwt{std::move(*header), std::move(*claims), std::string(token.substr(0, second)),
             std::move(*signature)};
}

Result<std::string> sign_jwt(const Key& key, const json::Value& claims) {
  std::string token =
      base64url_encode(R"({"alg":"ES384","typ":"JWT"})") + "." + base64url_encode(json::write(claims));
  const auto signature = sign_es384(key, token);
  if (!signature) return fail(signature.error());
  return token + "." + base64url_encode(*signature);
}

}  // namespace cnspec::platform
