// When a group is vacuumed, and what is heard of readers.

#include <gtest/gtest.h>

#include "base/timestamp.h"
#include "shard/vacuum/readers.h"
#include "shard/vacuum/trigger.h"

namespace flotilla {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t kNowMs = 100'000'000;
constexpr VacuumOptions kOptions{.versions_min = 1'000, .fraction_min = 0.5};

constexpr Timestamp Ago(std::uint64_t seconds_ago) {
  return Timestamp((kNowMs - 1000 * seconds_ago) << kTimestampCounterBits);
}

// So many dead, superseded from 100 to 50 seconds ago; the group has just been written to.
VacuumSubject Subject(std::uint64_t dead, std::uint64_t due, std::uint64_t live = 1'000) {
  VacuumSubject subject;
  subject.versions.versions = live + dead;
  subject.versions.dead = dead;
  subject.versions.due = due;
  subject.versions.dead_first = Ago(100);
  subject.versions.dead_last = Ago(50);
  subject.safe_point = Ago(101);
  subject.collects_up_to = Ago(101);
  subject.last_timestamp = Ago(0);
  subject.retention_ms = 40'000;
  subject.oldest_reader = Timestamp(UINT64_MAX);
  subject.leads = true;
  return subject;
}

VacuumStep Next(const VacuumSubject& subject) { return NextVacuumStep(subject, kOptions, kNowMs); }

TEST(VacuumTrigger, GoesByCountAndByShare) {
  EXPECT_EQ(Next(Subject(5'000, 1'499)), VacuumStep::kNothing);
  EXPECT_EQ(Next(Subject(5'000, 1'500)), VacuumStep::kCollect);
  EXPECT_EQ(Next(Subject(5'000, 1'500, 1'100)), VacuumStep::kNothing);
  EXPECT_EQ(Next(Subject(0, 0, 0)), VacuumStep::kNothing);
}

TEST(VacuumTrigger, GoesByAgeIfThereIsAnything) {
  VacuumSubject subject = Subject(5'000, 1);
  subject.since_last_run = kOptions.age_max;
  EXPECT_EQ(Next(subject), VacuumStep::kSweep);
  EXPECT_EQ(Next(Subject(5'000, 1)), VacuumStep::kNothing);
  subject.versions.due = 0;
  EXPECT_EQ(Next(subject), VacuumStep::kNothing);
}

TEST(VacuumTrigger, FlushesWhenThatLetsSomethingGo) {
  VacuumSubject subject = Subject(5'000, 0);
  subject.safe_point = Ago(75);
  EXPECT_EQ(Next(subject), VacuumStep::kFlush);
  subject.collects_up_to = Ago(75);
  EXPECT_EQ(Next(subject), VacuumStep::kNothing);
  // A fifth of them: too few.
  subject.collects_up_to = Ago(101);
  subject.safe_point = Ago(90);
  EXPECT_EQ(Next(subject), VacuumStep::kNothing);
}

TEST(VacuumTrigger, MovesTheTimeOfAnIdleGroup) {
  VacuumSubject subject = Subject(5'000, 0);
  subject.last_timestamp = Ago(50);
  EXPECT_EQ(Next(subject), VacuumStep::kMoveTime);
  // Not for what is still kept, a follower, or a reader.
  subject.retention_ms = 200'000;
  EXPECT_EQ(Next(subject), VacuumStep::kNothing);
  subject.retention_ms = kv::kKeepAll;
  EXPECT_EQ(Next(subject), VacuumStep::kNothing);
  subject.retention_ms = 0;
  EXPECT_EQ(Next(subject), VacuumStep::kMoveTime);
  subject.oldest_reader = Ago(99);
  EXPECT_EQ(Next(subject), VacuumStep::kNothing);
  subject.oldest_reader = Timestamp();  // not known
  EXPECT_EQ(Next(subject), VacuumStep::kNothing);
  // They hold nothing up for ever.
  VacuumOptions brief = kOptions;
  brief.hold_max = seconds(60);
  EXPECT_EQ(NextVacuumStep(subject, brief, kNowMs), VacuumStep::kMoveTime);
  subject.oldest_reader = Timestamp(UINT64_MAX);
  subject.leads = false;
  EXPECT_EQ(Next(subject), VacuumStep::kNothing);
}

OldestReader Reader(std::uint64_t reads_at, std::uint64_t node) {
  return {.reads_at = Timestamp(reads_at), .txn = kv::TxnId(reads_at), .node = NodeId(node)};
}

TEST(Readers, AreEncoded) {
  for (const std::optional<OldestReader>& reader :
       {std::optional<OldestReader>(), std::optional(Reader(7, 3))}) {
    const auto decoded = DecodeReader(EncodeReader(reader), NodeId(3));
    ASSERT_TRUE(decoded.ok());
    EXPECT_EQ(*decoded, reader);
  }
  const std::string bytes = EncodeReader(Reader(1ull << 60, 3));
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(DecodeReader(bytes.substr(0, length), NodeId(3)).ok());
  }
  EXPECT_FALSE(DecodeReader(bytes + "x", NodeId(3)).ok());
}

TEST(Readers, TheOldestOfAllNodesCounts) {
  MonoTime now{};
  ReaderWatch readers(now);
  EXPECT_EQ(readers.Oldest(), std::nullopt);
  readers.Note(NodeId(1), Reader(20, 1), now);
  readers.Note(NodeId(2), Reader(10, 2), now);
  EXPECT_EQ(readers.Oldest(), Reader(10, 2));
  readers.Note(NodeId(2), std::nullopt, now);
  EXPECT_EQ(readers.Oldest(), Reader(20, 1));
}

TEST(Readers, OneWhoIsSilentIsForgottenInTheEnd) {
  MonoTime now{};
  ReaderWatch readers(now);
  readers.Note(NodeId(1), Reader(20, 1), now);
  for (int second = 0; second < 59; ++second) readers.Look(now += seconds(1));
  EXPECT_EQ(readers.Oldest(), Reader(20, 1));
  readers.Look(now += seconds(2));
  EXPECT_EQ(readers.Oldest(), std::nullopt);
}

TEST(Readers, AreNotKnownAtFirstNorAfterAPause) {
  MonoTime now{};
  ReaderWatch readers(now);
  EXPECT_FALSE(readers.knows(now));
  for (int second = 0; second < 5; ++second) readers.Look(now += seconds(1));
  EXPECT_TRUE(readers.knows(now));
  readers.Look(now += seconds(30));
  EXPECT_FALSE(readers.knows(now));
  for (int second = 0; second < 5; ++second) readers.Look(now += seconds(1));
  EXPECT_TRUE(readers.knows(now));
}

}  // namespace
}  // namespace flotilla
