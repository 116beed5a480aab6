#include "uuid.hpp"

#include "cnspec/provider.hpp"

namespace cnspec::coreprovider {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

const char* variant_of(int digit) {
  if (digit < 8) return "Reserved";
  if (digit < 12) return "RFC4122";
  return digit < 14 ? "Microsoft" : "Future";
}

}  // namespace

Uuid parse_uuid(std::string_view text) {
  const auto invalid = [&] {
    return sdk::Error(CNSPEC_INVALID, "invalid uuid: " + std::string(text.substr(0, 100)));
  };
  constexpr std::string_view kUrn = "urn:uuid:";
  std::string rest = lower(text.substr(0, 64));
  if (rest.starts_with(kUrn))
    rest.erase(0, kUrn.size());
  else if (rest.size() == 38 && rest.front() == '{' && rest.back() == '}')
    rest = rest.substr(1, 36);
  if (rest.size() == 32) {
    for (const std::size_t at : {8, 13, 18, 23}) rest.insert(at, 1, '-');
  }
  if (rest.size() != 36) throw invalid();
  for (std::size_t i = 0; i < rest.size(); ++i) {
    const bool hyphen = i == 8 || i == 13 || i == 18 || i == 23;
    if (hyphen ? rest[i] != '-' : hex_digit(rest[i]) < 0) throw invalid();
  }
  const int version = hex_digit(rest[14]);
  const char* variant = variant_of(hex_digit(rest[19]));
  return {std::move(rest), version, variant};
}

}  // namespace cnspec::coreprovider
