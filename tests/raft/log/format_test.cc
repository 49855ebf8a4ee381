#include "raft/log/format.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "raft/log/summary.h"

namespace flotilla::raft::log {
namespace {

const SegmentHeader kHeader = {.generation = 7,
                               .salt = 0x0123456789abcdef,
                               .bytes = 1 << 20,
                               .previous_end = {6, 4096},
                               .oldest_generation = 3};

TEST(LogFormat, SegmentHeaderRoundTrip) {
  const std::string sector = EncodeSegmentHeader(kHeader);
  ASSERT_EQ(sector.size(), kSectorBytes);
  SegmentHeader decoded;
  EXPECT_EQ(DecodeSegmentHeader(sector, decoded), HeaderState::kValid);
  EXPECT_EQ(decoded, kHeader);
  EXPECT_EQ(DecodeSegmentHeader(std::string(kSectorBytes, '\0'), decoded), HeaderState::kBlank);
  EXPECT_EQ(DecodeSegmentHeader("", decoded), HeaderState::kBlank);
}

TEST(LogFormat, EveryFlippedBitOfASegmentHeaderIsNoticed) {
  const std::string sector = EncodeSegmentHeader(kHeader);
  for (std::size_t i = 0; i < kSegmentHeaderBytes * 8; ++i) {
    std::string damaged = sector;
    damaged[i / 8] = static_cast<char>(damaged[i / 8] ^ (1 << i % 8));
    SegmentHeader decoded;
    EXPECT_EQ(DecodeSegmentHeader(damaged, decoded), HeaderState::kDamaged) << "bit " << i;
  }
}

TEST(LogFormat, RecordsRoundTrip) {
  BatchBuilder builder;
  builder.Begin(42, 1024, "");
  const HardState hard_state = {Term(5), NodeId(2), Index(300)};
  EXPECT_EQ(builder.AddHardState(GroupId(1), hard_state), 1024 + kBatchHeaderBytes);
  builder.AddEntry(RecordKind::kEntry, GroupId(1000), Term(5), Index(301), EntryKind::kCommand,
                   "payload");
  builder.AddEntry(RecordKind::kRewrittenEntry, GroupId(1000), Term(1), Index(UINT64_MAX),
                   EntryKind::kControl, "");
  builder.AddStart(RecordKind::kStart, GroupId(3), Index(9), Term(4));
  builder.AddStart(RecordKind::kReset, GroupId(3), Index(10), Term(5));
  builder.AddRemove(GroupId(8));
  HardState forgotten = hard_state;
  forgotten.forgotten = {Term(4), Index(301)};
  builder.AddHardState(GroupId(9), forgotten);
  const std::string bytes(builder.Finish({7, 1024}, 3));
  EXPECT_EQ((1024 + bytes.size()) % kPageBytes, 0u);

  BatchHeader header;
  ASSERT_TRUE(DecodeBatchHeader(bytes, 42, header));
  EXPECT_EQ(header.records, 7u);
  EXPECT_EQ(header.synced, (Position{7, 1024}));
  EXPECT_EQ(header.oldest_generation, 3u);
  EXPECT_EQ(builder.end_offset(),
            RoundUp(1024 + kBatchHeaderBytes + header.record_bytes, kSectorBytes));

  std::string_view rest = std::string_view(bytes).substr(kBatchHeaderBytes, header.record_bytes);
  std::vector<Record> records;
  while (!rest.empty()) {
    ASSERT_TRUE(DecodeRecord(rest, 42, records.emplace_back()));
    rest.remove_prefix(records.back().bytes);
  }
  ASSERT_EQ(records.size(), 7u);
  EXPECT_EQ(records[6].hard_state, forgotten);
  EXPECT_EQ(records[0].kind, RecordKind::kHardState);
  EXPECT_EQ(records[0].hard_state, hard_state);
  EXPECT_EQ(records[1].kind, RecordKind::kEntry);
  EXPECT_EQ(records[1].group, GroupId(1000));
  EXPECT_EQ(records[1].term, Term(5));
  EXPECT_EQ(records[1].index, Index(301));
  EXPECT_EQ(records[1].entry_kind, EntryKind::kCommand);
  EXPECT_EQ(records[1].payload, "payload");
  EXPECT_EQ(records[2].kind, RecordKind::kRewrittenEntry);
  EXPECT_EQ(records[2].index, Index(UINT64_MAX));
  EXPECT_EQ(records[2].entry_kind, EntryKind::kControl);
  EXPECT_EQ(records[2].payload, "");
  EXPECT_EQ(records[3].kind, RecordKind::kStart);
  EXPECT_EQ(records[3].index, Index(9));
  EXPECT_EQ(records[3].term, Term(4));
  EXPECT_EQ(records[4].kind, RecordKind::kReset);
  EXPECT_EQ(records[5].kind, RecordKind::kRemove);
  EXPECT_EQ(records[5].group, GroupId(8));
}

TEST(LogFormat, EveryFlippedBitOfABatchIsNoticed) {
  BatchBuilder builder;
  builder.Begin(42, 512, "");
  builder.AddEntry(RecordKind::kEntry, GroupId(1), Term(5), Index(301), EntryKind::kCommand,
                   "some payload");
  const std::string bytes(builder.Finish({1, 512}, 1));
  BatchHeader header;
  Record record;
  ASSERT_TRUE(DecodeBatchHeader(bytes, 42, header));
  for (std::size_t i = 0; i < (kBatchHeaderBytes + header.record_bytes) * 8; ++i) {
    std::string damaged = bytes;
    damaged[i / 8] = static_cast<char>(damaged[i / 8] ^ (1 << i % 8));
    BatchHeader damaged_header;
    const bool intact =
        DecodeBatchHeader(damaged, 42, damaged_header) &&
        DecodeRecord(std::string_view(damaged).substr(kBatchHeaderBytes), 42, record);
    EXPECT_FALSE(intact) << "bit " << i;
  }
}

TEST(LogFormat, AnotherGenerationOrSaltDoesNotVerify) {
  EXPECT_NE(ChecksumSeed(1, 1), ChecksumSeed(2, 1));
  EXPECT_NE(ChecksumSeed(1, 1), ChecksumSeed(1, 2));
  BatchBuilder builder;
  builder.Begin(ChecksumSeed(1, 9), 512, "");
  builder.AddRemove(GroupId(1));
  const std::string bytes(builder.Finish({1, 512}, 1));
  BatchHeader header;
  Record record;
  EXPECT_TRUE(DecodeBatchHeader(bytes, ChecksumSeed(1, 9), header));
  EXPECT_FALSE(DecodeBatchHeader(bytes, ChecksumSeed(2, 9), header));
  const std::string_view records = std::string_view(bytes).substr(kBatchHeaderBytes);
  EXPECT_TRUE(DecodeRecord(records, ChecksumSeed(1, 9), record));
  EXPECT_FALSE(DecodeRecord(records, ChecksumSeed(2, 9), record));
}

TEST(LogFormat, SummariesGiveTheRecordsBack) {
  const std::uint32_t seed = ChecksumSeed(7, 9);
  BatchBuilder builder;
  builder.Begin(seed, 512, "");
  const std::string configuration = EncodeConfiguration(Configuration());
  const std::vector<std::uint64_t> offsets{
      builder.AddHardState(GroupId(2), {Term(3), NodeId(1), Index(9)}),
      builder.AddEntry(RecordKind::kEntry, GroupId(2), Term(3), Index(10), EntryKind::kCommand,
                       std::string(5000, 'x')),
      builder.AddEntry(RecordKind::kRewrittenEntry, GroupId(2), Term(3), Index(11),
                       EntryKind::kConfiguration, configuration),
      builder.AddStart(RecordKind::kReset, GroupId(3), Index(4), Term(2)),
      builder.AddRemove(GroupId(4))};
  const std::string file = EncodeSummary(seed, {7, 8192}, builder.summary());
  EXPECT_LT(file.size(), 200u);
  const auto records = DecodeSummary(file, seed, {7, 8192});
  ASSERT_TRUE(records.has_value());
  SummaryReader reader(*records);
  std::vector<Record> read;
  std::uint64_t offset = 0;
  for (Record record; reader.Next(record, offset); read.push_back(record)) {
    EXPECT_EQ(offset, offsets[read.size()]);
  }
  EXPECT_TRUE(reader.sound());
  ASSERT_EQ(read.size(), 5u);
  EXPECT_EQ(read[0].hard_state, (HardState{Term(3), NodeId(1), Index(9)}));
  EXPECT_EQ(read[1].index, Index(10));
  EXPECT_EQ(read[1].payload_bytes, 5000u);
  EXPECT_TRUE(read[1].payload.empty());
  EXPECT_EQ(read[2].kind, RecordKind::kRewrittenEntry);
  EXPECT_EQ(read[2].payload, configuration);
  EXPECT_EQ(read[3].group, GroupId(3));
  EXPECT_EQ(read[3].term, Term(2));
  EXPECT_EQ(read[3].payload_bytes, 0u);
  EXPECT_EQ(read[4].kind, RecordKind::kRemove);

  EXPECT_FALSE(DecodeSummary(file, seed, {7, 7680}).has_value()) << "the segment ends elsewhere";
  EXPECT_FALSE(DecodeSummary(file, seed, {8, 8192}).has_value());
  EXPECT_FALSE(DecodeSummary(file, ChecksumSeed(7, 10), {7, 8192}).has_value());
  // Whatever is no record ends it, and is told from the end.
  for (std::size_t size = 1; size < records->size(); ++size) {
    SummaryReader cut(records->substr(0, size));
    std::size_t count = 0;
    for (Record record; cut.Next(record, offset);) ++count;
    EXPECT_LT(count, 5u);
  }
}

// The bytes that raft/log/README.md shows.
TEST(LogFormat, WorkedBytes) {
  BatchBuilder builder;
  builder.Begin(ChecksumSeed(1, 0), 512, "");
  builder.AddEntry(RecordKind::kEntry, GroupId(2), Term(3), Index(300), EntryKind::kCommand, "hi");
  const std::string bytes(builder.Finish({1, 512}, 1));
  std::string hex;
  for (std::size_t i = 0; i < kBatchHeaderBytes + 17; ++i) {
    char text[4];
    std::snprintf(text, sizeof text, "%02x ", static_cast<unsigned char>(bytes[i]));
    hex += text;
  }
  EXPECT_EQ(hex,
            "89 9b 17 91 46 4c 42 31 10 00 00 00 01 00 00 00 01 00 00 00 00 00 00 00 "
            "00 02 00 00 00 00 00 00 01 00 00 00 00 00 00 00 "
            "a3 90 b3 7d 08 00 00 00 02 02 01 03 ac 02 68 69 00 ");
}

}  // namespace
}  // namespace flotilla::raft::log
