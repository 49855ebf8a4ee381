// Atomic writes whose keys lie in several shards: all of it or nothing, and once, whatever becomes
// of the first try.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kv/limits.h"
#include "tests/shard/transacting.h"

namespace flotilla {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class SpanningWrites : public Transacting {
 public:
  using Ops = std::vector<kv::WriteOp>;

  WriteCall Batch(Ops ops, std::uint64_t sequence = 0) const {
    kv::CommandView command{.keyspace = keyspace_, .session = {}, .ops = std::move(ops)};
    if (sequence != 0) command.session = {.client = ClientId(9), .sequence = sequence};
    return {.command = Bytes(kv::EncodeCommand(command))};
  }
  GatewayAnswer Write(int node, const Ops& ops, std::uint64_t sequence = 0) {
    return world_.Wait(world_.Begin(node, Batch(ops, sequence), seconds(15)));
  }
  static std::string ReasonIn(const GatewayAnswer& answer) {
    return answer.status.ok() ? "OK" : std::string(InfoOf(ReasonOf(answer.status)).name);
  }
  static kv::WriteResult ResultOf(const GatewayAnswer& answer) {
    EXPECT_TRUE(answer.status.ok()) << answer.status;
    const auto* result = std::get_if<kv::WriteResult>(&answer.result);
    return result == nullptr ? kv::WriteResult() : *result;
  }
  static kv::WriteOp Put(std::string_view key, std::string_view value) {
    return {.key = key, .value = value};
  }
  static kv::WriteOp PutIf(std::string_view key, std::string_view value, std::string_view is) {
    return {.key = key,
            .value = value,
            .condition = is.empty() ? kv::ConditionKind::kAbsent : kv::ConditionKind::kValueIs,
            .condition_value = is};
  }
  static kv::WriteOp Delete(std::string_view key) {
    return {.kind = kv::WriteKind::kDelete, .key = key};
  }
  static kv::WriteOp DeleteRange(std::string_view start, std::string_view end) {
    return {.kind = kv::WriteKind::kDeleteRange, .key = start, .end = end};
  }
  std::string All() { return Scan(Begin(0, TxnOptions{.read_only = true}), "", ""); }
  // One that leads none of the groups.
  int Bystander() {
    for (int node = 0; node < 3; ++node) {
      bool leads = false;
      for (const auto& [group, shard] : world_.node(0).DirectoryView()->shards()) {
        leads |= shard.keyspace == keyspace_ && world_.node(node).Leads(group);
      }
      if (!leads) return node;
    }
    ADD_FAILURE() << "every node leads";
    return 0;
  }
};

TEST_F(SpanningWrites, TakeEffectAsAWhole) {
  MakeTwoShards();
  const kv::WriteResult put = ResultOf(Write(0, {Put("a", "1"), Put("z", "1"), Put("b", "1")}));
  for (const char* key : {"a", "b", "z"}) {
    const GatewayAnswer got = Ask(1, GetCall{.keyspace = keyspace_, .key = key});
    EXPECT_EQ(std::get<kv::GetResult>(got.result).version, put.timestamp) << key;
  }
  const GatewayAnswer refused = Write(1, {Put("a", "2"), PutIf("z", "2", "other")});
  EXPECT_EQ(ReasonIn(refused), "CONDITION_FAILED");
  EXPECT_EQ(MetadataOf(refused.status).at("operation"), "1");
  EXPECT_EQ(MetadataOf(refused.status).at(std::string(kActualVersionMetadata)),
            std::to_string(put.timestamp.value()));
  EXPECT_EQ(All(), "a=1 b=1 z=1 ");
  EXPECT_EQ(ReasonIn(Write(2, {PutIf("a", "2", "1"), PutIf("z", "2", "1"), PutIf("c", "2", "")})),
            "OK");
  EXPECT_EQ(All(), "a=2 b=1 c=2 z=2 ");
}

// As in one group: each operation sees those before it, conditions what was there before them all.
TEST_F(SpanningWrites, OperationsAreDoneInTheirOrder) {
  MakeTwoShards();
  for (const char* key : {"a", "b", "n", "z"}) PutPlain(key, "0");
  EXPECT_EQ(ResultOf(Write(0, {Delete("a"), Delete("missing"), Delete("z"), Put("z", "1"),
                               Put("o", "1"), Delete("o")}))
                .affected,
            3u);
  EXPECT_EQ(All(), "b=0 n=0 z=1 ");
  EXPECT_EQ(ResultOf(Write(1, {Put("c", "1"), DeleteRange("b", "y"), Put("x", "1"),
                               PutIf("b", "2", "0")}))
                .affected,
            3u);
  EXPECT_EQ(All(), "b=2 x=1 z=1 ");
  EXPECT_EQ(ResultOf(Write(1, {DeleteRange("", "")})).affected, 3u);
  EXPECT_EQ(ResultOf(Write(1, {DeleteRange("", "")})).affected, 0u);
  EXPECT_EQ(All(), "");
}

TEST_F(SpanningWrites, AHashKeyspaceHasThemAsWell) {
  keyspace_ = Make({.name = "h", .partitioning = Partitioning::kHash, .shards = 4});
  std::vector<std::string> keys;
  for (int i = 10; i < 30; ++i) keys.push_back("key" + std::to_string(i));
  Ops puts;
  for (const std::string& key : keys) puts.push_back(PutIf(key, "1", ""));
  EXPECT_EQ(ReasonIn(Write(0, puts)), "OK");
  EXPECT_EQ(ReasonIn(Write(1, puts)), "CONDITION_FAILED");
  EXPECT_EQ(ResultOf(Write(1, {DeleteRange("key12", "")}, 1)).affected, 18u);
  EXPECT_EQ(ResultOf(Write(2, {DeleteRange("key12", "")}, 1)).affected, 18u);
  EXPECT_EQ(All(), "key10=1 key11=1 ");
}

// Also where the first try was not, and has got through.
TEST_F(SpanningWrites, WhatIsTooLargeChangesNothing) {
  MakeTwoShards();
  const std::string value(kv::kValueBytesMax, 'v');
  Ops ops;
  for (const char* key : {"a", "b", "c", "n", "o", "p", "q"}) ops.push_back(Put(key, value));
  EXPECT_EQ(ReasonIn(Write(0, ops, 1)), "OK");
  EXPECT_EQ(ReasonIn(Write(1, ops, 1)), "OK");
  EXPECT_EQ(ReasonIn(Write(0, {DeleteRange("", "c"), Put("z", "1")}, 2)), "OK");
  // As many keys as no transaction writes: they are there only when it is repeated.
  for (int batch = 0; batch < 11; ++batch) {
    std::vector<std::string> keys;
    Ops puts;
    for (int i = 0; i < 10'000; ++i) keys.push_back("a" + std::to_string(10'000 * batch + i));
    for (const std::string& key : keys) puts.push_back(Put(key, ""));
    ASSERT_EQ(ReasonIn(Write(0, puts)), "OK");
  }
  EXPECT_EQ(ReasonIn(Write(1, {DeleteRange("", "c"), Put("z", "1")}, 2)), "OK");
  EXPECT_EQ(ReasonIn(Write(1, {DeleteRange("", "c"), Put("z", "2")}, 3)), "BATCH_TOO_LARGE");
  EXPECT_EQ(ReasonIn(Write(2, {DeleteRange("", "c"), Put("z", "2")}, 3)), "BATCH_TOO_LARGE");
  EXPECT_EQ(Read("z"), "1");
  EXPECT_EQ(Read("a109999"), "");
}

// Those that read what others write are run again.
TEST_F(SpanningWrites, AtTheSameTimeEachTakesEffect) {
  MakeTwoShards();
  PutPlain("a", "0");
  PutPlain("z", "0");
  int done = 0;
  for (int round = 0; round < 20; ++round) {
    std::vector<NodeWorld::Answer> answers;
    const std::string is = Read("a");
    for (int i = 0; i < 4; ++i) {
      const std::string value = std::to_string(4 * round + i + 1);
      answers.push_back(
          world_.Begin(i % 3, Batch({PutIf("a", value, is), PutIf("z", value, is)}), seconds(10)));
    }
    int won = 0;
    for (const auto& answer : answers) won += ReasonIn(world_.Wait(answer)) == "OK";
    EXPECT_EQ(won, 1);
    EXPECT_EQ(Read("a"), Read("z"));
    done += won;
  }
  EXPECT_EQ(done, 20);
}

TEST_F(SpanningWrites, ARepetitionGetsTheFirstAnswerFromAnyNode) {
  MakeTwoShards();
  const Ops ops{PutIf("a", "1", ""), PutIf("z", "1", ""), Delete("b")};
  PutPlain("b", "0");
  const kv::WriteResult first = ResultOf(Write(0, ops, 1));
  EXPECT_EQ(first.affected, 1u);
  PutPlain("z", "later");
  PutPlain("b", "later");
  for (int node = 0; node < 3; ++node) {
    const kv::WriteResult again = ResultOf(Write(node, ops, 1));
    EXPECT_EQ(again.timestamp, first.timestamp);
    EXPECT_EQ(again.affected, first.affected);
  }
  EXPECT_EQ(All(), "a=1 b=later z=later ");
  // So does one whose condition did not hold, although by now it does.
  EXPECT_EQ(ReasonIn(Write(0, {PutIf("a", "2", "2"), Put("z", "2")}, 2)), "CONDITION_FAILED");
  PutPlain("a", "2");
  EXPECT_EQ(ReasonIn(Write(1, {PutIf("a", "2", "2"), Put("z", "2")}, 2)), "CONDITION_FAILED");
  EXPECT_EQ(All(), "a=2 b=later z=later ");
}

// All nodes are asked at about the same time: one does it, all say the same.
TEST_F(SpanningWrites, TriesAtTheSameTimeAreOne) {
  MakeTwoShards();
  for (std::uint64_t round = 1; round <= 30; ++round) {
    PutPlain("a", "0");
    PutPlain("z", "0");
    const Ops ops{PutIf("a", "1", "0"), PutIf("z", "1", "0")};
    std::vector<NodeWorld::Answer> answers;
    for (int node = 0; node < 3; ++node) {
      answers.push_back(world_.Begin(node, Batch(ops, round), seconds(15)));
      world_.RunFor(std::chrono::microseconds(round * 70));
    }
    Timestamp commit;
    for (const auto& answer : answers) {
      const kv::WriteResult result = ResultOf(world_.Wait(answer));
      EXPECT_EQ(result.timestamp, commit ? commit : result.timestamp) << "round " << round;
      commit = result.timestamp;
    }
  }
}

// The node that was asked goes at every moment of it; another is asked the same then. Meanwhile
// others have gone on from what the first try may have left: the second must not undo that.
TEST_F(SpanningWrites, ARepetitionAfterItsGatewayDiedIsDoneOnce) {
  MakeTwoShards();
  std::uint64_t sequence = 0;
  int first_did = 0;
  for (int delay_us = 0; delay_us < 9'000; delay_us += 300) {
    PutPlain("a", "0");
    PutPlain("z", "0");
    const Ops ops{PutIf("a", "1", "0"), Put("z", "1")};
    const int gateway = Bystander();
    const auto lost = world_.Begin(gateway, Batch(ops, ++sequence));
    world_.RunFor(std::chrono::microseconds(delay_us));
    world_.cluster().Kill(gateway);
    const int asker = gateway == 0 ? 1 : 0;
    // Whoever finds it done goes on: a swap of what it has written.
    const GatewayAnswer swapped = world_.Wait(
        world_.Begin(asker, Batch({PutIf("a", "2", "1"), PutIf("z", "2", "1")}), seconds(15)));
    const bool was_done = ReasonIn(swapped) == "OK";
    first_did += was_done;
    const GatewayAnswer again = Write(asker, ops, sequence);
    EXPECT_EQ(ReasonIn(again), "OK") << "after " << delay_us << " us";
    EXPECT_EQ(Read("a", asker), was_done ? "2" : "1") << "after " << delay_us << " us";
    EXPECT_EQ(Read("z", asker), was_done ? "2" : "1") << "after " << delay_us << " us";
    EXPECT_TRUE(world_.cluster().Start(gateway));
    ASSERT_TRUE(world_.Await([&] { return world_.AllReady(); }));
  }
  EXPECT_GT(first_did, 0);
  EXPECT_LT(first_did, 30);
}

// The shards become others between the tries: what several groups did, one is asked for, and the
// other way round.
TEST_F(SpanningWrites, ARepetitionAfterShardsHaveChangedIsDoneOnce) {
  MakeTwoShards();
  const Ops ops{PutIf("a", "1", ""), PutIf("z", "1", "")};
  const auto change = [&](DirectoryCall call) {
    const DirectoryAnswer begun = Change(0, std::move(call));
    ASSERT_TRUE(begun.status.ok()) << begun.status;
    EXPECT_EQ(AwaitJob(0, begun.job)->state, JobState::kDone);
  };
  const auto group = [&](const char* key) {
    return world_.node(0).DirectoryView()->Locate(kv::EncodeKey(keyspace_, key))->group;
  };
  const auto at_both = [&](std::uint64_t sequence, Timestamp first) {
    for (int node = 0; node < 3; ++node) {
      EXPECT_EQ(ResultOf(Write(node, ops, sequence)).timestamp, first);
    }
  };
  const Timestamp of_two = ResultOf(Write(0, ops, 1)).timestamp;
  change(MergeCall{.left = group("a")});
  EXPECT_EQ(ShardsOf(0, keyspace_), 1u);
  at_both(1, of_two);
  Write(0, {DeleteRange("", "")});
  const Timestamp of_one = ResultOf(Write(0, ops, 2)).timestamp;
  change(SplitCall{.group = group("a"), .key = kv::EncodeKey(keyspace_, "k")});
  change(SplitCall{.group = group("a"), .key = kv::EncodeKey(keyspace_, "Z")});
  at_both(1, of_two);
  at_both(2, of_one);
}

}  // namespace
}  // namespace flotilla
