/* Two of these define the same names with other meanings, and export them. */
#include <cnspec/provider.h>

#include "manifest.h"

static const cnspec_host_v1* g_host;
static void* g_context;

CNSPEC_EXPORT cnspec_str kettle_name(void);
#if defined(CASE_CLASH_ONE)
cnspec_str kettle_name(void) { return CNSPEC_STR("one"); }
#else
cnspec_str kettle_name(void) { return CNSPEC_STR("two"); }
#endif

static int32_t clash_open(const cnspec_host_v1* host, void* context, cnspec_call call, void** instance) {
  (void)call, (void)instance;
  g_host = host;
  g_context = context;
  return CNSPEC_OK;
}

static int32_t clash_connect(void* instance, cnspec_call call, const cnspec_connect_request* request,
                             void** connection) {
  (void)instance, (void)call, (void)request, (void)connection;
  return CNSPEC_OK;
}

static int32_t clash_identify(void* connection, cnspec_call call, cnspec_sink sink) {
  (void)connection, (void)call;
  g_host->row_begin(g_context, sink, CNSPEC_STR("asset"), CNSPEC_STR("x"));
  cnspec_put_str(g_host, g_context, sink, g_host->field(g_context, sink, CNSPEC_STR("name")), kettle_name());
  g_host->row_end(g_context, sink);
  return CNSPEC_OK;
}

static int32_t clash_fetch(void* connection, cnspec_call call, const cnspec_fetch_request* request,
                           cnspec_sink sink) {
  (void)connection, (void)call, (void)request, (void)sink;
  return CNSPEC_OK;
}

static void clash_free(void* which) { (void)which; }

const cnspec_provider_v1* cnspec_provider_entry_v1(uint32_t host_abi_minor) {
  static const cnspec_provider_v1 table = {sizeof(cnspec_provider_v1),
                                           CNSPEC_ABI_MINOR,
                                           CNSPEC_MANIFEST,
                                           clash_open,
                                           clash_connect,
                                           clash_identify,
                                           clash_fetch,
                                           clash_free,
                                           clash_free,
                                           0};
  (void)host_abi_minor;
  return &table;
}
