// Connecting and identifying, and how it fails where it has to.
#include "base/text.hpp"
#include "provider/verify/check.hpp"

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

}  // namespace

void check_behaviour(Subject& subject) {
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
    subject.out.step("disconnect");
  }
  if (!connected && !subject.request.target)
    subject.out.note("nothing could be connected to: name a connector and its arguments for the whole of it");
  subject.out.step("close");
}

}  // namespace cnspec::provider::checks
