// Connecting and identifying, how it fails where it has to, and what else that touches.
#include "base/text.hpp"
#include "provider/verify/check.hpp"
#include "provider/verify/process_state.hpp"

namespace cnspec::provider::checks {
namespace {

void check_connection(Subject& subject, Connection& connection) {
  subject.out.step("identify");
  const auto asset = connection.identify(limits_from_now(kCall));
  if (!asset) {
    if (well_failed(subject, asset.error()) && subject.request.target)
      subject.out.failed(said(subject, asset.error()), hint_of(asset.error()));
  } else {
    std::vector<std::string> missing;
    for (const char* field : {"name", "platform"}) {
      if (asset->text(field).empty()) missing.emplace_back(field);
    }
    if (!missing.empty()) {
      subject.out.warning("identify sends no " + join(missing, " and no "),
                          "Say what was connected to: reports begin with it.");
    }
  }
  // Whoever asks for what is not there gets no rows, or is told so.
  for (const auto& resource : subject.found.manifest.resources) {
    subject.out.step("fetch " + resource.name + " of an unknown id");
    const auto rows = connection.fetch({resource.name, kNothing, {}, {}}, limits_from_now(kCall));
    if (!rows) well_failed(subject, rows.error());
  }
}

// What one connection says does not depend on whether there was another.
void check_second(Subject& subject, Provider& provider, const ConnectRequest& target, Connection& first) {
  const auto before = first.identify(limits_from_now(kCall));
  subject.out.step("connect " + target.connector + " (a second time, beside the first)");
  auto second = provider.connect(target, limits_from_now(kCall));
  if (!second) return;  // a system may let only one in
  subject.out.step("disconnect (one of two connections)");
  second->reset();
  subject.out.step("identify (after another connection was disconnected)");
  const auto after = first.identify(limits_from_now(kCall));
  if (!before) return;
  const char* hint = "Keep in a connection whatever belongs to it: several may be there at the same time.";
  if (!after) {
    return subject.out.failed(
        "works no more once another connection was disconnected: " + said(subject, after.error()), hint);
  }
  const auto shown = [](const Row& row) {
    return '"' + printable(row.id + " " + row.text("name") + " " + row.text("platform")) + '"';
  };
  if (shown(*before) != shown(*after)) {
    subject.out.failed("identify sends " + shown(*after) +
                           " once another connection was disconnected, before it " + shown(*before),
                       hint);
  }
}

void check_state(Subject& subject, const ProcessState& before) {
  const auto changed = changes(before, ProcessState::now());
  if (changed.empty()) return;
  subject.out.warning(
      "changes what the whole process shares: " + join(changed, ", "),
      "Leave that alone, or put it back before returning: run in-process, everything else depends on it.");
}

}  // namespace

void check_behaviour(Subject& subject) {
  const auto state = ProcessState::now();
  const auto provider = open_quietly(subject, true);
  if (!provider) return;
  bool connected = false;
  for (const ConnectRequest& target : targets(subject)) {
    subject.out.step("connect " + target.connector);
    auto connection = provider->connect(target, limits_from_now(kCall));
    if (!connection) {
      if (well_failed(subject, connection.error()) && subject.request.target)
        subject.out.failed(said(subject, connection.error()), hint_of(connection.error()));
      continue;
    }
    connected = true;
    check_connection(subject, **connection);
    check_second(subject, *provider, target, **connection);
    subject.out.step("disconnect");
  }
  check_state(subject, state);
  if (!connected && !subject.request.target)
    subject.out.note("nothing could be connected to: name a connector and its arguments for the whole of it");
  subject.out.step("close");
}

}  // namespace cnspec::provider::checks
