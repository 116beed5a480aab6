// providers.lock: which version of which provider a machine runs, and by which hashes they are known, for
// every platform that shares the file.
//
//   {"version": 1, "providers": {"aws": {"version": "13.1.0", "platforms": {
//     "linux/amd64": {"package": "<SHA-256 of the .tar.xz>", "library": "<SHA-256 of the NAME.so in it>"}}}}}
//
// What it names is installed and loaded as it says or not at all; what it does not name is none of its
// business. What is part of the program (bundled) is pinned by being so.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace cnspec::provider {

inline constexpr char kLockfileName[] = "providers.lock";

struct LockedFiles {
  std::string package, library;  // SHA-256 in lower-case hex
};
struct LockedProvider {
  std::string version;
  std::map<std::string, LockedFiles> platforms;  // by "linux/amd64"
};
struct Lockfile {
  std::filesystem::path path;  // where it was read from, for messages
  std::map<std::string, LockedProvider> providers;

  const LockedProvider* find(std::string_view name) const;  // null: not named
};

// kConfig, with the file's name, for what is no lock file.
Result<Lockfile> parse_lockfile(std::string_view text, const std::filesystem::path& path);
// Nothing when there is no such file. kConfig as well for one that others may write, as with providers: it
// says what may run. Blocks.
Result<std::optional<Lockfile>> read_lockfile(const std::filesystem::path& path);
std::string to_text(const Lockfile& lock);

// Whether the lock allows this package, or this library, of the provider to run or be installed here; an
// error says what is pinned and what was found. A provider that the lock does not name is allowed.
Result<void> allowed_version(const Lockfile& lock, const std::string& name, const std::string& version);
// `file` is what the library is called, without its .so: by that its hash is looked up.
Result<void> allowed_name(const Lockfile& lock, const std::string& name, const std::string& file);
Result<void> allowed_library(const Lockfile& lock, const std::string& name, const std::string& sha256);

}  // namespace cnspec::provider
