#include "support/secrets.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <deque>
#include <mutex>
#include <set>
#include <utility>

namespace cnspec::test {
namespace {

constexpr std::string_view kBase64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
constexpr std::string_view kBase64Url = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

// kSecretMark at each of the three places that it can have in base64, then in hexadecimal digits.
constexpr std::string_view kMarks[] = {kSecretMark, "aHVudGVyM", "h1bnRlcj", "odW50ZXIy", "68756e74657232"};
// PKCS#8 of P-384, P-256 and Ed25519: what their base64 begins with before anything of the key itself.
constexpr std::string_view kKeyBeginnings[] = {"MIG2AgEAMBAGByqGSM49", "MIGHAgEAMBMGByqGSM49",
                                               "MC4CAQAwBQYDK2Vw"};
constexpr std::string_view kPemBegin = "PRIVATE KEY-----";

// Shorter ones stand in harmless words, too.
constexpr std::size_t kShortest = 8;
// A digest in base64: no signature is shorter.
constexpr std::size_t kShortestSignature = 43;

struct Keys {
  std::mutex mutex;
  std::deque<std::string> lines;
};
Keys& keys() {
  static auto* const all = new Keys;  // for what ends after main()
  return *all;
}
constexpr std::size_t kMostKeyLines = 256;

std::size_t run_length(std::string_view text, std::size_t at, std::string_view of) {
  const auto end = text.find_first_not_of(of, std::min(at, text.size()));
  return std::min(end, text.size()) - std::min(at, text.size());
}

// Beyond the line that begins a key there has to be one: messages name that line.
std::size_t find_pem(std::string_view text) {
  for (std::size_t at = 0; (at = text.find(kPemBegin, at)) != text.npos;) {
    const std::size_t begin = at;
    at += kPemBegin.size();
    const auto body = text.find_first_not_of(" \t\r\n\\\"'|", at);
    if (body != text.npos && run_length(text, body, kBase64) >= 16) return begin;
  }
  return text.npos;
}

// Two JSON objects in base64url, which begin with "eyJ", and a signature.
std::size_t find_jwt(std::string_view text) {
  for (std::size_t at = 0; (at = text.find("eyJ", at)) != text.npos; ++at) {
    const std::size_t claims = at + run_length(text, at, kBase64Url) + 1;
    if (!text.substr(std::min(claims - 1, text.size())).starts_with(".eyJ")) continue;
    const std::size_t signature = claims + run_length(text, claims, kBase64Url) + 1;
    if (signature <= text.size() && text[signature - 1] == '.' &&
        run_length(text, signature, kBase64Url) >= kShortestSignature)
      return at;
  }
  return text.npos;
}

}  // namespace

std::optional<FoundSecret> find_secret(std::string_view text, const std::vector<std::string>& others) {
  const auto found = [&](const char* kind, std::size_t at) {
    const auto before = text.substr(0, at);
    return FoundSecret{kind, 1 + static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'))};
  };
  for (const std::string_view mark : kMarks) {
    if (const auto at = text.find(mark); at != text.npos) return found("a secret of the test", at);
  }
  if (const auto at = find_pem(text); at != text.npos) return found("a private key (PEM)", at);
  for (const std::string_view beginning : kKeyBeginnings) {
    if (const auto at = text.find(beginning); at != text.npos) return found("a private key (base64)", at);
  }
  if (const auto at = find_jwt(text); at != text.npos) return found("a signed token (JWT)", at);
  {
    const std::lock_guard lock(keys().mutex);
    for (const std::string& line : keys().lines) {
      if (const auto at = text.find(line); at != text.npos) return found("a line of a private key", at);
    }
  }
  for (const std::string& other : others) {
    if (const auto at = text.find(other); at != text.npos)
      return found("a secret that the program was given", at);
  }
  return std::nullopt;
}

std::vector<std::string> secrets_given(const std::vector<std::string>& argv,
                                       const std::map<std::string, std::optional<std::string>>& env) {
  static const std::set<std::string, std::less<>> options = {"--token", "-t", "--password"};
  static const std::set<std::string, std::less<>> variables = {
      "MONDOO_REGISTRATION_TOKEN",
      "MONDOO_CONFIG_BASE64",
      "MONDOO_PRIVATE_KEY",
      "MONDOO_TOKEN",
      "MONDOO_JWTTOKEN",
      "JWT_TOKEN",
      "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
      "IDENTITY_HEADER",
      "AWS_SECRET_ACCESS_KEY",
      "AWS_SESSION_TOKEN",
      "AZURE_CLIENT_SECRET",
  };
  std::vector<std::string> out;
  const auto add = [&](const std::string& value) {
    // What looks like an option is one whose value was forgotten.
    if (value.size() >= kShortest && !value.starts_with("--")) out.push_back(value);
  };
  for (std::size_t i = 0; i < argv.size(); ++i) {
    if (i > 0 && options.contains(argv[i - 1])) add(argv[i]);
    const auto equals = argv[i].find('=');
    if (equals != std::string::npos && options.contains(argv[i].substr(0, equals)))
      add(argv[i].substr(equals + 1));
  }
  for (const auto& [name, value] : env) {
    if (value && variables.contains(name)) add(*value);
  }
  return out;
}

void learn_key(std::string_view text) {
  const auto begin = text.find(kPemBegin);
  if (begin == text.npos) return;
  // What follows the first two lines is the public key, which stands in certificates as well.
  std::size_t at = begin + kPemBegin.size();
  for (int i = 0; i < 2; ++i) {
    at = text.find_first_not_of(" \r\n", at);
    if (at == text.npos) return;
    const std::string line(text.substr(at, run_length(text, at, kBase64)));
    at += line.size();
    if (line.size() < 32) return;
    const std::lock_guard lock(keys().mutex);
    auto& lines = keys().lines;
    if (std::find(lines.begin(), lines.end(), line) != lines.end()) continue;
    lines.push_back(line);
    if (lines.size() > kMostKeyLines) lines.pop_front();
  }
}

void expect_no_secret(std::string_view text, const std::string& where,
                      const std::vector<std::string>& others) {
  const auto found = find_secret(text, others);
  if (!found) return;
  const std::string message = "there is " + std::string(found->kind) + " in line " +
                              std::to_string(found->line) + " of " + where +
                              " (it is not repeated here; see tests/support/secrets.hpp)";
  if (testing::UnitTest::GetInstance()->current_test_suite()) {
    ADD_FAILURE() << message;
    return;
  }
  std::fprintf(stderr, "%s\n", message.c_str());
  ::_exit(1);
}

}  // namespace cnspec::test
