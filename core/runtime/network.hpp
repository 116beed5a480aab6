// The part of the program that needs libcurl and OpenSSL, loaded when a command first needs it: the two bring
// thirty libraries with them, and most commands ask nobody.
#pragma once

#include <filesystem>
#include <memory>

#include "auth/auth.hpp"
#include "auth/exchange.hpp"
#include "base/crypto.hpp"
#include "base/error.hpp"
#include "transport/engine.hpp"

namespace cnspec::runtime {

// What the module gives. Nothing in it knows Asio, which a process must have once only.
struct Network {
  transport::MakeEngine make_engine;
  Result<std::unique_ptr<auth::Authenticator>> (*make_authenticator)(const auth::Credentials& credentials);
  Result<std::unique_ptr<auth::Exchange>> (*make_exchange)(const auth::Claimant& claimant);
  const Crypto* crypto;
};

// Loads cnspec-network.so, which lies where the program was installed, and keeps it.
Result<const Network*> load_network();

// The folder with our own libraries: lib/cnspec beside the program's bin; its providers/ holds the bundled
// ones. An error where the system does not tell where the program is.
Result<std::filesystem::path> library_folder();

}  // namespace cnspec::runtime
