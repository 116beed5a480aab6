// What a confined process can and cannot do, and how it reads: tests/conformance/hostile makes the attempts.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "provider/sandbox.hpp"
#include "support/process.hpp"

namespace cnspec::test {
namespace {

namespace fs = std::filesystem;

constexpr char kSucceeded[] = "succeeded";
constexpr char kDenied[] = "Permission denied";
constexpr char kNotPermitted[] = "Operation not permitted";
constexpr char kNetwork[] = "was stopped: it lacks the capability network.";
constexpr char kExec[] = "was stopped: it lacks the capability exec.";
// Where the kernel asks nobody it ends the process, and no more is known.
constexpr char kUnnamed[] =
    "was stopped: it made a system call that its capabilities do not cover. It lacks exec if it started a "
    "program, which is the usual case, or network if it opened a socket";
constexpr char kProcess[] = "was stopped: it reached for another process";

// A machine without Landlock or seccomp fails these tests, by name; with an older Landlock, all hold but the
// one about signals from programs.
TEST(SandboxOfThisMachine, CanConfine) {
  for (const std::string& gap : provider::sandbox_gaps()) {
    std::cout << "not kept from isolated providers on this machine: " << gap << std::endl;
    EXPECT_TRUE(gap.starts_with("the number of threads") || gap.starts_with("signals")) << gap;
  }
}

struct Outcome {
  std::string result;
  std::string reported;
};

// Once as we are and, being root, once as a user who owns nothing.
class Confined : public ::testing::TestWithParam<uid_t> {
 protected:
  Confined() {
    // The ordinary user has to come in.
    EXPECT_EQ(::chmod(folder_.path().c_str(), 0755), 0);
    EXPECT_EQ(::chown(folder_.path().c_str(), GetParam(), GetParam()), 0);
  }

  std::string file(const std::string& name, mode_t mode = 0600) const {
    const fs::path path = folder_.write(name, "hidden words\n", mode);
    for (fs::path p = path; p != folder_.path(); p = p.parent_path())
      EXPECT_EQ(::chown(p.c_str(), GetParam(), GetParam()), 0);
    return path.string();
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  // In front of a command.
  static Argv as_user() {
    if (GetParam() == ::geteuid()) return {};
    const std::string id = std::to_string(GetParam());
    return {"setpriv", "--reuid", id, "--regid", id, "--clear-groups"};
  }

  Outcome attempt(const Argv& arguments, const std::string& home = "/nowhere") const {
    Argv argv = as_user();
    argv.push_back(CONFINED);
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    ProcessOptions options;
    options.env["HOME"] = home;
    options.env["TMPDIR"] = "/tmp";
    const RunResult r = run(argv, options);
    EXPECT_EQ(r.exit_code, 0) << r.err;
    return {r.out.substr(0, r.out.find('\n')), r.err};
  }
  std::string result(const Argv& arguments) const { return attempt(arguments).result; }

  void expect_stopped(const Argv& arguments, const char* verdict, const std::string& line) const {
    const Outcome outcome = attempt(arguments);
    EXPECT_EQ(outcome.result.substr(0, std::string(verdict).size()), verdict) << arguments.front();
    EXPECT_NE(outcome.reported.find("sandbox: stopped at " + line + "\n"), std::string::npos)
        << arguments.front() << ": " << outcome.reported;
  }
  void expect_refused(const Argv& arguments, const std::string& line,
                      const char* error = kNotPermitted) const {
    const Outcome outcome = attempt(arguments);
    EXPECT_EQ(outcome.result, error) << arguments.front();
    EXPECT_NE(outcome.reported.find("sandbox: refused " + line + "\n"), std::string::npos)
        << arguments.front() << ": " << outcome.reported;
  }

  TempDir folder_;
};

std::vector<uid_t> users() {
  if (::geteuid() != 0) return {::geteuid()};
  return {0, 65534};
}
std::string name_of(const ::testing::TestParamInfo<uid_t>& user) {
  return user.param == 0 ? "Root" : "User" + std::to_string(user.param);
}
INSTANTIATE_TEST_SUITE_P(As, Confined, ::testing::ValuesIn(users()), name_of);

TEST_P(Confined, NeedsNoCapabilityForItself) {
  for (const char* what : {"nothing", "thread", "pair", "scratch", "signal-self", "queue-itself", "1-gib",
                           "reopen-output", "dumpable"})
    EXPECT_EQ(result({what}), kSucceeded) << what;
  EXPECT_EQ(result({"abort"}), "signal 6");
  EXPECT_EQ(result({"raise-sigsys"}), kUnnamed);  // its own doing, in the kernel's words
  EXPECT_EQ(result({"handler"}), kSucceeded);     // as runtimes handle every signal there is
  EXPECT_EQ(result({"read", "/proc/self/maps"}), kSucceeded);
  EXPECT_EQ(result({"read", "/dev/urandom"}), kSucceeded);
  EXPECT_EQ(result({"write", "/dev/null"}), kSucceeded);
  EXPECT_EQ(result({"dlopen", "libcrypto.so.3"}), kSucceeded);
}

TEST_P(Confined, ReadsWhatIsDeclared) {
  const std::string declared = file("declared/file");
  const std::string other = file("other/file", 0644);
  EXPECT_EQ(result({"read", declared}), kDenied);
  EXPECT_EQ(result({"list", path("declared")}), kDenied);
  EXPECT_EQ(result({"--files", path("declared"), "read", declared}), kSucceeded);
  EXPECT_EQ(result({"--files", declared, "read", declared}), kSucceeded);
  EXPECT_EQ(result({"--files", path("declared"), "read", other}), kDenied);
  EXPECT_EQ(result({"--files", path("missing"), "read", other}), kDenied);
  EXPECT_EQ(result({"read", "/etc/passwd"}), kDenied);
  EXPECT_EQ(attempt({"--files", "~/declared", "read", declared}, folder_.path().string()).result, kSucceeded);
  EXPECT_EQ(attempt({"--files", "~", "read", other}, "").result, kDenied);
  EXPECT_EQ(result({"--files", "env:CONFINED_NO_SUCH", "read", other}), kDenied);
}

// The kernel tells nobody but the provider what Landlock refuses; its keeper tells the user.
TEST_P(Confined, IsToldOfEachFileThatWasRefused) {
  const std::string declared = file("declared/file");
  const std::string other = file("other/file", 0644);
  const std::string secret = file("config/mondoo.yml");
  fs::create_hard_link(secret, path("declared/copy"));
  fs::create_symlink(other, path("declared/link"));
  const std::string not_named = ": the capability files does not name it";
  const auto refused = [&](Argv attempt, const std::string& what) {
    attempt.insert(attempt.begin(), {"--files", path("declared"), "--secret", secret});
    expect_refused(attempt, what, kDenied);
  };
  refused({"read", other}, "reading " + other + not_named);
  refused({"read", "/proc/self/root" + other}, "reading " + other + not_named);
  refused({"read", path("declared/../other/./file")}, "reading " + other + not_named);
  refused({"read", path("declared/link")}, "reading " + other + not_named);
  refused({"read", path("declared/copy")}, "reading " + path("declared/copy") + not_named);
  refused({"read", secret}, "reading " + secret + not_named);
  refused({"read", "/etc/shadow"}, "reading /etc/shadow" + not_named);
  refused({"list", path("other")}, "reading " + path("other") + not_named);
  refused({"read", "/proc/1/environ"}, "reading /proc/1/environ: no capability reaches other processes");
  const std::string elsewhere = ": it writes in its own temporary folder only";
  for (const char* what : {"write", "unlink", "open-cut", "truncate"})
    refused({what, declared}, "writing " + declared + elsewhere);
  for (const char* what : {"write", "mkdir"})
    refused({what, path("declared/new")}, "writing " + path("declared/new") + elsewhere);
  refused({"open-new", path("declared/new")}, "writing " + path("declared/new") + elsewhere);
  refused({"make-by-link", path("other/new")}, "writing " + path("other/new") + elsewhere);
  refused({"move-out", path("other/new")}, "writing " + path("other/new") + elsewhere);
  for (const char* what : {"cut-neither", "open-neither"})
    expect_refused({what, other}, "open for neither reading nor writing: no capability allows it");
  expect_refused({"--exec", "true", "exec", "/usr/bin/id"},
                 "running /usr/bin/id: the capability exec does not name it", kDenied);
  // What is not there is no secret, and what may be done is not worth a word.
  for (const Argv& harmless :
       {Argv{"read", path("missing")}, Argv{"write", path("missing/file")}, Argv{"mkdir", path("other")},
        Argv{"unlink", path("missing")}, Argv{"read", declared}, Argv{"list", path("declared")},
        Argv{"scratch"}, Argv{"dlopen", "libcrypto.so.3"}, Argv{"read", "/dev/fd/0"}}) {
    Argv attempt = {"--files", declared, "--files", path("declared")};
    attempt.insert(attempt.end(), harmless.begin(), harmless.end());
    EXPECT_EQ(this->attempt(attempt).reported, "") << harmless.front();
  }
}

TEST_P(Confined, FollowsADeclaredLinkAndNoOther) {
  const std::string target = file("target/file");
  file("declared/own");
  fs::create_symlink(target, path("declared/link"));
  fs::create_symlink(path("target"), path("way"));
  EXPECT_EQ(result({"--files", path("declared"), "read", path("declared/link")}), kDenied);
  EXPECT_EQ(result({"--files", path("way"), "read", path("way/file")}), kSucceeded);
}

TEST_P(Confined, NeverReadsTheProgramsOwnSecrets) {
  const std::string secret = file("config/mondoo.yml");
  const std::string beside = file("config/notes");
  const Argv secrets = {"--secret", secret};
  const auto with = [&](Argv more) {
    more.insert(more.begin(), secrets.begin(), secrets.end());
    return result(more);
  };
  EXPECT_EQ(with({"--files", "/", "read", secret}), kDenied);
  EXPECT_EQ(with({"--files", path("config"), "read", secret}), kDenied);
  EXPECT_EQ(with({"--files", secret, "read", secret}), kDenied);
  EXPECT_EQ(with({"--exec", secret, "read", secret}), kDenied);
  EXPECT_EQ(with({"--exec", "/", "read", secret}), kDenied);
  EXPECT_EQ(with({"--exec", path("config"), "read", beside}), kDenied);
  EXPECT_EQ(with({"--exec", beside, "read", beside}), kDenied);  // no program
  fs::permissions(secret, fs::perms::owner_all);
  EXPECT_EQ(with({"--exec", secret, "read", secret}), kDenied);
  EXPECT_EQ(with({"--files", "/", "read", beside}), kSucceeded);
  EXPECT_EQ(with({"--files", "/", "read", "/etc/passwd"}), kSucceeded);
  EXPECT_EQ(with({"--files", "/", "list", path("config")}), kSucceeded);
  // By another name.
  fs::create_symlink(secret, path("config/link"));
  fs::create_symlink(path("config"), path("alias"));
  EXPECT_EQ(with({"--files", path("alias"), "read", path("alias/mondoo.yml")}), kDenied);
  EXPECT_EQ(with({"--files", path("config/link"), "read", secret}), kDenied);
  EXPECT_EQ(with({"--files", path("config"), "read", path("config/link")}), kDenied);
  EXPECT_EQ(with({"--files", "/", "read", "/proc/self/root" + secret}), kDenied);
  const std::string linked = with({"--files", "/", "link", secret});
  EXPECT_TRUE(linked == "Invalid cross-device link" || linked == kDenied) << linked;
  EXPECT_EQ(with({"--files", "/", "symlink", secret}), kDenied);
}

// A rule for a file holds by all of its names.
TEST_P(Confined, ReadsNoSecretByAHardLink) {
  const std::string secret = file("config/mondoo.yml");
  const std::string beside = file("config/notes");
  const std::string key = file("home/.ssh/id");
  for (const char* name : {"config/copy", "backup"}) fs::create_hard_link(secret, path(name));
  fs::create_directory(folder_ / "old");
  fs::create_hard_link(key, path("old/id"));
  const auto with = [&](Argv more) {
    more.insert(more.begin(), {"--secret", secret});
    return attempt(more, path("home")).result;
  };
  for (const std::string& declared : {path("config"), folder_.path().string(), path("backup")}) {
    for (const std::string& name : {secret, path("config/copy"), path("backup")})
      EXPECT_EQ(with({"--files", declared, "read", name}), kDenied) << declared << ' ' << name;
  }
  EXPECT_EQ(with({"--files", path("old"), "read", path("old/id")}), kDenied);
  EXPECT_EQ(with({"--files", path("config"), "read", beside}), kSucceeded);
  EXPECT_EQ(with({"--files", beside, "read", beside}), kSucceeded);
}

TEST_P(Confined, ReadsNoPasswordsAndNoDevicesByABroadWord) {
  EXPECT_EQ(result({"read", "/etc/shadow"}), kDenied);
  EXPECT_EQ(result({"--files", "/", "read", "/etc/shadow"}), kDenied);
  EXPECT_EQ(result({"--files", "/etc", "read", "/etc/shadow"}), kDenied);
  EXPECT_EQ(result({"--files", "/", "list", "/dev/pts"}), kSucceeded);  // names, and no more
  EXPECT_EQ(result({"--files", "/", "read", "/dev/tty"}), kDenied);
  // Said in so many words it is up to the user's rights.
  EXPECT_EQ(result({"--files", "/etc/shadow", "read", "/etc/shadow"}),
            GetParam() == 0 ? kSucceeded : kDenied);
}

TEST_P(Confined, ReadsNoPrivateKeysByABroadWord) {
  const std::string key = file("home/.ssh/id_rsa");
  const std::string other = file("home/notes");
  const std::string home = path("home");
  EXPECT_EQ(attempt({"--files", "~", "read", key}, home).result, kDenied);
  EXPECT_EQ(attempt({"--files", "/", "read", key}, home).result, kDenied);
  EXPECT_EQ(attempt({"--files", "~", "read", other}, home).result, kSucceeded);
  EXPECT_EQ(attempt({"--files", "~/.ssh", "read", key}, home).result, kSucceeded);
}

TEST_P(Confined, WritesInItsFolderOnly) {
  const std::string declared = file("declared/file", 0666);
  const Argv reading = {"--files", path("declared")};
  const auto with = [&](Argv more) {
    more.insert(more.begin(), reading.begin(), reading.end());
    return more;
  };
  for (const char* what : {"write", "unlink"}) EXPECT_EQ(result(with({what, declared})), kDenied) << what;
  // By Landlock or, before version 3, by seccomp.
  for (const char* what : {"open-cut", "truncate"}) {
    const std::string outcome = result(with({what, declared}));
    EXPECT_TRUE(outcome == kDenied || outcome == kNotPermitted) << what << ": " << outcome;
  }
  EXPECT_EQ(result(with({"write", path("declared/new")})), kDenied);
  EXPECT_EQ(result(with({"mkdir", path("declared/new")})), kDenied);
  EXPECT_EQ(result({"write", "/tmp/cnspec-sandbox-test"}), kDenied);
  const std::string no_change = ": no capability changes files";
  expect_refused(with({"chmod", declared}), "chmod" + no_change);
  expect_refused(with({"chown", declared}), "chown" + no_change);
  expect_refused(with({"xattr", declared}), "setxattr" + no_change);
  expect_refused(with({"flags", declared}), "ioctl" + no_change);
  EXPECT_EQ(result(with({"chmod2", declared})), "Function not implemented");
  EXPECT_EQ(result(with({"new-xattr", declared})), "Function not implemented");
  EXPECT_EQ(read_file(declared), "hidden words\n");
}

// A listener that must not be reached.
class Listener {
 public:
  explicit Listener(int type) : fd_(::socket(AF_INET, type, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&at), size), 0);
    if (type == SOCK_STREAM) {
      EXPECT_EQ(::listen(fd_, 1), 0);
    }
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
  }
  ~Listener() { ::close(fd_); }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  std::string port() const { return std::to_string(port_); }

 private:
  int fd_;
  int port_ = 0;
};

TEST_P(Confined, HasNoNetwork) {
  const Listener tcp(SOCK_STREAM);
  const Listener udp(SOCK_DGRAM);
  const std::string lacks = ": the capability network is lacking (and gives HTTP through the host alone)";
  expect_stopped({"tcp", tcp.port()}, kNetwork, "socket" + lacks);
  expect_stopped({"packet"}, kNetwork, "socket" + lacks);
  expect_stopped({"pair-datagram"}, kNetwork, "socketpair" + lacks);
  // Refused and not stopped, since the C library tries these by itself: for a host's address.
  const Outcome datagrams = attempt({"udp", udp.port()});
  EXPECT_EQ(datagrams.result, kDenied);
  EXPECT_NE(datagrams.reported.find("sandbox: refused socket" + lacks + "\n"), std::string::npos)
      << datagrams.reported;
  EXPECT_EQ(result({"resolve"}), "Operation canceled");
  EXPECT_EQ(result({"io-uring"}), "Function not implemented");
}

TEST_P(Confined, ReachesNoSocketOfTheMachine) {
  const std::string socket_path = path("socket");
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  socket_path.copy(at.sun_path, sizeof at.sun_path - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
  ASSERT_EQ(::listen(fd, 1), 0);
  ::chmod(socket_path.c_str(), 0777);
  // Refused and not stopped, since the C library tries this by itself: for a user's name, for one.
  const Outcome outcome = attempt({"unix", socket_path});
  EXPECT_EQ(outcome.result, kDenied);
  EXPECT_NE(outcome.reported.find("sandbox: refused socket: "), std::string::npos) << outcome.reported;
  EXPECT_EQ(result({"--files", "/etc/passwd", "user-name"}), kSucceeded);
  EXPECT_EQ(result({"unix-blocked"}), kDenied);
  ::close(fd);
}

TEST_P(Confined, StartsNoProcess) {
  const std::string lacks = ": the capability exec is lacking";
  expect_stopped({"fork"}, kExec, "clone" + lacks);
  expect_stopped({"vfork"}, kExec, "clone" + lacks);
  expect_stopped({"spawn", "/bin/true"}, kExec, "clone" + lacks);
  expect_stopped({"exec", "/bin/true"}, kExec, "execve" + lacks);
  expect_stopped({"--files", "/", "exec-opened", "/bin/true"}, kExec, "execveat" + lacks);
  EXPECT_EQ(result({"clone3"}), "Function not implemented");
}

TEST_P(Confined, RunsWhatIsDeclared) {
  EXPECT_EQ(result({"--exec", "true", "spawn", "/usr/bin/true"}), kSucceeded);
  EXPECT_EQ(result({"--exec", "/usr/bin/true", "exec", "/usr/bin/true"}), kSucceeded);
  EXPECT_EQ(result({"--exec", "true", "fork"}), kSucceeded);
  EXPECT_EQ(result({"--exec", "true", "exec", "/usr/bin/id"}), kDenied);
  EXPECT_EQ(result({"--exec", "true", "--files", "/usr/bin", "spawn", "/usr/bin/id"}), kDenied);
  // A name is not looked for where a user may have put it; one that is not there gives nothing.
  expect_stopped({"--exec", "no-such-program", "exec", "/bin/true"}, kExec,
                 "execve: the capability exec is lacking");
  expect_stopped({"--exec", "true", "signal", "PARENT"}, kProcess,
                 "kill: no capability reaches other processes");
  EXPECT_EQ(result({"--exec", "true", "queue-itself"}), kSucceeded);
  expect_refused({"--exec", "true", "new-user"}, "clone: no capability allows it");
}

TEST_P(Confined, ReachesNoOtherProcess) {
  const std::string none = ": no capability reaches other processes";
  expect_stopped({"signal", "PARENT"}, kProcess, "kill" + none);
  expect_stopped({"signal-thread", "PARENT"}, kProcess, "tgkill" + none);
  expect_stopped({"signal-all"}, kProcess, "kill" + none);
  expect_stopped({"signal-group"}, kProcess, "kill" + none);
  expect_stopped({"queue", "PARENT"}, kProcess, "rt_sigqueueinfo" + none);
  expect_stopped({"ptrace", "PARENT"}, kProcess, "ptrace" + none);
  expect_stopped({"memory", "PARENT"}, kProcess, "process_vm_readv" + none);
  expect_refused({"pidfd", "PARENT"}, "pidfd_open" + none);
  expect_refused({"limit", "PARENT"}, "prlimit64" + none);
  expect_refused({"shared-memory"}, "shmget" + none);
  for (const char* what : {"own", "own-ex", "own-signal"}) expect_refused({what, "PARENT"}, "fcntl" + none);
  EXPECT_EQ(result({"own-ioctl", "PARENT"}), kNotPermitted);
  expect_refused({"pin", "PARENT"}, "sched_setaffinity: no capability allows it");
  for (const char* file : {"mem", "environ", "maps", "fd/0", "root/etc/passwd"}) {
    const std::string path = std::string("/proc/PARENT/") + file;
    EXPECT_EQ(result({"read", path}), kDenied) << file;
    EXPECT_EQ(result({"--files", "/", "read", path}), kDenied) << file;
    EXPECT_EQ(result({"--files", "/proc", "read", path}), kDenied) << file;
    const std::string place = file == std::string("root/etc/passwd") ? "reading " : "reading /proc/";
    if (file == std::string("fd/0")) continue;  // what it is open on may be harmless, or have no name
    for (const Argv& attempt : {Argv{"read", path}, Argv{"read", "/proc/./PARENT/" + std::string(file)},
                                Argv{"read", "/proc/self/../PARENT/" + std::string(file)}})
      EXPECT_NE(this->attempt(attempt).reported.find("sandbox: refused " + place), std::string::npos) << file;
  }
}

TEST_P(Confined, StaysWhereItWasPut) {
  expect_refused({"session"}, "setsid: no capability allows it");
  expect_refused({"group"}, "setpgid: no capability allows it");
  expect_refused({"outlive"}, "prctl: no capability allows it");
  expect_refused({"mount"}, "mount: no capability allows it");
  expect_refused({"unshare"}, "unshare: no capability allows it");
  expect_refused({"bpf"}, "bpf: no capability allows it");
  expect_refused({"keyctl"}, "keyctl: no capability allows it");
  expect_refused({"watch", "/tmp"}, "inotify_add_watch: no capability allows it");
  EXPECT_EQ(result({"chroot"}), kNotPermitted);
  EXPECT_NE(result({"mknod", path("device")}), kSucceeded);
}

TEST_P(Confined, HasLimits) {
  EXPECT_EQ(result({"descriptors"}), "Too many open files");
  EXPECT_EQ(result({"scratch-long"}).substr(0, 52), "was stopped: it wrote a file of more than 256 MiB, w");
  EXPECT_EQ(result({"cpu-limit", "600"}), kSucceeded);
  EXPECT_EQ(result({"first-to-go"}), kSucceeded);
  EXPECT_EQ(result({"memory-file"}), "Function not implemented");
  EXPECT_EQ(result({"secret-memory"}), "Function not implemented");
  expect_refused({"anonymous-shared-memory"}, "mmap: no capability gives memory that no limit counts");
  rlimit core{};
  ASSERT_EQ(::getrlimit(RLIMIT_CORE, &core), 0);
  EXPECT_EQ(result({"core-limit", core.rlim_max == 0 ? "0" : "1"}), kSucceeded);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_EQ(result({"3-gib"}), "Cannot allocate memory");
#endif
}

// The same attempts from a provider that was dropped in, as its user sees them.
class Discover : public Confined {
 protected:
  Discover() {
    fs::create_directory(folder_ / "providers");
    for (const char* name : {"hostile.so", "starter.so"})
      fs::copy_file(fs::path(HOSTILE_PROVIDERS) / name, folder_ / "providers" / name);
    for (const char* name : {"providers", "providers/hostile.so", "providers/starter.so"}) {
      if (fs::is_regular_file(folder_ / name)) ::chmod(path(name).c_str(), 0644);
      EXPECT_EQ(::chown(path(name).c_str(), GetParam(), GetParam()), 0);
    }
    file("mondoo.yml");
    write_config();
  }

  RunResult cnspec(const Argv& arguments, const Argv& starter = {}) const {
    Argv argv = starter;
    const Argv user = as_user();
    argv.insert(argv.end(), user.begin(), user.end());
    argv.push_back(program("cnspec"));
    argv.insert(argv.end(), {"--config", path("mondoo.yml"), "--providers-path", path("providers")});
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    ProcessOptions options;
    options.env["HOME"] = folder_.path().string();
    options.env["TMPDIR"] = tmp_;
    return run(argv, options);
  }

  // "x provider "hostile": connect: `message`", and in what follows `more`.
  void expect_error(const Argv& attempt, const std::string& message, const std::string& more,
                    const std::string& provider = "hostile", const Argv& starter = {}) const {
    Argv arguments = {"discover", provider};
    arguments.insert(arguments.end(), attempt.begin(), attempt.end());
    const RunResult r = cnspec(arguments, starter);
    EXPECT_EQ(r.exit_code, 1) << attempt.front() << ": " << r.out;
    EXPECT_NE(r.err.find("x provider \"" + provider + "\": connect: " + message), std::string::npos) << r.err;
    EXPECT_NE(r.err.find(more), std::string::npos) << r.err;
    EXPECT_TRUE(leaves_nothing()) << attempt.front();
  }

  // The keeper may outlive the program for this.
  bool leaves_nothing() const {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::minutes(2);
    while (!fs::is_empty(tmp_)) {
      if (std::chrono::steady_clock::now() >= give_up) return false;
      ::poll(nullptr, 0, 10);
    }
    return true;
  }

 private:
  void write_config() {
    fs::create_directory(folder_ / "tmp");
    EXPECT_EQ(::chown(path("tmp").c_str(), GetParam(), GetParam()), 0);
    tmp_ = path("tmp");
    folder_.write("mondoo.yml", "mrn: //agents.api.mondoo.app/x\nprivate_key: hidden words\n");
  }

 protected:
  std::string tmp_;  // what the program's $TMPDIR is
};
INSTANTIATE_TEST_SUITE_P(As, Discover, ::testing::ValuesIn(users()), name_of);

TEST_P(Discover, LetsAProviderDoWhatItMay) {
  const RunResult r = cnspec({"discover", "hostile", "scratch"});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_NE(r.out.find("it succeeded"), std::string::npos) << r.out;
  EXPECT_EQ(r.err, "");
}

TEST_P(Discover, ReportsWhatItReachedFor) {
  const Listener tcp(SOCK_STREAM);
  const std::string network = kNetwork, exec = kExec, process = kProcess;
  expect_error({"tcp", tcp.port()}, network, "sandbox: stopped at socket: the capability network is lacking");
  expect_error({"fork"}, exec, "sandbox: stopped at clone: the capability exec is lacking");
  expect_error({"exec", "/bin/true"}, exec, "sandbox: stopped at execve: the capability exec is lacking");
  expect_error({"spawn", "/bin/true"}, exec, "sandbox: stopped at clone: the capability exec is lacking");
  const std::string id = std::to_string(::getpid());
  expect_error({"signal", id}, process, "sandbox: stopped at kill: no capability reaches other processes");
  expect_error({"ptrace", id}, process, "sandbox: stopped at ptrace: no capability reaches other processes");
  expect_error({"chmod", path("mondoo.yml")}, "chmod: Operation not permitted", "may lack a capability");
}

// What the C library may have wanted by itself goes on, and is reported all the same.
TEST_P(Discover, WarnsOfWhatItWasRefused) {
  const Listener udp(SOCK_DGRAM);
  for (const Argv& attempt : {Argv{"udp", udp.port()}, Argv{"unix", path("socket")}}) {
    Argv arguments = {"discover", "hostile"};
    arguments.insert(arguments.end(), attempt.begin(), attempt.end());
    const RunResult r = cnspec(arguments);
    EXPECT_EQ(r.exit_code, 1);
    EXPECT_NE(
        r.err.find("! provider \"hostile\": sandbox: refused socket: the capability network is lacking"),
        std::string::npos)
        << r.err;
    EXPECT_NE(r.err.find("x provider \"hostile\": connect: " + attempt[0] + ": Permission denied\n"),
              std::string::npos)
        << r.err;
    EXPECT_NE(r.err.find("It runs isolated and may lack a capability"), std::string::npos) << r.err;
  }
}

TEST_P(Discover, ReportsTheFilesItReachedFor) {
  const std::string hint =
      "\n  It runs isolated and may lack a capability: files to read (its manifest lists none)";
  expect_error({"read", path("mondoo.yml")}, "read: Permission denied", hint);
  expect_error({"read", "/etc/shadow"}, "read: Permission denied", hint);
  expect_error({"read", "/proc/" + std::to_string(::getpid()) + "/mem"}, "read: Permission denied", hint);
  expect_error({"parent-memory"}, "parent-memory: Permission denied", hint);
  expect_error({"write", path("new")}, "write: Permission denied", hint);
  EXPECT_FALSE(fs::exists(folder_ / "new"));
}

// A provider that swallows the error and goes on as if nothing had been.
TEST_P(Discover, ReportsTheFilesThatItKeepsQuietAbout) {
  const std::string id = std::to_string(::getpid());
  for (const std::string& file : {path("mondoo.yml"), std::string("/etc/shadow"), "/proc/" + id + "/mem"}) {
    const RunResult r = cnspec({"discover", "hostile", "read-quietly", file});
    EXPECT_EQ(r.exit_code, 0) << r.err;
    EXPECT_NE(r.err.find("! provider \"hostile\": sandbox: refused reading " + file + ": "),
              std::string::npos)
        << r.err;
  }
  const RunResult r = cnspec({"discover", "hostile", "write-quietly", path("new")});
  EXPECT_NE(r.err.find("! provider \"hostile\": sandbox: refused writing " + path("new") + ": "),
            std::string::npos)
      << r.err;
}

// What it writes itself neither hides nor forges what is said of it.
TEST_P(Discover, SaysWhatWasRefusedWhateverTheProviderWrites) {
  const RunResult r = cnspec({"discover", "hostile", "read-behind-words", "/etc/shadow"});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_NE(r.err.find("! provider \"hostile\": sandbox: refused reading /etc/shadow: "), std::string::npos)
      << r.err;
  EXPECT_EQ(r.err.find("forged"), std::string::npos) << r.err;
}

// Its own memory is its own, also the part that would have told on it.
TEST_P(Discover, ReportsWhatItReachedForWhateverItDoesToItself) {
  expect_error({"socket-unheard"}, kNetwork, "sandbox: stopped at socket: the capability network is lacking");
}

TEST_P(Discover, LeavesNothingHoweverItIsMade) {
  const RunResult r = cnspec({"discover", "hostile", "hard-to-remove"}, {"prlimit", "--nofile=128"});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_TRUE(leaves_nothing());
}

// What takes long to remove goes in the end, and costs neither the answer nor the program's time.
TEST_P(Discover, AnswersBeforeAllIsRemoved) {
  // Where so many folders are made quickly.
  std::string memory = "/dev/shm/cnspec-test-XXXXXX";
  if (::mkdtemp(memory.data()) && ::chown(memory.c_str(), GetParam(), GetParam()) == 0) tmp_ = memory;
  const RunResult r = cnspec({"--timeout", "60s", "discover", "hostile", "much-to-remove", "40000"});
  EXPECT_EQ(r.exit_code, 0) << r.err;
  EXPECT_NE(r.out.find("it succeeded"), std::string::npos) << r.out;
  EXPECT_TRUE(leaves_nothing());
  fs::remove_all(memory);
}

// Whoever starts the program may have told it not to hear how its children end.
TEST_P(Discover, HearsHowItEndedWhoeverStartedIt) {
  const RunResult r = cnspec({"discover", "hostile", "abort"}, {"env", "--ignore-signal=CHLD"});
  EXPECT_NE(r.err.find("its process was ended by SIGABRT"), std::string::npos) << r.err;
}

constexpr char kTooMuch[] = "was stopped: it used more than 2048 MiB of memory, which is all a provider gets";

TEST_P(Discover, HasNoMoreMemoryByAnotherName) {
  for (const char* what : {"much-read-only", "much-in-tables"}) expect_error({what}, kTooMuch, "");
}

TEST_P(Discover, HasNoMoreInSeveralProcesses) {
  expect_error({"much-in-processes"}, kTooMuch, "", "starter");
  // What they share is counted once.
  const RunResult shared = cnspec({"discover", "starter", "shared-with-processes"});
  EXPECT_EQ(shared.exit_code, 0) << shared.err;
  // As for any other program, whoever starts this one may leave it less processor time.
  expect_error({"long-in-processes"},
               "was stopped: it used 6 seconds of processor time, which is all a provider gets", "",
               "starter", {"prlimit", "--cpu=6"});
}

TEST_P(Discover, SignalsNoParent) {
  expect_error({"signal-parent"}, kProcess,
               "sandbox: stopped at kill: no capability reaches other processes");
}

TEST_P(Discover, IsSaidInTheList) {
  const RunResult text = cnspec({"providers", "list"});
  EXPECT_NE(text.out.find("  hostile 1.0.0 with connectors: hostile  (unsigned, isolated)\n"),
            std::string::npos)
      << text.out;
  EXPECT_NE(text.out.find("(bundled)\n"), std::string::npos) << text.out;
  const RunResult json = cnspec({"providers", "list", "-o", "json"});
  EXPECT_NE(json.out.find("\"isolated\": true"), std::string::npos) << json.out;
  EXPECT_NE(json.out.find("\"notKeptFromIsolated\": ["), std::string::npos) << json.out;
  for (const std::string& gap : provider::sandbox_gaps()) {
    if (GetParam() != ::geteuid()) continue;
    EXPECT_NE(text.out.find("! not kept from isolated providers on this machine: " + gap + "\n"),
              std::string::npos)
        << text.out;
    EXPECT_NE(json.out.find('"' + gap + '"'), std::string::npos) << json.out;
  }
}

// Kernels before this one: what Landlock does not know yet, seccomp has to do.
class OlderKernels : public Confined {};
INSTANTIATE_TEST_SUITE_P(As, OlderKernels, ::testing::ValuesIn(users()), name_of);

TEST_P(OlderKernels, KeepAsMuchAsTheyCan) {
  for (int abi = 0; abi <= 7; ++abi) {
    SCOPED_TRACE("Landlock " + std::to_string(abi));
    const std::string kept = file("declared/file", 0666);
    const auto with = [&](Argv more) {
      more.insert(more.begin(), {"--landlock", std::to_string(abi)});
      return more;
    };
    for (const char* what : {"nothing", "thread", "scratch"})
      EXPECT_EQ(result(with({what})), kSucceeded) << what;
    const Listener tcp(SOCK_STREAM);
    EXPECT_EQ(result(with({"tcp", tcp.port()})).rfind(kNetwork, 0), 0u);
    EXPECT_EQ(result(with({"fork"})).rfind(kExec, 0), 0u);
    EXPECT_EQ(result(with({"signal", "PARENT"})).rfind(kProcess, 0), 0u);
    EXPECT_EQ(result(with({"chmod", kept})), kNotPermitted);
    for (const char* what : {"truncate", "open-cut", "cut-neither", "open-neither"}) {
      EXPECT_NE(result(with({what, kept})), kSucceeded) << what;
      EXPECT_NE(result(with({"--files", path("declared"), what, kept})), kSucceeded) << what;
    }
    EXPECT_EQ(read_file(kept), "hidden words\n");
    if (abi == 0) continue;  // which says so: see sandbox_gaps()
    EXPECT_EQ(result(with({"read", kept})), kDenied);
    EXPECT_EQ(result(with({"write", kept})), kDenied);
    EXPECT_EQ(result(with({"unlink", kept})), kDenied);
    EXPECT_EQ(result(with({"read", "/proc/PARENT/mem"})), kDenied);
    EXPECT_EQ(result(with({"--exec", "true", "exec", "/usr/bin/id"})), kDenied);
    EXPECT_EQ(result(with({"--exec", "true", "spawn", "/usr/bin/true"})), kSucceeded);
  }
}

// As below a manager of containers that is asked itself, or on an old kernel: all is refused, and nothing
// named.
class Unasked : public Confined {};
INSTANTIATE_TEST_SUITE_P(As, Unasked, ::testing::ValuesIn(users()), name_of);

TEST_P(Unasked, IsRefusedAsMuch) {
  const std::string kept = file("declared/file", 0666);
  const auto with = [&](Argv more) {
    more.insert(more.begin(), {"--unasked", "yes"});
    return result(more);
  };
  for (const char* what : {"nothing", "thread", "scratch", "signal-self"})
    EXPECT_EQ(with({what}), kSucceeded) << what;
  for (const Argv& stopped : {Argv{"fork"}, Argv{"spawn", "/bin/true"}, Argv{"exec", "/bin/true"},
                              Argv{"signal", "PARENT"}, Argv{"ptrace", "PARENT"}, Argv{"pair-datagram"}})
    EXPECT_EQ(with(stopped), kUnnamed) << stopped.front();
  const Listener tcp(SOCK_STREAM);
  for (const Argv& refused : {Argv{"tcp", tcp.port()}, Argv{"packet"}, Argv{"chmod", kept}, Argv{"session"},
                              Argv{"anonymous-shared-memory"}})
    EXPECT_EQ(with(refused), kNotPermitted) << refused.front();
  for (const char* what : {"read", "write", "unlink"}) EXPECT_EQ(with({what, kept}), kDenied) << what;
  for (const char* what : {"truncate", "open-cut", "cut-neither", "open-neither"}) {
    EXPECT_NE(with({what, kept}), kSucceeded) << what;
    EXPECT_NE(with({"--landlock", "2", "--files", path("declared"), what, kept}), kSucceeded) << what;
  }
  EXPECT_EQ(with({"--exec", "true", "spawn", "/usr/bin/true"}), kSucceeded);
  EXPECT_EQ(read_file(kept), "hidden words\n");
}

TEST(Scratch, IsPrivateAndGoesWithWhatItHolds) {
  fs::path path;
  const TempDir outside;
  outside.write("kept", "x");
  {
    auto scratch = provider::Scratch::make();
    ASSERT_TRUE(scratch) << scratch.error().message();
    path = scratch->path();
    struct stat info {};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0700u);
    fs::create_directories(path / "a/b");
    fs::create_symlink(outside.path(), path / "a/link");
    const provider::Scratch moved = std::move(*scratch);
    EXPECT_TRUE(fs::exists(path));
  }
  EXPECT_FALSE(fs::exists(path));
  EXPECT_TRUE(fs::exists(outside / "kept"));
}

// Somebody else may write where $TMPDIR leads: a link in the folder's place is not followed.
TEST(Scratch, IsNeverWhereALinkInItsPlaceLeads) {
  const TempDir outside;
  outside.write("kept", "x");
  fs::path link;
  {
    auto scratch = provider::Scratch::make();
    ASSERT_TRUE(scratch) << scratch.error().message();
    fs::remove(scratch->path());
    fs::create_symlink(outside.path(), scratch->path());
    EXPECT_EQ(provider::make_sandbox({}, "", {}, scratch->path()).scratch, scratch->path().string());
    link = scratch->path();
  }
  fs::remove(link);
  EXPECT_TRUE(fs::exists(outside / "kept"));
}

TEST(AccessHint, IsGivenForWhatSpeaksOfPermissions) {
  manifest::Capabilities declared;
  declared.files = {"/etc", "~/.x"};
  const std::string hint = provider::access_hint(declared, "open /srv/x: Permission denied");
  EXPECT_EQ(
      hint,
      "It runs isolated and may lack a capability: files to read (its manifest lists /etc, ~/.x), programs "
      "to run under exec (none) or hosts for HTTP through the host under network (none). It writes in its "
      "own temporary folder only");
  EXPECT_EQ(provider::access_hint({}, "the machine is out of beans"), "");
  EXPECT_NE(provider::access_hint({}, "socket: Operation not permitted"), "");
}

}  // namespace
}  // namespace cnspec::test
