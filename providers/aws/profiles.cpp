#include "profiles.hpp"

#include <cnspec/provider.hpp>

#include "shared/text.hpp"

namespace cnspec::aws {
namespace {

using providers::env;
using providers::quoted;
using providers::trimmed;

std::string path_of(const char* variable, const char* name) {
  std::string path = env(variable).value_or("~/.aws/" + std::string(name));
  // The shell does not expand a tilde within quotes, and the AWS tools do.
  if (path.starts_with("~/")) path.replace(0, 1, env("HOME").value_or(""));
  return path;
}

// The profile that a header's inside names: "default", "profile NAME" in the config file, NAME in the
// credentials file. Empty for sections of other kinds.
std::string profile_of(std::string_view inside, bool is_config) {
  std::string_view name = trimmed(inside);
  const auto blank = name.find_first_of(" \t");
  if (is_config && name != "default") {
    if (blank == std::string_view::npos || name.substr(0, blank) != "profile") return {};
    name = trimmed(name.substr(blank));
  }
  if (name.size() >= 2 && (name.front() == '"' || name.front() == '\'') && name.back() == name.front()) {
    name = name.substr(1, name.size() - 2);
  }
  return std::string(name);
}

// A comment in the line of a value begins with a blank, since keys and paths may hold '#'.
std::string_view without_comment(std::string_view value) {
  for (const std::string_view mark : {" #", " ;", "\t#", "\t;"}) value = value.substr(0, value.find(mark));
  return trimmed(value);
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace

std::string Profile::get(std::string_view key) const {
  const auto it = settings.find(key);
  return it == settings.end() ? std::string() : it->second;
}

Profiles Profiles::load() {
  Profiles profiles;
  profiles.read(path_of("AWS_CONFIG_FILE", "config"), "the AWS configuration file", true);
  profiles.read(path_of("AWS_SHARED_CREDENTIALS_FILE", "credentials"), "the AWS credentials file", false);
  return profiles;
}

void Profiles::read(const std::string& path, const std::string& what, bool is_config) {
  const auto text = providers::read_optional(path, what);
  files_ += (files_.empty() ? "" : " and ") + path + (text ? "" : " (which does not exist)");
  if (!text) return;

  std::string_view rest = *text;
  if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);
  Profile* profile = nullptr;
  bool in_section = false;
  bool in_setting = false;
  std::size_t indent = 0;  // of the setting before; what is indented deeper belongs to it
  for (int number = 1; !rest.empty(); ++number) {
    const auto end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const auto fail = [&](const std::string& why) {
      throw sdk::Error(CNSPEC_FAILED, path + ':' + std::to_string(number) + ": " + why);
    };

    const std::string_view content = trimmed(line);
    if (content.empty() || content.front() == '#' || content.front() == ';') continue;
    const std::size_t depth = line.find_first_not_of(" \t");
    if (in_setting && depth > indent) continue;
    if (content.front() == '[') {
      const auto close = content.find(']');
      if (close == std::string_view::npos) fail("the section's closing bracket is missing");
      const std::string name = profile_of(content.substr(1, close - 1), is_config);
      profile = name.empty() ? nullptr : &profiles_[name];
      if (profile) profile->name = name;
      in_section = true;
      in_setting = false;
      continue;
    }
    const auto equals = content.find('=');
    if (equals == std::string_view::npos || equals == 0) fail("expected \"name = value\" or \"[section]\"");
    if (!in_section) fail("a setting before the first [section]");
    in_setting = true;
    indent = depth;
    if (profile) {
      profile->settings[lower(trimmed(content.substr(0, equals)))] =
          without_comment(content.substr(equals + 1));
    }
  }
}

const Profile* Profiles::find(std::string_view name) const {
  const auto it = profiles_.find(name);
  return it == profiles_.end() ? nullptr : &it->second;
}

void Profiles::missing(std::string_view name, const std::string& who) const {
  std::vector<std::string> names;
  for (const auto& [known, profile] : profiles_) names.push_back(known);
  std::string message = "the AWS profile " + quoted(name) + who + " is not in " + files_;
  if (const auto meant = providers::nearest(name, names)) message += "; did you mean " + quoted(*meant) + "?";
  throw sdk::Error(CNSPEC_NOT_FOUND, message);
}

}  // namespace cnspec::aws
