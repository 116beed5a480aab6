// Hashes and signatures by OpenSSL.
#pragma once

#include "base/crypto.hpp"

namespace cnspec::auth {

const Crypto& openssl();

}  // namespace cnspec::auth
