// The one exported function of cnspec-network.so.
#include "runtime/network.hpp"

extern "C" __attribute__((visibility("default"))) const cnspec::runtime::Network* cnspec_network() {
  static constexpr cnspec::runtime::Network kNetwork = {
      &cnspec::transport::make_curl_engine, &cnspec::auth::make_authenticator, &cnspec::auth::make_exchange};
  return &kNetwork;
}
