// The library's entry function, the table that it returns, and what else it exports.
#include <dlfcn.h>

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "provider/host.hpp"
#include "provider/lower.hpp"
#include "provider/table.hpp"
#include "provider/verify/library.hpp"

namespace cnspec::provider::checks {
namespace {

// What linkers of some ages export by themselves.
bool is_the_linkers(std::string_view symbol) {
  constexpr std::array kNames = {"_init", "_fini", "_edata", "_end", "__bss_start", "__end__"};
  return std::ranges::find(kNames, symbol) != kNames.end();
}

void check_exports(Subject& subject, void* library) {
  link_map* map = nullptr;
  if (::dlinfo(library, RTLD_DI_LINKMAP, &map) != 0) return;
  std::vector<std::string> extra;
  for (const std::string& symbol : dynamic_of(*map).exported) {
    if (!symbol.starts_with("cnspec_provider_entry_v") && !is_the_linkers(symbol) &&
        !symbol.starts_with("__asan") && !symbol.starts_with("__odr_asan"))
      extra.push_back(printable(symbol));
  }
  if (extra.empty()) return;
  const std::size_t total = extra.size();
  constexpr std::size_t kShown = 5;
  if (total > kShown) extra.resize(kShown);
  subject.out.failed("exports " + count(total, "symbol") + " besides its entry function: " +
                         join(extra, ", ") + (total > kShown ? ", ..." : ""),
                     "Compile with -fvisibility=hidden and link with the version script provider.map.");
}

void check_extensions(Subject& subject, const cnspec_provider_v1& table) {
  if (!table.extension) return;
  subject.out.step("extension");
  const auto ask = [&](std::string_view id) { return table.extension(to_abi(id)); };
  const char* hint = "Compare the whole id, by its length: return NULL for every other, to the last byte.";
  for (const char* id : {"", "cnspec.nonsense/1", "x"}) {
    if (ask(id)) subject.out.failed("has an extension \"" + std::string(id) + "\", which there is not", hint);
  }
  for (const std::string id : {"cnspec.discovery/1"}) {
    // The text goes on behind the end of the id, as it does in memory that holds more than that.
    if (!ask(id)) continue;
    if (ask(id + "x") || ask(id + "0") || ask(id + std::string("\0", 1)))
      subject.out.failed("has the extension \"" + id + "\" also with garbage behind its id", hint);
    if (ask(std::string_view(id).substr(0, id.size() - 1)))
      subject.out.failed("has the extension \"" + id + "\" also by a part of its id", hint);
  }
}

}  // namespace

void check_abi(Subject& subject) {
  const auto section = read_section(subject.request.file);
  if (!section) return subject.out.failed(section.error().message(), hint_for_file(section.error()));
  void* library = map(subject);
  if (!library) return;
  auto entry = find_entry(library);
  if (!entry) {
    return subject.out.failed(entry.error().message(),
                              "Export it: with CNSPEC_PROVIDER(...) in C++, with CNSPEC_EXPORT in C.");
  }
  subject.out.step(CNSPEC_PROVIDER_ENTRY_V1);
  const cnspec_provider_v1* raw = (*entry)(CNSPEC_ABI_MINOR);
  auto table = read_table(raw, *section);
  if (!table) {
    const bool other_manifest = table.error().message().starts_with("its table's manifest");
    return subject.out.failed(
        table.error().message(),
        other_manifest ? "Set the table's manifest to CNSPEC_MANIFEST, and link the manifest.c made with it."
                       : "Let the entry function return a constant table as provider.h declares it.");
  }
  // What a provider of today has to know about the hosts of tomorrow: nothing.
  for (const std::uint32_t minor : {CNSPEC_ABI_MINOR, CNSPEC_ABI_MINOR + 1, UINT32_MAX}) {
    if ((*entry)(minor) == raw) continue;
    subject.out.failed(minor == CNSPEC_ABI_MINOR
                           ? "its entry function returns another table each time"
                           : "its entry function does not return its table to a newer host (minor version " +
                                 std::to_string(minor) + ")",
                       "Return the same constant table always: newer hosts speak older versions.");
    break;
  }
  if (table->abi_minor != static_cast<std::uint32_t>(subject.found.manifest.abi_minor)) {
    subject.out.failed("its table speaks ABI 1." + std::to_string(table->abi_minor) +
                           ", its manifest says 1." + std::to_string(subject.found.manifest.abi_minor),
                       "Build the manifest and the code with the same version of the SDK.");
  }
  if (table->abi_minor > CNSPEC_ABI_MINOR) {
    subject.out.note("it was built for ABI 1." + std::to_string(table->abi_minor) +
                     "; this cnspec speaks 1." + std::to_string(CNSPEC_ABI_MINOR));
  }
  check_extensions(subject, *table);
  subject.out.step("");
  check_exports(subject, library);
}

}  // namespace cnspec::provider::checks
