// The state machine on a simulated disk: what it answers, and what survives.

#include "kv/store.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rocksdb/perf_context.h>

#include <map>
#include <optional>

#include "base/random.h"
#include "tests/kv/store_bench.h"

namespace flotilla::kv {
namespace {

WriteOp Put(std::string_view key, std::string_view value) { return {.key = key, .value = value}; }
WriteOp Delete(std::string_view key) { return {.kind = WriteKind::kDelete, .key = key}; }

TEST(Store, ReadsWhatWasWritten) {
  Bench bench;
  bench.Write(Put("a", "1"));
  bench.Write(Put("a", "2"));
  EXPECT_EQ(bench.Get("a"), "2");
  EXPECT_EQ(bench.Get("b"), std::nullopt);
  EXPECT_EQ(bench.Write(Delete("a")).affected, 1u);
  EXPECT_EQ(bench.Write(Delete("a")).affected, 0u);
  EXPECT_EQ(bench.Get("a"), std::nullopt);
}

TEST(Store, AnEntrysCommandsSeeThoseBeforeThem) {
  Bench bench;
  WriteOp absent = Put("k", "second");
  absent.condition = ConditionKind::kAbsent;
  const auto results =
      bench.Write({CommandView{.ops = {Put("k", "first")}}, CommandView{.ops = {absent}},
                   CommandView{.ops = {Delete("k")}}, CommandView{.ops = {absent}}});
  EXPECT_EQ(results[1].outcome, WriteOutcome::kConditionFailed);
  EXPECT_EQ(results[1].actual_version, results[0].timestamp);
  EXPECT_EQ(results[2].affected, 1u);
  EXPECT_EQ(results[3].outcome, WriteOutcome::kApplied);
  EXPECT_EQ(bench.Get("k"), "second");
}

TEST(Store, TheLastWordOfABatchOnAKeyCounts) {
  Bench bench;
  bench.Write({CommandView{.ops = {Put("b", "1"), Put("a", "1"), Put("b", "2"), Put("a", "2")}}});
  EXPECT_EQ(bench.Get("a"), "2");
  EXPECT_EQ(bench.Get("b"), "2");
  bench.Write({CommandView{.ops = {Put("c", "1"), Delete("c")}}});
  EXPECT_EQ(bench.Get("c"), std::nullopt);
  bench.Write({CommandView{.ops = {Delete("a"), Put("a", "3")}}});
  EXPECT_EQ(bench.Get("a"), "3");
}

TEST(Store, ABatchWhoseConditionFailsDoesNothing) {
  Bench bench;
  WriteOp guarded = Put("b", "2");
  guarded.condition = ConditionKind::kExists;
  const auto results = bench.Write({CommandView{.ops = {Put("a", "1"), guarded}}});
  EXPECT_EQ(results[0].outcome, WriteOutcome::kConditionFailed);
  EXPECT_EQ(results[0].failed_op, 1u);
  EXPECT_EQ(bench.Get("a"), std::nullopt);
}

TEST(Store, ARepeatedWriteGetsTheFirstAnswerEvenAfterAPowerCut) {
  Bench bench;
  const Session session{.client = ClientId(5), .sequence = 1, .acknowledged_below = 1};
  bench.Write(Put("k", "v"));
  const WriteResult first = bench.Write(Delete("k"), session);
  EXPECT_EQ(first.affected, 1u);
  bench.Write(Put("k", "again"));
  const WriteResult second = bench.Write(Delete("k"), session);
  EXPECT_EQ(second.affected, 1u);
  EXPECT_EQ(second.timestamp, first.timestamp);
  EXPECT_EQ(bench.Get("k"), "again");
  bench.PowerCut(1);
  bench.Replay(10);
  EXPECT_EQ(bench.Write(Delete("k"), session).timestamp, first.timestamp);
  EXPECT_EQ(bench.Get("k"), "again");
}

TEST(Store, AnAcknowledgedOrForgottenSequenceIsRefused) {
  StoreOptions options;
  options.session_idle_ms_max = 100;
  Bench bench(options);
  bench.Write(Put("k", "1"), {.client = ClientId(5), .sequence = 1, .acknowledged_below = 1});
  bench.Write(Put("k", "2"), {.client = ClientId(5), .sequence = 2, .acknowledged_below = 2});
  EXPECT_EQ(
      bench.Write(Put("k", "x"), {.client = ClientId(5), .sequence = 1, .acknowledged_below = 1})
          .outcome,
      WriteOutcome::kSessionExpired);
  bench.Write({CommandView{.ops = {Put("other", "o")}}}, 1000);
  EXPECT_EQ(bench.store().Counts().sessions, 0u);
  EXPECT_EQ(
      bench.Write(Put("k", "x"), {.client = ClientId(5), .sequence = 3, .acknowledged_below = 3})
          .outcome,
      WriteOutcome::kSessionExpired);
  EXPECT_EQ(bench.Get("k"), "2");
}

// The first write of a client is lost on its way back, and repeated when its session is gone: by
// time, or because too many others wrote.
TEST(Store, AFirstWriteRepeatedAfterItsSessionWasForgottenIsRefused) {
  for (const bool by_time : {true, false}) {
    StoreOptions options;
    options.session_idle_ms_max = by_time ? 100 : 1'000'000;
    options.sessions_max = by_time ? 1000 : 2;
    Bench bench(options);
    bench.Write(Put("before", "v"));
    const Timestamp since = bench.store().last_timestamp();
    const Session first{
        .client = ClientId(5), .sequence = 1, .acknowledged_below = 1, .since = since};
    const WriteResult done = bench.Write(Put("k", "1"), first);
    EXPECT_EQ(done.outcome, WriteOutcome::kApplied);
    EXPECT_EQ(bench.Write(Put("k", "1"), first).timestamp, done.timestamp);
    bench.Write(Put("k", "2"));
    for (std::uint64_t other = 6; other < 9 && !by_time; ++other) {
      bench.Write(Put("o", "o"), {.client = ClientId(other), .sequence = 1, .since = since});
    }
    bench.Write({CommandView{.ops = {Put("o", "o")}}}, by_time ? 1000 : 1);
    if (by_time) EXPECT_EQ(bench.store().Counts().sessions, 0u);
    for (int life = 0; life < 2; ++life) {
      const WriteResult again = bench.Write(Put("k", "1"), first);
      EXPECT_EQ(again.outcome, WriteOutcome::kSessionExpired);
      EXPECT_EQ(bench.Get("k"), "2");
      // From there on the client may begin anew.
      EXPECT_EQ(bench
                    .Write(Put("n", "n"), {.client = ClientId(50 + static_cast<unsigned>(life)),
                                           .sequence = 1,
                                           .since = again.timestamp})
                    .outcome,
                WriteOutcome::kApplied);
      bench.PowerCut(1);
      bench.Replay(3);
    }
  }
}

TEST(Store, ARepeatedWriteGetsTheFirstAnswerAfterASnapshotWasInstalled) {
  const Session session{.client = ClientId(5), .sequence = 1, .acknowledged_below = 1};
  Bench source;
  source.Write(Put("k", "v"));
  const WriteResult first = source.Write(Delete("k"), session);
  source.Write(Put("k", "again"));
  Bench target;
  ASSERT_TRUE(target.Install(source));
  const WriteResult second = target.Write(Delete("k"), session);
  EXPECT_EQ(second.timestamp, first.timestamp);
  EXPECT_EQ(second.affected, 1u);
  EXPECT_EQ(target.Get("k"), "again");
}

TEST(Store, DataWithoutASafePointIsOpenedAndItsPastIsNotServed) {
  Bench bench;
  const Timestamp first = bench.Write(Put("a", "1")).timestamp;
  const Timestamp last = bench.Write(Put("a", "2")).timestamp;
  bench.EditMeta("applied", [](std::string& row) { row.resize(3 * sizeof(std::uint64_t)); });
  EXPECT_EQ(bench.Get("a"), "2");
  EXPECT_EQ(bench.store().Get(kDefaultKeyspace, "a", last)->value, "2");
  EXPECT_EQ(ReasonOf(bench.store().Get(kDefaultKeyspace, "a", first).status()),
            Reason::kTimestampTooOld);
}

TEST(Store, KeysExpireInReplicatedTime) {
  Bench bench;
  WriteOp brief = Put("k", "v");
  brief.ttl_ms = 50;
  bench.Write(brief);
  EXPECT_EQ(bench.Get("k"), "v");
  EXPECT_NE(bench.store().next_expiry_ms(), 0u);
  bench.Write({}, 49);
  EXPECT_EQ(bench.Get("k"), "v");
  bench.Write({}, 2);
  EXPECT_EQ(bench.Get("k"), std::nullopt);
  EXPECT_EQ(bench.store().next_expiry_ms(), 0u);
}

TEST(Store, AnOverwrittenKeyDoesNotExpire) {
  Bench bench;
  WriteOp brief = Put("k", "v");
  brief.ttl_ms = 50;
  bench.Write(brief);
  bench.Write(Put("k", "stays"));
  bench.Write({}, 100);
  EXPECT_EQ(bench.Get("k"), "stays");
}

TEST(Store, ScansBothWaysPageByPage) {
  Bench bench;
  for (int i = 0; i < 25; ++i) bench.Write(Put("k" + std::to_string(10 + i), std::to_string(i)));
  bench.Write(Put("k12", "new"));
  bench.Write(Delete("k13"));
  for (const bool reverse : {false, true}) {
    std::vector<std::string> keys;
    ScanRequest request{.start = "k11", .end = "k31", .reverse = reverse, .limit = 7};
    while (true) {
      const auto page = bench.store().Scan(request);
      ASSERT_TRUE(page.ok());
      ASSERT_LE(page->rows.size(), 7u);
      for (const ScanRow& row : page->rows) {
        keys.push_back(row.key);
        if (row.key == "k12") EXPECT_EQ(row.value, "new");
      }
      if (!page->more) break;
      (reverse ? request.end : request.start) = page->resume_key;
    }
    EXPECT_EQ(keys.size(), 19u);
    EXPECT_TRUE(reverse ? std::is_sorted(keys.rbegin(), keys.rend())
                        : std::is_sorted(keys.begin(), keys.end()));
  }
}

TEST(Store, ManyVersionsOfAKeyAreNotSteppedThrough) {
  Bench bench;
  bench.Write(Put("a", "1"));
  for (int i = 0; i < 2000; ++i) bench.Write(Put("counter", std::to_string(i)));
  bench.Write(Put("d", "1"));
  rocksdb::SetPerfLevel(rocksdb::PerfLevel::kEnableCount);
  rocksdb::get_perf_context()->Reset();
  const auto page = bench.store().Scan({});
  rocksdb::SetPerfLevel(rocksdb::PerfLevel::kDisable);
  ASSERT_TRUE(page.ok());
  ASSERT_EQ(page->rows.size(), 3u);
  EXPECT_EQ(page->rows[1].value, "1999");
  EXPECT_LT(rocksdb::get_perf_context()->next_on_memtable_count, 100u);
}

TEST(Store, ASnapshotTakesTheOldStatesPlaceAndSurvivesPowerCuts) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Bench source;
    for (int i = 0; i < 50; ++i) source.Write(Put("k" + std::to_string(i % 9), std::to_string(i)));
    Bench target;
    target.Write(Put("old", "state"));
    const std::uint64_t old_hash = target.Hash();
    ASSERT_TRUE(target.Install(source));
    EXPECT_EQ(target.Hash(), source.Hash());
    EXPECT_NE(target.Hash(), old_hash);
    EXPECT_EQ(target.store().applied(), source.store().applied());
    target.PowerCut(seed);
    EXPECT_EQ(target.Hash(), source.Hash()) << "seed " << seed;
  }
}

// RocksDB compacts what it finds too large as soon as it is opened.
TEST(Store, ASnapshotKeepsWhatItHadWhereLessWasKeptBefore) {
  StoreOptions roomy;
  roomy.memtable_bytes = 1 << 20;
  roomy.retention_ms = 3'600'000;
  Bench source(roomy);
  std::vector<Timestamp> versions;
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 100; ++i) {
      const std::string key = fmt::format("key{:02}", i);
      const WriteResult put = source.Write(Put(key, std::string(1'000, 'a' + round)));
      if (i == 0) versions.push_back(put.timestamp);
    }
    source.store().Flush([](const StatusOr<raft::Index>&) {});
  }
  StoreOptions brief;
  brief.retention_ms = 1;
  Bench target(brief);
  target.Write({{.ops = {Put("old", "state")}}}, 100'000);
  source.Write({{.ops = {Put("new", "state")}}}, 200'000);
  ASSERT_TRUE(target.Install(source));
  for (int round = 0; round < 4; ++round) {
    const auto read = target.store().Get(kDefaultKeyspace, "key00", versions[round]);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->value.substr(0, 1), std::string(1, 'a' + round));
  }
  EXPECT_EQ(target.store().Counts().versions_collected, 0u);
}

// The power goes at one call of the disk after the other, until none is left.
TEST(Store, APowerCutAtEachStepOfAnInstallLeavesTheOldOrTheNewState) {
  Bench source;
  for (int i = 0; i < 20; ++i) source.Write(Put("k" + std::to_string(i % 9), std::to_string(i)));
  const std::uint64_t new_hash = source.Hash();
  bool whole = false;
  int old_states = 0;
  int new_states = 0;
  for (std::uint64_t at = 1; !whole; ++at) {
    Bench target;
    target.Write(Put("old", "state"));
    const std::uint64_t old_hash = target.Hash();
    whole = target.Install(source, at);
    target.PowerCut(at);
    const std::uint64_t hash = target.Hash();
    EXPECT_TRUE(hash == old_hash || hash == new_hash) << "cut at call " << at;
    ++(hash == new_hash ? new_states : old_states);
    if (whole) EXPECT_EQ(hash, new_hash);
  }
  EXPECT_GT(old_states, 3);
  EXPECT_GT(new_states, 3);
}

// Whoever asks meanwhile must not meet a database that is not there.
TEST(Store, AFullDiskHoldsUpAnInstallAtAnyStep) {
  Bench source;
  for (int i = 0; i < 40; ++i) {
    source.Write({.key = "key" + std::to_string(i), .value = std::string(500, 'n')});
  }
  int held_up = 0;
  for (std::uint64_t full_at = 1;; ++full_at) {
    Bench bench;
    for (int i = 0; i < 10; ++i) bench.Write({.key = "key", .value = std::string(500, 'o')});
    const raft::SnapshotMark mark = bench.Receive(source);
    const std::uint64_t before = bench.disk().calls();
    bool met = false;
    bench.disk().SetCallHook([&](const sim::DiskCall& call) {
      using sim::DiskOperation;
      const auto what = call.operation;
      const bool takes_room = what == DiskOperation::kCreate || what == DiskOperation::kWrite ||
                              what == DiskOperation::kSync || what == DiskOperation::kRename ||
                              what == DiskOperation::kSyncDirectory;
      if (!takes_room || call.number - before < full_at || met) return rocksdb::IOStatus::OK();
      met = true;
      return rocksdb::IOStatus::NoSpace("no room");
    });
    const Status status = bench.InstallReceived(mark);
    if (!met) break;
    SCOPED_TRACE(full_at);
    if (!status.ok()) {
      ++held_up;
      EXPECT_EQ(ReasonOf(status), Reason::kDiskFull) << MessageOf(status);
      bench.store().MeasureSizes();
      bench.store().Flush([](const StatusOr<raft::Index>&) {});
      bench.store().Get(kDefaultKeyspace, "key").status().IgnoreError();
      bench.store().StateHash().status().IgnoreError();
      const Status again = bench.InstallReceived(mark);
      ASSERT_TRUE(again.ok()) << MessageOf(again);
    }
    EXPECT_EQ(bench.Hash(), source.Hash());
  }
  EXPECT_GT(held_up, 5);
}

// A record at the end whose length is there, but not all of its sectors: RocksDB alone calls that
// damage.
TEST(Store, WhatAPowerCutHasTornAtTheManifestsEndIsCutOff) {
  for (std::uint64_t from_end = 1; from_end < 300; from_end += 13) {
    SCOPED_TRACE(from_end);
    Bench bench;
    for (int i = 0; i < 20; ++i) bench.Write({.key = "key" + std::to_string(i), .value = "value"});
    bench.store().Flush([](const StatusOr<raft::Index>&) {});
    const std::uint64_t hash = bench.Hash();
    const std::string path = "/group/db/" + bench.FileLike("MANIFEST");
    std::string manifest;
    ASSERT_TRUE(rocksdb::ReadFileToString(&bench.disk(), path, &manifest).ok());
    ASSERT_GT(manifest.size(), 400u);
    for (std::uint64_t at = manifest.size() - from_end; at < manifest.size(); ++at) {
      bench.disk().FlipBits(path, at, static_cast<std::uint8_t>(manifest[at]));
    }
    bench.PowerCut(1);
    bench.Replay(7);
    EXPECT_EQ(bench.Hash(), hash);
  }
}

// Random commands against a plain map, with power cuts; and a second store fed the same log in
// other batches: equal index, equal state.
TEST(Store, AgreesWithAModelAndWithItsReplica) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Random random(seed);
    Bench bench;
    std::map<std::string, std::string> model;
    for (int step = 0; step < 200; ++step) {
      std::vector<std::string> texts;
      texts.reserve(64);
      std::vector<CommandView> commands;
      for (std::uint64_t n = random.Between(1, 4); n > 0; --n) {
        texts.push_back("k" + std::to_string(random.Below(12)));
        const std::string& key = texts.back();
        texts.push_back("v" + std::to_string(random.Next()));
        const std::string& value = texts.back();
        CommandView command;
        switch (random.Below(5)) {
          case 0:
            command.ops.push_back(Delete(key));
            model.erase(key);
            break;
          case 1: {
            texts.push_back("k" + std::to_string(random.Below(12)) + "~");
            const std::string& end = texts.back();
            if (end <= key) {
              command.ops.push_back(Put(key, value));
              model[key] = value;
              break;
            }
            command.ops.push_back({.kind = WriteKind::kDeleteRange, .key = key, .end = end});
            model.erase(model.lower_bound(key), model.lower_bound(end));
            break;
          }
          case 2: {
            WriteOp op = Put(key, value);
            op.condition = random.Chance(0.5) ? ConditionKind::kAbsent : ConditionKind::kExists;
            command.ops.push_back(op);
            if ((op.condition == ConditionKind::kExists) == model.contains(key)) model[key] = value;
            break;
          }
          default:
            command.ops.push_back(Put(key, value));
            model[key] = value;
        }
        commands.push_back(command);
      }
      bench.Write(commands);
      if (random.Chance(0.03)) {
        bench.PowerCut(random.Next());
        ASSERT_LE(bench.store().applied().value(), bench.log().size());
        bench.Replay(random.Between(1, 9));
      }
    }
    const auto page = bench.store().Scan({});
    ASSERT_TRUE(page.ok());
    std::map<std::string, std::string> rows;
    for (const ScanRow& row : page->rows) rows[row.key] = row.value;
    ASSERT_EQ(rows, model) << "seed " << seed;
    for (const auto& [key, value] : model) ASSERT_EQ(bench.Get(key), value);
    Bench replica;
    replica.TakeLog(bench);
    replica.Replay(random.Between(1, 50));
    ASSERT_EQ(replica.Hash(), bench.Hash()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace flotilla::kv
