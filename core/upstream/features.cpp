#include "upstream/features.hpp"

#include <strings.h>

#include <array>
#include <bitset>

#include "base/encoding.hpp"

namespace cnspec::upstream {
namespace {

struct Feature {
  unsigned number;
  const char* name;
  bool on;
};
constexpr std::array kFeatures = {
    Feature{1, "MassQueries", false},       Feature{2, "PiperCode", false},
    Feature{3, "BoolAssertions", false},    Feature{4, "K8sNodeDiscovery", false},
    Feature{5, "MQLAssetContext", false},   Feature{6, "ErrorsAsFailures", false},
    Feature{7, "StoreResourcesData", true}, Feature{8, "FineGrainedAssets", false},
    Feature{9, "SerialNumberAsID", true},   Feature{10, "ForceShellCompletion", true},
    Feature{11, "ResourceContext", true},   Feature{12, "FailIfNoEntryPoints", false},
    Feature{13, "UploadResultsV2", false},  Feature{14, "AutoUpdateEngine", true},
};

const Feature* find(std::string_view name) {
  for (const Feature& feature : kFeatures) {
    if (name.size() == std::string_view(feature.name).size() &&
        ::strncasecmp(name.data(), feature.name, name.size()) == 0)
      return &feature;
  }
  return nullptr;
}

using Set = std::bitset<kFeatures.size() + 1>;

Set chosen(const std::vector<std::string>& names, std::vector<std::string>* unknown) {
  Set set;
  for (const Feature& feature : kFeatures) set[feature.number] = feature.on;
  for (const std::string& name : names) {
    if (const Feature* feature = find(name)) {
      set[feature->number] = true;
    } else if (const Feature* off = name.size() > 2 && ::strncasecmp(name.c_str(), "no", 2) == 0
                                        ? find(std::string_view(name).substr(2))
                                        : nullptr) {
      set[off->number] = false;
    } else if (unknown) {
      unknown->push_back(name);
    }
  }
  return set;
}

}  // namespace

std::string features_header(const std::vector<std::string>& names, std::vector<std::string>* unknown) {
  const Set set = chosen(names, unknown);
  std::string bytes;
  for (const Feature& feature : kFeatures) {
    if (set[feature.number]) bytes += static_cast<char>(feature.number);
  }
  return base64_encode(bytes);
}

std::string default_features() { return features_header({}, nullptr); }

std::vector<std::string> active_features(const std::vector<std::string>& names) {
  const Set set = chosen(names, nullptr);
  std::vector<std::string> out;
  for (const Feature& feature : kFeatures) {
    if (set[feature.number]) out.emplace_back(feature.name);
  }
  return out;
}

}  // namespace cnspec::upstream
