#include "provider/sink.hpp"

#include "base/text.hpp"

namespace cnspec::provider {
namespace {

constexpr std::size_t kMaxFields = 4096;

std::string_view view(cnspec_str s) { return s.data ? std::string_view(s.data, s.size) : std::string_view(); }

std::string shown(cnspec_str s) { return '"' + printable(view(s).substr(0, 80)) + '"'; }

}  // namespace

RowSink::RowSink(const Manifest& manifest, bool identify, std::vector<std::string> wanted, SinkLimits limits)
    : manifest_(manifest),
      identify_(identify),
      limits_(limits),
      names_(std::make_shared<std::vector<std::string>>(std::move(wanted))) {}

std::int32_t RowSink::violate(std::string message) {
  if (!violation_) violation_ = Error(std::move(message), ErrorKind::kInvalid);
  return CNSPEC_SINK_STOP;
}

std::int32_t RowSink::row_begin(cnspec_str type, cnspec_str id) {
  if (violation_) return CNSPEC_SINK_STOP;
  if (open_) return violate("began a row of " + shown(type) + " before it ended the one before");
  if (identify_ && !rows_.empty()) return violate("sent more than one row to identify");
  if (rows_.size() >= limits_.rows) return violate("sent more than " + std::to_string(limits_.rows) + " rows");
  if (!is_utf8(view(id)) || !is_utf8(view(type))) return violate("sent a row whose type or id is not UTF-8");
  bytes_ += sizeof(Row) + type.size + id.size;
  if (bytes_ > limits_.bytes) return violate("sent more than " + std::to_string(limits_.bytes) + " bytes");

  if (!type_ || row_.type != view(type)) {
    auto it = types_.find(view(type));
    if (it == types_.end()) {
      const manifest::Resource* resource = manifest_.resource(view(type));
      if (identify_) resource = view(type) == "asset" ? &asset_resource() : nullptr;
      if (!resource && (identify_ || !manifest_.open_schema)) {
        return violate(identify_ ? "sent a row of " + shown(type) + " to identify, expected \"asset\""
                                 : "sent a row of " + shown(type) + ", which its manifest does not declare");
      }
      it = types_.emplace(std::string(view(type)), RowType{resource, {}}).first;
    }
    type_ = &it->second;
    row_.type = view(type);
  }
  row_.id = view(id);
  row_.fields_.reserve(names_->size());
  open_ = true;
  return CNSPEC_SINK_CONTINUE;
}

std::uint32_t RowSink::field(cnspec_str name) {
  for (std::size_t i = 0; i < names_->size(); ++i) {
    if ((*names_)[i] == view(name)) return static_cast<std::uint32_t>(i);
  }
  if (names_->size() >= kMaxFields || !is_utf8(view(name)) || name.size > 128) {
    violate("asked for the number of the field " + shown(name) + ", which cannot be one");
    return UINT32_MAX;
  }
  names_->emplace_back(view(name));
  return static_cast<std::uint32_t>(names_->size() - 1);
}

const Type* RowSink::declared(RowType& type, std::uint32_t field) {
  if (type.fields.size() <= field) type.fields.resize(names_->size());
  auto& known = type.fields[field];
  if (!known) {
    known.emplace();
    for (const manifest::Field& f : type.resource->fields) {
      if (f.name == (*names_)[field]) known->emplace(f.type);
    }
    for (const manifest::Field& f : type.resource->args) {
      if (!*known && f.name == (*names_)[field]) known->emplace(f.type);
    }
  }
  return *known ? &**known : nullptr;
}

std::int32_t RowSink::put(std::uint32_t field, const cnspec_value& value) {
  if (violation_) return CNSPEC_SINK_STOP;
  if (!open_) return violate("put a field before it began a row");
  if (field >= names_->size()) return violate("put a field of the unknown number " + std::to_string(field));
  // A type that only data describes is taken as it comes.
  static const Type kAnything("any");
  const Type* expected = type_->resource ? declared(*type_, field) : &kAnything;
  if (!expected) {
    return violate("sent the field \"" + printable((*names_)[field]) + "\" of \"" + printable(row_.type) +
                   "\", which its manifest does not declare");
  }
  if (!expected->accepts(value)) {
    return violate("sent the field \"" + printable((*names_)[field]) + "\" of \"" + printable(row_.type) + "\" as " +
                   type_name(value.type) + ", its manifest declares " + expected->spelled());
  }
  auto& [number, copied] = row_.fields_.emplace_back(field, Value());
  if (!copy(value, copied, 0)) return violate("sent more than " + std::to_string(limits_.bytes) + " bytes");
  return CNSPEC_SINK_CONTINUE;
}

std::int32_t RowSink::row_end() {
  if (violation_) return CNSPEC_SINK_STOP;
  if (!open_) return violate("ended a row that it had not begun");
  open_ = false;
  Row done;
  done.type = row_.type;
  done.id = std::move(row_.id);
  done.names_ = names_;
  done.fields_ = std::move(row_.fields_);
  row_.fields_.clear();
  rows_.push_back(std::move(done));
  return CNSPEC_SINK_CONTINUE;
}

bool RowSink::copy_text(cnspec_str from, std::string& to) {
  bytes_ += from.size;
  if (bytes_ > limits_.bytes) return false;
  if (is_utf8(view(from))) to.assign(view(from));
  else to = to_utf8(view(from));
  return true;
}

bool RowSink::copy(const cnspec_value& from, Value& to, int depth) {
  to.type = from.type;
  bytes_ += sizeof(Value);
  if (bytes_ > limits_.bytes) return false;
  switch (from.type) {
    case CNSPEC_BOOL: to.data = std::int64_t{from.as.i64 != 0}; return true;
    case CNSPEC_INT: to.data = from.as.i64; return true;
    case CNSPEC_FLOAT: to.data = from.as.f64; return true;
    case CNSPEC_TIME: to.data = from.as.time; return true;
    case CNSPEC_RANGE: to.data = from.as.range; return true;
    case CNSPEC_BYTES:
      bytes_ += from.as.str.size;
      if (bytes_ > limits_.bytes) return false;
      to.data = std::string(view(from.as.str));
      return true;
    case CNSPEC_REF: {
      if (!from.as.ref) {
        to = Value();
        return true;
      }
      Ref ref;
      if (!copy_text(from.as.ref->type, ref.type) || !copy_text(from.as.ref->id, ref.id)) return false;
      to.data = std::move(ref);
      return true;
    }
    case CNSPEC_ARRAY: {
      auto& items = to.data.emplace<Value::Array>();
      for (std::uint64_t i = 0; i < from.as.array.count; ++i) {
        if (!copy(from.as.array.items[i], items.emplace_back(), depth + 1)) return false;
      }
      return true;
    }
    case CNSPEC_MAP: {
      auto& entries = to.data.emplace<Value::Map>();
      for (std::uint64_t i = 0; i < from.as.map.count; ++i) {
        auto& [key, value] = entries.emplace_back();
        if (!copy_text(from.as.map.entries[i].key, key)) return false;
        if (!copy(from.as.map.entries[i].value, value, depth + 1)) return false;
      }
      return true;
    }
    case CNSPEC_NULL: return true;
    default: return copy_text(from.as.str, to.data.emplace<std::string>());
  }
}

std::vector<Row> RowSink::take_rows() { return std::move(rows_); }

}  // namespace cnspec::provider
