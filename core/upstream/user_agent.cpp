#include "upstream/user_agent.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <array>
#include <map>

#include "base/file.hpp"
#include "base/text.hpp"
#include "base/version.hpp"

namespace cnspec::upstream {
namespace {

// The address that a packet to the world would be sent from. Connecting a datagram socket sends none.
std::string own_address() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return {};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(80);
  ::inet_pton(AF_INET, "1.1.1.1", &address.sin_addr);
  socklen_t size = sizeof address;
  auto* any = reinterpret_cast<sockaddr*>(&address);
  const bool known = ::connect(fd, any, size) == 0 && ::getsockname(fd, any, &size) == 0;
  ::close(fd);
  std::array<char, INET_ADDRSTRLEN> text{};
  if (known) ::inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size());
  return text.data();
}

// The release of the distribution, such as 12 or 24.04.
std::string release() {
  const auto text = read_small_file("/etc/os-release");
  constexpr std::string_view kKey = "\nVERSION_ID=";
  const std::string lines = text ? "\n" + *text : "";
  const auto at = lines.find(kKey);
  if (at == lines.npos) return {};
  const auto begin = at + kKey.size();
  const std::string_view value = trim(std::string_view(lines).substr(begin, lines.find('\n', begin) - begin));
  const bool quoted = value.size() >= 2 && value.front() == '"' && value.back() == '"';
  return std::string(quoted ? value.substr(1, value.size() - 2) : value);
}

// No header can carry anything else, and a blank ends a value.
std::string as_word(std::string text) {
  for (char& c : text)
    if (c <= ' ' || c > '~') c = '-';
  return text;
}

}  // namespace

std::string user_agent() {
  utsname system{};
  ::uname(&system);
  const std::map<std::string, std::string> values = {
      {"HN", system.nodename}, {"IP", own_address()}, {"PA", system.machine}, {"PN", "linux"},
      {"PR", release()},       {"build", kBuild},     {"cnspec", kVersion},
  };
  std::string out;
  for (const auto& [key, value] : values) {
    if (!value.empty()) out += (out.empty() ? "" : " ") + key + "/" + as_word(value);
  }
  return out;
}

}  // namespace cnspec::upstream
