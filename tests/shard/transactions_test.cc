// Transactions over the groups of whole nodes: commits, conflicts, and what is left when a
// coordinator dies.

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/timestamp.h"
#include "kv/key_codec.h"
#include "kv/txn/command.h"
#include "shard/directory/job_edits.h"
#include "tests/shard/transacting.h"

namespace flotilla {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_F(Transacting, OfOneGroupAndOfTwoCommit) {
  MakeTwoShards();
  for (const char* second : {"b", "z"}) {
    const Txn txn = Begin(1);
    EXPECT_EQ(Get(txn, "a"), Read("a"));
    Put(txn, "a", std::string("with ") + second);
    Put(txn, second, "1");
    EXPECT_EQ(Get(txn, second), "1");  // its own
    EXPECT_EQ(Read(second), "(none)");
    const StatusOr<Timestamp> end = Commit(txn);
    ASSERT_TRUE(end.ok()) << end.status();
    EXPECT_GT(*end, txn->start());
    for (int node = 0; node < 3; ++node) {
      EXPECT_EQ(Read("a", node), std::string("with ") + second);
      EXPECT_EQ(Read(second, node), "1");
    }
  }
  EXPECT_TRUE(world_.node(1).transactions().List().empty());
}

TEST_F(Transacting, ReadsSeeTheStartAndItsOwnWrites) {
  MakeTwoShards();
  for (const char* key : {"a", "b", "n", "z"}) PutPlain(key, "0");
  const Txn txn = Begin(0);
  EXPECT_EQ(Scan(txn, "", ""), "a=0 b=0 n=0 z=0 ");
  PutPlain("b", "later");
  PutPlain("c", "later");
  Put(txn, "a", "1");
  Put(txn, "o", "1");
  Delete(txn, "n");
  EXPECT_EQ(Scan(txn, "", ""), "a=1 b=0 o=1 z=0 ");
  EXPECT_EQ(Get(txn, "n"), "(none)");
  EXPECT_EQ(CommitReason(txn), "TXN_CONFLICT");
  EXPECT_EQ(Get(txn, "n"), "TXN_CONFLICT");
  EXPECT_EQ(Read("a"), "0");
}

TEST_F(Transacting, SavepointsTakeWritesBack) {
  MakeTwoShards();
  const Txn txn = Begin(0);
  Put(txn, "a", "1");
  ASSERT_TRUE(txn->SetSavepoint("s").ok());
  Put(txn, "a", "2");
  Put(txn, "z", "2");
  ASSERT_TRUE(txn->SetSavepoint("t").ok());
  Delete(txn, "a");
  ASSERT_TRUE(txn->RollBackTo("t").ok());
  EXPECT_EQ(Get(txn, "a"), "2");
  ASSERT_TRUE(txn->RollBackTo("s").ok());
  EXPECT_EQ(ReasonOf(txn->RollBackTo("t")), Reason::kBadRequest);
  EXPECT_EQ(Get(txn, "a"), "1");
  EXPECT_EQ(CommitReason(txn), "OK");
  EXPECT_EQ(Read("a"), "1");
  EXPECT_EQ(Read("z"), "(none)");
}

// Of two that read what the other writes a level that allows it commits both.
TEST_F(Transacting, WriteSkewIsForSnapshotsAlone) {
  MakeTwoShards();
  for (const kv::Isolation isolation :
       {kv::Isolation::kRepeatableRead, kv::Isolation::kSerializable}) {
    PutPlain("a", "0");
    PutPlain("z", "0");
    const Txn one = Begin(0, isolation);
    const Txn two = Begin(1, isolation);
    EXPECT_EQ(Get(one, "a"), "0");
    EXPECT_EQ(Get(two, "z"), "0");
    Put(one, "z", "1");
    Put(two, "a", "1");
    EXPECT_EQ(CommitReason(one), "OK");
    EXPECT_EQ(CommitReason(two), isolation == kv::Isolation::kSerializable ? "TXN_CONFLICT" : "OK");
  }
}

TEST_F(Transacting, APhantomIsAConflict) {
  MakeTwoShards();
  PutPlain("n", "0");
  const Txn txn = Begin(0);
  EXPECT_EQ(Scan(txn, "b", "y"), "n=0 ");
  PutPlain("x", "phantom");
  Put(txn, "a", "sum");
  EXPECT_EQ(CommitReason(txn), "TXN_CONFLICT");
  const Txn outside = Begin(0);
  EXPECT_EQ(Scan(outside, "b", "y"), "n=0 x=phantom ");
  PutPlain("y", "no phantom");
  Put(outside, "a", "sum");
  EXPECT_EQ(CommitReason(outside), "OK");
}

TEST_F(Transacting, AHashKeyspaceHasThemAsWell) {
  keyspace_ = Make({.name = "h", .partitioning = Partitioning::kHash, .shards = 4});
  const Txn txn = Begin(0);
  for (int i = 0; i < 20; ++i) Put(txn, "key" + std::to_string(i), "1");
  EXPECT_EQ(CommitReason(txn), "OK");
  const Txn reads = Begin(1);
  std::string wanted;
  for (const char* key : {"key0", "key1", "key10"}) wanted += std::string(key) + "=1 ";
  EXPECT_EQ(Scan(reads, "key0", "key11"), wanted);
  Put(reads, "other", "1");
  EXPECT_EQ(CommitReason(reads), "OK");
}

// The node that coordinates goes at every moment of a commit: everything of the transaction becomes
// visible, or nothing, and nobody waits for long.
TEST_F(Transacting, ACoordinatorThatDiesLeavesAllOrNothing) {
  MakeTwoShards();
  int committed = 0;
  int rounds = 0;
  for (int delay_us = 0; delay_us < 12'000; delay_us += 500) {
    PutPlain("a", "0");
    PutPlain("z", "0");
    const auto image = world_.node(0).DirectoryView();
    const GroupId group = image->Locate(kv::EncodeKey(keyspace_, "a"))->group;
    // Not a node that leads: it is the coordinator alone that goes.
    int coordinator = 0;
    const GroupId other = image->Locate(kv::EncodeKey(keyspace_, "z"))->group;
    while (world_.node(coordinator).Leads(group) || world_.node(coordinator).Leads(other)) {
      ++coordinator;
      ASSERT_LT(coordinator, 3);
    }
    Txn txn = Begin(coordinator);
    Put(txn, "a", "1");
    Put(txn, "z", "1");
    const auto commit = BeginCommit(txn);
    world_.RunFor(std::chrono::microseconds(delay_us));
    txn = nullptr;
    world_.cluster().Kill(coordinator);
    const int asker = coordinator == 0 ? 1 : 0;
    const MonoTime asked = world_.loop().now();
    // Both at one moment.
    const GatewayAnswer both = world_.Wait(
        world_.Begin(asker, BatchGetCall{.keyspace = keyspace_, .keys = {"a", "z"}}, seconds(15)));
    ASSERT_TRUE(both.status.ok()) << both.status;
    const auto& found = std::get<std::vector<kv::GetResult>>(both.result);
    const std::string& a = found[0].value;
    const std::string& z = found[1].value;
    EXPECT_EQ(a, z) << "after " << delay_us << " us";
    EXPECT_LT(world_.loop().now() - asked, seconds(8));
    if (*commit && (*commit)->ok()) {
      EXPECT_EQ(a, "1");
    }
    committed += a == "1";
    ++rounds;
    EXPECT_TRUE(world_.cluster().Start(coordinator));
    ASSERT_TRUE(world_.Await([&] { return world_.AllReady(); }));
  }
  EXPECT_GT(committed, 0);
  EXPECT_LT(committed, rounds);
}

// Two withdrawals of 100 from an account that has 100: one is refused, or finds too little.
TEST_F(Transacting, TheHundredDollarsAreWithdrawnOnce) {
  MakeTwoShards();
  for (const kv::Isolation isolation :
       {kv::Isolation::kRepeatableRead, kv::Isolation::kSerializable}) {
    PutPlain("account", "100");
    PutPlain("withdrawn", "0");
    const Txn one = Begin(0, isolation);
    const Txn two = Begin(1, isolation);
    for (const Txn& txn : {one, two}) {
      ASSERT_EQ(Get(txn, "account"), "100");
      Put(txn, "account", "0");
      Put(txn, "withdrawn", "100");
    }
    EXPECT_EQ(CommitReason(two), "OK");
    EXPECT_EQ(CommitReason(one), "TXN_CONFLICT");
    const Txn again = Begin(0, isolation);
    EXPECT_EQ(Get(again, "account"), "0");
    EXPECT_EQ(Read("withdrawn"), "100");
  }
}

// Nobody writes a key that another writes: who bought the last ticket shows in the range alone.
TEST_F(Transacting, TheLastTicketIsSoldOnce) {
  MakeTwoShards();
  for (const char* sold : {"sold/1", "sold/2"}) PutPlain(sold, "somebody");
  const auto buy = [&](const Txn& txn, const std::string& buyer) {
    const std::string all = Scan(txn, "sold/", "sold0");
    if (std::count(all.begin(), all.end(), '=') < 3) Put(txn, "sold/" + buyer, buyer);
    Put(txn, "a/last-buyer/" + buyer, "1");
  };
  const Txn one = Begin(0);
  const Txn two = Begin(1);
  buy(one, "ann");
  buy(two, "bob");
  EXPECT_EQ(CommitReason(one), "OK");
  EXPECT_EQ(CommitReason(two), "TXN_CONFLICT");
  const Txn again = Begin(1);
  buy(again, "bob");
  EXPECT_EQ(CommitReason(again), "OK");
  EXPECT_EQ(Read("sold/ann"), "ann");
  EXPECT_EQ(Read("sold/bob"), "(none)");
}

// Read, change and write a record with its version in it; the other one changes it between.
TEST_F(Transacting, AnUpdateOfAnOldVersionIsRefusedAndRunAgain) {
  MakeTwoShards();
  PutPlain("record", "version 1");
  const Txn slow = Begin(0, kv::Isolation::kRepeatableRead);
  EXPECT_EQ(Get(slow, "record"), "version 1");
  PutPlain("record", "version 2");
  Put(slow, "record", "version 2, by the slow one");
  EXPECT_EQ(CommitReason(slow), "TXN_CONFLICT");
  const Txn again = Begin(0, kv::Isolation::kRepeatableRead);
  EXPECT_EQ(Get(again, "record"), "version 2");
  Put(again, "record", "version 3");
  EXPECT_EQ(CommitReason(again), "OK");
  EXPECT_EQ(Read("record"), "version 3");
}

// Both parts are prepared and nobody says so; then the anchor's shard is split, or becomes part of
// its neighbour.
TEST_F(Transacting, AnAnchorThatMovesIsFound) {
  MakeTwoShards();
  for (const bool merges : {false, true}) {
    PutPlain("b", "0");
    PutPlain("z", "0");
    const Txn id = Begin(0);
    const std::string anchor = kv::EncodeKey(keyspace_, "b");
    const std::string other = kv::EncodeKey(keyspace_, "z");
    const std::vector<kv::TxnPart> parts{{.first = anchor, .last = anchor},
                                         {.first = other, .last = other}};
    for (std::uint32_t part = 0; part < 2; ++part) {
      kv::TxnPrepare prepare{
          .anchor = anchor, .part = part, .valid_until_ms = MillisecondsOf(id->start()) + 2'000};
      const std::string& key = parts[part].first;
      prepare.writes.push_back({.key = key, .value = "1"});
      if (part == 0) prepare.parts = parts;
      const GatewayAnswer prepared =
          Ask(0, WriteCall{.command = Bytes(kv::EncodeTxnCommand(
                               {.key = key, .txn = id->id(), .step = std::move(prepare)}))});
      ASSERT_TRUE(prepared.status.ok()) << prepared.status;
    }
    const auto image = world_.node(0).DirectoryView();
    const GroupId group = image->Locate(anchor)->group;
    DirectoryCall change;
    if (merges) {
      change = MergeCall{.left = image->Locate(kv::EncodeKey(keyspace_, "a"))->group};
    } else {
      change = SplitCall{.group = group, .key = kv::EncodeKey(keyspace_, "ab")};
    }
    const DirectoryAnswer begun = Change(0, std::move(change));
    ASSERT_TRUE(begun.status.ok()) << begun.status;
    EXPECT_EQ(AwaitJob(0, begun.job)->state, JobState::kDone);
    const GatewayAnswer both = world_.Wait(
        world_.Begin(1, BatchGetCall{.keyspace = keyspace_, .keys = {"b", "z"}}, seconds(15)));
    ASSERT_TRUE(both.status.ok()) << both.status;
    for (const kv::GetResult& one : std::get<std::vector<kv::GetResult>>(both.result)) {
      EXPECT_EQ(one.value, "1");
    }
  }
}

// It was refused because of somebody's lock, and its client was told; then a copy of its prepare
// comes, and the lock has gone.
TEST_F(Transacting, WhatWasRefusedIsNotPreparedLater) {
  MakeTwoShards();
  for (const bool one_phase : {true, false}) {
    const Txn older = Begin(0);
    const std::string key = kv::EncodeKey(keyspace_, "b");
    const std::string other = kv::EncodeKey(keyspace_, "z");
    const std::uint64_t valid_until_ms = MillisecondsOf(older->start()) + 2'000;
    kv::TxnPrepare lock{.anchor = key, .valid_until_ms = valid_until_ms};
    lock.writes.push_back({.key = key, .value = "older"});
    lock.parts = {{.first = key, .last = key}, {.first = other, .last = other}};
    const auto ask = [&](const Txn& txn, kv::TxnPrepare prepare) {
      return Ask(0, WriteCall{.command = Bytes(kv::EncodeTxnCommand(
                                  {.key = key, .txn = txn->id(), .step = std::move(prepare)}))});
    };
    ASSERT_TRUE(ask(older, lock).status.ok());
    const Txn txn = Begin(1, kv::Isolation::kReadCommitted);
    Put(txn, "b", "refused");
    if (!one_phase) Put(txn, "z", "refused");
    EXPECT_EQ(CommitReason(txn), "TXN_CONFLICT");
    // The older one is found to have been given up, which leaves the key free.
    EXPECT_EQ(Read("b"), "(none)");
    kv::TxnPrepare copy{.isolation = kv::Isolation::kReadCommitted,
                        .anchor = key,
                        .valid_until_ms = MillisecondsOf(txn->start()) + 60'000,
                        .one_phase = one_phase};
    copy.writes.push_back({.key = key, .value = "refused"});
    if (!one_phase) copy.parts = lock.parts;
    EXPECT_EQ(ReasonOf(ask(txn, copy).status), Reason::kTxnAborted);
    EXPECT_EQ(Read("b"), "(none)");
    EXPECT_EQ(Read("z"), "(none)");
  }
}

TEST_F(Transacting, OneThatTakesTooLongIsRolledBack) {
  MakeTwoShards();
  const Txn slow = Begin(0, TxnOptions{.timeout = seconds(1)});
  const Txn ended = Begin(0);
  Put(slow, "a", "1");
  Put(ended, "a", "2");
  EXPECT_EQ(world_.node(0).transactions().List().size(), 2u);
  EXPECT_TRUE(world_.node(0).transactions().Abort(ended->id()).ok());
  EXPECT_EQ(ReasonOf(world_.node(0).transactions().Abort(ended->id())), Reason::kTxnNotFound);
  world_.RunFor(seconds(3));
  EXPECT_EQ(CommitReason(slow), "TXN_ABORTED");
  EXPECT_EQ(CommitReason(ended), "TXN_ABORTED");
  EXPECT_EQ(Read("a"), "(none)");
}

TEST_F(Transacting, LargeOnesArePartedAndCommitAsAWhole) {
  MakeTwoShards();
  const Txn txn = Begin(0);
  for (int i = 0; i < 3'000; ++i) {
    const std::string key = (i % 2 == 0 ? "a" : "z") + std::to_string(10'000 + i);
    Put(txn, key, std::string(500, 'x'));
  }
  const StatusOr<Timestamp> end = Commit(txn);
  ASSERT_TRUE(end.ok()) << end.status();
  const Txn reads = Begin(1, TxnOptions{.read_only = true});
  const std::string all = Scan(reads, "", "");
  EXPECT_EQ(std::count(all.begin(), all.end(), '='), 3'000);
  EXPECT_EQ(CommitReason(reads), "OK");
}

}  // namespace
}  // namespace flotilla
