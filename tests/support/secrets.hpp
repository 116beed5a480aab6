// No program that a test runs may print a secret, whatever the test is about. Process and OnTerminal look at
// every output by what is here.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cnspec::test {

// Every password, token and key that a test makes up has this in it, so that it is known wherever it turns
// up, also as base64 or hexadecimal digits.
inline constexpr std::string_view kSecretMark = "hunter2";

// A secret in a text, and where; nothing says what it is.
struct FoundSecret {
  const char* kind;  // "a private key", for instance
  std::size_t line;  // from 1
};

// The first of: what has the mark; PEM and the beginnings of the keys that we make without it; a token that
// is signed; a line of a key that learn_key() was told; one of `others`.
std::optional<FoundSecret> find_secret(std::string_view text, const std::vector<std::string>& others = {});

// What a program must not repeat of what it was started with: the values of options and variables that are
// there for secrets.
std::vector<std::string> secrets_given(const std::vector<std::string>& argv,
                                       const std::map<std::string, std::optional<std::string>>& env);

// The private key in this text (PEM, indented or not), if there is one, is looked for from now on, line by
// line.
void learn_key(std::string_view text);

// Fails the test when there is one; `where` says in what, such as "cnspec status, standard error". Outside of
// any test, where nothing is left to fail, it ends the program with 1.
void expect_no_secret(std::string_view text, const std::string& where,
                      const std::vector<std::string>& others = {});

}  // namespace cnspec::test
