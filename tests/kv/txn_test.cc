// Transactions in one group's state machine: what each step does, twice, late, and across splits.

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/timestamp.h"
#include "kv/txn/rows.h"
#include "tests/kv/machine.h"

namespace flotilla::kv {
namespace {

// A transaction's steps, with what they refer to.
class Txn {
 public:
  explicit Txn(Machine& machine, Isolation isolation = Isolation::kSerializable)
      : machine_(machine), id_(machine.Begin()), isolation_(isolation) {}

  TxnId id() const { return id_; }
  const std::string& anchor() const { return anchor_; }
  Timestamp start() const { return Timestamp(id_.value()); }

  Txn& Put(const std::string& key, const std::string& value, std::uint64_t ttl_ms = 0) {
    writes_.push_back({.deletes = false, .key = Encoded(key), .value = value, .ttl_ms = ttl_ms});
    return *this;
  }
  Txn& Delete(const std::string& key) {
    writes_.push_back({.deletes = true, .key = Encoded(key)});
    return *this;
  }
  Txn& Reads(const std::string& key) {
    checks_.push_back(Encoded(key));
    return *this;
  }
  Txn& ReadsRange(const std::string& start, const std::string& end) {
    ranges_.emplace_back(Encoded(start), Encoded(end));
    return *this;
  }

  // All that was noted since the last part, as the next part.
  WriteResult Prepare(GroupId group = kParent, bool one_phase = false) {
    TxnCommand command = Part(one_phase);
    const WriteResult result = machine_.Step(group, {command}).front();
    Forget();
    return result;
  }
  WriteResult Commit(GroupId group = kParent) { return Prepare(group, true); }
  // The same, and what it was made of stays.
  WriteResult TryPrepare(GroupId group = kParent, bool one_phase = false) {
    return machine_.Step(group, {Part(one_phase)}).front();
  }
  WriteResult Fence(std::uint32_t part, const std::string& key, GroupId group = kParent) {
    return Step(group, key, TxnFence{.part = part, .valid_until_ms = kEver});
  }
  WriteResult Decide(Timestamp commit, GroupId group = kParent) {
    return Step(group, anchor_, TxnDecide{.commit = commit, .valid_until_ms = kEver}, true);
  }
  WriteResult Resolve(Timestamp commit, GroupId group = kParent, const std::string& first = "",
                      const std::string& last = "~") {
    last_ = Encoded(last);
    return Step(group, first, TxnResolve{.commit = commit, .last = last_});
  }
  WriteResult Step(GroupId group, const std::string& key, decltype(TxnCommand::step) step,
                   bool encoded = false) {
    key_ = encoded ? key : Encoded(key);
    return machine_.Step(group, {{.key = key_, .txn = id_, .step = std::move(step)}}).front();
  }
  void Anchor(const std::string& key) { anchor_ = Encoded(key); }
  void ValidUntil(std::uint64_t ms) { valid_until_ms_ = ms; }
  void Parts(std::vector<TxnPart> parts) { parts_ = std::move(parts); }

 private:
  struct Write {
    bool deletes = false;
    std::string key;
    std::string value = {};
    std::uint64_t ttl_ms = 0;
  };
  static constexpr std::uint64_t kEver = 1'000'000'000'000;

  TxnCommand Part(bool one_phase) {
    if (anchor_.empty() && !writes_.empty()) anchor_ = writes_.front().key;
    TxnPrepare prepare{.isolation = isolation_,
                       .anchor = anchor_,
                       .part = next_part_,
                       .valid_until_ms = valid_until_ms_,
                       .one_phase = one_phase};
    for (const Write& write : writes_) {
      prepare.writes.push_back({.deletes = write.deletes,
                                .key = write.key,
                                .value = write.value,
                                .ttl_ms = write.ttl_ms});
    }
    for (const std::string& key : checks_) prepare.checks.push_back({.key = key});
    for (const auto& [start, end] : ranges_) prepare.ranges.push_back({.start = start, .end = end});
    if (next_part_ == 0 && !one_phase) {
      prepare.parts =
          parts_.empty() ? std::vector<TxnPart>{{.first = anchor_, .last = anchor_}} : parts_;
    }
    const std::string_view key = !writes_.empty()   ? std::string_view(writes_.front().key)
                                 : !checks_.empty() ? std::string_view(checks_.front())
                                                    : std::string_view(ranges_.front().first);
    return {.key = key, .txn = id_, .step = std::move(prepare)};
  }
  void Forget() {
    writes_.clear();
    checks_.clear();
    ranges_.clear();
    ++next_part_;
  }

  Machine& machine_;
  const TxnId id_;
  const Isolation isolation_;
  std::string anchor_;
  std::string key_;
  std::string last_;
  std::uint64_t valid_until_ms_ = kEver;
  std::uint32_t next_part_ = 0;
  std::vector<TxnPart> parts_;
  std::vector<Write> writes_;
  std::vector<std::string> checks_;
  std::vector<std::pair<std::string, std::string>> ranges_;
};

constexpr WriteOutcome kApplied = WriteOutcome::kApplied;
constexpr WriteOutcome kLocked = WriteOutcome::kLocked;
constexpr WriteOutcome kConflict = WriteOutcome::kConflict;
constexpr WriteOutcome kTxnAborted = WriteOutcome::kTxnAborted;

TEST(Txn, OfOneGroupCommitsInOneEntry) {
  Machine machine;
  machine.Write(Put("b", "old"));
  Txn txn(machine);
  txn.Put("a", "1").Put("b", "2").Delete("c");
  const WriteResult first = txn.TryPrepare(kParent, true);
  EXPECT_EQ(first.outcome, kApplied);
  EXPECT_EQ(machine.Get(kParent, "a"), "1");
  EXPECT_EQ(machine.store().Get(kDefaultKeyspace, "b")->version, first.timestamp);
  EXPECT_EQ(machine.store().Get(kDefaultKeyspace, "b", txn.start())->value, "old");
  EXPECT_TRUE(machine.store().locks().empty());
  // Asked once more, it is the same; also after others have written, and after a crash.
  machine.Write(Put("a", "3"));
  EXPECT_EQ(txn.TryPrepare(kParent, true).timestamp, first.timestamp);
  machine.PowerCut(1);
  ASSERT_TRUE(machine.Replay(kParent).ok());
  const WriteResult again = txn.TryPrepare(kParent, true);
  EXPECT_EQ(again.outcome, kApplied);
  EXPECT_EQ(again.timestamp, first.timestamp);
  EXPECT_EQ(machine.Get(kParent, "a"), "3");
}

TEST(Txn, TheFirstToCommitAKeyWins) {
  for (const Isolation isolation : {Isolation::kReadCommitted, Isolation::kRepeatableRead}) {
    Machine machine;
    Txn early(machine, isolation);
    Txn late(machine, isolation);
    EXPECT_EQ(late.Put("k", "late").Commit().outcome, kApplied);
    const WriteResult lost = early.Put("k", "early").Commit();
    if (isolation == Isolation::kReadCommitted) {
      EXPECT_EQ(lost.outcome, kApplied) << "nobody asked for more";
    } else {
      EXPECT_EQ(lost.outcome, kConflict);
      EXPECT_EQ(lost.obstacle->key, Encoded("k"));
      EXPECT_EQ(machine.Get(kParent, "k"), "late");
    }
  }
}

TEST(Txn, WhatASerializableOneHasReadMustBeAsItWas) {
  Machine machine;
  machine.Write(Put("x", "1"));
  machine.Write(Put("r3", "1"));
  Txn skewed(machine, Isolation::kRepeatableRead);
  Txn reader(machine);
  Txn ranger(machine);
  Txn calm(machine);
  machine.Write(Put("x", "2"));
  machine.Write(Put("r5", "new"));
  EXPECT_EQ(skewed.Put("y", "1").Commit().outcome, kApplied);
  EXPECT_EQ(reader.Put("y2", "1").Reads("x").Commit().outcome, kConflict);
  const WriteResult phantom = ranger.Put("y3", "1").ReadsRange("r", "s").Commit();
  EXPECT_EQ(phantom.outcome, kConflict);
  EXPECT_EQ(phantom.obstacle->key, Encoded("r5"));
  EXPECT_EQ(calm.Put("y4", "1").Reads("r3").ReadsRange("r", "r4").Commit().outcome, kApplied);
  EXPECT_EQ(machine.Get(kParent, "y2"), std::nullopt);
}

TEST(Txn, AnIntentIsInTheWayOfWritesAndOfReadsThatMightSeeIt) {
  Machine machine;
  const Timestamp before = machine.Write(Put("k", "old")).timestamp;
  Txn txn(machine);
  const WriteResult prepared = txn.Put("k", "new").Put("l", "new").Prepare();
  ASSERT_EQ(prepared.outcome, kApplied);
  EXPECT_EQ(machine.Get(kParent, "k"), "old") << "it is not committed";
  const WriteResult refused = machine.Write(Put("k", "other"));
  EXPECT_EQ(refused.outcome, kLocked);
  EXPECT_EQ(refused.obstacle->holder.txn, txn.id());
  EXPECT_EQ(refused.obstacle->holder.anchor, Encoded("k"));
  EXPECT_EQ(machine.Write(Delete("l")).outcome, kLocked);
  EXPECT_EQ(machine.Write(DeleteRange("a", "z")).outcome, kLocked);
  EXPECT_EQ(machine.Write(DeleteRange("m", "z")).outcome, kApplied);
  EXPECT_EQ(machine.Write(Put("m", "free")).outcome, kApplied);
  Txn other(machine);
  EXPECT_EQ(other.Put("l", "other").TryPrepare().outcome, kLocked);
  const Locks& locks = machine.store().locks();
  EXPECT_TRUE(locks.IntentOn(Encoded("k"), {}));
  EXPECT_TRUE(locks.IntentOn(Encoded("k"), prepared.timestamp));
  EXPECT_FALSE(locks.IntentOn(Encoded("k"), before)) << "it will be committed later than that";
  EXPECT_FALSE(locks.IntentOn(Encoded("k"), {}, txn.id()));
  EXPECT_FALSE(locks.IntentOn(Encoded("j"), {}));
  EXPECT_TRUE(locks.IntentIn(Encoded("a"), Encoded("k~"), {}));
}

TEST(Txn, ARefusedWriteLeavesNoTraceInItsSession) {
  Machine machine;
  Txn txn(machine);
  ASSERT_EQ(txn.Put("k", "new").Prepare().outcome, kApplied);
  const Session session{.client = ClientId(5), .sequence = 1, .acknowledged_below = 1};
  EXPECT_EQ(machine.Write(kParent, Put("k", "plain"), session).outcome, kLocked);
  txn.Resolve({});
  EXPECT_EQ(machine.Write(kParent, Put("k", "plain"), session).outcome, kApplied);
  EXPECT_EQ(machine.Get(kParent, "k"), "plain");
}

TEST(Txn, IntentsBecomeVersionsAtTheCommitsTimestamp) {
  Machine machine;
  machine.Write(Put("gone", "old"));
  Txn txn(machine);
  const WriteResult prepared = txn.Put("k", "new").Delete("gone").Reads("read").Prepare();
  const Timestamp then = machine.Write(Put("z", "1")).timestamp;
  const Timestamp commit = machine.Write(Put("z", "2")).timestamp + 1;
  EXPECT_EQ(txn.Decide(commit).timestamp, commit);
  EXPECT_EQ(txn.Resolve(commit).affected, 3u);
  EXPECT_EQ(machine.store().Get(kDefaultKeyspace, "k")->version, commit);
  EXPECT_EQ(machine.Get(kParent, "gone"), std::nullopt);
  EXPECT_FALSE(machine.store().Get(kDefaultKeyspace, "k", then)->found);
  EXPECT_EQ(machine.store().Get(kDefaultKeyspace, "gone", then)->value, "old");
  EXPECT_GT(then, prepared.timestamp);
  EXPECT_TRUE(machine.store().locks().empty());
  EXPECT_EQ(txn.Resolve(commit).affected, 0u) << "it is done";
}

TEST(Txn, WhatIsRolledBackLeavesNothing) {
  Machine machine;
  machine.Write(Put("k", "old"));
  Txn txn(machine);
  txn.Put("k", "new").ReadsRange("a", "c").Prepare();
  EXPECT_EQ(txn.Decide({}).outcome, kTxnAborted);
  txn.Resolve({});
  EXPECT_TRUE(machine.store().locks().empty());
  EXPECT_EQ(machine.Get(kParent, "k"), "old");
  EXPECT_EQ(machine.Write(Put("b", "1")).outcome, kApplied);
}

TEST(Txn, WhatWasReadStaysWhileOthersMayReadIt) {
  Machine machine;
  machine.Write(Put("k", "1"));
  Txn reader(machine);
  Txn second(machine);
  Txn writer(machine);
  Txn phantom(machine);
  EXPECT_EQ(reader.Put("w1", "1").Reads("k").ReadsRange("r", "s").Prepare().outcome, kApplied);
  EXPECT_EQ(second.Put("w2", "1").Reads("k").Prepare().outcome, kApplied);
  EXPECT_EQ(writer.Put("k", "2").TryPrepare().outcome, kLocked);
  EXPECT_EQ(machine.Write(Put("k", "2")).outcome, kLocked);
  EXPECT_EQ(phantom.Put("r5", "2").TryPrepare().outcome, kLocked);
  EXPECT_EQ(machine.Write(Put("r5", "2")).outcome, kLocked);
  EXPECT_EQ(machine.Write(DeleteRange("q", "r1")).outcome, kLocked);
  EXPECT_FALSE(machine.store().locks().IntentOn(Encoded("k"), {})) << "reads pass";
  reader.Resolve({});
  EXPECT_EQ(machine.Write(Put("r5", "2")).outcome, kApplied);
  EXPECT_EQ(machine.Write(Put("k", "2")).outcome, kLocked) << "the second one holds it still";
  second.Resolve({});
  EXPECT_EQ(machine.Write(Put("k", "2")).outcome, kApplied);
}

TEST(Txn, APreparedPartIsPreparedOnce) {
  Machine machine;
  Txn txn(machine);
  txn.Anchor("a");
  txn.Parts({{.first = Encoded("a"), .last = Encoded("a")},
             {.first = Encoded("k"), .last = Encoded("k")}});
  txn.Put("a", "1").Prepare();
  txn.Put("k", "1");
  const WriteResult first = txn.TryPrepare();
  EXPECT_EQ(txn.TryPrepare().timestamp, first.timestamp);
  EXPECT_EQ(txn.Fence(1, "k").timestamp, first.timestamp) << "it is found prepared";
  EXPECT_EQ(machine.store().locks().Record(Encoded("a"), txn.id())->parts.size(), 2u);
}

// The trap of a prepare that arrives after the rollback.
TEST(Txn, AFencedPartIsNeverPrepared) {
  Machine machine;
  Txn txn(machine);
  txn.Anchor("a");
  txn.Put("a", "1").Prepare();
  EXPECT_EQ(txn.Fence(1, "k").outcome, kTxnAborted);
  machine.PowerCut(1);
  ASSERT_TRUE(machine.Replay(kParent).ok());
  EXPECT_EQ(txn.Put("k", "1").TryPrepare().outcome, kTxnAborted);
  EXPECT_EQ(machine.Write(Put("k", "free")).outcome, kApplied);
}

// The trap of a late commit against the fence.
TEST(Txn, TheFirstDecisionCounts) {
  Machine machine;
  Txn aborted(machine);
  aborted.Put("a", "1").Prepare();
  EXPECT_EQ(aborted.Decide({}).outcome, kTxnAborted);
  EXPECT_EQ(aborted.Decide(Timestamp(aborted.id().value() + 1)).outcome, kTxnAborted);
  Txn committed(machine);
  const Timestamp commit = committed.Put("b", "1").Prepare().timestamp;
  EXPECT_EQ(committed.Decide(commit).outcome, kApplied);
  EXPECT_EQ(committed.Decide({}).timestamp, commit);
  // The anchor's part comes when somebody has given the transaction up: there was no record.
  Txn late(machine);
  late.Anchor("c");
  EXPECT_EQ(late.Decide({}).outcome, kTxnAborted);
  EXPECT_EQ(late.Put("c", "1").TryPrepare().outcome, kTxnAborted);
  EXPECT_EQ(late.TryPrepare(kParent, true).outcome, kTxnAborted);
  EXPECT_EQ(machine.Get(kParent, "c"), std::nullopt);
}

// The trap of a record that was collected.
TEST(Txn, WhatComesTooLateIsRefusedAndTheRecordStaysUntilThen) {
  Machine machine;
  Txn txn(machine);
  const std::uint64_t now_ms = MillisecondsOf(txn.start());
  txn.ValidUntil(now_ms + 100);
  txn.Put("a", "1");
  const Timestamp commit = txn.TryPrepare(kParent, true).timestamp;
  const Locks& locks = machine.store().locks();
  EXPECT_EQ(txn.TryPrepare(kParent, true).timestamp, commit);
  EXPECT_TRUE(locks.Record(Encoded("a"), txn.id())->resolved);
  machine.Write(kParent, {}, 200);
  EXPECT_FALSE(locks.Record(Encoded("a"), txn.id())) << "it goes by itself";
  EXPECT_EQ(txn.TryPrepare(kParent, true).outcome, WriteOutcome::kTxnTooLate);
  // One that may have left something stays until that is resolved.
  Txn parted(machine);
  parted.ValidUntil(now_ms + 300);
  const Timestamp prepared = parted.Put("b", "1").Prepare().timestamp;
  EXPECT_EQ(parted.Step(kParent, "b", TxnForget{}).affected, 0u) << "it is not decided";
  parted.Decide(prepared);
  machine.Write(kParent, {}, 300);
  ASSERT_TRUE(locks.Record(Encoded("b"), parted.id()));
  parted.Resolve(prepared);
  EXPECT_EQ(parted.Step(kParent, "b", TxnForget{}).affected, 1u);
  machine.Write(kParent, {}, 1);
  EXPECT_FALSE(locks.Record(Encoded("b"), parted.id()));
  // And a fence as long as the prepare may come that it is there for.
  Txn fenced(machine);
  fenced.Anchor("a");
  const std::uint64_t until_ms = MillisecondsOf(machine.store().last_timestamp()) + 100;
  fenced.Step(kParent, "k", TxnFence{.part = 1, .valid_until_ms = until_ms});
  EXPECT_TRUE(locks.FenceAt(Encoded("k"), fenced.id()));
  machine.Write(kParent, {}, 200);
  EXPECT_FALSE(locks.FenceAt(Encoded("k"), fenced.id()));
}

TEST(Txn, KeysExpireAfterTheCommit) {
  Machine machine;
  Txn txn(machine);
  const Timestamp prepared = txn.Put("k", "brief", 50).Prepare().timestamp;
  machine.Write(kParent, {}, 100);
  const Timestamp commit(prepared.value() + (100ull << kTimestampCounterBits));
  txn.Resolve(commit);
  EXPECT_EQ(machine.Get(kParent, "k"), "brief");
  machine.Write(kParent, {}, 60);
  EXPECT_EQ(machine.Get(kParent, "k"), std::nullopt);
}

// When it is written down that a key has expired depends on which entries come together.
TEST(Txn, AKeyThatHasExpiredHasChangedThen) {
  for (const std::size_t batch : {1, 100}) {
    Machine machine;
    CommandView put;
    put.ops.push_back(Put("k", "brief", 5));
    machine.LogWrite(kParent, {put});
    Txn before(machine);
    machine.LogWrite(kParent, {}, 10);
    ASSERT_TRUE(machine.Replay(kParent, batch).ok());
    Txn after(machine);
    EXPECT_EQ(before.Put("k", "1").TryPrepare(kParent, true).outcome, kConflict);
    Txn ranged(machine);
    EXPECT_EQ(ranged.Put("z", "1").ReadsRange("a", "m").Commit().outcome, kApplied);
    EXPECT_EQ(after.Put("k", "1").Commit().outcome, kApplied);
  }
}

TEST(Txn, AnExpiryDoesNotHideWhatIsBeingCommitted) {
  Machine machine;
  machine.Write(Put("k", "brief", 50));
  Txn txn(machine);
  const Timestamp prepared = txn.Put("k", "stays").Prepare().timestamp;
  machine.Write(kParent, {}, 100);
  txn.Resolve(txn.Decide(prepared).timestamp);
  machine.Write(kParent, {}, 1);
  EXPECT_EQ(machine.Get(kParent, "k"), "stays");
}

TEST(Txn, AReaderOfManyKeysWaitsOrSeesAMomentBefore) {
  Machine machine;
  machine.Write(Put("a", "0"));
  machine.Write(Put("m", "0"));
  Txn txn(machine);
  txn.Anchor("a");
  const Timestamp prepared = txn.Put("a", "1").Put("m", "1").Prepare().timestamp;
  Store& store = machine.store();
  std::optional<Obstacle> obstacle;
  const std::vector<std::string_view> keys{"a", "m"};
  const auto waits = store.BatchGet(kDefaultKeyspace, keys, {.obstacle = &obstacle});
  EXPECT_EQ(ReasonOf(waits.status()), Reason::kLockTimeout);
  EXPECT_EQ(obstacle->holder.txn, txn.id());
  // A page ends where somebody is in the way; then it waits.
  machine.Write(Put("b", "0"));
  obstacle.reset();
  const auto page = store.Scan({.start = "b"}, &obstacle);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->rows.size(), 1u);
  EXPECT_EQ(page->resume_key, "m");
  EXPECT_EQ(ReasonOf(store.Scan({.start = page->resume_key}, &obstacle).status()),
            Reason::kLockTimeout);
  const auto none = store.Aggregate({}, &obstacle);
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_EQ(none->keys, 0u);
  EXPECT_EQ(ReasonOf(store.Aggregate({.resume = none->resume}, &obstacle).status()),
            Reason::kLockTimeout);
  // Half of it is resolved: who does not wait sees nothing of it.
  txn.Resolve(txn.Decide(prepared).timestamp, kParent, "a", "b");
  const auto before = store.BatchGet(kDefaultKeyspace, keys);
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_EQ((*before)[0].value + (*before)[1].value, "00");
  for (const bool reverse : {false, true}) {
    const auto rows = store.Scan({.reverse = reverse});
    ASSERT_TRUE(rows.ok()) << rows.status();
    for (const ScanRow& row : rows->rows) EXPECT_EQ(row.value, "0") << row.key;
  }
  EXPECT_EQ(store.ProvisionalGet(kDefaultKeyspace, {"m"})->front().value, "1");
  EXPECT_EQ(store.ProvisionalScan({.start = "m"})->rows.front().value, "1");
}

TEST(Txn, LocksGoWhereTheirKeysGo) {
  Machine machine;
  Txn txn(machine);
  txn.Anchor("a");
  txn.Put("a", "1").Put("m", "1").ReadsRange("b", "z").Prepare();
  ASSERT_EQ(machine.Control(kParent, SplitAt("k")).outcome, ControlOutcome::kApplied);
  for (int round = 0; round < 2; ++round) {
    const Locks& left = machine.store(kParent).locks();
    const Locks& right = machine.store(kChild).locks();
    EXPECT_TRUE(left.IntentOn(Encoded("a"), {}));
    EXPECT_FALSE(left.IntentOn(Encoded("m"), {}));
    EXPECT_TRUE(right.IntentOn(Encoded("m"), {}));
    EXPECT_FALSE(right.IntentOn(Encoded("a"), {}));
    EXPECT_TRUE(left.Record(Encoded("a"), txn.id()));
    EXPECT_FALSE(right.Record(Encoded("a"), txn.id()));
    EXPECT_EQ(machine.Write(kParent, Put("c", "phantom")).outcome, kLocked);
    EXPECT_EQ(machine.Write(kChild, Put("x", "phantom")).outcome, kLocked);
    EXPECT_EQ(machine.Write(kChild, Put("zz", "free")).outcome, kApplied);
    for (const GroupId group : {kParent, kChild}) {
      machine.store(group).Flush([](const StatusOr<raft::Index>&) {});
    }
    machine.PowerCut(7);
    for (const GroupId group : {kParent, kChild}) ASSERT_TRUE(machine.Replay(group).ok());
  }
  EXPECT_EQ(machine.Step(kParent, {{.key = Encoded("m"), .txn = txn.id(), .step = TxnForget{}}})
                .front()
                .outcome,
            WriteOutcome::kWrongShard);
  // Back together, they are one group's again.
  const Absorb absorb = machine.FreezeFor(kChild);
  machine.store(kChild).Flush([](const StatusOr<raft::Index>&) {});
  ASSERT_EQ(machine.Control(kParent, absorb).outcome, ControlOutcome::kApplied);
  EXPECT_TRUE(machine.store().locks().IntentOn(Encoded("m"), {}));
  EXPECT_EQ(machine.Write(Put("x", "phantom")).outcome, kLocked);
  const Timestamp commit = txn.Decide(machine.store().last_timestamp()).timestamp;
  txn.Resolve(commit, kParent, "a");
  EXPECT_TRUE(machine.store().locks().empty());
  EXPECT_EQ(machine.Get(kParent, "m"), "1");
}

// Any steps at all, in any order, with crashes between and on a second machine in other batches:
// both come to the same, and what is left in the end is what was decided.
TEST(Txn, ReplicasAgreeWhateverSteps) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Random random(seed);
    Machine machine;
    std::vector<Txn> txns;
    std::map<TxnId, bool> committed;
    const auto key = [&] { return std::string(1, static_cast<char>('a' + random.Below(6))); };
    const auto decide = [&](Txn& txn, bool commit) {
      const auto record = machine.store().locks().Record(txn.anchor(), txn.id());
      const WriteResult end = txn.Decide(commit && record ? record->timestamp : Timestamp());
      const bool done = end.outcome == kApplied;
      const auto [known, first] = committed.emplace(txn.id(), done);
      EXPECT_EQ(known->second, done) << "seed " << seed << ": decided twice, not alike";
      return done ? end.timestamp : Timestamp();
    };
    for (int i = 0; i < 120; ++i) {
      if (txns.size() < 4 || random.Chance(0.2)) {
        txns.emplace_back(machine, static_cast<Isolation>(random.Between(1, 4)));
        txns.back().Anchor(key());
      }
      Txn& txn = txns[random.Below(txns.size())];
      switch (random.Below(6)) {
        case 0:
          txn.Put(key(), "v" + std::to_string(i));
          if (random.Chance(0.5)) txn.Reads(key());
          if (random.Chance(0.3)) txn.ReadsRange("b", "d");
          txn.Prepare();
          break;
        case 1:
          machine.Write(random.Chance(0.7)
                            ? Put(key(), "plain", random.Chance(0.3) ? random.Between(1, 9) : 0)
                            : Delete(key()));
          break;
        case 2:
          txn.Fence(static_cast<std::uint32_t>(random.Below(3)), key());
          break;
        case 3:
          decide(txn, random.Chance(0.5));
          break;
        case 4: {
          // As whoever meets a lock does.
          const bool known = committed.contains(txn.id());
          if (known) txn.Resolve(decide(txn, false));
          break;
        }
        case 5:
          if (random.Chance(0.3)) machine.store().Flush([](const StatusOr<raft::Index>&) {});
          if (random.Chance(0.3)) machine.PowerCut(random.Next());
          ASSERT_TRUE(machine.Replay(kParent, random.Between(1, 9)).ok());
          break;
      }
    }
    Machine replica;
    replica.TakeLogs(machine);
    ASSERT_TRUE(replica.Replay(kParent, random.Between(1, 20)).ok());
    ASSERT_EQ(replica.Hash(), machine.Hash()) << "seed " << seed;
    for (Txn& txn : txns) txn.Resolve(decide(txn, false));
    EXPECT_TRUE(machine.store().locks().empty()) << "seed " << seed;
    EXPECT_TRUE(machine.Write(DeleteRange("a", "z")).outcome == kApplied);
  }
}

TEST(TxnCommand, EveryStepComesBackAndStrangersBytesAreRefused) {
  const TxnPrepare prepare{
      .isolation = Isolation::kRepeatableRead,
      .anchor = "anchor",
      .part = 3,
      .valid_until_ms = 77,
      .one_phase = true,
      .writes = {{.key = "w", .value = "v", .ttl_ms = 5}, {.deletes = true, .key = "d"}},
      .checks = {{.key = "c"}, {.key = "e", .exact = true, .version = Timestamp(9)}},
      .ranges = {{.start = "r", .end = "s"}},
      .parts = {{.first = "a", .last = "b"}}};
  const Session session{
      .client = ClientId(1), .sequence = 2, .acknowledged_below = 1, .since = Timestamp(3)};
  TxnPrepare carries_out = prepare;
  carries_out.session = {.session = session, .affected = 4};
  const TxnDecline decline{.session = session,
                           .outcome = WriteOutcome::kTooLarge,
                           .seen_at = Timestamp(5),
                           .failed_op = 6,
                           .actual_version = Timestamp(7)};
  const std::vector<TxnCommand> commands{
      {.key = "w", .txn = TxnId(1), .step = prepare},
      {.key = "k", .txn = TxnId(2), .step = TxnFence{.part = 4, .valid_until_ms = 5}},
      {.key = "k", .txn = TxnId(3), .step = TxnDecide{.commit = Timestamp(6), .valid_until_ms = 7}},
      {.key = "k", .txn = TxnId(4), .step = TxnResolve{.commit = Timestamp(8), .last = "z"}},
      {.key = "k", .txn = TxnId(5), .step = TxnForget{}},
      {.key = "w", .txn = TxnId(6), .step = carries_out},
      {.key = "w", .txn = TxnId(7), .step = decline}};
  for (const TxnCommand& command : commands) {
    const std::string encoded = EncodeTxnCommand(command);
    EXPECT_TRUE(IsTxnCommand(encoded));
    std::string_view key;
    EXPECT_TRUE(PeekTxnCommand(encoded, key));
    EXPECT_EQ(key, command.key);
    TxnCommand decoded;
    ASSERT_TRUE(DecodeTxnCommand(encoded, decoded).ok());
    EXPECT_EQ(decoded, command);
    for (std::size_t size = 0; size < encoded.size(); ++size) {
      EXPECT_FALSE(DecodeTxnCommand(std::string_view(encoded).substr(0, size), decoded).ok());
    }
    EXPECT_FALSE(DecodeTxnCommand(encoded + "x", decoded).ok());
  }
}

}  // namespace
}  // namespace flotilla::kv
