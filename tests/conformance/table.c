/* Providers whose library or table is wrong, one way each: CASE_... says which. */
#include <cnspec/provider.h>

#include "manifest.h"

static const cnspec_host_v1* g_host;

static int32_t bad_open(const cnspec_host_v1* host, void* context, cnspec_call call, void** instance) {
  g_host = host;
  (void)context, (void)call, (void)instance;
#if defined(CASE_OPEN_FAILS)
  {
    cnspec_error error = {sizeof error, 1, CNSPEC_STR("the kettle is empty"), 0, 0};
    cnspec_pair details[] = {{CNSPEC_STR("kettle"), CNSPEC_STR("2")}, {CNSPEC_STR("floor"), CNSPEC_STR("3")}};
    error.details = details;
    error.detail_count = 2;
    g_host->set_error(context, call, &error);
  }
  return CNSPEC_UNAVAILABLE;
#elif defined(CASE_OPEN_FAILS_SILENTLY)
  return CNSPEC_FAILED;
#elif defined(CASE_OPEN_FAILS_ODDLY)
  return -17;
#else
  return CNSPEC_OK;
#endif
}

static int32_t bad_connect(void* instance, cnspec_call call, const cnspec_connect_request* request,
                           void** connection) {
  (void)instance, (void)call, (void)request, (void)connection;
  return CNSPEC_OK;
}

static int32_t bad_identify(void* connection, cnspec_call call, cnspec_sink sink) {
  (void)connection, (void)call, (void)sink;
  return CNSPEC_OK;
}

static int32_t bad_fetch(void* connection, cnspec_call call, const cnspec_fetch_request* request,
                         cnspec_sink sink) {
  (void)connection, (void)call, (void)request, (void)sink;
  return CNSPEC_OK;
}

static void bad_free(void* which) { (void)which; }

#if defined(CASE_UNDEFINED_SYMBOL)
extern int cnspec_test_symbol_that_nobody_defines(void);
#elif defined(CASE_MISSING_DEPENDENCY)
extern int cnspec_test_gone(void);
#endif

#if defined(CASE_MISSING_SYMBOL)
#define ENTRY some_other_function
#elif defined(CASE_WRONG_MAJOR)
#define ENTRY cnspec_provider_entry_v2
#else
#define ENTRY cnspec_provider_entry_v1
#endif

CNSPEC_EXPORT const cnspec_provider_v1* ENTRY(uint32_t host_abi_minor);
const cnspec_provider_v1* ENTRY(uint32_t host_abi_minor) {
  /* Room for what a newer minor version appends. */
  static struct {
    cnspec_provider_v1 known;
    void* newer[2];
  } table = {{sizeof(cnspec_provider_v1), CNSPEC_ABI_MINOR, CNSPEC_MANIFEST, bad_open, bad_connect,
              bad_identify, bad_fetch, bad_free, bad_free, 0},
             {0, 0}};
  cnspec_provider_v1* t = &table.known;
  (void)host_abi_minor;
#if defined(CASE_NULL_TABLE)
  return 0;
#elif defined(CASE_NEWER_MINOR)
  t->struct_size = sizeof table;
  t->abi_minor = 7;
#elif defined(CASE_SIZE_0)
  t->struct_size = 0;
#elif defined(CASE_SIZE_SMALL)
  t->struct_size = sizeof *t - 8;
#elif defined(CASE_SIZE_HUGE)
  t->struct_size = UINT32_MAX;
#elif defined(CASE_NO_OPEN)
  t->open = 0;
#elif defined(CASE_NO_CONNECT)
  t->connect = 0;
#elif defined(CASE_NO_IDENTIFY)
  t->identify = 0;
#elif defined(CASE_NO_FETCH)
  t->fetch = 0;
#elif defined(CASE_NO_DISCONNECT)
  t->disconnect = 0;
#elif defined(CASE_NO_CLOSE)
  t->close = 0;
#elif defined(CASE_OTHER_MANIFEST)
  t->manifest = CNSPEC_STR("CNSPECMF");
#elif defined(CASE_NULL_MANIFEST)
  t->manifest.data = 0;
#elif defined(CASE_UNDEFINED_SYMBOL)
  t->abi_minor = (uint32_t)cnspec_test_symbol_that_nobody_defines();
#elif defined(CASE_MISSING_DEPENDENCY)
  t->abi_minor = (uint32_t)cnspec_test_gone();
#endif
  return t;
}
