#include "base/log.hpp"

#include <spdlog/formatter.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/ansicolor_sink.h>

#include <memory>
#include <mutex>

#include "base/json.hpp"
#include "base/text.hpp"

namespace cnspec::log {
namespace {

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::kTrace:
      return spdlog::level::trace;
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarn:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

// The markers that users of the existing tool know.
class ConsoleFormatter : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& msg, spdlog::memory_buf_t& out) override {
    constexpr const char* kMarkers[] = {"TRC ", "DBG ", "→ ", "! ", "x "};
    const std::string_view marker = kMarkers[std::min<std::size_t>(static_cast<std::size_t>(msg.level), 4)];
    const std::string line = std::string(marker) + printable({msg.payload.data(), msg.payload.size()}) + "\n";
    out.append(line.data(), line.data() + line.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<ConsoleFormatter>(); }
};

class JsonFormatter : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& msg, spdlog::memory_buf_t& out) override {
    constexpr const char* kNames[] = {"trace", "debug", "info", "warn", "error"};
    json::Document line(rapidjson::kObjectType);
    auto& alloc = line.GetAllocator();
    const auto when = std::chrono::system_clock::to_time_t(msg.time);
    char stamp[32] = {};
    std::tm parts{};
    gmtime_r(&when, &parts);
    std::strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", &parts);
    const std::string text = to_utf8({msg.payload.data(), msg.payload.size()});
    line.AddMember("level",
                   json::Value(kNames[std::min<std::size_t>(static_cast<std::size_t>(msg.level), 4)], alloc),
                   alloc);
    line.AddMember("time", json::Value(stamp, alloc), alloc);
    line.AddMember("message", json::Value(text.data(), static_cast<rapidjson::SizeType>(text.size()), alloc),
                   alloc);
    const std::string written = json::write(line) + "\n";
    out.append(written.data(), written.data() + written.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<JsonFormatter>(); }
};

std::shared_ptr<spdlog::logger> make_logger(Level level, bool json) {
  auto sink = std::make_shared<spdlog::sinks::ansicolor_stderr_sink_mt>(spdlog::color_mode::never);
  if (json) {
    sink->set_formatter(std::make_unique<JsonFormatter>());
  } else {
    sink->set_formatter(std::make_unique<ConsoleFormatter>());
  }
  auto logger = std::make_shared<spdlog::logger>("cnspec", std::move(sink));
  logger->set_level(to_spdlog(level));
  return logger;
}

// Never destroyed: a provider's thread may log while the process ends.
std::shared_ptr<spdlog::logger>& logger() {
  static auto* instance = new std::shared_ptr<spdlog::logger>(make_logger(Level::kWarn, false));
  return *instance;
}

}  // namespace

void configure(Level level, bool json) {
  logger() = make_logger(level, json);
}

bool enabled(Level level) {
  return logger()->should_log(to_spdlog(level));
}

void write(Level level, std::string_view message) {
  logger()->log(to_spdlog(level), message);
}

}  // namespace cnspec::log
