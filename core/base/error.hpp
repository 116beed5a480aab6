// An error is a value: what failed, why, how to mend it, and the error beneath it.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace cnspec {

// What a caller may want to tell apart. The platform's own codes keep their gRPC names in Error::status.
enum class ErrorKind {
  kFailed,  // anything without a kind of its own
  kUsage,   // wrong arguments; exit code 2
  kConfig,  // the configuration is unusable; exit code 78
  kNotFound,
  kUntrusted,    // a file's owner, mode or contents forbid using it
  kUnavailable,  // could not be asked: name look-up, connection, TLS, proxy
  kTimeout,      // the deadline passed
  kCancelled,
  kRejected,  // the other side answered, and the answer is no
  kInvalid,   // an answer or a file that does not make sense
};

class Error {
 public:
  explicit Error(std::string what, ErrorKind kind = ErrorKind::kFailed)
      : kind_(kind), what_(std::move(what)) {}

  // A wider sentence around a narrower error; the kind is kept.
  static Error wrap(std::string what, Error cause) {
    Error e(std::move(what), cause.kind_);
    e.status_ = cause.status_;
    e.hint_ = cause.hint_;
    e.cause_ = std::make_shared<const Error>(std::move(cause));
    return e;
  }

  // How to mend it: one imperative sentence, printed after the message.
  Error&& hint(std::string text) && {
    hint_ = std::move(text);
    return std::move(*this);
  }
  // The gRPC code of a platform's answer (16 is Unauthenticated); 0 when it was no such answer.
  Error&& status(int code) && {
    status_ = code;
    return std::move(*this);
  }

  ErrorKind kind() const { return kind_; }
  int status() const { return status_; }
  const std::string& what() const { return what_; }
  const std::string& hint() const { return hint_; }
  const Error* cause() const { return cause_.get(); }

  // "what: cause: cause", without the hint.
  std::string message() const { return cause_ ? what_ + ": " + cause_->message() : what_; }

 private:
  ErrorKind kind_;
  int status_ = 0;
  std::string what_;
  std::string hint_;
  std::shared_ptr<const Error> cause_;
};

template <class T>
using Result = tl::expected<T, Error>;

inline tl::unexpected<Error> fail(std::string what, ErrorKind kind = ErrorKind::kFailed) {
  return tl::unexpected<Error>(Error(std::move(what), kind));
}
inline tl::unexpected<Error> fail(Error error) { return tl::unexpected<Error>(std::move(error)); }

}  // namespace cnspec
