// After all other tests: no process of theirs is left. One whose parent has died was adopted by an ancestor
// of ours, as everything in this suite would be; one that another run of the suite still uses was not.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace cnspec::test {
namespace {

namespace fs = std::filesystem;

pid_t parent_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string stat((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  // The name before it is in brackets and may hold anything.
  std::istringstream rest(stat.substr(std::min(stat.rfind(')') + 1, stat.size())));
  char state = 0;
  pid_t parent = 0;
  rest >> state >> parent;
  return parent;
}

std::vector<std::string> leftovers() {
  std::set<pid_t> ancestors;
  for (pid_t pid = ::getppid(); pid > 0 && ancestors.insert(pid).second; pid = parent_of(pid)) {
  }
  std::vector<std::string> out;
  std::error_code gone;
  for (fs::directory_iterator entry("/proc", gone), end; !gone && entry != end; entry.increment(gone)) {
    const fs::path& process = entry->path();
    const std::string name = process.filename();
    if (!std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; })) continue;
    std::error_code hidden;  // or it has ended
    const std::string program = fs::read_symlink(process / "exe", hidden);
    if (hidden || !program.starts_with(CNSPEC_BIN_DIR "/")) continue;
    if (!ancestors.contains(parent_of(std::stoi(name)))) continue;
    std::ifstream file(process / "cmdline");
    std::string command((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    std::ranges::replace(command, '\0', ' ');
    out.push_back(name + ": " + command);
  }
  return out;
}

TEST(Leftovers, NoProcessIsLeftByAnyTest) {
  // One that was told to end may need a moment.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  auto left = leftovers();
  while (!left.empty() && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
    left = leftovers();
  }
  EXPECT_EQ(left, std::vector<std::string>());
}

}  // namespace
}  // namespace cnspec::test
