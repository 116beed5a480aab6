// The request on its way to the child.
#include <cstdint>

#include "base/json.hpp"
#include "provider/verify.hpp"

namespace cnspec::provider {
namespace {

// Paths are bytes and need not be UTF-8, which JSON has to be: each byte travels as the character of its
// number.
std::string latin1_to_utf8(const std::string& bytes) {
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x80) out += static_cast<char>(0xc0 | byte >> 6);
    out += static_cast<char>(byte >= 0x80 ? 0x80 | (byte & 0x3f) : byte);
  }
  return out;
}

std::string bytes_of(std::string_view utf8) {
  std::string out;
  for (std::size_t i = 0; i < utf8.size(); ++i) {
    const auto byte = static_cast<unsigned char>(utf8[i]);
    const bool two = byte >= 0x80 && i + 1 < utf8.size();
    out += static_cast<char>(two ? byte << 6 | (utf8[++i] & 0x3f) : byte);
  }
  return out;
}
std::string bytes_of(const json::Value& text) { return bytes_of(json::view(text)); }

// What flags can be: true, 1, "text", ["list"], {"map": "of text"}.
Value flag_value(const json::Value& from) {
  if (from.IsBool()) return Value(from.GetBool());
  if (from.IsInt64()) return Value(from.GetInt64());
  if (from.IsString()) return Value(bytes_of(from));
  if (from.IsArray()) {
    Value::Array items;
    for (const json::Value& item : from.GetArray()) items.push_back(flag_value(item));
    return Value(std::move(items));
  }
  if (from.IsObject()) {
    Value::Map entries;
    for (const auto& entry : from.GetObject())
      entries.emplace_back(bytes_of(entry.name), flag_value(entry.value));
    return Value(std::move(entries));
  }
  return {};
}

}  // namespace

std::string to_json(const VerifyRequest& request) {
  json::Document out(rapidjson::kObjectType);
  auto& alloc = out.GetAllocator();
  out.AddMember("file", json::text(request.file.string(), alloc), alloc);
  out.AddMember("bundled", request.origin == Origin::kBundled, alloc);
  if (request.target) {
    const ConnectRequest& target = *request.target;
    json::Value args(rapidjson::kArrayType);
    for (const std::string& arg : target.args) args.PushBack(json::text(arg, alloc), alloc);
    json::Value flags(rapidjson::kObjectType);
    for (const auto& [name, value] : target.flags)
      flags.AddMember(json::text(name, alloc), provider::to_json(value, alloc), alloc);
    json::Value secrets(rapidjson::kObjectType);
    for (const auto& [name, value] : target.secrets)
      secrets.AddMember(json::text(name, alloc), json::text(value, alloc), alloc);
    out.AddMember("connector", json::text(target.connector, alloc), alloc);
    out.AddMember("args", args, alloc);
    out.AddMember("flags", flags, alloc);
    out.AddMember("secrets", secrets, alloc);
  }
  return latin1_to_utf8(json::write(out));
}

Result<VerifyRequest> read_verify_request(std::string_view from) {
  const auto document = json::parse(from);
  if (!document) return fail(document.error());
  VerifyRequest out;
  out.file = bytes_of(json::get_string(*document, "file"));
  if (json::get_bool(*document, "bundled", false)) out.origin = Origin::kBundled;
  const json::Value* args = json::find(*document, "args");
  const json::Value* flags = json::find(*document, "flags");
  const json::Value* secrets = json::find(*document, "secrets");
  if (!args || !args->IsArray() || !flags || !flags->IsObject() || !secrets || !secrets->IsObject())
    return out;
  ConnectRequest target;
  target.connector = bytes_of(json::get_string(*document, "connector"));
  for (const json::Value& arg : args->GetArray()) {
    if (arg.IsString()) target.args.push_back(bytes_of(arg));
  }
  for (const auto& flag : flags->GetObject()) target.flags[bytes_of(flag.name)] = flag_value(flag.value);
  for (const auto& secret : secrets->GetObject()) {
    if (secret.value.IsString()) target.secrets[bytes_of(secret.name)] = bytes_of(secret.value);
  }
  out.target = std::move(target);
  return out;
}

}  // namespace cnspec::provider
