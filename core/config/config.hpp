// mondoo.yml: where it is, what it says, and how it is changed.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace cnspec::config {

inline constexpr char kDefaultEndpoint[] = "https://us.api.mondoo.com";

// Where the settings came from.
struct Source {
  enum class Kind { kNone, kFile, kEnvironment };
  Kind kind = Kind::kNone;
  std::filesystem::path path;  // the file, or where it would be; empty for kEnvironment
  std::string label;           // "--config", "$MONDOO_CONFIG_PATH", "$MONDOO_CONFIG_BASE64" or "default"
};

// The settings in force: those of the source, over them the environment's MONDOO_<KEY>. Empty means unset.
struct Config {
  Source source;
  std::string agent_mrn;         // the managed client
  std::string mrn;               // the service account
  std::string private_key;       // secret
  std::string private_key_file;  // holds the private key when private_key is empty
  std::string certificate;
  std::string scope_mrn;                        // of scope_mrn, space_mrn, parent_mrn the first that is set
  std::string api_endpoint = kDefaultEndpoint;  // with a scheme, without a slash at its end
  std::string api_proxy;
  std::string ca_file;
  std::string updates_url;
  std::string name;
  std::string log_format;
  std::map<std::string, std::string> annotations;

  // How credentials are come by when they are not in the file: auth.method is "ssh" or "wif"; type
  // "external_account" means wif, with the keys that its documents have.
  std::string auth_method;
  std::string type, audience, issuer_uri, universe_domain, subject_token_type;
  std::string jwt_token;  // secret

  bool has_credentials() const { return !mrn.empty() || !private_key.empty() || !certificate.empty(); }
};

// `flag` is the value of --config; empty when it was not given. The order is: MONDOO_CONFIG_BASE64, flag,
// MONDOO_CONFIG_PATH, the user's file, the system's file. A file that is not there is no error: the source
// says kNone. kConfig: the source cannot be used; the error says where in it and why.
Result<Config> load(std::string_view flag);

// "https://" where no scheme is given, and no slash at the end.
void normalise_endpoint(std::string& endpoint);

// Whether save() would have a place to write: tried for real, so that a full disk is noticed before it
// matters.
Result<void> check_writable(const std::filesystem::path& path);

// A setting to write: text, a mapping of texts, or (nothing) one to remove.
struct Change {
  std::string key;  // "scan_interval.timer" is timer below scan_interval
  std::optional<std::string> text;
  std::map<std::string, std::string> map = {};
};

// Changes the file and keeps every other key. It is 0600 in a 0700 folder and holds either the old or the
// new.
Result<void> save(const std::filesystem::path& path, const std::vector<Change>& changes);

}  // namespace cnspec::config
