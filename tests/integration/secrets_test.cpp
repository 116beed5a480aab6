// No program that a test runs may print a secret. This is the proof that one that does is caught, whatever
// the secret is, however it is spelled and wherever it comes out.
#include "support/secrets.hpp"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include "base/encoding.hpp"
#include "support/cnspec.hpp"
#include "support/platform.hpp"
#include "terminal.hpp"

namespace cnspec::test {
namespace {

// What the tests' own machinery says of a test that does this; empty when it lets it pass.
template <class Work>
std::string complaint(Work&& work) {
  testing::TestPartResultArray results;
  {
    testing::ScopedFakeTestPartResultReporter here(
        testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
    work();
  }
  std::string out;
  for (int i = 0; i < results.size(); ++i) {
    const std::string message = results.GetTestPartResult(i).message();
    out += message.substr(message.starts_with("Failed\n") ? 7 : 0) + "\n";
  }
  return out;
}

std::string found_in(const std::string& kind, int line, const std::string& where) {
  return "there is " + kind + " in line " + std::to_string(line) + " of " + where +
         " (it is not repeated here; see tests/support/secrets.hpp)\n";
}

// A program that prints what it is told.
RunResult print(const std::string& text, const std::string& to = "1") {
  return run({"sh", "-c", "cat >&" + to}, {.env = {}, .cwd = {}, .input = text});
}

std::string new_key(const Argv& kind) {
  Argv argv = {"openssl", "genpkey"};
  argv.insert(argv.end(), kind.begin(), kind.end());
  const RunResult key = run(argv, {.env = {}, .cwd = {}, .input = {}, .prints_secrets = true});
  EXPECT_TRUE(key.out.starts_with("-----BEGIN PRIVATE KEY-----\n")) << key.err;
  return key.out;
}
std::string p384() { return new_key({"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"}); }

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + by.size()))
    text.replace(at, what.size(), by);
  return text;
}

TEST(Secrets, OfATestAreFoundHoweverTheyAreSpelled) {
  const std::string password(kSecretMark);
  for (const std::string& text :
       {password, base64_encode(password), base64_encode("a:" + password), base64_encode("me:" + password),
        base64_encode("m:me:" + password + "\xff"), base64url_encode("{\"a\":\"" + password + "\"}"),
        std::string("68756e74657232"), "https://me:" + password + "@host/"}) {
    EXPECT_EQ(complaint([&] { print("one\ntwo\n" + text + "\n"); }),
              found_in("a secret of the test", 3, "sh, standard output"))
        << text;
    EXPECT_EQ(complaint([&] { print("one\n" + text, "2"); }),
              found_in("a secret of the test", 2, "sh, standard error"))
        << text;
  }
}

TEST(Secrets, PrivateKeysAreFoundHoweverTheyAreSpelled) {
  const std::string key = p384();
  const std::string body = key.substr(key.find('\n') + 1, 64);
  for (const std::string& text : {key, "x: |\n  " + replaced(key, "\n", "\n  "), replaced(key, "\n", "\\n"),
                                  replaced(key, "\n", "\r\n"), replaced(key, "\n", " "),
                                  new_key({"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"}),
                                  new_key({"-algorithm", "ED25519"})}) {
    EXPECT_NE(complaint([&] { print(text); }).find("there is a private key (PEM) in line "),
              std::string::npos);
  }
  for (const std::string& text : {key, new_key({"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"}),
                                  new_key({"-algorithm", "ED25519"})}) {
    EXPECT_EQ(complaint([&] { print(text.substr(text.find('\n') + 1, 64)); }),
              found_in("a private key (base64)", 1, "sh, standard output"));
  }
}

TEST(Secrets, OneLineOfAKeyOfAClientIsEnough) {
  const User user;
  user.home().write(".config/mondoo/mondoo.yml",
                    "private_key: |\n  " + replaced(p384(), "\n", "\n  ") + "\n");
  EXPECT_EQ(complaint([&] { user.run({"version"}); }), "");
  const std::string config = read_file(user.config_file());
  const auto second = config.find("\n  ", config.find("MIG2")) + 3;
  EXPECT_EQ(complaint([&] { print("a " + config.substr(second, 64) + " b"); }),
            found_in("a line of a private key", 1, "sh, standard output"));
}

TEST(Secrets, SignedTokensAreFound) {
  const Platform platform;
  const std::string token = platform.token();
  EXPECT_EQ(complaint([&] { print("Authorization: Bearer " + token + "\n"); }),
            found_in("a signed token (JWT)", 1, "sh, standard output"));
  EXPECT_EQ(complaint([&] {
              run({program("cnspec-platform"), "token", "create", "--space", "x", "--data",
                   platform.data().string()});
            }),
            found_in("a signed token (JWT)", 1, "cnspec-platform token, standard output"))
      << "whose purpose it is has to say so";
}

TEST(Secrets, WhatAProgramWasGivenByItsEnvironmentOrItsWordsIsFound) {
  const std::string given = "no-mark-and-no-key";
  for (const char* name : {"MONDOO_REGISTRATION_TOKEN", "JWT_TOKEN", "MONDOO_CONFIG_BASE64"}) {
    EXPECT_NE(complaint([&] {
                run({"env"}, {.env = {{name, given}}, .cwd = {}, .input = {}});
              }).find("there is a secret that the program was given in line "),
              std::string::npos);
  }
  const auto echo = found_in("a secret that the program was given", 1, "echo, standard output");
  EXPECT_EQ(complaint([&] { run({"echo", "--token", given}); }), echo);
  EXPECT_EQ(complaint([&] { run({"echo", "--password=" + given}); }), echo);
  EXPECT_EQ(complaint([&] { run({"echo", "--name", given}); }), "");
}

TEST(Secrets, ProgramsThatAreKilledAndThoseOnATerminalAreLookedAt) {
  const std::string leak = "echo " + std::string(kSecretMark);
  const auto found = [&](const std::string& where) { return found_in("a secret of the test", 1, where); };
  EXPECT_EQ(complaint([&] {
              Process process = Process::start({"sh", "-c", leak + "; exec sleep 60"});
              process.read_line();
            }),
            found("sh, standard output"))
      << "by the destructor";
  EXPECT_EQ(complaint([&] {
              Process process = Process::start({"sh", "-c", leak + " >&2; exec sleep 60"});
              process.wait_for_err(kSecretMark);
              process.kill();
            }),
            found("sh, standard error"));
  EXPECT_EQ(complaint([&] { OnTerminal({"sh", "-c", leak}, {}).wait(); }), found("sh, on its terminal"));
}

TEST(Secrets, BundlesAreLookedInto) {
  const User user;
  const auto file = user.home() / "b.tar.gz";
  EXPECT_EQ(complaint([&] { user.run({"status", "--timeout", "1ms", "--bundle", file}); }), "");
  // As a program that left one behind would have written it.
  user.home().write("debug.log", "x\n" + std::string(kSecretMark) + "\n");
  ASSERT_EQ(run({"tar", "-C", user.home().path(), "-czf", file, "debug.log"}).exit_code, 0);
  EXPECT_EQ(complaint([&] {
              user.run({"status", "--timeout", "1ms", "--bundle", file});
            }),
            found_in("a secret of the test", 2, "the bundle of cnspec status"));
}

TEST(Secrets, NoneIsSeenWhereNoneIs) {
  const Platform platform;
  const User user;
  const std::string token = platform.token();
  ASSERT_EQ(user.run({"login", "--token", token, "--ca-file", platform.ca_file()}).exit_code, 0);
  const std::string config = read_file(user.config_file());
  const auto certificate = config.find("certificate:");
  ASSERT_NE(certificate, std::string::npos);
  for (const std::string& text :
       {std::string("expected -----BEGIN PRIVATE KEY-----, found nothing\n"),
        std::string("-----BEGIN PRIVATE KEY-----\n(not shown)\n-----END PRIVATE KEY-----\n"),
        token.substr(0, token.rfind('.')), token.substr(0, token.rfind('.')) + ".c2ln",
        config.substr(certificate, config.find("END CERTIFICATE") - certificate),
        read_file(platform.ca_file()), std::string()}) {
    EXPECT_EQ(complaint([&] { print(text); }), "") << text;
  }
}

TEST(Secrets, ThoseWhosePurposeItIsMayPrintThem) {
  EXPECT_EQ(
      complaint([] {
        run({"echo", std::string(kSecretMark)}, {.env = {}, .cwd = {}, .input = {}, .prints_secrets = true});
      }),
      "");
}

}  // namespace
}  // namespace cnspec::test
