// Loggers: spdlog's, made one way everywhere. Injected, never global: the simulator gives each node
// one of its own.
#pragma once

#include <spdlog/logger.h>

#include <memory>
#include <string>

namespace flotilla {

enum class LogFormat { kText, kJson };

// To standard error, or to `file` when it is not empty. Thread-safe. A message is one line of
// UTF-8, whatever is in it: control characters and bytes that are no UTF-8 are written as \x1b (in
// JSON as JSON wants it).
std::shared_ptr<spdlog::logger> MakeLogger(const std::string& name, LogFormat format,
                                           spdlog::level::level_enum level,
                                           const std::string& file = "");

// Keeps nothing.
std::shared_ptr<spdlog::logger> NullLogger();

}  // namespace flotilla
