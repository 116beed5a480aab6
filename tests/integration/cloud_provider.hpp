// A provider loaded as the program loads it, with an HTTP service that leads all hosts to test servers, and
// an environment of its own.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "provider/discovery.hpp"
#include "provider/provider.hpp"
#include "support/http_client.hpp"
#include "support/http_server.hpp"
#include "support/process.hpp"

extern char** environ;

namespace cnspec::test {

// The environment without the variables that begin with a prefix, until the destructor. No other thread may
// be using the environment when it changes; a test server does so only within its handler.
class CleanEnvironment {
 public:
  explicit CleanEnvironment(const std::vector<std::string>& prefixes) {
    std::vector<std::string> names;
    for (char** entry = environ; *entry; ++entry) {
      const std::string text(*entry);
      for (const std::string& prefix : prefixes) {
        if (text.starts_with(prefix)) names.push_back(text.substr(0, text.find('=')));
      }
    }
    for (const std::string& name : names) set(name, std::nullopt);
  }
  ~CleanEnvironment() {
    for (const auto& [name, value] : before_) put(name, value);
  }
  CleanEnvironment(const CleanEnvironment&) = delete;
  CleanEnvironment& operator=(const CleanEnvironment&) = delete;

  void set(const std::string& name, const std::optional<std::string>& value) {
    const char* old = ::getenv(name.c_str());
    before_.emplace(name, old ? std::optional<std::string>(old) : std::nullopt);
    put(name, value);
  }

 private:
  static void put(const std::string& name, const std::optional<std::string>& value) {
    value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
  }
  std::map<std::string, std::optional<std::string>> before_;
};

class CloudProvider {
 public:
  explicit CloudProvider(const std::string& name) {
    const auto inventory = provider::discover({.flag_paths = {CNSPEC_PROVIDER_DIR}, .bundled = {}});
    const provider::Found* found = inventory.by_name(name);
    if (!found) throw std::runtime_error("no provider " + name + " in " CNSPEC_PROVIDER_DIR);
    provider::Services services;
    services.log = [this](log::Level, std::string_view line) { said_ += std::string(line) + '\n'; };
    services.http = [this](transport::Request request) { return exchange(std::move(request)); };
    auto loaded = provider::load_in_process(*found, services, {});
    if (!loaded) throw std::runtime_error(loaded.error().message());
    provider_ = std::move(*loaded);
  }

  // Requests whose URL begins with `from`, such as "http://169.254.169.254", go to `to` instead.
  void route(const std::string& from, const std::string& to) { routes_[from] = to; }
  void trust(const std::string& ca_file) { ca_file_ = ca_file; }

  // The connection, or the error's message and hint in one text.
  struct Outcome {
    std::unique_ptr<provider::Connection> connection;
    std::string error;
    ErrorKind kind = ErrorKind::kFailed;
  };
  Outcome connect(const provider::ConnectRequest& request, const provider::Limits& limits = {}) {
    auto connection = provider_->connect(request, limits);
    if (connection) return {std::move(*connection), "", ErrorKind::kFailed};
    const Error& error = connection.error();
    const std::string text = error.message() + (error.hint().empty() ? "" : " | " + error.hint());
    said_ += text + '\n';
    return {nullptr, text, error.kind()};
  }

  const provider::Manifest& manifest() const { return provider_->manifest(); }
  const std::vector<transport::Request>& sent() const { return sent_; }
  // Every line logged and every error so far.
  const std::string& said() const { return said_; }

 private:
  Result<transport::Response> exchange(transport::Request request) {
    sent_.push_back(request);
    for (const auto& [from, to] : routes_) {
      if (request.url.starts_with(from)) {
        request.url = to + request.url.substr(from.size());
        return http_exchange(request, ca_file_);
      }
    }
    const bool local = request.url.find("://127.0.0.1:") != std::string::npos ||
                       request.url.find("://localhost:") != std::string::npos ||
                       request.url.find("://[::1]:") != std::string::npos;
    if (!local) return fail(request.url + ": no test may reach it", ErrorKind::kUnavailable);
    return http_exchange(request, ca_file_);
  }

  std::map<std::string, std::string> routes_;
  std::string ca_file_;
  std::vector<transport::Request> sent_;
  std::string said_;
  std::unique_ptr<provider::Provider> provider_;
};

inline std::string data(const std::string& name) {
  return read_file(CNSPEC_SOURCE_DIR "/tests/data/" + name);
}

// One row's field of the only row that a fetch or an identify gave.
inline std::string field(const Result<std::vector<provider::Row>>& rows, std::string_view name) {
  if (!rows) return "error: " + rows.error().message();
  if (rows->size() != 1) return std::to_string(rows->size()) + " rows";
  return rows->front().text(name);
}

}  // namespace cnspec::test
