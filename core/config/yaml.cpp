#include "config/yaml.hpp"

#include <yaml-cpp/yaml.h>

namespace cnspec::config {
namespace {

void emit(YAML::Emitter& out, const json::Value& value) {
  if (value.IsObject()) {
    out << (value.ObjectEmpty() ? YAML::Flow : YAML::Block) << YAML::BeginMap;
    for (const auto& member : value.GetObject()) {
      out << YAML::Key << std::string(json::view(member.name)) << YAML::Value;
      emit(out, member.value);
    }
    out << YAML::EndMap;
  } else if (value.IsArray()) {
    out << (value.Empty() ? YAML::Flow : YAML::Block) << YAML::BeginSeq;
    for (const auto& item : value.GetArray()) emit(out, item);
    out << YAML::EndSeq;
  } else if (value.IsBool()) {
    out << value.GetBool();
  } else if (value.IsInt64()) {
    out << value.GetInt64();
  } else {
    out << YAML::DoubleQuoted << std::string(json::view(value));
  }
}

}  // namespace

std::string to_yaml(const json::Value& value) {
  YAML::Emitter out;
  emit(out, value);
  return std::string(out.c_str()) + "\n";
}

}  // namespace cnspec::config
