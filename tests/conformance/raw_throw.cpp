// Exceptions that leave a provider for want of a barrier: from the library's constructors, or from the
// callback that the connector's first argument names.
#include <cnspec/provider.h>

#include <stdexcept>
#include <string>

#include "manifest.h"

namespace {

#ifdef CASE_CONSTRUCTOR_THROWS
const int g_never = [] {
  throw std::runtime_error("no kettle at all");
  return 0;
}();
#endif

void raise_at(const std::string* where, const char* here) {
  if (*where == here) throw std::runtime_error("over the edge");
}

int32_t open(const cnspec_host_v1*, void*, cnspec_call, void** instance) {
  *instance = nullptr;
#ifdef CASE_OPEN_THROWS
  throw std::runtime_error("over the edge");
#else
  return CNSPEC_OK;
#endif
}

int32_t connect(void*, cnspec_call, const cnspec_connect_request* request, void** connection) {
  const std::string where(request->args[0].data, request->args[0].size);
  raise_at(&where, "connect");
  *connection = new std::string(where);
  return CNSPEC_OK;
}

int32_t identify(void* connection, cnspec_call, cnspec_sink) {
  raise_at(static_cast<std::string*>(connection), "identify");
  return CNSPEC_FAILED;
}

int32_t fetch(void* connection, cnspec_call, const cnspec_fetch_request*, cnspec_sink) {
  raise_at(static_cast<std::string*>(connection), "fetch");
  return CNSPEC_OK;
}

void disconnect(void* connection) { delete static_cast<std::string*>(connection); }
void close(void*) {}

}  // namespace

const cnspec_provider_v1* cnspec_provider_entry_v1(uint32_t) {
  static const cnspec_provider_v1 table = {sizeof(cnspec_provider_v1),
                                           CNSPEC_ABI_MINOR,
                                           CNSPEC_MANIFEST,
                                           open,
                                           connect,
                                           identify,
                                           fetch,
                                           disconnect,
                                           close,
                                           nullptr};
  return &table;
}
