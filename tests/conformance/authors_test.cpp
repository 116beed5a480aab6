// What somebody else does who writes a provider: with CMake and the installed SDK, or with a C compiler
// alone.

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "provider/discovery.hpp"
#include "provider/provider.hpp"
#include "support/process.hpp"

namespace {

namespace fs = std::filesystem;
using namespace cnspec::provider;
using cnspec::test::Argv;
using cnspec::test::TempDir;

const std::string kExamples = std::string(CNSPEC_SOURCE_DIR) + "/sdk/examples/";

void must(const Argv& argv) {
  const auto result = cnspec::test::run(argv);
  ASSERT_EQ(result.exit_code, 0) << argv[0] << ": " << result.out << result.err;
}

// Connects the one provider in the folder to "you" and fetches everything of the type.
cnspec::Result<std::vector<Row>> ask(const fs::path& folder, const std::string& name,
                                     const std::string& type) {
  SearchOptions options;
  options.flag_paths = {folder.string()};
  const Inventory inventory = discover(options);
  const Found* found = inventory.by_name(name);
  if (!found) return cnspec::fail("not found");
  auto provider = load_in_process(*found, {}, {});
  if (!provider) return cnspec::fail(provider.error());
  auto connection = (*provider)->connect({name, {"you"}, {}, {}}, {});
  if (!connection) return cnspec::fail(connection.error());
  auto asset = (*connection)->identify({});
  if (!asset) return cnspec::fail(asset.error());
  if (asset->text("name") != "you") return cnspec::fail("identified as " + asset->text("name"));
  return (*connection)->fetch({type, "", {}, {}}, {});
}

TEST(Author, BuildsAProviderInCppAgainstTheInstalledSdk) {
  const TempDir folder;
  const std::string prefix = folder / "prefix";
  const std::string build = folder / "build";
  must({"cmake", "--install", CNSPEC_BUILD_DIR, "--component", "sdk", "--prefix", prefix});
  must({"cmake", "-G", "Ninja", "-S", kExamples + "hello-cpp", "-B", build, "-DCMAKE_PREFIX_PATH=" + prefix});
  must({"cmake", "--build", build});
  const auto rows = ask(build, "hello", "greeting");
  ASSERT_TRUE(rows) << rows.error().message();
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ(rows->front().text("text"), "Hello, you!");

  // Nothing but the entry function can be seen from outside.
  const auto symbols =
      cnspec::test::run({"nm", "--dynamic", "--defined-only", "--extern-only", build + "/hello.so"});
  EXPECT_EQ(symbols.out.find("cnspec_provider_entry_v1\n") + 25, symbols.out.size()) << symbols.out;
  EXPECT_EQ(std::count(symbols.out.begin(), symbols.out.end(), '\n'), 1) << symbols.out;
}

TEST(Author, IsToldAtBuildTimeWhatIsWrongWithTheYaml) {
  const TempDir folder;
  const std::string prefix = folder / "prefix";
  fs::copy(kExamples + "hello-cpp", folder / "source", fs::copy_options::recursive);
  std::string yaml = cnspec::test::read_file(folder / "source/provider.yaml");
  const std::size_t wrong = yaml.find("type: string");
  const auto line = std::count(yaml.begin(), yaml.begin() + static_cast<std::ptrdiff_t>(wrong), '\n') + 1;
  folder.write("source/provider.yaml", yaml.replace(wrong, 12, "type: strnig"));
  must({"cmake", "--install", CNSPEC_BUILD_DIR, "--component", "sdk", "--prefix", prefix});
  must({"cmake", "-G", "Ninja", "-S", folder / "source", "-B", folder / "build",
        "-DCMAKE_PREFIX_PATH=" + prefix});
  const auto built = cnspec::test::run({"cmake", "--build", folder / "build"});
  EXPECT_NE(built.exit_code, 0);
  const std::string expected =
      (folder / "source/provider.yaml").string() + ":" + std::to_string(line) +
      ": resource \"greeting\", field \"text\": type \"strnig\" is neither a basic type nor a "
      "resource\n";
  EXPECT_NE(built.out.find(expected), std::string::npos) << built.out;
}

TEST(Author, BuildsAProviderInCWithACompilerAlone) {
  const TempDir folder;
  const std::string library = folder / "providers/coffee.so";
  fs::create_directory(folder / "providers");
  must({cnspec::test::program("cnspec-manifest"), kExamples + "hello-c/provider.yaml", "--output",
        folder.path()});
  must({"cc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-shared", "-fPIC",
        "-fvisibility=hidden", "-I", std::string(CNSPEC_SOURCE_DIR) + "/sdk/include", "-I", folder.path(),
        kExamples + "hello-c/coffee.c", folder / "manifest.c", "-o", library});
  fs::permissions(library, fs::perms(0755));
  const auto rows = ask(folder / "providers", "coffee", "coffee.pot");
  ASSERT_TRUE(rows) << rows.error().message();
  ASSERT_EQ(rows->size(), 1u);
  EXPECT_EQ(rows->front().text("cups"), "4");
  EXPECT_EQ(rows->front().text("fresh"), "true");
}

}  // namespace
