#include "cmd/kvd/page_token.h"

#include <gtest/gtest.h>

namespace flotilla {
namespace {

TEST(PageToken, GivesThePlaceBackAndIsText) {
  const std::string place("k\0\xff", 3);
  const std::string token = EncodePageToken(1, place);
  EXPECT_EQ(token.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_EQ(*DecodePageToken(1, token), place);
  EXPECT_EQ(*DecodePageToken(1, ""), "");
  EXPECT_EQ(*DecodePageToken(1, EncodePageToken(1, "")), "");
}

TEST(PageToken, WhatIsDamagedOrOfAnotherListingIsRefused) {
  const std::string good = EncodePageToken(1, "place");
  EXPECT_EQ(ReasonOf(DecodePageToken(2, good).status()), Reason::kBadToken);
  EXPECT_EQ(ReasonOf(DecodePageToken(1, good + "0").status()), Reason::kBadToken);
  EXPECT_EQ(ReasonOf(DecodePageToken(1, "zz").status()), Reason::kBadToken);
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = bad[i] == '0' ? '1' : '0';
    EXPECT_EQ(ReasonOf(DecodePageToken(1, bad).status()), Reason::kBadToken) << i;
    if (i == 0) continue;
    EXPECT_EQ(ReasonOf(DecodePageToken(1, good.substr(0, i)).status()), Reason::kBadToken) << i;
  }
}

TEST(PageSize, IsBounded) {
  EXPECT_EQ(PageSize(0), 1000u);
  EXPECT_EQ(PageSize(7), 7u);
  EXPECT_EQ(PageSize(4'000'000'000), 10'000u);
}

}  // namespace
}  // namespace flotilla
