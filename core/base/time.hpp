// Points in time and durations as the reports and the wire write them.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace cnspec {

using Clock = std::chrono::system_clock;

std::string rfc3339_local(Clock::time_point when);  // 2024-03-23T12:07:41-08:00
std::string rfc3339_utc(Clock::time_point when);    // 2024-03-23T20:07:41Z
std::string rfc1123(Clock::time_point when);        // Sat, 23 Mar 2024 20:07:41 UTC

// Fractions of a second and any offset are understood; nothing for what is no such time, or not between 1970
// and 2250.
std::optional<Clock::time_point> parse_rfc3339(std::string_view text);

std::string duration_text(std::chrono::nanoseconds duration);  // 72h0m6.277868s, -1m3s, 250ms

// "90s", "1h30m", "250ms", "-10m"; a number without a unit is nothing.
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text);

}  // namespace cnspec
