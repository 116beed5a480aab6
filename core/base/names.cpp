#include "base/names.hpp"

#include <algorithm>
#include <cstddef>

#include "base/semver.hpp"

namespace cnspec {
namespace {

constexpr std::size_t kMaxName = 128;
constexpr std::size_t kMaxVersion = 64;
constexpr std::size_t kMaxPlatformPart = 32;

bool lower(char c) { return c >= 'a' && c <= 'z'; }
bool digit(char c) { return c >= '0' && c <= '9'; }

bool made_of_letters_digits_and(std::string_view text, std::string_view extra) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return lower(c) || (c >= 'A' && c <= 'Z') || digit(c) || extra.find(c) != extra.npos;
  });
}

bool is_platform_part(std::string_view text) {
  return !text.empty() && text.size() <= kMaxPlatformPart &&
         std::all_of(text.begin(), text.end(), [](char c) { return lower(c) || digit(c); });
}

}  // namespace

bool is_provider_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxName && lower(text.front()) &&
         made_of_letters_digits_and(text, "-");
}

bool is_provider_version(std::string_view text) {
  return !text.empty() && text.size() <= kMaxVersion && digit(text.front()) &&
         made_of_letters_digits_and(text, ".-+") && text.find("..") == text.npos &&
         compare_versions(text, text).has_value();
}

bool is_platform_name(std::string_view text) {
  const auto slash = text.find('/');
  return slash != text.npos && is_platform_part(text.substr(0, slash)) &&
         is_platform_part(text.substr(slash + 1));
}

bool is_sha256(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == text.npos;
}

}  // namespace cnspec
