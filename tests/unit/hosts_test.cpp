// Where a provider's requests may go.
#include <gtest/gtest.h>

#include <cstdlib>

#include "provider/network.hpp"

namespace cnspec::provider {
namespace {

using Hosts = std::vector<std::string>;

TEST(AddressHost, IsThatOfAUrlOrOfWhatUsersWrite) {
  EXPECT_EQ(address_host("https://Login.Example.com/path?q=1"), "login.example.com");
  EXPECT_EQ(address_host("http://localhost:4566"), "localhost");
  EXPECT_EQ(address_host("http://[::1]:4566/"), "::1");
  EXPECT_EQ(address_host("admin@switch.example.com"), "switch.example.com");
  EXPECT_EQ(address_host("admin@switch:8443"), "switch");
  EXPECT_EQ(address_host("mail@corp@switch"), "switch");
  EXPECT_EQ(address_host("admin@[fd00::1]:443"), "fd00::1");
  EXPECT_EQ(address_host("admin@fd00::1"), "fd00::1");
  EXPECT_EQ(address_host("login.example.com/tenant"), "login.example.com");
}

TEST(AddressHost, IsNothingForWhatIsNoAddress) {
  for (const char* none : {"", "@", "admin@", "https://", "ftp://example.com", "https://user@example.com",
                           "exa mple.com", "a\\b", "*", "*.example.com", "host:port", "host:99999", "[x]"})
    EXPECT_EQ(address_host(none), "") << none;
}

TEST(AllowedHosts, AreFilledInFromTheRequest) {
  ::setenv("HOSTS_TEST_URL", "https://from.env.example.com/x", 1);
  ::unsetenv("HOSTS_TEST_UNSET");
  const Hosts network = {"*.example.com", "flag:url", "flag:unset",         "flag:unknown",        "arg:1",
                         "arg:2",         "arg:x",    "env:HOSTS_TEST_URL", "env:HOSTS_TEST_UNSET"};
  const Config flags = {{"url", Value("http://From.Flag:80")}, {"unset", Value()}};
  EXPECT_EQ(allowed_hosts(network, flags, {"me@from.arg"}),
            (Hosts{"*.example.com", "from.flag", "from.arg", "from.env.example.com"}));
  EXPECT_EQ(allowed_hosts(network, {}, {}), (Hosts{"*.example.com", "from.env.example.com"}));
}

// What a user gives is a host and never a pattern.
TEST(AllowedHosts, AreNotWidenedByAStar) {
  EXPECT_EQ(allowed_hosts({"arg:1"}, {}, {"*"}), Hosts{});
  EXPECT_EQ(allowed_hosts({"arg:1"}, {}, {"*.example.com"}), Hosts{});
  EXPECT_FALSE(host_allowed("evil.example.com", allowed_hosts({"arg:1"}, {}, {"me@example.com"})));
}

}  // namespace
}  // namespace cnspec::provider
