#include <cnspec/provider.hpp>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "accounts.hpp"
#include "columns.hpp"
#include "file.hpp"
#include "machine.hpp"
#include "manifest.h"
#include "packages.hpp"
#include "platform.hpp"
#include "root.hpp"
#include "text.hpp"

namespace cnspec::os {
namespace {

using sdk::Call;
using sdk::Error;
using sdk::FetchRequest;
using sdk::Ref;
using sdk::Rows;
using sdk::Value;

constexpr std::size_t kMaxContent = 64 << 20;

Value text_or_null(const std::string& text) { return text.empty() ? Value() : Value(text); }

std::optional<int64_t> int_arg(const FetchRequest& request, std::string_view name) {
  for (const auto& [key, value] : request.args) {
    if (key == name && value.type == CNSPEC_INT) return value.as.i64;
  }
  return std::nullopt;
}

void stop_if_cancelled(const Call& call) {
  if (call.cancelled()) throw sdk::Stopped{CNSPEC_CANCELLED};
}

// What the asset's fields are made of; found once a connection.
struct Identity {
  Platform platform;
  Habitat habitat;
  std::string arch;
  std::string hostname;
  std::string fqdn;
  std::vector<std::string> ids;
};

class System : public sdk::Connection {
 public:
  explicit System(Root root) : root_(std::move(root)) {}

  void identify(Call&, Rows& rows) override { send_asset(rows, asset_columns()); }

  void fetch(Call& call, const FetchRequest& request, Rows& rows) override {
    namespace r = resources;
    if (request.type == r::asset::kType) return send_asset(rows, choose(asset_columns(), request));
    if (request.type == r::os::kType)
      return send(rows, r::os::kType, "os", root_, choose(os_columns(), request));
    if (request.type == r::users::kType || request.type == r::user::kType) return users(call, request, rows);
    if (request.type == r::groups::kType || request.type == r::group::kType)
      return groups(call, request, rows);
    if (request.type == r::packages::kType || request.type == r::package::kType)
      return packages(call, request, rows);
    if (request.type == r::file::kType) return file(request, rows);
    if (request.type == r::file_permissions::kType) return permissions(request, rows);
    throw Error(CNSPEC_UNSUPPORTED, "the provider os has no resource \"" + std::string(request.type) + "\"");
  }

 private:
  // ---- asset and os ----

  const Identity& identity() {
    if (identity_) return *identity_;
    auto platform = detect_platform(root_);
    if (!platform) {
      throw Error(CNSPEC_NOT_FOUND, "no operating system found in '" + root_.folder() +
                                        "': it has no etc/os-release, etc/lsb-release, etc/redhat-release or "
                                        "bin/busybox, nor another file that tells a distribution");
    }
    Identity found;
    found.platform = std::move(*platform);
    found.habitat = detect_habitat(root_);
    found.arch = root_.live() ? kernel_architecture() : architecture_of_programs(root_);
    found.hostname = host_name(root_);
    found.fqdn = qualified_name(root_, found.hostname);
    found.ids = platform_ids(root_, found.hostname);
    return identity_.emplace(std::move(found));
  }

  std::vector<Column<Identity>> asset_columns() {
    namespace f = resources::asset;
    constexpr Cost kFree = Cost::kFree;
    const auto metadata = [](const Identity& i) {
      return Value(Value::Map(i.platform.metadata.begin(), i.platform.metadata.end()));
    };
    return {{f::name, kFree, [](const Identity& i) { return text_or_null(i.fqdn); }},
            {f::ids, kFree, [](const Identity& i) { return Value(i.ids); }},
            {f::platform, kFree, [](const Identity& i) { return Value(i.platform.name); }},
            {f::title, kFree, [](const Identity& i) { return Value(i.platform.title); }},
            {f::version, kFree, [](const Identity& i) { return text_or_null(i.platform.version); }},
            {f::build, kFree, [](const Identity& i) { return text_or_null(i.platform.build); }},
            {f::arch, kFree, [](const Identity& i) { return text_or_null(i.arch); }},
            {f::kind, kFree, [](const Identity& i) { return text_or_null(i.habitat.kind); }},
            {f::runtime, kFree, [](const Identity& i) { return text_or_null(i.habitat.runtime); }},
            {f::family, kFree, [](const Identity& i) { return Value(i.platform.family); }},
            {f::hostname, kFree, [](const Identity& i) { return text_or_null(i.hostname); }},
            {f::fqdn, kFree, [](const Identity& i) { return text_or_null(i.fqdn); }},
            {f::ip, kFree,
             [this](const Identity&) { return root_.live() ? text_or_null(outbound_ip()) : Value(); }},
            {f::labels, kFree, metadata},
            {f::platformMetadata, kFree, metadata}};
  }

  void send_asset(Rows& rows, std::vector<Column<Identity>> columns) {
    const Identity& found = identity();
    for (auto& column : columns) {
      // An image without a name of its own is called by its folder.
      if (column.name == std::string_view(resources::asset::name) && found.fqdn.empty()) {
        column.get = [this](const Identity&) { return Value(root_.folder()); };
      }
    }
    const std::string id = found.ids.empty() ? id_text(root_.folder()) : found.ids[0];
    send(rows, resources::asset::kType, id, found, columns);
  }

  std::vector<Column<Root>> os_columns() {
    namespace f = resources::os;
    return {{f::name, Cost::kFree, [this](const Root& root) { return text_or_null(pretty_name(root)); }},
            {f::hostname, Cost::kFree,
             [](const Root& root) { return text_or_null(qualified_name(root, host_name(root))); }},
            {f::machineid, Cost::kFree, [](const Root& root) { return text_or_null(machine_id(root)); }},
            {f::uptime, Cost::kFree,
             [](const Root& root) {
               const auto up = uptime(root);
               return up ? Value(sdk::duration(up->seconds, up->nanoseconds)) : Value();
             }},
            {f::hypervisor, Cost::kFree,
             [](const Root& root) { return text_or_null(detect_habitat(root).hypervisor); }},
            {f::rebootpending, Cost::kFree, [this](const Root& root) {
               if (!identity().platform.in_family("debian")) {
                 throw Error(CNSPEC_UNSUPPORTED,
                             "whether " + identity().platform.title +
                                 " waits for a restart is not known: only the Debian family tells");
               }
               return Value(root.exists("/var/run/reboot-required"));
             }}};
  }

  std::string pretty_name(const Root& root) {
    constexpr std::string_view kKey = "PRETTY_HOSTNAME=";
    const auto info = root.peek("/etc/machine-info");
    for (const std::string_view line : split(info ? std::string_view(*info) : std::string_view(), '\n')) {
      if (!line.starts_with(kKey)) continue;
      std::string_view value = trim(line.substr(kKey.size()));
      if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
        value = value.substr(1, value.size() - 2);
      if (!value.empty()) return std::string(value);
    }
    return host_name(root);
  }

  // ---- users and groups ----

  void users(Call& call, const FetchRequest& request, Rows& rows) {
    namespace f = resources::user;
    std::vector<Group> groups;
    if (request.wants(f::group)) groups = read_groups(root_);
    const auto columns =
        choose<User>({{f::name, Cost::kFree, [](const User& u) { return Value(u.name); }},
                      {f::uid, Cost::kFree, [](const User& u) { return Value(u.uid); }},
                      {f::gid, Cost::kFree, [](const User& u) { return Value(u.gid); }},
                      {f::home, Cost::kFree, [](const User& u) { return Value(u.home); }},
                      {f::shell, Cost::kFree, [](const User& u) { return Value(u.shell); }},
                      {f::group, Cost::kCostly, [&](const User& u) { return group_ref(groups, u.gid); }}},
                     request);
    send_accounts(call, request, rows, {f::kType, f::uid, request.arg(f::name), int_arg(request, f::uid)},
                  read_users(root_), &User::uid, columns);
  }

  void groups(Call& call, const FetchRequest& request, Rows& rows) {
    namespace f = resources::group;
    std::vector<User> users;
    if (request.wants(f::members)) users = read_users(root_);
    const auto columns =
        choose<Group>({{f::name, Cost::kFree, [](const Group& g) { return Value(g.name); }},
                       {f::gid, Cost::kFree, [](const Group& g) { return Value(g.gid); }},
                       {f::members, Cost::kCostly, [&](const Group& g) { return member_refs(users, g); }}},
                      request);
    send_accounts(call, request, rows, {f::kType, f::gid, request.arg(f::name), int_arg(request, f::gid)},
                  read_groups(root_), &Group::gid, columns);
  }

  // Which accounts are asked for.
  struct Asked {
    std::string type;
    std::string number_name;
    std::optional<std::string_view> name;
    std::optional<int64_t> number;
  };

  template <class T>
  static void send_accounts(Call& call, const FetchRequest& request, Rows& rows, const Asked& asked,
                            const std::vector<T>& all, int64_t T::*number,
                            const std::vector<Column<T>>& columns) {
    bool found = false;
    for (const T& one : all) {
      stop_if_cancelled(call);
      const std::string id = one.id();
      if (asked.name && one.name != *asked.name) continue;
      if (asked.number && one.*number != *asked.number) continue;
      if (!request.id.empty() && id != request.id) continue;
      found = true;
      send(rows, asked.type, id, one, columns);
    }
    if (found) return;
    const std::string what = "cannot find " + asked.type + " with ";
    if (asked.name) throw Error(CNSPEC_NOT_FOUND, what + "name '" + std::string(*asked.name) + "'");
    if (asked.number) {
      throw Error(CNSPEC_NOT_FOUND, what + asked.number_name + " '" + std::to_string(*asked.number) + "'");
    }
    if (!request.id.empty()) throw Error(CNSPEC_NOT_FOUND, what + "id '" + std::string(request.id) + "'");
  }

  static Value group_ref(const std::vector<Group>& groups, int64_t gid) {
    const auto it = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.gid == gid; });
    if (it == groups.end()) throw Error(CNSPEC_NOT_FOUND, "cannot find group for gid " + std::to_string(gid));
    return Ref{resources::group::kType, it->id()};
  }

  static Value user_ref(const std::vector<User>& users, int64_t uid) {
    const auto it = std::find_if(users.begin(), users.end(), [&](const User& u) { return u.uid == uid; });
    if (it == users.end()) throw Error(CNSPEC_NOT_FOUND, "cannot find user for uid " + std::to_string(uid));
    return Ref{resources::user::kType, it->id()};
  }

  static Value member_refs(const std::vector<User>& users, const Group& group) {
    Value::Array out;
    for (const User& user : users) {
      const bool named =
          std::find(group.members.begin(), group.members.end(), user.name) != group.members.end();
      if (named || user.gid == group.gid) out.emplace_back(Ref{resources::user::kType, user.id()});
    }
    return out;
  }

  // ---- packages ----

  void packages(Call& call, const FetchRequest& request, Rows& rows) {
    namespace f = resources::package;
    const Platform& platform = identity().platform;
    const auto columns = choose<Package>(
        {{f::name, Cost::kFree, [](const Package& p) { return Value(p.name); }},
         {f::version, Cost::kFree, [](const Package& p) { return Value(p.version); }},
         {f::epoch, Cost::kFree, [](const Package& p) { return Value(p.epoch); }},
         {f::arch, Cost::kFree, [](const Package& p) { return Value(p.arch); }},
         {f::description, Cost::kCostly, [](const Package& p) { return Value(p.description); }},
         {f::format, Cost::kFree, [](const Package& p) { return Value(p.format); }},
         {f::origin, Cost::kFree, [](const Package& p) { return text_or_null(p.origin); }},
         {f::vendor, Cost::kFree, [](const Package& p) { return text_or_null(p.vendor); }},
         {f::status, Cost::kFree, [](const Package& p) { return text_or_null(p.status); }},
         {f::purl, Cost::kCostly, [&](const Package& p) { return Value(p.purl(platform)); }},
         {f::installed, Cost::kFree, [](const Package& p) { return Value(p.installed); }}},
        request);
    const auto name = request.arg(f::name);
    bool found = false;
    read_packages(root_, platform, [&](Package&& package) {
      stop_if_cancelled(call);
      if (name && package.name != *name) return true;
      const std::string id = package.id();
      if (!request.id.empty() && id != request.id) return true;
      found = true;
      send(rows, f::kType, id, package, columns);
      return request.id.empty();
    });
    if (found) return;
    if (name) return not_installed(*name, columns, rows);
    if (!request.id.empty())
      throw Error(CNSPEC_NOT_FOUND, "cannot find package with id '" + std::string(request.id) + "'");
  }

  // To ask for a package that is not there is no mistake.
  static void not_installed(std::string_view name, const std::vector<Column<Package>>& columns, Rows& rows) {
    namespace f = resources::package;
    auto row = rows.begin(f::kType, "none://" + id_text(name));
    for (const auto& column : columns) {
      const std::string_view field = column.name;
      if (field == f::name)
        row.put(field, name);
      else if (field == f::installed)
        row.put(field, false);
      else
        row.put(field, nullptr);
    }
  }

  // ---- files ----

  void file(const FetchRequest& request, Rows& rows) {
    namespace f = resources::file;
    const std::string_view path = request.arg(f::path).value_or(request.id);
    if (path.empty()) throw Error(CNSPEC_INVALID, "file needs the argument path");
    if (path[0] != '/' || path.find('\0') != std::string_view::npos) {
      throw Error(CNSPEC_INVALID, "file needs a path that begins with /, found '" + std::string(path) + "'");
    }
    const std::filesystem::path parts = std::filesystem::path(path).lexically_normal();
    const auto columns = choose<File>(
        {{f::path, Cost::kFree, [](const File& one) { return Value(one.path); }},
         {f::basename, Cost::kFree, [&](const File&) { return Value(parts.filename().string()); }},
         {f::dirname, Cost::kFree, [&](const File&) { return Value(parts.parent_path().string()); }},
         {f::exists, Cost::kFree, [](const File& one) { return Value(exists(one)); }},
         {f::size, Cost::kFree, [](const File& one) { return Value(int64_t{one.known().st_size}); }},
         {f::empty, Cost::kFree, [](const File& one) { return Value(one.known().st_size == 0); }},
         {f::content, Cost::kCostly,
          [this](const File& one) { return Value(root_.read(one.path, kMaxContent)); }},
         {f::permissions, Cost::kFree,
          [](const File& one) {
            return Value(Ref{resources::file_permissions::kType, permissions_text(one.known().st_mode)});
          }},
         {f::user, Cost::kCostly,
          [this](const File& one) { return user_ref(read_users(root_), one.known().st_uid); }},
         {f::group, Cost::kCostly,
          [this](const File& one) { return group_ref(read_groups(root_), one.known().st_gid); }}},
        request);
    send(rows, f::kType, id_text(path), look_at(root_, path), columns);
  }

  // A file that may not be seen is an error, not a file that is not there.
  static bool exists(const File& file) {
    if (file.error == ENOENT || file.error == ENOTDIR) return false;
    file.known();
    return true;
  }

  static void permissions(const FetchRequest& request, Rows& rows) {
    namespace f = resources::file_permissions;
    const auto parsed = parse_permissions(request.id);
    if (!parsed) {
      throw Error(CNSPEC_INVALID,
                  "file.permissions is asked for by what ls prints, such as -rw-r--r--; found '" +
                      std::string(request.id) + "'");
    }
    const auto bit = [](const char* name, mode_t mask) {
      return Column<mode_t>{name, Cost::kFree,
                            [mask](const mode_t& mode) { return Value((mode & mask) != 0); }};
    };
    const auto kind = [](const char* name, mode_t wanted) {
      return Column<mode_t>{name, Cost::kFree,
                            [wanted](const mode_t& mode) { return Value((mode & S_IFMT) == wanted); }};
    };
    const auto columns = choose<mode_t>(
        {{f::string, Cost::kFree, [](const mode_t& mode) { return Value(permissions_text(mode)); }},
         {f::mode, Cost::kFree, [](const mode_t& mode) { return Value(int64_t{mode & 07777}); }},
         bit(f::user_readable, S_IRUSR),
         bit(f::user_writeable, S_IWUSR),
         bit(f::user_executable, S_IXUSR),
         bit(f::group_readable, S_IRGRP),
         bit(f::group_writeable, S_IWGRP),
         bit(f::group_executable, S_IXGRP),
         bit(f::other_readable, S_IROTH),
         bit(f::other_writeable, S_IWOTH),
         bit(f::other_executable, S_IXOTH),
         bit(f::suid, S_ISUID),
         bit(f::sgid, S_ISGID),
         bit(f::sticky, S_ISVTX),
         kind(f::isDirectory, S_IFDIR),
         kind(f::isFile, S_IFREG),
         kind(f::isSymlink, S_IFLNK)},
        request);
    send(rows, f::kType, request.id, *parsed, columns);
  }

  Root root_;
  std::optional<Identity> identity_;
};

class Os : public sdk::Provider {
  std::unique_ptr<sdk::Connection> connect(Call&, const sdk::ConnectRequest& request) override {
    if (request.connector == "local") return std::make_unique<System>(Root("/"));
    const std::string given(request.args.at(0));
    std::error_code error;
    const auto folder = std::filesystem::absolute(given, error).lexically_normal();
    const auto status = std::filesystem::status(folder, error);
    if (status.type() == std::filesystem::file_type::not_found) {
      throw Error(CNSPEC_NOT_FOUND, "cannot open '" + given + "': no such folder");
    }
    if (error) throw Error(CNSPEC_PERMISSION_DENIED, "cannot open '" + given + "': " + error.message());
    if (!std::filesystem::is_directory(status)) {
      throw Error(CNSPEC_INVALID,
                  "cannot open '" + given + "': it is no folder; expected one that holds a mounted system");
    }
    return std::make_unique<System>(Root(folder.string()));
  }
};

}  // namespace
}  // namespace cnspec::os

CNSPEC_PROVIDER(cnspec::os::Os)
