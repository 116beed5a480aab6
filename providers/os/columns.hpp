// The fields of a resource as a table: what each is called and where it comes from.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cnspec/provider.hpp"

namespace cnspec::os {

enum class Cost { kFree, kCostly };

template <class T>
struct Column {
  const char* name;
  Cost cost;
  std::function<sdk::Value(const T&)> get;  // throws an Error: then this field alone is missing
};

// The columns to fill: those asked for, or else those that cost nothing. Chosen once, not once a row.
template <class T>
std::vector<Column<T>> choose(std::vector<Column<T>> columns, const sdk::FetchRequest& request) {
  std::erase_if(columns, [&](const Column<T>& column) {
    return request.fields.empty() ? column.cost == Cost::kCostly : !request.wants(column.name);
  });
  return columns;
}

template <class T>
sdk::Value value_or_error(const Column<T>& column, const T& item) {
  try {
    return column.get(item);
  } catch (const sdk::Error& error) {
    return sdk::FieldError{error.what()};
  }
}

template <class T>
void send(sdk::Rows& rows, std::string_view type, std::string_view id, const T& item,
          const std::vector<Column<T>>& columns) {
  sdk::Row row = rows.begin(type, id);
  for (const Column<T>& column : columns) row.put(column.name, value_or_error(column, item));
}

}  // namespace cnspec::os
