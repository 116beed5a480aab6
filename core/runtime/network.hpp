// The part of the program that needs libcurl and OpenSSL, loaded when a command first needs it: the two bring
// thirty libraries with them, and most commands ask nobody.
#pragma once

#include <filesystem>
#include <memory>

#include "auth/auth.hpp"
#include "base/error.hpp"
#include "transport/transport.hpp"

namespace cnspec::runtime {

// What the module gives. A new kind of transport replaces make_transport; kinds of authentication have a
// table.
struct Network {
  Result<std::unique_ptr<transport::Transport>> (*make_transport)(boost::asio::io_context& loop,
                                                                  transport::Options options);
  Result<std::unique_ptr<auth::Authenticator>> (*make_authenticator)(const auth::Credentials& credentials);
};

// Loads cnspec-network.so, which lies where the program was installed, and keeps it.
Result<const Network*> load_network();

// The folder with our own libraries: lib/cnspec beside the program's bin; its providers/ holds the bundled
// ones.
std::filesystem::path library_folder();

}  // namespace cnspec::runtime
