// A registry of providers: any web server, or a folder, with
//   BASE/latest.json, BASE/NAME/VERSION/NAME_VERSION_OS_ARCH.tar.xz, BASE/NAME/VERSION/SHA256SUMS[.minisig]
// Knows what travels, and nothing of what is in it: hashes and signatures are the caller's to check.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

#include "upstream/download.hpp"
#include "upstream/registry_answers.hpp"

namespace cnspec::upstream {

struct RegistryOptions {
  std::string base;             // http, https, or file:///FOLDER; without a slash at its end
  std::string features;         // as features_header() makes it
  std::filesystem::path cache;  // folder for what was announced last; empty: none
  Deadline deadline = Deadline::max();
  std::chrono::milliseconds max_silence{30'000};  // so long a download may stand still
};

// On the loop's thread. Each error names the URL.
class Registry {
 public:
  // `transport` outlives it; null is enough for a folder.
  Registry(transport::Transport* transport, RegistryOptions options)
      : transport_(transport), options_(std::move(options)) {}

  std::string url(const std::string& path) const { return options_.base + "/" + path; }

  // latest.json. What the cache holds is asked for again only if it has changed; a cache that cannot be read
  // or written is none.
  Task<Versions> catalog();

  // A small file. kNotFound when it is not there.
  Task<std::string> text(std::string path, std::size_t max_size);

  // Whether there is such a file.
  Task<bool> has(std::string path);

  using Progress = DownloadProgress;
  // As download() of download.hpp.
  Task<void> download(std::string path, int fd, std::uint64_t max_size, Progress progress);

 private:
  Task<transport::Response> ask(std::string method, std::string url, transport::Headers headers,
                                std::size_t max_size);
  Error with_id(Error error, const std::string& address) const;

  transport::Transport* transport_;
  RegistryOptions options_;
  std::string last_request_id_;
};

}  // namespace cnspec::upstream
