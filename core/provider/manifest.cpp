#include "provider/manifest.hpp"

#include <cstring>

#include "base/json.hpp"
#include "base/text.hpp"
#include "cnspec/provider.h"

namespace cnspec::provider {
namespace {

#if defined(__x86_64__)
constexpr std::string_view kArch = "amd64";
#elif defined(__aarch64__)
constexpr std::string_view kArch = "arm64";
#elif defined(__riscv)
constexpr std::string_view kArch = "riscv64";
#else
constexpr std::string_view kArch = "ppc64le";
#endif
#if defined(__APPLE__)
constexpr std::string_view kOs = "darwin";
#else
constexpr std::string_view kOs = "linux";
#endif

// `what` quotes from the manifest, which may be a million letters long.
tl::unexpected<Error> refuse(const std::string& what) {
  constexpr std::size_t kMost = 300;
  return fail("manifest: " + (what.size() > kMost ? to_utf8(what.substr(0, kMost)) + "..." : what),
              ErrorKind::kInvalid);
}

// Reads members and remembers the first that has the wrong type.
class Reader {
 public:
  std::string problem;

  std::string text(const json::Value& object, const char* key) {
    const json::Value* v = json::find(object, key);
    if (!v) return {};
    if (v->IsString()) return std::string(json::view(*v));
    return wrong(key, "text"), std::string();
  }
  int number(const json::Value& object, const char* key) {
    const json::Value* v = json::find(object, key);
    if (!v) return 0;
    if (v->IsInt()) return v->GetInt();
    return wrong(key, "a number"), 0;
  }
  bool truth(const json::Value& object, const char* key) {
    const json::Value* v = json::find(object, key);
    if (!v) return false;
    if (v->IsBool()) return v->GetBool();
    return wrong(key, "true or false"), false;
  }
  std::vector<std::string> texts(const json::Value& object, const char* key) {
    std::vector<std::string> out;
    each(object, key, "a list of texts", [&](const json::Value& item) {
      if (item.IsString())
        out.emplace_back(json::view(item));
      else
        wrong(key, "a list of texts");
    });
    return out;
  }
  template <class Visit>
  void objects(const json::Value& object, const char* key, Visit&& visit) {
    each(object, key, "a list of objects", [&](const json::Value& item) {
      if (item.IsObject())
        visit(item);
      else
        wrong(key, "a list of objects");
    });
  }

 private:
  template <class Visit>
  void each(const json::Value& object, const char* key, const char* expected, Visit&& visit) {
    const json::Value* v = json::find(object, key);
    if (!v) return;
    if (!v->IsArray()) return wrong(key, expected);
    for (const json::Value& item : v->GetArray()) visit(item);
  }
  void wrong(const char* key, const char* expected) {
    if (problem.empty()) problem = std::string("\"") + key + "\" is not " + expected;
  }
};

manifest::Field read_field(Reader& r, const json::Value& v) {
  return {r.text(v, "name"), r.text(v, "type"), r.text(v, "doc"), r.truth(v, "required"), 0};
}

manifest::Connector read_connector(Reader& r, const json::Value& v) {
  manifest::Connector c;
  c.name = r.text(v, "name");
  c.aliases = r.texts(v, "aliases");
  c.summary = r.text(v, "summary");
  c.usage = r.text(v, "usage");
  c.min_args = r.number(v, "min_args");
  c.max_args = r.number(v, "max_args");
  c.hidden = r.truth(v, "hidden");
  r.objects(v, "flags", [&](const json::Value& f) {
    c.flags.push_back({r.text(f, "name"), r.text(f, "short"), r.text(f, "type"), r.text(f, "summary"),
                       r.text(f, "default"), r.text(f, "asks_for"), r.truth(f, "secret"),
                       r.truth(f, "required"), r.truth(f, "hidden"), 0});
  });
  return c;
}

manifest::Resource read_resource(Reader& r, const json::Value& v) {
  manifest::Resource out;
  out.name = r.text(v, "name");
  out.doc = r.text(v, "doc");
  out.list = r.text(v, "list");
  out.defaults = r.texts(v, "defaults");
  r.objects(v, "args", [&](const json::Value& f) { out.args.push_back(read_field(r, f)); });
  r.objects(v, "fields", [&](const json::Value& f) { out.fields.push_back(read_field(r, f)); });
  return out;
}

}  // namespace

std::string_view this_os() { return kOs; }
std::string_view this_arch() { return kArch; }

Result<Manifest> read_manifest(std::string_view section) {
  cnspec_manifest_header header{};
  if (section.size() < sizeof header) {
    return refuse("expected at least " + std::to_string(sizeof header) + " bytes, found " +
                  std::to_string(section.size()));
  }
  std::memcpy(&header, section.data(), sizeof header);
  if (std::memcmp(header.magic, CNSPEC_MANIFEST_MAGIC, sizeof header.magic) != 0) {
    return refuse("expected it to begin with " CNSPEC_MANIFEST_MAGIC ", found \"" +
                  printable({header.magic, sizeof header.magic}) + "\"");
  }
  if (header.format != 1) {
    return refuse("expected format 1, found " + std::to_string(header.format) +
                  "; a newer cnspec may read it");
  }
  if (header.size != section.size() - sizeof header) {
    return refuse("expected " + std::to_string(header.size) + " bytes of JSON, found " +
                  std::to_string(section.size() - sizeof header));
  }
  auto document = json::parse(section.substr(sizeof header));
  if (!document) return refuse(document.error().message());
  if (!document->IsObject()) return refuse("expected a JSON object");

  Reader r;
  Manifest m;
  m.id = r.text(*document, "id");
  m.name = r.text(*document, "name");
  m.version = r.text(*document, "version");
  m.summary = r.text(*document, "summary");
  m.os = r.text(*document, "os");
  m.arch = r.text(*document, "arch");
  m.abi_minor = r.number(*document, "abi_minor");
  m.threads_many = r.truth(*document, "threads_many");
  m.open_schema = r.truth(*document, "open_schema");
  if (const json::Value* c = json::find(*document, "capabilities")) {
    m.capabilities = {r.texts(*c, "network"), r.texts(*c, "files"), r.texts(*c, "env"), r.texts(*c, "exec")};
  }
  r.objects(*document, "connectors",
            [&](const json::Value& v) { m.connectors.push_back(read_connector(r, v)); });
  r.objects(*document, "resources",
            [&](const json::Value& v) { m.resources.push_back(read_resource(r, v)); });
  if (!r.problem.empty()) return refuse(r.problem);
  if (const auto problem = manifest::check(m)) return refuse(printable(problem->message));
  if (m.os != kOs || m.arch != kArch) {
    return refuse("expected " + std::string(kOs) + "/" + std::string(kArch) + ", found " + printable(m.os) +
                  "/" + printable(m.arch));
  }
  return m;
}

}  // namespace cnspec::provider
