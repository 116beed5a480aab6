// What whole commands cost, against the cheapest process there is, measured in the same run.
#include <spawn.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "many_providers.hpp"
#include "support/cnspec.hpp"
#include "support/platform.hpp"

namespace {

using namespace cnspec::test;

constexpr int kWarmUp = 10;
constexpr int kRepeats = 200;

struct Cost {
  double wall_ms;  // medians
  double cpu_ms;
  double peak_mb;  // the largest
};

double milliseconds(const timeval& t) {
  return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_usec) / 1e3;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

Cost measure(const Argv& argv, int expected_exit) {
  std::vector<char*> args;
  for (const auto& arg : argv) args.push_back(const_cast<char*>(arg.c_str()));
  args.push_back(nullptr);
  posix_spawn_file_actions_t quiet;
  posix_spawn_file_actions_init(&quiet);
  posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", 1 /* O_WRONLY */, 0);
  posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", 1, 0);

  std::vector<double> wall, cpu;
  double peak = 0;
  for (int i = 0; i < kWarmUp + kRepeats; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    pid_t pid = -1;
    if (posix_spawnp(&pid, args[0], &quiet, nullptr, args.data(), environ) != 0) {
      throw std::runtime_error("cannot start " + argv[0]);
    }
    int status = 0;
    rusage usage{};
    ::wait4(pid, &status, 0, &usage);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != expected_exit)
      throw std::runtime_error(argv[0] + " failed");
    if (i < kWarmUp) continue;
    wall.push_back(took.count());
    cpu.push_back(milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime));
    peak = std::max(peak, static_cast<double>(usage.ru_maxrss) / 1024);
  }
  posix_spawn_file_actions_destroy(&quiet);
  return {median(wall), median(cpu), peak};
}

void show(const char* what, const Cost& cost, const Cost& floor, const char* aim) {
  std::printf("%-34s %8.2f ms wall %8.2f ms cpu %7.1f MB  %6.1f x true   %s\n", what, cost.wall_ms,
              cost.cpu_ms, cost.peak_mb, cost.wall_ms / floor.wall_ms, aim);
}

void describe_machine() {
  utsname system{};
  ::uname(&system);
  std::string line, model = "unknown processor";
  for (std::ifstream info("/proc/cpuinfo"); std::getline(info, line);) {
    if (line.starts_with("model name")) model = line.substr(line.find(':') + 2);
  }
  std::printf("%s, %u cores, %s %s; medians of %d runs after %d to warm up\n\n", model.c_str(),
              std::thread::hardware_concurrency(), system.sysname, system.release, kRepeats, kWarmUp);
}

void run() {
  describe_machine();
  User user;
  for (const auto& [name, value] : user.env) {
    value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
  }
  const std::string cnspec = program("cnspec");
  const Cost floor = measure({"true"}, 0);
  show("true", floor, floor, "");
  show("cnspec version", measure({cnspec, "version"}, 0), floor, "aim: 3 x true");

  const Platform platform;
  if (user.run({"login", "--token", platform.token(), "--ca-file", platform.ca_file()}).exit_code != 0) {
    throw std::runtime_error("login failed");
  }
  show("cnspec status, registered", measure({cnspec, "status"}, 0), floor,
       "aim: 30 ms wall, 20 ms cpu, 25 MB");

  const TempDir many;
  fill_with_providers(many, 1000);
  show("cnspec providers list, 1,000 more",
       measure({cnspec, "providers", "list", "--providers-path", many.path().string()}, 0), floor,
       "aim: 60 ms");
  show("cnspec discover local", measure({cnspec, "discover", "local"}, 0), floor, "");
}

}  // namespace

int main() {
  try {
    run();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
