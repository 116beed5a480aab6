// The one way to a provider that runs: in this process or in one of its own, as the policy says. No caller
// knows which it holds.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "provider/provider.hpp"

namespace cnspec::provider {

// kAuto: what is part of the program runs in its process, all else in one of its own.
enum class Isolation { kAuto, kProcess, kNone };

// "auto", "process" or "none"; kUsage names them.
Result<Isolation> isolation_named(std::string_view word);

// By the name of a provider; "*" stands for all others.
using IsolationRules = std::map<std::string, Isolation, std::less<>>;

struct IsolationPolicy {
  // The configuration's and the environment's: they only tighten, so kNone there frees nobody else's
  // provider.
  IsolationRules configured;
  // --isolation: goes before everything else, and may loosen.
  IsolationRules flags;
  // cnspec-provider-host; empty: the one beside the running program.
  std::filesystem::path host_program;
  // Files of the program itself that no manifest makes readable, such as the configuration.
  std::vector<std::filesystem::path> secrets;

  // Whether this provider runs in a process of its own.
  bool isolates(const Found& found) const;
  // Whether the configuration asked in vain for less.
  bool ignores_none_for(const Found& found) const;
};

// load_in_process or start_isolated.
Result<std::unique_ptr<Provider>> open_provider(const Found& found, const IsolationPolicy& policy,
                                                Services services, const Limits& limits);

}  // namespace cnspec::provider
