// Where a provider's rows go.
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

// The sink's half of the ABI. Each answers CNSPEC_SINK_CONTINUE or STOP, and keeps the first violation.
class Sink {
 public:
  virtual ~Sink() = default;
  virtual std::int32_t row_begin(cnspec_str type, cnspec_str id) = 0;
  virtual std::uint32_t field(cnspec_str name) = 0;
  virtual std::int32_t put(std::uint32_t field, const cnspec_value& value) = 0;
  virtual std::int32_t row_end() = 0;

  // Notes what the provider did wrong, unless something was noted before. Answers CNSPEC_SINK_STOP.
  virtual std::int32_t violate(std::string message) = 0;
  // What the provider did wrong, if anything.
  virtual const std::optional<Error>& violation() const = 0;
};

// Copies, checks and keeps them.
class RowSink final : public Sink {
 public:
  // `manifest` outlives the sink. `identify`: rows are assets. `wanted` have the numbers 0, 1, 2, ...
  RowSink(const Manifest& manifest, bool identify, std::vector<std::string> wanted, SinkLimits limits = {});

  std::int32_t row_begin(cnspec_str type, cnspec_str id) override;
  std::uint32_t field(cnspec_str name) override;
  std::int32_t put(std::uint32_t field, const cnspec_value& value) override;
  std::int32_t row_end() override;
  std::int32_t violate(std::string message) override;
  const std::optional<Error>& violation() const override { return violation_; }

  // Notes that more was sent than is taken.
  std::int32_t too_much();
  // The rows that ended.
  std::vector<Row> take_rows();
  // The one row of identify.
  Result<Row> take_asset();

 private:
  // How the fields of one resource are checked, by field number. Null: not declared.
  struct RowType {
    const manifest::Resource* resource;
    std::vector<std::optional<std::optional<Type>>> fields;
  };

  const Type* declared(RowType& type, std::uint32_t field);
  bool take(std::uint64_t bytes);
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
