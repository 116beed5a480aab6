// The kinds of auth.cpp's table that have files of their own.
#pragma once

#include "auth/auth.hpp"

namespace cnspec::auth {

// A JWT a request: ES384 over the body's hash, valid for a minute.
Result<std::unique_ptr<Authenticator>> make_service_account(const Credentials& credentials);

}  // namespace cnspec::auth
