// The one exported function of cnspec-network.so.
#include "runtime/network.hpp"

#include "auth/crypto.hpp"

extern "C" __attribute__((visibility("default"))) const cnspec::runtime::Network* cnspec_network() {
  static const cnspec::runtime::Network network = {&cnspec::transport::make_curl_engine,
                                                   &cnspec::auth::make_authenticator,
                                                   &cnspec::auth::make_exchange, &cnspec::auth::openssl()};
  return &network;
}
