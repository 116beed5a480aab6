#include "ssh_key.hpp"

#include <array>
#include <cstdint>
#include <optional>

#include "base/encoding.hpp"
#include "base/text.hpp"
#include "crypto.hpp"

namespace cnspec::platform {
namespace {

// A length and as many bytes, taken off the front.
std::optional<std::string_view> take(std::string_view& in) {
  if (in.size() < 4) return std::nullopt;
  std::uint32_t size = 0;
  for (const char c : in.substr(0, 4)) size = size << 8 | static_cast<unsigned char>(c);
  if (size > in.size() - 4) return std::nullopt;
  const auto text = in.substr(4, size);
  in.remove_prefix(4 + size);
  return text;
}

struct Curve {
  std::string_view type;
  std::string_view name;  // within the key
  const char* group;
  const char* hash;
};
constexpr std::array<Curve, 3> kCurves = {{
    {"ecdsa-sha2-nistp256", "nistp256", "P-256", "SHA256"},
    {"ecdsa-sha2-nistp384", "nistp384", "P-384", "SHA384"},
    {"ecdsa-sha2-nistp521", "nistp521", "P-521", "SHA512"},
}};

struct Parsed {
  std::string_view type;
  Key key;
  const Curve* curve = nullptr;
};

tl::unexpected<Error> broken(std::string_view type) {
  return fail("the key of type " + quoted_if_needed(type) + " is damaged");
}

Result<Parsed> parse(std::string_view blob) {
  const auto type = take(blob);
  if (!type) return fail("it is no SSH key");
  Result<Key> key = broken(*type);
  const Curve* curve = nullptr;
  const auto first = take(blob);
  if (!first) return broken(*type);
  if (*type == "ssh-ed25519") {
    key = ed25519_key(*first);
  } else if (*type == "ssh-rsa") {
    const auto modulus = take(blob);
    if (!modulus) return broken(*type);
    key = rsa_key(*modulus, *first);
  } else {
    for (const Curve& known : kCurves) {
      if (known.type == *type) curve = &known;
    }
    if (!curve) {
      return fail("keys of type " + quoted_if_needed(*type) +
                  " are not supported, expected Ed25519, ECDSA (nistp256, 384, 521) or RSA");
    }
    const auto point = take(blob);
    if (!point || *first != curve->name) return broken(*type);
    key = ec_key(curve->group, *point);
  }
  if (!key) return fail(key.error());
  if (!blob.empty()) return broken(*type);
  return Parsed{*type, std::move(*key), curve};
}

std::string fingerprint(std::string_view blob) {
  std::string hash = base64_encode(sha256(blob));
  while (hash.ends_with('=')) hash.pop_back();
  return "SHA256:" + hash;
}

std::string_view take_word(std::string_view& line) {
  const auto end = std::min(line.find_first_of(" \t"), line.size());
  const auto word = line.substr(0, end);
  line = trim(line.substr(end));
  return word;
}

Result<SshKey> read_line(std::string_view line) {
  const auto type = take_word(line);
  const auto blob = base64_decode(take_word(line));
  if (!blob) return fail("expected TYPE BASE64 COMMENT, as in a .pub file");
  const auto parsed = parse(*blob);
  if (!parsed) return fail(parsed.error());
  if (parsed->type != type) return fail("the line says " + quoted_if_needed(type) + ", the key another type");
  return SshKey{*blob, fingerprint(*blob), std::string(line)};
}

}  // namespace

Result<std::vector<SshKey>> read_ssh_keys(std::string_view text) {
  std::vector<SshKey> keys;
  for (int number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    const auto line = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#') continue;
    if (line.find("PRIVATE KEY") != line.npos)
      return fail("this is a private key; the public one is in the file of that name with .pub");
    auto key = read_line(line);
    if (!key) return fail("line " + std::to_string(number) + ": " + key.error().message());
    keys.push_back(std::move(*key));
  }
  if (keys.empty()) return fail("there is no public key in it");
  return keys;
}

bool is_signed_by_ssh_key(std::string_view blob, std::string_view text, std::string_view signature) {
  const auto parsed = parse(blob);
  const auto algorithm = take(signature);
  const auto inner = take(signature);
  if (!parsed || !algorithm || !inner || !signature.empty()) return false;
  if (parsed->type == "ssh-rsa") {
    if (*algorithm == "rsa-sha2-256") return verify(parsed->key, "SHA256", text, *inner);
    return *algorithm == "rsa-sha2-512" && verify(parsed->key, "SHA512", text, *inner);
  }
  if (*algorithm != parsed->type) return false;
  if (!parsed->curve) return verify(parsed->key, "", text, *inner);
  std::string_view numbers = *inner;
  const auto r = take(numbers);
  const auto s = take(numbers);
  return r && s && numbers.empty() && verify(parsed->key, parsed->curve->hash, text, ecdsa_der(*r, *s));
}

}  // namespace cnspec::platform
