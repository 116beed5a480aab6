#include "provider/verify/library.hpp"

#include <dlfcn.h>
#include <elf.h>

#include <algorithm>
#include <map>

#include "provider/elf.hpp"
#include "provider/table.hpp"

namespace cnspec::provider::checks {
namespace {

// How many symbols there are: nothing else than the hash table says it.
std::size_t symbols_of_gnu_hash(const std::uint32_t* table) {
  const std::uint32_t buckets = table[0];
  const std::uint32_t first = table[1];
  const std::uint32_t* bucket = table + 4 + table[2] * (sizeof(ElfW(Addr)) / sizeof(std::uint32_t));
  const std::uint32_t* chain = bucket + buckets;
  std::uint32_t last = 0;
  for (std::uint32_t i = 0; i < buckets; ++i) last = std::max(last, bucket[i]);
  if (last < first) return first;
  while ((chain[last - first] & 1) == 0) ++last;
  return last + 1;
}

// A library without the segment that would say so counts as one that wants it.
bool wants_executable_stack(const link_map& map) {
  struct Search {
    const ElfW(Dyn) * dynamic;
    bool wants;
  } search{map.l_ld, false};
  const auto visit = [](dl_phdr_info* info, std::size_t, void* context) {
    auto& wanted = *static_cast<Search*>(context);
    bool ours = false;
    bool wants = true;
    for (std::size_t i = 0; i < info->dlpi_phnum; ++i) {
      const ElfW(Phdr)& segment = info->dlpi_phdr[i];
      if (segment.p_type == PT_DYNAMIC)
        ours = reinterpret_cast<const ElfW(Dyn)*>(info->dlpi_addr + segment.p_vaddr) == wanted.dynamic;
      if (segment.p_type == PT_GNU_STACK) wants = (segment.p_flags & PF_X) != 0;
    }
    wanted.wants = wanted.wants || (ours && wants);
    return ours ? 1 : 0;
  };
  ::dl_iterate_phdr(visit, &search);
  return search.wants;
}

}  // namespace

Dynamic dynamic_of(const link_map& map) {
  Dynamic out;
  std::map<ElfW(Sxword), ElfW(Xword)> tags;
  std::vector<ElfW(Xword)> needed;
  for (const ElfW(Dyn)* entry = map.l_ld; entry->d_tag != DT_NULL; ++entry) {
    if (entry->d_tag == DT_NEEDED)
      needed.push_back(entry->d_un.d_val);
    else
      tags[entry->d_tag] = entry->d_un.d_val;
  }
  // Most machines' loaders put the address in place, some leave the offset.
  const auto address = [&](ElfW(Sxword) tag) {
    const auto it = tags.find(tag);
    if (it == tags.end()) return ElfW(Addr){0};
    return it->second < map.l_addr ? it->second + map.l_addr : it->second;
  };
  const auto* strings = reinterpret_cast<const char*>(address(DT_STRTAB));
  if (!strings) return out;
  for (const auto offset : needed) out.needed.emplace_back(strings + offset);
  for (const auto tag : {DT_RPATH, DT_RUNPATH}) {
    if (const auto it = tags.find(tag); it != tags.end()) out.search_path = strings + it->second;
  }
  out.text_relocations = tags.contains(DT_TEXTREL) || (tags[DT_FLAGS] & DF_TEXTREL) != 0;
  out.executable_stack = wants_executable_stack(map);
  out.static_tls = (tags[DT_FLAGS] & DF_STATIC_TLS) != 0;

  const auto* symbols = reinterpret_cast<const ElfW(Sym)*>(address(DT_SYMTAB));
  std::size_t number = 0;
  if (const auto* gnu = reinterpret_cast<const std::uint32_t*>(address(DT_GNU_HASH)))
    number = symbols_of_gnu_hash(gnu);
  else if (const auto* hash = reinterpret_cast<const std::uint32_t*>(address(DT_HASH)))
    number = hash[1];
  for (std::size_t i = 1; symbols && i < number; ++i) {
    const ElfW(Sym)& symbol = symbols[i];
    const unsigned visibility = ELF64_ST_VISIBILITY(symbol.st_other);
    if (symbol.st_shndx == SHN_UNDEF || ELF64_ST_BIND(symbol.st_info) == STB_LOCAL ||
        (visibility != STV_DEFAULT && visibility != STV_PROTECTED))
      continue;
    out.exported.emplace_back(strings + symbol.st_name);
  }
  std::ranges::sort(out.exported);
  return out;
}

// Maps it without anything of ours around it.
void* map(Subject& subject) {
  subject.out.step("its constructors");
  void* library = ::dlopen(subject.found.path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const Error error = loader_error(subject.found.path);
    const char* hint = "Link the library that has what is missing, with -z defs so that the build finds out.";
    if (error.message().find("it needs ") != std::string::npos)
      hint =
          "A provider is one file: link that library into it statically, or tell users which package has it.";
    else if (!error.hint().empty())
      hint = error.hint().c_str();
    subject.out.failed(error.message(), hint);
    return nullptr;
  }
  subject.out.step("");
  return library;
}

}  // namespace cnspec::provider::checks
