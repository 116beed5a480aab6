// Many clients at one cnspec-platform: registrations, each followed by a ping with the new key. Ends with 1
// when any of them failed. `cnspec_bench_load [COUNT]`.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "support/agent_client.hpp"
#include "support/platform.hpp"

namespace {

using namespace cnspec;
using namespace cnspec::test;
using Clock = std::chrono::steady_clock;

constexpr int kConnections = 64;

// In MB.
double memory_of(pid_t pid) {
  std::string line;
  for (std::ifstream status("/proc/" + std::to_string(pid) + "/status"); std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  }
  return 0;
}

void show(const char* what, std::vector<double>& ms, double seconds) {
  std::sort(ms.begin(), ms.end());
  const auto at = [&](double part) {
    return ms[static_cast<std::size_t>(part * static_cast<double>(ms.size() - 1))];
  };
  std::printf("%-14s %6zu, %6.0f/s   p50 %7.1f ms   p99 %7.1f ms   longest %7.1f ms\n", what, ms.size(),
              static_cast<double>(ms.size()) / seconds, at(0.5), at(0.99), at(1));
}

struct Load {
  Platform platform;
  std::string token = platform.token("load");
  int count;
  std::atomic<int> next{0};
  std::atomic<int> done{0};
  std::mutex mutex;  // guards what follows
  std::vector<double> registrations, pings;
  std::vector<std::string> errors;
  std::vector<std::pair<int, double>> memory;

  explicit Load(int n) : count(n) {}

  void one_client() {
    AgentClient client(platform.url(), platform.ca_file());
    for (int i = next++; i < count; i = next++) {
      const auto begin = Clock::now();
      const auto registration = client.register_agent(token, "machine-" + std::to_string(i));
      const auto between = Clock::now();
      const auto pinged = registration ? client.ping(*registration) : Result<void>();
      const auto end = Clock::now();
      const int finished = ++done;
      const std::lock_guard lock(mutex);
      using Milliseconds = std::chrono::duration<double, std::milli>;
      if (!registration || !pinged) {
        errors.push_back((registration ? pinged.error() : registration.error()).message());
        continue;
      }
      registrations.push_back(Milliseconds(between - begin).count());
      pings.push_back(Milliseconds(end - between).count());
      if (finished % std::max(1, count / 5) == 0)
        memory.emplace_back(finished, memory_of(platform.process().pid()));
    }
  }
};

int run(int count) {
  Load load(count);
  const auto begin = Clock::now();
  std::vector<std::thread> clients;
  for (int i = 0; i < kConnections; ++i) clients.emplace_back([&] { load.one_client(); });
  for (auto& client : clients) client.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();

  std::printf("%d registrations, each with a ping, from %d connections to one cnspec-platform: %.1f s\n",
              count, kConnections, seconds);
  if (!load.registrations.empty()) {
    show("registrations", load.registrations, seconds);
    show("pings", load.pings, seconds);
  }
  std::printf("the platform's memory:");
  for (const auto& [after, mb] : load.memory) std::printf("  %.1f MB after %d", mb, after);
  std::printf("\nerrors: %zu%s%s\n", load.errors.size(), load.errors.empty() ? "" : ", such as ",
              load.errors.empty() ? "" : load.errors.front().c_str());
  return load.errors.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc > 1 ? std::max(1, std::atoi(argv[1])) : 10000);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
