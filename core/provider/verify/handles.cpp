// That it keeps no handle of a call.
#include <set>
#include <thread>

#include "provider/verify/check.hpp"

namespace cnspec::provider::checks {

void check_handles(Subject& subject) {
  {
    const auto provider = open_quietly(subject, true);
    if (!provider) return;
    const auto connections = connect_all(subject, *provider);
    // Twice: what was kept of one call is used in the next.
    for (int i = 0; i < 2; ++i) {
      for (const auto& connection : connections) {
        subject.out.step("identify");
        (void)connection->identify(limits_from_now(kCall));
        for (const auto& resource : subject.found.manifest.resources) {
          subject.out.step("fetch " + resource.name);
          (void)connection->fetch({resource.name, needs_arguments(resource) ? kNothing : "", {}, {}},
                                  limits_from_now(kCall));
        }
      }
    }
    // For threads of the provider's own.
    std::this_thread::sleep_for(milliseconds(100));
    subject.out.step("close");
  }
  const std::lock_guard lock(subject.mutex);
  std::set<std::string> seen;
  for (const std::string& line : subject.log) {
    if (line.find("with the handle of a call that is over") == std::string::npos) continue;
    const std::string what = said(subject, Error(line));
    if (seen.insert(what).second) {
      subject.out.failed(
          what,
          "Keep no cnspec_call and no cnspec_sink: each dies when its call returns. Only log may "
          "be called at any time.");
    }
  }
}

}  // namespace cnspec::provider::checks
