// The readers of minisign's signatures and public keys. The first byte says how often the rest is verified by
// a key, with contents behind it; nobody forges the signature of a key that nobody has.
#include "auth/crypto.hpp"
#include "fuzz.hpp"
#include "provider/minisign.hpp"

using namespace cnspec;
using namespace cnspec::fuzz;

namespace {

void expect_readable(const Error& error, ErrorKind kind) {
  require(error.kind() == kind, "an error of the kind that was promised");
  const std::string message = error.message();
  require(!message.empty() && message.find_first_of("\r\n\t\x1b") == message.npos, "in one plain line");
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input = view(data, size);
  const unsigned way = take_byte(input);

  const auto key = provider::read_minisign_key(input.substr(0, input.find('\n')));
  if (key) {
    require(key->id.size() == 8 && key->point.size() == 32, "a key has its length");
    require(provider::key_id_text(key->id).size() == 16, "an id is shown in 16 digits");
  } else {
    expect_readable(key.error(), ErrorKind::kConfig);
  }

  const auto signature = provider::read_minisign_signature(input);
  if (!signature) {
    expect_readable(signature.error(), ErrorKind::kInvalid);
    return 0;
  }
  require(signature->id.size() == 8 && signature->signature.size() == 64 &&
              signature->comment_signature.size() == 64,
          "a signature has its lengths");
  require(signature->trusted_comment.find('\n') == std::string::npos, "a comment is one line");
  // Costs a hundred times what the rest does.
  if (way % 16 != 1) return 0;
  const provider::MinisignKey nobodys = {signature->id, std::string(32, '\x07')};
  const auto verified = provider::verify_minisign(*signature, {nobodys}, input, auth::openssl());
  require(!verified, "nobody's key has signed nothing");
  expect_readable(verified.error(), ErrorKind::kUntrusted);
  return 0;
}
