#include "provider/open.hpp"

#include "base/log.hpp"
#include "base/text.hpp"
#include "provider/isolate.hpp"

namespace cnspec::provider {
namespace {

const Isolation* rule_for(const IsolationRules& rules, const std::string& provider) {
  auto it = rules.find(provider);
  if (it == rules.end()) it = rules.find("*");
  return it == rules.end() ? nullptr : &it->second;
}

}  // namespace

Result<Isolation> isolation_named(std::string_view word) {
  if (word == "auto") return Isolation::kAuto;
  if (word == "process") return Isolation::kProcess;
  if (word == "none") return Isolation::kNone;
  return fail("expected auto, process or none, found \"" + printable(word) + "\"", ErrorKind::kUsage);
}

bool IsolationPolicy::isolates(const Found& found) const {
  const bool ours = found.origin == Origin::kBundled;
  if (const Isolation* said = rule_for(flags, found.manifest.name); said && *said != Isolation::kAuto)
    return *said == Isolation::kProcess;
  const Isolation* said = rule_for(configured, found.manifest.name);
  return !ours || (said && *said == Isolation::kProcess);
}

bool IsolationPolicy::ignores_none_for(const Found& found) const {
  const Isolation* said = rule_for(configured, found.manifest.name);
  return said && *said == Isolation::kNone && isolates(found) && !rule_for(flags, found.manifest.name);
}

Result<std::unique_ptr<Provider>> open_provider(const Found& found, const IsolationPolicy& policy,
                                                Services services, const Limits& limits) {
  if (!policy.isolates(found)) return load_in_process(found, std::move(services), limits);
  const std::string& name = found.manifest.name;
  if (policy.ignores_none_for(found)) {
    log::write(
        log::Level::kWarn,
        "provider \"" + name + "\" stays in a process of its own, though the configuration asks for none",
        "Only a flag can say so: --isolation " + name + "=none");
  }
  IsolateOptions options{policy.host_program, policy.secrets};
  if (options.host_program.empty()) {
    std::error_code failed;
    options.host_program =
        std::filesystem::read_symlink("/proc/self/exe", failed).parent_path() / "cnspec-provider-host";
  }
  return start_isolated(found, std::move(options), std::move(services), limits);
}

}  // namespace cnspec::provider
