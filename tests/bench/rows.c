/* Sends as many rows as it is asked for, each with the wanted fields, all the same short text. */
#include <cnspec/provider.h>

#include "manifest.h"

static const cnspec_host_v1* g_host;
static void* g_context;

static int32_t rows_open(const cnspec_host_v1* host, void* context, cnspec_call call, void** instance) {
  (void)call;
  g_host = host;
  g_context = context;
  *instance = 0;
  return CNSPEC_OK;
}

static int32_t rows_connect(void* instance, cnspec_call call, const cnspec_connect_request* request,
                            void** connection) {
  (void)instance, (void)call, (void)request;
  *connection = 0;
  return CNSPEC_OK;
}

static int32_t rows_identify(void* connection, cnspec_call call, cnspec_sink sink) {
  (void)connection, (void)call;
  g_host->row_begin(g_context, sink, CNSPEC_STR("asset"), CNSPEC_STR("bench"));
  return g_host->row_end(g_context, sink);
}

static int32_t rows_fetch(void* connection, cnspec_call call, const cnspec_fetch_request* request,
                          cnspec_sink sink) {
  (void)connection, (void)call;
  for (int64_t i = 0; i < request->args[0].value.as.i64; ++i) {
    if (g_host->row_begin(g_context, sink, CNSPEC_STR("row"), CNSPEC_STR("id")) != CNSPEC_SINK_CONTINUE)
      break;
    for (uint32_t f = 0; f < request->field_count; ++f) {
      cnspec_put_str(g_host, g_context, sink, f, CNSPEC_STR("openssl 3.0.11"));
    }
    g_host->row_end(g_context, sink);
  }
  return CNSPEC_OK;
}

static void rows_free(void* which) { (void)which; }

const cnspec_provider_v1* cnspec_provider_entry_v1(uint32_t host_abi_minor) {
  static const cnspec_provider_v1 table = {sizeof(cnspec_provider_v1),
                                           CNSPEC_ABI_MINOR,
                                           CNSPEC_MANIFEST,
                                           rows_open,
                                           rows_connect,
                                           rows_identify,
                                           rows_fetch,
                                           rows_free,
                                           rows_free,
                                           0};
  (void)host_abi_minor;
  return &table;
}
