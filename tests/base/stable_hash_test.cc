#include "base/stable_hash.h"

#include <gtest/gtest.h>

#include <string>

namespace flotilla {
namespace {

// From XXH64's specification and its other implementations: data on disk depends on them.
TEST(StableHash, GivesThePublishedValues) {
  EXPECT_EQ(StableHash(""), 0xEF46DB3751D8E999u);
  EXPECT_EQ(StableHash("a"), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(StableHash("abc"), 0x44BC2CF5AD770999u);
  EXPECT_EQ(StableHash("Nobody inspects the spammish repetition"), 0xFBCEA83C8A378BF1u);
}

TEST(StableHash, DependsOnTheSeed) { EXPECT_NE(StableHash("abc", 1), StableHash("abc")); }

TEST(StableHash, TakesAnyBytes) {
  EXPECT_NE(StableHash(std::string_view("\0", 1)), StableHash(std::string_view("\0\0", 2)));
}

}  // namespace
}  // namespace flotilla
