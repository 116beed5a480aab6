// The same report for programs. The first fields are those of the existing tool, at its places and in its
// spelling; like there, what is empty is left out.

#include <algorithm>

#include "base/json.hpp"
#include "base/text.hpp"
#include "base/url.hpp"
#include "base/version.hpp"
#include "config/yaml.hpp"
#include "status/status.hpp"

namespace cnspec::status {
namespace {

using Allocator = json::Document::AllocatorType;

class Object {
 public:
  explicit Object(Allocator& alloc) : alloc_(alloc), value_(rapidjson::kObjectType) {}

  Object& text(const char* key, const std::string& value) {
    if (!value.empty()) put(key, string(value));
    return *this;
  }
  Object& texts(const char* key, const std::vector<std::string>& values) {
    if (values.empty()) return *this;
    json::Value list(rapidjson::kArrayType);
    for (const std::string& value : values) list.PushBack(string(value), alloc_);
    return put(key, std::move(list));
  }
  Object& truth(const char* key, bool value) { return put(key, json::Value(value)); }
  Object& number(const char* key, std::int64_t value) { return put(key, json::Value(value)); }
  Object& put(const char* key, json::Value value) {
    value_.AddMember(rapidjson::StringRef(key), value, alloc_);
    return *this;
  }
  Object& put(const char* key, Object object) { return put(key, std::move(object.value_)); }
  json::Value take() { return std::move(value_); }

 private:
  json::Value string(const std::string& raw) { return json::text(to_utf8(raw), alloc_); }
  Allocator& alloc_;
  json::Value value_;
};

const char* kind_name(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kFailed: return "failed";
    case ErrorKind::kUsage: return "usage";
    case ErrorKind::kConfig: return "config";
    case ErrorKind::kNotFound: return "not-found";
    case ErrorKind::kUntrusted: return "untrusted";
    case ErrorKind::kUnavailable: return "unavailable";
    case ErrorKind::kTimeout: return "timeout";
    case ErrorKind::kCancelled: return "cancelled";
    case ErrorKind::kRejected: return "rejected";
    case ErrorKind::kInvalid: return "invalid";
  }
  return "failed";
}

Object error_object(const Error& error, Allocator& alloc) {
  Object out(alloc);
  out.text("kind", kind_name(error.kind()));
  if (error.status() != 0) out.number("code", error.status());
  return std::move(out.text("message", error.message()).text("hint", error.hint()));
}

// The segments that address this kind of platform in the platform's console.
std::vector<std::string> technology_segments(const Machine& m) {
  const bool linux = std::find(m.family.begin(), m.family.end(), "linux") != m.family.end();
  std::vector<std::string> out = {"os"};
  if (linux) out.emplace_back("linux");
  out.push_back(m.name);
  if (!m.version.empty()) out.push_back(m.version);
  return out;
}

Object client(const Status& s, Allocator& alloc) {
  Object out(alloc);
  out.text("timestamp", rfc3339_local(s.now))
      .text("mrn", s.client)
      .text("service_account", s.service_account);
  out.text("parentMrn", s.owner).text("version", kVersion);
  out.text("latest_version", s.latest_version.value_or("")).text("build", kBuild);
  if (s.latest_version) out.truth("outdated", s.newer_version_available());
  if (s.machine) {
    const Machine& m = *s.machine;
    Object platform(alloc);
    platform.text("name", m.name).text("arch", m.arch).text("title", m.title).texts("family", m.family);
    platform.text("build", m.build).text("version", m.version).text("kind", m.kind);
    platform.texts("technology_url_segments", technology_segments(m)).text("runtime", m.runtime);
    out.put("platform", std::move(platform)).text("ip", m.ip).text("hostname", m.hostname);
    out.texts("platformIds", m.ids);
  }
  // Unlike there, these are always said.
  out.text("state", to_string(s.state()));
  out.truth("registered", s.registered).truth("authenticated", s.authenticated);
  const Error* error = s.error_of("ping");
  if (!error) error = s.error_of("configuration");
  if (error) out.put("pingPongError", error_object(*error, alloc));
  out.text("updatesUrl", shown_url(s.updates_url));
  out.text("providersUrl", shown_url(s.providers_url));
  Object source(alloc);
  source.text("path", s.source.path.string()).text("source", s.source.label);
  source.truth("loaded", s.source.kind != config::Source::Kind::kNone);
  return std::move(out.put("config", std::move(source)));
}

Object upstream(const Status& s, Allocator& alloc) {
  Object api(alloc);
  api.text("endpoint", shown_url(s.endpoint));
  if (s.health) {
    api.text("status", s.health->status)
        .text("timestamp", s.health->time)
        .text("version", s.health->api_version);
  }
  std::vector<std::string> warnings;
  if (s.api_version_differs()) warnings.emplace_back("API versions do not match, please update the client");
  if (s.round_trip)
    warnings.push_back("detected very long round-trip times: " + duration_text(*s.round_trip));
  if (s.clock_unreadable()) warnings.emplace_back("cannot run clock skew check");
  if (s.clock_skew) warnings.push_back("possible clock skew detected: " + duration_text(*s.clock_skew));
  Object out(alloc);
  out.put("api", std::move(api)).texts("features", s.features);
  return std::move(out.texts("warnings", warnings));
}

json::Value providers(const Status& s, Allocator& alloc) {
  json::Value list(rapidjson::kArrayType);
  if (!s.providers) return list;
  for (const auto& found : s.providers->active) {
    Object one(alloc);
    one.text("name", found.manifest.name).text("version", found.manifest.version);
    one.text("path", found.path.string()).text("origin", to_string(found.origin));
    one.truth("isolated", s.isolation->isolates(found)).truth("outdated", s.outdated(found));
    if (const auto latest = s.latest_providers.find(found.manifest.name); latest != s.latest_providers.end())
      one.text("latest_version", latest->second);
    list.PushBack(one.take(), alloc);
  }
  for (const auto& refused : s.providers->refused) {
    Object reason(alloc);
    reason.text("reason", refused.reason.message()).text("hint", refused.reason.hint());
    Object one(alloc);
    one.text("name", refused.path.stem().string());
    one.text("path", refused.path.string()).text("origin", to_string(refused.origin));
    one.put("refused", std::move(reason));
    list.PushBack(one.take(), alloc);
  }
  return list;
}

json::Value checks(const Status& s, Allocator& alloc) {
  json::Value list(rapidjson::kArrayType);
  for (const Check& check : s.checks) {
    Object one(alloc);
    one.text("name", check.name).truth("ok", !check.error).number("milliseconds", check.took.count());
    if (check.error) one.put("error", error_object(*check.error, alloc));
    one.text("requestId", check.request_id);
    list.PushBack(one.take(), alloc);
  }
  return list;
}

json::Document document(const Status& s) {
  json::Document out(rapidjson::kObjectType);
  Allocator& alloc = out.GetAllocator();
  out.AddMember("client", client(s, alloc).take(), alloc);
  out.AddMember("upstream", upstream(s, alloc).take(), alloc);
  out.AddMember("providers", providers(s, alloc), alloc);
  out.AddMember("checks", checks(s, alloc), alloc);
  return out;
}

}  // namespace

std::string render_json(const Status& status) { return json::write_pretty(document(status), 2) + "\n"; }

std::string render_yaml(const Status& status) { return config::to_yaml(document(status)); }

}  // namespace cnspec::status
