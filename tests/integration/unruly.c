/* A provider that does what the id of a fetch says; its manifest lets it start processes. */
#include <cnspec/provider.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "manifest.h"

extern char** environ;

static const cnspec_host_v1* g_host;
static void* g_context;

struct link {
  char word[64];
  int64_t port;
  int has_password;
};

static void copy(char* to, size_t size, cnspec_str from) {
  size_t n = from.size < size - 1 ? (size_t)from.size : size - 1;
  if (n) memcpy(to, from.data, n);
  to[n] = 0;
}

static void say(const char* text) {
  cnspec_str line = {text, 0};
  line.size = strlen(text);
  g_host->log(g_context, CNSPEC_LOG_INFO, line);
}

static void wait_for_ever(void) {
  for (;;) pause();
}

/* One that moved to a session of its own and one that did not, both deaf to TERM. */
static void leave_processes(pid_t pids[2]) {
  int i;
  for (i = 0; i < 2; ++i) {
    pids[i] = fork();
    if (pids[i] == 0) {
      signal(SIGTERM, SIG_IGN);
      if (i == 0) setsid();
      wait_for_ever();
    }
  }
}

/* What only who reads its side of the channel with care survives. */
static void send_all(const void* bytes, size_t size, int flags) {
  while (size > 0) {
    ssize_t n = send(3, bytes, size, MSG_NOSIGNAL | flags);
    if (n < 0) abort();
    bytes = (const char*)bytes + n;
    size -= (size_t)n;
  }
}

static void send_descriptors(void) {
  static uint32_t head[3] = {6, 9, 0};
  static char line[6] = {2, 1, 0, 0, 0, 'x'}; /* for the log */
  struct iovec parts[2] = {{head, sizeof head}, {line, sizeof line}};
  union {
    struct cmsghdr head;
    char space[CMSG_SPACE(sizeof(int))];
  } rights;
  struct msghdr message = {0};
  int i;
  memset(&rights, 0, sizeof rights);
  rights.head.cmsg_level = SOL_SOCKET;
  rights.head.cmsg_type = SCM_RIGHTS;
  rights.head.cmsg_len = CMSG_LEN(sizeof(int)); /* of 0, which is open */
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  message.msg_control = &rights;
  message.msg_controllen = sizeof rights;
  for (i = 0; i < 100; ++i) {
    if (sendmsg(3, &message, MSG_NOSIGNAL) != sizeof head + sizeof line) abort();
  }
}

/* A request with as many headers as a frame holds: each would be some strings. */
static void send_headers(void) {
  enum { kPairs = 8 << 20 };
  const uint32_t size = 4 + 4 + 4 + kPairs * 8;
  const uint32_t head[6] = {size, 10, 4, 0, 0, kPairs};
  char* zeros = calloc(kPairs, 8);
  if (!zeros) abort();
  send_all(head, sizeof head, 0);
  send_all(zeros, (size_t)kPairs * 8, 0);
  free(zeros);
}

static int32_t unruly_open(const cnspec_host_v1* host, void* context, cnspec_call call, void** instance) {
  (void)call;
  g_host = host;
  g_context = context;
  *instance = 0;
  return CNSPEC_OK;
}

static int32_t unruly_connect(void* instance, cnspec_call call, const cnspec_connect_request* request,
                              void** connection) {
  struct link* link = calloc(1, sizeof *link);
  cnspec_value port;
  cnspec_str password;
  (void)instance;
  if (!link) return CNSPEC_FAILED;
  if (request->arg_count > 0) copy(link->word, sizeof link->word, request->args[0]);
  if (g_host->config(g_context, call, CNSPEC_STR("port"), &port) == CNSPEC_OK) link->port = port.as.i64;
  link->has_password = g_host->secret(g_context, call, CNSPEC_STR("password"), &password) == CNSPEC_OK &&
                       password.size == 7 && memcmp(password.data, "hunter2", 7) == 0;
  *connection = link;
  return CNSPEC_OK;
}

static int32_t unruly_identify(void* connection, cnspec_call call, cnspec_sink sink) {
  const struct link* link = connection;
  (void)call;
  if (strcmp(link->word, "linger") == 0) {
    pid_t pids[2];
    char line[64];
    leave_processes(pids);
    snprintf(line, sizeof line, "processes %d %d %d end", (int)getpid(), (int)pids[0], (int)pids[1]);
    say(line);
    wait_for_ever();
  }
  g_host->row_begin(g_context, sink, CNSPEC_STR("asset"), CNSPEC_STR("unruly"));
  cnspec_put_str(g_host, g_context, sink, g_host->field(g_context, sink, CNSPEC_STR("name")),
                 CNSPEC_STR("unruly"));
  return g_host->row_end(g_context, sink) == CNSPEC_SINK_CONTINUE ? CNSPEC_OK : CNSPEC_FAILED;
}

static int32_t row(cnspec_sink sink, const char* text, int64_t number) {
  cnspec_str string = {text, 0};
  string.size = strlen(text);
  g_host->row_begin(g_context, sink, CNSPEC_STR("thing"), CNSPEC_STR("t"));
  cnspec_put_str(g_host, g_context, sink, g_host->field(g_context, sink, CNSPEC_STR("text")), string);
  cnspec_put_i64(g_host, g_context, sink, g_host->field(g_context, sink, CNSPEC_STR("number")), number);
  return g_host->row_end(g_context, sink);
}

static int32_t unruly_fetch(void* connection, cnspec_call call, const cnspec_fetch_request* request,
                            cnspec_sink sink) {
  const struct link* link = connection;
  char deed[64];
  pid_t pids[2];
  int i;
  copy(deed, sizeof deed, request->id);
  if (strcmp(deed, "greet") == 0) {
    row(sink, link->word, link->port);
    row(sink, "password", link->has_password);
  } else if (strcmp(deed, "many") == 0) {
    for (i = 0; i < 20000; ++i) row(sink, "a text of some length", i);
  } else if (strcmp(deed, "half") == 0) {
    for (i = 0; i < 20000; ++i) row(sink, "a text of some length", i);
    raise(SIGKILL);
  } else if (strcmp(deed, "crash") == 0) {
    say("about to crash \x1b[31m");
    raise(SIGSEGV);
  } else if (strcmp(deed, "exit") == 0) {
    exit(0);
  } else if (strcmp(deed, "hang") == 0) {
    wait_for_ever();
  } else if (strcmp(deed, "hang deaf") == 0) {
    signal(SIGTERM, SIG_IGN);
    wait_for_ever();
  } else if (strcmp(deed, "until cancelled") == 0) {
    while (!g_host->cancelled(g_context, call)) sched_yield();
    return CNSPEC_CANCELLED;
  } else if (strcmp(deed, "endless") == 0) {
    while (row(sink, "more", 0) == CNSPEC_SINK_CONTINUE) {
    }
    wait_for_ever();
  } else if (strcmp(deed, "close channel") == 0) {
    row(sink, "before", 0);
    close(3);
  } else if (strcmp(deed, "close and hang") == 0) {
    close(3);
    wait_for_ever();
  } else if (strcmp(deed, "garbage") == 0) {
    if (send(3, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL) != 18) abort();
    wait_for_ever();
  } else if (strcmp(deed, "huge frame") == 0) {
    static const uint32_t header[3] = {0xfffffff0u, 7, 0};
    if (send(3, header, sizeof header, MSG_NOSIGNAL) != sizeof header) abort();
    wait_for_ever();
  } else if (strcmp(deed, "other answer") == 0) {
    static const uint32_t header[4] = {1, 11, 9999, 1};
    if (send(3, header, 13, MSG_NOSIGNAL) != 13) abort();
    wait_for_ever();
  } else if (strcmp(deed, "urgent") == 0) {
    send_all("!", 1, MSG_OOB);
    wait_for_ever();
  } else if (strcmp(deed, "descriptors sent") == 0) {
    send_descriptors();
    row(sink, "still", 1);
  } else if (strcmp(deed, "headers") == 0) {
    send_headers();
    wait_for_ever();
  } else if (strcmp(deed, "shut") == 0) {
    shutdown(3, SHUT_RD);
    wait_for_ever();
  } else if (strcmp(deed, "stop") == 0) {
    raise(SIGSTOP);
  } else if (strcmp(deed, "flood") == 0) {
    for (;;) {
      say("again \x1b[31m");
      printf("and again\n");
    }
  } else if (strncmp(deed, "processes", 9) == 0) {
    leave_processes(pids);
    row(sink, "provider", getpid());
    row(sink, "session", pids[0]);
    row(sink, "group", pids[1]);
    if (strcmp(deed, "processes and crash") == 0) {
      char line[64];
      snprintf(line, sizeof line, "processes %d %d %d end", (int)getpid(), (int)pids[0], (int)pids[1]);
      say(line);
      raise(SIGSEGV);
    }
  } else if (strcmp(deed, "environment") == 0) {
    for (i = 0; environ[i]; ++i) row(sink, environ[i], 0);
  } else if (strcmp(deed, "descriptors") == 0) {
    for (i = 0; i < 1024; ++i) {
      if (fcntl(i, F_GETFD) >= 0) row(sink, "open", i);
    }
  } else if (strcmp(deed, "standard streams") == 0) {
    char byte;
    printf("on standard output\n");
    fprintf(stderr, "on standard error\nwithout an end");
    row(sink, "read", read(0, &byte, 1));
  } else if (strcmp(deed, "chatter") == 0) {
    for (i = 0; i < 50000; ++i) printf("line %d\n", i);
  } else {
    return CNSPEC_NOT_FOUND;
  }
  return CNSPEC_OK;
}

static void unruly_disconnect(void* connection) {
  const struct link* link = connection;
  if (strcmp(link->word, "crash at the end") == 0) raise(SIGSEGV);
  free(connection);
}
static void unruly_close(void* instance) { (void)instance; }

const cnspec_provider_v1* cnspec_provider_entry_v1(uint32_t host_abi_minor) {
  static const cnspec_provider_v1 table = {sizeof(cnspec_provider_v1),
                                           CNSPEC_ABI_MINOR,
                                           CNSPEC_MANIFEST,
                                           unruly_open,
                                           unruly_connect,
                                           unruly_identify,
                                           unruly_fetch,
                                           unruly_disconnect,
                                           unruly_close,
                                           0};
  (void)host_abi_minor;
  return &table;
}
