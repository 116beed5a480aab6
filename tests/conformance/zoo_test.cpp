// The zoo: every bad provider that other plugin systems have met, and what a user reads of it: from
// `providers list`, from `discover`, and from `providers verify`, word for word. Whatever one of them does,
// the program ends by itself, the other providers work, and nothing of it is left.
//
// What the tables do not show is proven elsewhere, each at its part: every way in which a file can be cut or
// lie (elf_test), owners and modes (trust_test), orders of folders and a thousand providers (discovery_test),
// the rules of manifests (manifest_test), rows that break the ABI's rules (conformance_test), frames
// (frame_test), and what the sandbox stops (sandbox_test).
#include <dirent.h>
#include <elf.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <fstream>
#include <functional>
#include <thread>

#include "provider/discovery.hpp"
#include "provider/provider.hpp"
#include "support/cnspec.hpp"

namespace cnspec::test {
namespace {

namespace fs = std::filesystem;

std::string library(const std::string& animal) {
  return read_file(std::string(BAD_PROVIDERS) + "/" + animal + ".so");
}

std::vector<pid_t> children() {
  std::vector<pid_t> out;
  for (const auto& task : fs::directory_iterator("/proc/self/task")) {
    std::ifstream list(task.path() / "children");
    for (pid_t pid = 0; list >> pid;) out.push_back(pid);
  }
  return out;
}

// Those of a process that has just ended are given the time to do so themselves.
bool no_child_left() {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!children().empty()) {
    if (std::chrono::steady_clock::now() > end) return false;
    if (::waitpid(-1, nullptr, WNOHANG) == 0) std::this_thread::yield();
  }
  return true;
}

// A user who dropped in one animal beside a tame one, and the runs of the program that follow.
class Zoo {
 public:
  Zoo() {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // what outlives a run comes to us
    fs::create_directory(scratch());
    user_.env["TMPDIR"] = scratch().string();
    user_.env["CNSPEC_TEST_OUTSIDE"] = "1";
  }

  fs::path folder() const { return folder_.path(); }
  fs::path add(const std::string& file, const std::string& bytes, mode_t mode = 0755) const {
    return folder_.write(file, bytes, mode);
  }
  // Another id, name and connector than "bad" has: "pet".
  void add_pet() const {
    std::string bytes = library("tame");
    for (const auto& [from, to] : {std::pair<std::string, std::string>{"example.com/bad", "example.com/pet"},
                                   {"\"name\":\"bad\"", "\"name\":\"pet\""},
                                   {"\"worse\"", "\"petty\""}}) {
      for (auto at = bytes.find(from); at != std::string::npos; at = bytes.find(from, at + 1))
        bytes.replace(at, from.size(), to);
    }
    add("pet.so", bytes);
  }

  RunResult run(Argv args) const {
    args.insert(args.begin(), {"--providers-path", folder().string()});
    const RunResult result = user_.run(args);
    EXPECT_TRUE(no_child_left()) << "a process was left";
    EXPECT_TRUE(fs::is_empty(scratch())) << "a file was left in the folder for temporary ones";
    return result;
  }
  RunResult list() const { return run({"providers", "list"}); }
  RunResult verify(const fs::path& file, Argv more = {}) const {
    Argv args = {"providers", "verify", "--check-timeout", "3s", file.string()};
    args.insert(args.end(), more.begin(), more.end());
    return run(args);
  }

  void expect_that_others_work() const {
    const RunResult pet = run({"discover", "pet", "nothing"});
    EXPECT_EQ(pet.exit_code, 0) << pet.err;
    EXPECT_EQ(pet.out, "→ name:           kettle\n→ platform:       stove\n");
  }

 private:
  fs::path scratch() const { return user_.home() / "tmp"; }
  TempDir folder_;
  User user_;
};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

// The lines of one check in the report: its own, and those below it.
std::string block(const std::string& report, const std::string& check) {
  std::string out;
  std::size_t at = 0;
  bool inside = false;
  while (at < report.size()) {
    const auto end = std::min(report.find('\n', at), report.size() - 1);
    const std::string line = report.substr(at, end - at + 1);
    at = end + 1;
    if (!line.starts_with("    ")) {
      const auto word = line.find(' ');
      inside = line.substr(word + 1).starts_with(check + " ");
    }
    if (inside) out += line;
  }
  return out;
}

// ---- Files and manifests: refused before anything of them runs ----

struct Refusal {
  const char* name;
  // Puts the animal into the folder, and returns its path.
  std::function<fs::path(const Zoo&)> make;
  const char* check;  // which check of `providers verify` it fails
  const char* said;   // FOLDER and PATH stand for what they are; "..." at the end for anything
  const char* hint;   // of `providers list`; empty: none
};
void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.name; }

std::function<fs::path(const Zoo&)> file_of(std::function<std::string(std::string)> change) {
  return [change](const Zoo& zoo) { return zoo.add("bad.so", change(library("tame"))); };
}
std::function<fs::path(const Zoo&)> text_of(std::string text) {
  return [text](const Zoo& zoo) { return zoo.add("bad.so", text); };
}
std::function<fs::path(const Zoo&)> header_of(std::function<void(Elf64_Ehdr&)> change) {
  return file_of([change](std::string bytes) {
    Elf64_Ehdr header;
    std::memcpy(&header, bytes.data(), sizeof header);
    change(header);
    std::memcpy(bytes.data(), &header, sizeof header);
    return bytes;
  });
}
// As long as before, so that the sizes still hold.
std::function<fs::path(const Zoo&)> manifest_of(std::string from, std::string to) {
  return file_of([from, to](std::string bytes) {
    const auto at = bytes.find(from);
    if (at == std::string::npos || to.size() > from.size()) throw std::runtime_error("no such text: " + from);
    return bytes.replace(at, from.size(), to + std::string(from.size() - to.size(), ' '));
  });
}
std::function<fs::path(const Zoo&)> mode_of(mode_t mode) {
  return [mode](const Zoo& zoo) { return zoo.add("bad.so", library("tame"), mode); };
}

fs::path make_socket(const Zoo& zoo) {
  const fs::path path = zoo.folder() / "bad.so";
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("bind");
  ::close(fd);
  return path;
}

class BadFile : public testing::TestWithParam<Refusal> {};

TEST_P(BadFile, IsRefusedByNameAndHidesNoOther) {
  const Refusal& refusal = GetParam();
  const Zoo zoo;
  zoo.add_pet();
  const fs::path path = refusal.make(zoo);
  std::string said = replaced(replaced(refusal.said, "PATH", path.string()), "FOLDER", zoo.folder().string());
  std::string hint = replaced(refusal.hint, "PATH", path.string());
  const bool open_end = said.ends_with("...");
  if (open_end) said.resize(said.size() - 3);

  const RunResult list = zoo.list();
  EXPECT_EQ(list.exit_code, 0) << list.err;
  const auto at = list.out.find("! refused: ");
  ASSERT_NE(at, std::string::npos) << list.out;
  std::string expected = "! refused: " + replaced(path.string(), "\n", "\\n") + ": " + said;
  if (!open_end) expected += "\n" + (hint.empty() ? "" : "  " + hint + "\n");
  EXPECT_EQ(list.out.substr(at, expected.size()), expected) << list.out;
  EXPECT_NE(list.out.find("  pet 1.0.0 with connectors: pet"), std::string::npos) << list.out;
  zoo.expect_that_others_work();

  const RunResult verify = zoo.verify(path);
  EXPECT_EQ(verify.exit_code, 1) << verify.out;
  EXPECT_EQ(verify.err, "");
  std::string line = std::string("x ") + refusal.check;
  line.resize(16, ' ');
  line += "failed\n    " + said + (open_end ? "" : "\n");
  const std::string found = block(verify.out, refusal.check);
  EXPECT_EQ(found.substr(0, line.size()), line);
  EXPECT_EQ(std::count(found.begin(), found.end(), '\n'), 3) << "a line, what is wrong, what to do:\n"
                                                             << found;
  EXPECT_NE(verify.out.find("! load          not run: it needs \"" + std::string(refusal.check) + "\"\n"),
            std::string::npos)
      << verify.out;
}

INSTANTIATE_TEST_SUITE_P(
    File, BadFile,
    testing::Values(
        Refusal{"empty", text_of(""), "file", "expected a shared library (ELF), found an empty file", ""},
        Refusal{"bytes_16", file_of([](std::string b) { return b.substr(0, 16); }), "file",
                "cut off: an ELF header has 64 bytes, the file has 16", ""},
        Refusal{"bytes_64", file_of([](std::string b) { return b.substr(0, 64); }), "file",
                "cut off: the program header table should end at byte ...", ""},
        Refusal{"cut_in_a_segment", file_of([](std::string b) { return b.substr(0, b.size() / 3); }), "file",
                "cut off: a segment of ...", ""},
        Refusal{"cut_by_one_byte", file_of([](std::string b) { return b.substr(0, b.size() - 1); }), "file",
                "cut off: the section table should end at byte ...", ""},
        Refusal{"wrong_machine", header_of([](Elf64_Ehdr& h) { h.e_machine = EM_S390; }), "file",
                "expected a library for ...", ""},
        Refusal{"bits_32", header_of([](Elf64_Ehdr& h) { h.e_ident[EI_CLASS] = ELFCLASS32; }), "file",
                "expected a 64-bit library, found a 32-bit one", ""},
        Refusal{"other_end_first", header_of([](Elf64_Ehdr& h) {
                  h.e_ident[EI_DATA] = ELFDATA2LSB + ELFDATA2MSB - h.e_ident[EI_DATA];
                }),
                "file", "expected a ...", ""},
        Refusal{"windows", text_of(std::string("MZ\x90\0\3\0\0\0", 8)), "file",
                "expected a shared library (ELF), found a Windows program or library (PE)", ""},
        Refusal{"text", text_of("just some notes\n"), "file",
                "expected a shared library (ELF), found a text file", ""},
        Refusal{"script", text_of("#!/bin/sh\n"), "file", "expected a shared library (ELF), found a script",
                ""},
        Refusal{"program", [](const Zoo& zoo) { return zoo.add("bad.so", read_file("/bin/true")); }, "file",
                "expected a shared library, found a program", ""},
        Refusal{"other_library", header_of([](Elf64_Ehdr& h) { h.e_shnum = 0; }), "file",
                "has no section table, so its manifest cannot be found; strip it less", ""},
        Refusal{"fifo",
                [](const Zoo& zoo) {
                  ::mkfifo((zoo.folder() / "bad.so").c_str(), 0600);
                  return zoo.folder() / "bad.so";
                },
                "file", "a FIFO, expected a shared library", ""},
        Refusal{"folder",
                [](const Zoo& zoo) {
                  fs::create_directory(zoo.folder() / "bad.so");
                  return zoo.folder() / "bad.so";
                },
                "file", "a folder, expected a shared library", ""},
        Refusal{"socket", make_socket, "file", "a socket, expected a shared library", ""},
        Refusal{"link_loop",
                [](const Zoo& zoo) {
                  fs::create_symlink("bad.so", zoo.folder() / "bad.so");
                  return zoo.folder() / "bad.so";
                },
                "file", "a link that leads back to itself", ""},
        Refusal{"dangling_link",
                [](const Zoo& zoo) {
                  fs::create_symlink("nowhere", zoo.folder() / "bad.so");
                  return zoo.folder() / "bad.so";
                },
                "file", "a link to a file that does not exist", ""},
        Refusal{"writable_by_all", mode_of(0666), "file", "the file is writable by everybody (mode 0666)",
                "chmod go-w 'PATH'"},
        Refusal{"writable_by_group", mode_of(0775), "file", "the file is writable by its group (mode 0775)",
                "chmod go-w 'PATH'"},
        Refusal{"name_with_a_newline", [](const Zoo& zoo) { return zoo.add("b\nad.so", "notes\n"); }, "file",
                "expected a shared library (ELF), found a text file", ""},
        Refusal{"malformed", manifest_of("{\"id\":", "{{{{{{"), "manifest",
                "manifest: invalid JSON at byte 1: ...", ""},
        Refusal{"deep",
                manifest_of("\"summary\":\"A provider that does it wrong\"",
                            "\"s\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["),
                "manifest", "manifest: invalid JSON at byte ...", ""},
        Refusal{"no_magic", manifest_of("CNSPECMF", "CNSPECMX"), "manifest",
                "manifest: expected it to begin with CNSPECMF, found \"CNSPECMX\"", ""},
        Refusal{"newer_format", manifest_of(std::string("CNSPECMF\1", 9), std::string("CNSPECMF\2", 9)),
                "manifest", "manifest: expected format 1, found 2; a newer cnspec may read it", ""},
        Refusal{"other_system", manifest_of("\"os\":\"linux\"", "\"os\":\"beos5\""), "manifest",
                "manifest: expected linux/...", ""},
        Refusal{"other_processor", manifest_of("\"arch\":\"amd64\"", "\"arch\":\"vax11\""), "manifest",
                "manifest: expected linux/amd64, found linux/vax11", ""},
        Refusal{"empty_id", manifest_of("\"id\":\"example.com/bad\"", "\"id\":\"\""), "manifest",
                "manifest: id must look like example.com/providers/coffee, found \"\"", ""},
        Refusal{"id_that_is_no_utf8",
                manifest_of("\"id\":\"example",
                            "\"id\":\"\xff\xfe"
                            "ample"),
                "manifest", "manifest: ...", ""},
        Refusal{"id_that_is_a_path", manifest_of("\"id\":\"example.com/bad\"", "\"id\":\"a/../../../etc\""),
                "manifest",
                "manifest: id must look like example.com/providers/coffee, found \"a/../../../etc\"", ""},
        Refusal{"two_connectors_of_one_name", manifest_of("[\"worse\"]", "[\"bad\"]"), "manifest",
                "manifest: connector \"bad\": alias \"bad\" is taken", ""}),
    [](const auto& refusal) { return std::string(refusal.param.name); });

}  // namespace
}  // namespace cnspec::test
