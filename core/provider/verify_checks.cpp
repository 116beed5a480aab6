// The child's half of verify: what each check does to the provider. A crash, an exit or a hang in here is the
// parent's to report.
#include <dirent.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "base/semver.hpp"
#include "base/text.hpp"
#include "provider/child.hpp"
#include "provider/elf.hpp"
#include "provider/host.hpp"
#include "provider/lower.hpp"
#include "provider/manifest.hpp"
#include "provider/sandbox.hpp"
#include "provider/schema.hpp"
#include "provider/table.hpp"
#include "provider/trusted_file.hpp"
#include "provider/verify.hpp"

namespace cnspec::provider {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// An id, an argument or a flag that nothing has.
constexpr char kNothing[] = "cnspec-verify.invalid";
// How soon a call has to return after it was cancelled.
constexpr milliseconds kGrace{2000};
constexpr milliseconds kBeforeCancel{20};
// How long threads may take to be gone after they were joined.
constexpr milliseconds kSettle{1000};
constexpr milliseconds kSlowLoad{500};
constexpr int kWarmUp = 20;
constexpr int kRounds = 1000;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

// ---- What is told to the parent ----

class Reporter {
 public:
  explicit Reporter(int pipe) : pipe_(pipe) {}

  // What comes next: named when the process does not survive it.
  void step(const std::string& what) { write("step", what, ""); }
  void failed(const std::string& what, const std::string& hint) { write("failed", what, hint); }
  void warning(const std::string& what, const std::string& hint) { write("warning", what, hint); }
  void note(const std::string& what) { write("note", what, ""); }
  void done() { write("done", "", ""); }

 private:
  void write(const char* kind, const std::string& what, const std::string& hint) {
    json::Document line(rapidjson::kObjectType);
    auto& alloc = line.GetAllocator();
    const auto add = [&](const char* key, const std::string& text) {
      constexpr std::size_t kMost = 2000;
      const std::string clean = to_utf8(text.size() > kMost ? text.substr(0, kMost) + "..." : text);
      line.AddMember(json::Value(key, alloc),
                     json::Value(clean.data(), static_cast<rapidjson::SizeType>(clean.size()), alloc), alloc);
    };
    add("kind", kind);
    add("what", what);
    add("hint", hint);
    const std::string text = json::write(line) + "\n";
    const std::lock_guard lock(mutex_);
    for (std::size_t at = 0; at < text.size();) {
      const ssize_t put = ::write(pipe_, text.data() + at, text.size() - at);
      if (put < 0 && errno == EINTR) continue;
      if (put <= 0) ::_exit(1);  // nobody listens any more
      at += static_cast<std::size_t>(put);
    }
  }

  const int pipe_;
  std::mutex mutex_;
};

// ---- What a process has ----

std::size_t entries(const char* folder) {
  std::size_t count = 0;
  DIR* dir = ::opendir(folder);
  if (!dir) return 0;
  while (const dirent* entry = ::readdir(dir)) count += entry->d_name[0] != '.';
  ::closedir(dir);
  return count;
}
std::size_t count_threads() { return entries("/proc/self/task"); }
std::size_t count_descriptors() { return entries("/proc/self/fd"); }  // one more than there are: its own

// A thread that was joined may still be on its way out.
std::size_t settled_threads(std::size_t expected) {
  const auto end = Clock::now() + kSettle;
  while (count_threads() > expected && Clock::now() < end) std::this_thread::sleep_for(milliseconds(1));
  return count_threads();
}

std::size_t bytes_in_use() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

std::string count(std::size_t number, const char* thing) {
  return std::to_string(number) + " " + thing + (number == 1 ? "" : "s");
}

// ---- The provider ----

struct Subject {
  const VerifyRequest& request;
  const Surroundings& surroundings;
  Reporter& out;
  Found found;  // from "load" on
  std::mutex mutex;
  std::vector<std::string> log;  // the host's and the provider's lines
};

std::string without_prefix(std::string text, const std::string& prefix) {
  if (text.starts_with(prefix)) text.erase(0, prefix.size());
  return text;
}

// Without the provider's name, which is known.
std::string said(const Subject& subject, const Error& error) {
  std::string message = without_prefix(error.message(), "provider \"" + subject.found.manifest.name + "\": ");
  return without_prefix(std::move(message), "load " + printable(subject.found.path.string()) + ": ");
}

// With the log kept instead of shown.
Services services_of(Subject& subject, bool with_network) {
  Services out;
  if (with_network) out.http = subject.surroundings.services.http;
  out.log = [&subject](log::Level, std::string_view line) {
    constexpr std::size_t kMost = 1000;
    const std::lock_guard lock(subject.mutex);
    if (subject.log.size() < kMost) subject.log.emplace_back(line);
  };
  return out;
}

// Whatever was asked of it, a provider that fails has to say why.
bool silent(const Error& error) {
  return error.message().find("failed without saying why") != std::string::npos;
}

const char kSayWhy[] =
    "Before returning a code, call set_error with one sentence: what failed, on what, why.";
const char kRule[] = "Send what provider.yaml declares, or declare what is sent; provider.h has the rules.";

// A failure that is allowed as such; false when the way it failed is not.
bool well_failed(Subject& subject, const Error& error) {
  if (silent(error)) {
    subject.out.failed(said(subject, error), kSayWhy);
    return false;
  }
  if (error.kind() == ErrorKind::kInvalid) {
    subject.out.failed(said(subject, error), kRule);
    return false;
  }
  return true;
}

// It said that it does not do what was asked: an answer, and no mistake.
bool unsupported(const Error& error) { return error.status() == kUnimplemented; }

// What can be done about a failure that may be the system's.
std::string hint_of(const Error& error) {
  if (!error.hint().empty()) return error.hint();
  return unsupported(error) ? "It does not do that here (CNSPEC_UNSUPPORTED): name a system where it does."
                            : "Mend it, or name a system where it works.";
}

// A value of the flag's type, for a flag that has to be there.
Value placeholder(const manifest::Flag& flag) {
  if (flag.type == "bool") return Value(true);
  if (flag.type == "int") return Value(1);
  if (flag.type == "list") return Value(std::vector<std::string>{kNothing});
  if (flag.type == "map") return Value(Value::Map{{kNothing, Value(kNothing)}});
  return Value(kNothing);
}

// What is connected to: what the author named, or else each connector with words that mean nothing.
std::vector<ConnectRequest> targets(const Subject& subject) {
  if (subject.request.target) return {*subject.request.target};
  std::vector<ConnectRequest> out;
  for (const auto& connector : subject.found.manifest.connectors) {
    ConnectRequest request;
    request.connector = connector.name;
    request.args.assign(static_cast<std::size_t>(connector.min_args), kNothing);
    for (const auto& flag : connector.flags) {
      if (!flag.required || !flag.default_value.empty()) continue;
      if (flag.secret)
        request.secrets[flag.name] = kNothing;
      else
        request.flags[flag.name] = placeholder(flag);
    }
    out.push_back(std::move(request));
  }
  return out;
}

// Those that can be asked for without knowing what to say.
bool needs_arguments(const manifest::Resource& resource) {
  return std::ranges::any_of(resource.args, [](const auto& arg) { return arg.required; });
}

Limits limits_from_now(milliseconds from_now) {
  Limits out;
  out.deadline = Clock::now() + from_now;
  return out;
}

constexpr milliseconds kCall{60'000};  // longer than any check may take

// Opens; the finding is the caller's, since only "open" is about that.
std::unique_ptr<Provider> open_quietly(Subject& subject, bool with_network) {
  subject.out.step("open");
  auto provider = load_in_process(subject.found, services_of(subject, with_network), limits_from_now(kCall));
  if (provider) return std::move(*provider);
  subject.out.failed(said(subject, provider.error()), "open has to work again after close.");
  return nullptr;
}

// The connections that can be made. That the one which the author named cannot be is for "behaviour" to say.
std::vector<std::unique_ptr<Connection>> connect_all(Subject& subject, Provider& provider) {
  std::vector<std::unique_ptr<Connection>> out;
  for (const ConnectRequest& target : targets(subject)) {
    subject.out.step("connect " + target.connector);
    auto connection = provider.connect(target, limits_from_now(kCall));
    if (connection) {
      out.push_back(std::move(*connection));
    } else if (subject.request.target) {
      subject.out.note("not connected, see \"behaviour\"");
    }
  }
  if (out.empty() && !subject.request.target)
    subject.out.note("nothing could be connected to: name a connector and its arguments for the whole of it");
  return out;
}

// ---- file and manifest ----

// The manifest's bytes, as discovery reads them.
Result<std::string> read_section(const std::filesystem::path& path) {
  PermissionChecker permissions;
  if (auto good = permissions.check_folder(path.parent_path()); !good) return fail(good.error());
  auto file = permissions.open(path);
  if (!file) return fail(file.error());
  return read_elf_section(file->fd(), file->size(), CNSPEC_MANIFEST_SECTION);
}

// For a file that cannot be taken for a provider.
std::string hint_for_file(const Error& error) {
  if (!error.hint().empty()) return error.hint();
  if (error.message().starts_with("cannot be opened") || error.kind() != ErrorKind::kInvalid)
    return "Name a file that is there, that you may read, and that belongs to you or to root.";
  return "Build it with cnspec_add_provider of the CMake package cnspec, for this machine.";
}

void check_file(Subject& subject) {
  const auto& path = subject.request.file;
  const auto section = read_section(path);
  if (!section) return subject.out.failed(section.error().message(), hint_for_file(section.error()));
  constexpr std::uint64_t kLarge = 64ull << 20;
  std::error_code failed;
  if (const auto size = std::filesystem::file_size(path, failed); !failed && size > kLarge) {
    subject.out.warning(
        "has " + std::to_string(size >> 20) + " MiB",
        "Link with -Wl,--gc-sections, use the shared libstdc++, and strip what is for debugging.");
  }
}

void check_manifest(Subject& subject) {
  const auto section = read_section(subject.request.file);
  if (!section) return subject.out.failed(section.error().message(), hint_for_file(section.error()));
  const auto read = read_manifest(*section);
  if (!read) {
    return subject.out.failed(
        read.error().message(),
        "Make it from provider.yaml with cnspec-manifest, as cnspec_add_provider does.");
  }
  const Manifest& manifest = *read;
  const std::string expected = manifest.name + ".so";
  if (subject.request.file.filename() != expected) {
    subject.out.warning("the file is called " + printable(subject.request.file.filename().string()) +
                            ", its provider " + manifest.name,
                        "Call it " + expected + ": that is what is installed and listed.");
  }
  if (manifest.summary.empty())
    subject.out.warning("has no summary", "Say in provider.yaml, in one line, what it reaches.");
  if (manifest.connectors.empty())
    subject.out.warning("has no connectors", "Without one nobody can connect: add it to provider.yaml.");
  std::vector<std::string> undocumented;
  for (const auto& resource : manifest.resources) {
    if (resource.doc.empty()) undocumented.push_back(resource.name);
    for (const auto& field : resource.fields) {
      if (field.doc.empty()) undocumented.push_back(resource.name + "." + field.name);
    }
  }
  if (!undocumented.empty()) {
    const std::size_t total = undocumented.size();
    constexpr std::size_t kShown = 5;
    if (undocumented.size() > kShown) undocumented.resize(kShown);
    subject.out.warning("does not say what " + count(total, "resource or field") +
                            " means: " + join(undocumented, ", ") + (total > kShown ? ", ..." : ""),
                        "Give each a doc in provider.yaml: users and completion show it.");
  }
  const auto holds = [](const std::vector<std::string>& list, const char* word) {
    return std::ranges::find(list, word) != list.end();
  };
  if (holds(manifest.capabilities.network, "*")) {
    subject.out.warning("asks for every host of the network",
                        "Name the hosts under capabilities: network, so that users can see where it goes.");
  }
  if (holds(manifest.capabilities.files, "/")) {
    subject.out.warning("asks for every file",
                        "Name the folders under capabilities: files, so that users can see what it reads.");
  }
}

// ---- load and abi ----

// What the loaded library's own tables say. They are the loader's by now, so they are believed.
struct Dynamic {
  std::vector<std::string> needed;
  std::vector<std::string> exported;
  std::string search_path;  // RPATH or RUNPATH
  bool static_tls = false;
  bool text_relocations = false;
};

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
    subject.out.failed(error.message(), error.hint().empty()
                                            ? "Link the library that has what is missing, with "
                                              "-z defs so that the build finds out."
                                            : error.hint());
    return nullptr;
  }
  subject.out.step("");
  return library;
}

// On every system that cnspec runs on. The names of sanitizers are those of a build for tests.
bool is_everywhere(std::string_view library) {
  for (const char* known :
       {"libc.so", "libm.so", "libdl.so", "librt.so", "libpthread.so", "libgcc_s.so", "libstdc++.so",
        "ld-linux", "ld64.so", "libasan.so", "libtsan.so", "libubsan.so"}) {
    if (library.starts_with(known)) return true;
  }
  return false;
}

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

// What linkers of some ages export by themselves.
bool is_the_linkers(std::string_view symbol) {
  constexpr std::array kNames = {"_init", "_fini", "_edata", "_end", "__bss_start", "__end__"};
  return std::ranges::find(kNames, symbol) != kNames.end();
}

void check_exports(Subject& subject, void* library) {
  link_map* map = nullptr;
  if (::dlinfo(library, RTLD_DI_LINKMAP, &map) != 0) return;
  std::vector<std::string> extra;
  for (const std::string& symbol : dynamic_of(*map).exported) {
    if (!symbol.starts_with("cnspec_provider_entry_v") && !is_the_linkers(symbol) &&
        !symbol.starts_with("__asan") && !symbol.starts_with("__odr_asan"))
      extra.push_back(printable(symbol));
  }
  if (extra.empty()) return;
  const std::size_t total = extra.size();
  constexpr std::size_t kShown = 5;
  if (total > kShown) extra.resize(kShown);
  subject.out.failed("exports " + count(total, "symbol") + " besides its entry function: " +
                         join(extra, ", ") + (total > kShown ? ", ..." : ""),
                     "Compile with -fvisibility=hidden and link with the version script provider.map.");
}

void check_extensions(Subject& subject, const cnspec_provider_v1& table) {
  if (!table.extension) return;
  subject.out.step("extension");
  const auto ask = [&](std::string_view id) { return table.extension(to_abi(id)); };
  const char* hint = "Compare the whole id, by its length: return NULL for every other, to the last byte.";
  for (const char* id : {"", "cnspec.nonsense/1", "x"}) {
    if (ask(id)) subject.out.failed("has an extension \"" + std::string(id) + "\", which there is not", hint);
  }
  for (const std::string id : {"cnspec.discovery/1"}) {
    // The text goes on behind the end of the id, as it does in memory that holds more than that.
    if (!ask(id)) continue;
    if (ask(id + "x") || ask(id + "0") || ask(id + std::string("\0", 1)))
      subject.out.failed("has the extension \"" + id + "\" also with garbage behind its id", hint);
    if (ask(std::string_view(id).substr(0, id.size() - 1)))
      subject.out.failed("has the extension \"" + id + "\" also by a part of its id", hint);
  }
}

void check_abi(Subject& subject) {
  const auto section = read_section(subject.request.file);
  if (!section) return subject.out.failed(section.error().message(), hint_for_file(section.error()));
  void* library = map(subject);
  if (!library) return;
  auto entry = find_entry(library);
  if (!entry) {
    return subject.out.failed(entry.error().message(),
                              "Export it: with CNSPEC_PROVIDER(...) in C++, with CNSPEC_EXPORT in C.");
  }
  subject.out.step(CNSPEC_PROVIDER_ENTRY_V1);
  const cnspec_provider_v1* raw = (*entry)(CNSPEC_ABI_MINOR);
  auto table = read_table(raw, *section);
  if (!table) {
    return subject.out.failed(table.error().message(),
                              "Let the entry function return a constant table as provider.h declares it.");
  }
  // What a provider of today has to know about the hosts of tomorrow: nothing.
  for (const std::uint32_t minor : {CNSPEC_ABI_MINOR, CNSPEC_ABI_MINOR + 1, UINT32_MAX}) {
    if ((*entry)(minor) == raw) continue;
    subject.out.failed(minor == CNSPEC_ABI_MINOR
                           ? "its entry function returns another table each time"
                           : "its entry function does not return its table to a newer host (minor version " +
                                 std::to_string(minor) + ")",
                       "Return the same constant table always: newer hosts speak older versions.");
    break;
  }
  if (table->abi_minor != static_cast<std::uint32_t>(subject.found.manifest.abi_minor)) {
    subject.out.failed("its table speaks ABI 1." + std::to_string(table->abi_minor) +
                           ", its manifest says 1." + std::to_string(subject.found.manifest.abi_minor),
                       "Build the manifest and the code with the same version of the SDK.");
  }
  if (table->abi_minor > CNSPEC_ABI_MINOR) {
    subject.out.note("it was built for ABI 1." + std::to_string(table->abi_minor) +
                     "; this cnspec speaks 1." + std::to_string(CNSPEC_ABI_MINOR));
  }
  check_extensions(subject, *table);
  subject.out.step("");
  check_exports(subject, library);
}

// ---- open ----

void check_open(Subject& subject) {
  for (const char* step : {"open", "open (after close)"}) {
    subject.out.step(step);
    auto provider = load_in_process(subject.found, services_of(subject, true), limits_from_now(kCall));
    if (!provider) {
      const bool why = !silent(provider.error());
      return subject.out.failed(
          said(subject, provider.error()),
          why ? "open makes the instance and needs nothing from outside: move what can fail to connect."
              : kSayWhy);
    }
    subject.out.step("close");
  }
}

// ---- behaviour ----

void check_connection(Subject& subject, Connection& connection) {
  subject.out.step("identify");
  const auto asset = connection.identify(limits_from_now(kCall));
  if (!asset) {
    if (well_failed(subject, asset.error()) && subject.request.target)
      subject.out.failed(said(subject, asset.error()), hint_of(asset.error()));
  } else {
    std::vector<std::string> missing;
    for (const char* field : {"name", "platform"}) {
      if (asset->text(field).empty()) missing.emplace_back(field);
    }
    if (!missing.empty()) {
      subject.out.warning("identify sends no " + join(missing, " and no "),
                          "Say what was connected to: reports begin with it.");
    }
  }
  // Whoever asks for what is not there gets no rows, or is told so.
  for (const auto& resource : subject.found.manifest.resources) {
    subject.out.step("fetch " + resource.name + " of an unknown id");
    const auto rows = connection.fetch({resource.name, kNothing, {}, {}}, limits_from_now(kCall));
    if (!rows) well_failed(subject, rows.error());
  }
}

void check_behaviour(Subject& subject) {
  const auto provider = open_quietly(subject, true);
  if (!provider) return;
  bool connected = false;
  for (const ConnectRequest& target : targets(subject)) {
    subject.out.step("connect " + target.connector);
    auto connection = provider->connect(target, limits_from_now(kCall));
    if (!connection) {
      if (well_failed(subject, connection.error()) && subject.request.target)
        subject.out.failed(said(subject, connection.error()), hint_of(connection.error()));
      continue;
    }
    connected = true;
    check_connection(subject, **connection);
    subject.out.step("disconnect");
  }
  if (!connected && !subject.request.target)
    subject.out.note("nothing could be connected to: name a connector and its arguments for the whole of it");
  subject.out.step("close");
}

// ---- threads ----

template <class Work>
void on_another_thread(Work&& work) {
  std::thread(std::forward<Work>(work)).join();
}

void check_threads(Subject& subject) {
  const auto before = count_threads();
  {
    const auto provider = open_quietly(subject, false);
    if (!provider) return;
    auto connections = connect_all(subject, *provider);
    for (auto& connection : connections) {
      // Calls come from different threads, one after the other.
      for (int i = 0; i < 2; ++i) {
        subject.out.step("identify on another thread");
        on_another_thread([&] {
          const auto asset = connection->identify(limits_from_now(kCall));
          if (!asset) well_failed(subject, asset.error());
        });
      }
      if (subject.found.manifest.threads_many) {
        subject.out.step("identify on four threads at the same time");
        std::vector<std::thread> threads;
        for (int i = 0; i < 4; ++i) {
          threads.emplace_back([&] {
            const auto asset = connection->identify(limits_from_now(kCall));
            if (!asset) well_failed(subject, asset.error());
          });
        }
        for (auto& thread : threads) thread.join();
      }
    }
    subject.out.step("disconnect");
    connections.clear();
    subject.out.step("close");
  }
  subject.out.step("");
  if (const auto after = settled_threads(before); after > before) {
    subject.out.failed(count(after - before, "thread") +
                           (after - before == 1 ? " still runs" : " still run") + " after close",
                       "Join in close every thread that the provider started.");
  }
}

// ---- leaks ----

struct Usage {
  std::size_t memory = bytes_in_use();
  std::size_t descriptors = count_descriptors();
  std::size_t threads = count_threads();
};

// False when something was left behind: more of it would only end in an error of another kind.
bool check_growth(Subject& subject, const Usage& before, int rounds, const char* what) {
  const Usage now;
  bool good = true;
  const auto growth = [&](std::size_t was, std::size_t is, const char* thing, const char* hint) {
    if (is <= was) return;
    good = false;
    subject.out.failed(count(is - was, thing) + " left by " + std::to_string(rounds) + " times " + what,
                       hint);
  };
  growth(before.descriptors, now.descriptors, "descriptor", "Close in close what open opened.");
  growth(before.threads, settled_threads(before.threads), "thread", "Join in close what open started.");
  // Less than this is the allocator's own, and what is made once.
  const auto tolerated = before.memory + static_cast<std::size_t>(rounds) * 8;
  if (good && rounds == kRounds && !kSanitized && now.memory > tolerated) {
    growth(before.memory, now.memory, "byte", "Free in close what open allocated.");
  }
  return good;
}

void check_leaks(Subject& subject) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  if (kSanitized) subject.out.note("memory is not counted: this cnspec was built with a sanitizer");
  Services services;
  services.log = [](log::Level, std::string_view) {};  // kept, it would count
  const auto round = [&](bool connect) {
    auto provider = load_in_process(subject.found, services, limits_from_now(kCall));
    if (!provider) {
      subject.out.failed(said(subject, provider.error()), "open has to work again after close.");
      return false;
    }
    if (connect) {
      for (const ConnectRequest& target : targets(subject))
        (void)(*provider)->connect(target, limits_from_now(kCall));
    }
    return true;
  };
  const auto rounds = [&](const char* what, bool connect) {
    subject.out.step(std::string(what) + " 1,000 times");
    for (int i = 0; i < kWarmUp; ++i) {
      if (!round(connect)) return false;
    }
    const Usage before;
    for (int i = 1; i <= kRounds; ++i) {
      if (!round(connect)) return false;
      // Soon, for what would run into a limit.
      if ((i == kWarmUp || i == kRounds) && !check_growth(subject, before, i, what)) return false;
    }
    return true;
  };
  if (rounds("open and close", false)) rounds("connect and disconnect", true);
}

// ---- cancellation ----

// Cancels the call after a while, unless it has returned.
class Canceller {
 public:
  explicit Canceller(milliseconds after) {
    thread_ = std::thread([this, after] {
      std::this_thread::sleep_for(after);
      at_ = Clock::now();
      *flag_ = true;
    });
  }
  ~Canceller() {
    if (thread_.joinable()) thread_.join();
  }
  Limits limits() const {
    Limits out = limits_from_now(kCall);
    out.cancelled = flag_;
    return out;
  }
  // How long ago it was; call it when the call has returned.
  milliseconds since() {
    thread_.join();
    return std::chrono::duration_cast<milliseconds>(Clock::now() - at_);
  }

 private:
  std::shared_ptr<std::atomic<bool>> flag_ = std::make_shared<std::atomic<bool>>(false);
  Clock::time_point at_;
  std::thread thread_;
};

void judge_delay(Subject& subject, const std::string& call, const char* what, milliseconds delay) {
  if (delay <= kGrace) return;
  subject.out.failed(
      call + " returned " + std::to_string(delay.count()) + " ms after " + what + ", expected within " +
          std::to_string(kGrace.count()) + " ms",
      "Poll cancelled() while it works, and return when the sink answers anything but CONTINUE.");
}

void check_cancellation(Subject& subject) {
  const auto provider = open_quietly(subject, true);
  if (!provider) return;
  // `call` ignores what it is told: what counts is when it returns.
  const auto try_call = [&](const std::string& name, const std::function<void(const Limits&)>& call) {
    subject.out.step(name + " (cancelled before it began)");
    {
      Limits limits;
      limits.cancelled = std::make_shared<std::atomic<bool>>(true);
      const auto start = Clock::now();
      call(limits);
      judge_delay(subject, name, "it began cancelled",
                  std::chrono::duration_cast<milliseconds>(Clock::now() - start));
    }
    subject.out.step(name + " (cancelled after " + std::to_string(kBeforeCancel.count()) + " ms)");
    {
      Canceller canceller(kBeforeCancel);
      call(canceller.limits());
      judge_delay(subject, name, "it was cancelled", canceller.since());
    }
    subject.out.step(name + " (with a deadline of " + std::to_string(kBeforeCancel.count()) + " ms)");
    const auto limits = limits_from_now(kBeforeCancel);
    call(limits);
    judge_delay(subject, name, "its deadline",
                std::chrono::duration_cast<milliseconds>(Clock::now() - limits.deadline));
  };
  for (const ConnectRequest& target : targets(subject)) {
    try_call("connect " + target.connector,
             [&](const Limits& limits) { (void)provider->connect(target, limits); });
  }
  for (const auto& connection : connect_all(subject, *provider)) {
    try_call("identify", [&](const Limits& limits) { (void)connection->identify(limits); });
    for (const auto& resource : subject.found.manifest.resources) {
      if (needs_arguments(resource)) continue;
      std::vector<std::string> fields;
      for (const auto& field : resource.fields) fields.push_back(field.name);
      try_call("fetch " + resource.name, [&](const Limits& limits) {
        (void)connection->fetch({resource.name, "", fields, {}}, limits);
      });
    }
  }
  subject.out.step("close");
}

// ---- handles ----

void check_handles(Subject& subject) {
  {
    const auto provider = open_quietly(subject, true);
    if (!provider) return;
    const auto connections = connect_all(subject, *provider);
    // Twice: what was kept of one call is used in the next.
    for (int i = 0; i < 2; ++i) {
      for (const auto& connection : connections) {
        subject.out.step("identify");
        (void)connection->identify(limits_from_now(kCall));
        for (const auto& resource : subject.found.manifest.resources) {
          subject.out.step("fetch " + resource.name);
          (void)connection->fetch({resource.name, needs_arguments(resource) ? kNothing : "", {}, {}},
                                  limits_from_now(kCall));
        }
      }
    }
    // For threads of the provider's own.
    std::this_thread::sleep_for(milliseconds(100));
    subject.out.step("close");
  }
  const std::lock_guard lock(subject.mutex);
  std::set<std::string> seen;
  for (const std::string& line : subject.log) {
    if (line.find("with the handle of a call that is over") == std::string::npos) continue;
    const std::string what = said(subject, Error(line));
    if (seen.insert(what).second) {
      subject.out.failed(
          what,
          "Keep no cnspec_call and no cnspec_sink: each dies when its call returns. Only log may "
          "be called at any time.");
    }
  }
}

// ---- fetch and isolation ----

using Rows = std::map<std::string, Result<std::vector<Row>>>;  // by resource

std::vector<std::string> fields_of(const Manifest& manifest, const manifest::Resource& resource) {
  const manifest::Resource* rows = resource.list.empty() ? &resource : manifest.resource(resource.list);
  std::vector<std::string> out;
  for (const auto& field : rows->fields) out.push_back(field.name);
  return out;
}

// Everything that can be asked for without knowing more.
Rows fetch_all(Subject& subject, Connection& connection, const std::string& where) {
  Rows out;
  for (const auto& resource : subject.found.manifest.resources) {
    if (needs_arguments(resource)) continue;
    subject.out.step("fetch " + resource.name + where);
    out.emplace(resource.name,
                connection.fetch({resource.name, "", fields_of(subject.found.manifest, resource), {}},
                                 limits_from_now(kCall)));
  }
  return out;
}

void judge_rows(Subject& subject, const manifest::Resource& resource, const std::vector<Row>& rows) {
  std::set<std::pair<std::string, std::string>> ids;
  bool twice = false;
  std::map<std::string, std::size_t> missing;
  std::map<std::string, std::pair<std::size_t, const Value*>> errors;  // how many, and the first
  for (const Row& row : rows) {
    if (!ids.emplace(row.type, row.id).second && !std::exchange(twice, true)) {
      subject.out.failed("fetch " + resource.name + ": sent two rows of the id \"" + printable(row.id) + "\"",
                         "Give each instance an id of its own, which stays the same between runs.");
    }
    for (const std::string& field : fields_of(subject.found.manifest, resource)) {
      const Value* value = row.find(field);
      if (!value) ++missing[field];
      if (value && value->is_error()) {
        auto& [times, first] = errors[field];
        if (times++ == 0) first = value;
      }
    }
  }
  for (const auto& [field, times] : missing) {
    subject.out.warning("fetch " + resource.name + ": did not send the field \"" + field + "\" of " +
                            count(times, "row") + ", though it was asked for",
                        "Send it, or null where there is none, or an error where it could not be had.");
  }
  for (const auto& [field, seen] : errors) {
    if (seen.first < rows.size()) continue;  // of some, it is the system's doing
    subject.out.warning("fetch " + resource.name + ": the field \"" + field + "\" is an error in " +
                            (rows.size() == 1 ? "" : "all ") + count(rows.size(), "row") + ": " +
                            printable(seen.second->text()),
                        "See that it can be had somewhere: verify with another system as well.");
  }
}

// One instance asked for by its id is the one that was in the list.
void judge_by_id(Subject& subject, Connection& connection, const manifest::Resource& resource,
                 const Row& row) {
  if (resource.name != row.type) return;
  subject.out.step("fetch " + resource.name + " by its id");
  const auto rows = connection.fetch({resource.name, row.id, {}, {}}, limits_from_now(kCall));
  if (!rows) {
    if (well_failed(subject, rows.error())) {
      subject.out.failed("fetch " + resource.name + " by the id \"" + printable(row.id) +
                             "\", which it sent: " + said(subject, rows.error()),
                         "Answer for every id that was sent.");
    }
    return;
  }
  const bool found = std::ranges::any_of(*rows, [&](const Row& r) { return r.id == row.id; });
  if (!found || rows->size() != 1) {
    subject.out.failed("fetch " + resource.name + " by the id \"" + printable(row.id) +
                           "\", which it sent: " + count(rows->size(), "row") +
                           (found ? ", expected that one alone" : ", not that one"),
                       "Send the instance that was asked for, and no other.");
  }
}

void check_fetch(Subject& subject) {
  const auto provider = open_quietly(subject, true);
  if (!provider) return;
  const auto connections = connect_all(subject, *provider);
  if (connections.empty())
    return subject.out.failed("nothing was fetched",
                              "Mend what \"behaviour\" says, or name other arguments.");
  Connection& connection = *connections.front();
  std::size_t rows_seen = 0;
  std::vector<std::string> notes;
  std::vector<std::string> with_arguments;
  for (const auto& [name, rows] : fetch_all(subject, connection, "")) {
    const manifest::Resource& resource = *subject.found.manifest.resource(name);
    if (!rows) {
      if (!well_failed(subject, rows.error())) continue;
      // There is no "all" of everything, and not everything is there everywhere.
      if (rows.error().kind() == ErrorKind::kUsage || unsupported(rows.error()))
        notes.push_back(
            name + " not fetched: " + without_prefix(said(subject, rows.error()), "fetch " + name + ": "));
      else
        subject.out.warning(said(subject, rows.error()), hint_of(rows.error()));
      continue;
    }
    rows_seen += rows->size();
    judge_rows(subject, resource, *rows);
    if (!rows->empty()) judge_by_id(subject, connection, resource, rows->front());
  }
  for (const auto& resource : subject.found.manifest.resources) {
    if (needs_arguments(resource)) with_arguments.push_back(resource.name);
  }
  if (!with_arguments.empty())
    notes.push_back("not fetched, since they need arguments: " + join(with_arguments, ", "));
  subject.out.note(count(rows_seen, "row") + " fetched");
  for (const std::string& note : notes) subject.out.note(note);
  subject.out.step("close");
}

std::string shown(const Value* value) {
  if (!value) return "nothing";
  if (value->is_null()) return "null";
  if (value->is_error()) return "the error \"" + printable(value->text()) + '"';
  constexpr std::size_t kMost = 60;
  std::string text = to_text(*value);
  if (text.size() > kMost) text = text.substr(0, kMost) + "...";
  return spelled_type(*value) + " " + printable(text);
}

bool same(const Value* a, const Value* b) {
  if (!a || !b) return a == b;
  return a->type == b->type && to_text(*a) == to_text(*b);
}

using ById = std::map<std::pair<std::string, std::string>, const Row*>;
ById by_id(const std::vector<Row>& rows) {
  ById out;
  for (const Row& row : rows) out.emplace(std::pair(row.type, row.id), &row);
  return out;
}

const char kCapability[] =
    "Declare under capabilities in provider.yaml what it reaches: files, env, exec, and hosts by http.";

const char kSaidSo[] =
    "Users read that error. Where a capability would spare them it, declare that in provider.yaml.";
const char kUnlessSaid[] =
    "Declare under capabilities in provider.yaml what it reaches: files, env, exec, and hosts by http. Where "
    "that is not possible, send an error for the field.";

// What the sandbox said that it withheld, to go behind a difference that it may explain.
std::string refusals(Subject& subject) {
  const std::lock_guard lock(subject.mutex);
  std::set<std::string> out;
  for (const std::string& line : subject.log) {
    if (const auto at = line.find(kSandboxLine); at != std::string::npos) out.insert(line.substr(at));
  }
  return out.empty() ? "" : "; " + join({out.begin(), out.end()}, "; ");
}

// `again` is a second time in this process: what differs there changes by itself.
void compare(Subject& subject, const std::string& name, const Result<std::vector<Row>>& here,
             const Result<std::vector<Row>>& isolated, const Result<std::vector<Row>>& again) {
  if (!here || !again) return;  // "fetch" says so
  if (!isolated) {
    const std::string& hint = isolated.error().hint();
    return subject.out.failed("isolated: " + said(subject, isolated.error()) + "; it works in-process",
                              hint.empty() ? kCapability : hint);
  }
  const ById a = by_id(*here);
  const ById b = by_id(*isolated);
  const ById c = by_id(*again);
  const auto lacks = [](const ById& one, const ById& other) {
    return std::ranges::count_if(one, [&](const auto& e) { return !other.contains(e.first); });
  };
  if ((lacks(a, b) || lacks(b, a)) && !lacks(a, c) && !lacks(c, a)) {
    subject.out.failed("fetch " + name + ": " + count(a.size(), "row") + " in-process, " +
                           std::to_string(b.size()) + " isolated",
                       kCapability);
    return;
  }
  std::set<std::string> told;  // of the first row alone
  for (const auto& [key, row] : a) {
    const auto other = b.find(key);
    const auto third = c.find(key);
    if (other == b.end() || third == c.end()) continue;
    for (std::size_t i = 0; i < row->size(); ++i) {
      const std::string& field = row->name(i);
      const Value* isolated_value = other->second->find(field);
      if (same(&row->value(i), isolated_value) || !same(&row->value(i), third->second->find(field))) continue;
      const std::string what = "field \"" + field + "\" of " + name + " \"" + printable(key.second) +
                               "\": " + shown(&row->value(i)) + " in-process, " + shown(isolated_value) +
                               " isolated";
      // Whoever says that it could not be had misleads nobody.
      if (isolated_value && isolated_value->is_error() && !row->value(i).is_error()) {
        if (told.insert(field).second) subject.out.warning(what + refusals(subject), kSaidSo);
        continue;
      }
      subject.out.failed(what + refusals(subject), kUnlessSaid);
      return;  // one for each resource: others are like it
    }
  }
}

// The same calls in a process of its own, where it has nothing but what its manifest names.
void check_isolation(Subject& subject) {
  IsolationPolicy policy = subject.surroundings.isolation;
  policy.flags = {{subject.found.manifest.name, Isolation::kProcess}};
  subject.out.step("open (isolated)");
  auto isolated = open_provider(subject.found, policy, services_of(subject, true), limits_from_now(kCall));
  if (!isolated) {
    return subject.out.failed("isolated: " + said(subject, isolated.error()),
                              isolated.error().hint().empty() ? kCapability : isolated.error().hint());
  }
  const auto here = open_quietly(subject, true);
  if (!here) return;
  bool compared = false;
  for (const ConnectRequest& target : targets(subject)) {
    subject.out.step("connect " + target.connector);
    auto local = here->connect(target, limits_from_now(kCall));
    subject.out.step("connect " + target.connector + " (isolated)");
    auto remote = (*isolated)->connect(target, limits_from_now(kCall));
    if (!local && !remote) continue;
    compared = true;
    if (!remote || !local) {
      const Error& error = remote ? local.error() : remote.error();
      subject.out.failed((remote ? "in-process: " : "isolated: ") + said(subject, error) + "; it works " +
                             (remote ? "isolated" : "in-process"),
                         error.hint().empty() ? kCapability : error.hint());
      continue;
    }
    subject.out.step("identify");
    const auto a = (*local)->identify(limits_from_now(kCall));
    const auto c = (*local)->identify(limits_from_now(kCall));
    subject.out.step("identify (isolated)");
    const auto b = (*remote)->identify(limits_from_now(kCall));
    const auto one = [](const Result<Row>& row) -> Result<std::vector<Row>> {
      if (!row) return fail(row.error());
      return std::vector<Row>{*row};
    };
    compare(subject, "asset", one(a), one(b), one(c));
    if (!subject.request.target) continue;
    const Rows first = fetch_all(subject, **local, "");
    const Rows second = fetch_all(subject, **remote, " (isolated)");
    const Rows third = fetch_all(subject, **local, "");
    for (const auto& [name, rows] : first) compare(subject, name, rows, second.at(name), third.at(name));
  }
  if (!compared) {
    subject.out.note(std::string("only open was compared: ") + (subject.request.target
                                                                    ? "not connected, see \"behaviour\""
                                                                    : "nothing could be connected to"));
  }
  subject.out.step("close");
}

struct Named {
  std::string_view name;
  void (*run)(Subject&);
};
constexpr Named kChecks[] = {
    {"file", check_file},       {"manifest", check_manifest},   {"load", check_load},
    {"abi", check_abi},         {"open", check_open},           {"behaviour", check_behaviour},
    {"threads", check_threads}, {"leaks", check_leaks},         {"cancellation", check_cancellation},
    {"handles", check_handles}, {"isolation", check_isolation}, {"fetch", check_fetch}};

}  // namespace

void run_check(std::string_view check, const VerifyRequest& request, const Surroundings& surroundings,
               int pipe) {
  crash_plainly();
  Reporter out(pipe);
  Subject subject{request, surroundings, out, {}, {}, {}};
  const auto* const known = std::ranges::find(kChecks, check, &Named::name);
  if (known == std::end(kChecks)) return;
  if (check != "file" && check != "manifest") {
    auto found = examine(surroundings.search, request.file, request.origin);
    if (!found) {
      out.failed(found.error().message(), hint_for_file(found.error()));
      return out.done();
    }
    subject.found = std::move(*found);
  }
  known->run(subject);
  out.done();
}

}  // namespace cnspec::provider
