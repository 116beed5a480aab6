// Which system calls an isolated provider is refused. Read twice: when this program is built, by
// compile_seccomp.cpp, which makes the kernel's filters of it, and by the keeper, which answers those calls
// and says what was refused.
//
// What is refused is listed, not what is allowed: a provider may be written in any language, and each runtime
// has wishes of its own. Calls newer than this program are refused unseen, since a runtime that finds a call
// missing does without.
#pragma once

#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>

#include <cstdint>

#include "provider/confine.hpp"

namespace cnspec::provider {

// What it is called in the line that is written.
enum class Kind { kNetwork, kExec, kProcess, kMemory, kAttributes, kAdmin };

struct Refused {
  int number;
  const char* name;
  Kind kind;
  bool stops;  // the end of the provider; else the call fails with EPERM, and it goes on
};

#define CALL(name, kind, stops) \
  Refused { SCMP_SYS(name), #name, Kind::kind, stops }

// Whatever their arguments are.
inline constexpr Refused kRefused[] = {
    // A socket that may be the C library's own wish does not stop it: see is_for_names().
    CALL(socket, kNetwork, true),
    CALL(connect, kNetwork, true),
    CALL(bind, kNetwork, true),
    CALL(listen, kNetwork, true),
    CALL(accept, kNetwork, true),
    CALL(accept4, kNetwork, true),

    CALL(ptrace, kProcess, true),
    CALL(process_vm_readv, kProcess, true),
    CALL(process_vm_writev, kProcess, true),
    CALL(pidfd_getfd, kProcess, true),
    CALL(pidfd_send_signal, kProcess, true),
    CALL(tkill, kProcess, true),
    CALL(pidfd_open, kProcess, false),
    CALL(process_madvise, kProcess, false),
    CALL(process_mrelease, kProcess, false),
    CALL(kcmp, kProcess, false),
    CALL(perf_event_open, kProcess, false),
    CALL(migrate_pages, kProcess, false),
    CALL(move_pages, kProcess, false),
    CALL(setpriority, kAdmin, false),
    CALL(ioprio_set, kAdmin, false),
    CALL(sched_setscheduler, kAdmin, false),
    CALL(sched_setparam, kAdmin, false),
    CALL(sched_setattr, kAdmin, false),
    CALL(sched_setaffinity, kAdmin, false),
    // The process group and the parent's death are how it is ended.
    CALL(setsid, kAdmin, false),
    CALL(setpgid, kAdmin, false),
    // Memory and messages shared with whatever runs as the same user.
    CALL(shmget, kProcess, false),
    CALL(shmat, kProcess, false),
    CALL(shmctl, kProcess, false),
    CALL(msgget, kProcess, false),
    CALL(msgsnd, kProcess, false),
    CALL(msgrcv, kProcess, false),
    CALL(msgctl, kProcess, false),
    CALL(semget, kProcess, false),
    CALL(semop, kProcess, false),
    CALL(semtimedop, kProcess, false),
    CALL(semctl, kProcess, false),
    CALL(mq_open, kProcess, false),
    CALL(mq_unlink, kProcess, false),

    // Landlock does not look at these.
    CALL(chmod, kAttributes, false),
    CALL(fchmod, kAttributes, false),
    CALL(fchmodat, kAttributes, false),
    CALL(chown, kAttributes, false),
    CALL(lchown, kAttributes, false),
    CALL(fchown, kAttributes, false),
    CALL(fchownat, kAttributes, false),
    CALL(utime, kAttributes, false),
    CALL(utimes, kAttributes, false),
    CALL(futimesat, kAttributes, false),
    CALL(utimensat, kAttributes, false),
    CALL(setxattr, kAttributes, false),
    CALL(lsetxattr, kAttributes, false),
    CALL(fsetxattr, kAttributes, false),
    CALL(removexattr, kAttributes, false),
    CALL(lremovexattr, kAttributes, false),
    CALL(fremovexattr, kAttributes, false),
    // The names of files that come and go, wherever the user may look.
    CALL(inotify_add_watch, kAdmin, false),

    // What takes root's capabilities is not listed: they are gone by now.
    CALL(mount, kAdmin, false),
    CALL(unshare, kAdmin, false),
    CALL(setns, kAdmin, false),
    CALL(open_by_handle_at, kAdmin, false),
    CALL(bpf, kAdmin, false),
    CALL(keyctl, kAdmin, false),
    CALL(add_key, kAdmin, false),
    CALL(request_key, kAdmin, false),
    CALL(userfaultfd, kAdmin, false),
    CALL(fanotify_init, kAdmin, false),
};

// Unless a program is declared.
inline constexpr Refused kProcesses[] = {CALL(fork, kExec, true), CALL(vfork, kExec, true),
                                         CALL(execve, kExec, true), CALL(execveat, kExec, true)};

// With some arguments: compile_seccomp.cpp says which.
inline constexpr Refused kSome[] = {
    CALL(clone, kExec, true),
    CALL(socketpair, kNetwork, true),
    CALL(kill, kProcess, true),
    CALL(tgkill, kProcess, true),
    CALL(rt_sigqueueinfo, kProcess, true),
    CALL(rt_tgsigqueueinfo, kProcess, true),
    CALL(prlimit64, kProcess, false),
    CALL(mmap, kMemory, false),
    CALL(personality, kAdmin, false),
    CALL(prctl, kAdmin, false),
    CALL(truncate, kAttributes, false),
    CALL(fcntl, kProcess, false),
    CALL(ioctl, kAttributes, false),
};
#undef CALL

// Calls that take the name of a file. Landlock judges them; the keeper looks at them to say what was refused,
// which the kernel tells nobody but the provider.
// Whether the kernel looks for the file before it looks at rights: then a name that is (not) there is none of
// our business.
enum class Existing { kMust, kMustNot, kMay, kOpen };  // kOpen: as the flags say that come after the name

struct FileCall {
  int number;
  int folder;  // the argument that holds the descriptor of a folder, or kNoFolder
  int path;    // the argument that points to the name
  Access access;
  Existing existing;
};
inline constexpr int kNoFolder = -1;

// Opening for reading, and cutting: Landlock sees that from version 3.
inline constexpr unsigned kCut = O_ACCMODE | O_TRUNC;
inline constexpr unsigned kCutUnseen = O_RDONLY | O_TRUNC;
// Opening for neither reading nor writing, which some drivers know: Landlock asks for no right then.
inline constexpr unsigned kNeither = O_ACCMODE;

inline constexpr FileCall kFileCalls[] = {
    {SCMP_SYS(open), kNoFolder, 0, Access::kRead, Existing::kOpen},
    {SCMP_SYS(openat), 0, 1, Access::kRead, Existing::kOpen},
    {SCMP_SYS(creat), kNoFolder, 0, Access::kWrite, Existing::kOpen},
    {SCMP_SYS(truncate), kNoFolder, 0, Access::kWrite, Existing::kMust},
    {SCMP_SYS(mkdir), kNoFolder, 0, Access::kWrite, Existing::kMustNot},
    {SCMP_SYS(mkdirat), 0, 1, Access::kWrite, Existing::kMustNot},
    {SCMP_SYS(mknod), kNoFolder, 0, Access::kWrite, Existing::kMustNot},
    {SCMP_SYS(mknodat), 0, 1, Access::kWrite, Existing::kMustNot},
    {SCMP_SYS(symlink), kNoFolder, 1, Access::kWrite, Existing::kMustNot},
    {SCMP_SYS(symlinkat), 1, 2, Access::kWrite, Existing::kMustNot},
    {SCMP_SYS(link), kNoFolder, 0, Access::kRead, Existing::kMust},
    {SCMP_SYS(link), kNoFolder, 1, Access::kWrite, Existing::kMustNot},
    {SCMP_SYS(linkat), 0, 1, Access::kRead, Existing::kMust},
    {SCMP_SYS(linkat), 2, 3, Access::kWrite, Existing::kMustNot},
    {SCMP_SYS(rmdir), kNoFolder, 0, Access::kWrite, Existing::kMust},
    {SCMP_SYS(unlink), kNoFolder, 0, Access::kWrite, Existing::kMust},
    {SCMP_SYS(unlinkat), 0, 1, Access::kWrite, Existing::kMust},
    {SCMP_SYS(rename), kNoFolder, 0, Access::kWrite, Existing::kMust},
    {SCMP_SYS(rename), kNoFolder, 1, Access::kWrite, Existing::kMay},
    {SCMP_SYS(renameat), 0, 1, Access::kWrite, Existing::kMust},
    {SCMP_SYS(renameat), 2, 3, Access::kWrite, Existing::kMay},
    {SCMP_SYS(renameat2), 0, 1, Access::kWrite, Existing::kMust},
    {SCMP_SYS(renameat2), 2, 3, Access::kWrite, Existing::kMay},
    {SCMP_SYS(execve), kNoFolder, 0, Access::kRun, Existing::kMust},
    {SCMP_SYS(execveat), 0, 1, Access::kRun, Existing::kMust},
};

// Flags of clone.
inline constexpr std::uint64_t kNewNamespaces[] = {CLONE_NEWNS,   CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC,
                                                   CLONE_NEWUSER, CLONE_NEWPID,    CLONE_NEWNET};

// Missing calls, which runtimes do without. The arguments of clone3 and openat2 lie where a filter cannot see
// them, those of clone and openat do not; what io_uring does no filter sees; and files of memory no limit
// counts.
inline constexpr int kMissing[] = {
    SCMP_SYS(openat2),           SCMP_SYS(clone3),       SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter),
    SCMP_SYS(io_uring_register), SCMP_SYS(memfd_create), SCMP_SYS(memfd_secret)};
inline constexpr std::uint32_t kFirstUnknown =
    463;                                          // after mseal of Linux 6.10: setxattrat, file_setattr, ...
inline constexpr std::uint32_t kFchmodat2 = 452;  // not known to libseccomp 2.5

}  // namespace cnspec::provider
