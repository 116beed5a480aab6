// cnspec providers info: everything that a provider says of itself, and what is known of its file.
#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "base/fd.hpp"
#include "base/text.hpp"
#include "packages/install.hpp"
#include "providers.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::cli {
namespace {

using provider::Found;
using provider::Manifest;

struct Info {
  Found provider = {};
  bool isolated = false;
  bool named = false;                              // by its file: it is in no folder that is searched
  std::string kept = {};                           // the version before
  std::filesystem::path shadowed_by = {};          // the one that is used in its place; empty: none
  std::optional<provider::Unpacked> package = {};  // when it came out of one
};

std::string labelled(const std::string& label, const std::string& value) {
  std::string out = label + ":";
  out.resize(std::max<std::size_t>(out.size() + 1, 14), ' ');
  return "  " + out + printable(value) + "\n";
}

std::string listed(const std::string& label, const std::vector<std::string>& values) {
  return values.empty() ? "" : labelled(label, join(values, ", "));
}

// Two columns, the second one where the longest of the first allows it.
std::string table(const std::vector<std::pair<std::string, std::string>>& rows, const std::string& indent) {
  constexpr std::size_t kWidest = 34;
  std::size_t width = 0;
  for (const auto& row : rows)
    if (row.first.size() <= kWidest) width = std::max(width, row.first.size());
  std::string out;
  for (const auto& [left, right] : rows) {
    std::string line = indent + printable(left);
    if (!right.empty()) line.resize(std::max(line.size(), indent.size() + width), ' ');
    out += line + (right.empty() ? "" : "  " + printable(right)) + "\n";
  }
  return out;
}

std::string connectors_text(const Manifest& manifest) {
  std::string out;
  for (const auto& connector : manifest.connectors) {
    std::string head = connector.name + (connector.usage.empty() ? "" : " " + connector.usage);
    if (!connector.aliases.empty()) head += " (or " + join(connector.aliases, ", ") + ")";
    if (connector.hidden) head += " (hidden)";
    out += table({{head, connector.summary}}, "  ");
    std::vector<std::pair<std::string, std::string>> flags;
    for (const auto& flag : connector.flags) {
      std::string left = (flag.short_name.empty() ? "" : "-" + flag.short_name + ", ") + "--" + flag.name;
      if (flag.type != "bool") left += " " + flag.type;
      std::vector<std::string> notes;
      if (flag.required) notes.emplace_back("required");
      if (flag.secret) notes.emplace_back("secret");
      if (flag.hidden) notes.emplace_back("hidden");
      if (!flag.default_value.empty()) notes.push_back("default " + flag.default_value);
      flags.emplace_back(left, flag.summary + (notes.empty() ? "" : " (" + join(notes, ", ") + ")"));
    }
    out += table(flags, "      ");
  }
  return out;
}

std::string resources_text(const Manifest& manifest) {
  std::string out;
  for (const auto& resource : manifest.resources) {
    std::vector<std::string> args;
    for (const auto& arg : resource.args) args.push_back(arg.name + (arg.required ? " " : "? ") + arg.type);
    std::string head = resource.name + (args.empty() ? "" : "(" + join(args, ", ") + ")");
    if (!resource.list.empty()) head += " []" + resource.list;
    out += table({{head, resource.doc}}, "  ");
    std::vector<std::pair<std::string, std::string>> fields;
    for (const auto& field : resource.fields) fields.emplace_back(field.name + " " + field.type, field.doc);
    out += table(fields, "      ");
  }
  return out;
}

std::string heading(const std::string& what, std::size_t count) {
  return count == 0 ? "" : "→ " + what + "\n";
}

std::string render_text(const Info& info) {
  const Manifest& m = info.provider.manifest;
  std::string out = "→ " + m.name + " " + m.version + "\n";
  if (!m.summary.empty()) out += "  " + printable(m.summary) + "\n";
  out += labelled("id", m.id);
  if (info.package) {
    out += labelled("in package", info.provider.path.string());
    out += labelled("sha256", info.package->sha256);
  } else {
    out += labelled("path", info.provider.path.string());
    if (!info.named) out += labelled("from", to_string(info.provider.origin));
  }
  out += labelled("signer", to_string(info.provider.signer));
  if (!info.kept.empty())
    out += labelled("before", info.kept + ", kept for cnspec providers rollback " + m.name);
  out += labelled("runs", info.isolated ? "isolated, in a process of its own" : "in the process of cnspec");
  out += labelled("built for", m.os + "/" + m.arch + ", ABI 1." + std::to_string(m.abi_minor));
  const auto& c = m.capabilities;
  const bool any = !c.network.empty() || !c.files.empty() || !c.env.empty() || !c.exec.empty();
  out += "→ may use" + std::string(any ? "" : ": nothing but its connectors' arguments") + "\n";
  out += listed("network", c.network) + listed("files", c.files) + listed("variables", c.env) +
         listed("programs", c.exec);
  out += heading("connectors", m.connectors.size()) + connectors_text(m);
  out += heading("resources", m.resources.size()) + resources_text(m);
  if (m.open_schema) out += "→ and the resources of what it is connected to\n";
  return out;
}

std::string render_json(const Info& info) {
  json::Document out(rapidjson::kObjectType);
  auto& alloc = out.GetAllocator();
  const Manifest& m = info.provider.manifest;
  out.AddMember("name", json_text(m.name, alloc), alloc);
  out.AddMember("version", json_text(m.version, alloc), alloc);
  out.AddMember("path", json_text(info.provider.path.string(), alloc), alloc);
  if (info.package) {
    json::Value package(rapidjson::kObjectType);
    package.AddMember("sha256", json_text(info.package->sha256, alloc), alloc);
    package.AddMember("unpackedSize", info.package->size, alloc);
    out.AddMember("package", package, alloc);
  } else {
    if (!info.named) out.AddMember("origin", json_text(to_string(info.provider.origin), alloc), alloc);
  }
  out.AddMember("signer", json_of(info.provider.signer, alloc), alloc);
  out.AddMember("isolated", info.isolated, alloc);
  if (!info.kept.empty()) out.AddMember("before", json_text(info.kept, alloc), alloc);
  if (!info.shadowed_by.empty())
    out.AddMember("shadowedBy", json_text(info.shadowed_by.string(), alloc), alloc);
  // As in the library itself, so that its words are those of provider.yaml.
  if (const auto manifest = json::parse(cnspec::manifest::to_json(m))) {
    json::Value copy(*manifest, alloc);
    out.AddMember("manifest", copy, alloc);
  }
  return json::write_pretty(out, 2) + "\n";
}

Result<Info> of_package(const runtime::Runtime& runtime, const std::string& file) {
  auto options = packages::install_options(runtime);
  if (!options) return fail(options.error());
  const Fd fd(::open(file.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd) return fail("the package " + printable(file) + " cannot be opened: " + std::strerror(errno));
  auto inspected = provider::inspect_package({fd.get(), file}, {}, *options);
  if (!inspected) return fail(inspected.error());
  Info out{std::move(inspected->provider)};
  out.package = std::move(inspected->contents);
  return out;
}

Result<Info> of_library(const runtime::Runtime& runtime, const std::string& file) {
  std::error_code ec;
  const auto path = std::filesystem::absolute(file, ec).lexically_normal();
  auto found = provider::examine(runtime.search(), path, provider::Origin::kFlag);
  if (!found) return fail(Error::wrap(printable(file), found.error()));
  Info out{std::move(*found)};
  out.named = true;
  return out;
}

Result<Info> of_name(runtime::Runtime& runtime, const std::string& name) {
  const auto& inventory = runtime.providers();
  if (const Found* found = inventory.by_name(name)) return Info{*found};
  for (const auto& shadowed : inventory.shadowed) {
    if (shadowed.provider.manifest.name == name) {
      Info out{shadowed.provider};
      out.shadowed_by = shadowed.by;
      return out;
    }
  }
  for (const auto& refused : inventory.refused) {
    if (refused.path.stem() == name)
      return fail(Error::wrap(printable(refused.path.string()), refused.reason));
  }
  std::vector<std::string> names;
  for (const Found& found : inventory.active) names.push_back(found.manifest.name);
  const std::string like = closest(name, names);
  return fail(Error("there is no provider " + quoted_if_needed(name) +
                        (like.empty() ? "" : "; did you mean " + like + "?"),
                    ErrorKind::kNotFound)
                  .hint("installed are: " + join(names, ", ")));
}

Result<Info> find(runtime::Runtime& runtime, const std::string& target) {
  const bool library = target.ends_with(".so") || target.find('/') != target.npos;
  auto info = target.ends_with(".tar.xz") ? of_package(runtime, target)
              : library                   ? of_library(runtime, target)
                                          : of_name(runtime, target);
  if (!info) return info;
  info->isolated = runtime.isolation().isolates(info->provider);
  if (!info->package) info->kept = provider::kept_version(info->provider, runtime.search());
  return info;
}

}  // namespace

void add_providers_info(Command& providers, Globals& globals) {
  Command& command =
      providers.command("info", "Show what a provider is, may use and offers; none of its code is run");
  struct Flags {
    std::string target, output = "text";
  };
  auto flags = std::make_shared<Flags>();
  command.option({.names = "NAME|FILE",
                  .target = &flags->target,
                  .summary = "One that is installed, a library or a package",
                  .required = true,
                  .offers = [&globals] { return installed_names(globals); }});
  command.examples = {"cnspec providers info os", "cnspec providers info ./coffee_1.2.0_linux_amd64.tar.xz"};
  add_output(command, flags->output, {"text", "json"});
  command.run = [&globals, flags] {
    const auto runtime = start(globals, std::chrono::seconds(30));
    const auto info = find(*runtime, flags->target);
    if (!info) exit_with(info.error());
    print(flags->output == "json" ? render_json(*info) : render_text(*info));
    if (flags->output != "json") warn_if_shadowed(info->provider.manifest.name, info->shadowed_by);
  };
}

}  // namespace cnspec::cli
