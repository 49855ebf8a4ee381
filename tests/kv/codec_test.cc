#include <gtest/gtest.h>

#include "base/random.h"
#include "kv/command.h"
#include "kv/key_codec.h"
#include "kv/limits.h"
#include "kv/slots.h"

namespace flotilla::kv {
namespace {

std::string RandomKey(Random& random) {
  std::string key;
  for (std::uint64_t i = random.Below(6); i > 0; --i) {
    key.push_back(
        "\x00\x01\xff"
        "ab"[random.Below(5)]);
  }
  return key;
}

TEST(KeyCodec, KeepsTheOrderAndComesBack) {
  Random random(1);
  for (int round = 0; round < 20'000; ++round) {
    const std::string a = RandomKey(random);
    const std::string b = RandomKey(random);
    const std::string encoded_a = EncodeKey(kDefaultKeyspace, a);
    const std::string encoded_b = EncodeKey(kDefaultKeyspace, b);
    EXPECT_EQ(a < b, encoded_a < encoded_b);
    EXPECT_TRUE(a == b || !encoded_b.starts_with(encoded_a));
    EXPECT_LT(KeyspaceStart(kDefaultKeyspace), encoded_a);
    EXPECT_LT(encoded_a, KeyspaceEnd(kDefaultKeyspace));
    KeyspaceId keyspace;
    std::string decoded;
    ASSERT_TRUE(DecodeKey(encoded_a, keyspace, decoded));
    EXPECT_EQ(decoded, a);
    EXPECT_EQ(keyspace, kDefaultKeyspace);
  }
}

constexpr KeyspaceId kHashed{7 | kHashedBit};

// Keys in production lie in these slots: they never change.
TEST(Slots, AKeysSlotIsTheSameForEver) {
  EXPECT_EQ(SlotOf(""), Slot(0xEF46));
  EXPECT_EQ(SlotOf("a"), Slot(0xD24E));
  EXPECT_EQ(SlotOf("abc"), Slot(0x44BC));
}

TEST(Slots, TakeKeysThatLookAlikeApart) {
  std::vector<int> sixteenths(16);
  for (int i = 0; i < 16'000; ++i) ++sixteenths[SlotOf("user:" + std::to_string(i)).value() >> 12];
  for (const int number : sixteenths) EXPECT_NEAR(number, 1000, 150);
}

TEST(Slots, StandBeforeTheKeysOfAHashedKeyspace) {
  EXPECT_TRUE(IsHashed(kHashed));
  EXPECT_FALSE(IsHashed(kDefaultKeyspace));
  const std::string encoded = EncodeKey(kHashed, "abc");
  EXPECT_EQ(encoded, std::string("\x80\x00\x00\x07\x44\xBC"
                                 "abc\x00\x01",
                                 11));
  EXPECT_EQ(SlotOfEncoded(encoded), Slot(0x44BC));
  EXPECT_EQ(SlotOfEncoded(SlotStart(kHashed, Slot(0x1234))), Slot(0x1234));
  EXPECT_EQ(SlotOfEncoded(KeyspaceStart(kHashed)), std::nullopt);
  EXPECT_EQ(SlotBound(kHashed, 3), SlotStart(kHashed, Slot(3)));
  EXPECT_EQ(SlotBound(kHashed, kSlots), KeyspaceEnd(kHashed));
}

TEST(Slots, KeepTheOrderOfTheirKeysAndComeBack) {
  Random random(2);
  for (int round = 0; round < 20'000; ++round) {
    const std::string a = RandomKey(random);
    const std::string b = RandomKey(random);
    const std::string encoded_a = EncodeKey(kHashed, a);
    const std::string encoded_b = EncodeKey(kHashed, b);
    EXPECT_EQ(std::pair(SlotOf(a), a) < std::pair(SlotOf(b), b), encoded_a < encoded_b);
    EXPECT_TRUE(a == b || !encoded_b.starts_with(encoded_a));
    EXPECT_LT(KeyspaceStart(kHashed), encoded_a);
    EXPECT_LT(encoded_a, KeyspaceEnd(kHashed));
    KeyspaceId keyspace;
    std::string decoded;
    ASSERT_TRUE(DecodeKey(encoded_a, keyspace, decoded));
    EXPECT_EQ(decoded, a);
    EXPECT_EQ(keyspace, kHashed);
  }
}

TEST(Slots, AKeyInAnotherSlotThanItsOwnIsNone) {
  std::string encoded = EncodeKey(kHashed, "abc");
  KeyspaceId keyspace;
  std::string decoded;
  EXPECT_FALSE(DecodeKey(std::string_view(encoded).substr(0, 5), keyspace, decoded));
  ++encoded[5];
  EXPECT_FALSE(DecodeKey(encoded, keyspace, decoded));
}

// A user key is at or after a boundary if and only if its encoded key is.
TEST(KeyCodec, ABoundaryIsAUserKey) {
  Random random(3);
  EXPECT_EQ(UserKeyAt(EncodeKey(kDefaultKeyspace, std::string_view("a\0", 2))),
            std::string_view("a\0", 2));
  EXPECT_EQ(UserKeyAt(KeyspaceStart(kDefaultKeyspace)), "");
  for (int round = 0; round < 20'000; ++round) {
    std::string boundary = EncodeKey(kDefaultKeyspace, RandomKey(random));
    if (random.Chance(0.5)) boundary.resize(random.Between(kKeyspaceBytes, boundary.size()));
    const std::string key = RandomKey(random);
    EXPECT_EQ(key >= UserKeyAt(boundary), EncodeKey(kDefaultKeyspace, key) >= boundary);
  }
}

TEST(KeyCodec, TheNewestVersionComesFirst) {
  std::string older = EncodeKey(kDefaultKeyspace, "k");
  std::string newer = older;
  AppendVersionSuffix(older, Timestamp(5));
  AppendVersionSuffix(newer, Timestamp(6));
  EXPECT_LT(newer, older);
  std::string_view key;
  Timestamp timestamp;
  ASSERT_TRUE(SplitVersionKey(newer, key, timestamp));
  EXPECT_EQ(timestamp, Timestamp(6));
}

CommandView Example() {
  CommandView command;
  command.session = {
      .client = ClientId(7), .sequence = 9, .acknowledged_below = 8, .since = Timestamp(77)};
  WriteOp put{.kind = WriteKind::kPut, .key = "k", .value = "v", .ttl_ms = 5};
  put.condition = ConditionKind::kValueIs;
  put.condition_value = "old";
  WriteOp erase{.kind = WriteKind::kDelete, .key = "d"};
  erase.condition = ConditionKind::kVersionIs;
  erase.condition_version = Timestamp(77);
  command.ops = {put, erase, WriteOp{.kind = WriteKind::kDeleteRange, .key = "a", .end = "b"}};
  return command;
}

TEST(CommandCodec, ComesBack) {
  const std::string bytes = EncodeCommand(Example());
  CommandView decoded;
  ASSERT_TRUE(DecodeCommand(bytes, decoded).ok());
  EXPECT_EQ(EncodeCommand(decoded), bytes);
  ASSERT_EQ(decoded.ops.size(), 3u);
  EXPECT_EQ(decoded.ops[0].condition_value, "old");
  EXPECT_EQ(decoded.ops[1].condition_version, Timestamp(77));
  EXPECT_EQ(decoded.ops[2].end, "b");
  EXPECT_EQ(decoded.session.sequence, 9u);
  EXPECT_EQ(decoded.session.since, Timestamp(77));
}

TEST(CommandCodec, StrangersBytesAreHarmless) {
  const std::string good = EncodeCommand(Example());
  Random random(3);
  CommandView decoded;
  for (int round = 0; round < 20'000; ++round) {
    std::string bytes = good.substr(0, random.Below(good.size() + 1));
    if (!bytes.empty()) bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
    (void)DecodeCommand(bytes, decoded);
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(DecodeCommand(std::string_view(good).substr(0, size), decoded).ok());
  }
}

TEST(CommandBatch, GivesEachCommandItsTimestamp) {
  CommandBatchWriter writer(Timestamp(100));
  writer.Add("one");
  writer.Add("two");
  const Bytes payload = std::move(writer).Finish();
  auto reader = CommandBatchReader::Open(payload.view());
  ASSERT_TRUE(reader.ok());
  std::string_view command;
  Timestamp timestamp;
  ASSERT_TRUE(reader->Next(command, timestamp));
  ASSERT_TRUE(reader->Next(command, timestamp));
  EXPECT_EQ(command, "two");
  EXPECT_EQ(timestamp, Timestamp(101));
  EXPECT_FALSE(reader->Next(command, timestamp));
  EXPECT_TRUE(reader->status().ok());
}

Reason ReasonFor(const WriteOp& op) { return ReasonOf(ValidateCommand({.ops = {op}})); }

TEST(Limits, EachHasItsReason) {
  const std::string long_key(kKeyBytesMax + 1, 'k');
  const std::string long_value(kValueBytesMax + 1, 'v');
  EXPECT_EQ(ReasonFor({.key = long_key}), Reason::kKeyTooLarge);
  EXPECT_EQ(ReasonFor({.key = std::string_view(long_key).substr(1)}), Reason::kNone);
  EXPECT_EQ(ReasonFor({.key = "k", .value = long_value}), Reason::kValueTooLarge);
  EXPECT_EQ(ReasonFor({.key = "k", .value = std::string_view(long_value).substr(1)}),
            Reason::kNone);
  EXPECT_EQ(ReasonFor({.key = ""}), Reason::kBadRequest);
  EXPECT_EQ(ReasonFor({.kind = WriteKind::kDeleteRange, .key = "b", .end = "a"}),
            Reason::kBadRange);
  CommandView batch;
  for (int i = 0; i < 9; ++i) {
    batch.ops.push_back({.key = "k", .value = std::string_view(long_value).substr(1)});
  }
  EXPECT_EQ(ReasonOf(ValidateCommand(batch)), Reason::kBatchTooLarge);
  CommandView half_session{.session = {.client = ClientId(1)}, .ops = {{.key = "k"}}};
  EXPECT_EQ(ReasonOf(ValidateCommand(half_session)), Reason::kBadRequest);
}

}  // namespace
}  // namespace flotilla::kv
