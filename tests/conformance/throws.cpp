// Exceptions of every kind from every callback: the SDK lets none of them out.
#include <cnspec/provider.hpp>
#include <new>

#include "manifest.h"

using namespace cnspec::sdk;

namespace {

void raise(std::string_view kind) {
  if (kind == "error")
    throw Error(CNSPEC_PERMISSION_DENIED, "not on this floor").retryable().detail("floor", "3");
  if (kind == "ok-error") throw Error(CNSPEC_OK, "all is well");
  if (kind == "standard") throw std::out_of_range("beyond the shelf");
  if (kind == "memory") throw std::bad_alloc();
  if (kind == "number") throw 42;
}

class Thrower : public Connection {
 public:
  explicit Thrower(std::string_view kind) : kind_(kind) {}
  void identify(Call&, Rows& rows) override {
    auto row = rows.begin("asset", "x");
    raise(kind_);
    row.put("name", "unreached");
  }
  void fetch(Call& call, const FetchRequest&, Rows& rows) override {
    if (kind_ == "endless") {
      for (int64_t i = 0;; ++i) rows.begin("pot", "p").put("cups", i);
    }
    if (kind_ == "values") {
      rows.begin("pot", "p")
          .put("cups", 4u)
          .put("label", std::string("tea"))
          .put("notes", std::vector<std::string>{"a", "b"})
          .put("extra", Value::Map{{"deep", Value::Array{1, 2.5, true, nullptr, "x"}}})
          .put("owner", Ref{"pot", "p2"})
          .put("made", duration(90));
      return;
    }
    if (kind_ == "no-flag") call.config("nonsense");
    rows.begin("pot", "whole").put("cups", 1);
    auto row = rows.begin("pot", "half");
    raise(kind_);
  }

 private:
  std::string kind_;
};

class Throws : public Provider {
 public:
#ifdef CASE_CONSTRUCTOR
  Throws() { throw std::runtime_error("no socket in the wall"); }
#endif

 private:
  std::unique_ptr<Connection> connect(Call&, const ConnectRequest& request) override {
    if (request.args.size() > 1) raise(request.args[1]);
    if (request.args[0] == "nothing") return nullptr;
    return std::make_unique<Thrower>(request.args[0]);
  }
};

}  // namespace

CNSPEC_PROVIDER(Throws)
