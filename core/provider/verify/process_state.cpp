#include "provider/verify/process_state.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <clocale>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <set>
#include <system_error>

#include "base/text.hpp"

namespace cnspec::provider::checks {

ProcessState ProcessState::now() {
  ProcessState out{};
  std::error_code failed;
  out.folder = std::filesystem::current_path(failed).string();
  out.mask = ::umask(0);
  ::umask(out.mask);
  for (std::size_t signal = 1; signal < out.handlers.size(); ++signal) {
    struct sigaction action {};
    if (::sigaction(static_cast<int>(signal), nullptr, &action) == 0)
      out.handlers[signal] = reinterpret_cast<const void*>(action.sa_handler);
  }
  if (const char* locale = std::setlocale(LC_ALL, nullptr)) out.locale = locale;
  for (char** variable = environ; variable && *variable; ++variable) out.environment.emplace_back(*variable);
  std::ranges::sort(out.environment);
  return out;
}

std::vector<std::string> changes(const ProcessState& before, const ProcessState& after) {
  std::vector<std::string> out;
  if (before.folder != after.folder) out.emplace_back("its working folder");
  if (before.mask != after.mask) out.emplace_back("its umask");
  if (before.locale != after.locale) out.emplace_back("its locale");
  std::vector<std::string> differ;
  std::ranges::set_symmetric_difference(before.environment, after.environment, std::back_inserter(differ));
  std::set<std::string> names;
  for (const std::string& variable : differ) names.insert(printable(variable.substr(0, variable.find('='))));
  for (const std::string& name : names) out.push_back("its variable " + name);
  for (std::size_t signal = 1; signal < after.handlers.size(); ++signal) {
    if (before.handlers[signal] == after.handlers[signal]) continue;
    const char* name = ::sigabbrev_np(static_cast<int>(signal));
    out.push_back(std::string("what it does on SIG") + (name ? name : "?"));
  }
  return out;
}

}  // namespace cnspec::provider::checks
