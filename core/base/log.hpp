// Diagnostics, on standard error. Never a secret.
#pragma once

#include <string>
#include <string_view>

namespace cnspec::log {

enum class Level { kTrace, kDebug, kInfo, kWarn, kError };

// Before the first line, from the main thread. Lines below `level` are dropped; `json` writes one object a
// line.
void configure(Level level, bool json);

bool enabled(Level level);

// Any thread. `message` is one line.
void write(Level level, std::string_view message);

inline void debug(std::string_view message) {
  write(Level::kDebug, message);
}
inline void info(std::string_view message) {
  write(Level::kInfo, message);
}
inline void warn(std::string_view message) {
  write(Level::kWarn, message);
}
inline void error(std::string_view message) {
  write(Level::kError, message);
}

}  // namespace cnspec::log
