// Which providers are found, in which order, and what is said about the rest; on real folders full of real
// files.

#include "provider/discovery.hpp"

#include <gtest/gtest.h>
#include <link.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "support/process.hpp"

namespace {

namespace fs = std::filesystem;
using namespace cnspec::provider;
using cnspec::test::TempDir;

// The example provider under another name of five letters, and of the id that goes with it.
std::string library(const std::string& name) {
  static const std::string original = cnspec::test::read_file(EXAMPLE_PROVIDER);
  std::string bytes = original;
  for (auto at = bytes.find("hello"); at != std::string::npos; at = bytes.find("hello", at + 5)) {
    bytes.replace(at, 5, name);
  }
  return bytes;
}

std::string replaced(std::string bytes, const std::string& from, const std::string& to) {
  EXPECT_EQ(from.size(), to.size());
  const auto at = bytes.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? bytes : bytes.replace(at, from.size(), to);
}

class Discovery : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("HOME", home_.path().c_str(), 1);
    ::unsetenv("PROVIDERS_PATH");
  }

  // The folders of the flag, and the bundled one, alone; the system's folder is whatever the machine has.
  Inventory find(const std::vector<std::string>& flag_paths, const fs::path& bundled = {}) {
    SearchOptions options;
    options.flag_paths = flag_paths;
    options.bundled = bundled;
    return discover(options);
  }
  static std::vector<std::string> names(const Inventory& inventory) {
    std::vector<std::string> out;
    for (const Found& found : inventory.active) {
      if (found.origin != Origin::kSystem) out.push_back(found.manifest.name);
    }
    return out;
  }
  static std::map<std::string, std::string> refusals(const Inventory& inventory) {
    std::map<std::string, std::string> out;
    for (const Refused& refused : inventory.refused) {
      if (refused.origin != Origin::kSystem) out[refused.path.filename().string()] = refused.reason.message();
    }
    return out;
  }

  TempDir folder_;
  TempDir home_;
};

using Names = std::vector<std::string>;

TEST_F(Discovery, FindsBothLayouts) {
  folder_.write("alpha.so", library("alpha"), 0644);
  folder_.write("gamma/gamma.so", library("gamma"), 0644);
  folder_.write("gamma/gamma.json", "{}");
  folder_.write("gamma/other.so", "not looked at");
  folder_.write("notes.json", "{}");
  folder_.write(".hidden.so", "not looked at");
  const Inventory inventory = find({folder_.path().string()});
  EXPECT_EQ(names(inventory), (Names{"alpha", "gamma"}));
  EXPECT_EQ(refusals(inventory), (std::map<std::string, std::string>{}));
  EXPECT_EQ(inventory.by_name("gamma")->path, folder_ / "gamma/gamma.so");
  EXPECT_EQ(inventory.by_name("gamma")->origin, Origin::kFlag);
  EXPECT_EQ(inventory.by_connector("alpha")->manifest.id, "example.com/providers/alpha");
  EXPECT_EQ(inventory.by_name("delta"), nullptr);
  EXPECT_EQ(inventory.by_connector("delta"), nullptr);
}

TEST_F(Discovery, SearchesFlagThenUserThenBundled) {
  const TempDir second;
  const TempDir bundled;
  folder_.write("alpha.so", library("alpha"), 0644);
  second.write("alpha.so", library("alpha"), 0644);
  second.write("gamma.so", library("gamma"), 0644);
  home_.write(".config/mondoo/providers/gamma.so", library("gamma"), 0644);
  home_.write(".config/mondoo/providers/delta.so", library("delta"), 0644);
  bundled.write("delta.so", library("delta"), 0644);
  bundled.write("omega.so", library("omega"), 0644);
  const Inventory inventory = find({folder_.path().string(), second.path().string()}, bundled.path());
  EXPECT_EQ(names(inventory), (Names{"alpha", "delta", "gamma", "omega"}));
  EXPECT_EQ(inventory.by_name("alpha")->path, folder_ / "alpha.so");
  EXPECT_EQ(inventory.by_name("gamma")->path, second / "gamma.so");
  EXPECT_EQ(inventory.by_name("delta")->origin, Origin::kUser);
  EXPECT_EQ(inventory.by_name("omega")->origin, Origin::kBundled);

  std::vector<std::pair<fs::path, fs::path>> shadowed;
  for (const Shadowed& s : inventory.shadowed) shadowed.emplace_back(s.provider.path, s.by);
  EXPECT_EQ(shadowed, (std::vector<std::pair<fs::path, fs::path>>{
                          {second / "alpha.so", folder_ / "alpha.so"},
                          {home_ / ".config/mondoo/providers/gamma.so", second / "gamma.so"},
                          {bundled / "delta.so", home_ / ".config/mondoo/providers/delta.so"}}));
}

TEST_F(Discovery, LetsProvidersPathReplaceTheUsersAndTheSystemsFolders) {
  home_.write(".config/mondoo/providers/delta.so", library("delta"), 0644);
  folder_.write("alpha.so", library("alpha"), 0644);
  const TempDir second;
  second.write("gamma.so", library("gamma"), 0644);
  ::setenv("PROVIDERS_PATH", (folder_.path().string() + ":" + second.path().string()).c_str(), 1);
  const Inventory inventory = find({});
  EXPECT_EQ(names(inventory), (Names{"alpha", "gamma"}));
  EXPECT_EQ(inventory.by_name("alpha")->origin, Origin::kEnvironment);
  ASSERT_EQ(inventory.folders.size(), 2u);
  EXPECT_EQ(inventory.folders[1].path, second.path());
}

TEST_F(Discovery, RefusesEmptyAndRelativeEntriesAndKeepsTheOthers) {
  folder_.write("alpha.so", library("alpha"), 0644);
  ::setenv("PROVIDERS_PATH", (":lib:./x:../y:~/z:" + folder_.path().string() + ":").c_str(), 1);
  const Inventory inventory = find({"", "rel"});
  EXPECT_EQ(names(inventory), (Names{"alpha"}));
  std::vector<std::string> said;
  for (const Refused& refused : inventory.refused)
    said.push_back(refused.path.string() + ": " + refused.reason.message());
  EXPECT_EQ(said, (Names{": --providers-path has an empty entry, expected an absolute path",
                         "rel: --providers-path has a relative entry, expected an absolute path",
                         ": PROVIDERS_PATH has an empty entry, expected an absolute path",
                         "lib: PROVIDERS_PATH has a relative entry, expected an absolute path",
                         "./x: PROVIDERS_PATH has a relative entry, expected an absolute path",
                         "../y: PROVIDERS_PATH has a relative entry, expected an absolute path",
                         "~/z: PROVIDERS_PATH has a relative entry, expected an absolute path",
                         ": PROVIDERS_PATH has an empty entry, expected an absolute path"}));
}

TEST_F(Discovery, NeverLooksIntoTheWorkingDirectory) {
  folder_.write("alpha.so", library("alpha"), 0644);
  const auto before = fs::current_path();
  fs::current_path(folder_.path());
  ::setenv("HOME", ".", 1);
  const Inventory inventory = find({"."});
  fs::current_path(before);
  EXPECT_EQ(names(inventory), Names{});
}

TEST_F(Discovery, NamesAFolderThatIsNotThere) {
  const Inventory inventory = find({(folder_ / "gone").string()}, folder_ / "bundled");
  EXPECT_EQ(refusals(inventory),
            (std::map<std::string, std::string>{
                {"gone", (folder_ / "gone").string() + ": No such file or directory"},
                {"bundled", (folder_ / "bundled").string() + ": No such file or directory"}}));
}

TEST_F(Discovery, RefusesAFolderThatOthersCanWrite) {
  folder_.write("alpha.so", library("alpha"), 0644);
  fs::permissions(folder_.path(), fs::perms(0770));
  const Inventory inventory = find({folder_.path().string()});
  EXPECT_EQ(names(inventory), Names{});
  EXPECT_EQ(refusals(inventory)[folder_.path().filename().string()],
            "the folder " + folder_.path().string() + " is writable by its group (mode 0770)");
}

TEST_F(Discovery, LetsNoBadEntryHideAGoodOne) {
  folder_.write("alpha.so", library("alpha"), 0644);
  folder_.write("zzzzz.so", library("omega"), 0644);

  folder_.write("b-text.so", "just some notes\n");
  folder_.write("b-empty.so", "");
  folder_.write("b-cut.so", library("delta").substr(0, 4096));
  folder_.write("b-world.so", library("delta"), 0666);
  folder_.write("b-script", "#!/bin/sh\n", 0755);
  folder_.write("b-json.so", replaced(library("delta"), "{\"id\":", "{{{{{{"));
  folder_.write("b-size.so", replaced(library("delta"), "CNSPECMF", "CNSPECMX"));
  folder_.write("b-os.so", replaced(library("delta"), "\"os\":\"linux\"", "\"os\":\"beos5\""));
  folder_.write("b-id.so", replaced(library("delta"), "\"id\":\"example.com", "\"id\":\"../mple.com"));
  folder_.write("b-\n.so", "x");
  folder_.write("b-\xff.so", "x");
  ASSERT_EQ(::mkfifo((folder_ / "b-fifo.so").c_str(), 0600), 0);
  fs::create_directory(folder_ / "b-folder");
  fs::create_directory(folder_ / "b-folder.so");
  fs::create_symlink("b-loop.so", folder_ / "b-loop.so");
  fs::create_symlink("nowhere", folder_ / "b-dangling.so");
  folder_.write("b-open/b-open.so", library("delta"), 0644);
  fs::permissions(folder_ / "b-open", fs::perms(0777));

  const Inventory inventory = find({folder_.path().string()});
  EXPECT_EQ(names(inventory), (Names{"alpha", "omega"}));
  auto said = refusals(inventory);
  EXPECT_EQ(said.size(), 17u);
  EXPECT_EQ(said["b-text.so"], "expected a shared library (ELF), found a text file");
  EXPECT_EQ(said["b-empty.so"], "expected a shared library (ELF), found an empty file");
  EXPECT_EQ(said["b-cut.so"].substr(0, 8), "cut off:");
  EXPECT_EQ(said["b-world.so"], "the file is writable by everybody (mode 0666)");
  EXPECT_EQ(said["b-script"], "expected a name that ends in .so");
  EXPECT_EQ(said["b-json.so"].substr(0, 35), "manifest: invalid JSON at byte 1: M");
  EXPECT_EQ(said["b-size.so"], "manifest: expected it to begin with CNSPECMF, found \"CNSPECMX\"");
  EXPECT_TRUE(said["b-os.so"].starts_with("manifest: expected linux/")) << said["b-os.so"];
  EXPECT_EQ(
      said["b-id.so"],
      "manifest: id must look like example.com/providers/coffee, found \"../mple.com/providers/delta\"");
  EXPECT_EQ(said["b-\n.so"], "expected a shared library (ELF), found a text file");
  EXPECT_EQ(said["b-\xff.so"], "expected a shared library (ELF), found a text file");
  EXPECT_EQ(said["b-fifo.so"], "a FIFO, expected a shared library");
  EXPECT_EQ(said["b-folder"], "a folder without a provider in it, expected b-folder.so");
  EXPECT_EQ(said["b-folder.so"], "a folder, expected a shared library");
  EXPECT_EQ(said["b-loop.so"], "a link that leads back to itself");
  EXPECT_EQ(said["b-dangling.so"], "a link to a file that does not exist");
  EXPECT_EQ(said["b-open"],
            "the folder " + (folder_ / "b-open").string() + " is writable by everybody (mode 0777)");
}

TEST_F(Discovery, ReportsASecondProviderOfOneIdOrOneName) {
  folder_.write("a.so", library("alpha"), 0644);
  folder_.write("b.so", library("alpha"), 0644);
  folder_.write("c.so", replaced(library("alpha"), "providers/alpha", "providers/omega"), 0644);
  folder_.write("d.so", replaced(library("omega"), "providers/omega", "providers/alpha"), 0644);
  folder_.write("e.so", library("omega"), 0644);
  const Inventory inventory = find({folder_.path().string()});
  EXPECT_EQ(names(inventory), (Names{"alpha", "omega"}));
  EXPECT_EQ(inventory.by_name("omega")->path, folder_ / "e.so") << "one that is shadowed shadows none";
  ASSERT_EQ(inventory.shadowed.size(), 3u);
  for (const Shadowed& shadowed : inventory.shadowed) EXPECT_EQ(shadowed.by, folder_ / "a.so");
}

TEST_F(Discovery, ListsAThousandInOrderAndLoadsNone) {
  Names expected;
  for (int i = 0; i < 1000; ++i) {
    char name[16];
    std::snprintf(name, sizeof name, "p%04d", i);
    expected.emplace_back(name);
    folder_.write(std::string(name) + ".so", library(name), 0644);
  }
  folder_.write("p0500x.so", "bad\n");
  const Inventory inventory = find({folder_.path().string()});
  EXPECT_EQ(names(inventory), expected);
  EXPECT_EQ(refusals(inventory).size(), 1u);
  int loaded = 0;
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* count) {
        if (std::string_view(info->dlpi_name).find("/p0") != std::string_view::npos)
          ++*static_cast<int*>(count);
        return 0;
      },
      &loaded);
  EXPECT_EQ(loaded, 0);
}

}  // namespace
