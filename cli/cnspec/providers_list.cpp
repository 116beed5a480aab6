#include <algorithm>

#include "base/json.hpp"
#include "base/text.hpp"
#include "provider/sandbox.hpp"
#include "providers.hpp"
#include "runtime/runtime.hpp"

namespace cnspec::cli {
namespace {

using provider::Found;
using provider::Inventory;

std::vector<std::string> connector_names(const provider::Manifest& manifest, bool hidden) {
  std::vector<std::string> out;
  for (const auto& connector : manifest.connectors) {
    if (hidden || !connector.hidden) out.push_back(connector.name);
  }
  return out;
}

using provider::IsolationPolicy;

std::string line(const Found& found, const IsolationPolicy& isolation) {
  std::string out = "  " + found.manifest.name + " " + found.manifest.version;
  const auto connectors = connector_names(found.manifest, false);
  if (!connectors.empty()) out += " with connectors: " + join(connectors, ", ");
  return out + "  (" + to_string(found.signer) + (isolation.isolates(found) ? ", isolated)" : ")");
}

// NAME.so, or NAME/NAME.so below it.
bool lies_in(const Found& found, const std::filesystem::path& folder) {
  const auto parent = found.path.parent_path();
  return parent == folder || parent.parent_path() == folder;
}

// Where from, as a heading: one folder after the other in the order they are searched.
std::string render_text(const Inventory& inventory, const IsolationPolicy& isolation) {
  std::string out;
  for (const auto& folder : inventory.folders) {
    std::string rows;
    std::size_t count = 0;
    for (const Found& found : inventory.active) {
      if (!lies_in(found, folder.path)) continue;
      ++count;
      rows += line(found, isolation) + "\n";
    }
    for (const auto& shadowed : inventory.shadowed) {
      if (!lies_in(shadowed.provider, folder.path)) continue;
      rows +=
          line(shadowed.provider, isolation) + "  (shadowed by " + printable(shadowed.by.string()) + ")\n";
    }
    const std::string name = printable(folder.path.string()) + " (" + to_string(folder.origin) + ")";
    out += "→ " + name +
           (count == 1     ? ": 1 provider"
            : count        ? ": " + std::to_string(count) + " providers"
            : rows.empty() ? " has no providers"
                           : ": none that is used") +
           "\n" + rows;
  }
  for (const auto& refused : inventory.refused) {
    const std::string path = printable(refused.path.string());
    const bool named = refused.reason.message().starts_with(path);
    out += "! refused: " + (named ? "" : path + ": ") + refused.reason.message() + "\n";
    if (!refused.reason.hint().empty()) out += "  " + refused.reason.hint() + "\n";
  }
  const bool isolates = std::any_of(inventory.active.begin(), inventory.active.end(),
                                    [&](const Found& found) { return isolation.isolates(found); });
  if (isolates) {
    for (const std::string& gap : provider::sandbox_gaps())
      out += "! not kept from isolated providers on this machine: " + gap + "\n";
  }
  if (inventory.folders.empty()) out += "! no folder with providers was found\n";
  return out;
}

json::Value describe(const Found& found, const IsolationPolicy& isolation,
                     json::Document::AllocatorType& alloc) {
  json::Value out(rapidjson::kObjectType);
  out.AddMember("name", json_text(found.manifest.name, alloc), alloc);
  out.AddMember("id", json_text(found.manifest.id, alloc), alloc);
  out.AddMember("version", json_text(found.manifest.version, alloc), alloc);
  out.AddMember("path", json_text(found.path.string(), alloc), alloc);
  out.AddMember("origin", json_text(to_string(found.origin), alloc), alloc);
  out.AddMember("signer", json_of(found.signer, alloc), alloc);
  out.AddMember("isolated", isolation.isolates(found), alloc);
  json::Value connectors(rapidjson::kArrayType);
  for (const auto& name : connector_names(found.manifest, true))
    connectors.PushBack(json_text(name, alloc), alloc);
  out.AddMember("connectors", connectors, alloc);
  json::Value resources(rapidjson::kArrayType);
  for (const auto& resource : found.manifest.resources)
    resources.PushBack(json_text(resource.name, alloc), alloc);
  out.AddMember("resources", resources, alloc);
  return out;
}

}  // namespace

std::string render_providers_json(const Inventory& inventory, const IsolationPolicy& isolation) {
  json::Document out(rapidjson::kObjectType);
  auto& alloc = out.GetAllocator();
  json::Value providers(rapidjson::kArrayType);
  for (const Found& found : inventory.active) providers.PushBack(describe(found, isolation, alloc), alloc);
  json::Value shadowed(rapidjson::kArrayType);
  for (const auto& s : inventory.shadowed) {
    json::Value one = describe(s.provider, isolation, alloc);
    one.AddMember("shadowedBy", json_text(s.by.string(), alloc), alloc);
    shadowed.PushBack(one, alloc);
  }
  json::Value refused(rapidjson::kArrayType);
  for (const auto& r : inventory.refused) {
    json::Value one(rapidjson::kObjectType);
    one.AddMember("path", json_text(r.path.string(), alloc), alloc);
    one.AddMember("origin", json_text(to_string(r.origin), alloc), alloc);
    one.AddMember("reason", json_text(r.reason.message(), alloc), alloc);
    if (!r.reason.hint().empty()) one.AddMember("hint", json_text(r.reason.hint(), alloc), alloc);
    refused.PushBack(one, alloc);
  }
  json::Value gaps(rapidjson::kArrayType);
  for (const std::string& gap : provider::sandbox_gaps()) gaps.PushBack(json_text(gap, alloc), alloc);
  out.AddMember("providers", providers, alloc);
  out.AddMember("shadowed", shadowed, alloc);
  out.AddMember("refused", refused, alloc);
  out.AddMember("notKeptFromIsolated", gaps, alloc);
  return json::write_pretty(out, 2) + "\n";
}

void add_providers_list(Command& providers, Globals& globals) {
  Command& list =
      providers.command("list", "List providers, with those that are shadowed or refused and why");
  auto output = std::make_shared<std::string>("text");
  add_output(list, *output, {"text", "json"});
  list.run = [&globals, output] {
    const auto runtime = start(globals, std::chrono::seconds(10));
    const Inventory& inventory = runtime->providers();
    print(*output == "json" ? render_providers_json(inventory, runtime->isolation())
                            : render_text(inventory, runtime->isolation()));
  };
}

}  // namespace cnspec::cli
