/* What starting a provider in a process of its own costs at least. */
#include <cnspec/provider.h>
#include <dlfcn.h>

int main(int argc, char** argv) {
  void* library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : 0;
  void* entry = library ? dlsym(library, CNSPEC_PROVIDER_ENTRY_V1) : 0;
  return !entry;
}
