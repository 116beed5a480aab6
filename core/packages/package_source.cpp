#include "packages/package_source.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <vector>

#include "base/log.hpp"
#include "base/text.hpp"
#include "provider/minisign.hpp"
#include "runtime/network.hpp"
#include "runtime/registry_url.hpp"

namespace cnspec::packages {
namespace {

namespace fs = std::filesystem;
using provider::PackageName;
using runtime::Runtime;

constexpr std::size_t kMaxChecksums = 1 << 20;
constexpr std::uint64_t kMaxPackage = provider::PackageLimits{}.package;
constexpr std::string_view kFile = "file://";

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

const char* to_string(VerifiedBy by) {
  switch (by) {
    case VerifiedBy::kLockfile: return "lock file";
    case VerifiedBy::kSignature: return "signed SHA256SUMS";
    case VerifiedBy::kChecksums: return "SHA256SUMS";
    case VerifiedBy::kNothing: return "nobody";
  }
  return "nobody";
}

Result<PackageSource> PackageSource::open(Runtime& runtime, RegistrySettings settings) {
  auto url = runtime::registry_url(runtime.config(), settings.url);
  if (!url) return fail(url.error());
  transport::Transport* transport = nullptr;
  if (!url->starts_with(kFile)) {
    auto made = runtime.transport();
    if (!made) return fail(made.error());
    transport = *made;
  }
  upstream::RegistryOptions options;
  options.base = *url;
  options.features = upstream::features_header(runtime.features(), nullptr);
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
Result<bool> PackageSource::signature_is_good(const std::string& folder, const FetchedPackage& fetched) {
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
  auto network = runtime::load_network();
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
Result<void> PackageSource::find_expected_hash(const PackageName& what, FetchedPackage& fetched) {
  const std::string folder = folder_of(what);
  const std::string shown = printable(registry_->url(folder + "SHA256SUMS"));
  bool is_signed = false;
  if (!fetched.checksums.empty()) {
    auto good = signature_is_good(folder, fetched);
    if (!good) return fail(good.error());
    is_signed = *good;
  }
  if (fetched.verified_by == VerifiedBy::kLockfile) return {};
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
    fetched.verified_by = is_signed ? VerifiedBy::kSignature : VerifiedBy::kChecksums;
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

Result<FetchedPackage> PackageSource::fetch(const PackageName& what, const std::string& pinned) {
  auto file = provider::TemporaryFile::make();
  if (!file) return fail(file.error());
  const std::string path = folder_of(what) + file_of(what);
  FetchedPackage out{std::move(*file),
                     registry_->url(path),
                     pinned,
                     pinned.empty() ? VerifiedBy::kNothing : VerifiedBy::kLockfile,
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
  if (auto known = find_expected_hash(what, out); !known) return fail(known.error());

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

}  // namespace cnspec::packages
