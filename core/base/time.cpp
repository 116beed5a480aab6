#include "base/time.hpp"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace cnspec {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

std::time_t whole_seconds(Clock::time_point when) {
  return std::chrono::floor<seconds>(when.time_since_epoch()).count();
}

std::string format(const std::tm& parts, const char* pattern) {
  char text[64];
  return {text, std::strftime(text, sizeof text, pattern, &parts)};
}

std::tm utc(Clock::time_point when) {
  std::tm parts{};
  const std::time_t t = whole_seconds(when);
  gmtime_r(&t, &parts);
  return parts;
}

// Takes `count` digits off the front.
bool take_number(std::string_view& text, std::size_t count, int& out) {
  const auto digits = text.substr(0, count);
  if (digits.size() < count || digits.find_first_not_of("0123456789") != digits.npos) return false;
  std::from_chars(digits.data(), digits.data() + count, out);
  text.remove_prefix(count);
  return true;
}

bool take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

std::string trimmed_decimal(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6f", value);
  std::string out = text;
  while (out.back() == '0') out.pop_back();
  if (out.back() == '.') out.pop_back();
  return out;
}

}  // namespace

std::string rfc3339_local(Clock::time_point when) {
  std::tm parts{};
  const std::time_t t = whole_seconds(when);
  localtime_r(&t, &parts);
  if (parts.tm_gmtoff == 0) return rfc3339_utc(when);
  const long offset = std::labs(parts.tm_gmtoff) / 60;
  char zone[48];
  std::snprintf(zone, sizeof zone, "%c%02ld:%02ld", parts.tm_gmtoff < 0 ? '-' : '+', offset / 60,
                offset % 60);
  return format(parts, "%Y-%m-%dT%H:%M:%S") + zone;
}

std::string rfc3339_utc(Clock::time_point when) { return format(utc(when), "%Y-%m-%dT%H:%M:%SZ"); }

std::string rfc1123(Clock::time_point when) { return format(utc(when), "%a, %d %b %Y %H:%M:%S UTC"); }

std::optional<Clock::time_point> parse_rfc3339(std::string_view text) {
  std::tm parts{};
  int year = 0, month = 0;
  if (!take_number(text, 4, year) || !take(text, "-") || !take_number(text, 2, month) || !take(text, "-") ||
      !take_number(text, 2, parts.tm_mday) || !take(text, "Tt ") || !take_number(text, 2, parts.tm_hour) ||
      !take(text, ":") || !take_number(text, 2, parts.tm_min) || !take(text, ":") ||
      !take_number(text, 2, parts.tm_sec)) {
    return std::nullopt;
  }
  const std::chrono::year_month_day day{std::chrono::year(year),
                                        std::chrono::month(static_cast<unsigned>(month)),
                                        std::chrono::day(static_cast<unsigned>(parts.tm_mday))};
  if (!day.ok() || parts.tm_hour > 23 || parts.tm_min > 59 || parts.tm_sec > 60) return std::nullopt;
  // Differences between such times fit in nanoseconds; what lies outside was read off no clock.
  if (year < 1970 || year > 2250) return std::nullopt;
  std::int64_t nanos = 0;
  if (take(text, ".")) {
    std::int64_t unit = 100'000'000;
    std::size_t digits = 0;
    for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits, unit /= 10) {
      nanos += (text[digits] - '0') * unit;
    }
    if (digits == 0) return std::nullopt;
    text.remove_prefix(digits);
  }
  int offset = 0;
  if (!take(text, "Zz")) {
    if (text.empty()) return std::nullopt;
    const int sign = text.front() == '-' ? -1 : 1;
    int hours = 0, minutes = 0;
    if (!take(text, "+-") || !take_number(text, 2, hours) || !take(text, ":") ||
        !take_number(text, 2, minutes) || hours > 23 || minutes > 59) {
      return std::nullopt;
    }
    offset = sign * (hours * 3600 + minutes * 60);
  }
  if (!text.empty()) return std::nullopt;
  parts.tm_year = year - 1900;
  parts.tm_mon = month - 1;
  const std::time_t t = timegm(&parts) - offset;
  return Clock::time_point(std::chrono::duration_cast<Clock::duration>(seconds(t) + nanoseconds(nanos)));
}

std::string duration_text(nanoseconds duration) {
  std::string out;
  if (duration.count() < 0) {
    out = "-";
    duration = -duration;
  }
  if (duration < seconds(1)) {
    return out + trimmed_decimal(static_cast<double>(duration.count()) / 1e6) + "ms";
  }
  const auto hours = std::chrono::duration_cast<std::chrono::hours>(duration);
  const auto minutes = std::chrono::duration_cast<std::chrono::minutes>(duration - hours);
  const double rest = static_cast<double>((duration - hours - minutes).count()) / 1e9;
  if (hours.count() > 0) out += std::to_string(hours.count()) + "h";
  if (hours.count() > 0 || minutes.count() > 0) out += std::to_string(minutes.count()) + "m";
  return out + trimmed_decimal(rest) + "s";
}

std::optional<nanoseconds> parse_duration(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  double total = 0;
  while (!text.empty()) {
    double number = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc() || number < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const auto unit = text.substr(0, text.find_first_of("0123456789."));
    const double scale = unit == "ns"   ? 1
                         : unit == "us" ? 1e3
                         : unit == "ms" ? 1e6
                         : unit == "s"  ? 1e9
                         : unit == "m"  ? 6e10
                         : unit == "h"  ? 3.6e12
                                        : 0;
    if (scale == 0) return std::nullopt;
    total += number * scale;
    text.remove_prefix(unit.size());
  }
  if (!std::isfinite(total) || total > 9e18) return std::nullopt;
  return nanoseconds(static_cast<std::int64_t>(negative ? -total : total));
}

}  // namespace cnspec
