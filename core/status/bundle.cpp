#include "status/bundle.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/interrupt.hpp"
#include "base/text.hpp"
#include "base/url.hpp"
#include "runtime/archive.hpp"

namespace cnspec::status {
namespace {

constexpr char kTaken[] = "there is already something of that name";

Error cannot_write(const std::filesystem::path& path, const std::string& why) {
  return Error("the bundle " + printable(path.string()) + " cannot be written: " + why);
}

std::string without(std::string text, const std::vector<std::string>& secrets) {
  constexpr std::size_t kShortest = 4;  // what is shorter stands in harmless words as well
  for (const std::string& secret : secrets) {
    if (secret.size() < kShortest) continue;
    for (std::size_t at = 0; (at = text.find(secret, at)) != text.npos;)
      text.replace(at, secret.size(), "***");
  }
  return text;
}

}  // namespace

Result<void> check_bundle(const std::filesystem::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0) {
    return fail(
        Error(cannot_write(path, kTaken).what(), ErrorKind::kUsage).hint("name one that is not there yet"));
  }
  const auto folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  if (::access(folder.c_str(), W_OK | X_OK) == 0) return {};
  return fail(cannot_write(path, std::strerror(errno)).what(), ErrorKind::kUsage);
}

Result<void> write_bundle(const std::filesystem::path& path,
                          const std::vector<std::pair<std::string, std::string>>& files,
                          const std::vector<std::string>& secrets) {
  const auto archive = runtime::load_archive();
  if (!archive) return fail(archive.error());
  std::vector<std::string> texts;
  std::vector<cnspec_archive_file> entries;
  texts.reserve(files.size());
  for (const auto& [name, text] : files) {
    texts.push_back(without(text, secrets));
    entries.push_back({name.c_str(), texts.back().data(), texts.back().size()});
  }
  const interrupt::Hold hold;  // no half of it stays behind
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return fail(cannot_write(path, errno == EEXIST ? kTaken : std::strerror(errno)));
  std::string why;
  if (const char* problem = archive->write(fd, entries.data(), entries.size(), std::time(nullptr)))
    why = problem;
  if (why.empty() && ::fsync(fd) != 0) why = std::strerror(errno);
  if (::close(fd) != 0 && why.empty()) why = std::strerror(errno);
  if (why.empty()) return {};
  ::unlink(path.c_str());
  return fail(cannot_write(path, why));
}

std::vector<std::string> known_secrets(const config::Config& config) {
  std::vector<std::string> out = {config.private_key, config.jwt_token, config.text("token")};
  for (const char* name : {"MONDOO_REGISTRATION_TOKEN", "MONDOO_CONFIG_BASE64", "JWT_TOKEN",
                           "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "IDENTITY_HEADER"}) {
    if (const char* value = std::getenv(name)) out.emplace_back(value);
  }
  // A key that is quoted has other line ends than its file.
  std::size_t begin = 0;
  const std::string& key = config.private_key;
  while (begin < key.size()) {
    const auto end = std::min(key.find('\n', begin), key.size());
    const std::string line = key.substr(begin, end - begin);
    if (!line.starts_with("-----")) out.push_back(line);
    begin = end + 1;
  }
  std::vector<std::string> addresses = {config.api_endpoint, config.api_proxy, config.updates_url,
                                        config.text("providers_url")};
  for (const char* name : {"MONDOO_API_PROXY", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy",
                           "ALL_PROXY", "all_proxy"}) {
    if (const char* value = std::getenv(name)) addresses.emplace_back(value);
  }
  for (const std::string& address : addresses) {
    const UrlParts parts = split_url(address);
    out.emplace_back(parts.password.empty() ? parts.user : parts.password);
    if (!parts.query.empty()) out.emplace_back(parts.query.substr(1));
  }
  return out;
}

}  // namespace cnspec::status
