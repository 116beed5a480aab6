#include "base/semver.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

namespace cnspec {
namespace {

struct Version {
  std::array<std::uint64_t, 3> numbers{};
  std::string_view pre;  // dot-separated; empty: a release
};

bool parse_number(std::string_view text, std::uint64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

std::optional<Version> parse(std::string_view text) {
  if (text.starts_with('v') || text.starts_with('V')) text.remove_prefix(1);
  text = text.substr(0, text.find('+'));
  Version out;
  if (const auto dash = text.find('-'); dash != std::string_view::npos) {
    out.pre = text.substr(dash + 1);
    text = text.substr(0, dash);
    if (out.pre.empty()) return std::nullopt;
  }
  for (std::size_t i = 0;; ++i) {
    const auto dot = text.find('.');
    if (i == out.numbers.size() || !parse_number(text.substr(0, dot), out.numbers[i])) return std::nullopt;
    if (dot == std::string_view::npos) return out;
    text.remove_prefix(dot + 1);
  }
}

std::strong_ordering compare_pre(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return b.size() <=> a.size();  // a release comes after its pre-releases
  while (true) {
    const auto a_end = std::min(a.find('.'), a.size());
    const auto b_end = std::min(b.find('.'), b.size());
    const auto a_part = a.substr(0, a_end), b_part = b.substr(0, b_end);
    std::uint64_t a_number = 0, b_number = 0;
    const bool a_numeric = parse_number(a_part, a_number), b_numeric = parse_number(b_part, b_number);
    if (a_numeric && b_numeric) {
      if (a_number != b_number) return a_number <=> b_number;
    } else if (a_numeric != b_numeric) {
      return a_numeric ? std::strong_ordering::less : std::strong_ordering::greater;
    } else if (const int order = a_part.compare(b_part); order != 0) {
      return order <=> 0;
    }
    if (a_end == a.size() || b_end == b.size()) return (a.size() - a_end) <=> (b.size() - b_end);
    a.remove_prefix(a_end + 1);
    b.remove_prefix(b_end + 1);
  }
}

}  // namespace

std::optional<std::strong_ordering> compare_versions(std::string_view a, std::string_view b) {
  const auto left = parse(a), right = parse(b);
  if (!left || !right) return std::nullopt;
  if (left->numbers != right->numbers) return left->numbers <=> right->numbers;
  return compare_pre(left->pre, right->pre);
}

}  // namespace cnspec
