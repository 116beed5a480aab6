#include "provider/elf.hpp"

#include <elf.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/text.hpp"

namespace cnspec::provider {
namespace {

constexpr std::uint64_t kMaxSection = 4 << 20;

#if defined(__x86_64__)
constexpr std::uint16_t kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr std::uint16_t kMachine = EM_AARCH64;
#elif defined(__riscv)
constexpr std::uint16_t kMachine = EM_RISCV;
#elif defined(__powerpc64__)
constexpr std::uint16_t kMachine = EM_PPC64;
#else
#error "name this machine's ELF number here"
#endif

std::string machine_name(std::uint16_t machine) {
  switch (machine) {
    case EM_X86_64: return "x86-64";
    case EM_AARCH64: return "arm64";
    case EM_RISCV: return "risc-v";
    case EM_PPC64: return "ppc64";
    case EM_386: return "i386";
    case EM_ARM: return "arm";
    case EM_S390: return "s390x";
    default: return "machine number " + std::to_string(machine);
  }
}

tl::unexpected<Error> refuse(const std::string& what) { return fail(what, ErrorKind::kInvalid); }

class File {
 public:
  File(int fd, std::uint64_t size) : fd_(fd), size_(size) {}

  bool holds(std::uint64_t offset, std::uint64_t length) const {
    return offset <= size_ && length <= size_ - offset;
  }

  // `what` names the part, for the error.
  Result<void> read(std::uint64_t offset, void* to, std::uint64_t length, const char* what) const {
    if (!holds(offset, length)) {
      return refuse(std::string("cut off: ") + what + " should end at byte " +
                    std::to_string(offset + length) + ", the file has " + std::to_string(size_));
    }
    auto* out = static_cast<char*>(to);
    while (length > 0) {
      const ssize_t got = ::pread(fd_, out, length, static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0)
        return refuse(std::string("cannot read ") + what + ": " +
                      (got < 0 ? std::strerror(errno) : "end of file"));
      out += got;
      offset += static_cast<std::uint64_t>(got);
      length -= static_cast<std::uint64_t>(got);
    }
    return {};
  }

  std::uint64_t size() const { return size_; }

 private:
  int fd_;
  std::uint64_t size_;
};

// What a file that is no ELF looks like, for people who dropped the wrong one.
std::string describe(std::string_view head) {
  if (head.empty()) return "an empty file";
  if (head.starts_with("MZ")) return "a Windows program or library (PE)";
  if (head.starts_with("\xcf\xfa\xed\xfe") || head.starts_with("\xca\xfe\xba\xbe"))
    return "a macOS library (Mach-O)";
  if (head.starts_with("#!")) return "a script";
  if (head.starts_with("!<arch>")) return "a static library";
  if (head.starts_with("\x1f\x8b") ||
      head.starts_with("\xfd"
                       "7zXZ") ||
      head.starts_with("PK"))
    return "an archive";
  for (const char c : head) {
    if (static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\r' && c != '\t')
      return "a file of an unknown kind";
  }
  return "a text file";
}

Result<void> check_header(const Elf64_Ehdr& header) {
  if (header.e_ident[EI_CLASS] != ELFCLASS64) return refuse("expected a 64-bit library, found a 32-bit one");
  const bool little = header.e_ident[EI_DATA] == ELFDATA2LSB;
  if (little != (std::endian::native == std::endian::little)) {
    return refuse(std::string("expected a ") + (little ? "big" : "little") + "-endian library, found a " +
                  (little ? "little" : "big") + "-endian one");
  }
  if (header.e_machine != kMachine) {
    return refuse("expected a library for " + machine_name(kMachine) + ", found one for " +
                  machine_name(header.e_machine));
  }
  if (header.e_type != ET_DYN) {
    const char* found = header.e_type == ET_EXEC   ? "a program"
                        : header.e_type == ET_REL  ? "an object file"
                        : header.e_type == ET_CORE ? "a core dump"
                                                   : "another kind of ELF file";
    return refuse(std::string("expected a shared library, found ") + found);
  }
  if (header.e_version != EV_CURRENT)
    return refuse("expected ELF version 1, found " + std::to_string(header.e_version));
  return {};
}

// The loader maps segments and trusts that the file holds them; a cut file would end the process with SIGBUS.
Result<void> check_segments(const File& file, const Elf64_Ehdr& header) {
  if (header.e_phentsize != sizeof(Elf64_Phdr))
    return refuse("the program header table has entries of a wrong size");
  if (header.e_phnum == 0 || header.e_phnum > 512) {
    return refuse("expected 1 to 512 program headers, found " + std::to_string(header.e_phnum));
  }
  std::vector<Elf64_Phdr> segments(header.e_phnum);
  if (auto read = file.read(header.e_phoff, segments.data(), segments.size() * sizeof(Elf64_Phdr),
                            "the program header table");
      !read) {
    return read;
  }
  bool dynamic = false;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type == PT_INTERP) return refuse("expected a shared library, found a program");
    if (segment.p_type == PT_DYNAMIC) dynamic = true;
    if (!file.holds(segment.p_offset, segment.p_filesz)) {
      return refuse("cut off: a segment of " + std::to_string(segment.p_filesz) + " bytes at byte " +
                    std::to_string(segment.p_offset) + " ends behind the file, which has " +
                    std::to_string(file.size()));
    }
    if (segment.p_type == PT_LOAD && segment.p_filesz > segment.p_memsz) {
      return refuse("a segment is larger in the file than in memory");
    }
  }
  if (!dynamic) return refuse("expected a shared library, found an ELF file without a dynamic section");
  return {};
}

}  // namespace

Result<std::string> read_elf_section(int fd, std::uint64_t file_size, std::string_view wanted) {
  const File file(fd, file_size);
  Elf64_Ehdr header{};
  {
    char head[sizeof header] = {};
    const std::uint64_t length = std::min<std::uint64_t>(sizeof head, file_size);
    if (auto read = file.read(0, head, length, "the ELF header"); !read) return fail(read.error());
    if (length < SELFMAG || std::memcmp(head, ELFMAG, SELFMAG) != 0) {
      return refuse("expected a shared library (ELF), found " + describe({head, length}));
    }
    if (length < sizeof header) {
      return refuse("cut off: an ELF header has 64 bytes, the file has " + std::to_string(file_size));
    }
    std::memcpy(&header, head, sizeof header);
  }
  if (auto good = check_header(header); !good) return fail(good.error());
  if (auto good = check_segments(file, header); !good) return fail(good.error());

  if (header.e_shnum == 0)
    return refuse("has no section table, so its manifest cannot be found; strip it less");
  if (header.e_shentsize != sizeof(Elf64_Shdr))
    return refuse("the section table has entries of a wrong size");
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  if (auto read = file.read(header.e_shoff, sections.data(), sections.size() * sizeof(Elf64_Shdr),
                            "the section table");
      !read) {
    return fail(read.error());
  }
  if (header.e_shstrndx >= sections.size()) return refuse("the section table has no names");
  const Elf64_Shdr& names_section = sections[header.e_shstrndx];
  if (names_section.sh_type != SHT_STRTAB || names_section.sh_size > kMaxSection) {
    return refuse("the section table has no names");
  }
  std::string names(names_section.sh_size, '\0');
  if (auto read = file.read(names_section.sh_offset, names.data(), names.size(), "the section names");
      !read) {
    return fail(read.error());
  }

  const Elf64_Shdr* found = nullptr;
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_name >= names.size()) continue;
    const char* name = names.c_str() + section.sh_name;
    if (std::string_view(name) != wanted) continue;
    if (found) return refuse("has two sections named " + std::string(wanted));
    found = &section;
  }
  if (!found) {
    return refuse("has no section " + std::string(wanted) +
                  ": it is a shared library, but no cnspec provider");
  }
  if (found->sh_type != SHT_PROGBITS) return refuse("the section " + std::string(wanted) + " holds no data");
  if (found->sh_flags & SHF_WRITE) return refuse("the section " + std::string(wanted) + " is writable");
  if (found->sh_size > kMaxSection) {
    return refuse("the section " + std::string(wanted) + " has " + std::to_string(found->sh_size) +
                  " bytes, at most " + std::to_string(kMaxSection) + " are read");
  }
  std::string bytes(found->sh_size, '\0');
  if (auto read = file.read(found->sh_offset, bytes.data(), bytes.size(), "the manifest"); !read) {
    return fail(read.error());
  }
  return bytes;
}

}  // namespace cnspec::provider
