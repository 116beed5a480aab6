// Texts that providers put into messages and requests.
#pragma once

#include <cnspec/provider.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cnspec::providers {

// In double quotes and fit for a terminal: control characters and what is not ASCII become '?', and what is
// longer than 400 bytes is cut.
std::string quoted(std::string_view text);
// The same without the quotes, for the sentences of a remote system.
std::string one_line(std::string_view text);

std::string_view trimmed(std::string_view text);

// The candidate that `wanted` is most likely a misspelling of; nothing when none is near.
std::optional<std::string> nearest(std::string_view wanted, const std::vector<std::string>& candidates);

// The environment variable; nothing when it is unset or empty, which mean the same here.
std::optional<std::string> env(const char* name);

// A whole file of at most 1 MiB that need not exist: then there is nothing. Every other trouble throws an
// Error that says `what` it is, the path and the reason.
std::optional<std::string> read_optional(const std::string& path, const std::string& what);

// A text that is overwritten when it goes, and is never printed.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  Secret(const Secret&) = default;
  Secret& operator=(const Secret& other);
  ~Secret();

  const std::string& reveal() const { return text_; }
  bool empty() const { return text_.empty(); }

 private:
  std::string text_;
};

// `text` with every secret in it, plain or percent-encoded, replaced by "***": remote systems like to echo.
std::string without(std::string text, const std::vector<Secret>& secrets);

}  // namespace cnspec::providers
