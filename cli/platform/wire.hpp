// How messages look on the wire: binary protobuf or JSON, and errors as google.rpc.Status in either.
#pragma once

#include <google/protobuf/message.h>

#include <optional>
#include <string>
#include <string_view>

#include "base/json.hpp"

namespace cnspec::platform {

// The codes of gRPC, by number.
enum class Code {
  kOk = 0,
  kCanceled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

std::string_view name_of(Code code);
std::optional<Code> code_named(std::string_view name);  // exact case; "OK" included
int http_status(Code code);

enum class Format { kProtobuf, kJson };

std::string_view content_type(Format format);
// By a Content-Type header; nothing when it names neither format.
std::optional<Format> format_of(std::string_view content_type);
// The first of an Accept header's types that is spoken here, else `otherwise`. Weights (q=) are not weighed.
Format accepted(std::string_view accept, Format otherwise);

std::string encode(const google::protobuf::Message& message, Format format);
// JSON members may be snake_case or camelCase, and unknown ones are skipped. False when `body` makes no
// sense; then `why` says why.
bool decode(std::string_view body, Format format, google::protobuf::Message& into, std::string& why);

// An HTTP answer.
struct Answer {
  Code code = Code::kOk;
  int status = 200;
  std::string content_type;
  std::string body;
  std::string reason = {};  // of a refusal: for the platform's own log, where it says more than the body
  std::string who = {};     // the service account that signed, for the log
  std::string allow = {};   // the verb that status 405 asks for
};

Answer success(const google::protobuf::Message& message, Format format);
Answer failure(Code code, std::string_view message, Format format);

}  // namespace cnspec::platform
