#include "wire.hpp"

#include <google/protobuf/util/json_util.h>

#include <array>

#include "api.pb.h"
#include "base/json.hpp"
#include "base/text.hpp"

namespace cnspec::platform {
namespace {

struct CodeRow {
  std::string_view name;
  int http;
};
// By number.
constexpr std::array<CodeRow, 17> kCodes = {{{"OK", 200},
                                             {"Canceled", 408},
                                             {"Unknown", 500},
                                             {"InvalidArgument", 400},
                                             {"DeadlineExceeded", 504},
                                             {"NotFound", 404},
                                             {"AlreadyExists", 409},
                                             {"PermissionDenied", 403},
                                             {"ResourceExhausted", 429},
                                             {"FailedPrecondition", 412},
                                             {"Aborted", 409},
                                             {"OutOfRange", 500},
                                             {"Unimplemented", 501},
                                             {"Internal", 500},
                                             {"Unavailable", 503},
                                             {"DataLoss", 500},
                                             {"Unauthenticated", 401}}};

constexpr std::array<std::pair<std::string_view, Format>, 4> kTypes = {{
    {"application/protobuf", Format::kProtobuf},
    {"application/json", Format::kJson},
    {"application/x-protobuf", Format::kProtobuf},
    {"application/octet-stream", Format::kProtobuf},
}};

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

}  // namespace

std::string_view name_of(Code code) { return kCodes[static_cast<std::size_t>(code)].name; }

std::optional<Code> code_named(std::string_view name) {
  for (std::size_t i = 0; i < kCodes.size(); ++i) {
    if (kCodes[i].name == name) return static_cast<Code>(i);
  }
  return std::nullopt;
}

int http_status(Code code) { return kCodes[static_cast<std::size_t>(code)].http; }

std::string_view content_type(Format format) { return kTypes[format == Format::kJson ? 1 : 0].first; }

std::optional<Format> format_of(std::string_view header) {
  const std::string type = to_lower(trim(header.substr(0, header.find(';'))));  // without its parameters
  for (const auto& [name, format] : kTypes) {
    if (type == name) return format;
  }
  return std::nullopt;
}

Format accepted(std::string_view accept, Format otherwise) {
  while (!accept.empty()) {
    const auto comma = accept.find(',');
    if (const auto format = format_of(accept.substr(0, comma))) return *format;
    accept.remove_prefix(comma == accept.npos ? accept.size() : comma + 1);
  }
  return otherwise;
}

std::string encode(const google::protobuf::Message& message, Format format) {
  if (format == Format::kProtobuf) return message.SerializeAsString();
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  // Cannot fail: these messages hold no Any, and every string came in as valid UTF-8.
  static_cast<void>(google::protobuf::util::MessageToJsonString(message, &json, options));
  return json;
}

bool decode(std::string_view body, Format format, google::protobuf::Message& into, std::string& why) {
  if (format == Format::kProtobuf) {
    if (into.ParseFromArray(body.data(), static_cast<int>(body.size()))) return true;
    why = "the body is no valid protobuf of " + into.GetDescriptor()->name();
    return false;
  }
  google::protobuf::util::JsonParseOptions options;
  options.ignore_unknown_fields = true;
  // protobuf's own reader takes more than JSON, and an empty text or a bare null for a message.
  const auto strict = json::parse(body);
  if (!strict || !strict->IsObject()) {
    why = strict ? "the body is no JSON object" : "the body is " + strict.error().message();
    return false;
  }
  const auto status = google::protobuf::util::JsonStringToMessage({body.data(), body.size()}, &into, options);
  if (status.ok()) return true;
  const std::string detail(status.message());
  why = "the body is no " + into.GetDescriptor()->name() + ": " + detail.substr(0, detail.find('\n'));
  return false;
}

Answer success(const google::protobuf::Message& message, Format format) {
  return {Code::kOk, 200, std::string(content_type(format)), encode(message, format)};
}

Answer failure(Code code, std::string_view message, Format format) {
  Status status;
  status.set_code(static_cast<int>(code));
  status.set_message(to_utf8(message));
  return {code, http_status(code), std::string(content_type(format)), encode(status, format)};
}

}  // namespace cnspec::platform
