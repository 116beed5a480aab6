#include "runtime/registry.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include "base/file.hpp"
#include "base/log.hpp"
#include "base/names.hpp"
#include "base/semver.hpp"
#include "base/text.hpp"
#include "base/version.hpp"
#include "provider/minisign.hpp"
#include "runtime/network.hpp"

namespace cnspec::runtime {
namespace {

namespace fs = std::filesystem;
using provider::InstallOptions;
using provider::Lockfile;
using provider::PackageName;

constexpr std::size_t kMaxChecksums = 1 << 20;
constexpr std::uint64_t kMaxPackage = provider::PackageLimits{}.package;
constexpr std::string_view kFile = "file://";

constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kConnectors = {{
    {"container", "os"},
    {"device", "os"},
    {"docker", "os"},
    {"filesystem", "os"},
    {"fs", "os"},
    {"local", "os"},
    {"ssh", "os"},
    {"vagrant", "os"},
    {"winrm", "os"},
}};

tl::unexpected<Error> usage(std::string what) { return fail(std::move(what), ErrorKind::kUsage); }

std::string folder_of(const PackageName& what) { return what.name + "/" + what.version + "/"; }
std::string file_of(const PackageName& what) { return provider::package_file_name(what); }
std::string described(const PackageName& what) {
  return what.name + " " + what.version + " for " + what.os + "/" + what.arch;
}

// Only a folder that is ours alone: what it says decides what is asked for.
fs::path cache_folder() {
  if (provider::elevated()) return {};
  const char* named = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  fs::path folder;
  if (named && fs::path(named).is_absolute()) {
    folder = fs::path(named) / "mondoo";
  } else if (home && fs::path(home).is_absolute()) {
    folder = fs::path(home) / ".cache/mondoo";
  }
  // Of what is not there yet, the folder that it will be made in.
  struct stat info {};
  fs::path at = folder;
  while (!at.empty() && ::lstat(at.c_str(), &info) != 0 && errno == ENOENT && at != at.parent_path())
    at = at.parent_path();
  const bool ours =
      S_ISDIR(info.st_mode) && info.st_uid == ::geteuid() && (info.st_mode & (S_IWGRP | S_IWOTH)) == 0;
  if (!ours) log::debug(printable(folder.string()) + " is not used as a cache: it could be somebody else's");
  return ours ? folder : fs::path();
}

}  // namespace

Result<Wanted> parse_wanted(std::string_view word) {
  const auto at = word.find('@');
  Wanted out{std::string(word.substr(0, at)), ""};
  const std::string shown = quoted_if_needed(word.substr(0, 200));
  if (!is_provider_name(out.name)) {
    return usage(shown + ": expected NAME or NAME@VERSION, where a name is letters, digits and dashes");
  }
  if (at == word.npos) return out;
  std::string_view version = word.substr(at + 1);
  if (version.starts_with('v')) version.remove_prefix(1);
  if (!is_provider_version(version))
    return usage(shown + ": expected NAME@VERSION, with a version such as 1.2.3");
  out.version = version;
  return out;
}

Result<PlatformName> parse_platform(std::string_view word) {
  const auto slash = word.find('/');
  PlatformName out{std::string(word.substr(0, slash)),
                   std::string(slash == word.npos ? "" : word.substr(slash + 1))};
  if (is_platform_name(word)) return out;
  return usage("--platform " + quoted_if_needed(word.substr(0, 200)) +
               ": expected OS/ARCH, such as linux/amd64");
}

PlatformName this_platform() {
  return {std::string(provider::this_os()), std::string(provider::this_arch())};
}

std::string provider_for_connector(std::string_view connector) {
  for (const auto& [name, owner] : kConnectors) {
    if (name == connector) return std::string(owner);
  }
  return std::string(connector);
}

Result<std::string> registry_url(const config::Config& config, const std::string& given) {
  std::string url = given;
  std::string from = "--registry";
  const auto take = [&](const char* key, const char* below) {
    const config::Setting* setting = config.find(key);
    if (!url.empty() || !setting || setting->origin == config::Origin::kDefault) return;
    url = config.text(key);
    from = setting->from + ": " + key;
    while (url.ends_with('/')) url.pop_back();
    if (!url.empty()) url += below;
  };
  take("providers_url", "");
  take("updates_url", "/providers");
  if (url.empty() && *kUpdatesUrl) url = std::string(kUpdatesUrl) + "/providers";
  while (url.ends_with('/')) url.pop_back();
  if (url.empty()) {
    return fail(Error("no registry of providers is known", ErrorKind::kConfig)
                    .hint("name one by --registry URL, or by providers_url in the configuration"));
  }
  const auto refuse = [&](const std::string& why, const std::string& hint) {
    return fail(Error(printable(from) + ": " + why, given.empty() ? ErrorKind::kConfig : ErrorKind::kUsage)
                    .hint(hint));
  };
  if (url.find("://") == url.npos && (url.front() == '/' || url.front() == '.')) {
    std::error_code ec;
    return refuse("expected https://..., or file:///FOLDER, found " + quoted_if_needed(url),
                  "of a folder it is file://" + printable(fs::absolute(url, ec).lexically_normal().string()));
  }
  if (url.find("://") == url.npos) url = "https://" + url;
  const bool folder = url.starts_with("file:///");
  if (!folder && !url.starts_with("https://") && !url.starts_with("http://")) {
    return refuse("expected https://..., or file:///FOLDER, found " +
                      quoted_if_needed(url.substr(0, url.find(':') + 3)),
                  "");
  }
  // Messages name the URL, and so would show it to everybody.
  const std::string_view authority = std::string_view(url).substr(url.find("://") + 3);
  if (!folder && authority.substr(0, authority.find_first_of("/?#")).find('@') != authority.npos) {
    return refuse("names a user or a password, which a registry is not given",
                  "let the registry be read without, from this network; what comes is checked anyway");
  }
  return url;
}

const char* to_string(Voucher voucher) {
  switch (voucher) {
    case Voucher::kLock: return "lock file";
    case Voucher::kSignature: return "signed SHA256SUMS";
    case Voucher::kChecksums: return "SHA256SUMS";
    case Voucher::kNobody: return "nobody";
  }
  return "nobody";
}

// ---- the source ----

Result<PackageSource> PackageSource::open(Runtime& runtime, RegistrySettings settings) {
  auto url = registry_url(runtime.config(), settings.url);
  if (!url) return fail(url.error());
  transport::Transport* transport = nullptr;
  if (!url->starts_with(kFile)) {
    auto made = runtime.transport();
    if (!made) return fail(made.error());
    transport = *made;
  }
  upstream::RegistryOptions options;
  options.base = *url;
  options.cache = cache_folder();
  options.deadline = runtime.deadline();
  options.max_silence = settings.max_silence;
  auto registry = std::make_unique<upstream::Registry>(transport, std::move(options));
  return PackageSource(runtime, std::move(settings), std::move(*url), std::move(registry));
}

Result<const upstream::Versions*> PackageSource::catalog() {
  if (!catalog_) catalog_ = runtime_->run(registry_->catalog());
  if (!*catalog_) return fail(catalog_->error());
  return &**catalog_;
}

Result<std::string> PackageSource::newest(const std::string& name) {
  auto known = catalog();
  if (!known) return fail(known.error());
  const auto found = (*known)->find(name);
  if (found != (*known)->end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [other, version] : **known) names.push_back(other);
  const std::string like = closest(name, names);
  return fail("the registry " + printable(url_) + " has no provider " + name +
                  (like.empty() ? "" : "; did you mean " + like + "?"),
              ErrorKind::kNotFound);
}

// Empty when it is not there.
Result<std::string> PackageSource::optional_text(const std::string& path) {
  auto text = runtime_->run(registry_->text(path, kMaxChecksums));
  if (!text && text.error().kind() == ErrorKind::kNotFound) return std::string();
  return text;
}

Error PackageSource::not_there(const PackageName& what) {
  std::string known;
  if (const auto version = newest(what.name); version && *version != what.version) {
    known = "; the newest version is " + *version;
  } else if (!version && version.error().kind() == ErrorKind::kNotFound) {
    return version.error();
  }
  return Error("the registry " + printable(url_) + " has no " + described(what) + known,
               ErrorKind::kNotFound);
}

// Whether a trusted key signed the checksums. What cannot be trusted is an error only where signatures are
// wanted, but a bad signature always is.
Result<bool> PackageSource::signature_is_good(const std::string& folder, const Fetched& fetched) {
  const provider::TrustPolicy& policy = runtime_->trust();
  const std::string shown = printable(registry_->url(folder + "SHA256SUMS.minisig"));
  if (fetched.signature.empty()) {
    if (!policy.signed_only) return false;
    return fail(shown + ": there is no such file, and only signed providers are trusted (trust: signed)",
                ErrorKind::kUntrusted);
  }
  auto signature = provider::read_minisign_signature(fetched.signature);
  if (!signature) return fail(Error::wrap(shown, signature.error()));
  const bool known = std::any_of(policy.keys.begin(), policy.keys.end(),
                                 [&](const provider::MinisignKey& key) { return key.id == signature->id; });
  if (!known && !policy.signed_only) return false;
  auto network = load_network();
  if (!network) return fail(network.error());
  auto good = provider::verify_minisign(*signature, policy.keys, fetched.checksums, *(*network)->crypto);
  if (!good) return fail(Error::wrap(shown, good.error()));
  return true;
}

// So that nobody looks for the checksums of what does not exist.
Result<void> PackageSource::must_be_there(const PackageName& what) {
  auto there = runtime_->run(registry_->has(folder_of(what) + file_of(what)));
  if (!there) return fail(there.error());
  return *there ? Result<void>() : fail(not_there(what));
}

// Finds out what the package has to be, before it is fetched.
Result<void> PackageSource::vouch(const PackageName& what, Fetched& fetched) {
  const std::string folder = folder_of(what);
  const std::string shown = printable(registry_->url(folder + "SHA256SUMS"));
  bool is_signed = false;
  if (!fetched.checksums.empty()) {
    auto good = signature_is_good(folder, fetched);
    if (!good) return fail(good.error());
    is_signed = *good;
  }
  if (fetched.voucher == Voucher::kLock) return {};
  if (fetched.checksums.empty()) {
    if (auto there = must_be_there(what); !there) return there;
    if (runtime_->trust().signed_only) {
      return fail(shown + ": there is no such file, and only signed providers are trusted (trust: signed)",
                  ErrorKind::kUntrusted);
    }
    if (!settings_.allow_unverified) {
      return fail(Error(shown + ": there is no such file, so nobody says which package is the right one",
                        ErrorKind::kUntrusted)
                      .hint("pin it in a lock file, or take what comes over https: --allow-unverified"));
    }
  } else {
    auto sums = upstream::read_checksums(fetched.checksums, shown);
    if (!sums) return fail(sums.error());
    const auto sum = sums->find(file_of(what));
    if (sum == sums->end()) {
      if (auto there = must_be_there(what); !there) return there;
      return fail(shown + " does not name " + file_of(what), ErrorKind::kUntrusted);
    }
    fetched.sha256 = sum->second;
    fetched.voucher = is_signed ? Voucher::kSignature : Voucher::kChecksums;
  }
  if (url_.starts_with("http://") && !is_signed) {
    return fail(
        Error("the registry " + printable(url_) +
                  " is asked without TLS, so anybody on the way can answer in its place",
              ErrorKind::kUntrusted)
            .hint("use https, pin what is to be installed in a lock file, or trust the key that signs "
                  "its SHA256SUMS"));
  }
  return {};
}

Result<Fetched> PackageSource::fetch(const PackageName& what, const std::string& pinned) {
  auto file = provider::TemporaryFile::make();
  if (!file) return fail(file.error());
  const std::string path = folder_of(what) + file_of(what);
  Fetched out{std::move(*file),
              registry_->url(path),
              pinned,
              pinned.empty() ? Voucher::kNobody : Voucher::kLock,
              "",
              ""};
  auto checksums = optional_text(folder_of(what) + "SHA256SUMS");
  if (!checksums) return fail(checksums.error());
  out.checksums = std::move(*checksums);
  if (!out.checksums.empty()) {
    auto signature = optional_text(folder_of(what) + "SHA256SUMS.minisig");
    if (!signature) return fail(signature.error());
    out.signature = std::move(*signature);
  }
  if (auto known = vouch(what, out); !known) return fail(known.error());

  upstream::Registry::Progress progress;
  if (settings_.progress) {
    progress = [tell = settings_.progress, name = what.name + " " + what.version](
                   std::uint64_t done, std::uint64_t whole) { tell(name, done, whole); };
  }
  auto done = runtime_->run(registry_->download(path, out.file.fd(), kMaxPackage, std::move(progress)));
  if (!done && done.error().kind() == ErrorKind::kNotFound) return fail(not_there(what));
  if (!done) return fail(done.error());
  return out;
}

// ---- install ----

namespace {

// What a wanted provider has to be: by the lock file where there is one.
struct Choice {
  std::string version, pinned;
};

Result<Choice> choose(const Runtime& runtime, PackageSource& source, const Wanted& wanted) {
  const Lockfile* lock = runtime.trust().lock.get();
  if (!lock) {
    if (!wanted.version.empty()) return Choice{wanted.version, ""};
    auto version = source.newest(wanted.name);
    if (!version) return fail(version.error());
    return Choice{std::move(*version), ""};
  }
  const std::string file = printable(lock->path.string());
  const provider::LockedProvider* locked = lock->find(wanted.name);
  if (!locked) {
    return fail(Error(file + " does not name " + wanted.name, ErrorKind::kRejected)
                    .hint("pin it as well: cnspec providers lock " + wanted.name));
  }
  if (!wanted.version.empty()) {
    auto allowed = provider::allowed_version(*lock, wanted.name, wanted.version);
    if (!allowed)
      return fail(
          Error(allowed.error().message(), ErrorKind::kRejected)
              .hint("pin the other version: cnspec providers lock " + wanted.name + "@" + wanted.version));
  }
  const std::string here = this_platform().text();
  const auto files = locked->platforms.find(here);
  if (files == locked->platforms.end()) {
    return fail(Error(file + " pins no " + wanted.name + " for " + here, ErrorKind::kRejected)
                    .hint("pin it as well: cnspec providers lock " + wanted.name + " --platform " + here));
  }
  return Choice{locked->version, files->second.package};
}

}  // namespace

Result<InstalledFrom> install_from_registry(Runtime& runtime, PackageSource& source, const Wanted& wanted,
                                            const InstallOptions& options) {
  auto choice = choose(runtime, source, wanted);
  if (!choice) return fail(choice.error());
  const PlatformName here = this_platform();
  const PackageName what{wanted.name, choice->version, here.os, here.arch};
  auto fetched = source.fetch(what, choice->pinned);
  if (!fetched) return fail(fetched.error());
  // What the lock file refuses from now on has a version all the same.
  std::string before;
  for (const provider::Found& found : installed_providers(runtime)) {
    if (found.manifest.name == what.name) before = found.manifest.version;
  }
  auto installed =
      provider::install_package(fetched->package(), {what.name, what.version, fetched->sha256}, options);
  if (!installed) return fail(installed.error());
  if (!installed->before.empty() && !before.empty()) installed->before = before;
  return InstalledFrom{std::move(*installed), fetched->url, fetched->voucher};
}

std::vector<provider::Found> installed_providers(const Runtime& runtime) {
  provider::SearchOptions search = runtime.search();
  auto unpinned = std::make_shared<provider::TrustPolicy>(runtime.trust());
  unpinned->lock = nullptr;
  search.trust = std::move(unpinned);
  const auto place = provider::install_folder(search);
  std::vector<provider::Found> out;
  if (!place) return out;
  provider::Inventory inventory = provider::discover(search);
  const auto take = [&](provider::Found& found) {
    const bool here = found.path.parent_path() == place->path / found.manifest.name;
    if (found.origin != provider::Origin::kBundled && here) out.push_back(std::move(found));
  };
  for (provider::Found& found : inventory.active) take(found);
  for (provider::Shadowed& shadowed : inventory.shadowed) take(shadowed.provider);
  std::sort(out.begin(), out.end(), [](const provider::Found& a, const provider::Found& b) {
    return a.manifest.name < b.manifest.name;
  });
  return out;
}

// ---- update ----

const char* to_string(Update::Outcome outcome) {
  switch (outcome) {
    case Update::Outcome::kUpdated: return "updated";
    case Update::Outcome::kCurrent: return "current";
    case Update::Outcome::kNewer: return "newer";
    case Update::Outcome::kUnknown: return "unknown";
    case Update::Outcome::kFailed: return "failed";
  }
  return "failed";
}

namespace {

Update update_one(Runtime& runtime, PackageSource& source, const provider::Found& installed,
                  const InstallOptions& options) {
  using Outcome = Update::Outcome;
  const std::string& name = installed.manifest.name;
  Update out{name, installed.manifest.version, "", Outcome::kUnknown, false, std::nullopt};
  const Lockfile* lock = runtime.trust().lock.get();
  const provider::LockedProvider* locked = lock ? lock->find(name) : nullptr;
  if (lock && !locked) {
    out.pinned = true;  // by being left out
    out.outcome = Outcome::kUnknown;
    return out;
  }
  if (locked) {
    out.pinned = true;
    out.to = locked->version;
  } else if (auto newest = source.newest(name)) {
    out.to = *newest;
  } else if (newest.error().kind() == ErrorKind::kNotFound) {
    return out;
  } else {
    out.outcome = Outcome::kFailed;
    out.error = newest.error();
    return out;
  }
  const auto order = compare_versions(out.from, out.to);
  if (order && *order >= 0) {
    out.outcome = *order == 0 ? Outcome::kCurrent : Outcome::kNewer;
    return out;
  }
  auto done = install_from_registry(runtime, source, {name, out.to}, options);
  out.outcome = done ? Outcome::kUpdated : Outcome::kFailed;
  if (!done) out.error = done.error();
  return out;
}

}  // namespace

Result<std::vector<Update>> update_providers(Runtime& runtime, PackageSource& source,
                                             const std::vector<std::string>& names,
                                             const InstallOptions& options) {
  const auto installed = installed_providers(runtime);
  std::vector<std::string> known;
  for (const provider::Found& found : installed) known.push_back(found.manifest.name);
  for (const std::string& name : names) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    if (const auto* found = runtime.providers().by_name(name);
        found && found->origin == provider::Origin::kBundled) {
      return fail(
          Error("the provider " + name + " is part of cnspec, and is updated with it", ErrorKind::kRejected));
    }
    const std::string like = closest(name, known);
    return fail(Error("the provider " + quoted_if_needed(name) + " is not installed" +
                          (like.empty() ? "" : "; did you mean " + like + "?"),
                      ErrorKind::kNotFound)
                    .hint("install it: cnspec providers install " + quoted_if_needed(name)));
  }
  std::vector<Update> out;
  for (const provider::Found& found : installed) {
    const bool meant =
        names.empty() || std::find(names.begin(), names.end(), found.manifest.name) != names.end();
    if (meant) out.push_back(update_one(runtime, source, found, options));
  }
  return out;
}

}  // namespace cnspec::runtime
