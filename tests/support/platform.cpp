#include "support/platform.hpp"

#include <csignal>
#include <stdexcept>

namespace cnspec::test {
namespace {

std::string value_of(std::optional<std::string> line, std::string_view label, Process& process) {
  const std::string start = std::string(label) + ": ";
  if (!line || line->rfind(start, 0) != 0) {
    const RunResult result = process.kill();
    throw std::runtime_error("cnspec-platform serve printed no \"" + start + "\": " + result.out +
                             result.err);
  }
  return line->substr(start.size());
}

RunResult must_run(const Argv& argv, bool prints_secrets = false) {
  RunResult result = run(argv, {.env = {}, .cwd = {}, .input = {}, .prints_secrets = prints_secrets});
  if (result.exit_code != 0) throw std::runtime_error(argv.at(1) + " failed: " + result.err);
  return result;
}

}  // namespace

Platform::Platform(const Argv& args) { start("127.0.0.1:0", args); }

void Platform::start(const std::string& listen, const Argv& args) {
  Argv argv = {program("cnspec-platform"), "serve", "--listen", listen, "--data", data_.path().string()};
  argv.insert(argv.end(), args.begin(), args.end());
  process_ = Process::start(argv);
  url_ = value_of(process_->read_line(), "url", *process_);
  ca_file_ = value_of(process_->read_line(), "ca", *process_);
}

std::string Platform::token(std::string_view space, const Argv& args) const {
  Argv argv = {program("cnspec-platform"), "token", "create", "--space", std::string(space), "--data",
               data_.path().string()};
  argv.insert(argv.end(), args.begin(), args.end());
  std::string token = must_run(argv, true).out;
  while (!token.empty() && token.back() == '\n') token.pop_back();
  return token;
}

void Platform::revoke(std::string_view mrn) const {
  must_run({program("cnspec-platform"), "revoke", std::string(mrn), "--data", data_.path().string()});
}

RunResult Platform::stop() {
  process_->signal(SIGTERM);
  return process_->wait();
}

void Platform::restart(const Argv& args) {
  if (process_->running()) stop();
  start(url_.substr(std::string_view("https://").size()), args);
}

}  // namespace cnspec::test
