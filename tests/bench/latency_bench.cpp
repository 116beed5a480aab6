// `cnspec status` against a platform that is 100 ms away in each direction.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <vector>

#include "support/cnspec.hpp"
#include "support/platform.hpp"
#include "support/relay.hpp"

namespace {

using namespace cnspec::test;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kDelay{100};
constexpr int kRepeats = 9;
constexpr int kRoundTrips = 3;  // TCP, TLS 1.3, the request

// In milliseconds, sorted.
std::vector<double> measure(const User& user) {
  std::vector<double> took;
  for (int i = 0; i < kRepeats; ++i) {
    const auto begin = Clock::now();
    const RunResult status = user.run({"status"});
    took.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
    if (status.exit_code != 0) throw std::runtime_error("status failed: " + status.out + status.err);
  }
  std::sort(took.begin(), took.end());
  return took;
}

void run() {
  const Platform platform;
  User user;
  // As many authorities as a machine has that was not told which one signs.
  constexpr char kBundle[] = "/etc/ssl/certs/ca-certificates.crt";
  const std::string many = std::filesystem::exists(kBundle) ? read_file(kBundle) : "";
  const auto trusted = user.home().write("trusted.pem", read_file(platform.ca_file()) + many);
  const RunResult login = user.run({"login", "--token", platform.token(), "--ca-file", trusted.string()});
  if (login.exit_code != 0) throw std::runtime_error("login failed: " + login.out + login.err);
  const auto near = measure(user);

  const auto port =
      static_cast<unsigned short>(std::stoi(platform.url().substr(platform.url().rfind(':') + 1)));
  const Relay relay(port, kDelay);
  const std::string far_url = "https://127.0.0.1:" + std::to_string(relay.port());
  user.env["MONDOO_API_ENDPOINT"] = far_url;
  user.env["MONDOO_UPDATES_URL"] = far_url;
  const auto far = measure(user);

  const double floor = static_cast<double>(2 * kRoundTrips * kDelay.count());
  std::printf(
      "cnspec status, 100 ms away each way: median %.0f ms, longest %.0f ms of %d runs, %.1f connections "
      "each\n"
      "  three round trips take %.0f ms; aim: %.0f ms; the same without delay: %.0f ms\n",
      far[far.size() / 2], far.back(), kRepeats, static_cast<double>(relay.connections()) / kRepeats, floor,
      floor + 50, near[near.size() / 2]);
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
