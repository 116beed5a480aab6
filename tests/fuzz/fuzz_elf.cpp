// The reader of a shared library's section, which sees the file before anybody else does.
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.hpp"
#include "provider/elf.hpp"

using namespace cnspec;
using namespace cnspec::fuzz;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const int file = ::memfd_create("fuzz", MFD_CLOEXEC);
  require(
      file >= 0 && ::ftruncate(file, 0) == 0 && ::pwrite(file, data, size, 0) == static_cast<ssize_t>(size),
      "a file can be made");
  const std::string_view input = view(data, size);
  const auto section = provider::read_elf_section(file, size, ".cnspec");
  if (section) {
    require(section->size() <= size, "a section is no longer than its file");
    require(input.find(*section) != input.npos, "a section is part of its file");
  } else {
    const std::string message = section.error().message();
    require(section.error().kind() == ErrorKind::kInvalid, "a bad file is invalid");
    require(!message.empty() && message.find_first_of("\r\n\x1b") == message.npos, "in one plain line");
  }
  // One that shrinks while it is read.
  if (size > 64 && size % 4 == 0) {
    require(::ftruncate(file, static_cast<off_t>(size / 2)) == 0, "a file can be cut");
    static_cast<void>(provider::read_elf_section(file, size, ".cnspec"));
  }
  return 0;
}
