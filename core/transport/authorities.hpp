// Whose certificates are believed.
#pragma once

#include <openssl/types.h>

#include <future>
#include <memory>
#include <string>

#include "base/error.hpp"

namespace cnspec::transport {

// Read once, for all connections, on a thread of its own: the system's set takes longer to read than most
// servers take to be connected to.
class Authorities {
 public:
  // A PEM file of certificates and revocation lists (X509 CRL), and a folder as `openssl rehash` makes it, or
  // several with colons between; empty: none. Both empty: OpenSSL's own. A revocation list is held against
  // every certificate; then each authority must have one. Reading begins.
  Authorities(const std::string& file, const std::string& folder);

  // Until all is read, or something could not be.
  void wait() const { store_.wait(); }
  // Waits. kConfig: what could not be read. The store lives as long as this.
  Result<X509_STORE*> get() const;

 private:
  struct Free {
    void operator()(X509_STORE* store) const;
  };
  using Store = std::unique_ptr<X509_STORE, Free>;
  static Result<Store> read(const std::string& file, const std::string& folder);

  std::shared_future<Result<Store>> store_;
};

}  // namespace cnspec::transport
