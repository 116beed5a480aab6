#include "provider/verify/check.hpp"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "base/file.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "provider/elf.hpp"
#include "provider/host.hpp"
#include "provider/trusted_file.hpp"

namespace cnspec::provider::checks {
namespace {

// How long threads may take to be gone after they were joined.
constexpr milliseconds kSettle{1000};

const char kAsset[] =
    "Send one row of the type \"asset\", which says what was connected to; provider.h has the rules.";
const char kRule[] = "Send what provider.yaml declares, or declare what is sent; provider.h has the rules.";

std::size_t entries(const char* folder) {
  std::size_t count = 0;
  DIR* dir = ::opendir(folder);
  if (!dir) return 0;
  while (const dirent* entry = ::readdir(dir)) count += entry->d_name[0] != '.';
  ::closedir(dir);
  return count;
}

// A value of the flag's type, for a flag that has to be there.
Value placeholder(const manifest::Flag& flag) {
  if (flag.type == "bool") return Value(true);
  if (flag.type == "int") return Value(1);
  if (flag.type == "list") return Value(std::vector<std::string>{kNothing});
  if (flag.type == "map") return Value(Value::Map{{kNothing, Value(kNothing)}});
  return Value(kNothing);
}

}  // namespace

void Reporter::write(const char* kind, const std::string& what, const std::string& hint) {
  json::Document line(rapidjson::kObjectType);
  auto& alloc = line.GetAllocator();
  const auto add = [&](const char* key, const std::string& text) {
    constexpr std::size_t kMost = 2000;
    const std::string clean = to_utf8(text.size() > kMost ? text.substr(0, kMost) + "..." : text);
    line.AddMember(rapidjson::StringRef(key), json::text(clean, alloc), alloc);
  };
  add("kind", kind);
  add("what", what);
  add("hint", hint);
  const std::string text = json::write(line) + "\n";
  const std::lock_guard lock(mutex_);
  if (!write_all(pipe_, text)) ::_exit(1);  // nobody listens any more
}

std::size_t count_threads() { return entries("/proc/self/task"); }
std::size_t count_descriptors() { return entries("/proc/self/fd"); }

std::size_t settled_threads(std::size_t expected) {
  const auto end = Clock::now() + kSettle;
  while (count_threads() > expected && Clock::now() < end) std::this_thread::sleep_for(milliseconds(1));
  return count_threads();
}

std::string count(std::size_t number, const char* thing) {
  return std::to_string(number) + " " + thing + (number == 1 ? "" : "s");
}

std::string without_prefix(std::string text, const std::string& prefix) {
  if (text.starts_with(prefix)) text.erase(0, prefix.size());
  return text;
}

std::string said(const Subject& subject, const Error& error) {
  std::string message = without_prefix(error.message(), "provider \"" + subject.found.manifest.name + "\": ");
  return without_prefix(std::move(message), "load " + printable(subject.found.path.string()) + ": ");
}

Services services_of(Subject& subject, bool with_network) {
  Services out;
  if (with_network) out.http = subject.surroundings.services.http;
  out.log = [&subject](log::Level, std::string_view line) {
    constexpr std::size_t kMost = 1000;
    const std::lock_guard lock(subject.mutex);
    if (subject.log.size() < kMost) subject.log.emplace_back(line);
  };
  return out;
}

bool silent(const Error& error) {
  const std::string message = error.message();
  return message.find("failed without saying why") != std::string::npos ||
         message.ends_with("an exception of an unknown type");  // which is all that the SDK knew
}

bool well_failed(Subject& subject, const Error& error) {
  if (silent(error)) {
    subject.out.failed(said(subject, error), kSayWhy);
    return false;
  }
  if (error.kind() == ErrorKind::kInvalid) {
    const std::string what = said(subject, error);
    subject.out.failed(what, what.starts_with("identify") ? kAsset : kRule);
    return false;
  }
  return true;
}

bool unsupported(const Error& error) { return error.status() == kUnimplemented; }

std::string hint_of(const Error& error) {
  if (!error.hint().empty()) return error.hint();
  return unsupported(error) ? "It does not do that here (CNSPEC_UNSUPPORTED): name a system where it does."
                            : "Mend it, or name a system where it works.";
}

std::vector<ConnectRequest> targets(const Subject& subject) {
  if (subject.request.target) return {*subject.request.target};
  std::vector<ConnectRequest> out;
  for (const auto& connector : subject.found.manifest.connectors) {
    ConnectRequest request;
    request.connector = connector.name;
    request.args.assign(static_cast<std::size_t>(connector.min_args), kNothing);
    for (const auto& flag : connector.flags) {
      if (!flag.required || !flag.default_value.empty()) continue;
      if (flag.secret)
        request.secrets[flag.name] = kNothing;
      else
        request.flags[flag.name] = placeholder(flag);
    }
    out.push_back(std::move(request));
  }
  return out;
}

bool needs_arguments(const manifest::Resource& resource) {
  return std::ranges::any_of(resource.args, [](const auto& arg) { return arg.required; });
}

Limits limits_from_now(milliseconds from_now) {
  Limits out;
  out.deadline = Clock::now() + from_now;
  return out;
}

std::unique_ptr<Provider> open_quietly(Subject& subject, bool with_network) {
  subject.out.step("open");
  auto provider = load_in_process(subject.found, services_of(subject, with_network), limits_from_now(kCall));
  if (provider) return std::move(*provider);
  subject.out.failed(said(subject, provider.error()), "open has to work again after close.");
  return nullptr;
}

std::vector<std::unique_ptr<Connection>> connect_all(Subject& subject, Provider& provider) {
  std::vector<std::unique_ptr<Connection>> out;
  for (const ConnectRequest& target : targets(subject)) {
    subject.out.step("connect " + target.connector);
    auto connection = provider.connect(target, limits_from_now(kCall));
    if (connection) {
      out.push_back(std::move(*connection));
    } else if (subject.request.target) {
      subject.out.note("not connected, see \"behaviour\"");
    }
  }
  if (out.empty() && !subject.request.target)
    subject.out.note("nothing could be connected to: name a connector and its arguments for the whole of it");
  return out;
}

Result<std::string> read_section(const std::filesystem::path& path) {
  PermissionChecker permissions;
  if (auto good = permissions.check_folder(path.parent_path()); !good) return fail(good.error());
  auto file = permissions.open(path);
  if (!file) return fail(file.error());
  return read_elf_section(file->fd(), file->size(), CNSPEC_MANIFEST_SECTION);
}

std::string hint_for_file(const Error& error) {
  if (!error.hint().empty()) return error.hint();
  if (error.message().starts_with("cannot be opened") || error.kind() != ErrorKind::kInvalid)
    return "Name a file that is there, that you may read, and that belongs to you or to root.";
  return "Build it with cnspec_add_provider of the CMake package cnspec, for this machine.";
}

std::vector<std::string> fields_of(const Manifest& manifest, const manifest::Resource& resource) {
  const manifest::Resource* rows = resource.list.empty() ? &resource : manifest.resource(resource.list);
  std::vector<std::string> out;
  for (const auto& field : rows->fields) out.push_back(field.name);
  return out;
}

Rows fetch_all(Subject& subject, Connection& connection, const std::string& where) {
  Rows out;
  for (const auto& resource : subject.found.manifest.resources) {
    if (needs_arguments(resource)) continue;
    subject.out.step("fetch " + resource.name + where);
    out.emplace(resource.name,
                connection.fetch({resource.name, "", fields_of(subject.found.manifest, resource), {}},
                                 limits_from_now(kCall)));
  }
  return out;
}

}  // namespace cnspec::provider::checks
