// A system library that is needed rarely: loaded when it is, so that nobody else pays for it.
#pragma once

#include <dlfcn.h>

#include <string>

namespace cnspec::os {

class Library {
 public:
  // `name` is found as the loader finds a linked library. It stays loaded.
  explicit Library(const char* name) : handle_(::dlopen(name, RTLD_NOW | RTLD_LOCAL)) {
    if (const char* why = handle_ ? nullptr : ::dlerror()) error_ = why;
  }

  // Why it could not be loaded; empty when it was.
  const std::string& error() const { return error_; }

  // Fills a pointer to a function; the error names one that is missing.
  template <class Function>
  void find(Function*& function, const char* name) {
    if (!handle_) return;
    function = reinterpret_cast<Function*>(::dlsym(handle_, name));
    if (!function) error_ = std::string("it has no function ") + name;
  }

 private:
  void* handle_;
  std::string error_;
};

}  // namespace cnspec::os
