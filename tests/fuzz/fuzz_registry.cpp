// What a registry answers, and what a lock file says. The first byte chooses which of them it is.
#include "base/names.hpp"
#include "base/text.hpp"
#include "fuzz.hpp"
#include "provider/lockfile.hpp"
#include "upstream/registry_answers.hpp"

using namespace cnspec;
using namespace cnspec::fuzz;

namespace {

void check(const Error& error) {
  const std::string message = error.message();
  require(is_utf8(message) && printable(message) == message, "a message can be printed on one line");
  require(message.size() < 64 * 1024, "a message is short");
}

// What becomes part of a path leads nowhere else.
void check_word(std::string_view word) {
  require(!word.empty() && word.front() != '.' && word.find('/') == word.npos,
          "a word is one part of a path");
}

void catalog(std::string_view input) {
  transport::Response response;
  response.status = 200;
  response.body = input;
  const auto versions = upstream::read_catalog(response, "https://registry/latest.json");
  if (!versions) return check(versions.error());
  for (const auto& [name, version] : *versions) {
    check_word(name);
    check_word(version);
  }
}

void checksums(std::string_view input) {
  const auto sums = upstream::read_checksums(input, "SHA256SUMS");
  if (!sums) return check(sums.error());
  for (const auto& [name, sum] : *sums) require(is_sha256(sum), "a sum is one");
}

void content_range(std::string_view input) {
  if (const auto range = upstream::read_content_range(input))
    require(range->first <= range->last && range->last < range->whole, "a range lies within the whole");
}

void lockfile(std::string_view input) {
  const auto lock = provider::parse_lockfile(input, "providers.lock");
  if (!lock) return check(lock.error());
  for (const auto& [name, locked] : lock->providers) {
    check_word(name);
    check_word(locked.version);
    require(!locked.platforms.empty(), "each provider is pinned for some platform");
  }
  const auto again = provider::parse_lockfile(to_text(*lock), "providers.lock");
  require(again && to_text(*again) == to_text(*lock), "what is written reads the same");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input = view(data, size);
  switch (take_byte(input) % 4) {
    case 0: catalog(input); break;
    case 1: checksums(input); break;
    case 2: content_range(input); break;
    default: lockfile(input); break;
  }
  return 0;
}
