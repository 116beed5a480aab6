// What is left of a thousand opens and connects.
#include <malloc.h>
#include <sys/resource.h>

#include "provider/verify/check.hpp"

namespace cnspec::provider::checks {
namespace {

constexpr int kWarmUp = 20;
constexpr int kRounds = 1000;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

std::size_t bytes_in_use() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

struct Usage {
  std::size_t memory = bytes_in_use();
  std::size_t descriptors = count_descriptors();
  std::size_t threads = count_threads();
};

struct Pair {
  std::string begin, end;  // "open" and "close"
  std::string name() const { return begin + " and " + end; }
  // "Free in close what open allocated."
  std::string hint(const char* undo, const char* done) const {
    return std::string(undo) + " in " + end + " what " + begin + " " + done + ", and in " + begin +
           " when that fails.";
  }
};

// False when something was left behind: more of it would only end in an error of another kind.
bool check_growth(Subject& subject, const Usage& before, int rounds, const Pair& pair) {
  const Usage now;
  bool good = true;
  const auto growth = [&](std::size_t was, std::size_t is, const char* thing, const std::string& hint) {
    if (is <= was) return;
    good = false;
    subject.out.failed(
        count(is - was, thing) + " left by " + std::to_string(rounds) + " times " + pair.name(), hint);
  };
  growth(before.descriptors, now.descriptors, "descriptor", pair.hint("Close", "opened"));
  growth(before.threads, settled_threads(before.threads), "thread", pair.hint("Join", "started"));
  // Less than this is the allocator's own, and what is made once.
  const auto tolerated = before.memory + static_cast<std::size_t>(rounds) * 8;
  if (good && rounds == kRounds && !kSanitized && now.memory > tolerated)
    growth(before.memory, now.memory, "byte", pair.hint("Free", "allocated"));
  return good;
}

}  // namespace

void check_leaks(Subject& subject) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  if (kSanitized) subject.out.note("memory is not counted: this cnspec was built with a sanitizer");
  Services services;
  services.log = [](log::Level, std::string_view) {};  // kept, it would count
  const auto round = [&](bool connect) {
    auto provider = load_in_process(subject.found, services, limits_from_now(kCall));
    if (!provider) {
      subject.out.failed(said(subject, provider.error()), "open has to work again after close.");
      return false;
    }
    if (connect) {
      for (const ConnectRequest& target : targets(subject))
        (void)(*provider)->connect(target, limits_from_now(kCall));
    }
    return true;
  };
  const auto rounds = [&](const Pair& pair, bool connect) {
    subject.out.step(pair.name() + " 1,000 times");
    for (int i = 0; i < kWarmUp; ++i) {
      if (!round(connect)) return false;
    }
    const Usage before;
    for (int i = 1; i <= kRounds; ++i) {
      if (!round(connect)) return false;
      // Soon, for what would run into a limit.
      if ((i == kWarmUp || i == kRounds) && !check_growth(subject, before, i, pair)) return false;
    }
    return true;
  };
  if (rounds({"open", "close"}, false)) rounds({"connect", "disconnect"}, true);
}

}  // namespace cnspec::provider::checks
