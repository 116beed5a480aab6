#include "provider/minisign.hpp"

#include <algorithm>
#include <array>

#include "base/encoding.hpp"
#include "base/text.hpp"

namespace cnspec::provider {
namespace {

constexpr std::size_t kAlgorithmSize = 2, kIdSize = 8, kPointSize = 32, kSignatureSize = 64;
constexpr std::string_view kUntrustedPrefix = "untrusted comment: ";
constexpr std::string_view kTrustedPrefix = "trusted comment: ";

tl::unexpected<Error> refuse(std::string what) { return fail(std::move(what), ErrorKind::kInvalid); }

// Exactly `size` bytes; nothing that another spelling of base64 lets pass.
Result<std::string> bytes_of(std::string_view line, std::size_t size, const std::string& what) {
  const std::size_t length = (size + 2) / 3 * 4;
  if (line.size() != length) {
    return refuse(what + " has " + std::to_string(line.size()) + " characters, expected " +
                  std::to_string(length));
  }
  auto bytes = line.find_first_of(" \t\r\n") == line.npos ? base64_decode(line) : std::nullopt;
  if (!bytes || bytes->size() != size) return refuse(what + " is not base64");
  return std::move(*bytes);
}

// The four lines, without their ends, which Windows may have written.
Result<std::array<std::string_view, 4>> four_lines(std::string_view text) {
  std::array<std::string_view, 4> lines;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (text.empty()) {
      return refuse("a signature of minisign has 4 lines, found " + (i ? std::to_string(i) : "none"));
    }
    const auto end = std::min(text.find('\n'), text.size());
    lines[i] = text.substr(0, end);
    if (lines[i].ends_with('\r')) lines[i].remove_suffix(1);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  if (!trim(text).empty()) return refuse("a signature of minisign has 4 lines, found more");
  return lines;
}

std::string hashed(std::string_view contents, const Crypto& crypto) {
  const auto hash = crypto.make_hash(HashKind::kBlake2b512);
  hash->update(contents);
  return hash->finish();
}

}  // namespace

std::string key_id_text(std::string_view id) {
  // The number that the bytes are, least significant first.
  std::string text = hex_encode(std::string(id.rbegin(), id.rend()));
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'a' && c <= 'f' ? static_cast<char>(c - 'a' + 'A') : c; });
  return text;
}

std::string key_ids_text(const std::vector<MinisignKey>& keys) {
  std::vector<std::string> ids;
  for (const MinisignKey& key : keys) ids.push_back("key ID " + key_id_text(key.id));
  return ids.empty() ? "none" : join(ids, ", ");
}

Result<MinisignKey> read_minisign_key(std::string_view text) {
  const auto wrong = [](const std::string& why) {
    return fail(Error("no public key of minisign: " + why, ErrorKind::kConfig)
                    .hint("give the last line of the file minisign.pub, which begins with RW"));
  };
  auto bytes = bytes_of(text, kAlgorithmSize + kIdSize + kPointSize, "it");
  if (!bytes) return wrong(bytes.error().what());
  if (!bytes->starts_with("Ed")) return wrong("it is not of Ed25519");
  return MinisignKey{bytes->substr(kAlgorithmSize, kIdSize), bytes->substr(kAlgorithmSize + kIdSize)};
}

Result<MinisignSignature> read_minisign_signature(std::string_view text) {
  if (text.size() > kMaxSignatureFile) {
    return refuse("a signature of minisign has at most " + std::to_string(kMaxSignatureFile) +
                  " bytes, found more");
  }
  if (text.find('\0') != text.npos) return refuse("a signature of minisign is text, found something else");
  auto lines = four_lines(text);
  if (!lines) return fail(lines.error());
  const auto& [comment, signed_line, trusted, global] = *lines;
  if (!comment.starts_with(kUntrustedPrefix)) {
    return refuse("line 1 of a signature of minisign begins with \"" + std::string(kUntrustedPrefix) + "\"");
  }
  auto bytes = bytes_of(signed_line, kAlgorithmSize + kIdSize + kSignatureSize, "line 2, the signature,");
  if (!bytes) return fail(bytes.error());
  const std::string algorithm = bytes->substr(0, kAlgorithmSize);
  if (algorithm != "ED" && algorithm != "Ed")
    return refuse("line 2, the signature, is of an unknown algorithm, expected ED or Ed");
  if (!trusted.starts_with(kTrustedPrefix)) {
    return refuse("line 3 of a signature of minisign begins with \"" + std::string(kTrustedPrefix) + "\"");
  }
  auto comment_signature = bytes_of(global, kSignatureSize, "line 4, the comment's signature,");
  if (!comment_signature) return fail(comment_signature.error());
  return MinisignSignature{algorithm == "ED", bytes->substr(kAlgorithmSize, kIdSize),
                           bytes->substr(kAlgorithmSize + kIdSize),
                           std::string(trusted.substr(kTrustedPrefix.size())), std::move(*comment_signature)};
}

Result<void> verify_minisign(const MinisignSignature& signature, const std::vector<MinisignKey>& keys,
                             std::string_view contents, const Crypto& crypto) {
  const auto untrusted = [](std::string what) { return fail(std::move(what), ErrorKind::kUntrusted); };
  const std::string id = "key ID " + key_id_text(signature.id);
  // Ids are chosen, not computed, so two keys may share one.
  bool known = false;
  std::string digest;
  if (signature.prehashed) digest = hashed(contents, crypto);
  for (const MinisignKey& key : keys) {
    if (key.id != signature.id) continue;
    known = true;
    const std::string_view message = signature.prehashed ? std::string_view(digest) : contents;
    if (signature.prehashed && digest.empty()) continue;
    if (!crypto.verify_ed25519(key.point, message, signature.signature)) continue;
    if (crypto.verify_ed25519(key.point, signature.signature + signature.trusted_comment,
                              signature.comment_signature)) {
      return {};
    }
    return untrusted("its trusted comment is not the one that " + id + " signed");
  }
  if (known) return untrusted("it is not what " + id + " signed");
  return untrusted("signed by " + id + ", expected one of those that are trusted: " + key_ids_text(keys));
}

}  // namespace cnspec::provider
