#include "provider/lower.hpp"

namespace cnspec::provider {

cnspec_value Lowered::add(const Value& value) {
  cnspec_value out{};
  out.type = value.type;
  switch (value.type) {
    case CNSPEC_NULL: break;
    case CNSPEC_BOOL:
    case CNSPEC_INT: out.as.i64 = std::get<std::int64_t>(value.data); break;
    case CNSPEC_FLOAT: out.as.f64 = std::get<double>(value.data); break;
    case CNSPEC_TIME: out.as.time = std::get<cnspec_time>(value.data); break;
    case CNSPEC_RANGE: out.as.range = std::get<cnspec_range>(value.data); break;
    case CNSPEC_REF: {
      const Ref& ref = *value.ref();
      out.as.ref = &refs_.emplace_back(cnspec_ref{to_abi(ref.type), to_abi(ref.id)});
      break;
    }
    case CNSPEC_ARRAY: {
      std::vector<cnspec_value> items;
      for (const Value& item : std::get<Value::Array>(value.data)) items.push_back(add(item));
      const auto& kept = arrays_.emplace_back(std::move(items));
      out.as.array = {kept.data(), kept.size()};
      break;
    }
    case CNSPEC_MAP: {
      std::vector<cnspec_entry> entries;
      for (const auto& [key, item] : std::get<Value::Map>(value.data))
        entries.push_back({to_abi(key), add(item)});
      const auto& kept = maps_.emplace_back(std::move(entries));
      out.as.map = {kept.data(), kept.size()};
      break;
    }
    default: out.as.str = to_abi(value.text()); break;
  }
  return out;
}

}  // namespace cnspec::provider
