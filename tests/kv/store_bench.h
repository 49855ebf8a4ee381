// Bench: a store on a simulated disk that can lose power, and the log that it is fed from.
#pragma once

#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "kv/inline_env.h"
#include "kv/store.h"
#include "tests/sim/sim_file_system.h"

namespace flotilla::kv {

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

  static constexpr char kIncoming[] = "/group/incoming";

  StillClock clock_;
  std::shared_ptr<sim::SimFileSystem> disk_ = std::make_shared<sim::SimFileSystem>();
  StoreOptions options_;
  std::unique_ptr<InlineEnv> env_;
  std::unique_ptr<Store> store_;
  std::vector<raft::Entry> log_;
  Timestamp timestamp_{1000ull << kTimestampCounterBits};
};

}  // namespace flotilla::kv
