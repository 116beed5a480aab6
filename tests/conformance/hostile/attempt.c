#define _GNU_SOURCE
#include "attempt.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <netdb.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int result(long answer) { return answer < 0 ? errno : 0; }

static int closed(int fd) {
  if (fd < 0) return errno;
  close(fd);
  return 0;
}

static int read_some(const char* path) {
  char byte;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  int error;
  if (fd < 0) return errno;
  error = result(read(fd, &byte, 1));
  close(fd);
  return error;
}

static int list(const char* path) {
  DIR* folder = opendir(path);
  if (!folder) return errno;
  closedir(folder);
  return 0;
}

static int to_inet(int type, const char* port) {
  struct sockaddr_in to;
  int fd = socket(AF_INET, type, 0);
  int error;
  if (fd < 0) return errno;
  memset(&to, 0, sizeof to);
  to.sin_family = AF_INET;
  to.sin_port = htons((uint16_t)atoi(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  error = result(connect(fd, (struct sockaddr*)&to, sizeof to));
  close(fd);
  return error;
}

static int to_unix(const char* path) {
  struct sockaddr_un to;
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  int error;
  if (fd < 0) return errno;
  memset(&to, 0, sizeof to);
  to.sun_family = AF_UNIX;
  strncpy(to.sun_path, path, sizeof to.sun_path - 1);
  error = result(connect(fd, (struct sockaddr*)&to, sizeof to));
  close(fd);
  return error;
}

/* With nothing of its own left that could hear of it. */
static int socket_unheard(void) {
  signal(SIGSYS, SIG_IGN);
  close(STDOUT_FILENO);
  close(STDERR_FILENO);
  return closed(socket(AF_INET, SOCK_STREAM, 0));
}

static int unix_with_signals_blocked(void) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, 0);
  return closed(socket(AF_UNIX, SOCK_STREAM, 0));
}

/* Opened for neither reading nor writing: no right is asked for. */
static int open_for_neither(const char* path, int flags) {
  return closed(open(path, O_ACCMODE | flags | O_CLOEXEC));
}

/* As shells do for ">/dev/fd/1": it has no name of its own, and needs none. */
static int reopen_output(void) {
  int both[2];
  char path[64];
  if (pipe(both) != 0) return errno;
  snprintf(path, sizeof path, "/proc/self/fd/%d", both[1]);
  return closed(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

/* What it writes stands before, or in the way of, what is said of it. */
static int read_behind_words(const char* path) {
  int i;
  fputs("hi: ", stderr);
  (void)read_some(path);
  for (i = 0; i < 1100; ++i) fputs("words\n", stderr);
  fputs("sandbox: refused reading /forged: by itself\n", stderr);
  return 0;
}

static int from_scratch(const char* what, const char* to) {
  char own[4096];
  snprintf(own, sizeof own, "%s/own", getenv("TMPDIR"));
  if (!strcmp(what, "make-by-link")) {
    if (symlink(to, own) != 0) return errno;
    return closed(open(own, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  }
  if (closed(open(own, O_WRONLY | O_CREAT | O_CLOEXEC, 0600))) return errno;
  return result(rename(own, to));
}

static int queue_to_itself(void) {
  union sigval none = {0};
  signal(SIGUSR1, SIG_IGN);
  return result(sigqueue(getpid(), SIGUSR1, none));
}

static int pair(int type) {
  int both[2];
  if (socketpair(AF_UNIX, type, 0, both) != 0) return errno;
  if (write(both[0], "x", 1) != 1) return errno;
  close(both[0]);
  close(both[1]);
  return 0;
}

static int ended(pid_t child) {
  int status = 0;
  if (child == 0) _exit(0);
  if (child < 0) return errno;
  waitpid(child, &status, 0);
  return status == 0 ? 0 : WIFEXITED(status) ? WEXITSTATUS(status) : ECANCELED;
}

static int spawn(const char* program) {
  char* const argv[] = {(char*)(size_t)program, 0};
  char* const none[] = {0};
  pid_t child = 0;
  int error = posix_spawn(&child, program, 0, 0, argv, none);
  return error ? error : ended(child);
}

static int run(const char* program) {
  char* const argv[] = {(char*)(size_t)program, 0};
  execv(program, argv);
  return errno;
}

static int run_opened(const char* program) {
  char* const argv[] = {(char*)(size_t)program, 0};
  int fd = open(program, O_RDONLY);
  if (fd < 0) return errno;
  syscall(SYS_execveat, fd, "", argv, 0, AT_EMPTY_PATH);
  return errno;
}

static void* nothing(void* argument) { return argument; }

static int thread(void) {
  pthread_t other;
  int error = pthread_create(&other, 0, nothing, 0);
  if (!error) pthread_join(other, 0);
  return error;
}

static int copy_memory(pid_t from) {
  char byte;
  struct iovec here = {&byte, 1};
  struct iovec there = {&byte, 1};
  return result(process_vm_readv(from, &here, 1, &there, 1, 0));
}

static int own_handler(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = SIG_IGN;
  return result(sigaction(SIGSYS, &action, 0));
}

static int memory(size_t bytes) {
  volatile char* block = malloc(bytes);
  if (!block) return errno;
  block[bytes - 1] = 1;
  free((void*)(size_t)block);
  return 0;
}

/* Where RLIMIT_DATA does not count it. */
static int uncounted_memory(void) {
  const size_t part = (size_t)64 << 20;
  int i;
  for (i = 0; i < 36; ++i) {
    void* block = mmap(0, part, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (block == MAP_FAILED) return errno;
    memset(block, 1, part);
    if (mprotect(block, part, PROT_READ) != 0) return errno;
  }
  for (;;) pause();
}

static int shared_memory(void) {
  return mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0;
}

/* Pages of which nothing is used but the tables that say where they are. */
static int tables_of_memory(void) {
  const size_t all = (size_t)1200 << 30;
  const size_t per_table = (size_t)2 << 20;
  volatile const char* block = mmap(0, all, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  size_t at;
  if (block == MAP_FAILED) return errno;
  for (at = 0; at < all; at += per_table) {
    if (block[at] != 0) return EIO;
  }
  for (;;) pause();
}

/* Each of them stays within what one process may. */
static int many_processes(void (*use)(void)) {
  int i;
  for (i = 0; i < 3; ++i) {
    const pid_t child = fork();
    if (child < 0) return errno;
    if (child == 0) {
      use();
      for (;;) pause();
    }
  }
  for (;;) pause();
}

static void use_memory(void) {
  const size_t size = (size_t)1000 << 20;
  volatile char* block = malloc(size); /* which nobody reads, so that the compiler would do without */
  size_t i;
  for (i = 0; block && i < size; i += 4096) block[i] = 1;
}

static void use_processor(void) {
  while (clock() < 4 * CLOCKS_PER_SEC) continue;
}

/* Shares what it has, as the kernel lets it, with a few that only look. */
static int shared_with_processes(void) {
  const size_t size = (size_t)700 << 20;
  pid_t children[4];
  volatile char* block = malloc(size);
  int i;
  if (!block) return errno;
  memset((void*)(size_t)block, 1, size);
  for (i = 0; i < 4; ++i) {
    children[i] = fork();
    if (children[i] < 0) return errno;
    if (children[i] == 0) {
      usleep(900000);
      _exit(block[size - 1] == 1 ? 0 : 1);
    }
  }
  for (i = 0; i < 4; ++i) {
    int status = 0;
    if (waitpid(children[i], &status, 0) != children[i] || status != 0) return ECHILD;
  }
  return 0;
}

static int long_file(const char* path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  int error;
  if (fd < 0) return errno;
  error = result(pwrite(fd, "x", 1, (off_t)1 << 30));
  close(fd);
  return error;
}

static int descriptors(void) {
  int last = 0;
  int i;
  for (i = 0; i < 1000 && last >= 0; ++i) last = open("/dev/null", O_RDONLY);
  return last < 0 ? errno : 0;
}

static int change_limit(pid_t pid) {
  struct rlimit none = {0, 0};
  return result(prlimit(pid, RLIMIT_NOFILE, &none, 0));
}

static int user_name(void) {
  struct passwd* user;
  errno = 0;
  user = getpwuid(0);
  return user ? 0 : errno ? errno : ENOENT;
}

static int resolve(void) {
  struct addrinfo* found = 0;
  return getaddrinfo("no.such.host.example.com", "80", 0, &found) == 0 ? 0 : ECANCELED;
}

/* The kernel would send any signal to whom a pipe belongs. */
static int own(pid_t pid, int command) {
  int both[2];
  struct {
    int type;
    int pid;
  } owner = {1 /* F_OWNER_PID */, pid};
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, both) != 0) return errno;
  switch (command) {
    case F_SETOWN: return result(fcntl(both[0], F_SETOWN, pid));
    case F_SETOWN_EX: return result(fcntl(both[0], F_SETOWN_EX, &owner));
    case F_SETSIG: return result(fcntl(both[0], F_SETSIG, SIGKILL));
    default: return result(ioctl(both[0], FIOSETOWN, &pid));
  }
}

static int change_flags(const char* path) {
  int flags = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  if (ioctl(fd, FS_IOC_GETFLAGS, &flags) != 0) return errno;
  flags |= FS_NODUMP_FL;
  return result(ioctl(fd, FS_IOC_SETFLAGS, &flags));
}

static int watch(const char* path) {
  int fd = inotify_init();
  return fd < 0 ? errno : result(inotify_add_watch(fd, path, IN_CREATE));
}

static int pin(pid_t pid) {
  cpu_set_t first;
  CPU_ZERO(&first);
  CPU_SET(0, &first);
  return result(sched_setaffinity(pid, sizeof first, &first));
}

static int is_first_to_go(void) {
  char score[16] = {0};
  int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  if (read(fd, score, sizeof score - 1) < 0) return errno;
  return atoi(score) == 1000 ? 0 : ERANGE;
}

/* Folders deeper than there are descriptors, and closed to reading. */
static int hard_to_remove(const char* folder) {
  int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int i;
  for (i = 0; at >= 0 && i < 400; ++i) {
    int next;
    if (mkdirat(at, "folder", 0700) != 0) return errno;
    next = openat(at, "folder", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (i < 3 && (mkdirat(at, "closed", 0300) != 0 || mkdirat(at, "closed/inner", 0) != 0)) return errno;
    close(at);
    at = next;
  }
  return at < 0 ? errno : 0;
}

/* As many folders as the target says, each with three more in it. */
static int much_to_remove(const char* folder, int count) {
  char path[64];
  int i;
  if (chdir(folder) != 0) return errno;
  for (i = 0; i < count; ++i) {
    snprintf(path, sizeof path, "%d", i);
    if (mkdir(path, 0700) != 0) return errno;
    snprintf(path, sizeof path, "%d/a", i);
    if (mkdir(path, 0700) != 0) return errno;
    strcat(path, "/b");
    if (mkdir(path, 0700) != 0) return errno;
    strcat(path, "/c");
    if (mkdir(path, 0700) != 0) return errno;
  }
  return 0;
}

int attempt(const char* what, const char* target) {
  const pid_t pid = (pid_t)atoi(target);
  char link[4096];
  if (!strcmp(what, "nothing")) return 0;
  if (!strcmp(what, "abort")) abort();
  if (!strcmp(what, "raise-sigsys")) return raise(SIGSYS);

  if (!strcmp(what, "read")) return read_some(target);
  if (!strcmp(what, "read-quietly")) return (void)read_some(target), 0;
  if (!strcmp(what, "list")) return list(target);
  if (!strcmp(what, "write")) return closed(open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!strcmp(what, "write-quietly"))
    return (void)closed(open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0;
  if (!strcmp(what, "open-cut")) return closed(open(target, O_RDONLY | O_TRUNC | O_CLOEXEC));
  if (!strcmp(what, "cut-neither")) return open_for_neither(target, O_TRUNC);
  if (!strcmp(what, "open-neither")) return open_for_neither(target, 0);
  if (!strcmp(what, "reopen-output")) return reopen_output();
  if (!strcmp(what, "read-behind-words")) return read_behind_words(target);
  if (!strcmp(what, "make-by-link") || !strcmp(what, "move-out")) return from_scratch(what, target);
  if (!strcmp(what, "open-new")) return closed(open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!strcmp(what, "truncate")) return result(truncate(target, 0));
  if (!strcmp(what, "unlink")) return result(unlink(target));
  if (!strcmp(what, "mkdir")) return result(mkdir(target, 0700));
  if (!strcmp(what, "chmod")) return result(chmod(target, 0777));
  if (!strcmp(what, "chmod2")) return result(syscall(452, AT_FDCWD, target, 0777, 0));
  if (!strcmp(what, "chown")) return result(chown(target, 1, 1));
  if (!strcmp(what, "xattr")) return result(syscall(SYS_setxattr, target, "user.x", "y", 1, 0));
  if (!strcmp(what, "new-xattr")) return result(syscall(463, AT_FDCWD, target, 0, "user.x", 0, 0));
  if (!strcmp(what, "mknod")) return result(mknod(target, S_IFBLK | 0600, 0x800));
  if (!strcmp(what, "link") || !strcmp(what, "symlink")) {
    /* Into the temporary folder, and read through there. */
    snprintf(link, sizeof link, "%s/link", getenv("TMPDIR"));
    if ((what[0] == 'l' ? linkat(AT_FDCWD, target, AT_FDCWD, link, 0) : symlink(target, link)) != 0)
      return errno;
    return read_some(link);
  }
  if (!strcmp(what, "scratch")) {
    snprintf(link, sizeof link, "%s/folder", getenv("TMPDIR"));
    if (mkdir(link, 0700) != 0) return errno;
    strcat(link, "/file");
    if (closed(open(link, O_WRONLY | O_CREAT | O_EXCL, 0600))) return errno;
    return read_some(link);
  }
  if (!strcmp(what, "scratch-long")) {
    snprintf(link, sizeof link, "%s/long", getenv("TMPDIR"));
    return long_file(link);
  }
  if (!strcmp(what, "hard-to-remove")) return hard_to_remove(getenv("TMPDIR"));
  if (!strcmp(what, "much-to-remove")) return much_to_remove(getenv("TMPDIR"), atoi(target));
  if (!strcmp(what, "flags")) return change_flags(target);
  if (!strcmp(what, "watch")) return watch(target);
  if (!strcmp(what, "dlopen")) return dlopen(target, RTLD_NOW) ? 0 : ENOENT;

  if (!strcmp(what, "tcp")) return to_inet(SOCK_STREAM, target);
  if (!strcmp(what, "udp")) return to_inet(SOCK_DGRAM, target);
  if (!strcmp(what, "unix")) return to_unix(target);
  if (!strcmp(what, "unix-blocked")) return unix_with_signals_blocked();
  if (!strcmp(what, "socket-unheard")) return socket_unheard();
  if (!strcmp(what, "packet")) return closed(socket(AF_PACKET, SOCK_RAW, 0));
  if (!strcmp(what, "pair")) return pair(SOCK_STREAM);
  if (!strcmp(what, "pair-datagram")) return pair(SOCK_DGRAM);
  if (!strcmp(what, "memory-file")) return closed(memfd_create("file", 0));
  if (!strcmp(what, "secret-memory")) return closed((int)syscall(447, 0));
  if (!strcmp(what, "anonymous-shared-memory")) return shared_memory();
  if (!strcmp(what, "io-uring")) return result(syscall(SYS_io_uring_setup, 1, 0));
  if (!strcmp(what, "resolve")) return resolve();
  if (!strcmp(what, "user-name")) return user_name();

  if (!strcmp(what, "fork")) return ended(fork());
  if (!strcmp(what, "vfork")) return ended((pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0));
  if (!strcmp(what, "clone3")) return result(syscall(SYS_clone3, 0, 0));
  if (!strcmp(what, "thread")) return thread();
  if (!strcmp(what, "spawn")) return spawn(target);
  if (!strcmp(what, "exec")) return run(target);
  if (!strcmp(what, "exec-opened")) return run_opened(target);

  if (!strcmp(what, "signal-parent")) return result(kill(getppid(), SIGTERM));
  if (!strcmp(what, "parent-memory")) {
    snprintf(link, sizeof link, "/proc/%d/mem", (int)getppid());
    return read_some(link);
  }
  if (!strcmp(what, "signal")) return result(kill(pid, SIGTERM));
  if (!strcmp(what, "signal-thread")) return result(syscall(SYS_tgkill, pid, pid, SIGTERM));
  if (!strcmp(what, "signal-all")) return result(kill(-1, SIGTERM));
  if (!strcmp(what, "signal-group")) return result(kill(0, SIGTERM));
  if (!strcmp(what, "signal-self")) return result(kill(getpid(), 0));
  if (!strcmp(what, "queue")) {
    union sigval none = {0};
    return result(sigqueue(pid, SIGTERM, none));
  }
  if (!strcmp(what, "queue-itself")) return queue_to_itself();
  if (!strcmp(what, "new-user")) return result(syscall(SYS_clone, SIGCHLD | CLONE_NEWUSER, 0, 0, 0, 0));
  if (!strcmp(what, "dumpable")) return result(prctl(PR_SET_DUMPABLE, 0));
  if (!strcmp(what, "pidfd")) return result(syscall(SYS_pidfd_open, pid, 0));
  if (!strcmp(what, "ptrace")) return result(ptrace(PTRACE_ATTACH, pid, 0, 0));
  if (!strcmp(what, "memory")) return copy_memory(pid);
  if (!strcmp(what, "limit")) return change_limit(pid);
  if (!strcmp(what, "shared-memory")) return result(shmget(1, 4096, IPC_CREAT | 0600));
  if (!strcmp(what, "own")) return own(pid, F_SETOWN);
  if (!strcmp(what, "own-ex")) return own(pid, F_SETOWN_EX);
  if (!strcmp(what, "own-signal")) return own(pid, F_SETSIG);
  if (!strcmp(what, "own-ioctl")) return own(pid, 0);
  if (!strcmp(what, "pin")) return pin(pid);
  if (!strcmp(what, "session")) return result(setsid());
  if (!strcmp(what, "group")) return result(setpgid(0, 0));

  if (!strcmp(what, "mount")) return result(syscall(SYS_mount, "none", "/mnt", "tmpfs", 0, 0));
  if (!strcmp(what, "unshare")) return result(syscall(SYS_unshare, 0x10000000 /* a user namespace */));
  if (!strcmp(what, "bpf")) return result(syscall(SYS_bpf, 0, 0, 0));
  if (!strcmp(what, "keyctl")) return result(syscall(SYS_keyctl, 0, 0, 0, 0, 0));
  if (!strcmp(what, "chroot")) return result(chroot("/"));
  if (!strcmp(what, "handler")) return own_handler();
  if (!strcmp(what, "outlive")) return result(prctl(PR_SET_PDEATHSIG, 0));

  if (!strcmp(what, "3-gib")) return memory((size_t)3 << 30);
  if (!strcmp(what, "much-read-only")) return uncounted_memory();
  if (!strcmp(what, "much-in-tables")) return tables_of_memory();
  if (!strcmp(what, "much-in-processes")) return many_processes(use_memory);
  if (!strcmp(what, "long-in-processes")) return many_processes(use_processor);
  if (!strcmp(what, "shared-with-processes")) return shared_with_processes();
  if (!strcmp(what, "1-gib")) return memory((size_t)1 << 30);
  if (!strcmp(what, "first-to-go")) return is_first_to_go();
  if (!strcmp(what, "descriptors")) return descriptors();
  if (!strcmp(what, "cpu-limit") || !strcmp(what, "core-limit")) {
    struct rlimit limit;
    if (getrlimit(what[1] == 'p' ? RLIMIT_CPU : RLIMIT_CORE, &limit) != 0) return errno;
    return limit.rlim_cur == (rlim_t)atol(target) ? 0 : ERANGE;
  }
  return -1;
}
