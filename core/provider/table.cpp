#include "provider/table.hpp"

#include <dlfcn.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/text.hpp"
#include "provider/lower.hpp"

namespace cnspec::provider {
namespace {

// Majors that a library of another age could export.
constexpr int kLastMajor = 32;

tl::unexpected<Error> refuse(std::string what) { return fail(std::move(what), ErrorKind::kInvalid); }

}  // namespace

Error loader_error(const std::filesystem::path& path) {
  const char* said = ::dlerror();
  std::string why = said ? said : "the loader does not say why";
  const std::string own = path.string() + ": ";
  if (why.starts_with(own)) why.erase(0, own.size());
  if (const auto end = why.find(": cannot open shared object file"); end != std::string::npos) {
    return Error("cannot be loaded: it needs " + why.substr(0, end) + ", which cannot be found")
        .hint("install the package that has " + why.substr(0, end));
  }
  Error error("cannot be loaded: " + why);
  if (why.find("static TLS") == std::string::npos) return error;
  return std::move(error).hint(
      "run it isolated, with --isolation NAME=process; its author should compile it without "
      "-ftls-model=initial-exec");
}

Result<cnspec_provider_entry_v1_fn> find_entry(void* library) {
  if (void* entry = ::dlsym(library, CNSPEC_PROVIDER_ENTRY_V1))
    return reinterpret_cast<cnspec_provider_entry_v1_fn>(entry);
  std::vector<std::string> found;
  for (int major = 0; major <= kLastMajor; ++major) {
    const std::string name = "cnspec_provider_entry_v" + std::to_string(major);
    if (::dlsym(library, name.c_str())) found.push_back(name);
  }
  Error error(
      "speaks no version of the ABI that this cnspec does: expected the function " CNSPEC_PROVIDER_ENTRY_V1
      ", found " +
          (found.empty() ? "none of that kind" : join(found, ", ")),
      ErrorKind::kInvalid);
  if (found.empty()) return fail(std::move(error));
  return fail(std::move(error).hint("use a version of the provider that was built for ABI version 1"));
}

Result<cnspec_provider_v1> read_table(const cnspec_provider_v1* theirs, std::string_view section) {
  if (!theirs) {
    return refuse("does not work with this cnspec, which speaks version " + std::to_string(CNSPEC_ABI_MAJOR) +
                  "." + std::to_string(CNSPEC_ABI_MINOR) + " of the ABI");
  }
  cnspec_provider_v1 table{};
  // A larger one comes from a later minor version; nothing is as large as this.
  constexpr std::uint32_t kAbsurd = 1 << 16;
  if (theirs->struct_size < sizeof table || theirs->struct_size > kAbsurd) {
    return refuse("its table says that it has " + std::to_string(theirs->struct_size) + " bytes, expected " +
                  std::to_string(sizeof table) + (theirs->struct_size > kAbsurd ? "" : " or more"));
  }
  std::memcpy(&table, theirs, sizeof table);
  const std::pair<const char*, bool> required[] = {{"open", table.open != nullptr},
                                                   {"connect", table.connect != nullptr},
                                                   {"identify", table.identify != nullptr},
                                                   {"fetch", table.fetch != nullptr},
                                                   {"disconnect", table.disconnect != nullptr},
                                                   {"close", table.close != nullptr}};
  for (const auto& [name, there] : required) {
    if (!there) return refuse(std::string("its table has no callback \"") + name + "\" (NULL)");
  }
  if (view(table.manifest) != section) {
    return refuse("its table's manifest is not the one in its section " CNSPEC_MANIFEST_SECTION " (" +
                  std::to_string(table.manifest.data ? table.manifest.size : 0) + " bytes against " +
                  std::to_string(section.size()) + ")");
  }
  return table;
}

}  // namespace cnspec::provider
