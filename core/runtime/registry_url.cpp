#include "runtime/registry_url.hpp"

#include <filesystem>
#include <string_view>

#include "base/text.hpp"
#include "base/version.hpp"

namespace cnspec::runtime {

Result<std::string> registry_url(const config::Config& config, const std::string& given) {
  std::string url = given;
  std::string from = "--registry";
  const auto take = [&](const char* key, const char* below) {
    const config::Setting* setting = config.find(key);
    if (!url.empty() || !setting || setting->origin == config::Origin::kDefault) return;
    url = config.text(key);
    from = setting->from + ": " + key;
    while (url.ends_with('/')) url.pop_back();
    if (!url.empty()) url += below;
  };
  take("providers_url", "");
  take("updates_url", "/providers");
  if (url.empty() && *kUpdatesUrl) url = std::string(kUpdatesUrl) + "/providers";
  while (url.ends_with('/')) url.pop_back();
  if (url.empty()) {
    return fail(Error("no registry of providers is known", ErrorKind::kConfig)
                    .hint("name one by --registry URL, or by providers_url in the configuration"));
  }
  const auto refuse = [&](const std::string& why, const std::string& hint) {
    return fail(Error(printable(from) + ": " + why, given.empty() ? ErrorKind::kConfig : ErrorKind::kUsage)
                    .hint(hint));
  };
  if (url.find("://") == url.npos && (url.front() == '/' || url.front() == '.')) {
    std::error_code ec;
    return refuse("expected https://..., or file:///FOLDER, found " + quoted_if_needed(url),
                  "of a folder it is file://" +
                      printable(std::filesystem::absolute(url, ec).lexically_normal().string()));
  }
  if (url.find("://") == url.npos) url = "https://" + url;
  const bool folder = url.starts_with("file:///");
  if (!folder && !url.starts_with("https://") && !url.starts_with("http://")) {
    return refuse("expected https://..., or file:///FOLDER, found " +
                      quoted_if_needed(url.substr(0, url.find(':') + 3)),
                  "");
  }
  // Messages name the URL, and so would show it to everybody.
  const std::string_view authority = std::string_view(url).substr(url.find("://") + 3);
  if (!folder && authority.substr(0, authority.find_first_of("/?#")).find('@') != authority.npos) {
    return refuse("names a user or a password, which a registry is not given",
                  "let the registry be read without, from this network; what comes is checked anyway");
  }
  return url;
}

}  // namespace cnspec::runtime
