#include "auth/ssh_agent.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "base/text.hpp"

namespace cnspec::auth {
namespace {

// Message numbers and flags of the agent's protocol.
constexpr char kFailure = 5;
constexpr char kListKeys = 11;
constexpr char kKeys = 12;
constexpr char kSign = 13;
constexpr char kSignature = 14;
constexpr std::uint32_t kRsaSha512 = 4;

constexpr std::size_t kMaxMessage = 256 * 1024;
constexpr std::size_t kMaxKeys = 256;
constexpr char kStartOne[] = "start one and give it a key: eval \"$(ssh-agent)\" && ssh-add";

void put_number(std::string& out, std::uint32_t number) {
  for (const int shift : {24, 16, 8, 0}) out += static_cast<char>(number >> shift & 0xff);
}
void put_text(std::string& out, std::string_view text) {
  put_number(out, static_cast<std::uint32_t>(text.size()));
  out += text;
}

// Takes numbers and texts off the front; nothing when there are not enough bytes.
std::optional<std::uint32_t> take_number(std::string_view& in) {
  if (in.size() < 4) return std::nullopt;
  std::uint32_t number = 0;
  for (const char c : in.substr(0, 4)) number = number << 8 | static_cast<unsigned char>(c);
  in.remove_prefix(4);
  return number;
}
std::optional<std::string> take_text(std::string_view& in) {
  const auto size = take_number(in);
  if (!size || *size > in.size()) return std::nullopt;
  std::string text(in.substr(0, *size));
  in.remove_prefix(*size);
  return text;
}

}  // namespace

SshAgent::SshAgent(SshAgent&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), name_(std::move(other.name_)) {}

SshAgent::~SshAgent() {
  if (fd_ >= 0) ::close(fd_);
}

tl::unexpected<Error> SshAgent::failed(const std::string& why, ErrorKind kind) const {
  return fail(name_ + " " + why, kind);
}

Result<SshAgent> SshAgent::connect() {
  const char* path = std::getenv("SSH_AUTH_SOCK");
  if (!path || !*path) {
    return fail(
        Error("there is no SSH agent: SSH_AUTH_SOCK is not set", ErrorKind::kUnavailable).hint(kStartOne));
  }
  const std::string name = "the SSH agent at " + quoted_if_needed(path);
  const auto unreachable = [&](const std::string& why) {
    return fail(Error(name + " cannot be reached: " + why, ErrorKind::kUnavailable).hint(kStartOne));
  };
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string_view text(path);
  if (text.size() >= sizeof address.sun_path) return unreachable("the path is too long for a socket");
  std::copy(text.begin(), text.end(), address.sun_path);

  SshAgent agent(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), name);
  if (agent.fd_ < 0 || ::connect(agent.fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return unreachable(errno == EAGAIN ? "it takes no more connections" : std::strerror(errno));
  }
  return agent;
}

Result<void> SshAgent::transfer(char* data, std::size_t size, bool write, Deadline deadline) {
  while (size > 0) {
    const ssize_t n = write ? ::send(fd_, data, size, MSG_NOSIGNAL) : ::recv(fd_, data, size, 0);
    if (n > 0) {
      data += n;
      size -= static_cast<std::size_t>(n);
      continue;
    }
    if (n == 0) return failed("closed the connection in the middle", ErrorKind::kInvalid);
    if (errno == EINTR) continue;
    if (errno != EAGAIN)
      return failed(std::string("failed: ") + std::strerror(errno), ErrorKind::kUnavailable);

    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return failed("did not answer in time", ErrorKind::kTimeout);
    constexpr std::chrono::milliseconds kLongest = std::chrono::minutes(1);
    pollfd wait{fd_, static_cast<short>(write ? POLLOUT : POLLIN), 0};
    ::poll(&wait, 1, static_cast<int>(std::min(left, kLongest).count()));
  }
  return {};
}

Result<std::string> SshAgent::ask(std::string_view message, Deadline deadline) {
  std::string frame;
  put_text(frame, message);
  if (auto sent = transfer(frame.data(), frame.size(), true, deadline); !sent) return fail(sent.error());
  std::array<char, 4> header{};
  if (auto got = transfer(header.data(), header.size(), false, deadline); !got) return fail(got.error());
  std::string_view head(header.data(), header.size());
  const std::uint32_t size = take_number(head).value_or(0);
  if (size == 0 || size > kMaxMessage) {
    return failed("sent no message of its protocol: its length is " + std::to_string(size),
                  ErrorKind::kInvalid);
  }
  std::string answer(size, '\0');
  if (auto got = transfer(answer.data(), answer.size(), false, deadline); !got) return fail(got.error());
  return answer;
}

Result<std::vector<SshAgent::Key>> SshAgent::keys(Deadline deadline) {
  const auto answer = ask({&kListKeys, 1}, deadline);
  if (!answer) return fail(answer.error());
  std::string_view rest = *answer;
  if (rest.front() == kFailure) return failed("does not list its keys: is it locked?", ErrorKind::kRejected);
  if (rest.front() != kKeys) {
    return failed("sent message " + std::to_string(static_cast<unsigned char>(rest.front())) +
                      " where its list of keys was expected",
                  ErrorKind::kInvalid);
  }
  rest.remove_prefix(1);
  const auto count = take_number(rest);
  if (!count || *count > kMaxKeys)
    return failed("sent a list of keys that makes no sense", ErrorKind::kInvalid);
  std::vector<Key> keys;
  for (std::uint32_t i = 0; i < *count; ++i) {
    auto blob = take_text(rest);
    auto comment = take_text(rest);
    std::string_view inside = blob ? std::string_view(*blob) : std::string_view();
    auto type = take_text(inside);
    if (!blob || !comment || !type)
      return failed("sent a list of keys that makes no sense", ErrorKind::kInvalid);
    keys.push_back({std::move(*type), std::move(*blob), std::move(*comment)});
  }
  return keys;
}

Result<std::string> SshAgent::sign(const Key& key, std::string_view data, Deadline deadline) {
  std::string message(1, kSign);
  put_text(message, key.blob);
  put_text(message, data);
  put_number(message, key.type == "ssh-rsa" ? kRsaSha512 : 0);
  const auto answer = ask(message, deadline);
  if (!answer) return fail(answer.error());
  std::string_view rest = *answer;
  if (rest.front() == kFailure) return failed("refused to sign", ErrorKind::kRejected);
  const bool signature = rest.front() == kSignature;
  rest.remove_prefix(1);
  auto signed_text = signature ? take_text(rest) : std::nullopt;
  if (!signed_text || signed_text->empty()) return failed("sent no signature", ErrorKind::kInvalid);
  return std::move(*signed_text);
}

}  // namespace cnspec::auth
