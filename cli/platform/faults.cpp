#include "faults.hpp"

#include <array>
#include <charconv>
#include <utility>

#include "base/text.hpp"
#include "service.hpp"

namespace cnspec::platform {
namespace {

constexpr std::string_view kLatest = "latest.json";

constexpr std::array<std::pair<std::string_view, Failure::Kind>, 3> kSpecialFailures = {
    {{"html", Failure::Kind::kHtml},
     {"garbage", Failure::Kind::kGarbage},
     {"hangup", Failure::Kind::kHangup}}};

auto wrong(std::string message) { return fail(std::move(message), ErrorKind::kUsage); }

struct Assignment {
  std::string method;
  std::string_view value;
};

Result<Assignment> split(std::string_view text, const char* shape) {
  const auto equals = text.find('=');
  if (equals == text.npos || equals == 0 || equals + 1 == text.size()) {
    return wrong("\"" + std::string(text) + "\" is not of the form " + shape);
  }
  std::string method(text.substr(0, equals));
  if (method.front() == '/') method.erase(0, 1);
  std::vector<std::string> known = Service::names();
  known.insert(known.end(), {std::string(kLatest), "*"});
  for (const std::string& name : known) {
    if (name == method) return Assignment{method, text.substr(equals + 1)};
  }
  const std::string near = closest(method, known);
  Error error("there is no method \"" + method + "\"; there are " + join(known, ", "), ErrorKind::kUsage);
  return near.empty() ? fail(std::move(error)) : fail(std::move(error).hint("did you mean " + near + "?"));
}

template <class T>
std::optional<T> find(const std::map<std::string, T>& map, const std::string& method) {
  auto found = map.find(method);
  const bool is_latest = method.size() > kLatest.size() && method.ends_with(kLatest);
  if (found == map.end() && is_latest) found = map.find(std::string(kLatest));
  if (found == map.end()) found = map.find("*");
  if (found == map.end()) return std::nullopt;
  return found->second;
}

}  // namespace

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, std::int64_t>, 4> kUnits = {
      {{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}}};
  constexpr std::int64_t kMost = 100LL * 366 * 24 * 3'600'000;  // a hundred years
  const auto refuse = [&] {
    return wrong("\"" + std::string(text) + "\" is no duration; write it like 500ms, 2s, 1h30m or -10m");
  };
  std::string_view rest = text;
  const bool negative = !rest.empty() && rest.front() == '-';
  if (negative) rest.remove_prefix(1);
  if (rest == "0") return std::chrono::milliseconds(0);
  if (rest.empty()) return refuse();
  std::int64_t total = 0;
  while (!rest.empty()) {
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (error != std::errc()) return refuse();
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    const std::string_view unit = rest.substr(0, rest.find_first_of("0123456789"));
    std::int64_t scale = 0;
    for (const auto& [name, milliseconds] : kUnits) {
      if (name == unit) scale = milliseconds;
    }
    if (scale == 0) return refuse();
    rest.remove_prefix(unit.size());
    total += number * scale;
    if (total > kMost)
      return wrong("the duration \"" + std::string(text) + "\" is longer than a hundred years");
  }
  return std::chrono::milliseconds(negative ? -total : total);
}

Result<void> Faults::add_delay(std::string_view text) {
  const auto assignment = split(text, "METHOD=DURATION");
  if (!assignment) return fail(assignment.error());
  const auto delay = parse_duration(assignment->value);
  if (!delay) return fail(delay.error());
  if (delay->count() < 0) return wrong("a delay cannot be negative: \"" + std::string(text) + "\"");
  delays_[assignment->method] = *delay;
  return {};
}

Result<void> Faults::add_failure(std::string_view text) {
  const auto assignment = split(text, "METHOD=CODE");
  if (!assignment) return fail(assignment.error());
  for (const auto& [name, kind] : kSpecialFailures) {
    if (assignment->value == name) {
      failures_[assignment->method] = {kind, Code::kUnknown};
      return {};
    }
  }
  const auto code = code_named(assignment->value);
  if (!code || *code == Code::kOk) {
    return wrong(
        "\"" + std::string(assignment->value) +
        "\" is no code to fail with; use a gRPC name such as Unavailable or Unauthenticated, or html, "
        "garbage or hangup");
  }
  failures_[assignment->method] = {Failure::Kind::kCode, *code};
  return {};
}

std::optional<std::chrono::milliseconds> Faults::delay_of(const std::string& method) const {
  return find(delays_, method);
}

std::optional<Failure> Faults::failure_of(const std::string& method) const { return find(failures_, method); }

}  // namespace cnspec::platform
