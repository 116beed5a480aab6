// The zoo: every bad provider that other plugin systems have met, and what a user reads of it: from
// `providers list`, from `discover`, and from `providers verify`, word for word. Whatever one of them does,
// the program ends by itself, the other providers work, and nothing of it is left.
//
// What the tables do not show is proven elsewhere, each at its part: every way in which a file can be cut or
// lie (elf_test), owners and modes (trusted_file_test), orders of folders and a thousand providers
// (discovery_test), the rules of manifests (manifest_test), rows that break the ABI's rules
// (conformance_test), frames (frame_test), and what the sandbox stops (sandbox_test).
#include <dirent.h>
#include <elf.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <thread>

#include "base/text.hpp"
#include "provider/discovery.hpp"
#include "provider/open.hpp"
#include "provider/provider.hpp"
#include "support/cnspec.hpp"

namespace cnspec::test {
namespace {

namespace fs = std::filesystem;

std::string library(const std::string& animal) {
  return read_file(std::string(BAD_PROVIDERS) + "/" + animal + ".so");
}

std::vector<pid_t> children(const std::string& of = "self") {
  std::vector<pid_t> out;
  std::error_code gone;
  for (const auto& task : fs::directory_iterator("/proc/" + of + "/task", gone)) {
    std::ifstream list(task.path() / "children");
    for (pid_t pid = 0; list >> pid;) out.push_back(pid);
  }
  return out;
}

bool has_grandchildren(pid_t pid) {
  return std::ranges::any_of(children(std::to_string(pid)),
                             [](pid_t child) { return !children(std::to_string(child)).empty(); });
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

  // Several at the same time, since the hung ones only wait.
  std::vector<RunResult> run_all(const std::vector<Argv>& commands) const {
    std::vector<Process> running;
    for (const Argv& args : commands) running.push_back(start(args));
    std::vector<RunResult> out;
    for (Process& process : running) out.push_back(process.wait());
    expect_nothing_left();
    return out;
  }
  RunResult run(const Argv& args) const { return run_all({args}).front(); }
  Process start(Argv args) const {
    args.insert(args.begin(), {"--providers-path", folder().string()});
    return user_.start(args);
  }
  RunResult list() const { return run({"providers", "list"}); }
  static Argv to_verify(const fs::path& file, const Argv& more = {}, const char* limit = "30s") {
    Argv args = {"providers", "verify", "--check-timeout", limit, file.string()};
    args.insert(args.end(), more.begin(), more.end());
    return args;
  }
  RunResult verify(const fs::path& file, const Argv& more = {}) const { return run(to_verify(file, more)); }

  // Neither processes nor temporary files; of what was killed, soon.
  void expect_nothing_left() const {
    EXPECT_TRUE(no_child_left()) << "a process was left";
    EXPECT_TRUE(fs::is_empty(scratch())) << "a file was left in the folder for temporary ones";
  }

  // Among the temporary ones, however deep.
  bool has_file(const char* name) const {
    std::error_code gone;
    for (fs::recursive_directory_iterator at(scratch(), gone), end; !gone && at != end; at.increment(gone)) {
      if (at->path().filename() == name) return true;
    }
    return false;
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
  const char* check;  // which check of `providers verify` it fails; null: there is nothing to verify
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

// The section of the manifest replaced by another, however long.
std::function<fs::path(const Zoo&)> section_of(std::string section) {
  return file_of([section](std::string bytes) {
    Elf64_Ehdr header;
    std::memcpy(&header, bytes.data(), sizeof header);
    const auto entry = [&](std::size_t i) { return bytes.data() + header.e_shoff + i * sizeof(Elf64_Shdr); };
    Elf64_Shdr names;
    std::memcpy(&names, entry(header.e_shstrndx), sizeof names);
    for (std::size_t i = 0; i < header.e_shnum; ++i) {
      Elf64_Shdr one;
      std::memcpy(&one, entry(i), sizeof one);
      if (std::string_view(bytes.c_str() + names.sh_offset + one.sh_name) != CNSPEC_MANIFEST_SECTION)
        continue;
      one.sh_offset = bytes.size();
      one.sh_size = section.size();
      std::memcpy(entry(i), &one, sizeof one);
    }
    return bytes + section;
  });
}
std::function<fs::path(const Zoo&)> json_of(const std::string& json) {
  const cnspec_manifest_header header{
      {'C', 'N', 'S', 'P', 'E', 'C', 'M', 'F'}, 1, static_cast<std::uint32_t>(json.size())};
  return section_of(std::string(reinterpret_cast<const char*>(&header), sizeof header) + json);
}
std::string repeated(const std::string& text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
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
  std::string expected = "! refused: " + printable(path.string()) + ": " + said;
  if (!open_end) expected += "\n" + (hint.empty() ? "" : "  " + hint + "\n");
  EXPECT_EQ(list.out.substr(at, expected.size()), expected) << list.out;
  EXPECT_NE(list.out.find("  pet 1.0.0 with connectors: pet"), std::string::npos) << list.out;
  zoo.expect_that_others_work();

  const RunResult verify = zoo.verify(path);
  if (!refusal.check) {
    EXPECT_TRUE(verify.exit_code == 1 || verify.exit_code == 2) << verify.exit_code;
    EXPECT_EQ(verify.out, "");
    EXPECT_EQ(std::count(verify.err.begin(), verify.err.end(), '\n'), 2) << "what is wrong, what to do:\n"
                                                                         << verify.err;
    return;
  }
  EXPECT_EQ(verify.exit_code, 1) << verify.out;
  EXPECT_EQ(verify.err, "");
  std::string line = std::string("x ") + refusal.check;
  line.resize(16, ' ');
  line += "failed\n    " + said + (open_end ? "" : "\n");
  const std::string found = block(verify.out, refusal.check);
  EXPECT_EQ(found.substr(0, line.size()), line);
  EXPECT_EQ(std::count(found.begin(), found.end(), '\n'), 3) << "a line, what is wrong, what to do:\n"
                                                             << found;
  const std::string after = std::string("! not run       ") +
                            (refusal.check == std::string_view("file") ? "manifest, " : "") +
                            "load, abi, open, behaviour, threads, leaks, cancellation, handles, isolation, "
                            "fetch: \"" +
                            refusal.check + "\" has to be mended first\n";
  EXPECT_NE(verify.out.find(after), std::string::npos) << verify.out;
}

INSTANTIATE_TEST_SUITE_P(
    File, BadFile,
    testing::Values(
        Refusal{"empty", text_of(""), nullptr, "expected a shared library (ELF), found an empty file", ""},
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
        Refusal{"windows", text_of(std::string("MZ\x90\0\3\0\0\0", 8)), nullptr,
                "expected a shared library (ELF), found a Windows program or library (PE)", ""},
        Refusal{"text", text_of("just some notes\n"), nullptr,
                "expected a shared library (ELF), found a text file", ""},
        Refusal{"script", text_of("#!/bin/sh\n"), nullptr, "expected a shared library (ELF), found a script",
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
                nullptr, "a FIFO, expected a shared library", ""},
        Refusal{"folder",
                [](const Zoo& zoo) {
                  fs::create_directory(zoo.folder() / "bad.so");
                  return zoo.folder() / "bad.so";
                },
                nullptr, "a folder, expected a shared library", ""},
        Refusal{"socket", make_socket, nullptr, "a socket, expected a shared library", ""},
        Refusal{"link_loop",
                [](const Zoo& zoo) {
                  fs::create_symlink("bad.so", zoo.folder() / "bad.so");
                  return zoo.folder() / "bad.so";
                },
                nullptr, "a link that leads back to itself", ""},
        Refusal{"dangling_link",
                [](const Zoo& zoo) {
                  fs::create_symlink("nowhere", zoo.folder() / "bad.so");
                  return zoo.folder() / "bad.so";
                },
                nullptr, "a link to a file that does not exist", ""},
        Refusal{"writable_by_all", mode_of(0666), "file", "the file is writable by everybody (mode 0666)",
                "chmod go-w 'PATH'"},
        Refusal{"writable_by_group", mode_of(0775), "file", "the file is writable by its group (mode 0775)",
                "chmod go-w 'PATH'"},
        Refusal{"name_with_a_newline", [](const Zoo& zoo) { return zoo.add("b\nad.so", "notes\n"); }, nullptr,
                "expected a shared library (ELF), found a text file", ""},
        Refusal{"name_that_is_no_utf8",
                [](const Zoo& zoo) { return zoo.add("b\xff\xfe\x1b[31m.so", "notes\n"); }, nullptr,
                "expected a shared library (ELF), found a text file", ""},
        Refusal{"longest_name",
                [](const Zoo& zoo) { return zoo.add(std::string(NAME_MAX - 3, 'b') + ".so", "notes\n"); },
                nullptr, "expected a shared library (ELF), found a text file", ""},
        Refusal{"huge", section_of(std::string(5 << 20, ' ')), "file",
                "the section .cnspec has 5242880 bytes, at most 4194304 are read", ""},
        Refusal{"endless_name", json_of("{\"id\":\"" + std::string(1 << 20, 'x') + "\"}"), "manifest",
                "manifest: id must look like example.com/providers/coffee, found \"xxxxx...", ""},
        Refusal{"a_million_items", json_of("{\"id\":[" + repeated("0,", 1 << 20) + "0]}"), "manifest",
                "manifest: \"id\" is not text", ""},
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

// ---- Libraries and what they do: found, and stopped when they run ----

constexpr char kAbort[] =
    "Let no exception leave a function of the provider, and return an error where it aborts.";
constexpr char kExit[] = "A provider never calls exit: return a code, and say why with set_error.";
constexpr char kHang[] =
    "Let nothing wait for ever: poll cancelled(), mind the deadline, and return when the sink says so. The "
    "process was killed; --check-timeout gives it longer.";
constexpr char kTable[] = "Let the entry function return a constant table as provider.h declares it.";
constexpr char kExport[] = "Export it: with CNSPEC_PROVIDER(...) in C++, with CNSPEC_EXPORT in C.";
constexpr char kExtension[] =
    "Compare the whole id, by its length: return NULL for every other, to the last byte.";
constexpr char kVisibility[] =
    "Compile with -fvisibility=hidden and link with the version script provider.map.";
constexpr char kWhy[] =
    "Before returning a code, call set_error (C++: throw an Error) with one sentence: what failed, on what, "
    "why.";
constexpr char kOpen[] =
    "open makes the instance and needs nothing from outside: move what can fail to connect.";
constexpr char kRule[] =
    "Send what provider.yaml declares, or declare what is sent; provider.h has the rules.";
constexpr char kJoin[] = "Join in close every thread that the provider started.";

constexpr char kDeclare[] =
    "Declare under capabilities in provider.yaml what it reaches: files, env, exec, and hosts by http. Where "
    "that is not possible, send an error for the field.";

// It works, as far as `discover` can tell.
constexpr char kWorks[] = "";

struct Animal {
  const char* name;
  const char* library;
  const char* deed;      // the connector's argument
  const char* discover;  // what is said of it in a process of its own; PATH stands for its path
  const char* check;     // which check of `providers verify` it fails; null: none
  const char* said;
  const char* hint;
};
void PrintTo(const Animal& animal, std::ostream* out) { *out << animal.name; }

const Animal kAnimals[] = {
    // ABI
    {"missing_symbol", "missing_symbol", "x",
     "x provider \"bad\": load PATH: speaks no version of the ABI that this cnspec does: expected the "
     "function "
     "cnspec_provider_entry_v1, found none of that kind\n",
     "abi",
     "speaks no version of the ABI that this cnspec does: expected the function cnspec_provider_entry_v1, "
     "found none of "
     "that kind",
     kExport},
    {"wrong_major", "wrong_major", "x",
     "x provider \"bad\": load PATH: speaks no version of the ABI that this cnspec does: expected the "
     "function "
     "cnspec_provider_entry_v1, found cnspec_provider_entry_v2\n"
     "  use a version of the provider that was built for ABI version 1\n",
     "abi",
     "speaks no version of the ABI that this cnspec does: expected the function cnspec_provider_entry_v1, "
     "found "
     "cnspec_provider_entry_v2",
     kExport},
    {"newer_minor", "newer_minor", "x",
     "x provider \"bad\": identify: sent no row, expected one of \"asset\"\n", "abi",
     "its table speaks ABI 1.7, its manifest says 1.0",
     "Build the manifest and the code with the same version of the SDK."},
    {"newer_table", "newer_table", "x", kWorks, "abi", "its table speaks ABI 1.1, its manifest says 1.0",
     "Build the manifest and the code with the same version of the SDK."},
    {"needs_a_newer_host", "needs_a_newer_host", "x", "x provider \"bad\": open: a newer cnspec is needed\n",
     "open", "open: a newer cnspec is needed",
     "Do without what this host lacks, or return NULL from the entry function to say so early."},
    {"other_manifest", "other_manifest", "x",
     "x provider \"bad\": load PATH: its table's manifest is not the one in its section .cnspec...", "abi",
     "its table's manifest is not the one in its section .cnspec...", ""},
    {"null_table", "null_table", "x",
     "x provider \"bad\": load PATH: does not work with this cnspec, which speaks version 1.0 of the ABI\n",
     "abi", "does not work with this cnspec, which speaks version 1.0 of the ABI", kTable},
    {"old_hosts_only", "old_hosts_only", "x", kWorks, "abi",
     "its entry function does not return its table to a newer host (minor version 1)",
     "Return the same constant table always: newer hosts speak older versions."},
    {"size_0", "size_0", "x",
     "x provider \"bad\": load PATH: its table says that it has 0 bytes, expected 80 or more\n", "abi",
     "its table says that it has 0 bytes, expected 80 or more", kTable},
    {"size_small", "size_small", "x",
     "x provider \"bad\": load PATH: its table says that it has 72 bytes, expected 80 or more\n", "abi",
     "its table says that it has 72 bytes, expected 80 or more", kTable},
    {"size_huge", "size_huge", "x",
     "x provider \"bad\": load PATH: its table says that it has 4294967295 bytes, expected 80\n", "abi",
     "its table says that it has 4294967295 bytes, expected 80", kTable},
    {"no_close", "no_close", "x",
     "x provider \"bad\": load PATH: its table has no callback \"close\" (NULL)\n", "abi",
     "its table has no callback \"close\" (NULL)", kTable},
    {"extra_export", "extra_export", "x", kWorks, "abi",
     "exports 1 symbol besides its entry function: kettle_helper", kVisibility},
    {"clashing_symbol", "clash_one", "x", "→ name:           one\n", "abi",
     "exports 1 symbol besides its entry function: kettle_name", kVisibility},
    {"extension_with_garbage", "extension_with_garbage", "x", kWorks, "abi",
     "has the extension \"cnspec.discovery/1\" also with garbage behind its id", kExtension},
    {"every_extension", "every_extension", "x", kWorks, "abi", "has an extension \"\", which there is not",
     kExtension},
    // Load
    {"missing_dependency", "missing_dependency", "x",
     "x provider \"bad\": load PATH: cannot be loaded: it needs libcnspec_test_gone.so, which cannot be "
     "found\n"
     "  install the package that has libcnspec_test_gone.so\n",
     "load", "cannot be loaded: it needs libcnspec_test_gone.so, which cannot be found",
     "A provider is one file: link that library into it statically, or tell users which package has it."},
    {"undefined_symbol", "undefined_symbol", "x",
     "x provider \"bad\": load PATH: cannot be loaded: undefined symbol: "
     "cnspec_test_symbol_that_nobody_defines\n",
     "load", "cannot be loaded: undefined symbol: cnspec_test_symbol_that_nobody_defines",
     "Link the library that has what is missing, with -z defs so that the build finds out."},
    {"constructor_throws", "constructor_throws", "x",
     // What more is known of the exception depends on whose copy of the C++ library is asked.
     "x provider \"bad\": load PATH: its process was ended by SIGABRT (Aborted)\n  Its last line...", "load",
     "crashed (SIGABRT) in its constructors: ...", kAbort},
    {"constructor_crashes", "constructor_crashes", "x",
     "x provider \"bad\": load PATH: its process was ended by SIGABRT (Aborted)\n", "load",
     "crashed (SIGABRT) in its constructors", kAbort},
    {"constructor_loops", "constructor_loops", "x",
     "x provider \"bad\": load PATH: did not answer by its deadline; its process was ended\n", "load",
     "did not return from its constructors within 3s", kHang},
    {"constructor_exits", "constructor_exits", "x",
     "x provider \"bad\": load PATH: its process ended with the exit code 0 before it answered\n", "load",
     "ended the process with exit code 0 in its constructors", kExit},
    {"constructor_starts_a_thread", "constructor_thread", "x", kWorks, "load",
     "starts 1 thread when it is loaded", "Start threads in open or later, and join them in close."},
    {"constructor_writes", "constructor_writes", "x", kWorks, "load",
     "writes to standard output: \"a kettle on the terminal\\n\"",
     "Use log: standard output belongs to the program's report."},
    {"crashes_at_exit", "crashes_at_exit", "x", kWorks, "load", "crashed (SIGABRT) when the process ended",
     "Free everything in close; let no destructor of a static object and no exit handler need it."},
    {"static_tls", "static_tls", "x", kWorks, "load",
     "uses static thread-local storage, of which a process has little for libraries",
     "Compile without -ftls-model=initial-exec; after about 27 such providers none loads."},
    {"executable_stack", "executable_stack", "x", kWorks, "load",
     "wants an executable stack, which newer systems load no library with",
     "Link with -Wl,-z,noexecstack; it comes from assembly without .note.GNU-stack, or from functions within "
     "functions in C."},
    // Behaviour
    {"shares_what_is_a_connections", "tame", "shares@x", kWorks, "behaviour",
     "identify sends \"kettle nobody stove\" once another connection was disconnected, before it \"kettle "
     "kettle stove\"",
     "Keep in a connection whatever belongs to it: several may be there at the same time."},
    {"open_crashes", "open_crashes", "x",
     "x provider \"bad\": open: its process was ended by SIGABRT (Aborted)\n", "open",
     "crashed (SIGABRT) in open", kAbort},
    {"open_hangs", "open_hangs", "x",
     "x provider \"bad\": open: did not answer by its deadline; its process was ended\n", "open",
     "did not return from open within 3s", kHang},
    {"open_exits", "open_exits", "x",
     "x provider \"bad\": open: its process ended with the exit code 0 before it answered\n", "open",
     "ended the process with exit code 0 in open", kExit},
    {"open_fails", "open_fails", "x",
     "x provider \"bad\": open: the kettle is empty (kettle: 2, floor: 3)\n  try again: it may work later\n",
     "open", "open: the kettle is empty (kettle: 2, floor: 3)", kOpen},
    {"open_fails_silently", "open_fails_silently", "x",
     "x provider \"bad\": open: failed without saying why\n", "open", "open: failed without saying why",
     kWhy},
    {"open_throws", "open_throws", "x",
     "x provider \"bad\": open: its process was ended by SIGABRT (Aborted)\n"
     "  Its last lines were: \"terminate called after throwing an instance of 'std::runtime_error'\" "
     "\"what():  over the "
     "edge\"\n",
     "open", "crashed (SIGABRT) in open: what():  over the edge", kAbort},
    {"connect_throws", "raw_throw", "connect",
     "x provider \"bad\": connect: its process was ended by SIGABRT (Aborted)\n"
     "  Its last lines were: \"terminate called after throwing an instance of 'std::runtime_error'\" "
     "\"what():  over the "
     "edge\"\n",
     "behaviour", "crashed (SIGABRT) in connect bad: what():  over the edge", kAbort},
    {"identify_throws", "raw_throw", "identify",
     "x provider \"bad\": identify: its process was ended by SIGABRT (Aborted)\n"
     "  Its last lines were: \"terminate called after throwing an instance of 'std::runtime_error'\" "
     "\"what():  over the "
     "edge\"\n",
     "behaviour", "crashed (SIGABRT) in identify: what():  over the edge", kAbort},
    {"close_crashes", "close_crashes", "x",
     "! provider \"bad\": close: its process was ended by SIGABRT (Aborted)\n", "open",
     "crashed (SIGABRT) in close", kAbort},
    {"connect_crashes", "tame", "crash@connect",
     "x provider \"bad\": connect: its process was ended by SIGABRT (Aborted)\n", "behaviour",
     "crashed (SIGABRT) in connect bad", kAbort},
    {"connect_hangs", "tame", "hang@connect",
     "x provider \"bad\": connect: did not answer by its deadline; its process was ended\n", "behaviour",
     "did not return from connect bad within 3s", kHang},
    {"connect_exits", "tame", "exit@connect",
     "x provider \"bad\": connect: its process ended with the exit code 0 before it answered\n", "behaviour",
     "ended the process with exit code 0 in connect bad", kExit},
    {"connect_fails_silently", "tame", "silent@connect",
     "x provider \"bad\": connect: failed without saying why\n", "behaviour",
     "connect: failed without saying why", kWhy},
    {"connect_closes_everything", "tame", "closes@connect",
     "x provider \"bad\": connect: closed the channel to the program\n", "behaviour", "...", ""},
    {"identify_crashes", "tame", "crash@identify",
     "x provider \"bad\": identify: its process was ended by SIGABRT (Aborted)\n", "behaviour",
     "crashed (SIGABRT) in identify", kAbort},
    {"identify_hangs", "tame", "hang@identify",
     "x provider \"bad\": identify: did not answer by its deadline; its process was ended\n", "behaviour",
     "did not return from identify within 3s", kHang},
    {"identify_writes", "tame", "stdout@identify", kWorks, "behaviour",
     "writes to standard output: \"a kettle on the terminal\\na kettle on the terminal\\na kettle o...\"",
     "Use log: standard output belongs to the program's report."},
    {"identify_forks", "tame", "forks@identify",
     "x provider \"bad\": identify: was stopped: it lacks the capability exec...", "behaviour", "left ...",
     ""},
    {"disconnect_crashes", "tame", "crash@disconnect",
     "! provider \"bad\": disconnect: its process was ended by SIGABRT (Aborted)\n", "behaviour",
     "crashed (SIGABRT) in disconnect (one of two connections)", kAbort},
    {"disconnect_hangs", "tame", "hang@disconnect",
     "! provider \"bad\": disconnect: did not answer by its deadline; its process was ended\n", "behaviour",
     "did not return from disconnect (one of two connections) within 3s", kHang},
    {"fetch_crashes", "tame", "crash@fetch", kWorks, "behaviour",
     "crashed (SIGABRT) in fetch pot of an unknown id", kAbort},
    {"fetch_fails_silently", "tame", "silent@fetch", kWorks, "fetch", "fetch pot: failed without saying why",
     kWhy},
    {"fetch_throws_a_number", "throws", "number",
     "x provider \"bad\": identify: an exception of an unknown type\n", "fetch",
     "fetch pot: an exception of an unknown type", kWhy},
    {"identify_sends_no_row", "behave", "identify-none",
     "x provider \"bad\": identify: sent no row, expected one of \"asset\"\n", "behaviour",
     "identify: sent no row, expected one of \"asset\"",
     "Send one row of the type \"asset\", which says what was connected to; provider.h has the rules."},
    {"leaves_threads", "leaks_threads", "x", kWorks, "threads", "1 thread still runs after close", kJoin},
    {"leaves_a_thread_of_identify", "tame", "thread@identify", kWorks, "threads",
     "2 threads still run after close", kJoin},
    {"leaks_descriptors", "leaks_descriptors", "x", kWorks, "leaks",
     "20 descriptors left by 20 times open and close",
     "Close in close what open opened, and in open when that fails."},
    {"leaks_threads", "leaks_threads", "x", kWorks, "leaks", "20 threads left by 20 times open and close",
     "Join in close what open started, and in open when that fails."},
    {"leaks_a_descriptor_of_connect", "tame", "descriptor@connect", kWorks, "leaks",
     "20 descriptors left by 20 times connect and disconnect",
     "Close in disconnect what connect opened, and in connect when that fails."},
    {"ignores_cancellation", "tame", "deaf@x", kWorks, "cancellation",
     "did not return from fetch pot (cancelled before it began) within 3s", kHang},
    {"uses_a_handle_after_return", "tame", "keeps@fetch", kWorks, "handles",
     "called deadline with the handle of a call that is over",
     "Keep no cnspec_call and no cnspec_sink: each dies when its call returns. Only log may be called at any "
     "time."},
    {"sends_a_wrong_type", "tame", "wrong-type@fetch", kWorks, "fetch",
     "fetch pot: sent the field \"cups\" of \"pot\" as string, its manifest declares int", kRule},
    {"sends_an_undeclared_field", "tame", "undeclared-field@fetch", kWorks, "fetch",
     "fetch pot: sent the field \"handles\" of \"pot\", which its manifest does not declare", kRule},
    {"sends_an_id_twice", "tame", "twice@x", kWorks, "fetch", "fetch pot: sent two rows of the id \"p1\"",
     "Give each instance an id of its own, which stays the same between runs."},
    {"forgets_what_it_sent", "tame", "forgets@x", kWorks, "fetch",
     "fetch pot by the id \"p1\", which it sent: 0 rows, not that one",
     "Send the instance that was asked for, and no other; it keeps its id from one call to the next."},
    {"needs_what_it_does_not_declare", "tame", "differs@fetch", kWorks, "isolation",
     "field \"cups\" of pot \"p1\": int 5 in-process, int 4 isolated", kDeclare},
};

class Misbehaved : public testing::TestWithParam<Animal> {};

TEST_P(Misbehaved, IsListedStoppedAndExplained) {
  const Animal& animal = GetParam();
  const Zoo zoo;
  zoo.add_pet();
  const fs::path path = zoo.add("bad.so", library(animal.library));

  const RunResult list = zoo.list();
  EXPECT_EQ(list.exit_code, 0);
  EXPECT_NE(list.out.find("  bad 1.0.0 with connectors: bad"), std::string::npos) << list.out;

  // Those that hang are not waited for longer than it takes to see it.
  const auto limit = [](std::string_view expected, const char* ends) {
    return expected.find(ends) != expected.npos ? "3s" : "30s";
  };
  const auto results =
      zoo.run_all({{"--timeout", limit(animal.discover, "by its deadline"), "discover", "bad", animal.deed},
                   Zoo::to_verify(path, {"bad", animal.deed}, limit(animal.said, "within 3s"))});
  const RunResult& discover = results.front();
  std::string expected = replaced(animal.discover, "PATH", path.string());
  const bool fails = expected.starts_with("x ");
  EXPECT_EQ(discover.exit_code, fails ? 1 : 0) << discover.err;
  const bool row = expected.starts_with("→ ");
  if (row) {
    EXPECT_EQ(discover.out, expected);
  } else if (expected.ends_with("...")) {
    expected.resize(expected.size() - 3);
    EXPECT_EQ(discover.err.substr(0, expected.size()), expected);
  } else {
    EXPECT_EQ(discover.err, expected);
  }
  if (!row) {
    EXPECT_EQ(discover.out, fails ? "" : "→ name:           kettle\n→ platform:       stove\n");
  }
  zoo.expect_that_others_work();

  const RunResult& verify = results.back();
  EXPECT_EQ(verify.exit_code, 1) << verify.out;
  EXPECT_EQ(verify.err, "");
  const std::string found = block(verify.out, animal.check);
  EXPECT_TRUE(found.starts_with(std::string("x ") + animal.check + " ")) << verify.out;
  std::string said = animal.said;
  if (said.ends_with("...")) {
    said.resize(said.size() - 3);
    EXPECT_NE(found.find("\n    " + said), std::string::npos) << verify.out;
  } else {
    EXPECT_NE(found.find("\n    " + said + "\n      " + animal.hint + "\n"), std::string::npos) << verify.out;
  }
}

INSTANTIATE_TEST_SUITE_P(Animal, Misbehaved, testing::ValuesIn(kAnimals),
                         [](const auto& animal) { return std::string(animal.param.name); });

// ---- The others ----

TEST(Verify, FindsNothingWrongWithATameOne) {
  const Zoo zoo;
  const fs::path path = zoo.add("bad.so", library("tame"));
  const RunResult all = zoo.verify(path, {"bad", "nothing"});
  EXPECT_EQ(all.exit_code, 0) << all.out;
  EXPECT_EQ(all.err, "");
  for (const char* check : {"file", "manifest", "load", "abi", "open", "behaviour", "threads", "leaks",
                            "cancellation", "handles", "isolation"}) {
    EXPECT_TRUE(block(all.out, check).starts_with(std::string("→ ") + check)) << all.out;
  }
  EXPECT_EQ(block(all.out, "fetch"), "→ fetch         ok: 2 rows fetched\n");
  EXPECT_TRUE(all.out.ends_with("→ " + path.string() + ": 12 ok\n")) << all.out;

  const RunResult by_name = zoo.run({"providers", "verify", "bad", "-o", "json"});
  EXPECT_EQ(by_name.exit_code, 0) << by_name.out << by_name.err;
  EXPECT_NE(by_name.out.find("\"good\": true"), std::string::npos) << by_name.out;
  EXPECT_NE(by_name.out.find("\"result\": \"not run\""), std::string::npos) << by_name.out;
}

TEST(Verify, FindsLostMemory) {
  const Zoo zoo;
  const RunResult verify = zoo.verify(zoo.add("bad.so", library("leaks_memory")));
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  EXPECT_EQ(block(verify.out, "leaks"),
            "→ leaks         ok: memory is not counted: this cnspec was built with a sanitizer\n");
#else
  const std::string found = block(verify.out, "leaks");
  EXPECT_NE(
      found.find(" bytes left by 1000 times open and close\n      Free in close what open allocated, and in "
                 "open when that fails.\n"),
      std::string::npos)
      << verify.out;
#endif
}

TEST(Verify, WarnsWithoutFailing) {
  const Zoo zoo;
  const fs::path path = zoo.add("bad.so", library("tame"));
  const auto results = zoo.run_all({Zoo::to_verify(path, {"bad", "missing-field@fetch"}),
                                    Zoo::to_verify(path, {"bad", "no-label@fetch"}),
                                    Zoo::to_verify(path, {"bad", "no-label-isolated@fetch"})});
  const RunResult& missing = results[0];
  EXPECT_EQ(missing.exit_code, 0) << missing.out;
  EXPECT_TRUE(
      block(missing.out, "fetch")
          .starts_with(
              "! fetch         warning: 2 rows fetched\n"
              "    warning: fetch pot: did not send the field \"extra\" of 1 row, though it was asked for\n"
              "      Send it, or null where there is none, or an error where it could not be had.\n"))
      << missing.out;
  const RunResult& error = results[1];
  EXPECT_EQ(error.exit_code, 0) << error.out;
  EXPECT_TRUE(block(error.out, "fetch")
                  .starts_with(
                      "! fetch         warning: 2 rows fetched\n"
                      "    warning: fetch pot: the field \"label\" is an error in 1 row: the label is out of "
                      "reach\n      See that it can be had somewhere: verify with another system as well.\n"))
      << error.out;
  // What lacks a capability and says so is no other than what it says.
  const RunResult& honest = results[2];
  EXPECT_EQ(honest.exit_code, 0) << honest.out;
  EXPECT_TRUE(block(honest.out, "isolation")
                  .starts_with("! isolation     warning\n"
                               "    warning: field \"label\" of pot \"p1\": string tea in-process, the error "
                               "\"the label is out of reach\" isolated\n      Users read that error. "))
      << honest.out;
  const auto warning = [&](const char* deed, const char* check, const std::string& expected) {
    const RunResult verify = zoo.verify(path, {"bad", deed});
    EXPECT_EQ(verify.exit_code, 0) << verify.out;
    EXPECT_NE(block(verify.out, check).find("    warning: " + expected + "\n"), std::string::npos)
        << verify.out;
  };
  warning("changes@identify", "behaviour",
          "changes what the whole process shares: its working folder, its umask, its variable KETTLE, what "
          "it does on "
          "SIGUSR1\n      Leave that alone, or put it back before returning: run in-process, everything else "
          "depends on it.");
  warning("dangles@fetch", "fetch",
          "field \"owner\" of pot \"p1\" refers to pot \"p2\", which is not to be had: 0 rows\n      Refer "
          "only to "
          "what fetch answers for by that id; send null where there is none.");
  warning("unfinished@fetch", "fetch",
          "sent no row at all, of any resource\n      Call row_end for each row, without which it does not "
          "count; "
          "or name a system that has some.");
  const RunResult renamed = zoo.verify(zoo.add("good.so", library("tame")));
  EXPECT_EQ(renamed.exit_code, 0) << renamed.out;
  EXPECT_EQ(block(renamed.out, "manifest"),
            "! manifest      warning\n"
            "    warning: the file is called good.so, its provider bad\n"
            "      Call it bad.so: that is what is installed and listed.\n");
}

TEST(Verify, TellsWhatAProviderDoesNotDoFromAMistake) {
  const Zoo zoo;
  const RunResult verify = zoo.verify(zoo.add("bad.so", library("tame")), {"bad", "cannot@x"});
  EXPECT_EQ(verify.exit_code, 0) << verify.out;
  EXPECT_EQ(block(verify.out, "fetch"),
            "→ fetch         ok: 0 rows fetched; pot not fetched: this kettle has no list of pots; "
            "pots not fetched: this kettle has no list of pots\n");
}

TEST(Verify, SaysWhatWasNotCompared) {
  const Zoo zoo;
  const fs::path path = zoo.add("bad.so", library("tame"));
  const RunResult verify = zoo.verify(path, {"bad", "silent@connect"});
  EXPECT_EQ(block(verify.out, "isolation"),
            "→ isolation     ok: only open was compared: not connected, see \"behaviour\"\n");
}

// On the system that the tests run on.
TEST(Verify, FindsNothingWrongWithWhatIsBundled) {
  const Zoo zoo;
  std::vector<Argv> commands = {{"providers", "verify", "--check-timeout", "2m", "os", "local"}};
  for (const char* name : {"arista", "aws", "azure", "core", "mock"})
    commands.push_back({"providers", "verify", "--check-timeout", "2m", name});
  for (const RunResult& verify : zoo.run_all(commands)) {
    EXPECT_EQ(verify.exit_code, 0) << verify.out << verify.err;
    EXPECT_EQ(verify.err, "");
  }
}

TEST(Verify, SaysWhatIsWrongWithItsOwnUse) {
  const Zoo zoo;
  const fs::path path = zoo.add("bad.so", library("tame"));
  const auto err = [&](Argv args) {
    args.insert(args.begin(), {"providers", "verify"});
    const RunResult result = zoo.run(args);
    EXPECT_EQ(result.exit_code, 2) << result.out << result.err;
    EXPECT_EQ(result.out, "");
    return result.err;
  };
  EXPECT_EQ(err({}),
            "x which provider?\n"
            "  name an installed one, or a file such as ./coffee.so; see: cnspec providers verify --help\n");
  EXPECT_TRUE(err({"bat"}).starts_with("x there is no installed provider bat; did you mean bad?\n"));
  EXPECT_EQ(err({path.string(), "bat"}),
            "x the provider bad has no connector bat; did you mean bad?\n  its connectors are: bad\n");
  EXPECT_TRUE(err({path.string(), "bad", "x", "--prot", "4"})
                  .starts_with("x there is no option --prot; did you mean --port?"));
  EXPECT_TRUE(
      err({"--check-timeout", "soon", path.string()}).starts_with("x --check-timeout: expected a duration"));
  EXPECT_TRUE(err({"--check", "load"}).starts_with("x --check is for cnspec providers verify itself"));
}

// One clear error, and no report about what is not there.
TEST(Verify, SaysWhatIsNoProviderAtAll) {
  const Zoo zoo;
  const std::string folder = zoo.folder().string();
  const auto say = [&](const std::string& target, int code, const std::string& expected) {
    for (const char* output : {"text", "json"}) {
      const RunResult result = zoo.run({"providers", "verify", "-o", output, target});
      EXPECT_EQ(result.exit_code, code) << target;
      EXPECT_EQ(result.out, "");
      EXPECT_EQ(result.err, "x " + replaced(expected, "FOLDER", folder)) << target;
    }
  };
  const std::string name_one =
      "  name a file such as ./coffee.so, or one that is installed, see: cnspec providers list\n";
  say(folder + "/tea.so", 2, "there is no file FOLDER/tea.so\n" + name_one);
  zoo.add("good.so", library("tame"));
  say(folder + "/god.so", 2, "there is no file FOLDER/god.so; did you mean good.so?\n" + name_one);
  say(folder + "/none/tea.so", 2, "there is no folder FOLDER/none\n" + name_one);
  say(folder + "/good.so/tea.so", 2, "there is no folder FOLDER/good.so\n" + name_one);
  const std::string far = "/" + std::string(5000, 'x') + ".so";
  say(far, 2, far + " cannot be opened: File name too long\n" + name_one);
  say(folder, 2, "FOLDER is a folder, expected a provider's file\n  name a file in it: FOLDER/good.so\n");
  fs::create_directory(zoo.folder() / "empty");
  say(folder + "/empty/", 2,
      "FOLDER/empty/ is a folder, expected a provider's file\n  name the library that the build made, "
      "NAME.so\n");
  ::mkfifo((zoo.folder() / "fifo.so").c_str(), 0600);
  say(folder + "/fifo.so", 2,
      "FOLDER/fifo.so is a FIFO, expected a provider's file\n  name a file such as ./coffee.so\n");
  const auto link = [&](const char* name, const char* to) { fs::create_symlink(to, zoo.folder() / name); };
  link("loop.so", "loop.so");
  link("lost.so", "nowhere");
  say(folder + "/loop.so", 2,
      "FOLDER/loop.so is a link that leads back to itself\n  name the file that it should lead to\n");
  say(folder + "/lost.so", 2,
      "FOLDER/lost.so is a link to a file that does not exist\n  name the file that it should lead to\n");
  if (::geteuid() != 0) {  // whom no mode stops; the suite is run by others as well
    zoo.add("closed.so", library("tame"), 0300);
    say(folder + "/closed.so", 2,
        "FOLDER/closed.so cannot be opened: Permission denied\n  let it be read by you, its owner can do "
        "that "
        "with: chmod a+r FOLDER/closed.so\n");
  }
  const auto is_none = [&](const char* name, const std::string& bytes, const std::string& found,
                           const std::string& hint) {
    zoo.add(name, bytes);
    say(folder + "/" + name, 1,
        std::string("FOLDER/") + name + ": expected a shared library (ELF), found " + found + "\n  " + hint +
            "\n");
  };
  is_none("empty.so", "", "an empty file",
          "Make it again: what should have written it, a build or a download, did not finish.");
  is_none("text.so", "notes\n", "a text file", "Name the library that the build made, NAME.so.");
  is_none("script.so", "#!/bin/sh\n", "a script", "Name the library that the build made, NAME.so.");
  is_none("tea.dll", std::string("MZ\x90\0\3\0\0\0", 8), "a Windows program or library (PE)",
          "Build it for this system: a provider is made for one system and one kind of processor.");
  is_none("tea.a", "!<arch>\n", "a static library",
          "Link it as a shared library, as cnspec_add_provider does.");
  is_none(
      "tea.tar.xz",
      "\xfd"
      "7zXZ",
      "an archive",
      "Unpack it and name the library in it, NAME.so; a package can be tried first with: cnspec providers "
      "install --dry-run --file FOLDER/tea.tar.xz");
}

// A name is one of the installed, whatever lies here.
TEST(Verify, PointsToTheFileThatANameMayMean) {
  const Zoo zoo;
  const auto err = [&](const char* name) {
    ProcessOptions options;
    options.env["HOME"] = zoo.folder().string();
    options.cwd = zoo.folder().string();
    const RunResult result = test::run({program("cnspec"), "providers", "verify", name}, options);
    EXPECT_EQ(result.exit_code, 2);
    return result.err.substr(0, result.err.find('\n'));
  };
  zoo.add("coffee.so", library("tame"));
  EXPECT_EQ(err("coffee"), "x there is no installed provider coffee; did you mean ./coffee.so?");
  EXPECT_EQ(err("teapot"), "x there is no installed provider teapot");
}

TEST(Folder, ThatOthersCanWriteIsRefusedWhole) {
  const Zoo zoo;
  const fs::path path = zoo.add("open/open.so", library("tame"));
  fs::permissions(path.parent_path(), fs::perms(0777));
  const std::string said =
      "the folder " + path.parent_path().string() + " is writable by everybody (mode 0777)";
  EXPECT_NE(zoo.list().out.find("! refused: " + path.parent_path().string() + ": " + said +
                                "\n  chmod go-w '" + path.parent_path().string() + "'\n"),
            std::string::npos);
  EXPECT_EQ(
      block(zoo.verify(path).out, "file"),
      "x file          failed\n    " + said + "\n      chmod go-w '" + path.parent_path().string() + "'\n");
}

TEST(Shadowed, IsListedWithWhatShadowsIt) {
  const Zoo zoo;
  const fs::path first = zoo.add("a.so", library("tame"));
  zoo.add("b.so", library("behave"));
  EXPECT_NE(zoo.list().out.find("(shadowed by " + first.string() + ")"), std::string::npos);
}

// In this process, as providers do that are part of the program.
TEST(Clashing, SymbolsOfTwoProvidersStayTheirOwn) {
  const TempDir folder;
  std::vector<provider::Found> found;
  for (const char* name : {"clash_one", "clash_two"}) {
    const fs::path path = folder.write(std::string(name) + "/bad.so", library(name), 0755);
    auto one = provider::examine({}, path, provider::Origin::kFlag);
    ASSERT_TRUE(one) << one.error().message();
    found.push_back(std::move(*one));
  }
  std::vector<std::unique_ptr<provider::Provider>> loaded;
  std::vector<std::string> names;
  for (const auto& one : found) {
    auto provider = provider::load_in_process(one, {}, {});
    ASSERT_TRUE(provider) << provider.error().message();
    auto connection = (*provider)->connect({"bad", {"x"}, {}, {}}, {});
    ASSERT_TRUE(connection) << connection.error().message();
    names.push_back((*connection)->identify({})->text("name"));
    loaded.push_back(std::move(*provider));
  }
  EXPECT_EQ(names, (std::vector<std::string>{"one", "two"}));
}

// Those that a process survives, in the program's own: its messages are the same, and it ends on time.
TEST(InProcess, IsSurvivedWhereItCanBe) {
  const Zoo zoo;
  zoo.add("bad.so", library("tame"));
  const auto command = [](const char* deed) {
    return Argv{"--isolation", "bad=none", "--timeout", "2s", "discover", "bad", deed};
  };
  const auto discover = [&](const char* deed) { return zoo.run(command(deed)); };
  const RunResult silent = discover("silent@connect");
  EXPECT_EQ(silent.exit_code, 1);
  EXPECT_EQ(silent.err, "x provider \"bad\": connect: failed without saying why\n");
  for (const RunResult& hang : zoo.run_all({command("hang@connect"), command("hang@identify")})) {
    EXPECT_EQ(hang.exit_code, 1);
    EXPECT_EQ(hang.err, "x provider \"bad\" did not answer in time\n");
  }
  for (const char* deed : {"thread@identify", "descriptor@connect", "keeps@identify"}) {
    const RunResult good = discover(deed);
    EXPECT_EQ(good.exit_code, 0) << deed << good.err;
    EXPECT_EQ(good.out, "→ name:           kettle\n→ platform:       stove\n") << deed;
  }
}

// What it left to be done at the end of a thread, or of the process, keeps nobody from the answer.
TEST(InProcess, HasNoSayInHowTheProgramEnds) {
  const Zoo zoo;
  const auto discover = [&](const char* deed) {
    return zoo.run({"--isolation", "bad=none", "discover", "bad", deed});
  };
  const auto expect_answer = [&](const char* deed) {
    const RunResult good = discover(deed);
    EXPECT_EQ(good.exit_code, 0) << deed << good.err;
    EXPECT_EQ(good.out, "→ name:           kettle\n→ platform:       stove\n") << deed;
    EXPECT_EQ(good.err, "") << deed;
  };
  zoo.add("bad.so", library("hangs_at_exit"));  // a destructor of the library
  expect_answer("nothing");
  zoo.add("bad.so", library("tame"));
  for (const char* deed : {"hangs-at-exit@identify", "hangs-at-thread-end@identify"}) expect_answer(deed);
  const RunResult exit = discover("exit@identify");
  EXPECT_EQ(exit.exit_code, 1);
  EXPECT_EQ(exit.out, "");
  EXPECT_EQ(exit.err, "x provider \"bad\" ended the program: it called exit\n");
}

// With the descriptors of the loop, its timers are gone.
TEST(InProcess, EndsTheProgramThoughItClosedEverything) {
  const Zoo zoo;
  zoo.add("bad.so", library("tame"));
  const RunResult result =
      zoo.run({"--isolation", "bad=none", "--timeout", "2s", "discover", "bad", "closes-and-hangs@identify"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.out, "");
}

// A verify that is ended in the middle of a check, which left a brood of processes and files.
class Ended : public testing::TestWithParam<int> {
 protected:
  static void end_when(Zoo& zoo, Process& verify, const std::function<bool()>& ready) {
    while (verify.running() && !ready()) std::this_thread::yield();
    verify.signal(GetParam());
    const RunResult result = verify.wait();
    EXPECT_EQ(result.signal, GetParam()) << result.out << result.err;
    EXPECT_EQ(result.out, "");
    // What ends by a signal puts things right first; what is killed, others do for it, soon.
    if (GetParam() != SIGKILL) {
      for (const pid_t pid : children()) EXPECT_EQ(pid, verify.pid()) << "a process was left to itself";
    }
    zoo.expect_nothing_left();
  }
};

TEST_P(Ended, VerifyLeavesNothing) {
  Zoo zoo;
  const fs::path path = zoo.add("bad.so", library("constructor_loops"));
  Process verify = zoo.start({"providers", "verify", "--check-timeout", "10m", path.string()});
  end_when(zoo, verify, [&] { return has_grandchildren(verify.pid()); });
}

TEST_P(Ended, VerifyLeavesNothingOfWhatAProviderStarted) {
  Zoo zoo;
  const fs::path path = zoo.add("bad.so", library("tame"));
  Process verify =
      zoo.start({"providers", "verify", "--check-timeout", "10m", path.string(), "bad", "broods@connect"});
  end_when(zoo, verify, [&] { return zoo.has_file("brood"); });
}

TEST_P(Ended, VerifyLeavesNothingOfAnIsolatedProvider) {
  Zoo zoo;
  const fs::path path = zoo.add("bad.so", library("tame"));
  Process verify = zoo.start(
      {"providers", "verify", "--check-timeout", "10m", path.string(), "bad", "lies-in-wait@identify"});
  end_when(zoo, verify, [&] { return zoo.has_file("isolated"); });
}

INSTANTIATE_TEST_SUITE_P(By, Ended, testing::Values(SIGINT, SIGTERM, SIGHUP, SIGKILL));

// Neither descriptors nor processes nor threads, whatever came of the provider.
TEST(Leftovers, ThereAreNone) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  const auto count = [](const char* folder) {
    return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
  };
  const TempDir folder;
  provider::IsolationPolicy policy;
  policy.host_program = program("cnspec-provider-host");
  const auto meet = [&](const std::string& animal, const std::string& deed,
                        std::chrono::seconds patience = kPatience) {
    const fs::path path = folder.write(animal + "/bad.so", library(animal), 0755);
    const auto found = provider::examine({}, path, provider::Origin::kFlag);
    ASSERT_TRUE(found) << found.error().message();
    provider::Services services;
    services.log = [](log::Level, std::string_view) {};
    provider::Limits limits;
    limits.deadline = std::chrono::steady_clock::now() + patience;
    auto opened = provider::open_provider(*found, policy, services, limits);
    if (!opened) return;
    auto connection = (*opened)->connect({"bad", {deed}, {}, {}}, limits);
    if (!connection) return;
    (void)(*connection)->identify(limits);
    (void)(*connection)->fetch({"pot", "", {"cups"}, {}}, limits);
  };
  meet("tame", "x");  // what stays for good is there now
  const auto descriptors = count("/proc/self/fd");
  const auto threads = count("/proc/self/task");
  for (const char* deed :
       {"x", "crash@connect", "crash@identify", "crash@fetch", "exit@fetch", "closes@identify",
        "forks@identify", "silent@connect", "crash@disconnect", "stdout@fetch"})
    meet("tame", deed);
  meet("tame", "hang@fetch", std::chrono::seconds(1));
  for (const char* animal : {"constructor_exits", "constructor_crashes", "open_crashes", "open_throws",
                             "close_crashes", "undefined_symbol", "size_0", "leaks_threads"})
    meet(animal, "x");
  EXPECT_TRUE(no_child_left());
  EXPECT_EQ(count("/proc/self/fd"), descriptors);
  EXPECT_EQ(count("/proc/self/task"), threads);
}

// Isolated as well, each in a process that is gone before the next is there.
TEST(Leftovers, OfAThousandStartsThereAreNone) {
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr int kStarts = 100;  // they take ten times as long
#else
  constexpr int kStarts = 1000;
#endif
  const TempDir folder;
  const fs::path path = folder.write("bad.so", library("tame"), 0755);
  const auto found = provider::examine({}, path, provider::Origin::kFlag);
  ASSERT_TRUE(found) << found.error().message();
  provider::IsolationPolicy policy;
  policy.host_program = program("cnspec-provider-host");
  const auto count = [](const char* of) {
    return std::distance(fs::directory_iterator(of), fs::directory_iterator());
  };
  std::ptrdiff_t descriptors = 0;
  std::ptrdiff_t threads = 0;
  for (int i = 0; i < kStarts; ++i) {
    provider::Services services;
    services.log = [](log::Level, std::string_view line) { ADD_FAILURE() << line; };
    auto opened = provider::open_provider(*found, policy, services, {});
    ASSERT_TRUE(opened) << opened.error().message() << ", the " << i << "th time";
    ASSERT_TRUE((*opened)->connect({"bad", {"x"}, {}, {}}, {})) << "the " << i << "th time";
    if (i == 0) {
      opened->reset();
      descriptors = count("/proc/self/fd");
      threads = count("/proc/self/task");
    }
  }
  EXPECT_TRUE(children().empty());
  EXPECT_EQ(count("/proc/self/fd"), descriptors);
  EXPECT_EQ(count("/proc/self/task"), threads);
}

// Whoever kills the program leaves nothing: neither its provider and what that started, nor its folder.
TEST(Killed, LeavesNothing) {
  const Zoo zoo;
  zoo.add("bad.so", library("tame"));
  Process cnspec = zoo.start({"discover", "bad", "hang@identify"});
  while (cnspec.running() && !has_grandchildren(cnspec.pid())) std::this_thread::yield();
  cnspec.signal(SIGKILL);
  EXPECT_EQ(cnspec.wait().signal, SIGKILL);
  zoo.expect_nothing_left();
}

// Who may hand over files: root can make some of a stranger's, anybody else can make some that nobody reads.
TEST(Stranger, FileOfOneOrUnreadableIsRefused) {
  const Zoo zoo;
  zoo.add_pet();
  const bool root = ::geteuid() == 0;
  const fs::path path = zoo.add("bad.so", library("tame"), root ? 0755 : 0300);
  if (root) {
    ASSERT_EQ(::chown(path.c_str(), 54321, 0), 0);
  }
  const std::string said =
      root ? "the file belongs to user id 54321, expected root" : "cannot be opened: Permission denied";
  EXPECT_NE(zoo.list().out.find("! refused: " + path.string() + ": " + said + "\n"), std::string::npos)
      << zoo.list().out;
  const RunResult verify = zoo.verify(path);
  if (root) {
    EXPECT_TRUE(block(verify.out, "file").starts_with("x file          failed\n    " + said + "\n      "))
        << verify.out;
  } else {
    EXPECT_TRUE(verify.err.starts_with("x " + path.string() + " " + said + "\n")) << verify.err;
  }
  zoo.expect_that_others_work();
}

TEST(Unsigned, IsRefusedWhereASignatureIsRequired) {
  const Zoo zoo;
  const fs::path path = zoo.add("bad.so", library("constructor_crashes"));
  const std::string said =
      "is not signed, and only signed providers are trusted (trust: signed); expected bad.so.minisig beside "
      "it, by one of the trusted keys: none";
  const RunResult list = zoo.run({"--trust", "signed", "providers", "list"});
  EXPECT_NE(list.out.find("! refused: " + path.string() + ": " + said + "\n"), std::string::npos) << list.out;
  const RunResult discover = zoo.run({"--trust", "signed", "discover", "bad", "x"});
  EXPECT_NE(discover.exit_code, 0);
  EXPECT_NE(discover.err.find(said), std::string::npos) << discover.err;
  // Its author has no key of this machine's.
  const RunResult verify = zoo.run({"--trust", "signed", "providers", "verify", path.string()});
  EXPECT_EQ(verify.exit_code, 1);
  EXPECT_NE(verify.out.find(said), std::string::npos) << verify.out;
  EXPECT_EQ(verify.out.find("SIGABRT"), std::string::npos) << verify.out;
}

// A copy of the program that has more rights than whoever starts it: by its owner, or by its capabilities.
class Elevated : public testing::TestWithParam<const char*> {
 protected:
  static constexpr uid_t kOther = 65534;

  void SetUp() override {
    fs::create_directories(tree_ / "bin");
    for (const char* name : {"cnspec", "cnspec-provider-host"})
      fs::copy_file(program(name), tree_ / "bin" / name);
    fs::create_directory_symlink(fs::path(program("cnspec")).parent_path().parent_path() / "lib",
                                 tree_ / "lib");
    tree_.write("home/.config/mondoo/mondoo.yml", "api_endpoint: https://of-the-home.example.com\n", 0644);
    tree_.write("given.yml", "api_endpoint: https://of-the-variable.example.com\n", 0644);
    tree_.write("theirs/bad.so", library("tame"), 0755);
    for (const char* open : {"", "home", "home/.config", "home/.config/mondoo", "theirs"})
      fs::permissions(tree_ / open, fs::perms(0755));
  }

  RunResult run(const Argv& args, bool as_other) const {
    Argv argv;
    if (as_other) {
      const std::string id = std::to_string(kOther);
      argv = {"setpriv", "--reuid", id, "--regid", id, "--clear-groups", "--"};
    }
    argv.push_back((tree_ / "bin/cnspec").string());
    argv.insert(argv.end(), args.begin(), args.end());
    ProcessOptions options;
    options.env = User().env;
    options.env["HOME"] = (tree_ / "home").string();
    options.env["PROVIDERS_PATH"] = (tree_ / "theirs").string();
    options.env["MONDOO_CONFIG_PATH"] = (tree_ / "given.yml").string();
    options.env["MONDOO_ISOLATION"] = "none";
    options.env["ASAN_OPTIONS"] = "detect_leaks=0";  // which would need the rights of a debugger
    return test::run(argv, options);
  }

  void elevate(const std::string& how) {
    const fs::path file = tree_ / "bin/cnspec";
    if (how == "owner") {
      fs::permissions(file, fs::perms(04755));
      return;
    }
    fs::permissions(file, fs::perms(0755));
    // Reading whatever there is, permitted and effective.
    const std::uint32_t rights[] = {VFS_CAP_REVISION_2 | VFS_CAP_FLAGS_EFFECTIVE, 1u << CAP_DAC_READ_SEARCH,
                                    0, 0, 0};
    ASSERT_EQ(::setxattr(file.c_str(), "security.capability", rights, sizeof rights, 0), 0)
        << std::strerror(errno);
  }

  TempDir tree_;
};

TEST_P(Elevated, ListensToNoVariableAndToNoFolderOfTheUsers) {
  // For whoever is not: each of them counts.
  EXPECT_NE(run({"config", "show"}, false).out.find("of-the-variable"), std::string::npos);
  const RunResult ordinary = run({"providers", "list"}, false);
  EXPECT_NE(ordinary.out.find("  bad 1.0.0"), std::string::npos) << ordinary.out;
  if (::geteuid() != 0) return;  // only root can make the others, and the suite is run by root as well

  elevate(GetParam());
  const RunResult config = run({"config", "show"}, true);
  ASSERT_NE(config.err.find("elevated"), std::string::npos)
      << "nothing is elevated on this machine: is the folder for temporary files mounted nosuid, or has this "
         "process no_new_privs?\n"
      << config.out << config.err;
  EXPECT_EQ(config.out.find("of-the-"), std::string::npos) << config.out;
  EXPECT_EQ(config.err.substr(0, config.err.find('\n')),
            "! this process is elevated and does not listen to HOME, MONDOO_CONFIG_PATH, MONDOO_ISOLATION");
  const RunResult list = run({"providers", "list"}, true);
  EXPECT_EQ(list.out.find("  bad 1.0.0"), std::string::npos) << list.out;
  EXPECT_NE(list.out.find("! refused: " + (tree_ / "theirs").string() +
                          ": this process is elevated and does not listen to PROVIDERS_PATH\n"),
            std::string::npos)
      << list.out;
  // What belongs to whoever started it is no more trusted than what belongs to any other.
  ASSERT_EQ(::chown((tree_ / "theirs/bad.so").c_str(), kOther, kOther), 0);
  const RunResult given = run(
      {"--isolation", "none", "--providers-path", (tree_ / "theirs").string(), "discover", "bad", "x"}, true);
  EXPECT_NE(given.exit_code, 0) << given.out;
  EXPECT_NE(given.err.find("belongs to user id 65534, expected root"), std::string::npos) << given.err;
}

INSTANTIATE_TEST_SUITE_P(By, Elevated, testing::Values("owner", "capability"),
                         [](const auto& how) { return std::string(how.param); });

// The program beside a tripwire in the place of what starts providers.
TEST(Scale, AThousandAreListedInOrderAndNoneRuns) {
  const TempDir tree;
  fs::create_directories(tree / "bin");
  fs::copy_file(program("cnspec"), tree / "bin/cnspec");
  fs::create_directory_symlink(fs::path(program("cnspec")).parent_path().parent_path() / "lib", tree / "lib");
  tree.write("bin/cnspec-provider-host", "#!/bin/sh\necho started >> '" + (tree / "wire").string() + "'\n",
             0755);
  const std::string crashes = library("constructor_crashes");
  std::string expected;
  std::vector<std::string> names;
  for (int i = 0; i < 1000; ++i) {
    constexpr std::string_view kDigits = "0123456789abcdefghijklmnopqrstuvwxyz";
    names.push_back(
        {'x', kDigits[static_cast<std::size_t>(i) / 36], kDigits[static_cast<std::size_t>(i) % 36]});
    expected += "  " + names.back() + " 1.0.0 with connectors: " + names.back() + "  (unsigned, isolated)\n";
  }
  std::reverse(names.begin(), names.end());  // the order on the disk is another
  for (const std::string& name : names) {
    std::string bytes = crashes;
    for (const auto& [from, to] :
         {std::pair<std::string, std::string>{"example.com/bad", "example.com/" + name},
          {"\"bad\"", '"' + name + '"'},
          {"\"worse\"", "\"ww" + name + '"'}}) {
      for (auto at = bytes.find(from); at != std::string::npos; at = bytes.find(from, at + 1))
        bytes.replace(at, from.size(), to);
    }
    tree.write("providers/" + name + ".so", name == "xg0" ? bytes.substr(0, 1000) : bytes, 0755);
  }
  const std::string cut = "  xg0 1.0.0 with connectors: xg0  (unsigned, isolated)\n";
  expected.erase(expected.find(cut), cut.size());
  ProcessOptions options;
  options.env["HOME"] = tree.path().string();
  options.env["PROVIDERS_PATH"] = (tree / "providers").string();
  const RunResult list = test::run({(tree / "bin/cnspec").string(), "providers", "list"}, options);
  EXPECT_EQ(list.exit_code, 0) << list.err;
  EXPECT_NE(list.out.find("\n" + expected), std::string::npos) << list.out;
  EXPECT_NE(list.out.find("! refused: " + (tree / "providers/xg0.so").string() + ": cut off: "),
            std::string::npos);
  const RunResult help = test::run({(tree / "bin/cnspec").string(), "discover", "--help"}, options);
  EXPECT_EQ(help.exit_code, 0) << help.err;
  EXPECT_FALSE(fs::exists(tree / "wire"));
}

// The last here, since it uses up what this process has. Isolated, each has all of it for itself.
TEST(StaticTls, OfOneIsNamedWhenOthersHaveIt) {
  const TempDir folder;
  std::vector<std::unique_ptr<provider::Provider>> loaded;
  std::vector<provider::Found> found;
  std::string refused;
  std::string hint;
  for (int i = 0; i < 200 && refused.empty(); ++i) {
    const fs::path path = folder.write(std::to_string(i) + "/bad.so", library("static_tls"), 0755);
    auto one = provider::examine({}, path, provider::Origin::kFlag);
    ASSERT_TRUE(one) << one.error().message();
    found.push_back(std::move(*one));
    auto provider = provider::load_in_process(found.back(), {}, {});
    if (provider) {
      loaded.push_back(std::move(*provider));
    } else {
      refused = provider.error().message();
      hint = provider.error().hint();
    }
  }
  EXPECT_EQ(refused, "provider \"bad\": load " + found.back().path.string() +
                         ": cannot be loaded: cannot allocate memory in static TLS block");
  EXPECT_EQ(hint,
            "run it isolated, with --isolation NAME=process; its author should compile it without "
            "-ftls-model=initial-exec");
  for (const auto& provider : loaded)
    EXPECT_TRUE(provider->connect({"bad", {"x"}, {}, {}}, {})) << "those that were there go on";
  provider::IsolationPolicy policy;
  policy.host_program = program("cnspec-provider-host");
  auto isolated = provider::open_provider(found.back(), policy, {}, {});
  ASSERT_TRUE(isolated) << isolated.error().message();
  EXPECT_TRUE((*isolated)->connect({"bad", {"x"}, {}, {}}, {}));
}

}  // namespace
}  // namespace cnspec::test
