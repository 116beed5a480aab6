#include "provider/sink.hpp"

#include <algorithm>
#include <cstring>

#include "base/text.hpp"
#include "provider/lower.hpp"

namespace cnspec::provider {
namespace {

constexpr std::size_t kMaxFields = 4096;
constexpr std::size_t kFirstFields = 64;  // that the first row has room for from the start
constexpr int kMaxDepth = 32;
constexpr const char* kTooMuch = "";  // of copy: the limit is reached

// Nearly all text is ASCII, and eight bytes at a time are seen to be.
bool is_text(std::string_view s) {
  std::size_t i = 0;
  for (; i + 8 <= s.size(); i += 8) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, s.data() + i, 8);
    if (eight & 0x8080808080808080) return is_utf8(s.substr(i));
  }
  return is_utf8(s.substr(i));
}

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

std::int32_t RowSink::too_much() {
  return violate("sent more than " + std::to_string(limits_.bytes) + " bytes");
}

// Sizes come from the provider: no sum of them may wrap around.
bool RowSink::take(std::uint64_t bytes) {
  if (bytes > limits_.bytes - bytes_) return false;
  bytes_ += bytes;
  return true;
}

std::int32_t RowSink::row_begin(cnspec_str type, cnspec_str id) {
  if (violation_) return CNSPEC_SINK_STOP;
  if (open_) return violate("began a row of " + shown(type) + " before it ended the one before");
  if (identify_ && !rows_.empty()) return violate("sent more than one row to identify");
  if (rows_.size() >= limits_.rows)
    return violate("sent more than " + std::to_string(limits_.rows) + " rows");
  if (!take(sizeof(Row)) || !take(type.size) || !take(id.size)) return too_much();
  if (!is_text(view(id))) return violate("sent a row of " + shown(type) + " whose id is not UTF-8");
  if (!type_ || *type_name_ != view(type)) {
    if (!is_utf8(view(type))) return violate("sent a row whose type is not UTF-8");
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
    type_name_ = &it->first;
    type_ = &it->second;
  }
  Row& row = rows_.emplace_back();
  row.type = *type_name_;
  row.id = view(id);
  row.names_ = names_;
  // As many as the row before had, which were paid for: names alone are not.
  row.fields_.reserve(rows_.size() > 1 ? rows_[rows_.size() - 2].fields_.size()
                                       : std::min(names_->size(), kFirstFields));
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
  const auto sent = [&] {
    return "sent the field \"" + printable((*names_)[field]) + "\" of \"" + printable(*type_name_) + '"';
  };
  if (!expected) return violate(sent() + ", which its manifest does not declare");
  // Copied first: the copy is bounded, and what is judged is what is kept.
  auto& [number, copied] = rows_.back().fields_.emplace_back();
  number = field;
  if (const char* problem = copy(value, copied, 0))
    return *problem ? violate(sent() + " with " + problem) : too_much();
  if (!expected->accepts(copied)) {
    return violate(sent() + " as " + spelled_type(copied) + ", its manifest declares " + expected->spelled());
  }
  return CNSPEC_SINK_CONTINUE;
}

std::int32_t RowSink::row_end() {
  if (violation_) return CNSPEC_SINK_STOP;
  if (!open_) return violate("ended a row that it had not begun");
  open_ = false;
  return CNSPEC_SINK_CONTINUE;
}

bool RowSink::copy_text(cnspec_str from, std::string& to) {
  if (!take(from.size)) return false;
  if (is_text(view(from)))
    to.assign(view(from));
  else
    to = to_utf8(view(from));
  return true;
}

const char* RowSink::copy(const cnspec_value& from, Value& to, int depth) {
  if (depth > kMaxDepth) return "a value nested deeper than 32 levels";
  if (!take(sizeof(Value))) return kTooMuch;
  to.type = from.type;
  switch (from.type) {
    case CNSPEC_NULL: return nullptr;
    case CNSPEC_BOOL: to.data = std::int64_t{from.as.i64 != 0}; return nullptr;
    case CNSPEC_INT: to.data = from.as.i64; return nullptr;
    case CNSPEC_FLOAT: to.data = from.as.f64; return nullptr;
    case CNSPEC_RANGE: to.data = from.as.range; return nullptr;
    case CNSPEC_TIME:
      to.data = from.as.time;
      return from.as.time.nanoseconds < 1'000'000'000 ? nullptr
                                                      : "a time whose nanoseconds make a second or more";
    case CNSPEC_STRING:
    case CNSPEC_REGEX:
    case CNSPEC_VERSION:
    case CNSPEC_IP:
    case CNSPEC_ERROR: return copy_text(from.as.str, to.data.emplace<std::string>()) ? nullptr : kTooMuch;
    case CNSPEC_BYTES:
      if (!take(from.as.str.size)) return kTooMuch;
      to.data = std::string(view(from.as.str));
      return nullptr;
    case CNSPEC_REF: {
      if (!from.as.ref) return "a reference to nothing (NULL)";
      auto ref = std::make_shared<Ref>();
      if (!copy_text(from.as.ref->type, ref->type) || !copy_text(from.as.ref->id, ref->id)) return kTooMuch;
      to.data = std::move(ref);
      return nullptr;
    }
    case CNSPEC_ARRAY: {
      const auto [items, count] = from.as.array;
      if (!items && count > 0) return "an array of nothing (NULL)";
      auto& copies = to.data.emplace<Value::Array>();
      for (std::uint64_t i = 0; i < count; ++i) {
        if (const char* problem = copy(items[i], copies.emplace_back(), depth + 1)) return problem;
      }
      return nullptr;
    }
    case CNSPEC_MAP: {
      const auto [entries, count] = from.as.map;
      if (!entries && count > 0) return "a map of nothing (NULL)";
      auto& copies = to.data.emplace<Value::Map>();
      for (std::uint64_t i = 0; i < count; ++i) {
        auto& [key, value] = copies.emplace_back();
        if (!copy_text(entries[i].key, key)) return kTooMuch;
        if (const char* problem = copy(entries[i].value, value, depth + 1)) return problem;
      }
      return nullptr;
    }
    default: return "a value of a type that there is not";
  }
}

Result<Row> RowSink::take_asset() {
  std::vector<Row> rows = take_rows();
  if (rows.empty()) return fail("sent no row, expected one of \"asset\"", ErrorKind::kInvalid);
  return std::move(rows.front());
}

std::vector<Row> RowSink::take_rows() {
  if (open_) rows_.pop_back();
  open_ = false;
  return std::move(rows_);
}

}  // namespace cnspec::provider
