#include "registration/clock.hpp"

#include <string>
#include <utility>

#include "base/time.hpp"

namespace cnspec::registration {

boost::asio::awaitable<std::optional<std::chrono::nanoseconds>> skew_behind(const Error& why,
                                                                            upstream::Upstream& platform,
                                                                            upstream::Deadline deadline) {
  constexpr int kPermissionDenied = 7, kUnauthenticated = 16;  // the platform's codes
  if (why.status() != kUnauthenticated && why.status() != kPermissionDenied) co_return std::nullopt;
  auto health = co_await platform.health(deadline);
  if (!health) co_return std::nullopt;
  co_return upstream::clock_skew(*health);
}

Error clock_error(std::chrono::nanoseconds skew, Error why) {
  const bool behind = skew.count() > 0;
  const auto seconds = std::chrono::round<std::chrono::seconds>(std::chrono::abs(skew));
  const std::string more = why.hint().empty() ? "" : "; " + why.hint();
  return std::move(why).hint(
      "this machine's clock is " + duration_text(seconds) + (behind ? " behind" : " ahead of") +
      " the platform's, which may be why it was refused: set it right and try again" + more);
}

boost::asio::awaitable<Error> with_clock(Error why, upstream::Upstream& platform,
                                         upstream::Deadline deadline) {
  if (const auto skew = co_await skew_behind(why, platform, deadline))
    why = clock_error(*skew, std::move(why));
  co_return why;
}

}  // namespace cnspec::registration
