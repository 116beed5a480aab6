// One exchange, awaited. Inside core/upstream only.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string_view>

#include "base/error.hpp"
#include "transport/transport.hpp"

namespace cnspec::upstream {

// What own_headers() gave it.
std::string_view request_id(const transport::Request& request);

// Nobody is followed who redirects: kInvalid.
boost::asio::awaitable<Result<transport::Response>> send(transport::Transport& transport,
                                                         transport::Request request);

}  // namespace cnspec::upstream
