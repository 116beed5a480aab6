// That it opens, and again after it was closed.
#include "provider/verify/check.hpp"

namespace cnspec::provider::checks {
namespace {

std::string hint_for_open(const Error& error) {
  if (silent(error)) return kSayWhy;
  if (unsupported(error))
    return "Do without what this host lacks, or return NULL from the entry function to say so early.";
  return "open makes the instance and needs nothing from outside: move what can fail to connect.";
}

}  // namespace

void check_open(Subject& subject) {
  for (const char* step : {"open", "open (after close)"}) {
    subject.out.step(step);
    auto provider = load_in_process(subject.found, services_of(subject, true), limits_from_now(kCall));
    if (!provider) {
      return subject.out.failed(said(subject, provider.error()), hint_for_open(provider.error()));
    }
    subject.out.step("close");
  }
}

}  // namespace cnspec::provider::checks
