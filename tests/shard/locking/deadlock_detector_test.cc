#include "shard/locking/deadlock_detector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace flotilla {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

LockOwner Txn(std::uint64_t id, std::uint64_t since = 0) {
  return {
      .txn = kv::TxnId(id), .coordinator = NodeId(1), .since = kv::TxnId(since == 0 ? id : since)};
}
ReportedWait Wait(const LockOwner& waiter, const LockOwner& holder, const std::string& key = "k") {
  return {.waiter = waiter, .key = key, .for_whom = {holder}};
}
MonoTime At(int ms) { return MonoTime(std::chrono::milliseconds(ms)); }
constexpr NodeId kA{1};
constexpr NodeId kB{2};
constexpr NodeId kC{3};

TEST(DeadlockDetector, TheYoungestOfACircleGoes) {
  DeadlockDetector detector;
  const std::vector<Deadlock> found = detector.Report(
      kA, {Wait(Txn(1), Txn(2)), Wait(Txn(2), Txn(3)), Wait(Txn(3), Txn(1))}, At(0));
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].victim, kv::TxnId(3));
  EXPECT_THAT(found[0].cycle, SizeIs(3));
  EXPECT_THAT(MessageOf(DeadlockError(found[0])), HasSubstr("transaction 1 waits for key 'k'"));
}

TEST(DeadlockDetector, ARetryKeepsItsAge) {
  DeadlockDetector detector;
  const std::vector<Deadlock> found =
      detector.Report(kA, {Wait(Txn(9, 1), Txn(5)), Wait(Txn(5), Txn(9, 1))}, At(0));
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].victim, kv::TxnId(5));
}

TEST(DeadlockDetector, WaitsWithoutACircleAreNone) {
  DeadlockDetector detector;
  EXPECT_THAT(detector.Report(kA, {Wait(Txn(1), Txn(2)), Wait(Txn(3), Txn(2))}, At(0)), IsEmpty());
  EXPECT_THAT(detector.Report(kA, {Wait(Txn(1), Txn(2)), Wait(Txn(3), Txn(2))}, At(50)), IsEmpty());
}

TEST(DeadlockDetector, ACircleOverNodesIsFoundOnceAllWereThereAtOneMoment) {
  DeadlockDetector detector;
  EXPECT_THAT(detector.Report(kA, {Wait(Txn(1), Txn(2))}, At(0)), IsEmpty());
  // What A has said may be over by now.
  EXPECT_THAT(detector.Report(kB, {Wait(Txn(2), Txn(1))}, At(10)), IsEmpty());
  // It is not; but the youngest waits at B.
  EXPECT_THAT(detector.Report(kA, {Wait(Txn(1), Txn(2))}, At(50)), IsEmpty());
  const std::vector<Deadlock> found = detector.Report(kB, {Wait(Txn(2), Txn(1))}, At(60));
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].victim, kv::TxnId(2));
}

TEST(DeadlockDetector, WaitsThatWereNeverThereTogetherAreNoCircle) {
  DeadlockDetector detector;
  detector.Report(kA, {Wait(Txn(1), Txn(2))}, At(0));
  EXPECT_THAT(detector.Report(kB, {Wait(Txn(2), Txn(1))}, At(10)), IsEmpty());
  detector.Report(kA, {}, At(50));
  EXPECT_THAT(detector.Report(kB, {Wait(Txn(2), Txn(1))}, At(60)), IsEmpty());
}

TEST(DeadlockDetector, AVictimThatGoesOnWaitingIsFoundAgain) {
  DeadlockDetector detector;
  const std::vector<ReportedWait> waits{Wait(Txn(1), Txn(2)), Wait(Txn(2), Txn(1))};
  EXPECT_THAT(detector.Report(kA, waits, At(0)), SizeIs(1));
  EXPECT_THAT(detector.Report(kA, waits, At(50)), SizeIs(1)) << "the answer may have been lost";
}

TEST(DeadlockDetector, OneOfEachOfSeveralCircles) {
  DeadlockDetector detector;
  std::vector<ReportedWait> waits{Wait(Txn(1), Txn(2)), Wait(Txn(2), Txn(1)), Wait(Txn(5), Txn(6)),
                                  Wait(Txn(6), Txn(5)), Wait(Txn(7), Txn(1))};
  const std::vector<Deadlock> found = detector.Report(kA, waits, At(0));
  ASSERT_THAT(found, SizeIs(2));
  EXPECT_EQ(found[0].victim, kv::TxnId(2));
  EXPECT_EQ(found[1].victim, kv::TxnId(6));
}

TEST(DeadlockDetector, ASilentNodeIsForgotten) {
  DeadlockDetector detector;
  detector.Report(kA, {Wait(Txn(1), Txn(2))}, At(0));
  detector.Report(kC, {Wait(Txn(8), Txn(1))}, At(10));
  detector.Report(kA, {Wait(Txn(1), Txn(2))}, At(20));
  detector.Report(kB, {Wait(Txn(2), Txn(1))}, At(5'000));
  EXPECT_THAT(detector.Report(kB, {Wait(Txn(2), Txn(1))}, At(5'050)), IsEmpty());
}

// A long queue is a long chain; whoever looks for circles must not run out of stack.
TEST(DeadlockDetector, ALongChain) {
  DeadlockDetector detector;
  std::vector<ReportedWait> waits;
  constexpr std::uint64_t kLength = 100'000;
  for (std::uint64_t i = 1; i < kLength; ++i) waits.push_back(Wait(Txn(i), Txn(i + 1)));
  EXPECT_THAT(detector.Report(kA, waits, At(0)), IsEmpty());
  waits.push_back(Wait(Txn(kLength), Txn(1)));
  const std::vector<Deadlock> found = detector.Report(kA, waits, At(50));
  ASSERT_THAT(found, SizeIs(1));
  EXPECT_EQ(found[0].victim, kv::TxnId(kLength));
}

TEST(WaitReport, TravelsAsItIs) {
  const std::vector<ReportedWait> waits{Wait(Txn(1), Txn(2)), Wait(Txn(3, 2), Txn(4), "other")};
  const StatusOr<std::vector<ReportedWait>> read = DecodeWaits(EncodeWaits(waits));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, waits);
  const std::vector<Deadlock> deadlocks{
      {.victim = kv::TxnId(7), .cycle = {{.waiter = Txn(7), .key = "a"}}}};
  const StatusOr<std::vector<Deadlock>> judged = DecodeDeadlocks(EncodeDeadlocks(deadlocks));
  ASSERT_TRUE(judged.ok());
  EXPECT_EQ(*judged, deadlocks);
  const std::string bytes = EncodeWaits(waits);
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    EXPECT_FALSE(DecodeWaits(std::string_view(bytes).substr(0, cut)).ok()) << cut;
  }
}

}  // namespace
}  // namespace flotilla
