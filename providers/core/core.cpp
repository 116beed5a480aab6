#include <cnspec/provider.hpp>
#include <ctime>
#include <optional>

#include "document.hpp"
#include "manifest.h"
#include "shared/read_file.hpp"
#include "uuid.hpp"

namespace cnspec::coreprovider {
namespace {

using sdk::Call;
using sdk::Error;
using sdk::FetchRequest;
using sdk::FieldError;
using sdk::Row;
using sdk::Rows;
using sdk::Value;

constexpr std::size_t kMaxJson = 64 << 20;

constexpr const char* processor() {
#if defined(__x86_64__) || defined(_M_X64)
  return "amd64";
#elif defined(__aarch64__) || defined(_M_ARM64)
  return "arm64";
#elif defined(__riscv) && __riscv_xlen == 64
  return "riscv64";
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
  return "ppc64le";
#else
#error "name this architecture here"
#endif
}

// The midnight, in local time, that begins the day so many days from today. Days are not all 24 hours long.
cnspec_time midnight(int days) {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  local.tm_hour = local.tm_min = local.tm_sec = 0;
  local.tm_mday += days;
  local.tm_isdst = -1;
  return {std::mktime(&local), 0, 0};
}

bool wants(const FetchRequest& request, std::string_view field) {
  return request.fields.empty() || request.wants(field);
}

// What the host said of itself.
struct Program {
  std::optional<std::string> version;
  std::optional<std::string> build;
  std::optional<std::string> api_version;
  std::vector<std::string> providers;
};

class Runtime : public sdk::Connection {
 public:
  explicit Runtime(Program program) : program_(std::move(program)) {}

  void identify(Call&, Rows& rows) override { asset(rows); }

  void fetch(Call&, const FetchRequest& request, Rows& rows) override {
    namespace r = resources;
    if (request.type == r::asset::kType) return asset(rows);
    if (request.type == r::mondoo::kType) return mondoo(rows);
    if (request.type == r::time::kType) return time(rows);
    if (request.type == r::uuid::kType) return uuid(request, rows);
    if (request.type == r::parse_json::kType) return json(request, rows);
    if (request.type == r::parse_yaml::kType) return yaml(request, rows);
    throw Error(CNSPEC_UNSUPPORTED,
                "the provider core has no resource \"" + std::string(request.type) + "\"");
  }

 private:
  static Value or_null(const std::optional<std::string>& text) { return text ? Value(*text) : Value(); }

  void asset(Rows& rows) {
    namespace f = resources::asset;
    rows.begin(f::kType, "cnspec")
        .put(f::name, "cnspec")
        .put(f::platform, "cnspec")
        .put(f::version, or_null(program_.version));
  }

  void mondoo(Rows& rows) {
    namespace f = resources::mondoo;
    rows.begin(f::kType, "mondoo")
        .put(f::version, or_null(program_.version))
        .put(f::build, or_null(program_.build))
        .put(f::arch, processor())
        .put(f::apiVersion, or_null(program_.api_version))
        .put(f::providers, Value(program_.providers));
  }

  static void time(Rows& rows) {
    namespace f = resources::time;
    rows.begin(f::kType, "time")
        .put(f::now, sdk::to_abi(std::chrono::system_clock::now()))
        .put(f::second, sdk::duration(1))
        .put(f::minute, sdk::duration(60))
        .put(f::hour, sdk::duration(60 * 60))
        .put(f::day, sdk::duration(24 * 60 * 60))
        .put(f::today, midnight(0))
        .put(f::tomorrow, midnight(1));
  }

  static void uuid(const FetchRequest& request, Rows& rows) {
    namespace f = resources::uuid;
    const std::string_view given = request.arg(f::value).value_or(request.id);
    if (given.empty()) throw Error(CNSPEC_INVALID, "uuid needs the argument value");
    const Uuid parsed = parse_uuid(given);
    rows.begin(f::kType, parsed.text)
        .put(f::value, parsed.text)
        .put(f::urn, "urn:uuid:" + parsed.text)
        .put(f::version, parsed.version)
        .put(f::variant, parsed.variant);
  }

  // ---- Documents ----

  struct Source {
    std::string id;
    std::optional<std::string> path;
    std::string content;
  };

  // From the argument content, or the file that the argument path names.
  static Source source(const FetchRequest& request, std::size_t limit) {
    const std::string type(request.type);
    const auto content = request.arg("content");
    const auto path = request.arg("path");
    if (content && path)
      throw Error(CNSPEC_INVALID, type + " takes one of the arguments content and path, not both");
    if (content) return {type, std::nullopt, std::string(*content)};
    if (!path || path->empty())
      throw Error(CNSPEC_INVALID, type + " needs one of the arguments content and path");
    if (path->find('\0') != std::string_view::npos)
      throw Error(CNSPEC_INVALID, type + ": the path holds a zero byte");
    return {std::string(*path), std::string(*path), providers::read_whole(std::string(*path), *path, limit)};
  }

  template <class Parse>
  static void put_parsed(Row& row, const char* field, Parse&& parse) {
    Value value;
    try {
      value = parse();
    } catch (const Error& error) {
      value = FieldError{error.what()};
    }
    row.put(field, value);
  }

  static void json(const FetchRequest& request, Rows& rows) {
    namespace f = resources::parse_json;
    const Source from = source(request, kMaxJson);
    Row row = rows.begin(f::kType, from.id);
    row.put(f::path, or_null(from.path));
    if (wants(request, f::content)) row.put(f::content, from.content);
    if (wants(request, f::params)) put_parsed(row, f::params, [&] { return parse_json(from.content); });
  }

  static void yaml(const FetchRequest& request, Rows& rows) {
    namespace f = resources::parse_yaml;
    const Source from = source(request, kMaxYaml);
    Row row = rows.begin(f::kType, from.id);
    row.put(f::path, or_null(from.path));
    if (wants(request, f::content)) row.put(f::content, from.content);
    if (wants(request, f::params)) put_parsed(row, f::params, [&] { return first_mapping(from.content); });
    if (wants(request, f::documents)) {
      put_parsed(row, f::documents, [&] { return Value(Value::Array(parse_yaml(from.content))); });
    }
  }

  static Value first_mapping(const std::string& text) {
    auto documents = parse_yaml(text);
    if (documents.empty() || std::holds_alternative<std::nullptr_t>(documents[0].data())) return {};
    if (!std::holds_alternative<Value::Map>(documents[0].data())) {
      throw Error(CNSPEC_INVALID,
                  "cannot take the params of the YAML document: it is no mapping; ask for documents");
    }
    return std::move(documents[0]);
  }

  const Program program_;
};

class Core : public sdk::Provider {
  std::unique_ptr<sdk::Connection> connect(Call& call, const sdk::ConnectRequest&) override {
    return std::make_unique<Runtime>(Program{call.config(flags::version), call.config(flags::build),
                                             call.config(flags::api_version),
                                             call.config_list(flags::providers)});
  }
};

}  // namespace
}  // namespace cnspec::coreprovider

CNSPEC_PROVIDER(cnspec::coreprovider::Core)
