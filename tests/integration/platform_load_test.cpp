// cnspec-platform killed under load: what it had confirmed is there, whole, when it serves again.
#include <gtest/gtest.h>
#include <rapidjson/document.h>

#include <atomic>
#include <csignal>
#include <mutex>
#include <set>
#include <thread>

#include "support/agent_client.hpp"
#include "support/platform.hpp"

namespace cnspec::test {
namespace {

constexpr int kClients = 16;
constexpr std::size_t kConfirmedBeforeTheKill = 300;

rapidjson::Document list(const Platform& platform) {
  const RunResult result =
      test::run({program("cnspec-platform"), "list", "-o", "json", "--data", platform.data().string()});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  rapidjson::Document document;
  document.Parse(result.out.c_str());
  EXPECT_TRUE(document.IsObject()) << result.out;
  return document;
}

std::set<std::string> mrns(const rapidjson::Value& rows) {
  std::set<std::string> out;
  for (const auto& row : rows.GetArray()) out.insert(row["mrn"].GetString());
  return out;
}

TEST(PlatformLoadTest, EveryConfirmedRegistrationSurvivesTheKillOfThePlatform) {
  Platform platform;
  const std::string token = platform.token();
  std::mutex mutex;
  std::vector<upstream::Registration> confirmed;
  std::atomic<bool> killed = false;
  std::vector<std::thread> clients;
  for (int i = 0; i < kClients; ++i) {
    clients.emplace_back([&, i] {
      AgentClient client(platform.url(), platform.ca_file());
      for (int n = 0;; ++n) {
        auto registration = client.register_agent(token, std::to_string(i) + "-" + std::to_string(n));
        if (!registration) {
          EXPECT_TRUE(killed) << registration.error().message();
          return;
        }
        const std::lock_guard lock(mutex);
        confirmed.push_back(std::move(*registration));
        if (confirmed.size() == kConfirmedBeforeTheKill) {  // the others are in the middle of theirs
          killed = true;
          platform.process().signal(SIGKILL);
        }
      }
    });
  }
  for (auto& client : clients) client.join();
  ASSERT_GE(confirmed.size(), kConfirmedBeforeTheKill);
  EXPECT_EQ(platform.process().wait().signal, SIGKILL);

  platform.restart();
  AgentClient client(platform.url(), platform.ca_file());
  for (const auto& registration : confirmed) {
    const auto pinged = client.ping(registration);
    EXPECT_TRUE(pinged) << registration.agent_mrn << ": " << pinged.error().message();
  }
  const rapidjson::Document all = list(platform);
  const auto agents = mrns(all["agents"]);
  for (const auto& registration : confirmed) EXPECT_TRUE(agents.count(registration.agent_mrn));
  // One that was not confirmed may be there, but not the half of it.
  EXPECT_EQ(agents.size(), mrns(all["service_accounts"]).size());
}

TEST(PlatformLoadTest, ServesManyConnectionsAtOnceWithoutAnError) {
  Platform platform;
  const std::string token = platform.token();
  std::vector<std::thread> clients;
  for (int i = 0; i < 64; ++i) {
    clients.emplace_back([&, i] {
      AgentClient client(platform.url(), platform.ca_file());
      for (int n = 0; n < 3; ++n) {
        const auto registration = client.register_agent(token, std::to_string(i) + "-" + std::to_string(n));
        ASSERT_TRUE(registration) << registration.error().message();
        const auto pinged = client.ping(*registration);
        EXPECT_TRUE(pinged) << pinged.error().message();
      }
    });
  }
  for (auto& client : clients) client.join();
  EXPECT_EQ(list(platform)["agents"].Size(), 64u * 3u);
}

}  // namespace
}  // namespace cnspec::test
