// The pins of abi_test.c as C++ sees them; and that each language's translation of a table means the same.
extern "C" {
#define ABI_TEST_CHECK abi_check_cpp
#include "abi_test.c"
int abi_check_c11(const cnspec_provider_v1* provider, const cnspec_host_v1* host);
int abi_check_c99(const cnspec_provider_v1* provider, const cnspec_host_v1* host);
}

#include <gtest/gtest.h>

#include "provider/host.hpp"

namespace {

int32_t open(const cnspec_host_v1*, void*, cnspec_call, void**) { return CNSPEC_OK; }
int32_t connect(void*, cnspec_call, const cnspec_connect_request*, void**) { return CNSPEC_OK; }
int32_t identify(void*, cnspec_call, cnspec_sink) { return CNSPEC_OK; }
int32_t fetch(void*, cnspec_call, const cnspec_fetch_request*, cnspec_sink) { return CNSPEC_OK; }
void done(void*) {}

TEST(Abi, EveryLanguageSeesTheSameTables) {
  const cnspec_provider_v1 provider = {
      sizeof provider, CNSPEC_ABI_MINOR, {}, open, connect, identify, fetch, done, done, nullptr};
  const cnspec_host_v1& host = cnspec::provider::kHostTable;
  EXPECT_TRUE(abi_check_c11(&provider, &host));
  EXPECT_TRUE(abi_check_c99(&provider, &host));
  EXPECT_TRUE(abi_check_cpp(&provider, &host));
  EXPECT_EQ(host.struct_size, sizeof(cnspec_host_v1));
  EXPECT_EQ(host.abi_minor, CNSPEC_ABI_MINOR);
}

}  // namespace
