#include "transport/authorities.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "base/file.hpp"
#include "base/text.hpp"

namespace cnspec::transport {
namespace {

constexpr std::size_t kMaxFile = 16 << 20;

tl::unexpected<Error> unreadable(const std::string& why) {
  ERR_clear_error();
  return fail("the trusted certificates cannot be read: " + why, ErrorKind::kConfig);
}

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct FreeAll {
  void operator()(STACK_OF(X509_INFO) * all) const { sk_X509_INFO_pop_free(all, X509_INFO_free); }
};

Result<void> add_file(X509_STORE* store, const std::string& file) {
  const auto text = read_small_file(file, kMaxFile);
  if (!text) return unreadable(text.error().message());
  const std::unique_ptr<BIO, FreeBio> bio(BIO_new_mem_buf(text->data(), static_cast<int>(text->size())));
  char no_password[] = "";  // or OpenSSL asks on the terminal
  const std::unique_ptr<STACK_OF(X509_INFO), FreeAll> all(
      PEM_X509_INFO_read_bio(bio.get(), nullptr, nullptr, no_password));
  if (!all) return unreadable(printable(file) + " is damaged");
  int found = 0;
  for (int i = 0; i < sk_X509_INFO_num(all.get()); ++i) {
    const X509_INFO* one = sk_X509_INFO_value(all.get(), i);
    if (one->x509) found += X509_STORE_add_cert(store, one->x509);
    if (one->crl) {
      found += X509_STORE_add_crl(store, one->crl);
      X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    }
  }
  if (found == 0) return unreadable(printable(file) + " has no certificate in PEM");
  return {};
}

}  // namespace

void Authorities::Free::operator()(X509_STORE* store) const { X509_STORE_free(store); }

Authorities::Authorities(const std::string& file, const std::string& folder)
    : store_(std::async(std::launch::async, &Authorities::read, file, folder)) {}

Result<X509_STORE*> Authorities::get() const {
  const Result<Store>& store = store_.get();
  if (!store) return fail(store.error());
  return store->get();
}

Result<Authorities::Store> Authorities::read(const std::string& file, const std::string& folder) {
  Store store(X509_STORE_new());
  if (!store) return unreadable("out of memory");
  if (file.empty() && folder.empty()) X509_STORE_set_default_paths(store.get());
  if (!folder.empty() && X509_STORE_load_path(store.get(), folder.c_str()) != 1) {
    return unreadable(printable(folder) + " is no list of folders");
  }
  if (!file.empty()) {
    if (auto added = add_file(store.get(), file); !added) return fail(added.error());
  }
  X509_STORE_set_flags(store.get(), X509_V_FLAG_TRUSTED_FIRST);
  // Who is believed may be signed by somebody who is not, as long as nobody's revocation has to be known.
  if ((X509_VERIFY_PARAM_get_flags(X509_STORE_get0_param(store.get())) & X509_V_FLAG_CRL_CHECK) == 0)
    X509_STORE_set_flags(store.get(), X509_V_FLAG_PARTIAL_CHAIN);
  return store;
}

}  // namespace cnspec::transport
