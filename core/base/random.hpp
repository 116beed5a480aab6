// Random identifiers; from the kernel, without a crypto library.
#pragma once

#include <string>

namespace cnspec {

std::string random_uuid();  // version 4

// `size` random bytes in lower-case hex.
std::string random_hex(std::size_t size);

}  // namespace cnspec
