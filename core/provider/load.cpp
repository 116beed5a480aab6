// From a file to a provider in this process.

#include <dlfcn.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>

#define BOOST_DLL_USE_STD_FS
#include <boost/dll/shared_library.hpp>

#include "base/text.hpp"
#include "provider/elf.hpp"
#include "provider/host.hpp"
#include "provider/provider.hpp"
#include "provider/request.hpp"
#include "provider/sink.hpp"
#include "provider/table.hpp"
#include "provider/trust.hpp"

namespace cnspec::provider {
namespace {

namespace dll = boost::dll;

tl::unexpected<Error> refuse(std::string what) { return fail(std::move(what), ErrorKind::kInvalid); }

// A library stays until the process ends: its threads, exit handlers and unique symbols may outlive every
// use.
struct Library {
  dll::shared_library file;
  std::unique_ptr<Host> host;
  bool open = false;  // a library makes one instance at a time
};

struct Libraries {
  std::mutex mutex;
  std::vector<std::unique_ptr<Library>> all;
};

Libraries& libraries() {
  static Libraries& loaded = *new Libraries;  // never destroyed, so never closed
  return loaded;
}

// The library of this file: mapped now, or before.
Result<Library*> map_library(const TrustedFile& file, const Manifest& manifest) {
  std::error_code failed;
  dll::shared_library loaded;
  loaded.load(file.path(), dll::load_mode::rtld_now | dll::load_mode::rtld_local, failed);
  if (failed) return fail(loader_error(file.path()));

  auto& all = libraries().all;
  const auto known = std::find_if(
      all.begin(), all.end(), [&](const auto& library) { return library->file.native() == loaded.native(); });
  if (known != all.end()) return known->get();
  auto library = std::make_unique<Library>();
  library->file = std::move(loaded);
  library->host = std::make_unique<Host>(manifest.name);
  return all.emplace_back(std::move(library)).get();
}

// The one instance of a loaded provider, kept open by everything that uses it.
class Instance {
 public:
  Instance(Library& library, const cnspec_provider_v1& table, Manifest manifest)
      : library_(library), table_(table), manifest_(std::move(manifest)) {}
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  ~Instance() {
    if (opened_) table_.close(self_);
    host().serve(nullptr);
    const std::lock_guard lock(libraries().mutex);
    library_.open = false;
  }

  Result<void> open(Services services, const Limits& limits) {
    host().serve(std::make_shared<const Services>(std::move(services)));
    Call call(host(), limits, {.manifest = &manifest_});
    const std::int32_t code = table_.open(&kHostTable, &host(), call.handle(), &self_);
    opened_ = code == CNSPEC_OK;
    return call.outcome(code);
  }

  Host& host() const { return *library_.host; }
  const cnspec_provider_v1& table() const { return table_; }
  const Manifest& manifest() const { return manifest_; }
  void* self() const { return self_; }
  // open, connect, disconnect and close are never called at the same time.
  std::mutex& life_cycle() { return life_cycle_; }

  Error named(const char* call, Error cause) const {
    return Error::wrap("provider \"" + manifest_.name + "\": " + call, std::move(cause));
  }

 private:
  Library& library_;
  const cnspec_provider_v1 table_;
  const Manifest manifest_;
  void* self_ = nullptr;
  bool opened_ = false;
  std::mutex life_cycle_;
};

class InProcessConnection final : public Connection {
 public:
  InProcessConnection(std::shared_ptr<Instance> instance, void* self, Config config)
      : instance_(std::move(instance)), self_(self), config_(std::move(config)) {}
  ~InProcessConnection() override {
    const std::lock_guard lock(instance_->life_cycle());
    instance_->table().disconnect(self_);
  }

  Result<Row> identify(const Limits& limits) override {
    RowSink sink(instance_->manifest(), true, {});
    Call call(instance_->host(), limits, parts(sink));
    const std::int32_t code = instance_->table().identify(self_, call.handle(), call.sink_handle());
    if (auto good = call.outcome(code); !good) return fail(instance_->named("identify", good.error()));
    std::vector<Row> rows = sink.take_rows();
    if (rows.empty()) {
      return fail(
          instance_->named("identify", Error("sent no row, expected one of \"asset\"", ErrorKind::kInvalid)));
    }
    return std::move(rows.front());
  }

  Result<std::vector<Row>> fetch(const FetchRequest& request, const Limits& limits) override {
    const auto who = [&](Error cause) {
      return fail(instance_->named(("fetch " + printable(request.type)).c_str(), std::move(cause)));
    };
    auto wanted = check_fetch(instance_->manifest(), request);
    if (!wanted) return who(wanted.error());
    RowSink sink(instance_->manifest(), false, *wanted);
    Call call(instance_->host(), limits, parts(sink));

    std::vector<cnspec_str> fields;
    for (const std::string& field : *wanted) fields.push_back(to_abi(field));
    std::vector<cnspec_entry> args;
    for (const auto& [name, value] : request.args) args.push_back({to_abi(name), call.lowered().add(value)});
    cnspec_fetch_request raw{};
    raw.struct_size = sizeof raw;
    raw.type = to_abi(request.type);
    raw.id = to_abi(request.id);
    raw.fields = fields.data();
    raw.field_count = fields.size();
    raw.args = args.data();
    raw.arg_count = args.size();
    const std::int32_t code = instance_->table().fetch(self_, call.handle(), &raw, call.sink_handle());
    if (auto good = call.outcome(code); !good) return who(good.error());
    return sink.take_rows();
  }

 private:
  Call::Parts parts(RowSink& sink) const {
    return {.manifest = &instance_->manifest(), .config = &config_, .sink = &sink};
  }

  const std::shared_ptr<Instance> instance_;
  void* const self_;
  const Config config_;
};

class InProcessProvider final : public Provider {
 public:
  explicit InProcessProvider(std::shared_ptr<Instance> instance) : instance_(std::move(instance)) {}

  const Manifest& manifest() const override { return instance_->manifest(); }

  Result<std::unique_ptr<Connection>> connect(const ConnectRequest& request, const Limits& limits) override {
    const auto who = [&](Error cause) { return fail(instance_->named("connect", std::move(cause))); };
    auto config = check_connect(manifest(), request);
    if (!config) return who(config.error());

    std::vector<cnspec_str> args;
    for (const std::string& arg : request.args) args.push_back(to_abi(arg));
    cnspec_connect_request raw{};
    raw.struct_size = sizeof raw;
    raw.connector = to_abi(manifest().connector(request.connector)->name);
    raw.args = args.data();
    raw.arg_count = args.size();

    void* connection = nullptr;
    const std::lock_guard lock(instance_->life_cycle());
    Call call(instance_->host(), limits,
              {.manifest = &manifest(), .config = &*config, .secrets = &request.secrets});
    const std::int32_t code = instance_->table().connect(instance_->self(), call.handle(), &raw, &connection);
    if (auto good = call.outcome(code); !good) {
      if (code == CNSPEC_OK) instance_->table().disconnect(connection);  // it came too late
      return who(good.error());
    }
    return std::make_unique<InProcessConnection>(instance_, connection, std::move(*config));
  }

 private:
  const std::shared_ptr<Instance> instance_;
};

Result<std::shared_ptr<Instance>> load(const std::filesystem::path& path, std::string_view expected_id) {
  if (!path.is_absolute()) return refuse("expected an absolute path");
  Trust trust;
  if (auto good = trust.check_folder(path.parent_path()); !good) return fail(good.error());
  auto file = trust.open(path);
  if (!file) return fail(file.error());
  auto section = read_elf_section(file->fd(), file->size(), CNSPEC_MANIFEST_SECTION);
  if (!section) return fail(section.error());
  auto manifest = read_manifest(*section);
  if (!manifest) return fail(manifest.error());
  const Error replaced("was replaced while it was being loaded", ErrorKind::kUntrusted);
  if (manifest->id != expected_id || !file->still_there()) return fail(replaced);

  const std::lock_guard lock(libraries().mutex);
  auto library = map_library(*file, *manifest);
  if (!library) return fail(library.error());
  if (!file->still_there()) return fail(replaced);
  if ((*library)->open) return fail("is in use already; a provider has one instance at a time");
  auto entry = find_entry((*library)->file.native());
  if (!entry) return fail(entry.error());
  auto table = read_table((*entry)(CNSPEC_ABI_MINOR), *section);
  if (!table) return fail(table.error());
  (*library)->open = true;
  return std::make_shared<Instance>(**library, *table, std::move(*manifest));
}

}  // namespace

Result<std::unique_ptr<Provider>> load_in_process(const Found& found, Services services,
                                                  const Limits& limits) {
  auto instance = load(found.path, found.manifest.id);
  if (!instance) {
    return fail(
        Error::wrap("provider \"" + found.manifest.name + "\": load " + printable(found.path.string()),
                    instance.error()));
  }
  if (auto opened = (*instance)->open(std::move(services), limits); !opened) {
    return fail((*instance)->named("open", opened.error()));
  }
  return std::make_unique<InProcessProvider>(std::move(*instance));
}

}  // namespace cnspec::provider
