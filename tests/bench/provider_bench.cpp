// What providers cost: finding, reading, loading, asking. Each figure has its floor beside it.

#include <benchmark/benchmark.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <string>

#include "many_providers.hpp"
#include "provider/discovery.hpp"
#include "provider/elf.hpp"
#include "provider/open.hpp"
#include "provider/provider.hpp"
#include "support/process.hpp"

namespace {

namespace fs = std::filesystem;
using namespace cnspec::provider;
using cnspec::test::fill_with_providers;
using cnspec::test::TempDir;

Inventory find_all(const TempDir& folder) {
  SearchOptions options;
  options.flag_paths = {folder.path().string()};
  ::setenv("PROVIDERS_PATH", folder.path().c_str(), 1);
  return discover(options);
}

// The first load of a file, as every command sees it: the loader keeps what it has mapped, so each round has
// its own.
constexpr int kFiles = 200;

void dlopen_and_call(benchmark::State& state) {
  const TempDir folder;
  fill_with_providers(folder, kFiles);
  const Inventory inventory = find_all(folder);
  for (std::size_t next = 0; auto _ : state) {
    void* library = ::dlopen(inventory.active[next++].path.c_str(), RTLD_NOW | RTLD_LOCAL);
    void* entry = ::dlsym(library, CNSPEC_PROVIDER_ENTRY_V1);
    benchmark::DoNotOptimize(reinterpret_cast<cnspec_provider_entry_v1_fn>(entry)(CNSPEC_ABI_MINOR));
  }
}
BENCHMARK(dlopen_and_call)->Iterations(kFiles)->Unit(benchmark::kMicrosecond);

void load(benchmark::State& state) {
  const TempDir folder;
  fill_with_providers(folder, kFiles);
  const Inventory inventory = find_all(folder);
  for (std::size_t next = 0; auto _ : state) {
    auto provider = load_in_process(inventory.active[next++], {}, {});
    if (!provider) return state.SkipWithError(provider.error().message().c_str());
  }
}
BENCHMARK(load)->Iterations(kFiles)->Unit(benchmark::kMicrosecond);

// Rows of as many fields as the argument says; the time is that of one field.
void fetch_string_field(benchmark::State& state) {
  const TempDir folder;
  fill_with_providers(folder, 1);
  const Inventory inventory = find_all(folder);
  auto provider = load_in_process(inventory.active.at(0), {}, {});
  if (!provider) return state.SkipWithError(provider.error().message().c_str());
  auto connection = (*provider)->connect({"bench0000", {}, {}, {}}, {});
  if (!connection) return state.SkipWithError(connection.error().message().c_str());

  const std::int64_t fields = state.range(0);
  constexpr std::int64_t kRows = 10'000;
  FetchRequest request{"row", "", {}, {{"count", Value(kRows)}}};
  for (std::int64_t f = 0; f < fields; ++f) request.fields.push_back("f" + std::to_string(f));
  Limits limits;
  limits.deadline = std::chrono::steady_clock::now() + std::chrono::hours(1);
  for (auto _ : state) {
    auto rows = (*connection)->fetch(request, limits);
    if (!rows) return state.SkipWithError(rows.error().message().c_str());
    benchmark::DoNotOptimize(rows->data());
  }
  state.counters["field"] =
      benchmark::Counter(static_cast<double>(kRows * fields),
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(fetch_string_field)->Arg(1)->Arg(10)->Unit(benchmark::kMillisecond);

IsolationPolicy isolated() {
  IsolationPolicy policy;
  policy.host_program = cnspec::test::program("cnspec-provider-host");
  return policy;
}

IsolationPolicy in_process() {
  IsolationPolicy policy;
  policy.flags = {{"*", Isolation::kNone}};
  return policy;
}

// 100,000 rows of two strings, wherever the provider runs.
void fetch_rows(benchmark::State& state, const IsolationPolicy& policy) {
  const TempDir folder;
  fill_with_providers(folder, 1);
  const Inventory inventory = find_all(folder);
  Limits limits;
  limits.deadline = std::chrono::steady_clock::now() + std::chrono::hours(1);
  auto provider = open_provider(inventory.active.at(0), policy, {}, limits);
  if (!provider) return state.SkipWithError(provider.error().message().c_str());
  auto connection = (*provider)->connect({"bench0000", {}, {}, {}}, limits);
  if (!connection) return state.SkipWithError(connection.error().message().c_str());
  constexpr std::int64_t kRows = 100'000;
  const FetchRequest request{"row", "", {"f0", "f1"}, {{"count", Value(kRows)}}};
  for (auto _ : state) {
    auto rows = (*connection)->fetch(request, limits);
    if (!rows) return state.SkipWithError(rows.error().message().c_str());
    benchmark::DoNotOptimize(rows->data());
  }
  state.counters["rows"] =
      benchmark::Counter(static_cast<double>(kRows), benchmark::Counter::kIsIterationInvariantRate);
}
BENCHMARK_CAPTURE(fetch_rows, in_process, in_process())->Unit(benchmark::kMillisecond)->UseRealTime();
BENCHMARK_CAPTURE(fetch_rows, isolated, isolated())->Unit(benchmark::kMillisecond)->UseRealTime();

// The cheapest child there could be: one that loads the library, calls its entry function and ends.
void start_bare_child(benchmark::State& state) {
  const TempDir folder;
  fill_with_providers(folder, 1);
  const std::string library = (folder / "bench0000.so").string();
  for (auto _ : state) {
    const char* const argv[] = {BENCH_BARE_CHILD, library.c_str(), nullptr};
    pid_t pid = 0;
    int status = 0;
    if (::posix_spawn(&pid, argv[0], nullptr, nullptr, const_cast<char* const*>(argv), environ) != 0 ||
        ::waitpid(pid, &status, 0) != pid || status != 0)
      return state.SkipWithError("the child failed");
  }
}

// From nothing to an open provider.
void start_isolated_provider(benchmark::State& state) {
  const TempDir folder;
  fill_with_providers(folder, 1);
  const Inventory inventory = find_all(folder);
  for (auto _ : state) {
    auto provider = open_provider(inventory.active.at(0), isolated(), {}, {});
    if (!provider) return state.SkipWithError(provider.error().message().c_str());
    state.PauseTiming();
    provider->reset();
    state.ResumeTiming();
  }
}
BENCHMARK(start_bare_child)->Unit(benchmark::kMicrosecond)->UseRealTime();
BENCHMARK(start_isolated_provider)->Unit(benchmark::kMicrosecond)->UseRealTime();

void read_one_manifest(benchmark::State& state) {
  const int fd = ::open(BENCH_PROVIDER, O_RDONLY | O_CLOEXEC);
  const auto size = fs::file_size(BENCH_PROVIDER);
  for (auto _ : state) {
    auto section = read_elf_section(fd, size, CNSPEC_MANIFEST_SECTION);
    if (!section) return state.SkipWithError(section.error().message().c_str());
    auto manifest = read_manifest(*section);
    if (!manifest) return state.SkipWithError(manifest.error().message().c_str());
    benchmark::DoNotOptimize(manifest->name.data());
  }
  ::close(fd);
}
BENCHMARK(read_one_manifest)->Unit(benchmark::kMicrosecond);

void discover_providers(benchmark::State& state) {
  const TempDir folder;
  fill_with_providers(folder, static_cast<int>(state.range(0)));
  for (auto _ : state) {
    const Inventory inventory = find_all(folder);
    if (inventory.active.size() != static_cast<std::size_t>(state.range(0)))
      return state.SkipWithError("not all were found");
  }
}
BENCHMARK(discover_providers)->Arg(10)->Arg(1000)->Unit(benchmark::kMillisecond);

}  // namespace
