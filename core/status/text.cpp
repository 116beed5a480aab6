// The report that operators know from the documentation: markers, labels, tabs and order are a contract.
#include "base/text.hpp"
#include "base/url.hpp"
#include "base/version.hpp"
#include "status/status.hpp"

namespace cnspec::status {
namespace {

using terminal::Marker;

class Report {
 public:
  explicit Report(const terminal::Style& style) : style_(style) {}

  void info(std::string_view line) { add(Marker::kInfo, line); }
  void warn(std::string_view line) { add(Marker::kWarning, line); }
  void fail(std::string_view line) { add(Marker::kError, line); }
  // `label` has its colon and tabs.
  void value(std::string_view label, const std::string& value) {
    info(std::string(label) + printable(value));
  }
  void failed(std::string_view what, const Error& error) {
    fail(std::string(what) + " error=" + quoted_if_needed(error.message()));
  }

  std::string text;

 private:
  void add(Marker marker, std::string_view line) {
    text += marked(marker, style_) + " ";
    text += line;
    text += "\n";
  }
  const terminal::Style style_;
};

constexpr char kNotAuthenticated[] =
    "didn't successfully authenticate with Mondoo Platform. Please re-authenticate with Mondoo Platform. To "
    "learn how, "
    "read https://mondoo.com/docs/cnspec/cnspec-adv-install/registration/.";

void machine(Report& report, const Status& s) {
  if (!s.machine) {
    const Error* error = s.error_of("local");
    report.warn("could not determine client platform information" +
                (error ? " error=" + quoted_if_needed(error->message()) : ""));
    return;
  }
  report.value("Platform:\t\t", s.machine->name);
  report.value("Version:\t\t", s.machine->version);
  report.value("Hostname:\t\t", s.machine->hostname);
  report.value("IP:\t\t\t", s.machine->ip);
}

void versions(Report& report, const Status& s) {
  report.value("Time:\t\t\t", rfc3339_local(s.now));
  report.value("Version:\t\t", std::string(kVersion) + " (API Version: " + kApiVersion + ")");
  if (s.latest_version) report.value("Latest Version:\t", *s.latest_version);
  if (s.newer_version_available()) report.warn("A newer version is available");
}

void providers(Report& report, const Status& s) {
  if (const Error* error = s.error_of("latest-providers")) {
    report.warn("failed to get provider info error=" + quoted_if_needed(error->message()));
  }
  std::vector<std::string> names, outdated;
  for (const auto& found : s.providers->active) {
    names.push_back(found.manifest.name);
    if (s.outdated(found)) outdated.push_back(found.manifest.name);
  }
  report.value("Installed Providers:\t", join(names, " | "));
  if (!outdated.empty()) report.value("Outdated Providers:\t", join(outdated, " | "));
  for (const auto& refused : s.providers->refused) {
    report.warn("provider refused: " + printable(refused.path.string()) + ": " + refused.reason.message());
  }
}

void platform(Report& report, const Status& s) {
  report.value("API ConnectionConfig:\t", shown_url(s.endpoint));
  report.value("API Status:\t\t", s.health ? s.health->status : "UNKNOWN");
  report.value("API Time:\t\t", s.health ? s.health->time : "unknown");
  report.value("API Version:\t\t", s.health ? s.health->api_version : "unknown");
  if (s.api_version_differs()) report.warn("API versions do not match, please update the client");
}

const char* what_failed(State state) {
  if (state == State::kRejected) return "could not connect to mondoo platform";  // as documented
  if (state == State::kUnusable) return "the configuration cannot be used";
  return "could not ask mondoo platform whether it accepts this client";
}

void registration(Report& report, const Status& s) {
  if (!s.registered) {
    report.fail("client is not registered");
    const std::string where = s.source.path.empty() ? s.source.label : s.source.path.string();
    report.fail("The Mondoo Platform credentials provided at " + printable(where) + " " + kNotAuthenticated);
    return;
  }
  report.value("Owner:\t\t", s.owner);
  report.value("Client:\t\t", s.client.empty() ? "no managed client" : s.client);
  report.value("Service Account:      ", s.service_account);
  report.info("client is registered");
  if (s.authenticated) report.info("client authenticated successfully");
  if (const Error* error = s.error_of("ping")) report.failed(what_failed(s.state()), *error);
}

}  // namespace

ConfigLine config_line(const config::Source& source) {
  switch (source.kind) {
    case config::Source::Kind::kFile:
      return {false, "loaded configuration from " + printable(source.path.string()) + " using source " +
                         source.label};
    case config::Source::Kind::kEnvironment:
      return {false, "loaded configuration from environment using source " + source.label};
    case config::Source::Kind::kNone: break;
  }
  if (source.label == "--config") {
    return {true, "could not load configuration file " + printable(source.path.string())};
  }
  return {false, "no Mondoo configuration file provided, using defaults"};
}

std::string render_text(const Status& s, const terminal::Style& style) {
  Report report(style);
  if (const Error* error = s.error_of("configuration")) {
    report.fail(printable(error->message()));
    return report.text;
  }
  const ConfigLine line = config_line(s.source);
  line.warning ? report.warn(line.text) : report.info(line.text);
  if (const Error* error = s.error_of("health")) report.failed("could not check upstream health", *error);
  if (const Error* error = s.error_of("latest-version")) {
    report.warn("Failed to get latest version error=" + quoted_if_needed(error->message()));
  }
  machine(report, s);
  versions(report, s);
  providers(report, s);
  platform(report, s);
  registration(report, s);
  if (s.round_trip) report.warn("detected very long round-trip times: " + duration_text(*s.round_trip));
  if (s.clock_unreadable()) report.warn("cannot run clock skew check");
  if (s.clock_skew) report.warn("possible clock skew detected: " + duration_text(*s.clock_skew));
  return report.text;
}

}  // namespace cnspec::status
