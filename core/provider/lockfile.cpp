#include "provider/lockfile.hpp"

#include <sys/stat.h>

#include <cerrno>
#include <chrono>

#include "base/file.hpp"
#include "base/json.hpp"
#include "base/names.hpp"
#include "base/text.hpp"
#include "provider/manifest.hpp"
#include "provider/trusted_file.hpp"

namespace cnspec::provider {
namespace {

constexpr std::size_t kMaxSize = 4 << 20;
constexpr int kFormat = 1;

std::string shown(const Lockfile& lock) { return printable(lock.path.string()); }

Result<LockedProvider> read_provider(const json::Value& value, const std::string& name) {
  const auto senseless = [&](const std::string& why) { return fail(quoted_if_needed(name) + ": " + why); };
  LockedProvider out;
  out.version = json::get_string(value, "version");
  if (!is_provider_name(name)) return senseless("a provider's name is letters, digits and dashes");
  if (!is_provider_version(out.version)) return senseless("expected a \"version\" such as \"1.2.3\"");
  const json::Value* platforms = json::find(value, "platforms");
  if (!platforms || !platforms->IsObject() || platforms->MemberCount() == 0)
    return senseless("expected \"platforms\", an object with one or more");
  for (const auto& [key, files] : platforms->GetObject()) {
    const std::string platform(json::view(key));
    LockedFiles locked{std::string(json::get_string(files, "package")),
                       std::string(json::get_string(files, "library"))};
    if (!is_platform_name(platform))
      return senseless("a platform is OS/ARCH in lower case, found " + quoted_if_needed(platform));
    if (!is_sha256(locked.package) || !is_sha256(locked.library)) {
      return senseless(quoted_if_needed(platform) +
                       ": expected \"package\" and \"library\", each 64 hexadecimal digits in lower case");
    }
    if (!out.platforms.emplace(platform, std::move(locked)).second)
      return senseless(quoted_if_needed(platform) + " stands there twice");
  }
  return out;
}

Result<Lockfile> read_document(const json::Value& document) {
  const json::Value* format = json::find(document, "version");
  if (!format || !format->IsInt()) return fail("expected a JSON object with \"version\": 1");
  if (format->GetInt() != kFormat)
    return fail("it is of version " + std::to_string(format->GetInt()) + ", expected 1");
  const json::Value* providers = json::find(document, "providers");
  if (!providers || !providers->IsObject()) return fail("expected \"providers\", an object");
  Lockfile out;
  for (const auto& [key, value] : providers->GetObject()) {
    const std::string name(json::view(key));
    auto provider = read_provider(value, name);
    if (!provider) return fail(provider.error());
    if (!out.providers.emplace(name, std::move(*provider)).second)
      return fail(quoted_if_needed(name) + " stands there twice");
  }
  return out;
}

}  // namespace

const LockedProvider* Lockfile::find(std::string_view name) const {
  const auto it = providers.find(std::string(name));
  return it == providers.end() ? nullptr : &it->second;
}

Result<Lockfile> parse_lockfile(std::string_view text, const std::filesystem::path& path) {
  auto document = json::parse(text);
  auto lock = document ? read_document(*document) : Result<Lockfile>(fail(document.error()));
  if (!lock) {
    return fail(Error(printable(path.string()) + ": " + lock.error().message(), ErrorKind::kConfig)
                    .hint("mend it, or take it away and write a new one: cnspec providers lock"));
  }
  lock->path = path;
  return lock;
}

Result<std::optional<Lockfile>> read_lockfile(const std::filesystem::path& named) {
  struct stat info {};
  if (::stat(named.c_str(), &info) != 0 && (errno == ENOENT || errno == ENOTDIR)) return std::nullopt;
  const auto unreadable = [](const Error& why) {
    return fail(Error("the lock file cannot be read: " + why.message(), ErrorKind::kConfig));
  };
  if (!S_ISREG(info.st_mode)) return unreadable(read_small_file(named, kMaxSize).error());
  std::error_code ec;
  const auto path = std::filesystem::absolute(named, ec);
  const auto refused = [&](const Error& why) {
    return fail(Error("the lock file " + printable(path.string()) + " cannot be trusted: " + why.message(),
                      ErrorKind::kConfig)
                    .hint(why.hint()));
  };
  PermissionChecker permissions;
  if (auto folder = permissions.check_folder(path.parent_path()); !folder) return refused(folder.error());
  auto file = permissions.open(path);
  if (!file) return refused(file.error());
  auto text = read_to_end(file->fd(), named.string(), kMaxSize, std::chrono::steady_clock::time_point::max());
  if (!text) return unreadable(text.error());
  auto lock = parse_lockfile(*text, named);
  if (!lock) return fail(lock.error());
  return std::move(*lock);
}

std::string to_text(const Lockfile& lock) {
  json::Document out(rapidjson::kObjectType);
  auto& alloc = out.GetAllocator();
  const auto text = [&](const std::string& s) { return json::text(s, alloc); };
  json::Value providers(rapidjson::kObjectType);
  for (const auto& [name, provider] : lock.providers) {
    json::Value platforms(rapidjson::kObjectType);
    for (const auto& [platform, files] : provider.platforms) {
      json::Value one(rapidjson::kObjectType);
      one.AddMember("package", text(files.package), alloc);
      one.AddMember("library", text(files.library), alloc);
      platforms.AddMember(text(platform), one, alloc);
    }
    json::Value one(rapidjson::kObjectType);
    one.AddMember("version", text(provider.version), alloc);
    one.AddMember("platforms", platforms, alloc);
    providers.AddMember(text(name), one, alloc);
  }
  out.AddMember("version", kFormat, alloc);
  out.AddMember("providers", providers, alloc);
  return json::write_pretty(out, 2) + "\n";
}

Result<void> allowed_version(const Lockfile& lock, const std::string& name, const std::string& version) {
  const LockedProvider* locked = lock.find(name);
  if (!locked || locked->version == version) return {};
  return fail(Error(shown(lock) + " pins " + name + " to version " + locked->version + ", found " +
                        printable(version),
                    ErrorKind::kUntrusted)
                  .hint("bring what it pins: cnspec providers install " + name +
                        "; or pin another: cnspec providers lock " + name + "@VERSION"));
}

Result<void> allowed_name(const Lockfile& lock, const std::string& name, const std::string& file) {
  if (file == name || !lock.find(name)) return {};
  return fail("it calls itself " + printable(name) + ", which " + shown(lock) + " pins; expected the file " +
                  printable(name) + ".so, found " + printable(file) + ".so",
              ErrorKind::kUntrusted);
}

Result<void> allowed_library(const Lockfile& lock, const std::string& name, const std::string& sha256) {
  const LockedProvider* locked = lock.find(name);
  if (!locked) return {};
  const std::string platform = std::string(this_os()) + "/" + std::string(this_arch());
  const auto files = locked->platforms.find(platform);
  if (files == locked->platforms.end()) {
    return fail(Error(shown(lock) + " pins no " + name + " for " + platform, ErrorKind::kUntrusted)
                    .hint("pin it as well: cnspec providers lock " + name + " --platform " + platform));
  }
  if (files->second.library == sha256) return {};
  return fail(Error("it is not the file that " + shown(lock) + " pins for " + name + " " + locked->version +
                        ": expected SHA-256 " + files->second.library + ", found " + sha256,
                    ErrorKind::kUntrusted)
                  .hint("bring what it pins: cnspec providers install " + name));
}

}  // namespace cnspec::provider
