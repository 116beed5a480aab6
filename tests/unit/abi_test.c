/* Pins the ABI: where each field lies, how large each struct is, what each number means. A change here breaks
 * every provider that was ever built; only appending is allowed. Compiled as C11, as C99 and as C++20. */
#include <cnspec/provider.h>
#include <stddef.h>

#if defined(__cplusplus)
#define PIN(condition, name) static_assert(condition, #name)
#elif __STDC_VERSION__ >= 201112L
#define PIN(condition, name) _Static_assert(condition, #name)
#else
#define PIN(condition, name) typedef char pin_##name[(condition) ? 1 : -1]
#endif
#define SIZE(type, size) PIN(sizeof(type) == (size), size_of_##type)
#define AT(type, field, offset, size) \
  PIN(offsetof(type, field) == (offset) && sizeof(((type*)0)->field) == (size), type##_##field)
#define AS(member, size) \
  PIN(offsetof(cnspec_value, as.member) == 8 && sizeof(((cnspec_value*)0)->as.member) == (size), as_##member)
#define NUMBER(name, number) PIN((name) == (number), name##_is)

PIN(sizeof(void*) == 8, the_abi_describes_64_bit_platforms);

SIZE(cnspec_str, 16);
AT(cnspec_str, data, 0, 8);
AT(cnspec_str, size, 8, 8);

SIZE(cnspec_time, 16);
AT(cnspec_time, seconds, 0, 8);
AT(cnspec_time, nanoseconds, 8, 4);
AT(cnspec_time, reserved, 12, 4);

SIZE(cnspec_range, 16);
AT(cnspec_range, first_line, 0, 4);
AT(cnspec_range, first_column, 4, 4);
AT(cnspec_range, last_line, 8, 4);
AT(cnspec_range, last_column, 12, 4);

SIZE(cnspec_ref, 32);
AT(cnspec_ref, type, 0, 16);
AT(cnspec_ref, id, 16, 16);

SIZE(cnspec_array, 16);
AT(cnspec_array, items, 0, 8);
AT(cnspec_array, count, 8, 8);

SIZE(cnspec_map, 16);
AT(cnspec_map, entries, 0, 8);
AT(cnspec_map, count, 8, 8);

SIZE(cnspec_value, 24);
AT(cnspec_value, type, 0, 4);
AT(cnspec_value, reserved, 4, 4);
AT(cnspec_value, as, 8, 16);
AS(i64, 8);
AS(f64, 8);
AS(str, 16);
AS(time, 16);
AS(range, 16);
AS(array, 16);
AS(map, 16);
AS(ref, 8);

SIZE(cnspec_entry, 40);
AT(cnspec_entry, key, 0, 16);
AT(cnspec_entry, value, 16, 24);

SIZE(cnspec_pair, 32);
AT(cnspec_pair, key, 0, 16);
AT(cnspec_pair, value, 16, 16);

SIZE(cnspec_error, 40);
AT(cnspec_error, struct_size, 0, 4);
AT(cnspec_error, retryable, 4, 4);
AT(cnspec_error, message, 8, 16);
AT(cnspec_error, details, 24, 8);
AT(cnspec_error, detail_count, 32, 8);

SIZE(cnspec_call, 8);
SIZE(cnspec_sink, 8);

SIZE(cnspec_http_request, 80);
AT(cnspec_http_request, struct_size, 0, 4);
AT(cnspec_http_request, flags, 4, 4);
AT(cnspec_http_request, method, 8, 16);
AT(cnspec_http_request, url, 24, 16);
AT(cnspec_http_request, headers, 40, 8);
AT(cnspec_http_request, header_count, 48, 8);
AT(cnspec_http_request, body, 56, 16);
AT(cnspec_http_request, timeout_ns, 72, 8);

SIZE(cnspec_http_response, 40);
AT(cnspec_http_response, struct_size, 0, 4);
AT(cnspec_http_response, status, 4, 4);
AT(cnspec_http_response, headers, 8, 8);
AT(cnspec_http_response, header_count, 16, 8);
AT(cnspec_http_response, body, 24, 16);

SIZE(cnspec_host_v1, 96);
AT(cnspec_host_v1, struct_size, 0, 4);
AT(cnspec_host_v1, abi_minor, 4, 4);
AT(cnspec_host_v1, log, 8, 8);
AT(cnspec_host_v1, cancelled, 16, 8);
AT(cnspec_host_v1, deadline, 24, 8);
AT(cnspec_host_v1, set_error, 32, 8);
AT(cnspec_host_v1, config, 40, 8);
AT(cnspec_host_v1, secret, 48, 8);
AT(cnspec_host_v1, http, 56, 8);
AT(cnspec_host_v1, row_begin, 64, 8);
AT(cnspec_host_v1, field, 72, 8);
AT(cnspec_host_v1, put, 80, 8);
AT(cnspec_host_v1, row_end, 88, 8);

SIZE(cnspec_connect_request, 40);
AT(cnspec_connect_request, struct_size, 0, 4);
AT(cnspec_connect_request, reserved, 4, 4);
AT(cnspec_connect_request, connector, 8, 16);
AT(cnspec_connect_request, args, 24, 8);
AT(cnspec_connect_request, arg_count, 32, 8);

SIZE(cnspec_fetch_request, 72);
AT(cnspec_fetch_request, struct_size, 0, 4);
AT(cnspec_fetch_request, reserved, 4, 4);
AT(cnspec_fetch_request, type, 8, 16);
AT(cnspec_fetch_request, id, 24, 16);
AT(cnspec_fetch_request, fields, 40, 8);
AT(cnspec_fetch_request, field_count, 48, 8);
AT(cnspec_fetch_request, args, 56, 8);
AT(cnspec_fetch_request, arg_count, 64, 8);

SIZE(cnspec_provider_v1, 80);
AT(cnspec_provider_v1, struct_size, 0, 4);
AT(cnspec_provider_v1, abi_minor, 4, 4);
AT(cnspec_provider_v1, manifest, 8, 16);
AT(cnspec_provider_v1, open, 24, 8);
AT(cnspec_provider_v1, connect, 32, 8);
AT(cnspec_provider_v1, identify, 40, 8);
AT(cnspec_provider_v1, fetch, 48, 8);
AT(cnspec_provider_v1, disconnect, 56, 8);
AT(cnspec_provider_v1, close, 64, 8);
AT(cnspec_provider_v1, extension, 72, 8);

SIZE(cnspec_manifest_header, 16);
AT(cnspec_manifest_header, magic, 0, 8);
AT(cnspec_manifest_header, format, 8, 4);
AT(cnspec_manifest_header, size, 12, 4);

NUMBER(CNSPEC_ABI_MAJOR, 1);
NUMBER(CNSPEC_ABI_MINOR, 0);

NUMBER(CNSPEC_UNSET, 0x00);
NUMBER(CNSPEC_NULL, 0x02);
NUMBER(CNSPEC_BOOL, 0x04);
NUMBER(CNSPEC_INT, 0x05);
NUMBER(CNSPEC_FLOAT, 0x06);
NUMBER(CNSPEC_STRING, 0x07);
NUMBER(CNSPEC_REGEX, 0x08);
NUMBER(CNSPEC_TIME, 0x09);
NUMBER(CNSPEC_VERSION, 0x0e);
NUMBER(CNSPEC_IP, 0x0f);
NUMBER(CNSPEC_BYTES, 0x10);
NUMBER(CNSPEC_ARRAY, 0x19);
NUMBER(CNSPEC_MAP, 0x1a);
NUMBER(CNSPEC_REF, 0x1b);
NUMBER(CNSPEC_RANGE, 0x1e);
NUMBER(CNSPEC_ERROR, 0x1f);

NUMBER(CNSPEC_OK, 0);
NUMBER(CNSPEC_FAILED, 1);
NUMBER(CNSPEC_INVALID, 2);
NUMBER(CNSPEC_NOT_FOUND, 3);
NUMBER(CNSPEC_UNAUTHENTICATED, 4);
NUMBER(CNSPEC_PERMISSION_DENIED, 5);
NUMBER(CNSPEC_UNAVAILABLE, 6);
NUMBER(CNSPEC_TIMEOUT, 7);
NUMBER(CNSPEC_CANCELLED, 8);
NUMBER(CNSPEC_UNSUPPORTED, 9);
NUMBER(CNSPEC_STALE, 10);

NUMBER(CNSPEC_SINK_CONTINUE, 0);
NUMBER(CNSPEC_SINK_STOP, 1);
NUMBER(CNSPEC_SINK_CANCELLED, 2);

NUMBER(CNSPEC_LOG_TRACE, 0);
NUMBER(CNSPEC_LOG_DEBUG, 1);
NUMBER(CNSPEC_LOG_INFO, 2);
NUMBER(CNSPEC_LOG_WARN, 3);
NUMBER(CNSPEC_LOG_ERROR, 4);

NUMBER(CNSPEC_HTTP_INSECURE, 1);
NUMBER(CNSPEC_HTTP_NO_PROXY, 2);

/* The signatures, as far as a language can compare them. */
#ifdef ABI_TEST_CHECK
extern int ABI_TEST_CHECK(const cnspec_provider_v1* provider, const cnspec_host_v1* host);
int ABI_TEST_CHECK(const cnspec_provider_v1* provider, const cnspec_host_v1* host) {
  int32_t (*open)(const cnspec_host_v1*, void*, cnspec_call, void**) = provider->open;
  int32_t (*connect)(void*, cnspec_call, const cnspec_connect_request*, void**) = provider->connect;
  int32_t (*identify)(void*, cnspec_call, cnspec_sink) = provider->identify;
  int32_t (*fetch)(void*, cnspec_call, const cnspec_fetch_request*, cnspec_sink) = provider->fetch;
  void (*disconnect)(void*) = provider->disconnect;
  void (*close)(void*) = provider->close;
  const void* (*extension)(cnspec_str) = provider->extension;
  void (*log)(void*, uint32_t, cnspec_str) = host->log;
  uint32_t (*cancelled)(void*, cnspec_call) = host->cancelled;
  int64_t (*deadline)(void*, cnspec_call) = host->deadline;
  int32_t (*set_error)(void*, cnspec_call, const cnspec_error*) = host->set_error;
  int32_t (*config)(void*, cnspec_call, cnspec_str, cnspec_value*) = host->config;
  int32_t (*secret)(void*, cnspec_call, cnspec_str, cnspec_str*) = host->secret;
  int32_t (*http)(void*, cnspec_call, const cnspec_http_request*, cnspec_http_response*) = host->http;
  int32_t (*row_begin)(void*, cnspec_sink, cnspec_str, cnspec_str) = host->row_begin;
  uint32_t (*field)(void*, cnspec_sink, cnspec_str) = host->field;
  int32_t (*put)(void*, cnspec_sink, uint32_t, const cnspec_value*) = host->put;
  int32_t (*row_end)(void*, cnspec_sink) = host->row_end;
  return open && connect && identify && fetch && disconnect && close && !extension && log && cancelled &&
         deadline && set_error && config && secret && http && row_begin && field && put && row_end;
}
#endif
