#include "cmd/kvd/scan_token.h"

#include <gtest/gtest.h>

namespace flotilla {
namespace {

const ScanToken kScan{.start = "from", .end = "to", .reverse = false};

TEST(ScanToken, GivesTheResumeKeyBack) {
  for (const std::string& key :
       {std::string("k"), std::string("a\0b", 3), std::string(16384, 'x')}) {
    const StatusOr<std::string> got = DecodeScanToken(EncodeScanToken(kScan, key), kScan);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(*got, key);
  }
}

TEST(ScanToken, EveryCutAndEveryFlippedBitIsRefused) {
  const std::string good = EncodeScanToken(kScan, "resume here");
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_EQ(ReasonOf(DecodeScanToken(good.substr(0, size), kScan).status()), Reason::kBadToken);
  }
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_EQ(ReasonOf(DecodeScanToken(bad, kScan).status()), Reason::kBadToken) << bit;
  }
  EXPECT_EQ(ReasonOf(DecodeScanToken(good + "x", kScan).status()), Reason::kBadToken);
}

TEST(ScanToken, BelongsToItsRangeDirectionAndTime) {
  const std::string token = EncodeScanToken(kScan, "k");
  for (const ScanToken& other : {ScanToken{.start = "fro", .end = "mto", .reverse = false},
                                 ScanToken{.start = "from", .end = "", .reverse = false},
                                 ScanToken{.start = "from", .end = "to", .reverse = true},
                                 ScanToken{.start = "from", .end = "to", .as_of = Timestamp(1)}}) {
    EXPECT_EQ(ReasonOf(DecodeScanToken(token, other).status()), Reason::kBadToken);
  }
}

TEST(ScanToken, PrefixEndIsTheFirstKeyBehindThePrefix) {
  EXPECT_EQ(PrefixEnd("a"), "b");
  EXPECT_EQ(PrefixEnd("a\xff"), "b");
  EXPECT_EQ(PrefixEnd(std::string("a\0", 2)), "a\x01");
  EXPECT_EQ(PrefixEnd("\xff\xff"), "");
  EXPECT_EQ(PrefixEnd(""), "");
}

TEST(ScanToken, BelongsToOneKeyspace) {
  ScanToken elsewhere = kScan;
  elsewhere.keyspace = kv::KeyspaceId(7);
  EXPECT_EQ(ReasonOf(DecodeScanToken(EncodeScanToken(kScan, "k"), elsewhere).status()),
            Reason::kBadToken);
}

}  // namespace
}  // namespace flotilla
