// Whether it is a file that may be taken for a provider.
#include "base/text.hpp"
#include "provider/verify/check.hpp"

namespace cnspec::provider::checks {

void check_file(Subject& subject) {
  const auto& path = subject.request.file;
  const auto section = read_section(path);
  if (!section) return subject.out.failed(section.error().message(), hint_for_file(section.error()));
  constexpr std::uint64_t kLarge = 64ull << 20;
  std::error_code failed;
  if (const auto size = std::filesystem::file_size(path, failed); !failed && size > kLarge) {
    subject.out.warning(
        "has " + std::to_string(size >> 20) + " MiB",
        "Link with -Wl,--gc-sections, use the shared libstdc++, and strip what is for debugging.");
  }
}

}  // namespace cnspec::provider::checks
