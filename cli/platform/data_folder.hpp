// The folder a platform lives in: its database, its certificate authority and the key that signs its tokens.
// All of it is readable by the owner alone.
#pragma once

#include <filesystem>
#include <string>

#include "base/error.hpp"
#include "base/fd.hpp"
#include "crypto.hpp"
#include "store.hpp"

namespace cnspec::platform {

class DataFolder {
 public:
  // Makes the folder when it does not exist. A folder that holds something else is refused, not taken over.
  static Result<DataFolder> create(const std::filesystem::path& path);
  // The folder must have been made before.
  static Result<DataFolder> open(const std::filesystem::path& path);

  std::filesystem::path ca_file() const { return path_ / "ca.pem"; }

  // All three are made at first use, by whichever process comes first.
  Result<Store> store() const;
  Result<Authority> authority() const;
  Result<Key> token_key() const;

  // One process at a time serves a folder: as long as it holds this, however it ends.
  Result<Fd> lock_for_serving() const;

 private:
  explicit DataFolder(std::filesystem::path path) : path_(std::move(path)) {}

  std::filesystem::path path_;  // absolute
};

// $XDG_DATA_HOME/cnspec-platform, else ~/.local/share/cnspec-platform.
Result<std::filesystem::path> default_data_folder();

}  // namespace cnspec::platform
