#include "base/logger.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/null_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <algorithm>
#include <string_view>

namespace flotilla {
namespace {

// The length of the UTF-8 sequence at the front of `text`; 0 when there is none.
std::size_t SequenceAt(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto continues = [&](std::size_t i, unsigned low, unsigned high) {
    return i < text.size() && byte(i) >= low && byte(i) <= high;
  };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  if (first >= 0xc2 && first <= 0xdf) return continues(1, 0x80, 0xbf) ? 2 : 0;
  if (first >= 0xe0 && first <= 0xef) {
    // Neither overlong forms nor surrogates.
    const bool second = continues(1, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf);
    return second && continues(2, 0x80, 0xbf) ? 3 : 0;
  }
  if (first >= 0xf0 && first <= 0xf4) {
    const bool second = continues(1, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf);
    return second && continues(2, 0x80, 0xbf) && continues(3, 0x80, 0xbf) ? 4 : 0;
  }
  return 0;
}

// The message on one line of valid UTF-8, whatever bytes a peer or a file put into it: a line of
// the log is a record, and nobody forges one.
class OneLine final : public spdlog::custom_flag_formatter {
 public:
  explicit OneLine(LogFormat format) : json_(format == LogFormat::kJson) {}

  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    std::string_view rest(message.payload.data(), message.payload.size());
    while (!rest.empty()) {
      const std::size_t length = SequenceAt(rest);
      const auto byte = static_cast<unsigned char>(rest[0]);
      if (length == 0 || byte < 0x20 || byte == 0x7f) {
        Escape(byte, out);
      } else {
        if (json_ && (byte == '"' || byte == '\\')) out.push_back('\\');
        out.append(rest.data(), rest.data() + length);
      }
      rest.remove_prefix(std::max<std::size_t>(length, 1));
    }
  }
  std::unique_ptr<spdlog::custom_flag_formatter> clone() const override {
    return std::make_unique<OneLine>(*this);
  }

 private:
  // \u001b in JSON, \x1b in text. JSON knows no bytes: an invalid one is shown as text shows it.
  void Escape(unsigned char byte, spdlog::memory_buf_t& out) const {
    const char* const hex = "0123456789abcdef";
    const std::string_view prefix = !json_ ? "\\x" : byte < 0x80 ? "\\u00" : "\\\\x";
    out.append(prefix.data(), prefix.data() + prefix.size());
    out.push_back(hex[byte >> 4]);
    out.push_back(hex[byte & 15]);
  }

  const bool json_;
};

}  // namespace

std::shared_ptr<spdlog::logger> MakeLogger(const std::string& name, LogFormat format,
                                           spdlog::level::level_enum level,
                                           const std::string& file) {
  spdlog::sink_ptr sink;
  if (file.empty()) {
    sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  } else {
    sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(file);
  }
  auto logger = std::make_shared<spdlog::logger>(name, std::move(sink));
  logger->set_level(level);
  logger->flush_on(spdlog::level::info);
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<OneLine>('*', format);
  formatter->set_pattern(format == LogFormat::kText
                             ? "%Y-%m-%dT%H:%M:%S.%e%z %-5l %*"
                             : R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","message":"%*"})");
  logger->set_formatter(std::move(formatter));
  return logger;
}

std::shared_ptr<spdlog::logger> NullLogger() {
  auto logger =
      std::make_shared<spdlog::logger>("null", std::make_shared<spdlog::sinks::null_sink_mt>());
  logger->set_level(spdlog::level::off);
  return logger;
}

}  // namespace flotilla
