// What `cnspec status` knows, as one value: gathered all at once, then rendered as text, JSON or YAML.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/terminal.hpp"
#include "base/time.hpp"
#include "config/config.hpp"
#include "provider/discovery.hpp"
#include "provider/open.hpp"

namespace cnspec::runtime {
class Runtime;
}

namespace cnspec::status {

// This machine, as the provider of the connector "local" identifies it.
struct Machine {
  std::string name, title, version, build, arch, kind, runtime, hostname, ip;
  std::vector<std::string> family, ids;
};

// One thing that was asked of somebody, for the list of checks.
struct Check {
  // "configuration", where it stops all others; else "local", "health", "credentials", "ping",
  // "latest-version", "latest-providers".
  std::string name;
  std::chrono::milliseconds took{};
  std::optional<Error> error;
  std::string request_id;  // by which the other side's log knows it; empty where it was not asked
};

struct Health {
  std::string status, time, api_version;
};

// What is known of this machine's registration. Each is another thing to mend.
enum class State {
  kRegistered,     // and accepted
  kNotRegistered,  // nothing to prove it with
  kRejected,       // the platform answered no
  kUnreachable,    // the platform could not be asked, or gave no answer that makes sense
  kUnusable,       // the configuration cannot be used, or its credentials are none
};
const char* to_string(State state);

struct Status {
  config::Source source;
  std::string endpoint, updates_url, providers_url;
  std::string owner, client, service_account;  // MRNs; empty: none
  bool registered = false;                     // as the configuration has it
  bool authenticated = false;                  // as the platform has it

  Clock::time_point now;
  std::optional<Machine> machine;
  std::optional<Health> health;
  std::vector<std::string> features;  // of the client, by name
  std::optional<std::string> latest_version;
  std::map<std::string, std::string> latest_providers;  // versions, by name
  std::optional<std::chrono::nanoseconds>
      clock_skew;  // the platform's clock minus ours, where they differ too much
  std::optional<std::chrono::nanoseconds> round_trip;    // where it took too long
  const provider::Inventory* providers = nullptr;        // the runtime's; null: not looked for
  const provider::IsolationPolicy* isolation = nullptr;  // the runtime's, with the providers
  std::vector<Check> checks;                             // in a fixed order

  // The error of the check of that name; null when it went well or was not made.
  const Error* error_of(std::string_view check) const;
  State state() const;
  bool newer_version_available() const;
  bool api_version_differs() const;
  bool clock_unreadable() const;  // the platform told a time, but in no form that we know
  bool outdated(const provider::Found& provider) const;
};

// Everything is asked at the same time, inside the runtime's deadline. What fails is in `checks`.
Status gather(runtime::Runtime& runtime);

// What is known where the configuration cannot be used: where it is, and why.
Status unusable(config::Source source, Error why);

std::string render_text(const Status& status, const terminal::Style& style);
std::string render_json(const Status& status);
std::string render_yaml(const Status& status);

// Of the checks that failed: how to mend it, one line each, for standard error: the report itself is a
// contract.
std::vector<std::string> notes(const Status& status);

// 0 registered and authenticated; 78 when the configuration cannot be used; else 1.
int exit_code(const Status& status);

// Which configuration is in force, as every command says it; without marker.
struct ConfigLine {
  bool warning;
  std::string text;
};
ConfigLine config_line(const config::Source& source);

}  // namespace cnspec::status
