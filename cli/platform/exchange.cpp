// SecureTokenService: keys lent to those who prove that they may have them.
#include <algorithm>
#include <charconv>

#include "base/encoding.hpp"
#include "base/json.hpp"
#include "base/time.hpp"
#include "handling.hpp"
#include "jwt.hpp"
#include "spaces.hpp"

namespace cnspec::platform {
namespace {

constexpr double kTokenLeewaySeconds = 60;
constexpr std::chrono::minutes kClaimsLeeway{5};
constexpr std::chrono::minutes kLongestClaims{10};
constexpr int kMostSignatures = 256;
constexpr Seconds kLentSeconds = 3600;

std::optional<std::string> hex_decode(std::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    unsigned byte = 0;
    const auto [end, error] = std::from_chars(hex.data() + i, hex.data() + i + 2, byte, 16);
    if (error != std::errc() || end != hex.data() + i + 2) return std::nullopt;
    out += static_cast<char>(byte);
  }
  return out;
}

// Told openly, since they are the caller's own words and its clock is what needs mending.
Outcome<void> check_times(const Claims& claims) {
  const auto issued = parse_rfc3339(claims.iat());
  const auto ends = parse_rfc3339(claims.exp());
  if (!issued || !ends)
    return refuse(Code::kInvalidArgument, "the claims need iat and exp, as RFC 3339 has them");
  const auto clock = std::chrono::system_clock::now();
  const auto refuse_time = [](const char* why) {
    return refuse(Code::kUnauthenticated, std::string(why) + "; is the clock of the client right?");
  };
  if (*ends <= clock) return refuse_time("the claims have expired");
  if (*issued > clock + kClaimsLeeway) return refuse_time("the claims are of the future");
  if (*ends - *issued > kLongestClaims) return refuse_time("the claims would be good for too long");
  return {};
}

Outcome<ServiceAccount> keyless(Handling& h, const std::string& mrn) {
  auto account = h.platform.store.service_account(mrn);
  if (!account) return internal(account.error());
  if (!*account || !(*account)->public_key.empty())
    return unauthenticated("no keys are lent of " + mrn.substr(0, 200));
  if ((*account)->revoked) return unauthenticated("the service account was revoked: " + mrn);
  return std::move(**account);
}

Outcome<bool> is_signed_by(Handling& h, const ExchangeSSHKeyRequest& request, const ServiceAccount& account) {
  const Claims& claims = request.claims();
  const std::string text =
      sha256_hex("exp=" + form_encode(claims.exp()) + "&iat=" + form_encode(claims.iat()) + "&resource=" +
                 form_encode(claims.resource()) + "&subject=" + form_encode(claims.subject()) + "\n");
  int tried = 0;
  for (const SshSignature& signature : request.signatures()) {
    if (++tried > kMostSignatures) break;
    if (signature.alg() != "x5t#S256") continue;
    const auto blob = h.platform.store.ssh_key(account.mrn, signature.kid());
    if (!blob) return internal(blob.error());
    const auto bytes = hex_decode(signature.sig());
    if (*blob && bytes && is_signed_by_ssh_key(**blob, text, *bytes)) return true;
  }
  return false;
}

bool is_for(const Jwt& jwt, const std::string& audience) {
  const json::Value* aud = json::find(jwt.claims, "aud");
  if (!aud) return false;
  if (!aud->IsArray()) return aud->IsString() && json::view(*aud) == audience;
  return std::any_of(aud->Begin(), aud->End(),
                     [&](const json::Value& one) { return one.IsString() && json::view(one) == audience; });
}

std::string wrong_claim(const Jwt& jwt, const Issuer& issuer, const std::string& asked_audience) {
  const auto ends = jwt.time("exp");
  const auto begins = jwt.time("nbf");
  if (!ends) return "the token has no exp";
  if (*ends <= seconds_now() - kTokenLeewaySeconds) return "the token has expired";
  if (json::find(jwt.claims, "nbf") && !begins) return "the token's nbf is no number";
  if (begins && *begins > seconds_now() + kTokenLeewaySeconds) return "the token is not valid yet";
  if (!is_for(jwt, issuer.audience) || (!asked_audience.empty() && asked_audience != issuer.audience))
    return "the token is for another audience";
  const std::string_view subject = issuer.subject;
  const bool prefix = subject.ends_with('*');
  const auto fits = prefix ? jwt.text("sub").starts_with(subject.substr(0, subject.size() - 1))
                           : subject.empty() || jwt.text("sub") == subject;
  return fits ? "" : "the token is of another subject than was registered";
}

// The one that signed the token, where all it says holds. Who has a token that was signed for us may know
// why it is not taken.
Outcome<Issuer> issuer_of(Handling& h, const Jwt& jwt, const ExchangeExternalTokenRequest& request) {
  const std::string uri(jwt.text("iss"));
  if (uri.empty()) return unauthenticated("the token names no issuer");
  if (!request.issuer_uri().empty() && request.issuer_uri() != uri)
    return unauthenticated("the token is of the issuer " + uri.substr(0, 200) +
                           " and not of the one that is asked for");
  const auto issuers = h.platform.store.issuers(uri);
  if (!issuers) return internal(issuers.error());
  std::string why = "the issuer is not known here: " + uri.substr(0, 200);
  bool genuine = false;
  for (const Issuer& issuer : *issuers) {
    const auto keys = h.platform.store.issuer_keys(issuer.service_account);
    if (!keys) return internal(keys.error());
    if (!is_signed_by_issuer(jwt, *keys)) {
      if (!genuine) why = "no key of the issuer " + uri + " signed the token";
      continue;
    }
    genuine = true;
    why = wrong_claim(jwt, issuer, request.audience());
    if (why.empty()) return issuer;
  }
  if (genuine) return refuse(Code::kUnauthenticated, why);
  return unauthenticated(why);
}

// A key for the account, for an hour.
Outcome<ServiceAccountCredentials> lend(Handling& h, const ServiceAccount& account) {
  const auto key = make_key("P-384");
  if (!key) return internal(key.error());
  const auto id = account.mrn.substr(account.mrn.rfind('/') + 1);
  const auto certificate = issue_client(h.platform.authority, *key, id, account.space);
  if (!certificate) return internal(certificate.error());
  const auto lent =
      h.platform.store.lend_key(account.mrn, public_key_to_der(*key), now() + kLentSeconds, now());
  if (!lent) return internal(lent.error());
  ServiceAccountCredentials credential;
  credential.set_mrn(account.mrn);
  credential.set_parent_mrn(space_mrn(account.space));
  credential.set_private_key(private_key_to_pem(*key));
  credential.set_certificate(certificate_to_pem(*certificate));
  credential.set_api_endpoint(h.platform.options.endpoint);
  return credential;
}

}  // namespace

Outcome<ExchangeSSHKeyResponse> exchange_ssh(Handling& h) {
  const auto request = h.read<ExchangeSSHKeyRequest>();
  if (!request) return tl::unexpected(request.error());
  const Claims& claims = request->claims();
  if (const auto good = check_times(claims); !good) return tl::unexpected(good.error());
  const auto account = keyless(h, claims.subject());
  if (!account) return tl::unexpected(account.error());
  if (claims.resource() != space_mrn(account->space))
    return unauthenticated("the claims are for another resource than " + space_mrn(account->space));
  const auto known = is_signed_by(h, *request, *account);
  if (!known) return tl::unexpected(known.error());
  if (!*known) return unauthenticated("no key of " + account->mrn + " signed the claims");
  h.who = account->mrn;
  const auto credential = lend(h, *account);
  if (!credential) return tl::unexpected(credential.error());
  ExchangeSSHKeyResponse response;
  response.set_mrn(credential->mrn());
  response.set_parent_mrn(credential->parent_mrn());
  response.set_private_key(credential->private_key());
  response.set_certificate(credential->certificate());
  response.set_api_endpoint(credential->api_endpoint());
  return response;
}

Outcome<ExchangeExternalTokenResponse> exchange_external_token(Handling& h) {
  const auto request = h.read<ExchangeExternalTokenRequest>();
  if (!request) return tl::unexpected(request.error());
  const auto jwt = parse_foreign_jwt(request->jwt_token());
  if (!jwt) return unauthenticated(jwt.error().message());
  const auto issuer = issuer_of(h, *jwt, *request);
  if (!issuer) return tl::unexpected(issuer.error());
  const auto account = keyless(h, issuer->service_account);
  if (!account) return tl::unexpected(account.error());
  h.who = account->mrn;
  const auto credential = lend(h, *account);
  if (!credential) return tl::unexpected(credential.error());
  json::Document document(rapidjson::kObjectType);
  auto& allocator = document.GetAllocator();
  document.AddMember("mrn", json::text(credential->mrn(), allocator), allocator);
  document.AddMember("parent_mrn", json::text(credential->parent_mrn(), allocator), allocator);
  document.AddMember("space_mrn", json::text(credential->parent_mrn(), allocator), allocator);
  document.AddMember("private_key", json::text(credential->private_key(), allocator), allocator);
  document.AddMember("certificate", json::text(credential->certificate(), allocator), allocator);
  document.AddMember("api_endpoint", json::text(credential->api_endpoint(), allocator), allocator);
  ExchangeExternalTokenResponse response;
  response.set_base64_credential(base64_encode(json::write(document)));
  return response;
}

}  // namespace cnspec::platform
