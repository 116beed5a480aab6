// cnspec-provider-host: one provider in a process of its own. Started by cnspec alone, which hands over what
// is needed by descriptor; see core/provider/child.hpp.
#include <fcntl.h>
#include <sys/stat.h>

#include <cstdio>

#include "provider/child.hpp"

namespace {

using namespace cnspec::provider;

bool handed_over() {
  struct stat channel {};
  if (::fstat(kChannelFd, &channel) != 0 || !S_ISSOCK(channel.st_mode)) return false;
  for (int fd = kChannelFd; fd <= kLastFd; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0) return false;
  }
  return true;
}

}  // namespace

// The provider's name, for those who look at processes, and its private folder.
int main(int argc, char** argv) {
  if (argc != 3 || !handed_over()) {
    std::fputs("cnspec-provider-host is started by cnspec, for one provider each; it does nothing else\n",
               stderr);
    return 2;
  }
  return keep_provider(argv[2]);
}
