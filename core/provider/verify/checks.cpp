// The table of all checks, and the child's half of verify, which runs one of them.
#include <algorithm>

#include "provider/child.hpp"
#include "provider/verify/check.hpp"

namespace cnspec::provider {
namespace checks {
namespace {

// Those that others need come first: when one of them fails, nothing after it is run.
constexpr KnownCheck kChecks[] = {
    {"file", check_file, Needed::kGood},  {"manifest", check_manifest, Needed::kGood},
    {"load", check_load, Needed::kGood},  {"abi", check_abi, Needed::kGood},
    {"open", check_open, Needed::kGood},  {"behaviour", check_behaviour, Needed::kAlive},
    {"threads", check_threads},           {"leaks", check_leaks},
    {"cancellation", check_cancellation}, {"handles", check_handles},
    {"isolation", check_isolation},       {"fetch", check_fetch, Needed::kNot, true},
};

}  // namespace

std::span<const KnownCheck> known_checks() { return kChecks; }

}  // namespace checks

void run_check(std::string_view check, const VerifyRequest& request, const Surroundings& surroundings,
               int pipe) {
  crash_plainly();
  checks::Reporter out(pipe);
  checks::Subject subject{request, surroundings, out, {}, {}, {}};
  const auto known = std::ranges::find(checks::known_checks(), check, &checks::KnownCheck::name);
  if (known == checks::known_checks().end()) return;
  if (check != "file" && check != "manifest") {
    auto found = examine(surroundings.search, request.file, request.origin);
    if (!found) {
      out.failed(found.error().message(), checks::hint_for_file(found.error()));
      return out.done();
    }
    subject.found = std::move(*found);
  }
  known->run(subject);
  out.done();
}

}  // namespace cnspec::provider
