// cnspec-manifest: compiles an author's provider.yaml into manifest.c and manifest.h.

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include "manifest/generate.hpp"
#include "manifest/read_yaml.hpp"

namespace {

int usage() {
  std::fputs("usage: cnspec-manifest provider.yaml --output DIR [--version VERSION]\n", stderr);
  return 2;
}

bool write_file(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) std::fprintf(stderr, "%s: cannot be written\n", path.c_str());
  return !file.fail();
}

}  // namespace

int main(int argc, char** argv) {
  std::string yaml, output, version;
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--output" && i + 1 < argc) {
      output = argv[++i];
    } else if (arg == "--version" && i + 1 < argc) {
      version = argv[++i];
    } else if (yaml.empty() && !arg.starts_with("-")) {
      yaml = arg;
    } else {
      return usage();
    }
  }
  if (yaml.empty() || output.empty()) return usage();
  try {
    const auto manifest = cnspec::manifest::read_yaml(yaml, version);
    std::filesystem::create_directories(output);
    const bool written =
        write_file(std::filesystem::path(output) / "manifest.c", generate_source(manifest)) &&
        write_file(std::filesystem::path(output) / "manifest.h", generate_header(manifest));
    return written ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
