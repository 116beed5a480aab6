// A provider without a network, loaded as the program loads it, and its answers as text.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "provider/discovery.hpp"
#include "provider/provider.hpp"
#include "support/process.hpp"

namespace cnspec::test {

using provider::Row;
using provider::Value;
using Rows = Result<std::vector<Row>>;

// The requests, with everything but the first field optional.
struct Target {
  std::string connector;
  std::vector<std::string> args = {};
  std::map<std::string, Value> flags = {};
};
struct Ask {
  std::string type;
  std::string id = {};
  std::vector<std::string> fields = {};
  std::map<std::string, Value> args = {};
};

inline Rows fetch(provider::Connection& connection, const Ask& ask, const provider::Limits& limits = {}) {
  return connection.fetch({ask.type, ask.id, ask.fields, ask.args}, limits);
}

class LocalProvider {
 public:
  explicit LocalProvider(const std::string& name) {
    const auto inventory = provider::discover({.flag_paths = {CNSPEC_PROVIDER_DIR}, .bundled = {}});
    const provider::Found* found = inventory.by_name(name);
    if (!found) throw std::runtime_error("no provider " + name + " in " CNSPEC_PROVIDER_DIR);
    provider::Services services;
    services.log = [this](log::Level, std::string_view line) { logged_ += std::string(line) + '\n'; };
    auto loaded = provider::load_in_process(*found, services, {});
    if (!loaded) throw std::runtime_error(loaded.error().message());
    provider_ = std::move(*loaded);
  }

  Result<std::unique_ptr<provider::Connection>> try_connect(const Target& target) {
    return provider_->connect({target.connector, target.args, target.flags, {}}, {});
  }
  std::unique_ptr<provider::Connection> connect(const Target& target) {
    auto connection = try_connect(target);
    if (!connection) throw std::runtime_error(connection.error().message());
    return std::move(*connection);
  }
  // Why it cannot be connected; empty when it can.
  std::string refusal(const Target& target) {
    const auto connection = try_connect(target);
    return connection ? "" : connection.error().message();
  }

  const provider::Manifest& manifest() const { return provider_->manifest(); }
  const std::string& logged() const { return logged_; }

 private:
  std::string logged_;
  std::unique_ptr<provider::Provider> provider_;
};

// A field of the only row, or the error that stands for it.
inline std::string field(const Rows& rows, std::string_view name) {
  if (!rows) return "error: " + rows.error().message();
  if (rows->size() != 1) return std::to_string(rows->size()) + " rows";
  const Value* value = rows->front().find(name);
  return value ? provider::to_text(*value) : "not sent";
}

inline std::string error_of(const Rows& rows) {
  return rows ? "no error but " + std::to_string(rows->size()) + " rows" : rows.error().message();
}

// Every field that the manifest declares for a resource, by one fetch: that each is sent is what is promised.
inline void expect_all_fields(provider::Connection& connection, const provider::Manifest& manifest, Ask ask) {
  const auto* declared = manifest.resource(ask.type);
  ASSERT_NE(declared, nullptr) << ask.type;
  const auto* of_rows = declared->list.empty() ? declared : manifest.resource(declared->list);
  for (const auto& f : of_rows->fields) ask.fields.push_back(f.name);
  const Rows rows = fetch(connection, ask);
  ASSERT_TRUE(rows) << ask.type << ": " << rows.error().message();
  ASSERT_FALSE(rows->empty()) << ask.type;
  for (const Row& row : *rows) {
    EXPECT_EQ(row.type, of_rows->name);
    for (const auto& f : of_rows->fields) EXPECT_NE(row.find(f.name), nullptr) << row.type << "." << f.name;
  }
}

}  // namespace cnspec::test
