// A library in this process and the one instance of it: the calls of the ABI, whoever judges what they bring.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "provider/host.hpp"
#include "provider/provider.hpp"
#include "provider/request.hpp"
#include "provider/sink.hpp"
#include "provider/trusted_file.hpp"

namespace cnspec::provider {

struct Library;

// Closes when it goes; the library stays mapped until the process ends. Whether an answer came in time is
// part of every result; errors do not name the provider or the call yet.
class Instance {
 public:
  // Maps the file, which stays open then, and reads its table. `section` is the manifest it must have.
  static Result<std::shared_ptr<Instance>> load(TrustedFile file, std::string_view section,
                                                Manifest manifest);
  // For load().
  Instance(Library& library, const cnspec_provider_v1& table, Manifest manifest);
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  const Manifest& manifest() const { return manifest_; }

  Result<void> open(Services services, const Limits& limits);
  // The request was checked; `connector` is its name in the manifest.
  Result<void*> connect(const std::string& connector, const ConnectRequest& request, const Settled& settled,
                        const Limits& limits);
  void disconnect(void* connection);
  Result<void> identify(void* connection, const Settled& settled, Sink& sink, const Limits& limits);
  // `wanted` are the request's fields, each once.
  Result<void> fetch(void* connection, const Settled& settled, const FetchRequest& request,
                     const std::vector<std::string>& wanted, Sink& sink, const Limits& limits);

 private:
  Host& host() const;

  Library& library_;
  const cnspec_provider_v1 table_;
  const Manifest manifest_;
  void* self_ = nullptr;
  bool opened_ = false;
  std::mutex life_cycle_;  // open, connect, disconnect and close are never called at the same time
};

}  // namespace cnspec::provider
