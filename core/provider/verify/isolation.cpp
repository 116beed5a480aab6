// The same calls in this process and in one of its own, where it has nothing but what its manifest names.
#include <algorithm>
#include <map>
#include <set>

#include "base/text.hpp"
#include "provider/sandbox.hpp"
#include "provider/schema.hpp"
#include "provider/verify/check.hpp"

namespace cnspec::provider::checks {
namespace {

std::string shown(const Value* value) {
  if (!value) return "nothing";
  if (value->is_null()) return "null";
  if (value->is_error()) return "the error \"" + printable(value->text()) + '"';
  constexpr std::size_t kMost = 60;
  std::string text = to_text(*value);
  if (text.size() > kMost) text = text.substr(0, kMost) + "...";
  return spelled_type(*value) + " " + printable(text);
}

bool same(const Value* a, const Value* b) {
  if (!a || !b) return a == b;
  return a->type == b->type && to_text(*a) == to_text(*b);
}

using ById = std::map<std::pair<std::string, std::string>, const Row*>;
ById by_id(const std::vector<Row>& rows) {
  ById out;
  for (const Row& row : rows) out.emplace(std::pair(row.type, row.id), &row);
  return out;
}

const char kCapability[] =
    "Declare under capabilities in provider.yaml what it reaches: files, env, exec, and hosts by http.";

const char kSaidSo[] =
    "Users read that error. Where a capability would spare them it, declare that in provider.yaml.";
const char kUnlessSaid[] =
    "Declare under capabilities in provider.yaml what it reaches: files, env, exec, and hosts by http. Where "
    "that is not possible, send an error for the field.";

// What the sandbox said that it withheld, to go behind a difference that it may explain.
std::string refusals(Subject& subject) {
  const std::lock_guard lock(subject.mutex);
  std::set<std::string> out;
  for (const std::string& line : subject.log) {
    if (const auto at = line.find(kSandboxLine); at != std::string::npos) out.insert(line.substr(at));
  }
  return out.empty() ? "" : "; " + join({out.begin(), out.end()}, "; ");
}

// `again` is a second time in this process: what differs there changes by itself.
void compare(Subject& subject, const std::string& name, const Result<std::vector<Row>>& here,
             const Result<std::vector<Row>>& isolated, const Result<std::vector<Row>>& again) {
  if (!here || !again) return;  // "fetch" says so
  if (!isolated) {
    const std::string& hint = isolated.error().hint();
    return subject.out.failed("isolated: " + said(subject, isolated.error()) + "; it works in-process",
                              hint.empty() ? kCapability : hint);
  }
  const ById a = by_id(*here);
  const ById b = by_id(*isolated);
  const ById c = by_id(*again);
  const auto lacks = [](const ById& one, const ById& other) {
    return std::ranges::count_if(one, [&](const auto& e) { return !other.contains(e.first); });
  };
  if ((lacks(a, b) || lacks(b, a)) && !lacks(a, c) && !lacks(c, a)) {
    subject.out.failed("fetch " + name + ": " + count(a.size(), "row") + " in-process, " +
                           std::to_string(b.size()) + " isolated",
                       kCapability);
    return;
  }
  std::set<std::string> told;  // of the first row alone
  for (const auto& [key, row] : a) {
    const auto other = b.find(key);
    const auto third = c.find(key);
    if (other == b.end() || third == c.end()) continue;
    for (std::size_t i = 0; i < row->size(); ++i) {
      const std::string& field = row->name(i);
      const Value* isolated_value = other->second->find(field);
      if (same(&row->value(i), isolated_value) || !same(&row->value(i), third->second->find(field))) continue;
      const std::string what = "field \"" + field + "\" of " + name + " \"" + printable(key.second) +
                               "\": " + shown(&row->value(i)) + " in-process, " + shown(isolated_value) +
                               " isolated";
      // Whoever says that it could not be had misleads nobody.
      if (isolated_value && isolated_value->is_error() && !row->value(i).is_error()) {
        if (told.insert(field).second) subject.out.warning(what + refusals(subject), kSaidSo);
        continue;
      }
      subject.out.failed(what + refusals(subject), kUnlessSaid);
      return;  // one for each resource: others are like it
    }
  }
}

}  // namespace

void check_isolation(Subject& subject) {
  IsolationPolicy policy = subject.surroundings.isolation;
  policy.flags = {{subject.found.manifest.name, Isolation::kProcess}};
  subject.out.step("open (isolated)");
  auto isolated = open_provider(subject.found, policy, services_of(subject, true), limits_from_now(kCall));
  if (!isolated) {
    return subject.out.failed("isolated: " + said(subject, isolated.error()),
                              isolated.error().hint().empty() ? kCapability : isolated.error().hint());
  }
  const auto here = open_quietly(subject, true);
  if (!here) return;
  bool compared = false;
  for (const ConnectRequest& target : targets(subject)) {
    subject.out.step("connect " + target.connector);
    auto local = here->connect(target, limits_from_now(kCall));
    subject.out.step("connect " + target.connector + " (isolated)");
    auto remote = (*isolated)->connect(target, limits_from_now(kCall));
    if (!local && !remote) continue;
    compared = true;
    if (!remote || !local) {
      const Error& error = remote ? local.error() : remote.error();
      subject.out.failed((remote ? "in-process: " : "isolated: ") + said(subject, error) + "; it works " +
                             (remote ? "isolated" : "in-process"),
                         error.hint().empty() ? kCapability : error.hint());
      continue;
    }
    subject.out.step("identify");
    const auto a = (*local)->identify(limits_from_now(kCall));
    const auto c = (*local)->identify(limits_from_now(kCall));
    subject.out.step("identify (isolated)");
    const auto b = (*remote)->identify(limits_from_now(kCall));
    const auto one = [](const Result<Row>& row) -> Result<std::vector<Row>> {
      if (!row) return fail(row.error());
      return std::vector<Row>{*row};
    };
    compare(subject, "asset", one(a), one(b), one(c));
    if (!subject.request.target) continue;
    const Rows first = fetch_all(subject, **local, "");
    const Rows second = fetch_all(subject, **remote, " (isolated)");
    const Rows third = fetch_all(subject, **local, "");
    for (const auto& [name, rows] : first) compare(subject, name, rows, second.at(name), third.at(name));
  }
  if (!compared) {
    subject.out.note(std::string("only open was compared: ") + (subject.request.target
                                                                    ? "not connected, see \"behaviour\""
                                                                    : "nothing could be connected to"));
  }
  subject.out.step("close");
}

}  // namespace cnspec::provider::checks
