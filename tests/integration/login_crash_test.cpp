// `cnspec login` and `cnspec logout` killed at every system call of their saving: the configuration is the
// old or the new, whole, and nobody else's to read.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <csignal>
#include <cstring>
#include <vector>

#include "support/cnspec.hpp"
#include "support/platform.hpp"

namespace cnspec::test {
namespace {

constexpr char kOld[] = "foo: kept # c\nname: old\n";

struct Killed {
  bool killed = false;
  int status = 0;  // else, of waitpid
};

// The path that the call of a stopped child begins with; empty for another call.
std::string opened_path(pid_t child) {
  __ptrace_syscall_info info{};
  ::ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info);
  if (info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr != SYS_openat) return {};
  std::string path(512, '\0');
  const iovec here{path.data(), path.size()};
  const iovec there{reinterpret_cast<void*>(info.entry.args[1]), path.size()};
  const ssize_t got = ::process_vm_readv(child, &here, 1, &there, 1, 0);
  path.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return path.substr(0, path.find('\0'));
}

// Runs the program and kills it at the system call (each counts twice, as it begins and as it ends) with that
// number, counted from the second time that it takes the configuration's lock. The first only tries the
// place.
Killed run_and_kill(const Argv& args, const User& user, int kill_at) {
  Argv words = args;
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string lock = user.config_file().string() + ".lock";

  const pid_t child = ::fork();
  if (child == 0) {
    for (const auto& [name, value] : user.env)
      value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
    ::setenv("ASAN_OPTIONS", "detect_leaks=0", 1);  // which does not work under ptrace
    const int nowhere = ::open("/dev/null", O_WRONLY);
    for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) ::dup2(nowhere, stream);
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  Killed out;
  ::waitpid(child, &out.status, 0);
  ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
  int locks = 0, calls = 0;
  while (WIFSTOPPED(out.status)) {
    const bool call = WSTOPSIG(out.status) == (SIGTRAP | 0x80);
    if (call && locks < 2 && opened_path(child) == lock) ++locks;
    if (call && locks == 2 && ++calls == kill_at) {
      ::kill(child, SIGKILL);
      ::waitpid(child, &out.status, 0);
      out.killed = true;
      return out;
    }
    const int signal = call || WSTOPSIG(out.status) == SIGTRAP ? 0 : WSTOPSIG(out.status);
    ::ptrace(PTRACE_SYSCALL, child, nullptr, signal);
    ::waitpid(child, &out.status, 0);
  }
  return out;
}

int files_in(const std::filesystem::path& folder) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    ++files;
    struct stat info {};
    EXPECT_EQ(::stat(entry.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777u, 0600u) << entry.path();
  }
  return files;
}

// Of every run the configuration was the old one, or one that `is_new` finds good; the last run ended by
// itself.
template <class Check>
void kill_everywhere(const Argv& args, const User& user, const std::string& old, Check is_new) {
  int old_ones = 0, new_ones = 0;
  for (int kill_at = 1;; kill_at += kStride) {
    SCOPED_TRACE(kill_at);
    user.home().write(".config/mondoo/mondoo.yml", old);
    const Killed run = run_and_kill(args, user, kill_at);
    const std::string text = read_file(user.config_file());
    if (text == old) {
      ++old_ones;
    } else {
      ++new_ones;
      ASSERT_NO_FATAL_FAILURE(is_new(text));
    }
    files_in(user.config_file().parent_path());
    if (run.killed) continue;
    EXPECT_TRUE(WIFEXITED(run.status) && WEXITSTATUS(run.status) == 0) << run.status;
    EXPECT_NE(text, old);
    break;
  }
  EXPECT_GT(old_ones, 10 / kStride);
  EXPECT_GT(new_ones, 5 / kStride);
  // What was left behind is in nobody's way, and is gone.
  EXPECT_EQ(files_in(user.config_file().parent_path()), 1);
}

TEST(LoginCrashTest, KilledAtEverySystemCallOfItsSavingItLeavesTheOldOrTheNew) {
  const Platform platform;
  const User user;
  const Argv login = {program("cnspec"), "login",     "--token",
                      platform.token(),  "--ca-file", platform.ca_file()};
  kill_everywhere(login, user, kOld, [](const std::string& text) {
    ASSERT_TRUE(text.starts_with(kOld)) << text;
    const YAML::Node config = YAML::Load(text);
    ASSERT_TRUE(config["agent_mrn"].IsDefined());
    ASSERT_TRUE(config["private_key"].as<std::string>().ends_with("-----END PRIVATE KEY-----\n"));
    ASSERT_TRUE(config["certificate"].as<std::string>().ends_with("-----END CERTIFICATE-----\n"));
  });
  EXPECT_EQ(user.run({"status"}).exit_code, 0);
}

TEST(LogoutCrashTest, KilledAtEverySystemCallOfItsSavingItLeavesTheOldOrTheNew) {
  // So that the same credentials can be given back again and again.
  const Platform platform({"--fail", "AgentManager/UnRegisterAgent=NotFound"});
  const User user;
  user.home().write(".config/mondoo/mondoo.yml", kOld);
  ASSERT_EQ(user.run({"login", "--token", platform.token(), "--ca-file", platform.ca_file()}).exit_code, 0);
  const std::string logged_in = read_file(user.config_file());
  kill_everywhere({program("cnspec"), "logout", "--force"}, user, logged_in, [&](const std::string& text) {
    ASSERT_EQ(text,
              kOld + ("ca_file: \"" + platform.ca_file() + "\"\napi_endpoint: \"" + platform.url() + "\"\n"));
  });
  EXPECT_EQ(user.run({"logout", "--force"}).exit_code, 78) << "nobody is logged in";
}

}  // namespace
}  // namespace cnspec::test
