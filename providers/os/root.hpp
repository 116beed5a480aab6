// The tree of files that is looked at: the running system's, or an image mounted somewhere.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cnspec::os {

class Root {
 public:
  // "/" is the running system; anything else an absolute folder.
  explicit Root(std::string folder);

  bool live() const { return folder_ == "/"; }
  const std::string& folder() const { return folder_; }

  // Where an absolute path of the tree is for us. Links are followed inside the tree, so that those of an
  // image do not lead out of it. The file need not exist; empty when the links go in a circle.
  std::string resolve(std::string_view path) const;

  bool exists(std::string_view path) const;

  // The beginning of a small text file; nothing when it is not there or cannot be read. For looking around.
  std::optional<std::string> peek(std::string_view path, std::size_t limit = 64 * 1024) const;
  // Its first line, trimmed; empty when there is none.
  std::string line(std::string_view path) const;
  // The whole file; throws an Error that names it.
  std::string read(std::string_view path, std::size_t limit) const;
  // The names in a folder, sorted; none when it cannot be read.
  std::vector<std::string> list(std::string_view path) const;

 private:
  std::string folder_;
};

}  // namespace cnspec::os
