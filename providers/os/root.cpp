#include "root.hpp"

#include <dirent.h>
#include <limits.h>

#include <algorithm>
#include <memory>

#include "shared/read_file.hpp"
#include "text.hpp"

namespace cnspec::os {
namespace {

constexpr int kMaxLinks = 40;  // as the kernel's own limit

void push_parts(std::vector<std::string>& todo, std::string_view path) {
  std::vector<std::string> parts;
  for (std::string_view part : split(path, '/')) {
    if (!part.empty() && part != ".") parts.emplace_back(part);
  }
  todo.insert(todo.end(), parts.rbegin(), parts.rend());
}

}  // namespace

Root::Root(std::string folder) : folder_(std::move(folder)) {
  while (folder_.size() > 1 && folder_.back() == '/') folder_.pop_back();
}

std::string Root::resolve(std::string_view path) const {
  if (live()) return std::string(path);
  std::vector<std::string> todo;
  push_parts(todo, path);
  std::string done;  // "" or "/a/b"
  int links = 0;
  while (!todo.empty()) {
    const std::string part = std::move(todo.back());
    todo.pop_back();
    if (part == "..") {
      done.erase(std::min(done.rfind('/'), done.size()));
      continue;
    }
    char target[PATH_MAX];
    const ssize_t size = ::readlink((folder_ + done + '/' + part).c_str(), target, sizeof target);
    if (size < 0) {
      done += '/' + part;
      continue;
    }
    if (++links > kMaxLinks) return {};
    if (size > 0 && target[0] == '/') done.clear();
    push_parts(todo, std::string_view(target, static_cast<std::size_t>(size)));
  }
  return folder_ + done;
}

bool Root::exists(std::string_view path) const { return ::access(resolve(path).c_str(), F_OK) == 0; }

std::optional<std::string> Root::peek(std::string_view path, std::size_t limit) const {
  std::string out;
  bool complete = false;
  if (providers::read_up_to(resolve(path), limit, out, complete) != 0) return std::nullopt;
  return out;
}

std::string Root::line(std::string_view path) const {
  const auto text = peek(path, 4096);
  return text ? std::string(trim(std::string_view(*text).substr(0, text->find('\n')))) : std::string();
}

std::string Root::read(std::string_view path, std::size_t limit) const {
  return providers::read_whole(resolve(path), path, limit);
}

std::vector<std::string> Root::list(std::string_view path) const {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(resolve(path).c_str()), ::closedir);
  if (!folder) return names;
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace cnspec::os
