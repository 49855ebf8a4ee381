// Locks that transactions take on their way, over the groups of whole nodes: who waits, for how
// long, and what becomes of locks that are lost.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kv/key_codec.h"
#include "tests/shard/transacting.h"

namespace flotilla {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

constexpr TxnLock kForUpdate{};
constexpr TxnLock kForShare{.strength = LockStrength::kShare};
constexpr TxnLock kNoWait{.patience = LockPatience::kNoWait};
constexpr TxnLock kSkipLocked{.patience = LockPatience::kSkipLocked};
const TxnOptions kPessimistic{.locking = Locking::kPessimistic};

class LocksTest : public Transacting {
 public:
  using Got = StatusOr<std::vector<kv::GetResult>>;
  template <class T>
  using Slot = std::shared_ptr<std::optional<T>>;

  Slot<Got> BeginGet(const Txn& txn, const std::string& key, const TxnLock& lock = kForUpdate) {
    auto slot = std::make_shared<std::optional<Got>>();
    txn->Get(keyspace_, {key}, lock, Soon(), [slot](Got got) { *slot = std::move(got); });
    return slot;
  }
  static std::string ValueOf(const Got& got) {
    if (!got.ok()) return std::string(InfoOf(ReasonOf(got.status())).name);
    if (got->front().skipped) return "(skipped)";
    return got->front().found ? got->front().value : "(none)";
  }
  std::string Lock(const Txn& txn, const std::string& key, const TxnLock& lock = kForUpdate) {
    return ValueOf(Wait(BeginGet(txn, key, lock)));
  }
  Slot<StatusOr<kv::ScanPage>> BeginScan(const Txn& txn, const kv::ScanRequest& request,
                                         const TxnLock& lock = kForUpdate) {
    auto slot = std::make_shared<std::optional<StatusOr<kv::ScanPage>>>();
    txn->Scan(request, lock, Soon(),
              [slot](StatusOr<kv::ScanPage> page) { *slot = std::move(page); });
    return slot;
  }
  std::string Rows(const Txn& txn, const kv::ScanRequest& request,
                   const TxnLock& lock = kForUpdate) {
    const StatusOr<kv::ScanPage> page = Wait(BeginScan(txn, request, lock));
    if (!page.ok()) return std::string(InfoOf(ReasonOf(page.status())).name);
    std::string rows;
    for (const kv::ScanRow& row : page->rows) rows += row.key + "=" + row.value + " ";
    return rows;
  }
  template <class T>
  bool Waits(const Slot<T>& slot, Duration within = milliseconds(300)) {
    return !world_.Await([&] { return slot->has_value(); }, within);
  }
  GroupId GroupOf(const std::string& key) {
    return world_.node(0).DirectoryView()->Locate(kv::EncodeKey(keyspace_, key))->group;
  }
  int LeaderOf(GroupId group) { return world_.AwaitLeader(-1, group); }
  void MoveLeader(GroupId group, int to) {
    const NodeId target = world_.IdentityOf(to);
    auto moved = std::make_shared<std::optional<StatusOr<NodeId>>>();
    world_.node(to).TransferLeadership(
        group, target, Soon(), [moved](StatusOr<NodeId> node) { *moved = std::move(node); });
    const StatusOr<NodeId> node = Wait(moved);
    ASSERT_TRUE(node.ok()) << node.status();
    ASSERT_TRUE(world_.Await([&] { return world_.node(to).Leads(group); }, seconds(10)));
  }
};

// The story of a row that all want: each reads what the one before wrote, and nobody fails.
TEST_F(LocksTest, WhoLocksItWaitsInLineAndSeesTheNewest) {
  MakeTwoShards();
  for (const char* other : {"b", "z"}) {
    PutPlain("a", "0");
    std::vector<Txn> txns;
    std::vector<Slot<Got>> reads;
    for (int i = 0; i < 4; ++i) {
      txns.push_back(Begin(i % 3));
      reads.push_back(BeginGet(txns.back(), "a"));
      if (i == 0) {
        EXPECT_FALSE(Waits(reads.back()));
      } else {
        EXPECT_TRUE(Waits(reads.back()));
      }
    }
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(ValueOf(Wait(reads[i])), std::to_string(i));
      Put(txns[i], "a", std::to_string(i + 1));
      Put(txns[i], other, "1");
      EXPECT_EQ(CommitReason(txns[i]), "OK") << i;
    }
    EXPECT_EQ(Read("a"), "4");
  }
}

// A write that is on its way when its key is locked is seen under the lock.
TEST_F(LocksTest, ALockSeesWhatWasProposedBefore) {
  MakeTwoShards();
  PutPlain("a", "0");
  const int leader = LeaderOf(GroupOf("a"));
  bool came_between = false;
  for (int after_us = 0; after_us < 3000; after_us += 50) {
    PutPlain("a", "0");
    const Txn txn = Begin(leader);
    const auto put = world_.Begin(leader, Puts(keyspace_, {{"a", "1"}}), seconds(15));
    world_.RunFor(std::chrono::microseconds(after_us));
    came_between = came_between || !put->has_value();
    const std::string seen = Lock(txn, "a");
    Put(txn, "a", seen + "+");
    EXPECT_EQ(CommitReason(txn), "OK") << "after " << after_us << " us";
    EXPECT_TRUE(world_.Wait(put).status.ok());
    // The one that went first, the other on top.
    EXPECT_EQ(Read("a"), seen == "1" ? "1+" : "1");
  }
  EXPECT_TRUE(came_between);
}

TEST_F(LocksTest, SharedLocksGoTogether) {
  MakeTwoShards();
  PutPlain("a", "0");
  const Txn one = Begin(0);
  const Txn two = Begin(1);
  EXPECT_EQ(Lock(one, "a", kForShare), "0");
  EXPECT_EQ(Lock(two, "a", kForShare), "0");
  const Txn writer = Begin(2);
  const auto waits = BeginGet(writer, "a");
  EXPECT_TRUE(Waits(waits));
  one->RollBack();
  EXPECT_TRUE(Waits(waits));
  EXPECT_EQ(CommitReason(two), "OK");
  EXPECT_EQ(ValueOf(Wait(waits)), "0");
}

TEST_F(LocksTest, WhoWillNotWaitIsToldByWhomItIsLocked) {
  MakeTwoShards();
  PutPlain("a", "0");
  PutPlain("b", "0");
  const Txn holder = Begin(0);
  EXPECT_EQ(Lock(holder, "a"), "0");
  const Txn txn = Begin(1);
  const Got refused = Wait(BeginGet(txn, "a", kNoWait));
  EXPECT_EQ(ReasonOf(refused.status()), Reason::kLockTimeout);
  EXPECT_THAT(MessageOf(refused.status()), HasSubstr(std::to_string(holder->id().value())));
  EXPECT_EQ(Lock(txn, "a", kSkipLocked), "(skipped)");
  const MonoTime before = world_.loop().now();
  EXPECT_EQ(Lock(txn, "a", {.within = milliseconds(400)}), "LOCK_TIMEOUT");
  EXPECT_GE(world_.loop().now() - before, milliseconds(400));
  EXPECT_LE(world_.loop().now() - before, milliseconds(600));
  // It goes on without.
  EXPECT_EQ(Lock(txn, "b"), "0");
  Put(txn, "b", "1");
  EXPECT_EQ(CommitReason(txn), "OK");
}

// Workers who each take a job that nobody else has.
TEST_F(LocksTest, SkippingWhatIsLockedMakesAQueueOfJobs) {
  MakeTwoShards();
  for (int i = 0; i < 6; ++i) PutPlain("job" + std::to_string(i), "open");
  const kv::ScanRequest next{.keyspace = keyspace_, .start = "job", .end = "joc", .limit = 2};
  const Txn one = Begin(0);
  const Txn two = Begin(1);
  const Txn three = Begin(2);
  EXPECT_EQ(Rows(one, next, kSkipLocked), "job0=open job1=open ");
  EXPECT_EQ(Rows(two, next, kSkipLocked), "job2=open job3=open ");
  for (const char* job : {"job0", "job1"}) Delete(one, job);
  EXPECT_EQ(CommitReason(one), "OK");
  two->RollBack();
  ASSERT_TRUE(world_.Await([&] { return true; }, milliseconds(1)));
  EXPECT_EQ(Rows(three, next, kSkipLocked), "job2=open job3=open ");
  Delete(three, "job2");
  EXPECT_EQ(CommitReason(three), "OK");
}

TEST_F(LocksTest, ALockedRangeTakesNoInsertions) {
  MakeTwoShards();
  for (const char* key : {"b", "d", "f"}) PutPlain(key, "0");
  const Txn txn = Begin(0);
  EXPECT_EQ(Rows(txn, {.keyspace = keyspace_, .start = "a", .end = "e"}), "b=0 d=0 ");
  const Txn other = Begin(1, kPessimistic);
  const auto inserted = BeginWrite(other, {.keyspace = keyspace_, .key = "c", .value = "1"});
  EXPECT_TRUE(Waits(inserted));
  Put(Begin(2, kPessimistic), "f", "1");
  Put(txn, "d", "1");
  EXPECT_EQ(CommitReason(txn), "OK");
  EXPECT_TRUE(Wait(inserted).ok());
  EXPECT_EQ(CommitReason(other), "OK");
}

// Of a page with a limit no more is locked than it speaks of.
TEST_F(LocksTest, APageLocksWhatItSpeaksOf) {
  MakeTwoShards();
  for (const char* key : {"b", "d", "f"}) PutPlain(key, "0");
  const Txn txn = Begin(0);
  EXPECT_EQ(Rows(txn, {.keyspace = keyspace_, .start = "a", .limit = 2}), "b=0 d=0 ");
  EXPECT_EQ(Lock(Begin(1), "d", kNoWait), "LOCK_TIMEOUT");
  EXPECT_EQ(Lock(Begin(1), "f", kNoWait), "0");
}

TEST_F(LocksTest, AHashKeyspaceHasThemAsWell) {
  keyspace_ = Make({.name = "h", .partitioning = Partitioning::kHash, .shards = 4});
  for (int i = 0; i < 6; ++i) PutPlain("k" + std::to_string(i), "0");
  const Txn txn = Begin(0);
  EXPECT_EQ(Rows(txn, {.keyspace = keyspace_, .start = "k", .end = "k3"}), "k0=0 k1=0 k2=0 ");
  const Txn other = Begin(1);
  const auto waits = BeginGet(other, "k1");
  EXPECT_TRUE(Waits(waits));
  Put(txn, "k1", "1");
  EXPECT_EQ(CommitReason(txn), "OK");
  EXPECT_EQ(ValueOf(Wait(waits)), "1");
  EXPECT_EQ(CommitReason(other), "OK");
}

// Plain writes and optimistic commits respect locks, too.
TEST_F(LocksTest, OthersWaitForWhatIsLocked) {
  MakeTwoShards();
  for (const char* key : {"a", "z"}) PutPlain(key, "0");
  const Txn txn = Begin(0);
  EXPECT_EQ(Lock(txn, "a"), "0");
  const auto plain = world_.Begin(1, Puts(keyspace_, {{"a", "plain"}}), seconds(10));
  const Txn optimistic = Begin(2, kv::Isolation::kReadCommitted);
  Put(optimistic, "a", "optimistic");
  Put(optimistic, "z", "optimistic");
  const auto committed = BeginCommit(optimistic);
  EXPECT_FALSE(world_.Await([&] { return plain->has_value() || committed->has_value(); },
                            milliseconds(500)));
  Put(txn, "a", "locked");
  EXPECT_EQ(CommitReason(txn), "OK");
  EXPECT_TRUE(world_.Wait(plain).status.ok());
  EXPECT_TRUE(Wait(committed).ok());
  EXPECT_EQ(Read("z"), "optimistic");
}

TEST_F(LocksTest, ADeadlockOverTwoGroupsCostsTheYoungest) {
  MakeTwoShards();
  for (const char* key : {"a", "z"}) PutPlain(key, "0");
  // They are led by different nodes.
  MoveLeader(GroupOf("a"), 0);
  MoveLeader(GroupOf("z"), 1);
  for (int round = 0; round < 3; ++round) {
    const Txn older = Begin(round);
    const Txn younger = Begin((round + 1) % 3);
    EXPECT_EQ(Lock(older, "a"), "0");
    EXPECT_EQ(Lock(younger, "z"), "0");
    const auto older_waits = BeginGet(older, "z");
    const auto younger_waits = BeginGet(younger, "a");
    const MonoTime before = world_.loop().now();
    const Got refused = Wait(younger_waits);
    EXPECT_LE(world_.loop().now() - before, milliseconds(500));
    EXPECT_EQ(ReasonOf(refused.status()), Reason::kDeadlock) << refused.status();
    for (const auto& text : {std::to_string(older->id().value()),
                             std::to_string(younger->id().value()), std::string("'z'")}) {
      EXPECT_THAT(MessageOf(refused.status()), HasSubstr(text));
    }
    EXPECT_EQ(ValueOf(Wait(older_waits)), "0");
    EXPECT_EQ(Get(younger, "a"), "DEADLOCK") << "it has ended";
    EXPECT_EQ(CommitReason(older), "OK");
  }
}

// A pessimistic one waits for what an optimistic one is committing, which waits for it.
TEST_F(LocksTest, ADeadlockWithACommitIsBroken) {
  MakeTwoShards();
  for (const char* key : {"a", "b", "z"}) PutPlain(key, "0");
  const Txn pessimistic = Begin(0);
  EXPECT_EQ(Lock(pessimistic, "a"), "0");
  const Txn optimistic = Begin(1, kv::Isolation::kReadCommitted);
  Put(optimistic, "a", "1");
  Put(optimistic, "z", "1");
  const auto committed = BeginCommit(optimistic);
  world_.RunFor(milliseconds(10));  // its intent is there
  const auto waits = BeginGet(pessimistic, "z");
  const Got got = Wait(waits);
  const StatusOr<Timestamp> end = Wait(committed);
  EXPECT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(ReasonOf(end.status()), Reason::kDeadlock) << "it is the younger: " << end.status();
  EXPECT_EQ(CommitReason(pessimistic), "OK");
}

// What was deleted has no version that would tell when.
TEST_F(LocksTest, AKeyThatWasReadAndIsGoneWhenItIsLockedIsAConflict) {
  PutPlain("a", "1");
  const Txn txn = Begin(0);
  EXPECT_EQ(Get(txn, "a"), "1");
  const Txn other = Begin(1);
  Delete(other, "a");
  EXPECT_EQ(CommitReason(other), "OK");
  EXPECT_EQ(Lock(txn, "a"), "(none)");
  Put(txn, "b", "2");
  EXPECT_EQ(CommitReason(txn), "TXN_CONFLICT");
}

// Who has locked something may be waited for, also while it reads without a lock.
TEST_F(LocksTest, AReadWithoutALockMayBePartOfADeadlock) {
  MakeTwoShards();
  for (const bool reader_is_older : {true, false}) {
    for (const char* key : {"a", "b", "z"}) PutPlain(key, "0");
    Txn writer;
    if (!reader_is_older) writer = Begin(1, kv::Isolation::kReadCommitted);
    const Txn reader = Begin(0, kv::Isolation::kReadCommitted);
    if (reader_is_older) writer = Begin(1, kv::Isolation::kReadCommitted);
    EXPECT_EQ(Lock(reader, "a"), "0");
    Put(writer, "a", "1");
    Put(writer, "z", "1");
    const auto committed = BeginCommit(writer);
    world_.RunFor(milliseconds(10));  // its intent on z is there
    const MonoTime begun = world_.loop().now();
    const std::string read = Get(reader, "z");
    EXPECT_LT(world_.loop().now() - begun, seconds(2));
    EXPECT_EQ(read, reader_is_older ? "0" : "DEADLOCK");
    if (reader_is_older) EXPECT_EQ(CommitReason(reader), "OK");
    const StatusOr<Timestamp> end = Wait(committed);
    EXPECT_EQ(ReasonOf(end.status()), reader_is_older ? Reason::kDeadlock : Reason::kNone);
  }
}

TEST_F(LocksTest, AnUpgradeByTwoIsADeadlock) {
  MakeTwoShards();
  PutPlain("a", "0");
  const Txn one = Begin(0, kPessimistic);
  const Txn two = Begin(1, kPessimistic);
  EXPECT_EQ(Get(one, "a"), "0");
  EXPECT_EQ(Get(two, "a"), "0");
  const auto first = BeginWrite(one, {.keyspace = keyspace_, .key = "a", .value = "1"});
  const auto second = BeginWrite(two, {.keyspace = keyspace_, .key = "a", .value = "2"});
  EXPECT_EQ(ReasonOf(Wait(second)), Reason::kDeadlock);
  EXPECT_TRUE(Wait(first).ok());
  EXPECT_EQ(CommitReason(one), "OK");
}

// The leader takes its locks with it. If nobody has used that, nobody is the wiser; otherwise the
// commit finds out.
TEST_F(LocksTest, ALostLockCostsARetryAtMost) {
  MakeTwoShards();
  PutPlain("a", "0");
  for (const bool overtaken : {false, true}) {
    for (const kv::Isolation level :
         {kv::Isolation::kReadCommitted, kv::Isolation::kSerializable}) {
      const std::string before = Read("a");
      const Txn txn = Begin(0, TxnOptions{.isolation = level, .locking = Locking::kPessimistic});
      EXPECT_EQ(Lock(txn, "a"), before);
      const GroupId group = GroupOf("a");
      MoveLeader(group, (LeaderOf(group) + 1) % 3);
      if (overtaken) PutPlain("a", "overtaken");
      Put(txn, "b", "1");
      EXPECT_EQ(CommitReason(txn), overtaken ? "TXN_CONFLICT" : "OK");
    }
  }
}

TEST_F(LocksTest, WhoWaitsFollowsTheLeader) {
  MakeTwoShards();
  PutPlain("a", "0");
  const Txn holder = Begin(0);
  EXPECT_EQ(Lock(holder, "a"), "0");
  const Txn txn = Begin(1);
  const auto waits = BeginGet(txn, "a");
  EXPECT_TRUE(Waits(waits));
  const GroupId group = GroupOf("a");
  MoveLeader(group, (LeaderOf(group) + 1) % 3);
  EXPECT_EQ(ValueOf(Wait(waits)), "0");
  Put(txn, "a", "1");
  EXPECT_EQ(CommitReason(txn), "OK");
  Put(holder, "a", "2");
  EXPECT_EQ(CommitReason(holder), "TXN_CONFLICT");
}

// Nobody lets go of them; they go when their transactions are found to be no more.
TEST_F(LocksTest, LocksOfADeadCoordinatorGo) {
  MakeTwoShards();
  PutPlain("a", "0");
  const int leader = LeaderOf(GroupOf("a"));
  const int coordinator = (leader + 1) % 3;
  const Txn lost = Begin(coordinator);
  EXPECT_EQ(Lock(lost, "a"), "0");
  world_.cluster().Kill(coordinator);
  const Txn txn = Begin(leader);
  auto slot = std::make_shared<std::optional<Got>>();
  txn->Get(keyspace_, {"a"}, kForUpdate, Soon(seconds(20)),
           [slot](Got got) { *slot = std::move(got); });
  EXPECT_EQ(ValueOf(Wait(slot)), "0");
  Put(txn, "a", "1");
  EXPECT_EQ(CommitReason(txn), "OK");
}

// Snapshot isolation: what is locked after the first read must not be newer than it.
TEST_F(LocksTest, ALockFindsOutThatTheSnapshotIsOld) {
  MakeTwoShards();
  for (const char* key : {"a", "z"}) PutPlain(key, "0");
  const Txn late = Begin(0, kv::Isolation::kRepeatableRead);
  EXPECT_EQ(Get(late, "z"), "0");
  const Txn early = Begin(0, kv::Isolation::kRepeatableRead);
  PutPlain("a", "1");
  EXPECT_EQ(Lock(late, "a"), "TXN_CONFLICT");
  EXPECT_EQ(Lock(early, "a"), "1");
  EXPECT_EQ(Get(early, "z"), "0");
  Put(early, "z", "1");
  EXPECT_EQ(CommitReason(early), "OK");
}

TEST_F(LocksTest, ReadsAfterALockSeeItsMoment) {
  MakeTwoShards();
  for (const char* key : {"a", "z"}) PutPlain(key, "0");
  const Txn txn = Begin(0, kv::Isolation::kRepeatableRead);
  const Txn both = Begin(1);
  Put(both, "a", "1");
  Put(both, "z", "1");
  EXPECT_EQ(CommitReason(both), "OK");
  EXPECT_EQ(Lock(txn, "a"), "1");
  EXPECT_EQ(Get(txn, "z"), "1");
  EXPECT_EQ(CommitReason(txn), "OK");
}

// A serializable one that has locked all that it read, and written nothing, is of one moment, too.
TEST_F(LocksTest, ReadsUnderLostLocksAreFoundOut) {
  MakeTwoShards();
  for (const char* key : {"a", "z"}) PutPlain(key, "0");
  const Txn txn = Begin(0, kPessimistic);
  EXPECT_EQ(Get(txn, "a"), "0");
  const GroupId group = GroupOf("a");
  MoveLeader(group, (LeaderOf(group) + 1) % 3);
  const Txn both = Begin(1);
  Put(both, "a", "1");
  Put(both, "z", "1");
  EXPECT_EQ(CommitReason(both), "OK");
  EXPECT_EQ(Get(txn, "z"), "1");
  EXPECT_EQ(CommitReason(txn), "TXN_CONFLICT");
}

TEST_F(LocksTest, ASplitTakesWaitingOnesAlong) {
  MakeTwoShards();
  for (const char* key : {"a", "k"}) PutPlain(key, "0");
  const Txn holder = Begin(0);
  EXPECT_EQ(Lock(holder, "k"), "0");
  const Txn txn = Begin(1);
  const auto waits = BeginGet(txn, "k");
  EXPECT_TRUE(Waits(waits));
  const DirectoryAnswer split =
      Change(0, SplitCall{.group = GroupOf("k"), .key = kv::EncodeKey(keyspace_, "g")});
  ASSERT_TRUE(split.status.ok()) << split.status;
  EXPECT_EQ(AwaitJob(0, split.job)->state, JobState::kDone);
  // Its lock has stayed behind; but its commit finds that out.
  EXPECT_EQ(ValueOf(Wait(waits)), "0");
  Put(txn, "k", "1");
  EXPECT_EQ(CommitReason(txn), "OK");
  Put(holder, "k", "2");
  EXPECT_EQ(CommitReason(holder), "TXN_CONFLICT");
}

TEST_F(LocksTest, RollingBackLetsGoOfEverything) {
  MakeTwoShards();
  for (const char* key : {"a", "z"}) PutPlain(key, "0");
  const Txn txn = Begin(0, kPessimistic);
  Put(txn, "a", "1");
  Put(txn, "z", "1");
  const Txn other = Begin(1);
  const auto one = BeginGet(other, "a");
  const auto two = BeginGet(other, "z");
  EXPECT_TRUE(Waits(one));
  ASSERT_TRUE(world_.node(0).transactions().Abort(txn->id()).ok());
  EXPECT_EQ(ValueOf(Wait(one)), "0");
  EXPECT_EQ(ValueOf(Wait(two)), "0");
}

}  // namespace
}  // namespace flotilla
