#include "providers_registry.hpp"

#include "base/text.hpp"
#include "base/time.hpp"
#include "packages/install.hpp"
#include "provider/lockfile.hpp"
#include "runtime/registry_url.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::cli {
namespace {

constexpr std::chrono::seconds kOthers{60};
constexpr std::chrono::minutes kUnasked{10};  // for an installation that nobody asked for

// Whoever may answer in the registry's place decides what runs here.
void warn_if_unverified(const packages::InstalledFrom& done) {
  if (done.verified_by != packages::VerifiedBy::kNothing) return;
  print_warning("nobody vouches for " + done.installed.provider.manifest.name + " " +
                done.installed.provider.manifest.version + ": it was taken as it came from " + done.url);
}

}  // namespace

void add_registry(Command& command, RegistryFlags& flags) {
  command.option({.names = "--registry",
                  .target = &flags.url,
                  .summary = "Where providers come from, as https://... or file:///FOLDER (default: "
                             "providers_url, else updates_url with /providers)",
                  .value = "URL"});
  command.option({.names = "--max-silence",
                  .target = &flags.silence,
                  .summary = "How long a download may stand still",
                  .value = "DURATION",
                  .check = check_duration,
                  .default_text = flags.silence});
  command.option({.names = "--allow-unverified",
                  .target = &flags.allow_unverified,
                  .summary = "Take packages that neither a lock file nor a SHA256SUMS vouches for"});
}

std::string progress_text(const std::string& what, std::uint64_t done, std::uint64_t whole) {
  const auto mib = [](std::uint64_t bytes) {
    const auto tenths = bytes * 10 / (1 << 20);
    return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10);
  };
  if (whole == 0) return what + ": " + mib(done) + " MiB";
  return what + ": " + mib(done) + " of " + mib(whole) + " MiB (" + std::to_string(done * 100 / whole) +
         " %)";
}

Registry::Registry(runtime::Runtime& runtime, const RegistryFlags& flags) {
  progress_.emplace("asking the registry");
  packages::RegistrySettings settings;
  settings.url = flags.url;
  settings.allow_unverified = flags.allow_unverified;
  settings.max_silence =
      std::chrono::duration_cast<std::chrono::milliseconds>(*parse_duration(flags.silence));
  settings.progress = [this](const std::string& what, std::uint64_t done, std::uint64_t whole) {
    progress_->say(progress_text(what, done, whole));
  };
  auto source = packages::PackageSource::open(runtime, std::move(settings));
  if (!source) exit_with(source.error());
  source_.emplace(std::move(*source));
}

std::vector<packages::ProviderSpec> parse_provider_specs(const std::vector<std::string>& words) {
  std::vector<packages::ProviderSpec> out;
  for (const std::string& word : words) {
    auto wanted = packages::parse_provider_spec(word);
    if (!wanted) exit_with(wanted.error());
    out.push_back(std::move(*wanted));
  }
  return out;
}

provider::InstallOptions install_options(runtime::Runtime& runtime, bool dry_run) {
  auto options = packages::install_options(runtime);
  if (!options) exit_with(options.error());
  options->dry_run = dry_run;
  options->deadline = std::min(runtime.deadline(), std::chrono::steady_clock::now() + kOthers);
  return *options;
}

bool install_named(Globals& globals, const RegistryFlags& flags, const std::vector<std::string>& names,
                   bool force, const Change& change) {
  std::vector<packages::ProviderSpec> wanted = parse_provider_specs(names);
  const auto runtime = start(globals, kNoTimeout);
  if (names.empty()) {
    const provider::Lockfile* lock = runtime->lock();
    if (!lock) {
      exit_with(
          Error("which provider?", ErrorKind::kUsage)
              .hint("name it as NAME or NAME@VERSION, or a package with --file or --url; without a name, "
                    "what the lock file pins is installed, and there is none"));
    }
    for (const auto& [name, locked] : lock->providers) wanted.push_back({name, locked.version});
  }
  Registry registry(*runtime, flags);
  std::vector<provider::Installed> installed;
  bool good = true;
  for (const packages::ProviderSpec& one : wanted) {
    provider::InstallOptions options = install_options(*runtime, change.dry_run);
    options.force = force;
    auto done = packages::install_from_registry(*runtime, registry.source(), one, options);
    if (!done) {
      const std::string what = one.name + (one.version.empty() ? "" : " " + one.version);
      print_error(Error::wrap(what + " is not installed", done.error()));
      good = false;
      continue;
    }
    warn_if_unverified(*done);
    const provider::Lockfile* lock = runtime->lock();
    if (lock && (names.empty() || one.version.empty()))
      warn_if_older(done->installed, change.dry_run, ", which " + printable(lock->path.string()) + " pins");
    installed.push_back(std::move(done->installed));
  }
  print_installed(installed, change.dry_run, change.as_json());
  return good;
}

Result<std::string> install_missing(const runtime::Runtime& runtime, const std::string& name,
                                    bool limited_in_time) {
  runtime::Options options = runtime.options();
  if (!limited_in_time) options.timeout = kUnasked;
  auto own = runtime::Runtime::create(std::move(options));
  if (!own) return fail(own.error());
  // Nobody asked for the registry, so what is wrong with it is no mistake of the user's.
  if (auto url = runtime::registry_url((*own)->config(), ""); !url) return fail(url.error());
  Registry registry(**own, RegistryFlags{});
  auto done =
      packages::install_from_registry(**own, registry.source(), {name, ""}, install_options(**own, false));
  if (!done) return fail(done.error());
  warn_if_unverified(*done);
  return done->installed.provider.manifest.version;
}

}  // namespace cnspec::cli
