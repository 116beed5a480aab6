// mondoo.yml: what can be read can be changed, and is then what it was but for the changes.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "config/config.hpp"
#include "fuzz.hpp"

extern char** environ;

using namespace cnspec;
using namespace cnspec::fuzz;

namespace {

namespace fs = std::filesystem;

void forget_environment() {
  std::string name;
  for (char** entry = environ; *entry != nullptr;) {
    name = std::string_view(*entry).substr(0, std::string_view(*entry).find('='));
    if (!name.starts_with("MONDOO_")) {
      ++entry;
    } else {
      ::unsetenv(name.c_str());
      entry = environ;
    }
  }
}

void expect_readable(const Error& error) {
  require(error.kind() == ErrorKind::kConfig, "an unusable file is a configuration error");
  require(!error.message().empty() && error.message().find('\n') == std::string::npos, "in one line");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fs::path file = (forget_environment(), scratch_folder() / "mondoo.yml");
  {
    std::ofstream out(file, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  }
  auto before = config::load(file.string());
  if (!before) {
    expect_readable(before.error());
    return 0;
  }
  // Saving costs ten times what reading does; most of what can be read is like something that was saved
  // before.
  const std::vector<config::Change> changes = {
      {"agent_mrn", "//agents/1"},
      {"private_key", "-----BEGIN\nx\n-----END\n"},
      {"scan_interval.timer", "60"},
      {"certificate", std::nullopt},
      {"annotations", std::nullopt, {{"on", "1.10"}, {"a\tb", " c\n"}}}};
  if (auto saved = config::save(file, changes); !saved) {
    require(saved.error().message().find('\n') == std::string::npos, "in one line");
    return 0;
  }
  const auto after = config::load(file.string());
  if (!after) std::fprintf(stderr, "%s\n", after.error().message().c_str());
  require(after.has_value(), "what was saved can be read");
  require(after->agent_mrn == "//agents/1", "a text is set");
  require(after->private_key == "-----BEGIN\nx\n-----END\n", "a text of several lines is set");
  require(after->certificate.empty(), "a text is removed");
  require(after->annotations == changes.back().map, "a mapping is set");
  require(after->mrn == before->mrn && after->scope_mrn == before->scope_mrn && after->name == before->name &&
              after->api_endpoint == before->api_endpoint && after->jwt_token == before->jwt_token &&
              after->auth_method == before->auth_method,
          "everything else stays");
  return 0;
}
