// One exchange, awaited. Inside core/upstream only.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "base/error.hpp"
#include "transport/transport.hpp"

namespace cnspec::upstream {

// Nobody is followed who redirects: kInvalid.
boost::asio::awaitable<Result<transport::Response>> send(transport::Transport& transport,
                                                         transport::Request request);

}  // namespace cnspec::upstream
