#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <string>

#include "base/random.h"

namespace flotilla {
namespace {

// The polynomial, bit by bit.
std::uint32_t Slow(std::string_view data) {
  std::uint32_t state = ~0u;
  for (const char c : data) {
    state ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) state = state >> 1 ^ (0x82f63b78u & (0u - (state & 1)));
  }
  return ~state;
}

std::string RandomBytes(std::size_t size) {
  Random random(size + 1);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random.Next());
  return bytes;
}

TEST(Crc32c, KnownVectors) {
  EXPECT_EQ(Crc32c(""), 0u);
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  // RFC 3720, B.4.
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  std::string ascending;
  for (char c = 0; c < 32; ++c) ascending.push_back(c);
  EXPECT_EQ(Crc32c(ascending), 0x46dd794eu);
  EXPECT_EQ(Crc32c(std::string(ascending.rbegin(), ascending.rend())), 0x113fdb5cu);
}

TEST(Crc32c, AgreesWithTheDefinitionAtEveryLength) {
  for (std::size_t size = 0; size < 300; ++size) {
    const std::string bytes = RandomBytes(size);
    ASSERT_EQ(Crc32c(bytes), Slow(bytes)) << size;
  }
}

TEST(Crc32c, AgreesWithTheDefinitionAtEveryAlignment) {
  const std::string bytes = RandomBytes(4096 + 64);
  for (std::size_t offset = 0; offset < 64; ++offset) {
    const std::string_view part = std::string_view(bytes).substr(offset, 4096);
    ASSERT_EQ(Crc32c(part), Slow(part)) << offset;
  }
}

TEST(Crc32c, ExtendsAcrossEverySplit) {
  const std::string_view text = "the quick brown fox jumps over the lazy dog, and then some more";
  for (std::size_t split = 0; split <= text.size(); ++split) {
    EXPECT_EQ(ExtendCrc32c(Crc32c(text.substr(0, split)), text.substr(split)), Crc32c(text));
  }
}

}  // namespace
}  // namespace flotilla
