/* A provider that loads well and then does what its first argument says. */
#include <cnspec/provider.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "manifest.h"

static const cnspec_host_v1* g_host;
static void* g_context;
static cnspec_call g_old_call; /* of a call that is over */
static cnspec_sink g_old_sink;

static int is(const char* mode, const char* name) { return strcmp(mode, name) == 0; }

static cnspec_str text(const char* s) {
  cnspec_str out = {s, 0};
  out.size = strlen(s);
  return out;
}

static void set_error(cnspec_call call, cnspec_str message, uint32_t retryable, uint32_t size) {
  cnspec_error error = {0};
  error.struct_size = size;
  error.retryable = retryable;
  error.message = message;
  g_host->set_error(g_context, call, &error);
}

static int32_t begin(cnspec_sink sink) {
  return g_host->row_begin(g_context, sink, CNSPEC_STR("pot"), CNSPEC_STR("p1"));
}
static uint32_t field(cnspec_sink sink, const char* name) {
  return g_host->field(g_context, sink, text(name));
}
static int32_t put(cnspec_sink sink, const char* name, const cnspec_value* value) {
  return g_host->put(g_context, sink, field(sink, name), value);
}
static int32_t end(cnspec_sink sink) { return g_host->row_end(g_context, sink); }

static int32_t behave_open(const cnspec_host_v1* host, void* context, cnspec_call call, void** instance) {
  (void)call;
  g_host = host;
  g_context = context;
  *instance = 0;
  return CNSPEC_OK;
}

static int32_t exchange(cnspec_call call, cnspec_str url, cnspec_http_response* answer) {
  cnspec_http_request request = {0};
  request.struct_size = sizeof request;
  request.method = CNSPEC_STR("GET");
  request.url = url;
  answer->struct_size = sizeof *answer;
  return g_host->http(g_context, call, &request, answer);
}

static int32_t behave_connect(void* instance, cnspec_call call, const cnspec_connect_request* request,
                              void** connection) {
  char* mode = calloc(1, request->args[0].size + 1);
  cnspec_http_response answer = {0};
  cnspec_str secret;
  int32_t code;
  (void)instance;
  if (!mode) return CNSPEC_FAILED;
  memcpy(mode, request->args[0].data, request->args[0].size);
  *connection = mode;
  if (is(mode, "connect-code")) {
    code = (int32_t)strtol(request->args[1].data, 0, 10);
  } else if (is(mode, "connect-http")) {
    code = exchange(call, request->args[1], &answer);
  } else if (is(mode, "connect-secret")) {
    code = g_host->secret(g_context, call, CNSPEC_STR("password"), &secret);
    if (code == CNSPEC_OK) {
      set_error(call, secret, 0, sizeof(cnspec_error));
      code = CNSPEC_FAILED;
    }
  } else {
    return CNSPEC_OK;
  }
  if (code == CNSPEC_OK) return CNSPEC_OK;
  free(mode);
  return code;
}

static int32_t behave_identify(void* connection, cnspec_call call, cnspec_sink sink) {
  const char* mode = connection;
  int rows = is(mode, "identify-none") ? 0 : is(mode, "identify-two") ? 2 : 1;
  (void)call;
  for (; rows > 0; --rows) {
    g_host->row_begin(g_context, sink, is(mode, "identify-pot") ? CNSPEC_STR("pot") : CNSPEC_STR("asset"),
                      text("x"));
    cnspec_put_str(g_host, g_context, sink, field(sink, "name"), text("kettle"));
    end(sink);
  }
  return CNSPEC_OK;
}

static void* put_from_elsewhere(void* sink) {
  cnspec_put_i64(g_host, g_context, *(cnspec_sink*)sink, 0, 4);
  return 0;
}

static void* ask_from_elsewhere(void* call) {
  uint32_t answer = g_host->cancelled(g_context, *(cnspec_call*)call);
  g_host->log(g_context, CNSPEC_LOG_INFO, CNSPEC_STR("from elsewhere"));
  return answer ? call : 0;
}

static void* on_another_thread(void* (*work)(void*), void* argument) {
  pthread_t thread;
  void* result = 0;
  if (pthread_create(&thread, 0, work, argument) != 0) abort();
  pthread_join(thread, &result);
  return result;
}

static int32_t fetch_wrong_row(const char* mode, cnspec_sink sink) {
  cnspec_value value = {0};
  cnspec_value nested[40];
  cnspec_ref ref = {CNSPEC_STR("kettle"), CNSPEC_STR("k")};
  int i;
  if (is(mode, "undeclared-type"))
    return g_host->row_begin(g_context, sink, CNSPEC_STR("kettle"), CNSPEC_STR("k"));
  if (is(mode, "type-no-utf8"))
    return g_host->row_begin(g_context, sink, CNSPEC_STR("\xff"), CNSPEC_STR("k"));
  if (is(mode, "id-no-utf8"))
    return g_host->row_begin(g_context, sink, CNSPEC_STR("pot"), CNSPEC_STR("\xff"));
  if (is(mode, "no-begin")) return cnspec_put_i64(g_host, g_context, sink, field(sink, "cups"), 4);
  if (is(mode, "end-alone")) return end(sink);
  begin(sink);
  if (is(mode, "two-begins")) return begin(sink);
  if (is(mode, "no-end")) return CNSPEC_SINK_CONTINUE;
  if (is(mode, "wrong-type"))
    return cnspec_put_str(g_host, g_context, sink, field(sink, "cups"), text("four"));
  if (is(mode, "undeclared-field")) return cnspec_put_i64(g_host, g_context, sink, field(sink, "handles"), 1);
  if (is(mode, "field-number")) return cnspec_put_i64(g_host, g_context, sink, 4711, 1);
  if (is(mode, "null-value")) return g_host->put(g_context, sink, field(sink, "cups"), 0);
  if (is(mode, "unset")) return put(sink, "cups", &value);
  value.type = 99;
  if (is(mode, "unknown-type")) return put(sink, "cups", &value);
  value.type = CNSPEC_STRING;
  value.as.str.data = mode;
  value.as.str.size = UINT64_MAX - 8;
  if (is(mode, "endless-string")) return put(sink, "label", &value);
  value.type = CNSPEC_ARRAY;
  value.as.array.items = 0;
  value.as.array.count = 3;
  if (is(mode, "null-array")) return put(sink, "notes", &value);
  value.type = CNSPEC_REF;
  value.as.ref = 0;
  if (is(mode, "null-ref")) return put(sink, "owner", &value);
  value.as.ref = &ref;
  if (is(mode, "wrong-ref")) return put(sink, "owner", &value);
  value.type = CNSPEC_TIME;
  value.as.time.seconds = 1;
  value.as.time.nanoseconds = 1000000000;
  if (is(mode, "wrong-time")) return put(sink, "made", &value);
  memset(nested, 0, sizeof nested);
  for (i = 0; i < 39; ++i) {
    nested[i].type = CNSPEC_ARRAY;
    nested[i].as.array.items = &nested[i + 1];
    nested[i].as.array.count = 1;
  }
  nested[39].type = CNSPEC_NULL;
  if (is(mode, "too-deep")) return put(sink, "extra", &nested[0]);
  if (is(mode, "wrong-item")) {
    cnspec_value items[2];
    memset(items, 0, sizeof items);
    items[0].type = items[1].type = CNSPEC_INT;
    value.type = CNSPEC_ARRAY;
    value.as.array.items = items;
    value.as.array.count = 2;
    return put(sink, "notes", &value);
  }
  abort();
}

static int32_t behave_fetch(void* connection, cnspec_call call, const cnspec_fetch_request* request,
                            cnspec_sink sink) {
  const char* mode = connection;
  cnspec_value value = {0};
  int64_t i;
  if (is(mode, "good") || is(mode, "late-ok") || is(mode, "error-then-ok")) {
    if (is(mode, "error-then-ok")) set_error(call, CNSPEC_STR("never mind"), 0, sizeof(cnspec_error));
    while (is(mode, "late-ok") && !g_host->cancelled(g_context, call)) {
    }
    begin(sink);
    cnspec_put_i64(g_host, g_context, sink, field(sink, "cups"), 4);
    cnspec_put_null(g_host, g_context, sink, field(sink, "label"));
    value.type = CNSPEC_ERROR;
    value.as.str = text("no notes \xff today");
    put(sink, "notes", &value);
    end(sink);
    g_old_call = call;
    g_old_sink = sink;
    return CNSPEC_OK;
  }
  if (is(mode, "config")) {
    /* The flags as they arrive, the name of the row that asks for one telling which. */
    if (g_host->config(g_context, call, request->id, &value) != CNSPEC_OK) {
      set_error(call, CNSPEC_STR("no such flag"), 0, sizeof(cnspec_error));
      return CNSPEC_NOT_FOUND;
    }
    begin(sink);
    put(sink, "extra", &value);
    end(sink);
    return CNSPEC_OK;
  }
  if (is(mode, "args")) {
    begin(sink);
    for (i = 0; i < (int64_t)request->arg_count; ++i) put(sink, "extra", &request->args[i].value);
    end(sink);
    return CNSPEC_OK;
  }
  if (is(mode, "http")) {
    cnspec_http_response answer = {0};
    int32_t code = exchange(call, request->id, &answer);
    if (code != CNSPEC_OK) return code;
    begin(sink);
    cnspec_put_i64(g_host, g_context, sink, field(sink, "cups"), answer.status);
    cnspec_put_str(g_host, g_context, sink, field(sink, "label"), answer.body);
    end(sink);
    return CNSPEC_OK;
  }
  if (is(mode, "http-header")) {
    cnspec_http_request bad = {0};
    cnspec_http_response answer = {0};
    cnspec_pair header = {CNSPEC_STR("X-A"), CNSPEC_STR("1\r\nX-B: hunter2")};
    bad.struct_size = sizeof bad;
    bad.method = CNSPEC_STR("GET");
    bad.url = CNSPEC_STR("https://good.example.com");
    bad.headers = &header;
    bad.header_count = 1;
    answer.struct_size = sizeof answer;
    return g_host->http(g_context, call, &bad, &answer);
  }
  if (strncmp(mode, "http-send ", 10) == 0) { /* METHOD NAME: VALUE */
    char method[16] = {0}, name[32] = {0}, text[64] = {0};
    cnspec_http_request request_ = {0};
    cnspec_http_response answer = {0};
    cnspec_pair header = {{name, 0}, {text, 0}};
    if (sscanf(mode + 10, "%15s %31[^:]: %63[^\n]", method, name, text) < 2) return CNSPEC_FAILED;
    header.key.size = strlen(name);
    header.value.size = strlen(text);
    request_.struct_size = sizeof request_;
    request_.method.data = method;
    request_.method.size = strlen(method);
    request_.url = CNSPEC_STR("https://good.example.com:8443/x");
    request_.headers = &header;
    request_.header_count = 1;
    request_.body = CNSPEC_STR("body");
    answer.struct_size = sizeof answer;
    return g_host->http(g_context, call, &request_, &answer);
  }
  if (is(mode, "endless-rows") || is(mode, "ignores-cancel")) {
    for (i = 0; i < 40000000; ++i) {
      int32_t answer = begin(sink);
      end(sink);
      if (answer != CNSPEC_SINK_CONTINUE && is(mode, "endless-rows")) break;
      if (answer != CNSPEC_SINK_CONTINUE && i > 1000) break; /* deaf for long enough */
    }
    return CNSPEC_OK;
  }
  if (is(mode, "huge-string")) {
    char* huge = calloc(1, (size_t)1 << 30);
    if (!huge) abort();
    value.type = CNSPEC_STRING;
    value.as.str.data = huge;
    value.as.str.size = (uint64_t)1 << 30;
    begin(sink);
    put(sink, "label", &value);
    free(huge);
    return CNSPEC_OK;
  }
  if (is(mode, "other-thread")) {
    begin(sink);
    on_another_thread(put_from_elsewhere, &sink);
    end(sink);
    return CNSPEC_OK;
  }
  if (is(mode, "allowed-elsewhere")) {
    return on_another_thread(ask_from_elsewhere, &call) ? CNSPEC_FAILED : CNSPEC_OK;
  }
  if (is(mode, "stale")) {
    /* Every service with the handles of a call that is over. */
    cnspec_str out = {0, 0};
    cnspec_error error = {0};
    cnspec_http_response answer = {0};
    error.struct_size = sizeof error;
    error.message = CNSPEC_STR("from the grave");
    if (g_host->cancelled(g_context, g_old_call) != 1) abort();
    if (g_host->deadline(g_context, g_old_call) != 0) abort();
    if (g_host->set_error(g_context, g_old_call, &error) != CNSPEC_STALE) abort();
    if (g_host->config(g_context, g_old_call, CNSPEC_STR("port"), &value) != CNSPEC_STALE) abort();
    if (g_host->secret(g_context, g_old_call, CNSPEC_STR("password"), &out) != CNSPEC_STALE) abort();
    if (exchange(g_old_call, CNSPEC_STR("https://good.example.com"), &answer) != CNSPEC_STALE) abort();
    if (begin(g_old_sink) != CNSPEC_SINK_STOP) abort();
    if (field(g_old_sink, "cups") != UINT32_MAX) abort();
    if (cnspec_put_i64(g_host, g_context, g_old_sink, 0, 4) != CNSPEC_SINK_STOP) abort();
    if (end(g_old_sink) != CNSPEC_SINK_STOP) abort();
    if (g_host->deadline(g_context, 0) != 0) abort();
    return CNSPEC_OK;
  }
  if (is(mode, "mixed-handles")) {
    if (begin(call) != CNSPEC_SINK_STOP) abort();
    if (g_host->deadline(g_context, sink) != 0) abort();
    return CNSPEC_OK;
  }
  if (is(mode, "message-lines")) {
    set_error(call, CNSPEC_STR("one\ntwo \x1b[31mred\xff\n"), 0, sizeof(cnspec_error));
    return CNSPEC_FAILED;
  }
  if (is(mode, "message-huge")) {
    char* huge = malloc(100000);
    if (!huge) abort();
    memset(huge, 'x', 100000);
    value.as.str.data = huge;
    value.as.str.size = 100000;
    set_error(call, value.as.str, 0, sizeof(cnspec_error));
    free(huge);
    return CNSPEC_FAILED;
  }
  if (is(mode, "message-size-0")) {
    set_error(call, CNSPEC_STR("unread"), 0, 0);
    return CNSPEC_FAILED;
  }
  if (is(mode, "message-null")) {
    value.as.str.size = 10;
    set_error(call, value.as.str, 0, sizeof(cnspec_error));
    return CNSPEC_FAILED;
  }
  if (is(mode, "retryable")) {
    set_error(call, CNSPEC_STR("the line is busy"), 1, sizeof(cnspec_error));
    return CNSPEC_UNAVAILABLE;
  }
  fetch_wrong_row(mode, sink);
  return CNSPEC_OK;
}

static void behave_disconnect(void* connection) { free(connection); }

static void behave_close(void* instance) { (void)instance; }

const cnspec_provider_v1* cnspec_provider_entry_v1(uint32_t host_abi_minor) {
  static const cnspec_provider_v1 table = {sizeof(cnspec_provider_v1),
                                           CNSPEC_ABI_MINOR,
                                           CNSPEC_MANIFEST,
                                           behave_open,
                                           behave_connect,
                                           behave_identify,
                                           behave_fetch,
                                           behave_disconnect,
                                           behave_close,
                                           0};
  (void)host_abi_minor;
  return &table;
}
