// That it opens, and again after it was closed.
#include "provider/verify/check.hpp"

namespace cnspec::provider::checks {

void check_open(Subject& subject) {
  for (const char* step : {"open", "open (after close)"}) {
    subject.out.step(step);
    auto provider = load_in_process(subject.found, services_of(subject, true), limits_from_now(kCall));
    if (!provider) {
      const bool why = !silent(provider.error());
      return subject.out.failed(
          said(subject, provider.error()),
          why ? "open makes the instance and needs nothing from outside: move what can fail to connect."
              : kSayWhy);
    }
    subject.out.step("close");
  }
}

}  // namespace cnspec::provider::checks
