// What becomes of a process when the library is mapped, and what that needs.
#include <dlfcn.h>

#include "base/text.hpp"
#include "provider/verify/library.hpp"

namespace cnspec::provider::checks {
namespace {

constexpr milliseconds kSlowLoad{500};

// On every system that cnspec runs on. The names of sanitizers are those of a build for tests.
bool is_everywhere(std::string_view library) {
  for (const char* known :
       {"libc.so", "libm.so", "libdl.so", "librt.so", "libpthread.so", "libgcc_s.so", "libstdc++.so",
        "ld-linux", "ld64.so", "libasan.so", "libtsan.so", "libubsan.so"}) {
    if (library.starts_with(known)) return true;
  }
  return false;
}

}  // namespace

void check_load(Subject& subject) {
  const auto threads = count_threads();
  const auto descriptors = count_descriptors();
  const auto start = Clock::now();
  void* library = map(subject);
  if (!library) return;
  const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - start);
  if (took > kSlowLoad) {
    subject.out.warning("takes " + std::to_string(took.count()) + " ms to load",
                        "Do the work in open or connect: constructors run for every command that loads it.");
  }
  if (const auto more = count_threads(); more > threads) {
    subject.out.failed("starts " + count(more - threads, "thread") + " when it is loaded",
                       "Start threads in open or later, and join them in close.");
  }
  if (const auto more = count_descriptors(); more > descriptors) {
    subject.out.failed("opens " + count(more - descriptors, "descriptor") + " when it is loaded",
                       "Open files in open or later, and close them in close.");
  }
  link_map* map = nullptr;
  if (::dlinfo(library, RTLD_DI_LINKMAP, &map) != 0) return;
  const Dynamic dynamic = dynamic_of(*map);
  if (dynamic.static_tls) {
    subject.out.failed("uses static thread-local storage, of which a process has little for libraries",
                       "Compile without -ftls-model=initial-exec; after about 27 such providers none loads.");
  }
  if (dynamic.executable_stack) {
    subject.out.failed(
        "wants an executable stack, which newer systems load no library with",
        "Link with -Wl,-z,noexecstack; it comes from assembly without .note.GNU-stack, or from "
        "functions within functions in C.");
  }
  if (dynamic.text_relocations)
    subject.out.failed("has relocations in its code", "Compile everything in it with -fPIC.");
  if (!dynamic.search_path.empty()) {
    subject.out.warning(
        "looks for libraries in " + printable(dynamic.search_path),
        "A provider is one file: link without an RPATH, and statically what is not everywhere.");
  }
  std::vector<std::string> foreign;
  for (const std::string& name : dynamic.needed) {
    if (!is_everywhere(name)) foreign.push_back(printable(name));
  }
  if (!foreign.empty()) {
    subject.out.warning(
        "needs " + join(foreign, ", ") + ", which not every system has",
        "Link it statically with -Wl,--exclude-libs,ALL, or tell users which package to install.");
  }
}

}  // namespace cnspec::provider::checks
