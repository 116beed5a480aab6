// Where a provider's rows go: copied, checked against the manifest, counted.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "provider/manifest.hpp"
#include "provider/schema.hpp"
#include "provider/value.hpp"

namespace cnspec::provider {

// What is taken from one call at most; beyond it the provider is told to stop and the call fails.
struct SinkLimits {
  std::uint64_t bytes = 256ull << 20;
  std::uint64_t rows = 10'000'000;
};

class RowSink {
 public:
  // `manifest` outlives the sink. `identify`: rows are assets. `wanted` have the numbers 0, 1, 2, ...
  RowSink(const Manifest& manifest, bool identify, std::vector<std::string> wanted, SinkLimits limits = {});

  // The sink's half of the ABI; each answers CNSPEC_SINK_CONTINUE or STOP, and keeps the first violation.
  std::int32_t row_begin(cnspec_str type, cnspec_str id);
  std::uint32_t field(cnspec_str name);
  std::int32_t put(std::uint32_t field, const cnspec_value& value);
  std::int32_t row_end();

  // Notes what the provider did wrong, unless something was noted before. Answers CNSPEC_SINK_STOP.
  std::int32_t violate(std::string message);

  // What the provider did wrong, if anything.
  const std::optional<Error>& violation() const { return violation_; }
  // The rows that ended.
  std::vector<Row> take_rows();

 private:
  // How the fields of one resource are checked, by field number. Null: not declared.
  struct RowType {
    const manifest::Resource* resource;
    std::vector<std::optional<std::optional<Type>>> fields;
  };

  const Type* declared(RowType& type, std::uint32_t field);
  bool take(std::uint64_t bytes);
  std::int32_t too_much();
  // Null, or what is wrong with the value; empty when it is too much of it.
  const char* copy(const cnspec_value& from, Value& to, int depth);
  bool copy_text(cnspec_str from, std::string& to);

  const Manifest& manifest_;
  const bool identify_;
  const SinkLimits limits_;
  std::uint64_t bytes_ = 0;
  std::shared_ptr<std::vector<std::string>> names_;
  std::map<std::string, RowType, std::less<>> types_;
  RowType* type_ = nullptr;  // of the newest row, as is its name
  const std::string* type_name_ = nullptr;
  bool open_ = false;  // the newest row has not ended
  std::vector<Row> rows_;
  std::optional<Error> violation_;
};

}  // namespace cnspec::provider
