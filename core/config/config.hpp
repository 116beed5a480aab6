// mondoo.yml: where it is, what it says, and how it is changed.
#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
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

enum class Origin { kDefault, kFile, kEnvironment, kFlag };

using Value =
    std::variant<std::string, bool, int, std::vector<std::string>, std::map<std::string, std::string>>;

// One key that is set, or that has a default.
struct Setting {
  std::string key;
  Value value;  // may be a secret
  Origin origin = Origin::kDefault;
  std::string from;  // FILE:LINE:COLUMN, the variable's name or the flag; empty for a default
};

// The settings in force: those of the source, over them the environment's MONDOO_<KEY>. Empty means unset,
// but an empty MONDOO_API_PROXY means no proxy.
struct Config {
  Source source;
  std::vector<Setting> settings;          // of every known key, in the order of the documentation
  std::vector<std::string> unknown_keys;  // of the source, which we keep and do not use
  std::vector<Error> warnings;            // what the user should mend

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
  std::string log_level;
  std::map<std::string, std::string> annotations;
  std::vector<std::string> features;

  // How credentials are come by when they are not in the file: auth.method is "ssh" or "wif"; type
  // "external_account" means wif, with the keys that its documents have.
  std::string auth_method;
  std::string type, audience, issuer_uri, universe_domain, subject_token_type;
  std::string jwt_token;  // secret

  // A relative one lies beside the configuration's file; it stays relative where there is none.
  std::filesystem::path private_key_path() const;
  bool has_credentials() const { return !mrn.empty() || !private_key.empty() || !certificate.empty(); }

  const Setting* find(std::string_view key) const;                 // null: neither set nor with a default
  std::string text(std::string_view key) const;                    // empty unless it is a text
  bool truth(std::string_view key, bool otherwise = false) const;  // of a key that is true or false
};

// What a flag says goes before everything else.
void set_by_flag(Config& config, std::string_view key, Value value, std::string_view flag);

// `flag` is the value of --config; empty when it was not given. The order is: MONDOO_CONFIG_BASE64, flag,
// MONDOO_CONFIG_PATH, the user's file, the system's file. A file that is not there is no error: the source
// says kNone. kConfig: the source cannot be used; the error says where in it and why.
Result<Config> load(std::string_view flag);
// Where load() looks, whatever it makes of it.
Source source_of(std::string_view flag);
// What a key of texts says where the rest may be unusable, as far as it can be read: how to tell of that.
std::string text_regardless(std::string_view flag, std::string_view key);

// A warning, with the command that mends it, when others than its owner can read or change the file; `secret`
// is what it holds.
std::optional<Error> exposed(const std::filesystem::path& file, const std::string& secret);

// A warning, when anybody on the way can read what is said to this platform.
std::optional<std::string> overheard(const std::string& endpoint);

// "https://" where no scheme is given, and no slash at the end.
void normalise_endpoint(std::string& endpoint);

// Whether save() would have a place to write: tried for real, so that a full disk is noticed before it
// matters. Waits until the deadline for whoever is changing the file; kTimeout when that does not end.
Result<void> check_writable(const std::filesystem::path& path,
                            std::chrono::steady_clock::time_point deadline);

// A setting to write: text, a mapping of texts, or (nothing) one to remove.
struct Change {
  std::string key;  // "scan_interval.timer" is timer below scan_interval
  std::optional<std::string> text;
  std::map<std::string, std::string> map = {};
};

// Changes the file and keeps every other key, and of YAML the comments and every line that has not to change;
// JSON stays JSON. The file is 0600 in a 0700 folder and holds, whatever happens, either the old or the new.
// Others that save at the same time wait for each other, until `deadline` at most: then kTimeout.
// With `only_if`, nothing is written (kFailed) unless that key still has that text.
Result<void> save(const std::filesystem::path& path, const std::vector<Change>& changes,
                  std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::now() +
                                                                   std::chrono::seconds(10),
                  const std::optional<std::pair<std::string, std::string>>& only_if = std::nullopt);

// What save() makes of a file's text; `name` stands for the file in errors. An empty text becomes JSON when
// the name ends with .json.
Result<std::string> edited(const std::string& text, const std::vector<Change>& changes,
                           const std::string& name);

}  // namespace cnspec::config
