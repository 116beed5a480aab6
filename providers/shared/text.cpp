#include "shared/text.hpp"

#include <openssl/crypto.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "shared/read_file.hpp"
#include "shared/web.hpp"

namespace cnspec::providers {
namespace {

constexpr std::size_t kMaxShown = 400;
constexpr std::size_t kMaxFile = 1 << 20;

// Edits (insert, remove, replace one character) that lead from one to the other.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0u);
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, replaced});
    }
  }
  return row.back();
}

void replace_all(std::string& text, const std::string& from) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + 3)) {
    text.replace(at, from.size(), "***");
  }
}

}  // namespace

std::string one_line(std::string_view text) {
  std::string out(trimmed(text).substr(0, kMaxShown));
  for (char& c : out) {
    if (c < ' ' || c > '~') c = c == '\n' || c == '\r' || c == '\t' ? ' ' : '?';
  }
  return trimmed(text).size() > kMaxShown ? out + "..." : out;
}

std::string quoted(std::string_view text) { return '"' + one_line(text) + '"'; }

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const auto first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::optional<std::string> nearest(std::string_view wanted, const std::vector<std::string>& candidates) {
  std::optional<std::string> best;
  std::size_t best_distance = 1 + wanted.size() / 3;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > 128 || wanted.size() > 128) continue;
    if (const std::size_t d = distance(wanted, candidate);
        d <= best_distance && (!best || d < best_distance)) {
      best = candidate;
      best_distance = d;
    }
  }
  return best;
}

std::optional<std::string> env(const char* name) {
  const char* value = std::getenv(name);
  if (!value || !*value) return std::nullopt;
  return std::string(value);
}

std::optional<std::string> read_optional(const std::string& path, const std::string& what) {
  if (path == "/dev/null") return "";  // how users say that there shall be none
  std::string text;
  bool complete = false;
  const int problem = read_up_to(path, kMaxFile, text, complete);
  if (problem == ENOENT || problem == ENOTDIR) return std::nullopt;
  if (problem == 0 && complete) return text;

  std::string why = problem == 0 ? "it is larger than 1 MiB" : std::strerror(problem);
  struct stat status {};
  if (problem == EINVAL && ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    why = std::string("it is ") + kind_of_file(status.st_mode);
  }
  throw sdk::Error(CNSPEC_FAILED, what + " " + quoted(path) + " cannot be read: " + why);
}

Secret& Secret::operator=(const Secret& other) {
  if (this == &other) return *this;
  OPENSSL_cleanse(text_.data(), text_.size());
  text_ = other.text_;
  return *this;
}

Secret::~Secret() { OPENSSL_cleanse(text_.data(), text_.size()); }

std::string without(std::string text, const std::vector<Secret>& secrets) {
  for (const Secret& secret : secrets) {
    // Shorter ones occur by chance, and hiding them would tell what they are.
    if (secret.reveal().size() < 4) continue;
    replace_all(text, secret.reveal());
    replace_all(text, percent_encode(secret.reveal()));
  }
  return text;
}

}  // namespace cnspec::providers
