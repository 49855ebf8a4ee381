// A split: what each side has afterwards, and that nobody sees anything in between.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

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

// Keys of all kinds, in several files.
void Fill(Machine& machine) {
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 60; ++i) {
      machine.Write(Put(Key(i), "v" + std::to_string(round) + std::string(200, 'x')));
    }
    for (int i = 0; i < 60; i += 20) machine.Write(Put(Key(i), std::string(70 << 10, 'b')));
    for (int i = 1; i < 60; i += 7) machine.Write(Delete(Key(i)));
    for (int i = 2; i < 60; i += 9) machine.Write(Put(Key(i), "brief", 1'000'000));
  }
}

std::map<std::string, std::string> Both(Machine& machine) {
  std::map<std::string, std::string> all;
  for (const GroupId group : machine.groups()) {
    for (const auto& [key, value] : machine.All(group)) {
      EXPECT_TRUE(machine.store(group).range().Contains(Encoded(key)));
      EXPECT_TRUE(all.emplace(key, value).second) << key << " is there twice";
    }
  }
  return all;
}

TEST(Split, BothSidesTogetherAreWhatWasThere) {
  Machine machine;
  Fill(machine);
  const auto before = machine.All(kParent);
  const ControlResult result = machine.Control(kParent, SplitAt(Key(30)));
  ASSERT_EQ(result.outcome, ControlOutcome::kApplied);
  EXPECT_EQ(result.range, (ShardRange{.start = "", .end = Encoded(Key(30)), .epoch = Epoch(2)}));
  EXPECT_EQ(machine.store().range(), result.range);
  ASSERT_TRUE(machine.Has(kChild));
  EXPECT_EQ(machine.Births(kChild), 1);
  EXPECT_EQ(machine.store(kChild).range(),
            (ShardRange{.start = Encoded(Key(30)), .end = "", .epoch = Epoch(2)}));
  EXPECT_EQ(Both(machine), before);
  EXPECT_FALSE(machine.All(kParent).empty());
  EXPECT_FALSE(machine.All(kChild).empty());
  // Row by row, too, from what is remembered and from the files.
  for (int life = 0; life < 2; ++life) {
    for (int i = 0; i < 60; ++i) {
      const auto row = before.find(Key(i));
      const auto wanted = row == before.end() ? std::nullopt : std::optional(row->second);
      EXPECT_EQ(machine.Get(machine.Holder(Key(i)), Key(i)), wanted) << Key(i);
    }
    machine.PowerCut(1);
    for (const GroupId group : machine.groups()) ASSERT_TRUE(machine.Replay(group).ok());
  }
}

TEST(Split, EachSideGoesOnAlone) {
  Machine machine;
  Fill(machine);
  machine.Control(kParent, SplitAt(Key(30)));
  EXPECT_EQ(machine.Write(kParent, Put(Key(40), "x")).outcome, WriteOutcome::kWrongShard);
  EXPECT_EQ(machine.Write(kChild, Put(Key(20), "x")).outcome, WriteOutcome::kWrongShard);
  EXPECT_EQ(machine.Write(kChild, Put(Key(40), "x")).outcome, WriteOutcome::kApplied);
  EXPECT_EQ(machine.Get(kChild, Key(40)), "x");
  EXPECT_EQ(ReasonOf(machine.store().Get(kDefaultKeyspace, Key(40)).status()), Reason::kWrongShard);
  EXPECT_EQ(ReasonOf(machine.store(kChild).Get(kDefaultKeyspace, Key(20)).status()),
            Reason::kWrongShard);
}

TEST(Split, AChildBeginsWhereItsParentWas) {
  Machine machine;
  const raft::Configuration members{.voters = {NodeId(1), NodeId(2), NodeId(3)},
                                    .outgoing = {},
                                    .learners = {NodeId(4)},
                                    .learners_next = {},
                                    .context = "addresses"};
  machine.Log(kParent, raft::EntryKind::kConfiguration, Bytes(raft::EncodeConfiguration(members)));
  machine.LogWrite(kParent, {CommandView{.ops = {Put("k", "v")}}});
  machine.LogControl(kParent, Epoch(1), SplitAt("k"));
  ASSERT_TRUE(machine.Replay(kParent).ok());
  ASSERT_TRUE(machine.Has(kChild));
  EXPECT_EQ(machine.store(kChild).mark(),
            (raft::SnapshotMark{
                .index = raft::Index(1), .term = raft::Term(1), .configuration = members}));
  EXPECT_EQ(machine.store(kChild).durable(), raft::Index(1));
  EXPECT_EQ(machine.store(kChild).last_timestamp(), machine.store().last_timestamp());
  EXPECT_EQ(machine.store().applied(), raft::Index(3));
}

TEST(Split, WaitsUntilTheMembersAreSettled) {
  Machine machine;
  raft::Configuration joint{.voters = {NodeId(1)},
                            .outgoing = {NodeId(2)},
                            .learners = {},
                            .learners_next = {},
                            .context = {}};
  machine.Log(kParent, raft::EntryKind::kConfiguration, Bytes(raft::EncodeConfiguration(joint)));
  ASSERT_TRUE(machine.Replay(kParent).ok());
  EXPECT_EQ(machine.Control(kParent, SplitAt("k")).outcome, ControlOutcome::kMembersChanging);
  EXPECT_FALSE(machine.Has(kChild));
}

// A retry goes where the key is now, and finds the first answer there.
TEST(Split, SessionsGoAlongToBothSides) {
  Machine machine;
  for (int i = 0; i < 40; ++i) machine.Write(Put("filler", "f"));
  const WriteResult left = machine.Write(kParent, Put("a", "1"), Of(5, 1));
  machine.Write(kParent, Put("z", "0"));
  const WriteResult right = machine.Write(kParent, Delete("z"), Of(5, 2));
  EXPECT_EQ(right.affected, 1u);
  machine.Control(kParent, SplitAt("m"));
  for (int life = 0; life < 2; ++life) {
    EXPECT_EQ(machine.Write(kParent, Put("a", "1"), Of(5, 1)).timestamp, left.timestamp);
    const WriteResult again = machine.Write(kChild, Delete("z"), Of(5, 2));
    EXPECT_EQ(again.timestamp, right.timestamp);
    EXPECT_EQ(again.affected, 1u);
    EXPECT_EQ(machine.Write(kParent, Delete("z"), Of(5, 2)).outcome, WriteOutcome::kWrongShard);
    machine.PowerCut(3);
    for (const GroupId group : machine.groups()) ASSERT_TRUE(machine.Replay(group).ok());
  }
}

// Its log begins anew; what sessions keep must not be put in order by it.
TEST(Split, AChildsNewSessionStateComesAfterItsParents) {
  Machine machine;
  for (int i = 0; i < 40; ++i) machine.Write(Put("filler", "f"));
  machine.Write(kParent, Put("z", "1"), Of(5, 1));
  machine.Control(kParent, SplitAt("m"));
  const WriteResult second = machine.Write(kChild, Put("z", "2"), Of(5, 2, 2));
  ASSERT_EQ(second.outcome, WriteOutcome::kApplied);
  const std::uint64_t hash = machine.Hash(kChild);
  machine.store(kChild).Flush([](const StatusOr<raft::Index>&) {});
  machine.PowerCut(1);
  ASSERT_TRUE(machine.Replay(kChild).ok());
  EXPECT_EQ(machine.Hash(kChild), hash);
  EXPECT_EQ(machine.Write(kChild, Put("z", "1"), Of(5, 1)).outcome, WriteOutcome::kSessionExpired);
  EXPECT_EQ(machine.Write(kChild, Put("z", "2"), Of(5, 2, 2)).timestamp, second.timestamp);
}

TEST(Split, KeysExpireWhereTheyAre) {
  Machine machine;
  machine.Write(Put("a", "1", 100));
  machine.Write(Put("z", "1", 500));
  const std::uint64_t first = machine.store().next_expiry_ms();
  machine.Control(kParent, SplitAt("m"));
  EXPECT_EQ(machine.store().next_expiry_ms(), first);
  EXPECT_EQ(machine.store(kChild).next_expiry_ms(), first + 401);
  machine.Write(kParent, {}, 200);
  EXPECT_EQ(machine.store().next_expiry_ms(), 0u);
  EXPECT_EQ(machine.Get(kParent, "a"), std::nullopt);
  EXPECT_EQ(machine.Get(kChild, "z"), "1");
  machine.Write(kChild, {}, 300);
  EXPECT_EQ(machine.Get(kChild, "z"), std::nullopt);
  EXPECT_EQ(machine.store(kChild).next_expiry_ms(), 0u);
}

TEST(Split, CopiesNoData) {
  Machine machine;
  for (int i = 0; i < 60; ++i) machine.Write(Put(Key(i), std::string(70 << 10, 'b')));
  machine.store().Flush([](const StatusOr<raft::Index>&) {});
  const std::uint64_t before = machine.disk().used_bytes();
  EXPECT_GT(before, 4'000'000u);
  machine.Control(kParent, SplitAt(Key(30)));
  EXPECT_LT(machine.disk().used_bytes(), before + 100'000);
  EXPECT_EQ(machine.All(kChild).size(), 30u);
}

// RocksDB 7.8 ends the process when a compaction that leaves nothing cannot sync its empty table,
// as one of nothing but removed ranges does on a full disk.
TEST(Split, RemovesNothingWhereThereIsNothing) {
  Machine machine;
  for (int i = 0; i < 60; ++i) machine.Write(Put(Key(i), "v"));
  machine.store().Flush([](const StatusOr<raft::Index>&) {});
  int tables = 0;
  machine.disk().SetCallHook([&](const sim::DiskCall& call) {
    const bool created = call.operation == sim::DiskOperation::kCreate;
    if (created && call.path.starts_with("/groups/2/db") && call.path.ends_with(".sst")) ++tables;
    return rocksdb::IOStatus::OK();
  });
  machine.Control(kParent, SplitAt(Key(30)));
  machine.store().Flush([](const StatusOr<raft::Index>&) {});
  machine.disk().SetCallHook(nullptr);
  EXPECT_EQ(tables, 2) << "of versions and of what is beside them, but not of locks";
}

TEST(Split, EachSideSaysHowMuchIsItsOwn) {
  Machine machine;
  Random random(1);
  for (int i = 0; i < 400; ++i) {
    std::string value(2000, ' ');
    for (char& byte : value) byte = static_cast<char>(random.Next());
    machine.Write(Put(Key(i), value));
  }
  machine.store().Flush([](const StatusOr<raft::Index>&) {});
  machine.store().MeasureSizes();
  const StoreSizes before = machine.store().Sizes();
  machine.Control(kParent, SplitAt(Key(100)));
  const StoreSizes left = machine.store().Sizes();
  const StoreSizes right = machine.store(kChild).Sizes();
  EXPECT_NEAR(static_cast<double>(left.disk_bytes), 0.25 * before.disk_bytes,
              0.1 * before.disk_bytes);
  EXPECT_NEAR(static_cast<double>(right.disk_bytes), 0.75 * before.disk_bytes,
              0.1 * before.disk_bytes);
  EXPECT_NEAR(static_cast<double>(left.keys_estimate), 100, 40);
  EXPECT_NEAR(static_cast<double>(right.keys_estimate), 300, 40);
}

TEST(Split, AgainAndAgain) {
  Machine machine;
  Fill(machine);
  const auto before = machine.All(kParent);
  // In one batch, with writes in between.
  machine.LogControl(kParent, Epoch(1), SplitAt(Key(40), GroupId(3)));
  machine.LogWrite(kParent, {CommandView{.ops = {Put(Key(10), "between")}}});
  machine.LogControl(kParent, Epoch(2), SplitAt(Key(20), GroupId(4)));
  ASSERT_TRUE(machine.Replay(kParent).ok());
  EXPECT_EQ(machine.Control(GroupId(3), SplitAt(Key(50), GroupId(5))).outcome,
            ControlOutcome::kApplied);
  EXPECT_EQ(machine.Control(GroupId(4), SplitAt(Key(30), GroupId(6))).outcome,
            ControlOutcome::kApplied);
  ASSERT_EQ(machine.groups().size(), 5u);
  auto wanted = before;
  wanted[Key(10)] = "between";
  EXPECT_EQ(Both(machine), wanted);
  EXPECT_EQ(machine.store(GroupId(6)).range(),
            (ShardRange{.start = Encoded(Key(30)), .end = Encoded(Key(40)), .epoch = Epoch(4)}));
  machine.PowerCut(2);
  for (const GroupId group : machine.groups()) ASSERT_TRUE(machine.Replay(group).ok());
  EXPECT_EQ(Both(machine), wanted);
}

TEST(Split, ASnapshotFromBeforeIsNotTouched) {
  Machine machine;
  Fill(machine);
  const std::uint64_t hash = machine.Hash();
  const auto snapshot = machine.store().TakeSnapshot();
  ASSERT_TRUE(snapshot.ok());
  machine.Control(kParent, SplitAt(Key(30)));
  const auto after = Both(machine);
  // It goes back to where it was: the split has not happened to it.
  ASSERT_TRUE(machine.store().InstallSnapshot(snapshot->directory, snapshot->mark).ok());
  EXPECT_EQ(machine.store().range(), ShardRange());
  EXPECT_EQ(machine.Hash(), hash);
  const std::uint64_t child = machine.Hash(kChild);
  ASSERT_TRUE(machine.Replay(kParent).ok());
  EXPECT_EQ(machine.Births(kChild), 2);
  EXPECT_EQ(machine.Hash(kChild), child);
  EXPECT_EQ(Both(machine), after);
}

// Whoever reads meanwhile gets the row or is sent on; never does he hear that there is none.
TEST(Split, ReadersSeeTheRowsOrAreSentOn) {
  for (int round = 0; round < 20; ++round) {
    const auto disk = std::make_shared<sim::SimFileSystem>();
    ASSERT_TRUE(disk->CreateDir("/2", {}, nullptr).ok());
    const std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(disk);
    StoreOptions options;
    options.directory = "/2";
    options.group = kParent;
    options.directory_of = [](GroupId group) { return "/" + std::to_string(group.value()); };
    const StoreResources resources =
        MakeStoreResources(env.get(), {.cache_bytes = 1 << 20, .write_buffer_bytes = 8 << 20});
    auto store = Store::Open(options, resources);
    ASSERT_TRUE(store.ok()) << store.status();
    CommandBatchWriter writer(Timestamp(1000ull << kTimestampCounterBits));
    for (int i = 0; i < 50; ++i) writer.Add(EncodeCommand({.ops = {Put(Key(i), "value")}}));
    std::vector<raft::AppliedEntry> entries(1);
    entries[0].entry = {.term = raft::Term(1),
                        .index = raft::Index(1),
                        .kind = raft::EntryKind::kCommand,
                        .payload = std::move(writer).Finish()};
    ASSERT_TRUE((*store)->Apply(entries).ok());
    std::atomic<int> reads = 0;
    std::atomic<int> wrong = 0;
    const auto read = [&](bool scans) {
      while (true) {
        Status status;
        if (scans) {
          const auto page = (*store)->Scan({.start = Key(0), .end = Key(50)});
          status = page.status();
          const bool sent_on = page.ok() && page->more && page->resume_key == Key(30);
          if (page.ok() && page->rows.size() != (sent_on ? 30 : 50)) ++wrong;
          if (sent_on) return;
        } else {
          const auto row = (*store)->Get(kDefaultKeyspace, Key(40));
          status = row.status();
          if (row.ok() && !row->found) ++wrong;
        }
        ++reads;
        if (ReasonOf(status) == Reason::kWrongShard) return;
        if (!status.ok()) ++wrong;
        // On a busy machine readers that spin leave the writer no time.
        std::this_thread::sleep_for(std::chrono::microseconds(20));
      }
    };
    std::vector<std::thread> readers;
    for (int i = 0; i < 3; ++i) readers.emplace_back(read, i == 0);
    while (reads < 20) std::this_thread::yield();
    std::vector<raft::AppliedEntry> split(1);
    split[0].entry = {
        .term = raft::Term(1),
        .index = raft::Index(2),
        .kind = raft::EntryKind::kControl,
        .payload = Bytes(EncodeControl({.expected_epoch = Epoch(1), .change = SplitAt(Key(30))}))};
    const Status applied = (*store)->Apply(split);
    EXPECT_TRUE(applied.ok()) << MessageOf(applied);
    for (std::thread& reader : readers) reader.join();
    EXPECT_EQ(wrong, 0);
    options.directory = "/3";
    options.group = kChild;
    auto child = Store::Open(options, resources);
    ASSERT_TRUE(child.ok()) << child.status();
    EXPECT_EQ((*child)->Scan({.start = Key(30)})->rows.size(), 20u);
    child->reset();
    store->reset();
  }
}

// Random commands and splits against a plain map, with power cuts; and a second machine fed the
// same logs in other batches.
TEST(Split, AgreesWithAModelAndWithItsReplica) {
  for (std::uint64_t seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    Machine machine;
    std::map<std::string, std::string> model;
    std::uint64_t next_group = 3;
    for (int step = 0; step < 150; ++step) {
      const std::string key = Key(static_cast<int>(random.Below(30)));
      const GroupId group = machine.Holder(key);
      const std::string value =
          random.Chance(0.05) ? std::string(66 << 10, 'b') : std::to_string(random.Next());
      const std::uint64_t what = random.Below(20);
      if (what == 0 && next_group < 8) {
        const Split split = SplitAt(key, GroupId(next_group));
        const bool inside = split.split_key > machine.store(group).range().start;
        const ControlResult result = machine.Control(group, split);
        ASSERT_EQ(result.outcome == ControlOutcome::kApplied, inside);
        if (inside) ++next_group;
      } else if (what < 4) {
        machine.Write(group, Delete(key));
        model.erase(key);
      } else if (what < 6) {
        const std::string end = Key(static_cast<int>(random.Below(30)));
        if (end <= key) continue;
        const auto outcome = machine.Write(group, DeleteRange(key, end)).outcome;
        const std::string& limit = machine.store(group).range().end;
        ASSERT_EQ(outcome == WriteOutcome::kApplied, limit.empty() || Encoded(end) <= limit);
        if (outcome == WriteOutcome::kApplied) {
          model.erase(model.lower_bound(key), model.lower_bound(end));
        }
      } else {
        machine.Write(group, Put(key, value, random.Chance(0.2) ? 1'000'000 : 0));
        model[key] = value;
      }
      if (random.Chance(0.03)) {
        machine.PowerCut(random.Next());
        // A child is there before its own log is looked at.
        for (std::size_t done = 0; done < machine.groups().size(); ++done) {
          ASSERT_TRUE(machine.Replay(machine.groups()[done], random.Between(1, 9)).ok());
        }
      }
    }
    ASSERT_EQ(Both(machine), model);
    Machine replica;
    replica.TakeLogs(machine);
    for (std::size_t done = 0; done < replica.groups().size(); ++done) {
      ASSERT_TRUE(replica.Replay(replica.groups()[done], random.Between(1, 50)).ok());
    }
    ASSERT_EQ(replica.groups(), machine.groups());
    for (const GroupId group : machine.groups()) {
      EXPECT_EQ(replica.Hash(group), machine.Hash(group)) << group.value();
    }
  }
}

}  // namespace
}  // namespace flotilla::kv
