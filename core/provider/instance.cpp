#include "provider/instance.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#define BOOST_DLL_USE_STD_FS
#include <boost/dll/shared_library.hpp>

#include "provider/network.hpp"
#include "provider/table.hpp"

namespace cnspec::provider {

namespace dll = boost::dll;

// A library stays until the process ends: its threads, exit handlers and unique symbols may outlive every
// use. Its file stays open as well: the loader knows libraries by the names that they were opened by, and the
// number of a closed descriptor would be some other file's name tomorrow.
struct Library {
  TrustedFile opened;
  dll::shared_library mapped;
  std::unique_ptr<Host> host;
  bool open = false;  // a library makes one instance at a time
};

namespace {

struct Libraries {
  std::mutex mutex;
  std::vector<std::unique_ptr<Library>> all;
};

Libraries& libraries() {
  static Libraries& loaded = *new Libraries;  // never destroyed, so never closed
  return loaded;
}

// The library of this file: mapped now, or before.
Result<Library*> map_library(TrustedFile file, const std::string& name) {
  auto& all = libraries().all;
  const auto known = std::find_if(all.begin(), all.end(),
                                  [&](const auto& library) { return library->opened.is_same_as(file); });
  if (known != all.end()) return known->get();
  std::error_code failed;
  dll::shared_library mapped;
  const std::filesystem::path path = file.descriptor_path();
  mapped.load(path, dll::load_mode::rtld_now | dll::load_mode::rtld_local, failed);
  if (failed) return fail(loader_error(path));
  return all
      .emplace_back(std::make_unique<Library>(
          Library{std::move(file), std::move(mapped), std::make_unique<Host>(name)}))
      .get();
}

}  // namespace

Result<std::shared_ptr<Instance>> Instance::load(TrustedFile file, std::string_view section,
                                                 Manifest manifest) {
  const std::lock_guard lock(libraries().mutex);
  auto library = map_library(std::move(file), manifest.name);
  if (!library) return fail(library.error());
  if ((*library)->open) return fail("is in use already; a provider has one instance at a time");
  auto entry = find_entry((*library)->mapped.native());
  if (!entry) return fail(entry.error());
  auto table = read_table((*entry)(CNSPEC_ABI_MINOR), section);
  if (!table) return fail(table.error());
  (*library)->open = true;
  return std::make_shared<Instance>(**library, *table, std::move(manifest));
}

Instance::Instance(Library& library, const cnspec_provider_v1& table, Manifest manifest)
    : library_(library), table_(table), manifest_(std::move(manifest)) {}

Instance::~Instance() {
  if (opened_) table_.close(self_);
  host().serve(nullptr);
  const std::lock_guard lock(libraries().mutex);
  library_.open = false;
}

Host& Instance::host() const { return *library_.host; }

Result<void> Instance::open(Services services, const Limits& limits) {
  host().serve(std::make_shared<const Services>(std::move(services)));
  const auto hosts = allowed_hosts(manifest_.capabilities.network, {}, {});
  Call call(host(), limits, {.hosts = hosts});
  const std::int32_t code = table_.open(&kHostTable, &host(), call.handle(), &self_);
  opened_ = code == CNSPEC_OK;
  return call.outcome(code);
}

Result<void*> Instance::connect(const std::string& connector, const ConnectRequest& request,
                                const Settled& settled, const Limits& limits) {
  std::vector<cnspec_str> args;
  for (const std::string& arg : request.args) args.push_back(to_abi(arg));
  cnspec_connect_request raw{};
  raw.struct_size = sizeof raw;
  raw.connector = to_abi(connector);
  raw.args = args.data();
  raw.arg_count = args.size();

  void* connection = nullptr;
  const std::lock_guard lock(life_cycle_);
  Call call(host(), limits, {.hosts = settled.hosts, .config = &settled.config, .secrets = &request.secrets});
  const std::int32_t code = table_.connect(self_, call.handle(), &raw, &connection);
  if (auto good = call.outcome(code); !good) {
    if (code == CNSPEC_OK) table_.disconnect(connection);  // it came too late
    return fail(good.error());
  }
  return connection;
}

void Instance::disconnect(void* connection) {
  const std::lock_guard lock(life_cycle_);
  table_.disconnect(connection);
}

Result<void> Instance::identify(void* connection, const Settled& settled, Sink& sink, const Limits& limits) {
  Call call(host(), limits, {.hosts = settled.hosts, .config = &settled.config, .sink = &sink});
  return call.outcome(table_.identify(connection, call.handle(), call.sink_handle()));
}

Result<void> Instance::fetch(void* connection, const Settled& settled, const FetchRequest& request,
                             const std::vector<std::string>& wanted, Sink& sink, const Limits& limits) {
  Call call(host(), limits, {.hosts = settled.hosts, .config = &settled.config, .sink = &sink});
  std::vector<cnspec_str> fields;
  for (const std::string& field : wanted) fields.push_back(to_abi(field));
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
  return call.outcome(table_.fetch(connection, call.handle(), &raw, call.sink_handle()));
}

}  // namespace cnspec::provider
