// Transactions that carry out a session's write: what of it is remembered, and what a repetition,
// which is another transaction with the same anchor, is told.

#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "tests/kv/machine.h"

namespace flotilla::kv {
namespace {

constexpr std::uint64_t kEver = 1'000'000'000'000;

const Session kSession{.client = ClientId(5), .sequence = 7, .acknowledged_below = 1};

// One try of the write: two keys, of which the anchor's part lies here.
class Try {
 public:
  explicit Try(Machine& machine, const std::string& value = "1")
      : machine_(machine), id_(machine.Begin()), value_(value) {}

  WriteResult Prepare(GroupId group = kParent, bool one_phase = false) {
    TxnPrepare prepare{.isolation = Isolation::kReadCommitted,
                       .anchor = anchor_,
                       .valid_until_ms = kEver,
                       .one_phase = one_phase,
                       .session = {.session = kSession, .affected = 3}};
    prepare.writes.push_back({.key = anchor_, .value = value_});
    if (!one_phase) {
      prepare.parts = {{.first = anchor_, .last = anchor_}, {.first = other_, .last = other_}};
    }
    return Step(group, std::move(prepare));
  }
  WriteResult Decide(Timestamp commit, GroupId group = kParent) {
    return Step(group, TxnDecide{.commit = commit, .valid_until_ms = kEver});
  }
  WriteResult Resolve(Timestamp commit, GroupId group = kParent) {
    return Step(group, TxnResolve{.commit = commit, .last = anchor_});
  }
  WriteResult Decline(GroupId group = kParent,
                      WriteOutcome outcome = WriteOutcome::kConditionFailed) {
    return Step(group, TxnDecline{.session = kSession,
                                  .outcome = outcome,
                                  .seen_at = Timestamp(id_.value()),
                                  .failed_op = 1,
                                  .actual_version = Timestamp(9)});
  }

 private:
  WriteResult Step(GroupId group, decltype(TxnCommand::step) step) {
    return machine_.Step(group, {{.key = anchor_, .txn = id_, .step = std::move(step)}}).front();
  }

  Machine& machine_;
  const TxnId id_;
  const std::string anchor_ = Encoded("k");
  const std::string other_ = Encoded("z");
  const std::string value_;
};

// What a repetition finds, which is here in the form of a command of one group.
void ExpectRemembered(Machine& machine, Timestamp commit, GroupId group = kParent) {
  Try again(machine, "again");
  const WriteResult repeated = again.Prepare(group);
  EXPECT_EQ(repeated.outcome, WriteOutcome::kRepeated);
  EXPECT_EQ(repeated.timestamp, commit);
  EXPECT_EQ(repeated.affected, 3u);
  EXPECT_EQ(again.Decline(group).outcome, WriteOutcome::kRepeated);
  EXPECT_FALSE(machine.store(group).locks().IntentOn(Encoded("k"), {}));
  const WriteResult plain = machine.Write(group, Put("k", "again"), kSession);
  EXPECT_EQ(plain.outcome, WriteOutcome::kApplied);
  EXPECT_EQ(plain.timestamp, commit);
  EXPECT_EQ(plain.affected, 3u);
  EXPECT_EQ(machine.Get(group, "k"), "1");
}

TEST(TxnSession, TheAnswerIsRememberedWithTheCommit) {
  Machine machine;
  Try first(machine);
  const WriteResult prepared = first.Prepare();
  ASSERT_EQ(prepared.outcome, WriteOutcome::kApplied);
  // Nobody knows yet: a repetition waits, in whatever form it comes.
  EXPECT_EQ(Try(machine).Prepare().outcome, WriteOutcome::kLocked);
  EXPECT_EQ(Try(machine).Decline().outcome, WriteOutcome::kLocked);
  EXPECT_EQ(machine.Write(kParent, Put("k", "again"), kSession).outcome, WriteOutcome::kLocked);
  const Timestamp commit = prepared.timestamp + 5;
  ASSERT_EQ(first.Decide(commit).timestamp, commit);
  ASSERT_EQ(first.Resolve(commit).affected, 1u);
  ExpectRemembered(machine, commit);
  EXPECT_EQ(first.Prepare().outcome, WriteOutcome::kApplied) << "its own, which came once more";
}

TEST(TxnSession, ThatOfOneEntryIsRemembered) {
  Machine machine;
  Try first(machine);
  const WriteResult committed = first.Prepare(kParent, true);
  ASSERT_EQ(committed.outcome, WriteOutcome::kApplied);
  ExpectRemembered(machine, committed.timestamp);
}

TEST(TxnSession, WhatIsRolledBackIsNotRemembered) {
  Machine machine;
  Try first(machine);
  ASSERT_EQ(first.Prepare().outcome, WriteOutcome::kApplied);
  EXPECT_EQ(first.Decide({}).outcome, WriteOutcome::kTxnAborted);
  first.Resolve({});
  Try again(machine);
  const WriteResult prepared = again.Prepare();
  EXPECT_EQ(prepared.outcome, WriteOutcome::kApplied);
  again.Decide(prepared.timestamp);
  again.Resolve(prepared.timestamp);
  ExpectRemembered(machine, prepared.timestamp);
}

TEST(TxnSession, AConditionThatFailedIsRemembered) {
  Machine machine;
  EXPECT_EQ(Try(machine).Decline().outcome, WriteOutcome::kConditionFailed);
  for (const WriteResult& again : {Try(machine).Decline(), Try(machine).Prepare(),
                                   machine.Write(kParent, Put("k", "again"), kSession)}) {
    EXPECT_EQ(again.outcome, WriteOutcome::kConditionFailed);
    EXPECT_EQ(again.failed_op, 1u);
    EXPECT_EQ(again.actual_version, Timestamp(9));
  }
  EXPECT_EQ(machine.Get(kParent, "k"), std::nullopt);
}

TEST(TxnSession, ThatItWasTooLargeIsRemembered) {
  Machine machine;
  EXPECT_EQ(Try(machine).Decline(kParent, WriteOutcome::kTooLarge).outcome,
            WriteOutcome::kTooLarge);
  EXPECT_EQ(Try(machine).Prepare().outcome, WriteOutcome::kTooLarge);
}

// The anchor's group is split, with the anchor on either side, before it is known how it ended.
TEST(TxnSession, IsRememberedWhereverTheAnchorIs) {
  for (const char* at : {"a", "m"}) {
    Machine machine;
    Try first(machine);
    const WriteResult prepared = first.Prepare();
    machine.Control(kParent, SplitAt(at));
    ASSERT_TRUE(machine.OpenAll().ok());
    const GroupId holder = machine.Holder("k");
    EXPECT_EQ(Try(machine).Prepare(holder).outcome, WriteOutcome::kLocked);
    first.Decide(prepared.timestamp, holder);
    first.Resolve(prepared.timestamp, holder);
    // A part of the range that has none of it knows nothing, and does not say that it does.
    const GroupId other = holder == kParent ? kChild : kParent;
    EXPECT_EQ(Try(machine).Prepare(other).outcome, WriteOutcome::kWrongShard);
    ExpectRemembered(machine, prepared.timestamp, holder);
  }
}

TEST(TxnSession, OutlivesTheProcess) {
  Machine machine;
  Try first(machine);
  const WriteResult prepared = first.Prepare();
  machine.Kill();
  ASSERT_TRUE(machine.Replay(kParent).ok());
  first.Decide(prepared.timestamp);
  first.Resolve(prepared.timestamp);
  machine.Kill();
  ASSERT_TRUE(machine.Replay(kParent).ok());
  ExpectRemembered(machine, prepared.timestamp);
}

}  // namespace
}  // namespace flotilla::kv
