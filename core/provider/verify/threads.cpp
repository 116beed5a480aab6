// Calls from several threads, and the threads of its own.
#include <thread>

#include "provider/verify/check.hpp"

namespace cnspec::provider::checks {
namespace {

template <class Work>
void on_another_thread(Work&& work) {
  std::thread(std::forward<Work>(work)).join();
}

}  // namespace

void check_threads(Subject& subject) {
  const auto before = count_threads();
  {
    const auto provider = open_quietly(subject, false);
    if (!provider) return;
    auto connections = connect_all(subject, *provider);
    for (auto& connection : connections) {
      // Calls come from different threads, one after the other.
      for (int i = 0; i < 2; ++i) {
        subject.out.step("identify on another thread");
        on_another_thread([&] {
          const auto asset = connection->identify(limits_from_now(kCall));
          if (!asset) well_failed(subject, asset.error());
        });
      }
      if (subject.found.manifest.threads_many) {
        subject.out.step("identify on four threads at the same time");
        std::vector<std::thread> threads;
        for (int i = 0; i < 4; ++i) {
          threads.emplace_back([&] {
            const auto asset = connection->identify(limits_from_now(kCall));
            if (!asset) well_failed(subject, asset.error());
          });
        }
        for (auto& thread : threads) thread.join();
      }
    }
    subject.out.step("disconnect");
    connections.clear();
    subject.out.step("close");
  }
  subject.out.step("");
  if (const auto after = settled_threads(before); after > before) {
    subject.out.failed(count(after - before, "thread") +
                           (after - before == 1 ? " still runs" : " still run") + " after close",
                       "Join in close every thread that the provider started.");
  }
}

}  // namespace cnspec::provider::checks
