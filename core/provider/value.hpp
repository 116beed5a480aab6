// What providers send, copied out of the ABI: values and rows.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/json.hpp"
#include "cnspec/provider.h"

namespace cnspec::provider {

struct Ref {
  std::string type;
  std::string id;
  bool operator==(const Ref&) const = default;
};

// A value owns everything in it. `type` is a CNSPEC_... number; which member of `data` is set follows from it
// as provider.h says (BOOL as int64_t).
struct Value {
  using Array = std::vector<Value>;
  using Map = std::vector<std::pair<std::string, Value>>;

  std::uint32_t type = CNSPEC_NULL;
  std::variant<std::monostate, std::int64_t, double, std::string, cnspec_time, cnspec_range,
               std::shared_ptr<const Ref>, Array, Map>
      data;  // references are rare and large, so they live elsewhere

  Value() = default;
  Value(bool b) : type(CNSPEC_BOOL), data(std::int64_t{b}) {}
  Value(int i) : type(CNSPEC_INT), data(std::int64_t{i}) {}
  Value(std::int64_t i) : type(CNSPEC_INT), data(i) {}
  Value(double d) : type(CNSPEC_FLOAT), data(d) {}
  Value(const char* s) : type(CNSPEC_STRING), data(std::string(s)) {}
  Value(std::string s) : type(CNSPEC_STRING), data(std::move(s)) {}
  Value(Array a) : type(CNSPEC_ARRAY), data(std::move(a)) {}
  Value(Map m) : type(CNSPEC_MAP), data(std::move(m)) {}
  explicit Value(const std::vector<std::string>& strings) : Value(Array(strings.begin(), strings.end())) {}

  bool is_null() const { return type == CNSPEC_NULL; }
  bool is_error() const { return type == CNSPEC_ERROR; }
  // The text of any type that is one; empty for the others.
  const std::string& text() const;
  // Null for what is no reference.
  const Ref* ref() const;
  // The strings of an array of strings.
  std::vector<std::string> texts() const;
};

// For people: numbers in decimal, times as RFC 3339, arrays and maps as JSON.
std::string to_text(const Value& value);
json::Value to_json(const Value& value, json::Document::AllocatorType& alloc);

// One resource, with the fields that were sent for it.
class Row {
 public:
  std::string type;
  std::string id;

  // Null when the field was not sent.
  const Value* find(std::string_view field) const;
  // to_text of the field; empty when it was not sent, or is null.
  std::string text(std::string_view field) const;

  std::size_t size() const { return fields_.size(); }
  const std::string& name(std::size_t i) const { return (*names_)[fields_[i].first]; }
  const Value& value(std::size_t i) const { return fields_[i].second; }

 private:
  friend class RowSink;
  // The names are shared by all rows of one fetch.
  std::shared_ptr<const std::vector<std::string>> names_;
  std::vector<std::pair<std::uint32_t, Value>> fields_;
};

}  // namespace cnspec::provider
