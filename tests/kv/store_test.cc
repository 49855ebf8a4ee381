// The state machine on a simulated disk: what it answers, and what survives.

#include "kv/store.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <rocksdb/db.h>
#include <rocksdb/perf_context.h>

#include <chrono>
#include <functional>
#include <map>
#include <optional>

#include "base/random.h"
#include "kv/inline_env.h"
#include "tests/sim/sim_file_system.h"

namespace flotilla::kv {
namespace {

class StillClock final : public Clock {
 public:
  MonoTime Now() const override { return MonoTime(std::chrono::seconds(1)); }
  std::chrono::microseconds WallNow() const override { return std::chrono::seconds(1); }
};

class Collecting final : public WriteProposal {
 public:
  explicit Collecting(std::vector<WriteResult>* results) : results_(results) {}
  void Complete(std::vector<WriteResult> results) override { *results_ = std::move(results); }
  void Fail(const Status&) override { ADD_FAILURE() << "a proposal failed"; }

 private:
  std::vector<WriteResult>* const results_;
};

// A store that can lose power, and the log that it is fed from.
class Bench {
 public:
  explicit Bench(StoreOptions options = {}) : options_(std::move(options)) {
    options_.directory = "/group";
    options_.group = GroupId(2);
    options_.inline_background_work = true;
    if (options_.memtable_bytes == StoreOptions().memtable_bytes) {
      options_.memtable_bytes = 16 << 10;
    }
    // The owner's part: the name of the group's directory is durable.
    const rocksdb::IOOptions io;
    EXPECT_TRUE(disk_->CreateDir(options_.directory, io, nullptr).ok());
    std::unique_ptr<rocksdb::FSDirectory> root;
    EXPECT_TRUE(disk_->NewDirectory("/", io, &root, nullptr).ok());
    EXPECT_TRUE(root->Fsync(io, nullptr).ok());
    Open();
  }
  ~Bench() { store_ = nullptr; }

  Store& store() { return *store_; }
  sim::SimFileSystem& disk() { return *disk_; }

  void Open() {
    env_ = std::make_unique<InlineEnv>(disk_, &clock_);
    auto store = Store::Open(
        options_,
        MakeStoreResources(env_.get(), {.cache_bytes = 1 << 20, .write_buffer_bytes = 1 << 20}));
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  // The closed database's row of `meta`.
  void EditMeta(const std::string& key, const std::function<void(std::string&)>& edit) {
    store_->Flush([](const StatusOr<raft::Index>&) {});
    store_ = nullptr;
    std::vector<rocksdb::ColumnFamilyHandle*> families;
    rocksdb::DB* db = nullptr;
    rocksdb::DBOptions options;
    options.env = env_.get();
    const rocksdb::ColumnFamilyOptions family;
    ASSERT_TRUE(
        rocksdb::DB::Open(
            options, options_.directory + "/db",
            {{"default", family}, {"versions", family}, {"locks", family}, {"meta", family}},
            &families, &db)
            .ok());
    std::string value;
    ASSERT_TRUE(db->Get({}, families[3], key, &value).ok());
    edit(value);
    ASSERT_TRUE(db->Put({}, families[3], key, value).ok());
    for (rocksdb::ColumnFamilyHandle* const one : families) {
      ASSERT_TRUE(db->DestroyColumnFamilyHandle(one).ok());
    }
    delete db;
    Open();
  }

  void PowerCut(std::uint64_t seed) {
    Random random(seed);
    disk_->PowerOff();
    store_ = nullptr;
    env_ = nullptr;
    disk_->PowerCut(random);
    disk_->PowerOn();
    Open();
  }

  // One entry with these commands.
  std::vector<WriteResult> Write(const std::vector<CommandView>& commands,
                                 std::uint64_t advance_ms = 1) {
    timestamp_ = Timestamp(timestamp_.value() + (advance_ms << kTimestampCounterBits));
    CommandBatchWriter writer(timestamp_);
    for (const CommandView& command : commands) writer.Add(EncodeCommand(command));
    log_.push_back({.term = raft::Term(1),
                    .index = raft::Index(log_.size() + 1),
                    .kind = raft::EntryKind::kCommand,
                    .payload = std::move(writer).Finish()});
    std::vector<WriteResult> results;
    std::vector<raft::AppliedEntry> entries(1);
    entries[0].entry = log_.back();
    entries[0].proposal = std::make_unique<Collecting>(&results);
    EXPECT_TRUE(store_->Apply(entries).ok());
    return results;
  }
  WriteResult Write(const WriteOp& op, const Session& session = {}) {
    return Write({CommandView{.session = session, .ops = {op}}}).front();
  }

  // What the log has beyond the state, in batches of this many.
  void Replay(std::size_t batch) {
    while (store_->applied().value() < log_.size()) {
      std::vector<raft::AppliedEntry> entries;
      for (std::uint64_t i = store_->applied().value(); i < log_.size() && entries.size() < batch;
           ++i) {
        entries.emplace_back().entry = log_[i];
      }
      ASSERT_TRUE(store_->Apply(entries).ok());
    }
  }

  std::optional<std::string> Get(std::string_view key) {
    const auto result = store_->Get(kDefaultKeyspace, key);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() && result->found ? std::optional(result->value) : std::nullopt;
  }
  std::uint64_t Hash() { return store_->StateHash().value_or(0); }
  const std::vector<raft::Entry>& log() const { return log_; }
  void TakeLog(const Bench& other) { log_ = other.log_; }

  // What a transfer does: the files of a snapshot of the other's state, synced, in their directory.
  raft::SnapshotMark Receive(Bench& source) {
    const auto snapshot = source.store().TakeSnapshot();
    EXPECT_TRUE(snapshot.ok()) << snapshot.status();
    const rocksdb::IOOptions io;
    EXPECT_TRUE(disk_->CreateDir(kIncoming, io, nullptr).ok());
    for (const raft::SnapshotFile& file : snapshot->files) {
      std::string content;
      const std::string from = snapshot->directory + "/" + file.name;
      EXPECT_TRUE(rocksdb::ReadFileToString(&source.disk(), from, &content).ok());
      const std::string to = std::string(kIncoming) + "/" + file.name;
      EXPECT_TRUE(rocksdb::WriteStringToFile(disk_.get(), content, to, true).ok());
    }
    for (const char* name : {kIncoming, "/group"}) {
      std::unique_ptr<rocksdb::FSDirectory> directory;
      EXPECT_TRUE(disk_->NewDirectory(name, io, &directory, nullptr).ok());
      EXPECT_TRUE(directory->Fsync(io, nullptr).ok());
    }
    (void)store_->TakeSnapshot();  // flushes the old state
    timestamp_ = std::max(timestamp_, source.timestamp_);
    return snapshot->mark;
  }
  std::string FileLike(const std::string& prefix) {
    std::vector<std::string> names;
    EXPECT_TRUE(disk_->GetChildren("/group/db", {}, &names, nullptr).ok());
    for (const std::string& name : names) {
      if (name.starts_with(prefix)) return name;
    }
    return "";
  }
  Status InstallReceived(const raft::SnapshotMark& mark) {
    return store_->InstallSnapshot(kIncoming, mark);
  }

  // A snapshot of the other's state takes the place of this one's; false when it did not get there,
  // for the power goes at call `cut_at` of the disk, if that is not 0.
  bool Install(Bench& source, std::uint64_t cut_at = 0) {
    const raft::SnapshotMark mark = Receive(source);
    const std::uint64_t before = disk_->calls();
    disk_->SetCallHook([this, before, cut_at](const sim::DiskCall& call) {
      if (cut_at == 0 || call.number - before < cut_at) return rocksdb::IOStatus::OK();
      disk_->PowerOff();
      return rocksdb::IOStatus::IOError("the power is gone");
    });
    const bool installed = InstallReceived(mark).ok();
    disk_->SetCallHook(nullptr);
    if (installed) TakeLog(source);
    return installed;
  }

 private:
  static constexpr char kIncoming[] = "/group/incoming";

  StillClock clock_;
  std::shared_ptr<sim::SimFileSystem> disk_ = std::make_shared<sim::SimFileSystem>();
  StoreOptions options_;
  std::unique_ptr<InlineEnv> env_;
  std::unique_ptr<Store> store_;
  std::vector<raft::Entry> log_;
  Timestamp timestamp_{1000ull << kTimestampCounterBits};
};

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
