#include "data_folder.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "base/file.hpp"

namespace cnspec::platform {
namespace {

namespace fs = std::filesystem;

constexpr char kDatabase[] = "platform.db";
constexpr char kSetupLock[] = ".setup.lock";

auto system_error(const std::string& what, int error) { return fail(what + ": " + std::strerror(error)); }

// Nothing when there is no such file.
Result<std::optional<std::string>> read_if_there(const fs::path& path) {
  auto text = read_small_file(path);
  if (text) return std::move(*text);
  if (text.error().kind() == ErrorKind::kNotFound) return std::nullopt;
  return fail(std::move(text.error()));
}

enum class Wait { kYes, kNo };

// kTimeout: another process holds it, and we do not wait.
Result<Fd> lock(const fs::path& path, Wait wait) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return system_error("cannot write " + path.string(), errno);
  Fd result(fd);
  while (::flock(fd, LOCK_EX | (wait == Wait::kYes ? 0 : LOCK_NB)) != 0) {
    if (errno == EWOULDBLOCK) return fail(path.string() + " is locked", ErrorKind::kTimeout);
    if (errno != EINTR) return system_error("cannot lock " + path.string(), errno);
  }
  return result;
}

auto named(const fs::path& path, Error cause) { return fail(Error::wrap(path.string(), std::move(cause))); }

}  // namespace

Result<DataFolder> DataFolder::create(const fs::path& given) {
  std::error_code error;
  const fs::path path = fs::absolute(given, error).lexically_normal();
  if (error) return fail("cannot use the data folder " + given.string() + ": " + error.message());
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return system_error("cannot make the data folder " + path.string(), errno);
  }
  // In this order, since another process may be making the same folder now: the lock is the first file it
  // gets.
  const bool empty = fs::is_empty(path, error);
  const bool ours =
      !error && (empty || fs::exists(path / kSetupLock, error) || fs::exists(path / kDatabase, error));
  if (error) return fail("cannot use the data folder " + path.string() + ": " + error.message());
  if (!ours) {
    return fail(Error("the folder " + path.string() + " holds something else than a platform's data")
                    .hint("name a folder that is empty or does not exist yet"));
  }
  if (::chmod(path.c_str(), 0700) != 0)
    return system_error("cannot make the data folder " + path.string() + " ours alone", errno);
  if (auto mark = lock(path / kSetupLock, Wait::kYes); !mark) return fail(mark.error());
  return DataFolder(path);
}

Result<DataFolder> DataFolder::open(const fs::path& given) {
  std::error_code error;
  const fs::path path = fs::absolute(given, error).lexically_normal();
  const bool there = !error && fs::exists(path / kDatabase, error);
  if (error) return fail("cannot use the data folder " + path.string() + ": " + error.message());
  if (!there) {
    return fail(Error("no platform's data in " + path.string())
                    .hint("name the folder that `serve` was given as --data"));
  }
  return DataFolder(path);
}

Result<Store> DataFolder::store() const {
  // SQLite's own locks do not cover the switch to a write-ahead log.
  const auto held = lock(path_ / kSetupLock, Wait::kYes);
  if (!held) return fail(held.error());
  return Store::open(path_ / kDatabase);
}

Result<Authority> DataFolder::authority() const {
  const auto held = lock(path_ / kSetupLock, Wait::kYes);
  if (!held) return fail(held.error());
  const fs::path key_file = path_ / "ca.key";
  const auto key_pem = read_if_there(key_file);
  if (!key_pem) return fail(key_pem.error());
  const auto certificate_pem = read_if_there(ca_file());
  if (!certificate_pem) return fail(certificate_pem.error());

  // The certificate is written last: without it nobody can have trusted the key yet.
  if (!*certificate_pem) {
    auto authority = make_authority();
    if (!authority) return authority;
    if (auto written = write_file_atomically(key_file, private_key_to_pem(authority->key), 0600); !written)
      return fail(written.error());
    if (auto written = write_file_atomically(ca_file(), certificate_to_pem(authority->certificate), 0600);
        !written)
      return fail(written.error());
    return authority;
  }
  if (!*key_pem) return fail(key_file.string() + ": no such file, though ca.pem is there");
  auto key = private_key_from_pem(**key_pem);
  if (!key) return named(key_file, std::move(key.error()));
  auto certificate = certificate_from_pem(**certificate_pem);
  if (!certificate) return named(ca_file(), std::move(certificate.error()));
  if (X509_check_private_key(certificate->get(), key->get()) != 1) {
    return fail(key_file.string() + " does not belong to " + ca_file().string());
  }
  if (is_expired(*certificate)) {
    return fail(Error("the certificate authority " + ca_file().string() + " has expired")
                    .hint("remove ca.pem and ca.key there; every client must then trust the new ca.pem"));
  }
  return Authority{std::move(*key), std::move(*certificate)};
}

Result<Key> DataFolder::token_key() const {
  const auto held = lock(path_ / kSetupLock, Wait::kYes);
  if (!held) return fail(held.error());
  const fs::path file = path_ / "token.key";
  const auto pem = read_if_there(file);
  if (!pem) return fail(pem.error());
  if (*pem) {
    auto key = private_key_from_pem(**pem);
    if (!key) return named(file, std::move(key.error()));
    if (!is_p384(*key)) return fail(file.string() + ": expected a key of the curve P-384, found another");
    return key;
  }
  auto key = make_key("P-384");
  if (!key) return key;
  if (auto written = write_file_atomically(file, private_key_to_pem(*key), 0600); !written)
    return fail(written.error());
  return key;
}

Result<Fd> DataFolder::lock_for_serving() const {
  auto held = lock(path_ / ".serve.lock", Wait::kNo);
  if (!held && held.error().kind() == ErrorKind::kTimeout)
    return fail("another cnspec-platform is serving the data folder " + path_.string());
  return held;
}

Result<fs::path> default_data_folder() {
  const char* data_home = std::getenv("XDG_DATA_HOME");
  if (data_home && fs::path(data_home).is_absolute()) return fs::path(data_home) / "cnspec-platform";
  const char* home = std::getenv("HOME");
  if (home && fs::path(home).is_absolute()) return fs::path(home) / ".local/share/cnspec-platform";
  return fail(Error("HOME is not set, so there is no default data folder").hint("use --data"));
}

}  // namespace cnspec::platform
