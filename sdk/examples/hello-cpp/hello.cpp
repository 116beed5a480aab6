#include <cnspec/provider.hpp>

#include "manifest.h"

using namespace cnspec::sdk;

class Person : public Connection {
 public:
  explicit Person(std::string_view name) : name_(name) {}

  void identify(Call&, Rows& rows) override {
    rows.begin("asset", name_).put("name", name_).put("platform", "person");
  }

  void fetch(Call&, const FetchRequest&, Rows& rows) override {
    namespace greeting = resources::greeting;
    rows.begin(greeting::kType, name_).put(greeting::text, "Hello, " + name_ + "!");
  }

 private:
  std::string name_;
};

class Hello : public Provider {
  std::unique_ptr<Connection> connect(Call&, const ConnectRequest& request) override {
    return std::make_unique<Person>(request.args[0]);
  }
};

CNSPEC_PROVIDER(Hello)
