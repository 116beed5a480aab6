/* A provider in plain C. Built with nothing but provider.h and the two files made from provider.yaml:
 *
 *   cnspec-manifest provider.yaml --output .
 *   cc -shared -fPIC -fvisibility=hidden -I. coffee.c manifest.c -o coffee.so
 */
#include <cnspec/provider.h>
#include <stdlib.h>
#include <string.h>

#include "manifest.h"

typedef struct machine {
  cnspec_host_v1 host;
  void* context;
} machine;

typedef struct room {
  machine* machine;
  char name[64];
} room;

static cnspec_str text(const char* s) {
  cnspec_str out = {s, strlen(s)};
  return out;
}

static int32_t machine_open(const cnspec_host_v1* host, void* context, cnspec_call call, void** instance) {
  machine* m = calloc(1, sizeof *m);
  (void)call;
  if (!m) return CNSPEC_FAILED;
  memcpy(&m->host, host, host->struct_size < sizeof m->host ? host->struct_size : sizeof m->host);
  m->context = context;
  *instance = m;
  return CNSPEC_OK;
}

static int32_t machine_connect(void* instance, cnspec_call call, const cnspec_connect_request* request,
                               void** connection) {
  machine* m = instance;
  room* r;
  cnspec_str name = request->args[0];
  if (name.size >= sizeof r->name) {
    cnspec_error error = {0};
    error.struct_size = sizeof error;
    error.message = text("a room's name has at most 63 bytes");
    m->host.set_error(m->context, call, &error);
    return CNSPEC_INVALID;
  }
  r = calloc(1, sizeof *r);
  if (!r) return CNSPEC_FAILED;
  r->machine = m;
  memcpy(r->name, name.data, name.size);
  *connection = r;
  return CNSPEC_OK;
}

static int32_t room_identify(void* connection, cnspec_call call, cnspec_sink sink) {
  room* r = connection;
  const cnspec_host_v1* host = &r->machine->host;
  void* context = r->machine->context;
  (void)call;
  host->row_begin(context, sink, text("asset"), text(r->name));
  cnspec_put_str(host, context, sink, host->field(context, sink, text("name")), text(r->name));
  cnspec_put_str(host, context, sink, host->field(context, sink, text("platform")), text("coffee-machine"));
  host->row_end(context, sink);
  return CNSPEC_OK;
}

static int32_t room_fetch(void* connection, cnspec_call call, const cnspec_fetch_request* request,
                          cnspec_sink sink) {
  room* r = connection;
  const cnspec_host_v1* host = &r->machine->host;
  void* context = r->machine->context;
  (void)call;
  (void)request; /* there is one type, and its fields cost nothing */
  host->row_begin(context, sink, text("coffee.pot"), text(r->name));
  cnspec_put_i64(host, context, sink, host->field(context, sink, text("cups")), 4);
  cnspec_put_bool(host, context, sink, host->field(context, sink, text("fresh")), 1);
  host->row_end(context, sink);
  return CNSPEC_OK;
}

static void room_disconnect(void* connection) { free(connection); }
static void machine_close(void* instance) { free(instance); }

const cnspec_provider_v1* cnspec_provider_entry_v1(uint32_t host_abi_minor) {
  static const cnspec_provider_v1 table = {sizeof(cnspec_provider_v1),
                                           CNSPEC_ABI_MINOR,
                                           CNSPEC_MANIFEST,
                                           machine_open,
                                           machine_connect,
                                           room_identify,
                                           room_fetch,
                                           room_disconnect,
                                           machine_close,
                                           NULL};
  (void)host_abi_minor;
  return &table;
}
