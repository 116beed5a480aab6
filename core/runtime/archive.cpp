#include "runtime/archive.hpp"

#include <dlfcn.h>

#include "runtime/network.hpp"

namespace cnspec::runtime {

Result<Archive> load_archive() {
  const auto folder = library_folder();
  if (!folder) return fail(folder.error());
  const auto path = *folder / "cnspec-archive.so";
  void* module = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* read = module ? ::dlsym(module, "cnspec_read_archive") : nullptr;
  void* write = module ? ::dlsym(module, "cnspec_write_archive") : nullptr;
  if (!read || !write) {
    const char* why = ::dlerror();
    return fail(Error("the module for archives cannot be loaded: " + std::string(why ? why : path.c_str()))
                    .hint("install cnspec again; its bin and lib folders belong together"));
  }
  return Archive{reinterpret_cast<cnspec_read_archive_fn*>(read),
                 reinterpret_cast<cnspec_write_archive_fn*>(write)};
}

}  // namespace cnspec::runtime
