#include "base/coding.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace flotilla {
namespace {

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
// Around every boundary of a varint's length, and the ends.
std::vector<std::uint64_t> Numbers() {
  std::vector<std::uint64_t> numbers = {0, 1, kMax, kMax - 1, 0x0123456789abcdefull};
  for (int bits = 7; bits < 64; bits += 7) {
    const std::uint64_t power = 1ull << bits;
    numbers.insert(numbers.end(), {power - 1, power, power + 1});
  }
  return numbers;
}

TEST(Coding, FixedWidthsAreLittleEndian) {
  std::string out;
  AppendFixed32(out, 0x04030201u);
  AppendFixed64(out, 0x0807060504030201ull);
  EXPECT_EQ(out, std::string("\x01\x02\x03\x04\x01\x02\x03\x04\x05\x06\x07\x08"));
  EXPECT_EQ(LoadFixed32(out.data()), 0x04030201u);
  EXPECT_EQ(LoadFixed64(out.data() + 4), 0x0807060504030201ull);
}

TEST(Coding, EveryNumberComesBack) {
  for (const std::uint64_t number : Numbers()) {
    std::string out;
    AppendFixed32(out, static_cast<std::uint32_t>(number));
    AppendFixed64(out, number);
    AppendOrdered64(out, number);
    AppendVarint(out, number);
    Reader reader(out);
    std::uint32_t narrow = 0;
    std::uint64_t fixed = 0;
    std::uint64_t ordered = 0;
    std::uint64_t varint = 0;
    ASSERT_TRUE(reader.Fixed32(narrow) && reader.Fixed64(fixed) && reader.Ordered64(ordered) &&
                reader.Varint(varint));
    EXPECT_TRUE(reader.empty());
    EXPECT_EQ(narrow, static_cast<std::uint32_t>(number));
    EXPECT_EQ(fixed, number);
    EXPECT_EQ(ordered, number);
    EXPECT_EQ(varint, number);
  }
}

TEST(Coding, OrderedBytesSortAsTheirNumbers) {
  const std::vector<std::uint64_t> numbers = Numbers();
  for (const std::uint64_t a : numbers) {
    for (const std::uint64_t b : numbers) {
      std::string bytes_a;
      std::string bytes_b;
      AppendOrdered64(bytes_a, a);
      AppendOrdered64(bytes_b, b);
      EXPECT_EQ(bytes_a < bytes_b, a < b) << a << " and " << b;
      EXPECT_EQ(LoadOrdered64(bytes_a.data()), a);
    }
  }
}

TEST(Coding, VarintsTakeSevenBitsPerByte) {
  const auto size_of = [](std::uint64_t number) {
    std::string out;
    AppendVarint(out, number);
    return out.size();
  };
  EXPECT_EQ(size_of(0), 1u);
  EXPECT_EQ(size_of(127), 1u);
  EXPECT_EQ(size_of(128), 2u);
  EXPECT_EQ(size_of((1ull << 63) - 1), 9u);
  EXPECT_EQ(size_of(1ull << 63), 10u);
  EXPECT_EQ(size_of(kMax), 10u);
}

TEST(Coding, VarintsThatAreLongerThanTheirTypeAreRefused) {
  const auto reads = [](const std::string& bytes) {
    Reader reader(bytes);
    std::uint64_t value = 0;
    return reader.Varint(value);
  };
  const std::string nine(9, '\xff');
  EXPECT_TRUE(reads(nine + '\x01'));
  EXPECT_FALSE(reads(nine + '\x02')) << "the 65th bit";
  EXPECT_FALSE(reads(nine + "\x81")) << "an eleventh byte announced";
  EXPECT_FALSE(reads(nine + "\x81" + '\x00'));
  EXPECT_FALSE(reads(std::string(100, '\x80')));
}

// A record of every kind of field.
std::string Encode() {
  std::string out;
  out.push_back('\x2a');
  AppendFixed32(out, 1);
  AppendFixed64(out, 2);
  AppendOrdered64(out, 3);
  AppendVarint(out, 400);
  AppendPrefixed(out, "five");
  AppendPrefixed(out, "");
  return out;
}

bool Decode(std::string_view bytes) {
  Reader reader(bytes);
  std::uint8_t byte = 0;
  std::uint32_t narrow = 0;
  std::uint64_t numbers[3];
  std::string_view texts[2];
  return reader.Byte(byte) && reader.Fixed32(narrow) && reader.Fixed64(numbers[0]) &&
         reader.Ordered64(numbers[1]) && reader.Varint(numbers[2]) && reader.Prefixed(texts[0]) &&
         reader.Prefixed(texts[1]) && reader.empty() && byte == 0x2a && narrow == 1 &&
         numbers[0] == 2 && numbers[1] == 3 && numbers[2] == 400 && texts[0] == "five" &&
         texts[1].empty();
}

TEST(Coding, EveryTruncationIsNoticed) {
  const std::string whole = Encode();
  EXPECT_TRUE(Decode(whole));
  for (std::size_t length = 0; length < whole.size(); ++length) {
    // A copy of exactly that length: a sanitizer sees a read behind it.
    const std::vector<char> part(whole.begin(),
                                 whole.begin() + static_cast<std::ptrdiff_t>(length));
    EXPECT_FALSE(Decode({part.data(), part.size()})) << length;
  }
}

TEST(Coding, ALengthThatPromisesTooMuchIsRefused) {
  for (const std::uint64_t length : {std::uint64_t{5}, kMax, kMax - 1, kMax / 2 + 1}) {
    std::string bytes;
    AppendVarint(bytes, length);
    bytes += "four";
    Reader reader(bytes);
    std::string_view text;
    EXPECT_FALSE(reader.Prefixed(text)) << length;
  }
}

TEST(Coding, TextsAreViewsIntoTheInput) {
  std::string bytes;
  AppendPrefixed(bytes, std::string_view("a\0b", 3));
  bytes += "rest";
  Reader reader(bytes);
  std::string_view text;
  ASSERT_TRUE(reader.Prefixed(text));
  EXPECT_EQ(text, std::string_view("a\0b", 3));
  EXPECT_EQ(text.data(), bytes.data() + 1);
  EXPECT_EQ(reader.rest(), "rest");
  std::string_view taken;
  EXPECT_FALSE(reader.Take(5, taken));
  EXPECT_TRUE(reader.Take(4, taken));
  EXPECT_TRUE(reader.Take(0, taken));
}

}  // namespace
}  // namespace flotilla
