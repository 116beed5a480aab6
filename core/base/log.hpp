// Diagnostics, on standard error. Never a secret.
#pragma once

#include <string>
#include <string_view>

namespace cnspec::log {

enum class Level { kTrace, kDebug, kInfo, kWarn, kError };

// Before the first line, from the main thread. Lines below `level` are dropped; `json` writes one object a
// line.
void configure(Level level, bool json);

// Called before each line is written, by any thread: takes away what else stands on the terminal's line.
void before_each_line(void (*clear)());

// From now on every line of whatever level is kept as well, for recorded(). From the main thread.
void record();
std::string recorded();

bool enabled(Level level);  // also true for what is recorded
bool is_json();

// Any thread. `message` is one line; `hint`, how to mend it, is a field or a line of its own.
void write(Level level, std::string_view message, std::string_view hint = {});

inline void debug(std::string_view message) { write(Level::kDebug, message); }
inline void info(std::string_view message) { write(Level::kInfo, message); }
inline void warn(std::string_view message) { write(Level::kWarn, message); }
inline void error(std::string_view message) { write(Level::kError, message); }

}  // namespace cnspec::log
