// Which proxy a request goes through: every rule, as a table.
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "transport/proxy.hpp"

namespace cnspec::transport {
namespace {

using Variables = std::map<std::string, std::string>;

Environment environment(Variables variables) {
  return [variables = std::move(variables)](const char* name) -> std::optional<std::string> {
    const auto it = variables.find(name);
    return it == variables.end() ? std::nullopt : std::optional(it->second);
  };
}

// ---- whose word counts ----

struct Choice {
  const char* why;
  std::optional<std::string> flag;
  std::string configured;
  Variables variables;
  std::string https, https_source, http, http_source;
};

TEST(Proxy, WhoseWordCounts) {
  const Choice choices[] = {
      {"nobody said anything", std::nullopt, "", {}, "", "", "", ""},
      {"the key holds for every URL",
       std::nullopt,
       "k",
       {},
       "k",
       "the key api_proxy",
       "k",
       "the key api_proxy"},
      {"the flag goes before the key", "f", "k", {}, "f", "--api-proxy", "f", "--api-proxy"},
      {"MONDOO_API_PROXY goes before the flag",
       "f",
       "k",
       {{"MONDOO_API_PROXY", "m"}, {"HTTPS_PROXY", "h"}},
       "m",
       "MONDOO_API_PROXY",
       "m",
       "MONDOO_API_PROXY"},
      {"MONDOO_API_PROXY set to nothing means no proxy at all",
       "f",
       "k",
       {{"MONDOO_API_PROXY", ""}, {"HTTPS_PROXY", "h"}, {"http_proxy", "h"}},
       "",
       "MONDOO_API_PROXY",
       "",
       "MONDOO_API_PROXY"},
      {"the flag set to nothing means no proxy at all",
       "",
       "k",
       {{"HTTPS_PROXY", "h"}},
       "",
       "--api-proxy",
       "",
       "--api-proxy"},
      {"the key goes before the environment's general variables",
       std::nullopt,
       "k",
       {{"HTTPS_PROXY", "h"}},
       "k",
       "the key api_proxy",
       "k",
       "the key api_proxy"},
      {"each scheme has a variable",
       std::nullopt,
       "",
       {{"HTTPS_PROXY", "s"}, {"HTTP_PROXY", "p"}},
       "s",
       "HTTPS_PROXY",
       "p",
       "HTTP_PROXY"},
      {"lower case is as good",
       std::nullopt,
       "",
       {{"https_proxy", "s"}, {"http_proxy", "p"}},
       "s",
       "https_proxy",
       "p",
       "http_proxy"},
      {"upper case wins",
       std::nullopt,
       "",
       {{"https_proxy", "l"}, {"HTTPS_PROXY", "u"}},
       "u",
       "HTTPS_PROXY",
       "",
       ""},
      {"an empty one is as good as unset",
       std::nullopt,
       "",
       {{"https_proxy", "l"}, {"HTTPS_PROXY", ""}, {"http_proxy", ""}},
       "l",
       "https_proxy",
       "",
       ""},
      {"ALL_PROXY is for what has none of its own",
       std::nullopt,
       "",
       {{"ALL_PROXY", "a"}, {"HTTP_PROXY", "p"}},
       "a",
       "ALL_PROXY",
       "p",
       "HTTP_PROXY"},
      {"all_proxy too", std::nullopt, "", {{"all_proxy", "a"}}, "a", "all_proxy", "a", "all_proxy"},
      {"in a CGI script HTTP_PROXY is a stranger's header",
       std::nullopt,
       "",
       {{"REQUEST_METHOD", "GET"}, {"HTTP_PROXY", "evil"}, {"HTTPS_PROXY", "s"}},
       "s",
       "HTTPS_PROXY",
       "",
       ""},
      {"where http_proxy is the administrator's",
       std::nullopt,
       "",
       {{"REQUEST_METHOD", "GET"}, {"HTTP_PROXY", "evil"}, {"http_proxy", "p"}},
       "",
       "",
       "p",
       "http_proxy"},
  };
  for (const Choice& c : choices) {
    const ProxySettings got = choose_proxies(c.flag, c.configured, environment(c.variables));
    EXPECT_EQ(got.https.url, c.https) << c.why;
    EXPECT_EQ(got.https.source, c.https_source) << c.why;
    EXPECT_EQ(got.http.url, c.http) << c.why;
    EXPECT_EQ(got.http.source, c.http_source) << c.why;
  }
}

TEST(Proxy, NoProxyIsReadInBothCases) {
  EXPECT_EQ(choose_proxies(std::nullopt, "", environment({{"NO_PROXY", "a"}, {"no_proxy", "b"}})).no_proxy,
            "a");
  EXPECT_EQ(choose_proxies(std::nullopt, "", environment({{"NO_PROXY", ""}, {"no_proxy", "b"}})).no_proxy,
            "b");
  EXPECT_EQ(choose_proxies("f", "", environment({{"no_proxy", "b"}})).no_proxy, "b")
      << "it holds for a proxy that was named on purpose too";
}

// ---- what is asked directly ----

struct Exception {
  const char* no_proxy;
  std::vector<const char*> direct, proxied;  // URLs
};

TEST(Proxy, WhatIsAskedDirectly) {
  const Exception exceptions[] = {
      {"", {}, {"https://example.com", "https://127.0.0.1", "https://localhost", "https://[::1]"}},
      {"*", {"https://example.com", "http://192.0.2.1", "https://[::1]:8443"}, {}},
      {"example.com",
       {"https://example.com", "https://a.example.com", "https://a.b.example.com/x", "https://EXAMPLE.com",
        "https://example.com.", "http://example.com:8080"},
       {"https://badexample.com", "https://example.com.evil.test", "https://example.org", "https://com"}},
      {"Example.COM.", {"https://example.com", "https://a.example.com"}, {"https://example.org"}},
      {".example.com", {"https://a.example.com"}, {"https://example.com", "https://aexample.com"}},
      {"*.example.com", {"https://a.example.com"}, {"https://example.com", "https://aexample.com"}},
      {"example.com:8443",
       {"https://example.com:8443", "https://a.example.com:8443"},
       {"https://example.com", "https://example.com:8444"}},
      {"example.com:443", {"https://example.com"}, {"http://example.com", "https://example.com:8443"}},
      {"example.com:80", {"http://example.com"}, {"https://example.com"}},
      {"a.test, b.test\tc.test,,d.test",
       {"https://a.test", "https://b.test", "https://c.test", "https://d.test"},
       {"https://e.test"}},
      {"192.0.2.1",
       {"https://192.0.2.1", "https://192.0.2.1:8443"},
       {"https://192.0.2.10", "https://2.0.2.1"}},
      {"127.0.0.1",
       {"https://127.0.0.1", "https://127.1", "https://[::ffff:127.0.0.1]"},
       {"https://127.0.0.2"}},
      {"192.0.2.1:8443", {"https://192.0.2.1:8443"}, {"https://192.0.2.1"}},
      {"10.0.0.0/8",
       {"https://10.255.0.1", "http://10.0.0.0:81"},
       {"https://11.0.0.1", "https://10.example.com"}},
      {"10.1.2.3/15", {"https://10.0.9.9", "https://10.1.9.9"}, {"https://10.2.0.0"}},
      {"0.0.0.0/0", {"https://203.0.113.9"}, {"https://[2001:db8::1]", "https://example.com"}},
      {"192.0.2.1/32", {"https://192.0.2.1"}, {"https://192.0.2.2"}},
      {"2001:db8::1", {"https://[2001:db8::1]", "https://[2001:DB8:0::1]:8443"}, {"https://[2001:db8::2]"}},
      {"[2001:db8::1]", {"https://[2001:db8::1]"}, {"https://[2001:db8::2]"}},
      {"[2001:db8::1]:8443", {"https://[2001:db8::1]:8443"}, {"https://[2001:db8::1]"}},
      {"fd00::/8", {"https://[fd12::1]"}, {"https://[fe80::1]", "https://10.0.0.1"}},
      {"::/0", {"https://[2001:db8::1]"}, {"https://example.com"}},
      {"::1", {"https://[::1]:8443"}, {"https://127.0.0.1"}},
      {"localhost", {"https://localhost:8443", "https://a.localhost"}, {"https://127.0.0.1"}},
      {"example.com,*", {"https://anything.test"}, {}},
      // What is no entry excepts nothing.
      {"10.0.0.0/33,10.0.0.0/,/8,10.0.0/8,a/b", {}, {"https://10.0.0.1", "https://a"}},
      {"example.com:x,example.com:,example.com:70000,:443,[,[],[::1,[::1]x,.",
       {},
       {"https://example.com", "https://[::1]"}},
      {"https://example.com", {}, {"https://example.com"}},
  };
  ProxySettings settings;
  settings.https = settings.http = {"http://proxy.test:3128", "test"};
  for (const Exception& e : exceptions) {
    settings.no_proxy = e.no_proxy;
    for (const char* url : e.direct) {
      const auto proxy = proxy_for(url, settings);
      EXPECT_TRUE(proxy && !*proxy) << url << " with NO_PROXY=" << e.no_proxy;
    }
    for (const char* url : e.proxied) {
      const auto proxy = proxy_for(url, settings);
      EXPECT_TRUE(proxy && *proxy) << url << " with NO_PROXY=" << e.no_proxy;
    }
  }
}

// ---- what a proxy's URL says ----

struct Reading {
  const char* url;
  std::string shown, user, password;
};

TEST(Proxy, ReadsItsUrl) {
  const Reading readings[] = {
      {"http://proxy.test:3128", "http://proxy.test:3128", "", ""},
      {"proxy.test:3128", "http://proxy.test:3128", "", ""},
      {"proxy.test", "http://proxy.test:80", "", ""},
      {"http://proxy.test/", "http://proxy.test:80", "", ""},
      {"HTTPS://proxy.test", "https://proxy.test:443", "", ""},
      {"socks5://192.0.2.1", "socks5://192.0.2.1:1080", "", ""},
      {"socks5h://proxy.test:9050", "socks5h://proxy.test:9050", "", ""},
      {"http://[2001:db8::1]:3128", "http://[2001:db8::1]:3128", "", ""},
      {"http://me:secret@proxy.test:3128", "http://proxy.test:3128", "me", "secret"},
      {"me:secret@proxy.test:3128", "http://proxy.test:3128", "me", "secret"},
      {"http://me@proxy.test", "http://proxy.test:80", "me", ""},
      {"http://me:@proxy.test", "http://proxy.test:80", "me", ""},
      {"http://do%40main:p%3Aa%2Fs%25s@proxy.test", "http://proxy.test:80", "do@main", "p:a/s%s"},
  };
  for (const Reading& r : readings) {
    const auto proxy = proxy_for("https://example.com", {{r.url, "test"}, {}, ""});
    ASSERT_TRUE(proxy) << r.url << ": " << proxy.error().message();
    ASSERT_TRUE(*proxy) << r.url;
    EXPECT_EQ((*proxy)->url, r.shown) << r.url;
    EXPECT_EQ((*proxy)->user, r.user) << r.url;
    EXPECT_EQ((*proxy)->password, r.password) << r.url;
    EXPECT_EQ((*proxy)->source, "test");
  }
}

TEST(Proxy, SaysWhoseUrlCannotBeUsedAndNeverRepeatsIt) {
  const std::pair<const char*, const char*> wrong[] = {
      {"ftp://me:hunter2@proxy.test", "its scheme is none of http, https, socks5 and socks5h"},
      {"socks4://hunter2", "its scheme is none of http, https, socks5 and socks5h"},
      {"://hunter2", "its scheme is none of http, https, socks5 and socks5h"},
      {"http://", "it is no URL"},
      {"http://:3128", "it is no URL"},
      {"http://hunter2:0", "its port is 0"},
      {"http://hunter2:99999", "it is no URL"},
      {"http://hunter2:port", "it is no URL"},
      {"http://me:hunter2@3@proxy.test", "it is no URL"},
      {"http://me:hun/ter2@proxy.test", "it is no URL"},
      {"http://me:hunter2@proxy.test/path", "something follows the host and port"},
      {"http://proxy.test?hunter2", "something follows the host and port"},
      {"http://proxy.test#hunter2", "something follows the host and port"},
      {"http://me:hunter2 @proxy.test", "there is a blank or a control character in it"},
      {"http://hunter2\r\nX: y", "there is a blank or a control character in it"},
      {" ", "there is a blank or a control character in it"},
      {"http://[::hunter2]:1", "it is no URL"},
      {"http://me:hunter2%00@proxy.test", "its password is not valid"},
  };
  for (const auto& [url, why] : wrong) {
    const auto proxy = proxy_for("https://example.com", {{url, "HTTPS_PROXY"}, {}, ""});
    ASSERT_FALSE(proxy) << url << " gave " << (*proxy ? (*proxy)->url : "none");
    EXPECT_EQ(proxy.error().kind(), ErrorKind::kConfig) << url;
    EXPECT_EQ(proxy.error().message(), std::string("the proxy that HTTPS_PROXY names cannot be used: ") + why)
        << url;
    EXPECT_EQ(proxy.error().hint().find("hunter2"), std::string::npos);
    EXPECT_EQ(proxy.error().message().find("hunter2"), std::string::npos);
  }
}

TEST(Proxy, AWrongUrlDoesNoHarmWhereItIsNotNeeded) {
  const ProxySettings settings{{"ftp://wrong", "HTTPS_PROXY"}, {}, "direct.test"};
  EXPECT_TRUE(proxy_for("https://direct.test", settings));
  EXPECT_TRUE(proxy_for("http://example.com", settings));
  EXPECT_FALSE(proxy_for("https://example.com", settings));
}

}  // namespace
}  // namespace cnspec::transport
