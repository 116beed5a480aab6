#include "config/guard.hpp"

#include <algorithm>
#include <set>
#include <string>

namespace cnspec::config {
namespace {

using Words = std::map<std::string, std::string>;
using Texts = std::vector<std::string>;

// The word for one name.
std::string word_for(const Key& key, const std::optional<Setting>& setting, const std::string& name) {
  if (!setting) return key.otherwise;
  if (const auto* word = std::get_if<std::string>(&setting->value)) return *word;
  const auto& words = std::get<Words>(setting->value);
  auto it = words.find(name);
  if (it == words.end()) it = words.find("*");
  return it == words.end() ? key.otherwise : it->second;
}

std::set<std::string> names_in(const std::optional<Setting>& setting) {
  std::set<std::string> out = {"*"};
  const auto* words = setting ? std::get_if<Words>(&setting->value) : nullptr;
  if (words) {
    for (const auto& [name, word] : *words) out.insert(name);
  }
  return out;
}

void warn(const Key& key, const Setting& variable, const std::string& why, Config& config) {
  config.warnings.push_back(
      Error(variable.from + " cannot loosen " + key.name + ": " + why)
          .hint("change " + std::string(key.name) + " in the configuration, or unset " + variable.from));
}

// Of the two words for each name, the one that is further up the list.
std::optional<Setting> tighter_words(const Key& key, Setting variable, const std::optional<Setting>& written,
                                     Config& config) {
  const auto rank = [&](const std::string& word) {
    return std::find(key.words.begin(), key.words.end(), word) - key.words.begin();
  };
  const std::string everywhere = word_for(key, written, "*");
  std::set<std::string> names = names_in(variable);
  names.merge(names_in(written));
  Words both;
  for (const std::string& name : names) {
    const std::string asked = word_for(key, variable, name), now = word_for(key, written, name);
    both[name] = rank(asked) > rank(now) ? asked : now;
    if (rank(asked) < rank(now))
      warn(key, variable,
           (name == "*" ? "" : "for " + name + " ") + "it is " + asked + ", and " + now + " stays", config);
  }
  if (both == Words{{"*", everywhere}}) return written;
  if (both.size() == 1)
    variable.value = both.begin()->second;
  else
    variable.value = both;
  return variable;
}

// Of the variable's texts those that are written, too. Where none are, those of the variable add nothing to
// what would be trusted without them, unless signatures are wanted already.
std::optional<Setting> no_other_texts(const Key& key, Setting variable, const std::optional<Setting>& written,
                                      Config& config) {
  const Setting* trust = config.find("trust");
  const bool wanted = trust && trust->origin == Origin::kFile && trust->value == Value(std::string("signed"));
  if (!written && !wanted) return variable;
  const Texts known = written ? std::get<Texts>(written->value) : Texts();
  const auto added = std::erase_if(std::get<Texts>(variable.value), [&](const std::string& text) {
    return std::find(known.begin(), known.end(), text) == known.end();
  });
  if (added) warn(key, variable, "it adds " + std::to_string(added) + ", and they stay out", config);
  return variable;
}

}  // namespace

std::optional<Setting> only_tighter(const Key& key, Setting variable, const std::optional<Setting>& written,
                                    Config& config) {
  return key.words.empty() ? no_other_texts(key, std::move(variable), written, config)
                           : tighter_words(key, std::move(variable), written, config);
}

}  // namespace cnspec::config
