/*
 * The C ABI between cnspec (the host) and a provider, version 1.0.
 *
 * A provider is one shared library that exports one function:
 *
 *     const cnspec_provider_v1 *cnspec_provider_entry_v1(uint32_t host_abi_minor);
 *
 * and carries its manifest in the read-only section ".cnspec" (see "The manifest" below). It links to no
 * symbol of the host: everything it may use comes in the table cnspec_host_v1.
 *
 * Life cycle. The host calls
 *
 *     entry -> open -> connect -> identify, fetch, fetch, ... -> disconnect -> close
 *
 * Only after close may it open again. Several connections may be alive between open and close.
 *
 * Threads. open, connect, disconnect and close are never called at the same time as each other. Calls on
 * one connection are made one at a time, unless the manifest says "threads: many". Calls may come from
 * different threads, one after the other. Of the host's services, log and cancelled may be called from any
 * thread; all others only on the thread, and during the call, that their handle was given for.
 *
 * Ownership. Neither side frees what the other allocated. What a provider passes to a service has to live
 * until that service returns: the host copies. What the host passes to a provider lives until the provider's
 * function returns, unless its description says otherwise.
 *
 * Handles. cnspec_call and cnspec_sink are numbers that carry a generation. They die when the call they were
 * given for returns. A service called with a dead one, or from the wrong thread, does nothing: it answers
 * CNSPEC_STALE, the sink CNSPEC_SINK_STOP, field UINT32_MAX, deadline 0 and cancelled 1. A call whose handle
 * another thread used while it ran fails.
 *
 * Strings are UTF-8, pointer and length, not terminated. {NULL, 0} is the empty string.
 *
 * Growth. A minor version only appends: to tables, to structs that begin with struct_size, and to the numbers
 * below. No slot is removed or reused. Each side reads a field only if it lies wholly inside the struct_size
 * the other side gave; what lies beyond counts as zero. A table smaller than that of 1.0 is refused.
 *
 * Panics. No C++ exception, longjmp or foreign unwinding may leave a provider's function.
 *
 * This header is C99-clean C and C++, needs no other header of ours, and describes 64-bit platforms.
 */
#ifndef CNSPEC_PROVIDER_H
#define CNSPEC_PROVIDER_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CNSPEC_ABI_MAJOR 1u
#define CNSPEC_ABI_MINOR 0u

#if defined(_WIN32)
#define CNSPEC_EXPORT __declspec(dllexport)
#else
#define CNSPEC_EXPORT __attribute__((visibility("default")))
#endif

/* ---- Values ------------------------------------------------------------------------------------------ */

typedef struct cnspec_str {
  const char* data;
  uint64_t size; /* bytes */
} cnspec_str;

/* What a cnspec_value holds. The numbers are those that MQL uses for its types in recordings; BYTES and
 * ERROR, which MQL has no number for, take free ones. "dict" (0x0a) is a declared type only: a dict field is
 * sent as NULL, BOOL, INT, FLOAT, STRING, ARRAY or MAP, nested at will. */
enum {
  CNSPEC_UNSET = 0x00, /* not a value: the host refuses it */
  CNSPEC_NULL = 0x02,
  CNSPEC_BOOL = 0x04,    /* as.i64, 0 or 1 */
  CNSPEC_INT = 0x05,     /* as.i64 */
  CNSPEC_FLOAT = 0x06,   /* as.f64 */
  CNSPEC_STRING = 0x07,  /* as.str */
  CNSPEC_REGEX = 0x08,   /* as.str, RE2 syntax, without slashes */
  CNSPEC_TIME = 0x09,    /* as.time */
  CNSPEC_VERSION = 0x0e, /* as.str */
  CNSPEC_IP = 0x0f,      /* as.str: "192.0.2.1", "192.0.2.1/24", "2001:db8::1" */
  CNSPEC_BYTES = 0x10,   /* as.str, any bytes */
  CNSPEC_ARRAY = 0x19,   /* as.array */
  CNSPEC_MAP = 0x1a,     /* as.map */
  CNSPEC_REF = 0x1b,     /* as.ref: a resource, by type and id */
  CNSPEC_RANGE = 0x1e,   /* as.range: a place in a text */
  CNSPEC_ERROR = 0x1f    /* as.str: this field could not be had, and why; the row's other fields stand */
};

/* A point in time, or a duration. */
typedef struct cnspec_time {
  int64_t seconds;      /* since 1970-01-01 UTC; a duration: since year 0, that is -62167219200 + seconds;
                           INT64_MAX: never */
  uint32_t nanoseconds; /* below 1,000,000,000 */
  uint32_t reserved;    /* 0 */
} cnspec_time;

/* Lines and columns count from 1; 0 means "not said". */
typedef struct cnspec_range {
  uint32_t first_line;
  uint32_t first_column;
  uint32_t last_line;
  uint32_t last_column;
} cnspec_range;

typedef struct cnspec_ref {
  cnspec_str type; /* the resource, such as "user" */
  cnspec_str id;   /* the id its row carries */
} cnspec_ref;

struct cnspec_value;
struct cnspec_entry;

typedef struct cnspec_array {
  const struct cnspec_value* items;
  uint64_t count;
} cnspec_array;

typedef struct cnspec_map {
  const struct cnspec_entry* entries; /* keys are unique */
  uint64_t count;
} cnspec_map;

typedef struct cnspec_value {
  uint32_t type;     /* CNSPEC_NULL ... CNSPEC_ERROR: which member of `as` is set */
  uint32_t reserved; /* 0 */
  union {
    int64_t i64;
    double f64;
    cnspec_str str;
    cnspec_time time;
    cnspec_range range;
    cnspec_array array;
    cnspec_map map;
    const cnspec_ref* ref;
  } as;
} cnspec_value;

typedef struct cnspec_entry {
  cnspec_str key;
  cnspec_value value;
} cnspec_entry;

/* ---- Answers ----------------------------------------------------------------------------------------- */

/* What a provider's function, or a service, returns. Any other number counts as CNSPEC_FAILED. What comes
 * after the call's deadline or its cancellation counts as CNSPEC_TIMEOUT or CNSPEC_CANCELLED, even CNSPEC_OK:
 * it may be a part of the whole. */
enum {
  CNSPEC_OK = 0,
  CNSPEC_FAILED = 1,  /* with set_error; no other code fits */
  CNSPEC_INVALID = 2, /* the caller's arguments are wrong */
  CNSPEC_NOT_FOUND = 3,
  CNSPEC_UNAUTHENTICATED = 4,   /* credentials are missing or were not accepted */
  CNSPEC_PERMISSION_DENIED = 5, /* credentials were accepted and do not suffice */
  CNSPEC_UNAVAILABLE = 6,       /* the system could not be reached */
  CNSPEC_TIMEOUT = 7,
  CNSPEC_CANCELLED = 8,
  CNSPEC_UNSUPPORTED = 9, /* this provider does not do that */
  CNSPEC_STALE = 10       /* the handle is dead, or was used from another thread */
};

/* What the sink answers. On anything but CONTINUE the provider returns from its function, with CNSPEC_OK
 * for STOP (the host has enough, or has noted an error of its own) and CNSPEC_CANCELLED for CANCELLED. */
enum { CNSPEC_SINK_CONTINUE = 0, CNSPEC_SINK_STOP = 1, CNSPEC_SINK_CANCELLED = 2 };

enum {
  CNSPEC_LOG_TRACE = 0,
  CNSPEC_LOG_DEBUG = 1,
  CNSPEC_LOG_INFO = 2,
  CNSPEC_LOG_WARN = 3,
  CNSPEC_LOG_ERROR = 4
};

typedef struct cnspec_pair {
  cnspec_str key;
  cnspec_str value;
} cnspec_pair;

/* Why a call failed, at most 8 KiB of it. Never put a secret in it: users see it, and logs keep it. */
typedef struct cnspec_error {
  uint32_t struct_size;
  uint32_t retryable; /* 1: the same call may succeed later */
  cnspec_str message; /* one sentence: what failed, on what, why */
  const cnspec_pair* details;
  uint64_t detail_count;
} cnspec_error;

/* ---- The host's services ----------------------------------------------------------------------------- */

typedef uint64_t cnspec_call; /* given with every call of the life cycle */
typedef uint64_t cnspec_sink; /* given with identify and fetch: where rows go */

enum {
  CNSPEC_HTTP_INSECURE = 1, /* accept any certificate; only because the user asked for it by a flag */
  CNSPEC_HTTP_NO_PROXY = 2  /* link-local services, such as a cloud's metadata */
};

typedef struct cnspec_http_request {
  uint32_t struct_size;
  uint32_t flags;    /* CNSPEC_HTTP_..., or 0 */
  cnspec_str method; /* "GET", "POST", "PUT", ... */
  cnspec_str url;    /* http or https, absolute; the host of it has to be allowed by the manifest */
  const cnspec_pair* headers;
  uint64_t header_count;
  cnspec_str body;
  int64_t timeout_ns; /* 0: until the call's deadline, which holds in any case */
} cnspec_http_request;

/* Filled by the host; the caller sets struct_size. What it points to lives until the call it was made for
 * returns. */
typedef struct cnspec_http_response {
  uint32_t struct_size;
  uint32_t status;            /* the HTTP status; redirects are not followed */
  const cnspec_pair* headers; /* names in lower case */
  uint64_t header_count;
  cnspec_str body; /* at most 16 MiB; larger answers are an error */
} cnspec_http_response;

/* The host passes the table and its context to open; both live until close returns. `context` is the first
 * argument of every service. */
typedef struct cnspec_host_v1 {
  uint32_t struct_size;
  uint32_t abi_minor;

  /* Any thread. A line for the user's log, at CNSPEC_LOG_...; no line break at the end, never a secret. */
  void (*log)(void* context, uint32_t level, cnspec_str message);

  /* Any thread. 1 when the call was cancelled, its deadline passed, or it is over; else 0. Cheap: poll it. */
  uint32_t (*cancelled)(void* context, cnspec_call call);

  /* Nanoseconds left; 0 when the deadline has passed, INT64_MAX when there is none. */
  int64_t (*deadline)(void* context, cnspec_call call);

  /* Why this call is about to fail. The last one counts. A failure without one gets a sentence of the host's.
   */
  int32_t (*set_error)(void* context, cnspec_call call, const cnspec_error* error);

  /* In connect, and later on its connection: a flag of the connector by its name in the manifest, as the
   * user, the configuration or the default set it: BOOL, INT, STRING, ARRAY of STRING, or MAP of STRING. NULL
   * when nothing did. CNSPEC_NOT_FOUND for a name the manifest does not declare, for a secret, and in open.
   * What `out` points to lives until the call returns. */
  int32_t (*config)(void* context, cnspec_call call, cnspec_str key, cnspec_value* out);

  /* In connect alone: the value of a flag that the manifest marks secret; CNSPEC_NOT_FOUND when it was not
   * given. The host wipes it when the call returns: keep a copy no longer than needed, and wipe that too. */
  int32_t (*secret)(void* context, cnspec_call call, cnspec_str key, cnspec_str* out);

  /* One HTTP exchange through the host's transport: its proxies, certificates and deadline hold. CNSPEC_OK
   * when an answer came, whatever its status. Otherwise the host has set the call's error, which the provider
   * may replace: CNSPEC_PERMISSION_DENIED for a host that the manifest's capabilities.network does not name,
   * INVALID for a request that is none, UNAVAILABLE, TIMEOUT, CANCELLED or FAILED. */
  int32_t (*http)(void* context, cnspec_call call, const cnspec_http_request* request,
                  cnspec_http_response* response);

  /* The sink. A row is row_begin, put for each field, row_end; rows of several types may follow each other.
   * `type` is a resource of the manifest, `id` tells its instances apart and is stable between runs. */
  int32_t (*row_begin)(void* context, cnspec_sink sink, cnspec_str type, cnspec_str id);

  /* The number by which put knows the field called `name`, for this sink: ask once, not once a row. The
   * wanted fields of a fetch request have the numbers 0, 1, 2, ... in its order; UINT32_MAX: a dead handle.
   */
  uint32_t (*field)(void* context, cnspec_sink sink, cnspec_str name);

  /* One field of the row. Its type has to be what the manifest declares, or NULL, or ERROR. */
  int32_t (*put)(void* context, cnspec_sink sink, uint32_t field, const cnspec_value* value);

  /* Hands the row over. A row without row_end does not count. */
  int32_t (*row_end)(void* context, cnspec_sink sink);
} cnspec_host_v1;

/* ---- The provider ------------------------------------------------------------------------------------ */

/* What the user asked to connect to. Flags are asked for through config and secret. */
typedef struct cnspec_connect_request {
  uint32_t struct_size;
  uint32_t reserved;
  cnspec_str connector; /* one of the manifest's, never an alias */
  const cnspec_str* args;
  uint64_t arg_count; /* within the bounds the manifest sets */
} cnspec_connect_request;

typedef struct cnspec_fetch_request {
  uint32_t struct_size;
  uint32_t reserved;
  cnspec_str type; /* a resource of the manifest */
  cnspec_str id;   /* one instance; empty: all of them */
  /* The fields that somebody will read, each once. A provider may send more, but does no costly work for
   * them. None asked for: those that cost nothing. */
  const cnspec_str* fields;
  uint64_t field_count;
  /* The resource's arguments, such as a file's path. */
  const cnspec_entry* args;
  uint64_t arg_count;
} cnspec_fetch_request;

/* The table that the entry function returns. It is constant and lives as long as the library. Every callback
 * but `extension` is required. All are called by the host alone; see "Threads" above. */
typedef struct cnspec_provider_v1 {
  uint32_t struct_size;
  uint32_t abi_minor;  /* the minor version the provider was compiled against */
  cnspec_str manifest; /* the very bytes of the section ".cnspec" */

  /* Makes the one instance. `*instance` is the provider's own; NULL is allowed. May copy the table (up to
   * its struct_size), or keep the pointer. On failure nothing is left behind and close is not called. */
  int32_t (*open)(const cnspec_host_v1* host, void* context, cnspec_call call, void** instance);

  /* Reaches the system that the request names and checks that it answers. On failure nothing is left behind
   * and disconnect is not called. */
  int32_t (*connect)(void* instance, cnspec_call call, const cnspec_connect_request* request,
                     void** connection);

  /* Sends one row of the type "asset": what was connected to. */
  int32_t (*identify)(void* connection, cnspec_call call, cnspec_sink sink);

  /* Sends the rows that the request asks for. No row at all is a valid answer. CNSPEC_UNSUPPORTED for a type
   * that this connection does not have. */
  int32_t (*fetch)(void* connection, cnspec_call call, const cnspec_fetch_request* request, cnspec_sink sink);

  /* Frees a connection. Cannot fail. */
  void (*disconnect)(void* connection);

  /* Frees the instance, after all its connections; joins every thread the provider started. Cannot fail. */
  void (*close)(void* instance);

  /* An optional ability by id and revision, such as "cnspec.discovery/1"; NULL for every id it does not
   * know, to the last byte. Pure; the table it returns lives as long as the library. Version 1.0 names none.
   * May be NULL. */
  const void* (*extension)(cnspec_str id);
} cnspec_provider_v1;

/* Pure and cheap: no allocation, no thread, no I/O. `host_abi_minor` is the newest minor version the host
 * speaks; a provider that cannot work with it returns NULL. */
typedef const cnspec_provider_v1* (*cnspec_provider_entry_v1_fn)(uint32_t host_abi_minor);
#define CNSPEC_PROVIDER_ENTRY_V1 "cnspec_provider_entry_v1"
CNSPEC_EXPORT const cnspec_provider_v1* cnspec_provider_entry_v1(uint32_t host_abi_minor);

/* ---- The manifest ------------------------------------------------------------------------------------ */

/* The section ".cnspec" holds this header and then `size` bytes of JSON, both made from provider.yaml by
 * cnspec-manifest. The host reads it from the file, so that a provider is described without being run. */
#define CNSPEC_MANIFEST_SECTION ".cnspec"
#define CNSPEC_MANIFEST_MAGIC "CNSPECMF"

typedef struct cnspec_manifest_header {
  char magic[8];   /* CNSPEC_MANIFEST_MAGIC, not terminated */
  uint32_t format; /* 1 */
  uint32_t size;   /* of the JSON, in bytes; little-endian like `format` */
} cnspec_manifest_header;

/* ---- Conveniences for C ------------------------------------------------------------------------------ */

/* A string literal: CNSPEC_STR("name"). */
#ifdef __cplusplus
#define CNSPEC_STR(literal) (cnspec_str{(literal), sizeof(literal) - 1})
#else
#define CNSPEC_STR(literal) ((cnspec_str){(literal), sizeof(literal) - 1})

static inline int32_t cnspec_put_null(const cnspec_host_v1* host, void* context, cnspec_sink sink,
                                      uint32_t field) {
  cnspec_value value = {0};
  value.type = CNSPEC_NULL;
  return host->put(context, sink, field, &value);
}

static inline int32_t cnspec_put_bool(const cnspec_host_v1* host, void* context, cnspec_sink sink,
                                      uint32_t field, int truth) {
  cnspec_value value = {0};
  value.type = CNSPEC_BOOL;
  value.as.i64 = truth != 0;
  return host->put(context, sink, field, &value);
}

static inline int32_t cnspec_put_i64(const cnspec_host_v1* host, void* context, cnspec_sink sink,
                                     uint32_t field, int64_t number) {
  cnspec_value value = {0};
  value.type = CNSPEC_INT;
  value.as.i64 = number;
  return host->put(context, sink, field, &value);
}

static inline int32_t cnspec_put_f64(const cnspec_host_v1* host, void* context, cnspec_sink sink,
                                     uint32_t field, double number) {
  cnspec_value value = {0};
  value.type = CNSPEC_FLOAT;
  value.as.f64 = number;
  return host->put(context, sink, field, &value);
}

static inline int32_t cnspec_put_str(const cnspec_host_v1* host, void* context, cnspec_sink sink,
                                     uint32_t field, cnspec_str text) {
  cnspec_value value = {0};
  value.type = CNSPEC_STRING;
  value.as.str = text;
  return host->put(context, sink, field, &value);
}

/* Array, map, time, reference and the rest: fill a cnspec_value and call host->put. */
#endif

#ifdef __cplusplus
}
#endif
#endif
