// What a stream can show: asked of the terminal and of the variables that users set for all programs.
#pragma once

#include <string>

namespace cnspec::terminal {

// A terminal that understands escape sequences; TERM=dumb does not.
bool is_terminal(int fd);

// NO_COLOR says no, CLICOLOR_FORCE yes, in this order; else a terminal gets colours.
bool use_color(int fd);

// Only terminals of users whose locale is not UTF-8: what is written to files and pipes does not depend on
// who writes.
bool use_ascii(int fd);

int columns(int fd);  // 80 where nobody knows

// What a line begins with: "→", "!", "x", coloured where colours are shown, and "->" where nothing else can
// be.
struct Style {
  bool color = false;
  bool ascii = false;
};
inline Style style_of(int fd) { return {use_color(fd), use_ascii(fd)}; }
enum class Marker { kInfo, kWarning, kError, kDebug, kTrace };
std::string marked(Marker marker, const Style& style);

}  // namespace cnspec::terminal
