// From a file to a provider in this process.

#include <memory>
#include <utility>

#include "base/text.hpp"
#include "provider/elf.hpp"
#include "provider/instance.hpp"
#include "provider/load.hpp"
#include "provider/network.hpp"
#include "provider/provider.hpp"
#include "provider/trusted_file.hpp"

namespace cnspec::provider {
namespace {

Error named(const Manifest& manifest, const std::string& call, Error cause) {
  return Error::wrap("provider \"" + manifest.name + "\": " + call, std::move(cause));
}

class InProcessConnection final : public Connection {
 public:
  InProcessConnection(std::shared_ptr<Instance> instance, void* self, Settled settled)
      : instance_(std::move(instance)), self_(self), settled_(std::move(settled)) {}
  ~InProcessConnection() override { instance_->disconnect(self_); }

  Result<Row> identify(const Limits& limits) override {
    const auto who = [&](Error cause) {
      return fail(named(instance_->manifest(), "identify", std::move(cause)));
    };
    RowSink sink(instance_->manifest(), true, {});
    if (auto good = instance_->identify(self_, settled_, sink, limits); !good) return who(good.error());
    auto row = sink.take_asset();
    if (!row) return who(row.error());
    return row;
  }

  Result<std::vector<Row>> fetch(const FetchRequest& request, const Limits& limits) override {
    const auto who = [&](Error cause) {
      return fail(named(instance_->manifest(), "fetch " + printable(request.type), std::move(cause)));
    };
    auto wanted = check_fetch(instance_->manifest(), request);
    if (!wanted) return who(wanted.error());
    RowSink sink(instance_->manifest(), false, *wanted);
    if (auto good = instance_->fetch(self_, settled_, request, *wanted, sink, limits); !good)
      return who(good.error());
    return sink.take_rows();
  }

 private:
  const std::shared_ptr<Instance> instance_;
  void* const self_;
  const Settled settled_;
};

class InProcessProvider final : public Provider {
 public:
  explicit InProcessProvider(std::shared_ptr<Instance> instance) : instance_(std::move(instance)) {}

  const Manifest& manifest() const override { return instance_->manifest(); }

  Result<std::unique_ptr<Connection>> connect(const ConnectRequest& request, const Limits& limits) override {
    const auto who = [&](Error cause) { return fail(named(manifest(), "connect", std::move(cause))); };
    auto config = check_connect(manifest(), request);
    if (!config) return who(config.error());
    const std::string& connector = manifest().connector(request.connector)->name;
    Settled settled{std::move(*config), {}};
    settled.hosts = allowed_hosts(manifest().capabilities.network, settled.config, request.args);
    auto connection = instance_->connect(connector, request, settled, limits);
    if (!connection) return who(connection.error());
    return std::make_unique<InProcessConnection>(instance_, *connection, std::move(settled));
  }

 private:
  const std::shared_ptr<Instance> instance_;
};

Result<std::shared_ptr<Instance>> load(const Found& found) {
  auto checked = open_checked(found);
  if (!checked) return fail(checked.error());
  return Instance::load(std::move(checked->file), checked->section, std::move(checked->manifest));
}

}  // namespace

Result<CheckedFile> open_checked(const Found& found) {
  if (!found.path.is_absolute()) return fail("expected an absolute path", ErrorKind::kInvalid);
  PermissionChecker permissions;
  if (auto good = permissions.check_folder(found.path.parent_path()); !good) return fail(good.error());
  auto opened = open_for(found.origin, permissions, found.path, found.trust.get());
  if (!opened) return fail(opened.error());
  auto section = read_elf_section(opened->file.fd(), opened->file.size(), CNSPEC_MANIFEST_SECTION);
  if (!section) return fail(section.error());
  auto manifest = read_manifest(*section);
  if (!manifest) return fail(manifest.error());
  // A new version is welcome; one that is signed where the other was not, or the reverse, is not what was
  // listed.
  if (manifest->id != found.manifest.id || opened->signer.state != found.signer.state ||
      !opened->file.unchanged())
    return fail("was replaced while it was being loaded", ErrorKind::kUntrusted);
  return CheckedFile{std::move(opened->file), std::move(*section), std::move(*manifest)};
}

Result<std::unique_ptr<Provider>> load_in_process(const Found& found, Services services,
                                                  const Limits& limits) {
  auto instance = load(found);
  if (!instance)
    return fail(named(found.manifest, "load " + printable(found.path.string()), instance.error()));
  if (auto opened = (*instance)->open(std::move(services), limits); !opened)
    return fail(named(found.manifest, "open", opened.error()));
  return std::make_unique<InProcessProvider>(std::move(*instance));
}

}  // namespace cnspec::provider
