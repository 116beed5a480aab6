#include "base/terminal.hpp"

#include <strings.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace cnspec::terminal {
namespace {

const char* env(const char* name) {
  const char* value = std::getenv(name);
  return value && *value ? value : nullptr;
}

// As setlocale() chooses, without its cost.
bool utf8_locale() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    if (const char* value = env(name)) return ::strcasestr(value, "utf-8") || ::strcasestr(value, "utf8");
  }
  return false;
}

}  // namespace

bool is_terminal(int fd) {
  const char* term = env("TERM");
  return ::isatty(fd) == 1 && !(term && std::strcmp(term, "dumb") == 0);
}

bool use_color(int fd) {
  if (env("NO_COLOR")) return false;
  if (const char* force = env("CLICOLOR_FORCE"); force && std::strcmp(force, "0") != 0) return true;
  return is_terminal(fd);
}

bool use_ascii(int fd) { return ::isatty(fd) == 1 && !utf8_locale(); }

int columns(int fd) {
  winsize size{};
  return ::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string marked(Marker marker, const Style& style) {
  const char* color = "\033[38;5;78m";
  std::string text = style.ascii ? "->" : "→";
  switch (marker) {
    case Marker::kInfo: break;
    case Marker::kWarning:
      color = "\033[38;5;75m";
      text = "!";
      break;
    case Marker::kError:
      color = "\033[38;5;210m";
      text = "x";
      break;
    case Marker::kDebug:
      color = "\033[38;5;75m";
      text = "DBG";
      break;
    case Marker::kTrace:
      color = "\033[38;5;140m";
      text = "TRC";
      break;
  }
  return style.color ? color + text + "\033[0m" : text;
}

}  // namespace cnspec::terminal
