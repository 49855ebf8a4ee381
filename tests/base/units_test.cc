#include "base/units.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace flotilla {
namespace {

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();

std::optional<std::uint64_t> Size(std::string_view text) {
  const StatusOr<std::uint64_t> size = ParseSize(text);
  if (size.ok()) return *size;
  EXPECT_EQ(ReasonOf(size.status()), Reason::kBadRequest);
  EXPECT_NE(MessageOf(size.status()).find("64MiB"), std::string_view::npos) << "says how";
  return std::nullopt;
}

std::optional<Duration> Time(std::string_view text) {
  const StatusOr<Duration> time = ParseDuration(text);
  if (time.ok()) return *time;
  EXPECT_EQ(ReasonOf(time.status()), Reason::kBadRequest);
  EXPECT_NE(MessageOf(time.status()).find("150ms"), std::string_view::npos) << "says how";
  return std::nullopt;
}

TEST(ParseSize, EveryUnit) {
  EXPECT_EQ(Size("0"), 0u);
  EXPECT_EQ(Size("4096"), 4096u);
  EXPECT_EQ(Size("512B"), 512u);
  EXPECT_EQ(Size("64KiB"), 64u << 10);
  EXPECT_EQ(Size("64MiB"), 64u << 20);
  EXPECT_EQ(Size("3GiB"), 3ull << 30);
  EXPECT_EQ(Size("2TiB"), 2ull << 40);
}

TEST(ParseSize, TheLargestFitsAndTheNextDoesNot) {
  EXPECT_EQ(Size("18446744073709551615"), kMax);
  EXPECT_EQ(Size("18446744073709551616"), std::nullopt);
  EXPECT_EQ(Size("16777215TiB"), 16777215ull << 40);
  EXPECT_EQ(Size("16777216TiB"), std::nullopt);
  EXPECT_EQ(Size("18014398509481984KiB"), std::nullopt) << "would wrap to 0";
  EXPECT_EQ(Size("99999999999999999999999"), std::nullopt);
}

TEST(ParseSize, WhatIsNoSizeIsRefused) {
  for (const char* const text :
       {"", " ", "MiB", "-1", "+1", "1 MiB", " 1MiB", "1MiB ", "1.5GiB", "1e3", "0x10", "1MB",
        "1mib", "1KB", "1k", "1MiBMiB", "1MiB1", "1ms", "one"}) {
    EXPECT_EQ(Size(text), std::nullopt) << text;
  }
  EXPECT_EQ(Size(std::string_view("1\0", 2)), std::nullopt);
}

TEST(ParseDuration, EveryUnit) {
  EXPECT_EQ(Time("0"), Duration(0));
  EXPECT_EQ(Time("0s"), Duration(0));
  EXPECT_EQ(Time("7ns"), Duration(7));
  EXPECT_EQ(Time("250us"), std::chrono::microseconds(250));
  EXPECT_EQ(Time("150ms"), std::chrono::milliseconds(150));
  EXPECT_EQ(Time("10s"), std::chrono::seconds(10));
  EXPECT_EQ(Time("5m"), std::chrono::minutes(5));
  EXPECT_EQ(Time("1h"), std::chrono::hours(1));
}

TEST(ParseDuration, TheLongestFitsAndTheNextDoesNot) {
  EXPECT_EQ(Time("9223372036854775807ns"), Duration::max());
  EXPECT_EQ(Time("9223372036854775808ns"), std::nullopt) << "fits 64 bits, but not signed";
  EXPECT_EQ(Time("2562047h"), std::chrono::hours(2562047));
  EXPECT_EQ(Time("2562048h"), std::nullopt);
  EXPECT_EQ(Time("18446744074s"), std::nullopt) << "would wrap to under a second";
}

TEST(ParseDuration, WhatIsNoDurationIsRefused) {
  for (const char* const text : {"", "10", "00", "s", "-1s", "+1s", "1 s", "1.5s", "1S", "1min",
                                 "1sec", "1d", "1h30m", "1MiB", "ten seconds"}) {
    EXPECT_EQ(Time(text), std::nullopt) << text;
  }
}

TEST(Units, TheErrorNamesWhatWasGiven) {
  EXPECT_NE(MessageOf(ParseSize("12parsecs").status()).find("`12parsecs`"), std::string_view::npos);
  EXPECT_NE(MessageOf(ParseDuration("soon").status()).find("`soon`"), std::string_view::npos);
}

}  // namespace
}  // namespace flotilla
