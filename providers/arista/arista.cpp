#include <cnspec/provider.hpp>

#include "eapi.hpp"
#include "manifest.h"

namespace cnspec::arista {
namespace {

using namespace cnspec::sdk;

// Connecting asks all there is to tell, so the password does not outlive it.
class Eos : public Connection {
 public:
  Eos(Switch device, std::string address) : device_(std::move(device)), address_(std::move(address)) {}

  void identify(Call&, Rows& rows) override {
    const std::string id = platform_id();
    auto row = rows.begin("asset", id.empty() ? address_ : id);
    row.put("name", device_.hostname)
        .put("platform", "arista-eos")
        .put("title", "Arista EOS")
        .put("version", device_.version)
        .put("build", device_.build)
        .put("arch", device_.architecture)
        .put("kind", "api")
        .put("runtime", "arista")
        .put("hostname", device_.hostname)
        .put("fqdn", device_.fqdn);
    // A virtual switch may have no serial number: no id is better than one that it shares with others.
    if (!id.empty()) row.put("ids", Value::Array{id});
  }

  void fetch(Call&, const FetchRequest& request, Rows& rows) override {
    namespace eos = resources::arista_eos;
    if (!request.id.empty() && request.id != device_.hostname) return;
    auto row = rows.begin(eos::kType, device_.hostname);
    row.put(eos::version, device_.version)
        .put(eos::hostname, device_.hostname)
        .put(eos::fqdn, device_.fqdn)
        .put(eos::model, device_.model)
        .put(eos::serialNumber, device_.serial_number)
        .put(eos::systemMacAddress, device_.system_mac)
        .put(eos::architecture, device_.architecture);
    if (device_.boot_time) {
      row.put(eos::bootTime, *device_.boot_time);
    } else {
      row.put(eos::bootTime, nullptr);
    }
  }

 private:
  std::string platform_id() const {
    if (device_.system_mac.empty()) return {};
    const std::string serial = device_.serial_number.empty() ? "" : "/serial/" + device_.serial_number;
    return "//platformid.api.mondoo.app/runtime/arista" + serial + "/systemmac/" + device_.system_mac;
  }

  Switch device_;
  std::string address_;
};

class Arista : public Provider {
  std::unique_ptr<Connection> connect(Call& call, const ConnectRequest& request) override {
    const Target target = parse_target(request.args[0], call.config(flags::transport).value_or("https"));
    const auto password = call.secret(flags::password);
    if (!password) {
      throw Error(CNSPEC_UNAUTHENTICATED, "there is no password for " + providers::quoted(target.user) +
                                              " on " + target.url.authority() +
                                              "; give one by --password or --ask-pass");
    }
    return std::make_unique<Eos>(
        ask_switch(call, target, providers::Secret(*password), call.config_bool(flags::insecure)),
        target.url.authority());
  }
};

}  // namespace
}  // namespace cnspec::arista

using cnspec::arista::Arista;
CNSPEC_PROVIDER(Arista)
