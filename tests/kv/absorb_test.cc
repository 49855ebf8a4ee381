// A group that becomes part of its left neighbour: what the neighbour has afterwards.

#include <gtest/gtest.h>

#include "tests/kv/machine.h"

namespace flotilla::kv {
namespace {

Session Of(std::uint64_t client, std::uint64_t sequence, std::uint64_t acknowledged_below = 1) {
  return {.client = ClientId(client),
          .sequence = sequence,
          .acknowledged_below = acknowledged_below,
          .since = {}};
}

std::string Key(int i) { return "k" + std::to_string(100 + i); }

// Keys of all kinds, wherever they are.
void Fill(Machine& machine, int round) {
  for (int i = 0; i < 60; ++i) {
    const std::string key = Key(i);
    const GroupId group = machine.Holder(key);
    const std::string value = std::to_string(round) + std::string(i % 20 == 0 ? 70'000 : 200, 'x');
    machine.Write(group, Put(key, value));
    if (i % 7 == round) machine.Write(group, Delete(key));
    if (i % 9 == round) machine.Write(group, Put(key, "brief", 1'000'000));
  }
}

std::map<std::string, std::string> Both(Machine& machine) {
  std::map<std::string, std::string> all = machine.All(kParent);
  all.merge(machine.All(kChild));
  return all;
}

void ReplayAll(Machine& machine) {
  for (const GroupId group : machine.groups()) ASSERT_TRUE(machine.Replay(group).ok());
}

TEST(Absorb, TheLeftHasAllOfBoth) {
  Machine machine;
  Fill(machine, 1);
  machine.Control(kParent, SplitAt(Key(30)));
  Fill(machine, 2);
  const auto wanted = Both(machine);
  machine.Control(kParent, SplitAt(Key(10), GroupId(4)));  // an epoch more
  machine.Remove(GroupId(4));
  machine.Control(kParent, SetRange{.start = "", .end = Encoded(Key(30))});
  for (int i = 10; i < 30; ++i) {
    if (wanted.contains(Key(i))) machine.Write(kParent, Put(Key(i), wanted.at(Key(i))));
  }
  ASSERT_EQ(machine.store().range().epoch, Epoch(4));
  const Absorb absorb = machine.FreezeFor(kChild);
  EXPECT_EQ(absorb.held.epoch, Epoch(3));
  const Timestamp newest = machine.store(kChild).last_timestamp();
  const ControlResult result = machine.Control(kParent, absorb);
  ASSERT_EQ(result.outcome, ControlOutcome::kApplied);
  EXPECT_EQ(result.range, (ShardRange{.epoch = Epoch(5)}));
  EXPECT_EQ(result.index, machine.store().applied());
  EXPECT_EQ(machine.store().range(), result.range);
  EXPECT_GE(machine.store().last_timestamp(), newest);
  EXPECT_EQ(ReasonOf(machine.store(kChild).Get(kDefaultKeyspace, Key(40)).status()),
            Reason::kWrongShard);
  machine.Remove(kChild);
  for (int life = 0; life < 2; ++life) {
    EXPECT_EQ(machine.All(kParent), wanted);
    for (int i = 0; i < 60; ++i) {
      const auto row = wanted.find(Key(i));
      EXPECT_EQ(machine.Get(kParent, Key(i)),
                row == wanted.end() ? std::nullopt : std::optional(row->second));
    }
    machine.PowerCut(1);
    ReplayAll(machine);
  }
  EXPECT_EQ(machine.Write(kParent, Delete(Key(43))).affected, 1u);
  EXPECT_EQ(machine.Get(kParent, Key(43)), std::nullopt);
}

TEST(Absorb, TheEpochComesAfterBoth) {
  Machine machine;
  machine.Control(kParent, SplitAt("m"));
  for (int i = 0; i < 6; ++i) machine.Control(kChild, SetRange{.start = Encoded("m"), .end = ""});
  const Absorb absorb = machine.FreezeFor(kChild);
  EXPECT_EQ(absorb.held.epoch, Epoch(9));
  EXPECT_EQ(machine.Control(kParent, absorb).range.epoch, Epoch(10));
}

// However many entries are applied at a time: what comes next is above all of both.
TEST(Absorb, TheTimeOfTheRightOutlastsTheNextEntry) {
  for (const std::size_t batch : {1, 100}) {
    Machine machine;
    machine.Control(kParent, SplitAt("m"));
    machine.Write(kParent, {.key = "a", .value = "1"});
    machine.Write(kChild, {.key = "z", .value = "2"});
    const Timestamp newest = machine.store(kChild).last_timestamp();
    ASSERT_GT(newest, machine.store(kParent).last_timestamp());
    const Absorb absorb = machine.FreezeFor(kChild);
    machine.LogControl(kParent, machine.store(kParent).range().epoch, absorb);
    machine.Log(kParent, raft::EntryKind::kNoop, Bytes());
    ASSERT_TRUE(machine.Replay(kParent, batch).ok());
    EXPECT_EQ(machine.store(kParent).last_timestamp(), newest) << "in batches of " << batch;
  }
}

TEST(Absorb, WhatDoesNotFitHasNoEffect) {
  Machine machine;
  machine.Control(kParent, SplitAt("t", GroupId(4)));
  machine.Control(kParent, SplitAt("m"));
  const Absorb far = machine.FreezeFor(GroupId(4));
  const Absorb near = machine.FreezeFor(kChild);
  const auto outcome = [&](Absorb absorb, std::optional<Epoch> expected = {}) {
    const ShardRange before = machine.store().range();
    const ControlResult result = machine.Control(kParent, std::move(absorb), expected);
    EXPECT_EQ(machine.store().range(), before);
    return result.outcome;
  };
  EXPECT_EQ(outcome(far), ControlOutcome::kUnfit);
  EXPECT_EQ(outcome(near, Epoch(1)), ControlOutcome::kEpochDiffers);
  Absorb changed = near;
  changed.held.frozen = false;
  EXPECT_EQ(outcome(changed), ControlOutcome::kUnfit);
  changed = near;
  changed.right = kParent;
  EXPECT_EQ(outcome(changed), ControlOutcome::kUnfit);
  changed.right = GroupId();
  EXPECT_EQ(outcome(changed), ControlOutcome::kUnfit);
  raft::Configuration joint{.voters = {NodeId(1)},
                            .outgoing = {NodeId(2)},
                            .learners = {},
                            .learners_next = {},
                            .context = {}};
  machine.Log(kParent, raft::EntryKind::kConfiguration, Bytes(raft::EncodeConfiguration(joint)));
  ASSERT_TRUE(machine.Replay(kParent).ok());
  EXPECT_EQ(outcome(near), ControlOutcome::kMembersChanging);
  joint.outgoing.clear();
  machine.Log(kParent, raft::EntryKind::kConfiguration, Bytes(raft::EncodeConfiguration(joint)));
  ASSERT_TRUE(machine.Replay(kParent).ok());
  machine.Control(kParent, Freeze{});
  EXPECT_EQ(outcome(near), ControlOutcome::kFrozen);
  machine.Control(kParent, Unfreeze{});
  EXPECT_EQ(machine.Control(kParent, near).outcome, ControlOutcome::kApplied);
  EXPECT_EQ(machine.Control(kParent, far).outcome, ControlOutcome::kApplied);
  EXPECT_EQ(machine.store().range().end, "");
}

// The proposer was wrong about it: nobody guesses what he meant.
TEST(Absorb, ARightGroupThatIsNotAsExpectedStopsTheReplica) {
  const auto stops = [](auto meddle) {
    Machine machine;
    machine.Control(kParent, SplitAt("m"));
    Absorb absorb = machine.FreezeFor(kChild);
    meddle(machine, absorb);
    machine.LogControl(kParent, machine.store().range().epoch, absorb);
    const Status applied = machine.Replay(kParent);
    EXPECT_EQ(machine.store().range().epoch, applied.ok() ? Epoch(4) : Epoch(2));
    return ReasonOf(applied) == Reason::kInternal;
  };
  EXPECT_TRUE(stops([](Machine& machine, Absorb&) { machine.Remove(kChild); }));
  EXPECT_TRUE(stops([](Machine& machine, Absorb&) { machine.Control(kChild, Unfreeze{}); }));
  EXPECT_TRUE(stops([](Machine& machine, Absorb&) {
    machine.Control(kChild, Unfreeze{});
    machine.Control(kChild, Freeze{});
  }));
  EXPECT_TRUE(stops([](Machine&, Absorb& absorb) { ++absorb.frozen_at; }));
  EXPECT_FALSE(stops([](Machine& machine, Absorb&) { machine.Write(kChild, Put("z", "1")); }));
}

// It was given up half-way. The left's epoch is raised first, so that what was proposed to it
// cannot come after the right has gone on.
TEST(Absorb, IsRepeatedAfterAFailure) {
  Machine machine;
  machine.Write(Put("z", "1"));
  machine.Control(kParent, SplitAt("m"));
  const Absorb first = machine.FreezeFor(kChild);
  machine.Control(kParent, SetRange{.start = "", .end = Encoded("m")});
  machine.Control(kChild, Unfreeze{});
  EXPECT_EQ(machine.Write(kChild, Put("z", "2")).outcome, WriteOutcome::kApplied);
  EXPECT_EQ(machine.Control(kParent, first, Epoch(2)).outcome, ControlOutcome::kEpochDiffers);
  EXPECT_EQ(machine.Get(kChild, "z"), "2");
  EXPECT_EQ(machine.Control(kParent, machine.FreezeFor(kChild)).outcome, ControlOutcome::kApplied);
  EXPECT_EQ(machine.Get(kParent, "z"), "2");
}

TEST(Absorb, SessionsOfBothAnswerRetries) {
  Machine machine;
  machine.Write(Put("b", "0"));
  machine.Write(Put("y", "0"));
  machine.Write(kParent, Put("a", "1"), Of(5, 1));
  machine.Control(kParent, SplitAt("m"));
  const WriteResult left = machine.Write(kParent, Delete("b"), Of(5, 3));
  const WriteResult right = machine.Write(kChild, Delete("y"), Of(5, 2));
  machine.Write(kChild, Put("x", "1"), Of(6, 1));
  const WriteResult other = machine.Write(kChild, Delete("x"), Of(6, 2));
  ASSERT_EQ(left.affected + right.affected + other.affected, 3u);
  machine.Control(kParent, machine.FreezeFor(kChild));
  machine.Remove(kChild);
  for (int life = 0; life < 3; ++life) {
    EXPECT_EQ(machine.Write(kParent, Delete("b"), Of(5, 3)).timestamp, left.timestamp);
    EXPECT_EQ(machine.Write(kParent, Delete("y"), Of(5, 2)).timestamp, right.timestamp);
    EXPECT_EQ(machine.Write(kParent, Delete("x"), Of(6, 2)).affected, 1u);
    // What comes later goes on from there.
    const auto later = static_cast<std::uint64_t>(4 + life);
    EXPECT_EQ(machine.Write(kParent, Put("z", "1"), Of(5, later)).outcome, WriteOutcome::kApplied);
    machine.store().Flush([](const StatusOr<raft::Index>&) {});
    const std::uint64_t hash = machine.Hash();
    machine.PowerCut(3);
    ReplayAll(machine);
    EXPECT_EQ(machine.Hash(), hash);
  }
}

TEST(Absorb, SessionsStayBounded) {
  StoreOptions options;
  options.session_results_max = 3;
  options.sessions_max = 4;
  Machine machine(options);
  machine.Control(kParent, SplitAt("m"));
  for (std::uint64_t i = 1; i <= 4; ++i) machine.Write(kParent, Put("a", "1"), Of(5, 2 * i));
  for (std::uint64_t i = 1; i <= 4; ++i) machine.Write(kChild, Put("z", "1"), Of(5, 2 * i + 1));
  for (std::uint64_t client = 6; client <= 8; ++client) {
    machine.Write(kParent, Put("a", "1"), Of(client, 1));
    machine.Write(kChild, Put("z", "1"), Of(client + 10, 1));
  }
  machine.Control(kParent, machine.FreezeFor(kChild));
  EXPECT_EQ(machine.store().Counts().sessions, 4u);
  EXPECT_EQ(machine.Write(kParent, Put("z", "1"), Of(8, 1)).outcome, WriteOutcome::kApplied);
  EXPECT_EQ(machine.Write(kParent, Put("z", "1"), Of(6, 1, 2)).outcome,
            WriteOutcome::kSessionExpired);
  const std::uint64_t hash = machine.Hash();
  machine.PowerCut(3);
  ReplayAll(machine);
  EXPECT_EQ(machine.Hash(), hash);
}

// The left has forgotten the client, and with it what it had answered; the right has not.
TEST(Absorb, AClientThatOneSideHasForgottenIsNotTakenForANewOne) {
  for (const bool left_forgets : {true, false}) {
    StoreOptions options;
    options.sessions_max = 2;
    Machine machine(options);
    const Timestamp start = machine.Write(Put("a", "0")).timestamp;
    machine.Write(Put("y", "0"));
    machine.Control(kParent, SplitAt("m"));
    const GroupId forgets = left_forgets ? kParent : kChild;
    const GroupId knows = left_forgets ? kChild : kParent;
    const char* const deleted = left_forgets ? "a" : "y";
    Session session = Of(5, 1);
    session.since = start;
    ASSERT_EQ(machine.Write(forgets, Delete(deleted), session).affected, 1u);
    machine.Write(forgets, Put(deleted, "of somebody else"), Of(6, 1));
    machine.Write(forgets, Put(deleted, "of somebody else"), Of(7, 1));
    session.sequence = 2;
    const char* const other = left_forgets ? "y" : "a";
    const WriteResult known = machine.Write(knows, Put(other, "1"), session);
    ASSERT_EQ(machine.Control(kParent, machine.FreezeFor(kChild)).outcome,
              ControlOutcome::kApplied);
    machine.Remove(kChild);
    session.sequence = 1;
    EXPECT_EQ(machine.Write(kParent, Delete(deleted), session).outcome,
              WriteOutcome::kSessionExpired);
    EXPECT_EQ(machine.Get(kParent, deleted), "of somebody else");
    machine.store().Flush([](const StatusOr<raft::Index>&) {});
    machine.PowerCut(1);
    ReplayAll(machine);
    EXPECT_EQ(machine.Write(kParent, Delete(deleted), session).outcome,
              WriteOutcome::kSessionExpired);
    session.sequence = 2;
    EXPECT_EQ(machine.Write(kParent, Put(other, "1"), session).timestamp, known.timestamp);
  }
}

TEST(Absorb, KeysGoOnToExpire) {
  Machine machine;
  machine.Control(kParent, SplitAt("m"));
  machine.Write(kParent, Put("a", "1", 500));
  machine.Write(kChild, Put("z", "1", 100));
  const std::uint64_t first = machine.store(kChild).next_expiry_ms();
  machine.Control(kParent, machine.FreezeFor(kChild));
  machine.Remove(kChild);
  EXPECT_EQ(machine.store().next_expiry_ms(), first);
  machine.Write(kParent, {}, 200);
  EXPECT_EQ(machine.Get(kParent, "z"), std::nullopt);
  EXPECT_EQ(machine.Get(kParent, "a"), "1");
  machine.Write(kParent, {}, 400);
  EXPECT_EQ(machine.Get(kParent, "a"), std::nullopt);
  EXPECT_EQ(machine.store().next_expiry_ms(), 0u);
}

// Not what the left had there before it gave the keys away.
TEST(Absorb, NothingOfOldComesBack) {
  Machine machine;
  machine.Write(Put("a", "1"));
  machine.Write(Put("y", "old"));
  machine.Write(Put("z", "old"));
  EXPECT_EQ(machine.Get(kParent, "y"), "old");
  machine.Control(kParent, SplitAt("m"));
  machine.Write(kChild, Delete("z"));
  machine.Write(kChild, Put("y", "new"));
  machine.Control(kParent, machine.FreezeFor(kChild));
  EXPECT_EQ(machine.Get(kParent, "y"), "new");
  EXPECT_EQ(machine.Get(kParent, "z"), std::nullopt);
  // And again the other way.
  machine.Remove(kChild);
  machine.Control(kParent, SplitAt("m"));
  machine.Write(kChild, Delete("y"));
  machine.Control(kParent, machine.FreezeFor(kChild));
  EXPECT_EQ(machine.All(kParent).size(), 1u);
}

TEST(Absorb, SaysWhenTheRightMayGo) {
  Machine machine;
  machine.Control(kParent, SplitAt("m"));
  EXPECT_EQ(machine.store().durable_range(), machine.store().range());
  const Absorb absorb = machine.FreezeFor(kChild);
  EXPECT_EQ(machine.store(kChild).durable_range(), absorb.held);
  EXPECT_TRUE(machine.store(kChild).members_fixed());
  EXPECT_FALSE(machine.store().members_fixed());
  // No room to flush it: after a crash it would be absorbed once more.
  machine.disk().SetCallHook([&](const sim::DiskCall& call) {
    if (call.operation == sim::DiskOperation::kDelete && call.path == "/groups/2/taking") {
      machine.disk().SetCapacity(machine.disk().used_bytes());
    }
    return rocksdb::IOStatus::OK();
  });
  machine.LogControl(kParent, Epoch(2), absorb);
  ASSERT_TRUE(machine.Replay(kParent).ok());
  EXPECT_EQ(machine.store().range().epoch, Epoch(4));
  EXPECT_EQ(machine.store().durable_range().epoch, Epoch(2));
  machine.disk().SetCallHook(nullptr);
  machine.disk().SetCapacity(UINT64_MAX);
  machine.Write(kParent, Put("z", "1"));
  machine.store().Flush([](const StatusOr<raft::Index>&) {});
  EXPECT_EQ(machine.store().durable_range(), machine.store().range());
}

TEST(Split, WhoIsNotAMemberMakesNoChild) {
  for (const std::uint64_t self : {1, 3}) {
    StoreOptions options;
    options.self = NodeId(self);
    Machine machine(options);
    const raft::Configuration members{
        .voters = {NodeId(1)}, .outgoing = {}, .learners = {}, .learners_next = {}, .context = {}};
    machine.Log(kParent, raft::EntryKind::kConfiguration,
                Bytes(raft::EncodeConfiguration(members)));
    machine.LogWrite(kParent, {CommandView{.ops = {Put("z", "v")}}});
    machine.LogControl(kParent, Epoch(1), SplitAt("m"));
    ASSERT_TRUE(machine.Replay(kParent).ok());
    EXPECT_EQ(machine.Has(kChild), self == 1);
    EXPECT_EQ(machine.Births(kChild), self == 1 ? 1 : 0);
    EXPECT_EQ(machine.store().range().end, Encoded("m"));
  }
}

TEST(Absorb, WhoIsNotAMemberStops) {
  StoreOptions options;
  options.self = NodeId(3);
  Machine machine(options);
  raft::Configuration members{
      .voters = {NodeId(3)}, .outgoing = {}, .learners = {}, .learners_next = {}, .context = {}};
  machine.Log(kParent, raft::EntryKind::kConfiguration, Bytes(raft::EncodeConfiguration(members)));
  machine.LogControl(kParent, Epoch(1), SplitAt("m"));
  ASSERT_TRUE(machine.Replay(kParent).ok());
  const Absorb absorb = machine.FreezeFor(kChild);
  members.voters = {NodeId(1)};
  machine.Log(kParent, raft::EntryKind::kConfiguration, Bytes(raft::EncodeConfiguration(members)));
  machine.LogControl(kParent, machine.store().range().epoch.Next(), absorb);
  EXPECT_EQ(ReasonOf(machine.Replay(kParent)), Reason::kInternal);
}

// Random commands, splits and absorptions against a plain map, with power cuts; and a second
// machine fed the same logs.
TEST(Absorb, AgreesWithAModel) {
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Machine machine;
    std::map<std::string, std::string> model;
    std::uint64_t next_group = 3;
    int absorbed = 0;
    for (int step = 0; step < 200; ++step) {
      const std::string key = Key(static_cast<int>(random.Below(30)));
      const GroupId group = machine.Holder(key);
      const ShardRange range = machine.store(group).range();
      const std::uint64_t what = random.Below(20);
      if (what == 0) {
        const ControlResult result = machine.Control(group, SplitAt(key, GroupId(next_group)));
        if (result.outcome == ControlOutcome::kApplied) ++next_group;
      } else if (what == 1 && !range.end.empty()) {
        KeyspaceId keyspace;
        std::string neighbour;
        ASSERT_TRUE(DecodeKey(range.end, keyspace, neighbour));
        const GroupId right = machine.Holder(neighbour);
        const Absorb absorb = machine.FreezeFor(right);
        machine.LogControl(group, range.epoch, absorb);
        if (random.Chance(0.3)) {
          machine.PowerCut(random.Next());
          for (const GroupId one : machine.groups()) {
            if (one != group) ASSERT_TRUE(machine.Replay(one, random.Between(1, 9)).ok());
          }
        }
        ASSERT_TRUE(machine.Replay(group).ok());
        ASSERT_EQ(machine.store(group).range().end, absorb.held.end);
        ASSERT_EQ(machine.store(group).durable_range(), machine.store(group).range());
        machine.Remove(right);
        ++absorbed;
      } else if (what < 4) {
        machine.Write(group, Delete(key));
        model.erase(key);
      } else {
        const std::string value =
            random.Chance(0.05) ? std::string(66 << 10, 'b') : std::to_string(random.Next());
        machine.Write(group, Put(key, value, random.Chance(0.2) ? 1'000'000 : 0));
        model[key] = value;
      }
      if (random.Chance(0.03)) {
        machine.PowerCut(random.Next());
        ReplayAll(machine);
      }
    }
    std::map<std::string, std::string> all;
    for (const GroupId group : machine.groups()) all.merge(machine.All(group));
    ASSERT_EQ(all, model);
    EXPECT_GT(absorbed, 0);
  }
}

}  // namespace
}  // namespace flotilla::kv
