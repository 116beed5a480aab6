// What the manifest says, and what it does not.
#include <algorithm>

#include "base/text.hpp"
#include "provider/manifest.hpp"
#include "provider/verify/check.hpp"

namespace cnspec::provider::checks {

void check_manifest(Subject& subject) {
  const auto section = read_section(subject.request.file);
  if (!section) return subject.out.failed(section.error().message(), hint_for_file(section.error()));
  const auto read = read_manifest(*section);
  if (!read) {
    return subject.out.failed(
        read.error().message(),
        "Make it from provider.yaml with cnspec-manifest, as cnspec_add_provider does.");
  }
  const Manifest& manifest = *read;
  const std::string expected = manifest.name + ".so";
  if (subject.request.file.filename() != expected) {
    subject.out.warning("the file is called " + printable(subject.request.file.filename().string()) +
                            ", its provider " + manifest.name,
                        "Call it " + expected + ": that is what is installed and listed.");
  }
  if (manifest.summary.empty())
    subject.out.warning("has no summary", "Say in provider.yaml, in one line, what it reaches.");
  if (manifest.connectors.empty())
    subject.out.warning("has no connectors", "Without one nobody can connect: add it to provider.yaml.");
  std::vector<std::string> undocumented;
  for (const auto& resource : manifest.resources) {
    if (resource.doc.empty()) undocumented.push_back(resource.name);
    for (const auto& field : resource.fields) {
      if (field.doc.empty()) undocumented.push_back(resource.name + "." + field.name);
    }
  }
  if (!undocumented.empty()) {
    const std::size_t total = undocumented.size();
    constexpr std::size_t kShown = 5;
    if (undocumented.size() > kShown) undocumented.resize(kShown);
    subject.out.warning("does not say what " + count(total, "resource or field") +
                            " means: " + join(undocumented, ", ") + (total > kShown ? ", ..." : ""),
                        "Give each a doc in provider.yaml: users and completion show it.");
  }
  const auto holds = [](const std::vector<std::string>& list, const char* word) {
    return std::ranges::find(list, word) != list.end();
  };
  if (holds(manifest.capabilities.network, "*")) {
    subject.out.warning("asks for every host of the network",
                        "Name the hosts under capabilities: network, so that users can see where it goes.");
  }
  if (holds(manifest.capabilities.files, "/")) {
    subject.out.warning("asks for every file",
                        "Name the folders under capabilities: files, so that users can see what it reads.");
  }
}

}  // namespace cnspec::provider::checks
