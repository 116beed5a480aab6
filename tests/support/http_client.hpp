// HTTP for providers under test, by plain libcurl: stands in for the host's `http` service.
#pragma once

#include <string>

#include "base/error.hpp"
#include "transport/transport.hpp"

namespace cnspec::test {

// Blocks until the answer is here or the request's deadline has passed. `ca_file` (PEM) is all that is
// trusted; empty: the system's. Knows no proxy and follows no redirect.
Result<transport::Response> http_exchange(const transport::Request& request, const std::string& ca_file = {});

}  // namespace cnspec::test
