#include "cmd/kvctl/text.h"

#include <gtest/gtest.h>

#include "cmd/kvctl/json.h"

namespace flotilla::kvctl {
namespace {

TEST(KvctlText, TellsPrintableFromBinary) {
  EXPECT_TRUE(IsPrintable(""));
  EXPECT_TRUE(IsPrintable("plain, tab\tand newline\n"));
  EXPECT_TRUE(IsPrintable("gr\xc3\xbc\xc3\x9f dich \xe2\x82\xac \xf0\x9f\x98\x80"));
  EXPECT_FALSE(IsPrintable(std::string("\0", 1)));
  EXPECT_FALSE(IsPrintable("\x1b[31m"));
  EXPECT_FALSE(IsPrintable("\xff"));
  EXPECT_FALSE(IsPrintable("\xc3"));              // cut off
  EXPECT_FALSE(IsPrintable("\xc0\xaf"));          // overlong
  EXPECT_FALSE(IsPrintable("\xed\xa0\x80"));      // a surrogate
  EXPECT_FALSE(IsPrintable("\xf4\x90\x80\x80"));  // beyond Unicode
  EXPECT_FALSE(IsPrintable("\xc2\x85"));          // a C1 control
}

TEST(KvctlText, EscapesToOneLine) {
  EXPECT_EQ(Escape("a\tb\nc\\d"), "a\\tb\\nc\\\\d");
  EXPECT_EQ(Escape("gr\xc3\xbcn"), "gr\xc3\xbcn");
  EXPECT_EQ(Escape("\x01\xff"), "\\x01\\xff");
}

TEST(KvctlText, HexThereAndBack) {
  const std::string bytes("\0\x7f\xff", 3);
  EXPECT_EQ(ToHex(bytes), "007fff");
  EXPECT_EQ(FromHex("007FfF"), bytes);
  EXPECT_FALSE(FromHex("0"));
  EXPECT_FALSE(FromHex("0g"));
}

TEST(KvctlText, Base64AsInRfc4648) {
  EXPECT_EQ(ToBase64(""), "");
  EXPECT_EQ(ToBase64("f"), "Zg==");
  EXPECT_EQ(ToBase64("fo"), "Zm8=");
  EXPECT_EQ(ToBase64("foo"), "Zm9v");
  EXPECT_EQ(ToBase64("\xff\xfe"), "//4=");
}

TEST(KvctlText, NumbersForPeople) {
  EXPECT_EQ(HumanBytes(1023), "1023 B");
  EXPECT_EQ(HumanBytes(1536), "1.5 KiB");
  EXPECT_EQ(HumanBytes(3u << 20), "3.0 MiB");
  EXPECT_EQ(HumanSeconds(59), "59s");
  EXPECT_EQ(HumanSeconds(3700), "1h 1m");
  EXPECT_EQ(HumanSeconds(90'000), "1d 1h");
}

TEST(KvctlText, SplitsWordsLikeAShell) {
  std::string error;
  using Words = std::vector<std::string>;
  EXPECT_EQ(SplitWords("put  a 'b c' \"d \\\"e\\\"\" ''", &error),
            (Words{"put", "a", "b c", "d \"e\"", ""}));
  EXPECT_EQ(SplitWords("a\\x00b\\n\\ c", &error), (Words{std::string("a\0b\n c", 6)}));
  EXPECT_EQ(SplitWords("'\\n'", &error), (Words{"\\n"}));
  EXPECT_EQ(SplitWords(" \t", &error), Words{});
  EXPECT_FALSE(SplitWords("put 'a", &error));
  EXPECT_EQ(error, "a ' is not closed");
  EXPECT_FALSE(SplitWords("a\\xg0", &error));
  EXPECT_FALSE(SplitWords("a\\", &error));
}

TEST(KvctlText, EndOfAPrefix) {
  EXPECT_EQ(PrefixEnd("ab"), "ac");
  EXPECT_EQ(PrefixEnd("a\xff"), "b");
  EXPECT_EQ(PrefixEnd("\xff\xff"), "");
}

TEST(KvctlJson, BytesHaveATextTwinOnlyWhenPrintable) {
  EXPECT_EQ(JsonObject().Bytes("key", "k1").str(), R"({"key":"azE=","key_text":"k1"})");
  EXPECT_EQ(JsonObject().Bytes("key", "\xff").str(), R"({"key":"/w=="})");
}

TEST(KvctlJson, LargeNumbersAreStringsAndTextIsEscaped) {
  EXPECT_EQ(JsonObject().Number64("version", UINT64_MAX).Bool("found", true).str(),
            R"({"version":"18446744073709551615","found":true})");
  EXPECT_EQ(JsonString("a\"b\\c\n\x01"), R"("a\"b\\c\n\u0001")");
}

}  // namespace
}  // namespace flotilla::kvctl
