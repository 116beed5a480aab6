// Libraries that are none, or cut, or for another machine, or lie about themselves: each refused with a
// reason, and none of them read beyond its end.

#include "provider/elf.hpp"

#include <elf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <functional>

#include "cnspec/provider.h"
#include "provider/manifest.hpp"
#include "support/process.hpp"

namespace {

using namespace cnspec::provider;
using cnspec::test::TempDir;

const std::string& good_library() {
  static const std::string bytes = cnspec::test::read_file(EXAMPLE_PROVIDER);
  return bytes;
}

cnspec::Result<std::string> read(const std::string& bytes,
                                 std::string_view section = CNSPEC_MANIFEST_SECTION) {
  const TempDir folder;
  const auto path = folder.write("x.so", bytes);
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  auto result = read_elf_section(fd, bytes.size(), section);
  ::close(fd);
  return result;
}

std::string refusal(const std::string& bytes) {
  const auto section = read(bytes);
  return section ? "read" : section.error().message();
}

Elf64_Ehdr header_of(const std::string& bytes) {
  Elf64_Ehdr header;
  std::memcpy(&header, bytes.data(), sizeof header);
  return header;
}

std::string with_header(const std::function<void(Elf64_Ehdr&)>& change) {
  std::string bytes = good_library();
  Elf64_Ehdr header = header_of(bytes);
  change(header);
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

std::string with_segment(std::uint32_t type, const std::function<void(Elf64_Phdr&)>& change) {
  std::string bytes = good_library();
  const Elf64_Ehdr header = header_of(bytes);
  for (int i = 0; i < header.e_phnum; ++i) {
    char* at = bytes.data() + header.e_phoff + static_cast<std::size_t>(i) * sizeof(Elf64_Phdr);
    Elf64_Phdr segment;
    std::memcpy(&segment, at, sizeof segment);
    if (segment.p_type != type) continue;
    change(segment);
    std::memcpy(at, &segment, sizeof segment);
    return bytes;
  }
  ADD_FAILURE() << "no such segment";
  return bytes;
}

std::string with_section(std::string_view name, const std::function<void(Elf64_Shdr&)>& change) {
  std::string bytes = good_library();
  const Elf64_Ehdr header = header_of(bytes);
  const auto read_at = [&](int i) {
    Elf64_Shdr section;
    std::memcpy(&section, bytes.data() + header.e_shoff + static_cast<std::size_t>(i) * sizeof section,
                sizeof section);
    return section;
  };
  const Elf64_Shdr names = read_at(header.e_shstrndx);
  for (int i = 0; i < header.e_shnum; ++i) {
    Elf64_Shdr section = read_at(i);
    if (name != bytes.c_str() + names.sh_offset + section.sh_name) continue;
    change(section);
    std::memcpy(bytes.data() + header.e_shoff + static_cast<std::size_t>(i) * sizeof section, &section,
                sizeof section);
    return bytes;
  }
  ADD_FAILURE() << "no section " << name;
  return bytes;
}

TEST(ElfSection, IsReadFromARealProvider) {
  const auto section = read(good_library());
  ASSERT_TRUE(section) << section.error().message();
  const auto manifest = read_manifest(*section);
  ASSERT_TRUE(manifest) << manifest.error().message();
  EXPECT_EQ(manifest->name, "hello");
}

TEST(ElfSection, SaysWhatAForeignFileIs) {
  const std::string expected = "expected a shared library (ELF), found ";
  EXPECT_EQ(refusal(""), expected + "an empty file");
  EXPECT_EQ(refusal("hello, world\n"), expected + "a text file");
  EXPECT_EQ(refusal("#!/bin/sh\nexit\n"), expected + "a script");
  EXPECT_EQ(refusal(std::string("MZ\x90\0\3\0\0\0", 8)), expected + "a Windows program or library (PE)");
  EXPECT_EQ(refusal("\xcf\xfa\xed\xfe\7"), expected + "a macOS library (Mach-O)");
  EXPECT_EQ(refusal("!<arch>\n"), expected + "a static library");
  EXPECT_EQ(refusal("\x1f\x8b\x08"), expected + "an archive");
  EXPECT_EQ(refusal(std::string(64, '\0')), expected + "a file of an unknown kind");
  EXPECT_EQ(refusal(cnspec::test::read_file("/proc/self/exe")).substr(0, 25), "expected a shared library");
  EXPECT_EQ(read(good_library(), ".other").error().message(),
            "has no section .other: it is a shared library, but no cnspec provider");
}

TEST(ElfSection, IsNotReadFromACutFile) {
  EXPECT_EQ(refusal(good_library().substr(0, 16)), "cut off: an ELF header has 64 bytes, the file has 16");
  EXPECT_EQ(refusal(good_library().substr(0, 64)).substr(0, 44),
            "cut off: the program header table should end");
  for (std::size_t size = 0; size < good_library().size(); size += 64 * cnspec::test::kStride) {
    const auto section = read(good_library().substr(0, size));
    ASSERT_FALSE(section) << "cut at " << size;
  }
  EXPECT_EQ(refusal(good_library().substr(0, good_library().size() - 1)).substr(0, 8), "cut off:");
}

TEST(ElfSection, IsNotReadFromALibraryForAnotherMachine) {
  EXPECT_EQ(refusal(with_header([](Elf64_Ehdr& h) { h.e_ident[EI_CLASS] = ELFCLASS32; })),
            "expected a 64-bit library, found a 32-bit one");
  EXPECT_EQ(
      refusal(with_header([](Elf64_Ehdr& h) { h.e_ident[EI_DATA] = 3 - h.e_ident[EI_DATA]; })).substr(0, 10),
      "expected a");
  const auto machine = refusal(with_header([](Elf64_Ehdr& h) { h.e_machine = EM_S390; }));
  EXPECT_TRUE(machine.starts_with("expected a library for ") && machine.ends_with(", found one for s390x"))
      << machine;
  EXPECT_TRUE(
      refusal(with_header([](Elf64_Ehdr& h) { h.e_machine = 60000; })).ends_with("machine number 60000"));
  EXPECT_EQ(refusal(with_header([](Elf64_Ehdr& h) { h.e_type = ET_REL; })),
            "expected a shared library, found an object file");
  EXPECT_EQ(refusal(with_header([](Elf64_Ehdr& h) { h.e_type = ET_EXEC; })),
            "expected a shared library, found a program");
  EXPECT_EQ(refusal(with_header([](Elf64_Ehdr& h) { h.e_version = 9; })), "expected ELF version 1, found 9");
}

TEST(ElfSection, IsNotReadWhenTheTablesLie) {
  constexpr std::uint64_t kFar = UINT64_MAX - 8;
  EXPECT_EQ(refusal(with_header([](Elf64_Ehdr& h) { h.e_phnum = 0; })),
            "expected 1 to 512 program headers, found 0");
  EXPECT_EQ(refusal(with_header([](Elf64_Ehdr& h) { h.e_phnum = PN_XNUM; })),
            "expected 1 to 512 program headers, found 65535");
  EXPECT_EQ(refusal(with_header([](Elf64_Ehdr& h) { h.e_phentsize = 8; })),
            "the program header table has entries of a wrong size");
  EXPECT_EQ(refusal(with_header([](Elf64_Ehdr& h) { h.e_phoff = kFar; })).substr(0, 33),
            "cut off: the program header table");
  EXPECT_EQ(refusal(with_header([](Elf64_Ehdr& h) { h.e_shoff = kFar; })).substr(0, 26),
            "cut off: the section table");
  EXPECT_EQ(refusal(with_header([](Elf64_Ehdr& h) { h.e_shnum = 0; })),
            "has no section table, so its manifest cannot be found; strip it less");
  EXPECT_EQ(refusal(with_header([](Elf64_Ehdr& h) { h.e_shnum = UINT16_MAX; })).substr(0, 26),
            "cut off: the section table");
  EXPECT_EQ(refusal(with_header([](Elf64_Ehdr& h) { h.e_shentsize = 1; })),
            "the section table has entries of a wrong size");
  EXPECT_EQ(refusal(with_header([](Elf64_Ehdr& h) { h.e_shstrndx = h.e_shnum; })),
            "the section table has no names");
  EXPECT_EQ(refusal(with_header([](Elf64_Ehdr& h) { h.e_shstrndx = 0; })), "the section table has no names");

  EXPECT_EQ(refusal(with_segment(PT_LOAD, [](Elf64_Phdr& p) { p.p_filesz = kFar; })).substr(0, 18),
            "cut off: a segment");
  EXPECT_EQ(refusal(with_segment(PT_LOAD, [](Elf64_Phdr& p) { p.p_offset = kFar; })).substr(0, 18),
            "cut off: a segment");
  EXPECT_EQ(refusal(with_segment(PT_LOAD, [](Elf64_Phdr& p) { p.p_memsz = 0; })),
            "a segment is larger in the file than in memory");
  EXPECT_EQ(refusal(with_segment(PT_DYNAMIC, [](Elf64_Phdr& p) { p.p_type = PT_NULL; })),
            "expected a shared library, found an ELF file without a dynamic section");
  EXPECT_EQ(refusal(with_segment(PT_DYNAMIC, [](Elf64_Phdr& p) { p.p_type = PT_INTERP; })),
            "expected a shared library, found a program");

  EXPECT_EQ(refusal(with_section(".cnspec", [](Elf64_Shdr& s) { s.sh_offset = kFar; })).substr(0, 21),
            "cut off: the manifest");
  EXPECT_EQ(refusal(with_section(".cnspec", [](Elf64_Shdr& s) { s.sh_size = kFar; })),
            "the section .cnspec has 18446744073709551607 bytes, at most 4194304 are read");
  EXPECT_EQ(refusal(with_section(".cnspec", [](Elf64_Shdr& s) { s.sh_size = 4 << 20; })).substr(0, 21),
            "cut off: the manifest");
  EXPECT_EQ(refusal(with_section(".cnspec", [](Elf64_Shdr& s) { s.sh_type = SHT_NOBITS; })),
            "the section .cnspec holds no data");
  EXPECT_EQ(refusal(with_section(".cnspec", [](Elf64_Shdr& s) { s.sh_flags |= SHF_WRITE; })),
            "the section .cnspec is writable");
  EXPECT_EQ(refusal(with_section(".cnspec", [](Elf64_Shdr& s) { s.sh_name = UINT32_MAX; })),
            "has no section .cnspec: it is a shared library, but no cnspec provider");
  EXPECT_EQ(refusal(with_section(".shstrtab", [](Elf64_Shdr& s) { s.sh_size = kFar; })),
            "the section table has no names");
  EXPECT_EQ(refusal(with_section(".shstrtab", [](Elf64_Shdr& s) { s.sh_offset = kFar; })).substr(0, 26),
            "cut off: the section names");
  EXPECT_EQ(refusal(with_section(".shstrtab", [](Elf64_Shdr& s) { s.sh_size = 0; })),
            "has no section .cnspec: it is a shared library, but no cnspec provider");
  std::uint32_t name = 0;
  (void)with_section(".cnspec", [&](Elf64_Shdr& s) { name = s.sh_name; });
  EXPECT_EQ(refusal(with_section(".text", [&](Elf64_Shdr& s) { s.sh_name = name; })),
            "has two sections named .cnspec");
}

TEST(ElfSection, SurvivesEveryByteOfTheHeadersBeingWrong) {
  // Every byte of the ELF header and of the program headers, with a few values each; none may crash or hang.
  const Elf64_Ehdr header = header_of(good_library());
  const std::size_t end = header.e_phoff + header.e_phnum * sizeof(Elf64_Phdr);
  const TempDir folder;
  const auto path = folder.write("x.so", good_library());
  const int fd = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  for (std::size_t i = 0; i < end; ++i) {
    for (const char value : {'\0', '\x01', '\x7f', '\xff'}) {
      ASSERT_EQ(::pwrite(fd, &value, 1, static_cast<off_t>(i)), 1);
      if (const auto section = read_elf_section(fd, good_library().size(), CNSPEC_MANIFEST_SECTION)) {
        EXPECT_LE(section->size(), good_library().size());
      }
    }
    ASSERT_EQ(::pwrite(fd, &good_library()[i], 1, static_cast<off_t>(i)), 1);
  }
  ::close(fd);
}

}  // namespace
