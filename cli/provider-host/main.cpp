// cnspec-provider-host: one provider in a process of its own. Started by cnspec alone, which hands over what
// is needed by descriptor; see core/provider/child.hpp.
#include <fcntl.h>

#include <cstdio>

#include "provider/child.hpp"

int main() {
  using namespace cnspec::provider;
  for (int fd = kChannelFd; fd <= kLastFd; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) {
      std::fputs("cnspec-provider-host is started by cnspec, for one provider each; it does nothing else\n",
                 stderr);
      return 2;
    }
  }
  return keep_provider();
}
