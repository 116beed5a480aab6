/* A provider that is tame until it is told what to do and where: "crash@identify", "hang@fetch", and so on,
 * as the connector's first argument. CASE_... builds one that does it in open or when it is loaded. */
#define _GNU_SOURCE
#include <cnspec/provider.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "manifest.h"

static const cnspec_host_v1* g_host;
static void* g_context;
static cnspec_call g_kept; /* of a call that is over */
static int g_gone;         /* whether a connection was, the newest */

static void* sit(void* unused) {
  for (;;) pause();
  return unused;
}

static void sit_for_ever(void) { sit(0); }

static void sit_at_thread_end(void* value) { sit(value); }

static void start_thread(void) {
  pthread_t thread;
  if (pthread_create(&thread, 0, sit, 0) != 0) abort();
  pthread_detach(thread);
}

/* What it leaves behind, so that no leak detector of a sanitizer finds it instead. */
static void* g_memory;

static void leave_file(const char* name) {
  const char* folder = getenv("TMPDIR");
  char path[4096];
  int fd;
  if (!folder || snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) abort();
  fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) abort();
  close(fd);
}

static void do_deed(const char* deed, cnspec_call call) {
  int i;
  if (strcmp(deed, "crash") == 0) abort();
  if (strcmp(deed, "exit") == 0) exit(0);
  if (strcmp(deed, "hang") == 0) sit(0);
  if (strcmp(deed, "hangs-at-exit") == 0) atexit(sit_for_ever);
  if (strcmp(deed, "hangs-at-thread-end") == 0) {
    pthread_key_t key;
    if (pthread_key_create(&key, sit_at_thread_end) != 0 || pthread_setspecific(key, &g_kept) != 0) abort();
  }
  if (strcmp(deed, "stdout") == 0) {
    printf("a kettle on the terminal\n");
    fflush(stdout);
  }
  if (strcmp(deed, "stderr") == 0) fprintf(stderr, "a kettle boils over\n");
  if (strcmp(deed, "closes") == 0 || strcmp(deed, "closes-and-hangs") == 0) {
    for (i = 0; i < 1024; ++i) close(i);
    if (strcmp(deed, "closes-and-hangs") == 0) sit(0);
  }
  if (strcmp(deed, "forks") == 0) {
    if (fork() == 0) {
      signal(SIGTERM, SIG_IGN);
      if (fork() == 0) setsid();
      sit(0);
    }
  }
  if (strcmp(deed, "broods") == 0) {
    /* Processes that went elsewhere and hear nothing, and files; then it waits for ever. */
    if (fork() == 0) {
      signal(SIGTERM, SIG_IGN);
      setsid();
      if (fork() == 0) setsid();
      sit(0);
    }
    leave_file("brood");
    sit(0);
  }
  if (strcmp(deed, "lies-in-wait") == 0 && !getenv("CNSPEC_TEST_OUTSIDE")) {
    leave_file("isolated");
    sit(0);
  }
  if (strcmp(deed, "thread") == 0) start_thread();
  if (strcmp(deed, "descriptor") == 0) {
    if (open("/dev/null", O_RDONLY) < 0) abort();
  }
  if (strcmp(deed, "memory") == 0) {
    void** block = malloc(100);
    if (!block) abort();
    *block = g_memory;
    g_memory = block;
  }
  if (strcmp(deed, "changes") == 0) {
    if (chdir("/") != 0 || setenv("KETTLE", "on", 1) != 0) abort();
    umask(0);
    signal(SIGUSR1, SIG_IGN);
  }
  if (strcmp(deed, "keeps") == 0) {
    if (g_kept) g_host->deadline(g_context, g_kept);
    g_kept = call;
  }
}

struct beast {
  char deed[64];
  char where[64];
};

/* What to return, once it has done what it does here. */
static int32_t act(const struct beast* beast, const char* where, cnspec_call call) {
  if (strcmp(beast->where, where) != 0) return CNSPEC_OK;
  do_deed(beast->deed, call);
  return strcmp(beast->deed, "silent") == 0 ? CNSPEC_FAILED : CNSPEC_OK;
}

static int32_t beast_open(const cnspec_host_v1* host, void* context, cnspec_call call, void** instance) {
  g_host = host;
  g_context = context;
  *instance = 0;
#if defined(CASE_OPEN_CRASHES)
  do_deed("crash", call);
#elif defined(CASE_OPEN_HANGS)
  do_deed("hang", call);
#elif defined(CASE_OPEN_EXITS)
  do_deed("exit", call);
#elif defined(CASE_LEAKS_MEMORY)
  do_deed("memory", call);
#elif defined(CASE_LEAKS_DESCRIPTORS)
  do_deed("descriptor", call);
#elif defined(CASE_LEAKS_THREADS)
  do_deed("thread", call);
#elif defined(CASE_NEEDS_A_NEWER_HOST)
  /* As if the next minor version had appended a service that it cannot do without. */
  if (host->struct_size < sizeof *host + sizeof(void*)) {
    const cnspec_error error = {sizeof error, 0, CNSPEC_STR("a newer cnspec is needed"), 0, 0};
    host->set_error(context, call, &error);
    return CNSPEC_UNSUPPORTED;
  }
#else
  (void)call;
#endif
  return CNSPEC_OK;
}

static int32_t beast_connect(void* instance, cnspec_call call, const cnspec_connect_request* request,
                             void** connection) {
  struct beast* beast = calloc(1, sizeof *beast);
  char words[128] = {0};
  const char* at;
  int32_t code;
  (void)instance;
  if (!beast) return CNSPEC_FAILED;
  if (request->args[0].size < sizeof words) memcpy(words, request->args[0].data, request->args[0].size);
  at = strchr(words, '@');
  if (at && at - words < 64 && strlen(at + 1) < 64) {
    memcpy(beast->deed, words, (size_t)(at - words));
    strcpy(beast->where, at + 1);
  }
  g_gone = 0;
  code = act(beast, "connect", call);
  if (code == CNSPEC_OK)
    *connection = beast;
  else
    free(beast);
  return code;
}

static uint32_t field(cnspec_sink sink, cnspec_str name) { return g_host->field(g_context, sink, name); }

static int32_t beast_identify(void* connection, cnspec_call call, cnspec_sink sink) {
  const struct beast* beast = connection;
  int32_t code;
  g_host->row_begin(g_context, sink, CNSPEC_STR("asset"), CNSPEC_STR("kettle"));
  cnspec_put_str(g_host, g_context, sink, field(sink, CNSPEC_STR("name")),
                 strcmp(beast->deed, "shares") == 0 && g_gone ? CNSPEC_STR("nobody") : CNSPEC_STR("kettle"));
  code = act(connection, "identify", call);
  cnspec_put_str(g_host, g_context, sink, field(sink, CNSPEC_STR("platform")), CNSPEC_STR("stove"));
  g_host->row_end(g_context, sink);
  return code;
}

/* One pot with all its fields, or with one of them wrong. */
static void send_pot(const struct beast* beast, cnspec_sink sink) {
  const char* wrong = strcmp(beast->where, "fetch") == 0 ? beast->deed : "";
  const char* inside = getenv("CNSPEC_TEST_OUTSIDE"); /* no child is given that */
  cnspec_value value = {0};
  cnspec_ref ref = {CNSPEC_STR("pot"), CNSPEC_STR("p1")};
  g_host->row_begin(g_context, sink, CNSPEC_STR("pot"), CNSPEC_STR("p1"));
  if (strcmp(wrong, "wrong-type") == 0) {
    cnspec_put_str(g_host, g_context, sink, field(sink, CNSPEC_STR("cups")), CNSPEC_STR("four"));
    return;
  }
  cnspec_put_i64(g_host, g_context, sink, field(sink, CNSPEC_STR("cups")),
                 strcmp(wrong, "differs") == 0 && inside ? 5 : 4);
  if (strcmp(wrong, "no-label") == 0 || (strcmp(wrong, "no-label-isolated") == 0 && !inside)) {
    value.type = CNSPEC_ERROR;
    value.as.str = CNSPEC_STR("the label is out of reach");
    g_host->put(g_context, sink, field(sink, CNSPEC_STR("label")), &value);
    memset(&value, 0, sizeof value);
  } else {
    cnspec_put_str(g_host, g_context, sink, field(sink, CNSPEC_STR("label")), CNSPEC_STR("tea"));
  }
  value.type = CNSPEC_ARRAY;
  g_host->put(g_context, sink, field(sink, CNSPEC_STR("notes")), &value);
  if (strcmp(wrong, "missing-field") != 0)
    cnspec_put_null(g_host, g_context, sink, field(sink, CNSPEC_STR("extra")));
  if (strcmp(wrong, "dangles") == 0) ref.id = CNSPEC_STR("p2");
  value.type = CNSPEC_REF;
  value.as.ref = &ref;
  g_host->put(g_context, sink, field(sink, CNSPEC_STR("owner")), &value);
  value.type = CNSPEC_TIME;
  value.as.time.seconds = 1;
  value.as.time.nanoseconds = 0;
  value.as.time.reserved = 0;
  g_host->put(g_context, sink, field(sink, CNSPEC_STR("made")), &value);
  if (strcmp(wrong, "unfinished") == 0) return;
  if (strcmp(wrong, "undeclared-field") == 0)
    cnspec_put_i64(g_host, g_context, sink, field(sink, CNSPEC_STR("handles")), 1);
  g_host->row_end(g_context, sink);
}

static int32_t beast_cannot(cnspec_call call) {
  const cnspec_error error = {sizeof error, 0, CNSPEC_STR("this kettle has no list of pots"), 0, 0};
  g_host->set_error(g_context, call, &error);
  return CNSPEC_UNSUPPORTED;
}

static int32_t beast_fetch(void* connection, cnspec_call call, const cnspec_fetch_request* request,
                           cnspec_sink sink) {
  const struct beast* beast = connection;
  const int known = request->id.size == 2 && memcmp(request->id.data, "p1", 2) == 0;
  const int all = request->id.size == 0;
  int32_t code = act(beast, "fetch", call);
  if (code != CNSPEC_OK) return code;
  if (strcmp(beast->deed, "deaf") == 0 && g_host->cancelled(g_context, call)) sit(0);
  if (strcmp(beast->deed, "cannot") == 0 && all) return beast_cannot(call);
  if (strcmp(beast->deed, "forgets") == 0 && !all) return CNSPEC_OK;
  if (all || known) send_pot(beast, sink);
  if (strcmp(beast->deed, "twice") == 0) send_pot(beast, sink);
  return CNSPEC_OK;
}

static void beast_disconnect(void* connection) {
  struct beast* beast = connection;
  act(beast, "disconnect", 0);
  g_gone = 1;
  free(beast);
}

static void beast_close(void* instance) {
  (void)instance;
#if defined(CASE_CLOSE_CRASHES)
  do_deed("crash", 0);
#endif
}

#if defined(CASE_CONSTRUCTOR_CRASHES) || defined(CASE_CONSTRUCTOR_LOOPS) || \
    defined(CASE_CONSTRUCTOR_EXITS) || defined(CASE_CONSTRUCTOR_THREAD) || defined(CASE_CONSTRUCTOR_WRITES)
__attribute__((constructor)) static void constructor(void) {
#if defined(CASE_CONSTRUCTOR_CRASHES)
  do_deed("crash", 0);
#elif defined(CASE_CONSTRUCTOR_LOOPS)
  do_deed("hang", 0);
#elif defined(CASE_CONSTRUCTOR_EXITS)
  do_deed("exit", 0);
#elif defined(CASE_CONSTRUCTOR_THREAD)
  do_deed("thread", 0);
#else
  do_deed("stdout", 0);
#endif
}
#endif

#if defined(CASE_CRASHES_AT_EXIT)
__attribute__((destructor)) static void destructor(void) { do_deed("crash", 0); }
#endif

#if defined(CASE_HANGS_AT_EXIT)
__attribute__((destructor)) static void destructor(void) { do_deed("hang", 0); }
#endif

#if defined(CASE_STATIC_TLS)
/* Initial-exec: as much of a thread's fixed storage as all libraries have together. */
static __thread volatile char g_storage[64] __attribute__((tls_model("initial-exec")));
#endif

#if defined(CASE_EXTRA_EXPORT)
CNSPEC_EXPORT int kettle_helper(void);
int kettle_helper(void) { return 4; }
#endif

#if defined(CASE_EXTENSION_WITH_GARBAGE) || defined(CASE_EVERY_EXTENSION)
static const void* beast_extension(cnspec_str id) {
  static const int table = 1;
#if defined(CASE_EXTENSION_WITH_GARBAGE)
  static const char known[] = "cnspec.discovery/1";
  if (id.size < sizeof known - 1 || memcmp(id.data, known, sizeof known - 1) != 0) return 0;
#else
  (void)id;
#endif
  return &table;
}
#endif

const cnspec_provider_v1* cnspec_provider_entry_v1(uint32_t host_abi_minor) {
#if defined(CASE_NEWER_TABLE)
  /* What the next minor version may append. */
  static const struct {
    cnspec_provider_v1 known;
    void (*newer)(void);
  } newer = {{sizeof newer, CNSPEC_ABI_MINOR + 1, CNSPEC_MANIFEST, beast_open, beast_connect, beast_identify,
              beast_fetch, beast_disconnect, beast_close, 0},
             abort};
  (void)host_abi_minor;
  return &newer.known;
#else
  static const cnspec_provider_v1 table = {
    sizeof(cnspec_provider_v1),
    CNSPEC_ABI_MINOR,
    CNSPEC_MANIFEST,
    beast_open,
    beast_connect,
    beast_identify,
    beast_fetch,
    beast_disconnect,
    beast_close,
#if defined(CASE_EXTENSION_WITH_GARBAGE) || defined(CASE_EVERY_EXTENSION)
    beast_extension
#else
    0
#endif
  };
#if defined(CASE_STATIC_TLS)
  g_storage[host_abi_minor % 64] = 1;
#endif
#if defined(CASE_OLD_HOSTS_ONLY)
  if (host_abi_minor > CNSPEC_ABI_MINOR) return 0;
#endif
  (void)host_abi_minor;
  return &table;
#endif
}
