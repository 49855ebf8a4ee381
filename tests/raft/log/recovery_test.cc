// What the log makes of a disk after power cuts and decay: torn tails, damage, recycled records.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "raft/log/format.h"
#include "tests/raft/log/log_harness.h"

namespace flotilla::raft {
namespace {

using log::kFirstBatchOffset;
using log::kSectorBytes;

class LogRecoveryTest : public ::testing::Test, public LogHarness {
 protected:
  std::size_t EntriesOf(std::uint64_t group) {
    const auto found = recovery.groups.find(GroupId(group));
    return found == recovery.groups.end() ? 0 : found->second.entries.size();
  }
  std::string PathOf(const std::string& name) { return options.directory + "/" + name; }
  // `count` batches of one sector each, all synced; ends as a killed process does.
  void WriteBatches(int count) {
    ExpectOk(Open());
    for (int i = 1; i <= count; ++i) ExpectOk(Write(MakeWrite(1, i, i, 1)));
    Kill();
  }
  // Entries of group 1 until there are so many segments; ends as a killed process does. The last
  // entry.
  std::uint64_t FillSegments(std::size_t count) {
    ExpectOk(Open());
    std::uint64_t last = 0;
    while (Segments().size() < count) {
      ExpectOk(Write(MakeWrite(1, last + 1, last + 50, 1)));
      last += 50;
    }
    Kill();
    return last;
  }
  void ExpectDamage(const Status& status, const std::string& file, std::uint64_t offset) {
    ASSERT_EQ(ReasonOf(status), Reason::kDataDamaged) << MessageOf(status);
    const ErrorMetadata metadata = MetadataOf(status);
    EXPECT_EQ(metadata.at("file"), PathOf(file));
    EXPECT_EQ(metadata.at("offset"), fmt::format("{}", offset));
    EXPECT_NE(MessageOf(status).find("join it again"), std::string_view::npos);
  }
};

TEST_F(LogRecoveryTest, AnInvalidLastBatchIsATornTail) {
  WriteBatches(5);
  files.FlipBits(PathOf("0000000001.log"), kFirstBatchOffset + 4 * kSectorBytes + 60, 1);
  ExpectOk(Open());
  EXPECT_EQ(EntriesOf(1), 4u);
  EXPECT_EQ(recovery.torn_bytes, kSectorBytes);
  // What is written in its place stays, and what was cut off never comes back.
  ExpectOk(Write(MakeWrite(1, 5, 5, 2)));
  Kill();
  files.FlipBits(PathOf("0000000001.log"), kFirstBatchOffset + 4 * kSectorBytes + 60, 1);
  ExpectOk(Open());
  EXPECT_EQ(EntriesOf(1), 5u);
  EXPECT_EQ(recovery.groups.at(GroupId(1)).entries[4].term, Term(2));
  EXPECT_EQ(recovery.torn_bytes, 0u);
}

TEST_F(LogRecoveryTest, AnInvalidBatchThatALaterOneCallsSyncedIsDamage) {
  for (int batch = 0; batch < 4; ++batch) {
    const std::uint64_t offset = kFirstBatchOffset + batch * kSectorBytes;
    LogHarness disk;
    ExpectOk(disk.Open());
    for (int i = 1; i <= 5; ++i) ExpectOk(disk.Write(MakeWrite(1, i, i, 1)));
    disk.Kill();
    disk.files.FlipBits(PathOf("0000000001.log"), offset + 60, 1);
    const std::uint64_t calls = disk.files.trace_hash();
    ExpectDamage(disk.Open(), "0000000001.log", offset);
    EXPECT_NE(calls, disk.files.trace_hash());
    // Mended, it is as it was: the attempt changed nothing.
    disk.files.FlipBits(PathOf("0000000001.log"), offset + 60, 1);
    ExpectOk(disk.Open());
    EXPECT_EQ(disk.recovery.groups.at(GroupId(1)).entries.size(), 5u);
  }
}

TEST_F(LogRecoveryTest, AfterACleanStopTheLastBatchCannotPassForATornTail) {
  ExpectOk(Open());
  for (int i = 1; i <= 5; ++i) ExpectOk(Write(MakeWrite(1, i, i, 1)));
  Stop();
  const std::uint64_t offset = kFirstBatchOffset + 4 * kSectorBytes;
  files.FlipBits(PathOf("0000000001.log"), offset + 60, 1);
  ExpectDamage(Open(), "0000000001.log", offset);
}

TEST_F(LogRecoveryTest, HolesFromReorderedSectorsAreATornTail) {
  // Three batches without a sync; the power cut loses the first and keeps the others.
  ExpectOk(Open());
  ExpectOk(Write(MakeWrite(1, 1, 1, 1)));
  for (int i = 2; i <= 4; ++i) {
    LogWrite write = MakeWrite(1, i, i, 1);
    write.sync = false;
    ExpectOk(Write(std::move(write)));
  }
  Kill();
  for (std::size_t i = 0; i < kSectorBytes; ++i) {
    files.FlipBits(PathOf("0000000001.log"), kFirstBatchOffset + kSectorBytes + i, 0xa5);
  }
  ExpectOk(Open());
  EXPECT_EQ(EntriesOf(1), 1u);
  EXPECT_EQ(recovery.torn_bytes, 3 * kSectorBytes);
}

TEST_F(LogRecoveryTest, DamageInASealedSegmentWithoutASummary) {
  FillSegments(3);
  files.FlipBits(PathOf("0000000002.log"), 3000, 1);
  files.DeleteFile(PathOf("0000000002.summary"), {}, nullptr).PermitUncheckedError();
  const Status status = Open();
  ASSERT_EQ(ReasonOf(status), Reason::kDataDamaged);
  EXPECT_EQ(MetadataOf(status).at("file"), PathOf("0000000002.log"));
}

TEST_F(LogRecoveryTest, DamageThatASummarySparesTheStartIsNoticedByReads) {
  const std::uint64_t last = FillSegments(3);
  files.FlipBits(PathOf("0000000002.log"), 3000, 1);
  ExpectOk(Open());
  EXPECT_EQ(EntriesOf(1), last);
  const auto read = log->Read(GroupId(1), {Index(1), Index(last + 1)}, 1 << 30);
  ASSERT_EQ(ReasonOf(read.status()), Reason::kDataDamaged);
  EXPECT_EQ(MetadataOf(read.status()).at("file"), PathOf("0000000002.log"));
  const std::uint64_t at = std::stoull(MetadataOf(read.status()).at("offset"));
  EXPECT_TRUE(at <= 3000 && 3000 < at + 200) << at;
}

TEST_F(LogRecoveryTest, OnlyTheNewestSegmentIsReadWhole) {
  const std::uint64_t last = FillSegments(6);
  EXPECT_EQ(Summaries().size(), 5u);
  ExpectOk(Open());
  EXPECT_EQ(EntriesOf(1), last);
  EXPECT_GT(recovery.bytes, 5 * options.segment_bytes - options.segment_bytes / 2);
  EXPECT_LT(recovery.bytes_read, 2 * options.segment_bytes);
  // The one that was the newest gets one too.
  RunAll();
  ExpectOk(Write(MakeWrite(1, last + 1, last + 1, 1)));
  EXPECT_EQ(Summaries().size(), 6u);
  Kill();
  ExpectOk(Open());
  EXPECT_EQ(EntriesOf(1), last + 1);
  EXPECT_LT(recovery.bytes_read, options.segment_bytes + options.segment_bytes / 2);
}

TEST_F(LogRecoveryTest, ASummaryIsBelievedOnlyWholeAndForItsOwnSegment) {
  const std::uint64_t last = FillSegments(3);
  const std::string path = PathOf("0000000001.summary");
  std::string good;
  std::string other;
  ASSERT_TRUE(rocksdb::ReadFileToString(&files, path, &good).ok());
  ASSERT_TRUE(rocksdb::ReadFileToString(&files, PathOf("0000000002.summary"), &other).ok());
  std::vector<std::string> bad{other, good + "x", ""};
  for (std::size_t size = 1; size < good.size(); size += 97) bad.push_back(good.substr(0, size));
  for (std::size_t at = 0; at < good.size(); at += 13) {
    bad.push_back(good);
    bad.back()[at] ^= 4;
  }
  for (const std::string& content : bad) {
    ASSERT_TRUE(rocksdb::WriteStringToFile(&files, content, path, true).ok());
    ExpectOk(Open());
    EXPECT_EQ(EntriesOf(1), last);
    EXPECT_GT(recovery.bytes_read, 3 * options.segment_bytes / 2);
    log.reset();
  }
}

TEST_F(LogRecoveryTest, SummariesGoWithTheirSegments) {
  FillSegments(3);
  ExpectOk(Open());
  log->Release(GroupId(1), Index(EntriesOf(1)), Term(1));
  RunAll();
  EXPECT_EQ(Segments().size(), Summaries().size() + 1);
  EXPECT_LT(Segments().size(), 3u);
  Kill();
  ASSERT_TRUE(rocksdb::WriteStringToFile(&files, "x", PathOf("0000000099.summary"), true).ok());
  ExpectOk(Open());
  EXPECT_EQ(Names("99.summary").size(), 0u);
}

TEST_F(LogRecoveryTest, AMissingSegmentIsDamage) {
  const std::uint64_t last = FillSegments(4);
  for (const char* name : {"0000000001.log", "0000000002.log", "0000000003.log"}) {
    ExpectOk([&] {
      const auto status = files.RenameFile(PathOf(name), "/node/away", {}, nullptr);
      return status.ok() ? absl::OkStatus() : Error(Reason::kInternal, status.ToString());
    }());
    ExpectDamage(Open(), name, 0);
    files.RenameFile("/node/away", PathOf(name), {}, nullptr).PermitUncheckedError();
  }
  ExpectOk(Open());
  EXPECT_EQ(EntriesOf(1), last);
}

// A flip anywhere in a stopped log is noticed, or harmless; never a wrong answer.
TEST_F(LogRecoveryTest, EveryFlippedByteIsNoticedOrHarmless) {
  options.segment_bytes = 16 << 10;
  ExpectOk(Open());
  std::vector<Entry> entries;
  for (int i = 0; i < 24; ++i) {
    LogWrite write = MakeWrite(1, 1 + 10 * i, 10 + 10 * i, 1, 60);
    entries.insert(entries.end(), write.entries.begin(), write.entries.end());
    if (i % 5 == 0) write.hard_state = MakeHardState(1, 1, i);
    ExpectOk(Write(std::move(write)));
  }
  Stop();
  ASSERT_GE(Segments().size(), 2u);
  int noticed = 0;
  int harmless = 0;
  std::vector<std::string> names = Segments();
  for (const std::string& name : Summaries()) names.push_back(name);
  for (const std::string& name : names) {
    std::uint64_t bytes = 0;
    ASSERT_TRUE(files.GetFileSize(PathOf(name), {}, &bytes, nullptr).ok());
    for (std::uint64_t offset = 0; offset < bytes; offset += 7) {
      files.FlipBits(PathOf(name), offset, 0x10);
      const Status status = Open();
      if (status.ok()) {
        EXPECT_EQ(EntriesOf(1), entries.size()) << name << " at " << offset;
        EXPECT_EQ(recovery.groups.at(GroupId(1)).hard_state, MakeHardState(1, 1, 20));
        const auto read = log->Read(GroupId(1), {Index(1), Index(1000)}, 1 << 20);
        ++(read.ok() ? harmless : noticed);
        if (read.ok()) {
          EXPECT_EQ(*read, entries);
        } else {
          ASSERT_EQ(ReasonOf(read.status()), Reason::kDataDamaged);
          EXPECT_EQ(MetadataOf(read.status()).at("file"), PathOf(name));
          EXPECT_NE(name, Segments().back());
        }
        log.reset();
      } else {
        ++noticed;
        EXPECT_EQ(ReasonOf(status), Reason::kDataDamaged) << MessageOf(status);
        EXPECT_EQ(MetadataOf(status).at("file"), PathOf(name));
      }
      files.FlipBits(PathOf(name), offset, 0x10);
    }
  }
  EXPECT_GT(noticed, 1000);
  EXPECT_GT(harmless, 100);
}

TEST_F(LogRecoveryTest, DecayUnderARunningLogIsNoticedByReads) {
  options.cache_bytes = 0;
  ExpectOk(Open());
  ExpectOk(Write(MakeWrite(1, 1, 5, 1)));
  files.FlipBits(PathOf("0000000001.log"), kFirstBatchOffset + 300, 1);
  const auto read = log->Read(GroupId(1), {Index(1), Index(6)}, 1 << 20);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(ReasonOf(read.status()), Reason::kDataDamaged);
}

// The records of an earlier life lie in a recycled segment just where new ones are expected.
TEST_F(LogRecoveryTest, RecordsOfARecycledSegmentStayDead) {
  options.segment_bytes = 16 << 10;
  ExpectOk(Open());
  for (int i = 1; i <= 200; ++i) {
    ExpectOk(Write(MakeWrite(1, i, i, 1)));
    log->Release(GroupId(1), Index(i), Term(1));
  }
  EXPECT_GT(log->Stats().appended_bytes, 3 * options.segment_bytes);
  Kill();
  ExpectOk(Open());
  EXPECT_EQ(recovery.groups.at(GroupId(1)).start_index + EntriesOf(1), Index(200));
  EXPECT_EQ(recovery.torn_bytes, 0u);
}

TEST_F(LogRecoveryTest, ASegmentWhoseNameWasNotSyncedIsNotAcknowledged) {
  // Cut the power at every directory sync and just after; what was acknowledged must be there.
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    LogHarness disk;
    disk.options.segment_bytes = 16 << 10;
    Random random(seed);
    ExpectOk(disk.Open());
    std::uint64_t syncs_left = random.Below(6);
    disk.files.SetCallHook([&](const sim::DiskCall& call) {
      if (call.operation == sim::DiskOperation::kSyncDirectory && syncs_left-- == 0) {
        disk.files.PowerOff();
      }
      return rocksdb::IOStatus::OK();
    });
    std::uint64_t acknowledged = 0;
    for (std::uint64_t i = 1; i <= 200 && disk.files.powered(); ++i) {
      if (disk.Write(MakeWrite(1, i, i, 1, 400)).ok()) acknowledged = i;
    }
    disk.Crash(random);
    ExpectOk(disk.Open());
    const auto found = disk.recovery.groups.find(GroupId(1));
    const std::uint64_t recovered =
        found == disk.recovery.groups.end() ? 0 : found->second.entries.size();
    EXPECT_GE(recovered, acknowledged) << "seed " << seed;
  }
}

TEST_F(LogRecoveryTest, ADamagedHeaderOfTheNewestSegmentIsDamage) {
  WriteBatches(3);
  files.FlipBits(PathOf("0000000001.log"), 20, 1);
  ExpectDamage(Open(), "0000000001.log", 0);
}

TEST_F(LogRecoveryTest, AShorterSegmentIsDamage) {
  for (const std::uint64_t bytes : {0ull, 100ull, 512ull, 2048ull, (64ull << 10) - 1}) {
    LogHarness disk;
    ExpectOk(disk.Open());
    for (int i = 1; i <= 5; ++i) ExpectOk(disk.Write(MakeWrite(1, i, i, 1)));
    disk.Stop();
    ASSERT_TRUE(disk.files.Truncate(PathOf("0000000001.log"), bytes, {}, nullptr).ok());
    ExpectDamage(disk.Open(), "0000000001.log", bytes);
  }
}

TEST_F(LogRecoveryTest, SectorsThatChangedPlacesAreDamage) {
  // The header, five batches, the mark of a clean stop, and what is behind it.
  constexpr std::size_t kSectors = 8;
  for (std::size_t a = 0; a < kSectors; ++a) {
    for (std::size_t b = a + 1; b < kSectors; ++b) {
      LogHarness disk;
      ExpectOk(disk.Open());
      for (int i = 1; i <= 5; ++i) ExpectOk(disk.Write(MakeWrite(1, i, i, 1)));
      disk.Stop();
      const std::string path = PathOf("0000000001.log");
      std::string content;
      ASSERT_TRUE(rocksdb::ReadFileToString(&disk.files, path, &content).ok());
      std::swap_ranges(&content[a * kSectorBytes], &content[(a + 1) * kSectorBytes],
                       &content[b * kSectorBytes]);
      ASSERT_TRUE(rocksdb::WriteStringToFile(&disk.files, content, path, true).ok());
      if (const Status opened = disk.Open(); opened.ok()) {
        EXPECT_EQ(disk.recovery.groups[GroupId(1)].entries.size(), 5u) << a << " and " << b;
      } else {
        EXPECT_EQ(ReasonOf(opened), Reason::kDataDamaged);
      }
    }
  }
}

TEST_F(LogRecoveryTest, StrangeFilesAreLeftAlone) {
  WriteBatches(3);
  ExpectOk([&] {
    const auto status = rocksdb::WriteStringToFile(&files, "mine", PathOf("notes.txt"), true);
    return status.ok() ? absl::OkStatus() : Error(Reason::kInternal, status.ToString());
  }());
  ExpectOk(Open());
  EXPECT_EQ(EntriesOf(1), 3u);
  std::string text;
  EXPECT_TRUE(rocksdb::ReadFileToString(&files, PathOf("notes.txt"), &text).ok());
}

}  // namespace
}  // namespace flotilla::raft
