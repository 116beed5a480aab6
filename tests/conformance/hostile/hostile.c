/* Tries what its first argument says when it is connected, and fails with what came of it. */
#include <cnspec/provider.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "attempt.h"
#include "manifest.h"

static const cnspec_host_v1* g_host;
static void* g_context;

static int32_t hostile_open(const cnspec_host_v1* host, void* context, cnspec_call call, void** instance) {
  (void)call;
  g_host = host;
  g_context = context;
  *instance = 0;
  return CNSPEC_OK;
}

static char* copied(cnspec_str text) {
  char* out = calloc(1, text.size + 1);
  if (!out) abort();
  memcpy(out, text.data, text.size);
  return out;
}

static int32_t hostile_connect(void* instance, cnspec_call call, const cnspec_connect_request* request,
                               void** connection) {
  char* what = copied(request->args[0]);
  char* target = copied(request->arg_count > 1 ? request->args[1] : CNSPEC_STR("0"));
  const int code = attempt(what, target);
  char message[512];
  cnspec_error error = {0};
  (void)instance;
  *connection = 0;
  free(target);
  if (code == 0) {
    free(what);
    return CNSPEC_OK;
  }
  snprintf(message, sizeof message, "%s: %s", what, code < 0 ? "is not known" : strerror(code));
  free(what);
  error.struct_size = sizeof error;
  error.message.data = message;
  error.message.size = strlen(message);
  g_host->set_error(g_context, call, &error);
  return CNSPEC_FAILED;
}

static int32_t hostile_identify(void* connection, cnspec_call call, cnspec_sink sink) {
  (void)connection;
  (void)call;
  g_host->row_begin(g_context, sink, CNSPEC_STR("asset"), CNSPEC_STR("hostile"));
  cnspec_put_str(g_host, g_context, sink, g_host->field(g_context, sink, CNSPEC_STR("name")),
                 CNSPEC_STR("it succeeded"));
  g_host->row_end(g_context, sink);
  return CNSPEC_OK;
}

static int32_t hostile_fetch(void* connection, cnspec_call call, const cnspec_fetch_request* request,
                             cnspec_sink sink) {
  (void)connection;
  (void)call;
  (void)request;
  (void)sink;
  return CNSPEC_OK;
}

static void hostile_disconnect(void* connection) { (void)connection; }
static void hostile_close(void* instance) { (void)instance; }

const cnspec_provider_v1* cnspec_provider_entry_v1(uint32_t host_abi_minor) {
  static const cnspec_provider_v1 table = {
      sizeof(cnspec_provider_v1), CNSPEC_ABI_MINOR, CNSPEC_MANIFEST,    hostile_open,  hostile_connect,
      hostile_identify,           hostile_fetch,    hostile_disconnect, hostile_close, 0};
  (void)host_abi_minor;
  return &table;
}
