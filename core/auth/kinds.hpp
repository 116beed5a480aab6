// The kinds of the tables in auth.cpp and exchange.cpp that have files of their own, and what they share.
#pragma once

#include "auth/auth.hpp"
#include "auth/exchange.hpp"

namespace cnspec::auth {

// A JWT a request: ES384 over the body's hash, valid for a minute.
Result<std::unique_ptr<Authenticator>> make_service_account(const Credentials& credentials);

// Claims signed by every key of the SSH agent.
std::unique_ptr<Exchange> make_ssh(const Claimant& claimant);
// A token that an issuer known to the platform gave this workload.
std::unique_ptr<Exchange> make_workload_identity(const Claimant& claimant);

// {"mrn": ..., "private_key": ..., ...}
Result<Account> read_account(const json::Value& credential);

std::string sha256(std::string_view bytes);  // 32 bytes

}  // namespace cnspec::auth
