// A machine whose clock is wrong is refused with good credentials, since what proves them is dated. For what
// logs in and out; inside core/registration only.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <optional>

#include "base/error.hpp"
#include "upstream/upstream.hpp"

namespace cnspec::registration {

// Where `why` says that the platform refused credentials, and the clocks differ: the platform's minus ours.
boost::asio::awaitable<std::optional<std::chrono::nanoseconds>> skew_behind(const Error& why,
                                                                            upstream::Upstream& platform,
                                                                            upstream::Deadline deadline);

// `why`, with a hint that says it may be the clock.
Error clock_error(std::chrono::nanoseconds skew, Error why);
// Both: `why`, with that hint where the clocks differ.
boost::asio::awaitable<Error> with_clock(Error why, upstream::Upstream& platform,
                                         upstream::Deadline deadline);

}  // namespace cnspec::registration
