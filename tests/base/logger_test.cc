#include "base/logger.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <string>
#include <vector>

namespace flotilla {
namespace {

class LoggerTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::remove(path); }
  void TearDown() override { std::filesystem::remove(path); }

  // What `log` writes, line by line.
  template <class Log>
  std::vector<std::string> Lines(LogFormat format, spdlog::level::level_enum level, Log log) {
    const auto logger = MakeLogger("test", format, level, path);
    log(*logger);
    logger->flush();
    std::ifstream file(path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
  std::string TextOf(const std::string& message) { return OneLine(LogFormat::kText, message); }
  std::string JsonOf(const std::string& message) { return OneLine(LogFormat::kJson, message); }

  // The line without what stands before the message, and behind it.
  std::string OneLine(LogFormat format, const std::string& message) {
    std::filesystem::remove(path);
    const std::vector<std::string> lines =
        Lines(format, spdlog::level::info, [&](spdlog::logger& logger) { logger.info(message); });
    EXPECT_EQ(lines.size(), 1u) << message;
    if (lines.size() != 1) return "";
    std::smatch match;
    const std::regex form(format == LogFormat::kText
                              ? R"(\S+ info  (.*))"
                              : R"re(\{"time":"[^"]+","level":"info","message":"(.*)"\})re");
    EXPECT_TRUE(std::regex_match(lines[0], match, form)) << lines[0];
    return match[1];
  }

  const std::string path =
      (std::filesystem::path(::testing::TempDir()) / "flotilla_logger_test.log").string();
};

TEST_F(LoggerTest, ATextLineHasTimeLevelAndMessage) {
  const auto lines = Lines(LogFormat::kText, spdlog::level::debug, [](spdlog::logger& logger) {
    logger.info("group {}: elected", 7);
    logger.warn("slow disk");
  });
  ASSERT_EQ(lines.size(), 2u);
  const std::string time = R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d)";
  EXPECT_TRUE(std::regex_match(lines[0], std::regex(time + " info  group 7: elected"))) << lines[0];
  EXPECT_TRUE(std::regex_match(lines[1], std::regex(time + " warning slow disk"))) << lines[1];
}

TEST_F(LoggerTest, OnlyTheLevelAndWhatIsGraverIsWritten) {
  const auto lines = Lines(LogFormat::kText, spdlog::level::warn, [](spdlog::logger& logger) {
    logger.debug("one");
    logger.info("two");
    logger.warn("three");
    logger.error("four");
    logger.critical("five");
  });
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_NE(lines[0].find("three"), std::string::npos);
  EXPECT_NE(lines[2].find("five"), std::string::npos);
}

TEST_F(LoggerTest, NothingIsWrittenWhenTheLevelIsOff) {
  EXPECT_TRUE(Lines(LogFormat::kText, spdlog::level::off, [](spdlog::logger& logger) {
                logger.critical("silence");
              }).empty());
  NullLogger()->critical("silence");
}

TEST_F(LoggerTest, AMessageIsOneLineWhateverItHolds) {
  EXPECT_EQ(TextOf("two\nlines\r"), "two\\x0alines\\x0d");
  EXPECT_EQ(TextOf("\x1b[31mred"), "\\x1b[31mred");
  EXPECT_EQ(TextOf("say \"no\" to C:\\"), "say \"no\" to C:\\");
  EXPECT_EQ(JsonOf("two\nlines\t"), "two\\u000alines\\u0009");
  EXPECT_EQ(JsonOf("say \"no\" to C:\\"), "say \\\"no\\\" to C:\\\\");
  EXPECT_EQ(JsonOf(std::string("nul\0 del\x7f", 9)), "nul\\u0000 del\\u007f");
}

TEST_F(LoggerTest, BytesThatAreNoUtf8AreShownAndDoNotBreakTheLine) {
  EXPECT_EQ(TextOf("gr\xc3\xbc\xc3\x9f dich \xe2\x82\xac \xf0\x9f\x9a\xa2"),
            "gr\xc3\xbc\xc3\x9f dich \xe2\x82\xac \xf0\x9f\x9a\xa2");
  EXPECT_EQ(JsonOf("\xe2\x82\xac"), "\xe2\x82\xac");
  EXPECT_EQ(TextOf("\xff|\xc3(|\x80"), "\\xff|\\xc3(|\\x80");
  EXPECT_EQ(JsonOf("\xff|\xc3(|\x80"), "\\\\xff|\\\\xc3(|\\\\x80");
  EXPECT_EQ(TextOf("\xc0\xaf"), "\\xc0\\xaf") << "overlong";
  EXPECT_EQ(TextOf("\xe0\x80\xaf"), "\\xe0\\x80\\xaf") << "overlong";
  EXPECT_EQ(TextOf("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "a surrogate";
  EXPECT_EQ(TextOf("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "beyond Unicode";
  EXPECT_EQ(TextOf("cut \xe2\x82"), "cut \\xe2\\x82");
}

TEST_F(LoggerTest, LinesOfAFileAreAddedToWhatIsThere) {
  const auto write = [](spdlog::logger& logger) { logger.info("again"); };
  EXPECT_EQ(Lines(LogFormat::kJson, spdlog::level::info, write).size(), 1u);
  EXPECT_EQ(Lines(LogFormat::kJson, spdlog::level::info, write).size(), 2u);
}

}  // namespace
}  // namespace flotilla
