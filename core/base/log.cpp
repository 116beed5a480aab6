#include "base/log.hpp"

#include <spdlog/formatter.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <mutex>

#include "base/json.hpp"
#include "base/terminal.hpp"
#include "base/text.hpp"

namespace cnspec::log {
namespace {

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::kTrace: return spdlog::level::trace;
    case Level::kDebug: return spdlog::level::debug;
    case Level::kInfo: return spdlog::level::info;
    case Level::kWarn: return spdlog::level::warn;
    case Level::kError: return spdlog::level::err;
  }
  return spdlog::level::err;
}

std::size_t index_of(const spdlog::details::log_msg& msg) {
  return std::min<std::size_t>(static_cast<std::size_t>(msg.level), 4);
}

// What spdlog carries is one text: the message, and behind this byte, which no printable text has, its hint.
constexpr char kHint = '\0';

std::pair<std::string_view, std::string_view> parts(const spdlog::details::log_msg& msg) {
  const std::string_view text(msg.payload.data(), msg.payload.size());
  const auto end = text.rfind(kHint);
  return {text.substr(0, end), text.substr(end + 1)};
}

std::string utc(std::chrono::system_clock::time_point when) {
  const auto seconds = std::chrono::system_clock::to_time_t(when);
  char stamp[32] = {};
  std::tm broken_down{};
  gmtime_r(&seconds, &broken_down);
  std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &broken_down);
  return stamp;
}

// The markers that users of the existing tool know.
class ConsoleFormatter : public spdlog::formatter {
 public:
  explicit ConsoleFormatter(bool with_time) : with_time_(with_time) {}

  void format(const spdlog::details::log_msg& msg, spdlog::memory_buf_t& out) override {
    using terminal::Marker;
    constexpr Marker kMarkers[] = {Marker::kTrace, Marker::kDebug, Marker::kInfo, Marker::kWarning,
                                   Marker::kError};
    const auto style = with_time_ ? terminal::Style() : terminal::style_of(STDERR_FILENO);
    const auto [message, hint] = parts(msg);
    std::string line = with_time_ ? utc(msg.time) + " " : "";
    line += terminal::marked(kMarkers[index_of(msg)], style) + " " + printable(message) + "\n";
    if (!hint.empty()) line += "  " + printable(hint) + "\n";
    out.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override {
    return std::make_unique<ConsoleFormatter>(with_time_);
  }

 private:
  bool with_time_;
};

class JsonFormatter : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& msg, spdlog::memory_buf_t& out) override {
    constexpr const char* kNames[] = {"trace", "debug", "info", "warn", "error"};
    json::Document line(rapidjson::kObjectType);
    const auto add = [&](const char* key, std::string_view raw) {
      line.AddMember(rapidjson::StringRef(key), json::text(to_utf8(raw), line.GetAllocator()),
                     line.GetAllocator());
    };
    const auto [message, hint] = parts(msg);
    add("level", kNames[index_of(msg)]);
    add("time", utc(msg.time));
    add("message", message);
    if (!hint.empty()) add("hint", hint);
    const std::string written = json::write(line) + "\n";
    out.append(written.data(), written.data() + written.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<JsonFormatter>(); }
};

std::atomic<void (*)()> clear_terminal_line{nullptr};

class StandardError : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    spdlog::memory_buf_t line;
    formatter_->format(msg, line);
    if (const auto clear = clear_terminal_line.load()) clear();
    std::fwrite(line.data(), 1, line.size(), stderr);
  }
  void flush_() override {}
};

class Recorder : public spdlog::sinks::base_sink<std::mutex> {
 public:
  Recorder() { set_formatter_(std::make_unique<ConsoleFormatter>(true)); }
  std::string text() {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    spdlog::memory_buf_t line;
    formatter_->format(msg, line);
    // A provider may log without end.
    constexpr std::size_t kMost = 4 << 20;
    if (text_.size() < kMost) text_.append(line.data(), line.size());
  }
  void flush_() override {}

 private:
  std::string text_;
};

struct State {
  std::shared_ptr<spdlog::logger> logger;
  std::shared_ptr<Recorder> recorder;
  bool json = false;
};

void build(State& state, Level level, bool json) {
  auto sink = std::make_shared<StandardError>();
  if (json) {
    sink->set_formatter(std::make_unique<JsonFormatter>());
  } else {
    sink->set_formatter(std::make_unique<ConsoleFormatter>(false));
  }
  sink->set_level(to_spdlog(level));
  auto logger = std::make_shared<spdlog::logger>("cnspec", std::move(sink));
  logger->set_level(state.recorder ? spdlog::level::trace : to_spdlog(level));
  if (state.recorder) logger->sinks().push_back(state.recorder);
  state.logger = std::move(logger);
  state.json = json;
}

// Never destroyed: a provider's thread may log while the process ends.
State& state() {
  static auto* instance = [] {
    auto* made = new State;
    build(*made, Level::kWarn, false);
    return made;
  }();
  return *instance;
}

}  // namespace

void configure(Level level, bool json) { build(state(), level, json); }

void before_each_line(void (*clear)()) { clear_terminal_line = clear; }

void record() {
  State& s = state();
  s.recorder = std::make_shared<Recorder>();
  s.logger->sinks().push_back(s.recorder);
  s.logger->set_level(spdlog::level::trace);
}

std::string recorded() { return state().recorder ? state().recorder->text() : ""; }

bool enabled(Level level) { return state().logger->should_log(to_spdlog(level)); }

bool is_json() { return state().json; }

void write(Level level, std::string_view message, std::string_view hint) {
  std::string text(message);
  // Not part of any message, see kHint.
  text.erase(std::remove(text.begin(), text.end(), kHint), text.end());
  text += kHint;
  text += hint;
  state().logger->log(to_spdlog(level), std::string_view(text));
}

}  // namespace cnspec::log
