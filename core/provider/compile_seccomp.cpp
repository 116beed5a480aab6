// compile_seccomp FILE: writes the filters of system calls, as the kernel's instructions, for seccomp.cpp.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/fscrypt.h>
#include <linux/fsverity.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "provider/seccomp_calls.hpp"

namespace {

using namespace cnspec::provider;

class Filter {
 public:
  // `asked`: whether somebody answers what is refused. Else the kernel does.
  explicit Filter(bool asked) : asked_(asked), context_(::seccomp_init(SCMP_ACT_ALLOW)) {
    if (!context_) error_ = ENOMEM;
  }
  ~Filter() {
    if (context_) ::seccomp_release(context_);
  }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;

  template <class... Comparisons>
  void refuse(const Refused& call, Comparisons... when) {
    // A socket may be the C library's own wish, which only its arguments tell.
    const bool stops = call.stops && call.number != SCMP_SYS(socket);
    add(asked_  ? SCMP_ACT_NOTIFY
        : stops ? SCMP_ACT_KILL_PROCESS
                : SCMP_ACT_ERRNO(EPERM),
        call.number, when...);
  }
  template <class... Comparisons>
  void refuse(int number, Comparisons... when) {
    for (const Refused& call : kSome) {
      if (call.number == number) return refuse(call, when...);
    }
    error_ = ENOENT;
  }
  // Whoever is asked lets it go on or refuses it; the kernel alone would let it.
  void ask(int number) {
    if (asked_) add(SCMP_ACT_NOTIFY, number);
  }
  template <class... Comparisons>
  void answer(int error, int number, Comparisons... when) {
    add(SCMP_ACT_ERRNO(static_cast<std::uint16_t>(error)), number, when...);
  }
  void set(scmp_filter_attr attribute, std::uint32_t value) {
    keep(::seccomp_attr_set(context_, attribute, value));
  }

  // Empty: it cannot be made.
  std::vector<sock_filter> code() {
    std::vector<sock_filter> out;
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), std::fclose);
    if (!file && error_ == 0) error_ = errno;
    if (error_ == 0) keep(::seccomp_export_bpf(context_, ::fileno(file.get())));
    if (error_ != 0) return out;
    std::rewind(file.get());
    for (sock_filter one{}; std::fread(&one, sizeof one, 1, file.get()) == 1;) out.push_back(one);
    return out;
  }
  int error() const { return error_; }

 private:
  template <class... Comparisons>
  void add(std::uint32_t action, int number, Comparisons... when) {
    // A call that this architecture does not have is no mistake.
    if (error_ == 0 && number >= 0)
      keep(::seccomp_rule_add(context_, action, number, sizeof...(when), when...));
  }
  void keep(int code) {
    if (code < 0 && error_ == 0) error_ = -code;
  }

  const bool asked_;
  scmp_filter_ctx context_;
  int error_ = 0;
};

// Arguments are compared as 64 bits unless masked: those of the kernel's type int may carry anything above.
constexpr std::uint64_t kInt = 0xffffffff;

// ioctl, of files that need not be open for writing.
constexpr std::uint64_t kChangingFiles[] = {
    FS_IOC_SETFLAGS,
    FS_IOC32_SETFLAGS,
    FS_IOC_SETVERSION,
    FS_IOC32_SETVERSION,
    FS_IOC_FSSETXATTR,
    FS_IOC_ENABLE_VERITY,
    FS_IOC_SET_ENCRYPTION_POLICY,
    FS_IOC_ADD_ENCRYPTION_KEY,
};

scmp_arg_cmp bits(unsigned argument, std::uint64_t mask, std::uint64_t value) {
  return {argument, SCMP_CMP_MASKED_EQ, mask, value};
}

struct Choice {
  bool may_exec;   // whether programs may be run
  bool sees_cuts;  // whether Landlock sees that a file is cut
  bool asked;      // whether somebody answers what is refused
};

void add_rules(Filter& filter, const Choice& choice, std::uint64_t self) {
  const auto [may_exec, sees_cuts, asked] = choice;
  for (const Refused& call : kRefused) filter.refuse(call);
  for (const int number : kMissing) filter.answer(ENOSYS, number);

  // Threads, and no process; with programs declared both, and in no case a new namespace.
  if (!may_exec) {
    for (const Refused& call : kProcesses) filter.refuse(call);
    filter.refuse(SCMP_SYS(clone), bits(0, CLONE_THREAD, 0));
  }
  for (const std::uint64_t flag : kNewNamespaces) filter.refuse(SCMP_SYS(clone), bits(0, flag, flag));

  // Pairs of connected sockets within the process go nowhere; datagrams could be sent elsewhere.
  filter.refuse(SCMP_SYS(socketpair), scmp_arg_cmp{0, SCMP_CMP_NE, AF_UNIX, 0});
  for (const std::uint64_t type : {SOCK_DGRAM, SOCK_RAW, SOCK_RDM})
    filter.refuse(SCMP_SYS(socketpair), bits(1, 0xf, type));

  // Signals to itself, as abort() sends; to the programs it started where somebody knows which those are, or
  // Landlock keeps them in.
  const scmp_arg_cmp to_others{0, SCMP_CMP_NE, self, 0};
  if (!may_exec || asked) {
    filter.refuse(SCMP_SYS(kill), to_others);
    filter.refuse(SCMP_SYS(tgkill), to_others);
  }
  filter.refuse(SCMP_SYS(rt_sigqueueinfo), to_others);
  filter.refuse(SCMP_SYS(rt_tgsigqueueinfo), to_others);
  filter.refuse(SCMP_SYS(prlimit64), scmp_arg_cmp{0, SCMP_CMP_NE, 0, 0});

  // Memory shared with programs that are started, which is kept when nobody has it mapped any more, and which
  // no limit counts then. A language's runtime takes private memory, and shares files.
  filter.refuse(SCMP_SYS(mmap), bits(3, MAP_SHARED | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS));
  filter.refuse(SCMP_SYS(personality), scmp_arg_cmp{0, SCMP_CMP_NE, 0xffffffff, 0});
  filter.refuse(SCMP_SYS(prctl), bits(0, kInt, PR_SET_PDEATHSIG));
  filter.refuse(SCMP_SYS(prctl), bits(0, kInt, 59));  // PR_SET_SYSCALL_USER_DISPATCH
  // Typing into a terminal that was inherited.
  filter.answer(EPERM, SCMP_SYS(ioctl), bits(1, kInt, TIOCSTI));
  filter.answer(EPERM, SCMP_SYS(ioctl), bits(1, kInt, 0x541c));  // TIOCLINUX
  // Having the kernel send signals, of any number, to whom a descriptor was said to belong.
  for (const std::uint64_t command : {F_SETOWN, F_SETOWN_EX, F_SETSIG})
    filter.refuse(SCMP_SYS(fcntl), bits(1, kInt, command));
  for (const std::uint64_t request : {FIOSETOWN, SIOCSPGRP})
    filter.answer(EPERM, SCMP_SYS(ioctl), bits(1, kInt, request));
  // Attributes of files that are open for reading: flags, projects, verity, encryption.
  for (const std::uint64_t request : kChangingFiles) filter.refuse(SCMP_SYS(ioctl), bits(1, kInt, request));
  // Whoever answers looks into its memory for names. Cores are not kept anyway, so saying yes is enough.
  filter.answer(0, SCMP_SYS(prctl), bits(0, kInt, PR_SET_DUMPABLE));

  if (!sees_cuts) filter.refuse(SCMP_SYS(truncate));
  if (!asked) {
    filter.answer(EPERM, SCMP_SYS(open), bits(1, O_ACCMODE, kNeither));
    filter.answer(EPERM, SCMP_SYS(openat), bits(2, O_ACCMODE, kNeither));
  }
  if (!asked && !sees_cuts) {
    filter.answer(EPERM, SCMP_SYS(open), bits(1, kCut, kCutUnseen));
    filter.answer(EPERM, SCMP_SYS(openat), bits(2, kCut, kCutUnseen));
  }
  int last = -1;
  for (const FileCall& call : kFileCalls) {
    const bool is_refused =
        (call.access == Access::kRun && !may_exec) || (!sees_cuts && call.number == SCMP_SYS(truncate));
    if (!is_refused && call.number != last) filter.ask(call.number);
    last = call.number;
  }
}

// Of what libseccomp lets through, calls that it does not know, x86's second set of numbers aside: that it
// ends the process for, as for other architectures'.
void refuse_unknown_calls(std::vector<sock_filter>& code) {
  const std::size_t end = code.size();
  for (std::size_t i = 0; i < end; ++i) {
    if (code[i].code == (BPF_RET | BPF_K) && code[i].k == SECCOMP_RET_ALLOW)
      code[i] = BPF_STMT(BPF_JMP | BPF_JA, static_cast<std::uint32_t>(end - i - 1));
  }
  for (const sock_filter& one : {
           sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
           sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kFchmodat2, 1, 0),
           sock_filter BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kFirstUnknown, 0, 1),
           sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
           sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
       })
    code.push_back(one);
}

std::vector<sock_filter> compile(const Choice& choice, std::uint64_t self) {
  Filter filter(choice.asked);
  filter.set(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
  filter.set(SCMP_FLTATR_CTL_OPTIMIZE, 2);
  add_rules(filter, choice, self);
  auto code = filter.code();
  if (code.empty())
    std::fprintf(stderr, "compile_seccomp: %s\n", std::strerror(filter.error()));
  else
    refuse_unknown_calls(code);
  return code;
}

// Which instructions hold the process's own id shows in how the filters of two processes differ. False: they
// differ in more than that.
bool find_self(const std::vector<sock_filter>& a, const std::vector<sock_filter>& b, std::uint32_t self,
               std::vector<std::size_t>& found) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].code != b[i].code || a[i].jt != b[i].jt || a[i].jf != b[i].jf) return false;
    if (a[i].k == b[i].k) continue;
    if (a[i].k != self) return false;
    found.push_back(i);
  }
  return !found.empty();
}

bool write(std::FILE* out, const Choice& choice) {
  constexpr std::uint32_t kOne = 0x2aaaaa, kOther = 0x155555;
  const auto code = compile(choice, kOne);
  std::vector<std::size_t> self;
  if (code.empty() || !find_self(code, compile(choice, kOther), kOne, self)) {
    std::fputs("compile_seccomp: the process's own id cannot be found in the filter\n", stderr);
    return false;
  }
  const auto [may_exec, sees_cuts, asked] = choice;
  std::fprintf(out, "constexpr sock_filter kCode%d%d%d[] = {", may_exec, sees_cuts, asked);
  for (const sock_filter& one : code) std::fprintf(out, "{%u,%u,%u,%uu},\n", one.code, one.jt, one.jf, one.k);
  std::fprintf(out, "};\nconstexpr unsigned kSelf%d%d%d[] = {", may_exec, sees_cuts, asked);
  for (const std::size_t at : self) std::fprintf(out, "%zu,", at);
  std::fputs("};\n", out);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  std::FILE* out = argc == 2 ? std::fopen(argv[1], "w") : nullptr;
  if (!out) {
    std::fputs("usage: compile_seccomp FILE\n", stderr);
    return 2;
  }
  // Whatever the kernel knows that this is built on.
  bool good = ::seccomp_api_set(6) == 0;
  for (const bool may_exec : {false, true}) {
    for (const bool sees_cuts : {false, true}) {
      for (const bool asked : {false, true}) good = good && write(out, {may_exec, sees_cuts, asked});
    }
  }
  std::fputs(
      "// As Choice of compile_seccomp.cpp: [may_exec][sees_cuts][asked]\n"
      "constexpr Filter kFilters[2][2][2] = {\n"
      "  {{{kCode000, kSelf000}, {kCode001, kSelf001}}, {{kCode010, kSelf010}, {kCode011, kSelf011}}},\n"
      "  {{{kCode100, kSelf100}, {kCode101, kSelf101}}, {{kCode110, kSelf110}, {kCode111, kSelf111}}}};\n",
      out);
  return std::fclose(out) == 0 && good ? 0 : 1;
}
