// Log entries' payloads, evaluated: any bytes end in results or a status, the same on every
// replica, however the entries were grouped.
//
// input: (prefixed payload)*

#include "base/coding.h"
#include "kv/inline_env.h"
#include "kv/store.h"
#include "tests/fuzz/fuzz.h"
#include "tests/sim/sim_file_system.h"

namespace flotilla::fuzz {
namespace {

class NoClock final : public Clock {
 public:
  MonoTime Now() const override { return {}; }
  std::chrono::microseconds WallNow() const override { return {}; }
};

class Replica {
 public:
  Replica() : files_(std::make_shared<sim::SimFileSystem>()), env_(files_, &clock_) { Open(); }

  // Closes the database and opens it again.
  void Reopen() {
    store_.reset();
    Open();
  }

  // The index is what the state machine has already.
  Status Apply(const std::vector<std::string>& payloads) {
    std::vector<raft::AppliedEntry> entries;
    raft::Index index = store_->applied();
    for (const std::string& payload : payloads) {
      index = index.Next();
      entries.push_back({.entry = {.term = raft::Term(1),
                                   .index = index,
                                   .kind = raft::EntryKind::kCommand,
                                   .payload = Bytes(payload)},
                         .proposal = nullptr});
    }
    return store_->Apply(entries);
  }

  void Flush() {
    store_->Flush([](const StatusOr<raft::Index>& durable) { CHECK(durable.ok()); });
    store_->RunBackgroundWork();
  }

  std::uint64_t Hash() {
    const auto hash = store_->StateHash();
    CHECK(hash.ok()) << hash.status().ToString();
    return *hash;
  }

 private:
  void Open() {
    resources_ =
        kv::MakeStoreResources(&env_, {.cache_bytes = 1 << 20, .write_buffer_bytes = 4 << 20});
    kv::StoreOptions options;
    options.directory = "/group";
    options.group = GroupId(2);
    options.inline_background_work = true;
    options.memtable_bytes = 64 << 10;
    options.session_results_max = 4;
    options.sessions_max = 3;
    auto store = kv::Store::Open(options, resources_);
    CHECK(store.ok()) << store.status().ToString();
    store_ = *std::move(store);
  }

  NoClock clock_;
  std::shared_ptr<sim::SimFileSystem> files_;
  kv::InlineEnv env_;
  kv::StoreResources resources_;
  std::unique_ptr<kv::Store> store_;
};

}  // namespace

void Fuzz(std::string_view input) {
  std::vector<std::string> payloads;
  Reader reader(input);
  std::string_view bytes;
  while (reader.Prefixed(bytes)) payloads.emplace_back(bytes);
  if (payloads.empty()) return;

  Replica together;
  if (!together.Apply(payloads).ok()) return;
  Replica apart;
  for (const std::string& payload : payloads) CHECK(apart.Apply({payload}).ok());
  const std::uint64_t hash = apart.Hash();
  CHECK_EQ(together.Hash(), hash);
  apart.Flush();
  apart.Reopen();
  CHECK_EQ(apart.Hash(), hash);
}

std::vector<std::string> Seeds() {
  using kv::ConditionKind;
  using kv::WriteKind;
  const auto entry = [](std::uint64_t ms, const std::vector<kv::CommandView>& commands) {
    kv::CommandBatchWriter batch(Timestamp(ms << kTimestampCounterBits));
    for (const kv::CommandView& command : commands) batch.Add(kv::EncodeCommand(command));
    std::string out;
    AppendPrefixed(out, std::move(batch).Finish().view());
    return out;
  };
  kv::CommandView put;
  put.session = {.client = ClientId(7), .sequence = 1};
  put.ops = {{.key = "k", .value = "v", .ttl_ms = 500}};
  kv::CommandView cas;
  cas.session = {.client = ClientId(7), .sequence = 2, .acknowledged_below = 1};
  cas.ops = {
      {.key = "k", .value = "w", .condition = ConditionKind::kValueIs, .condition_value = "v"}};
  kv::CommandView erase;
  erase.ops = {{.kind = WriteKind::kDelete, .key = "k", .condition = ConditionKind::kExists},
               {.kind = WriteKind::kDeleteRange, .key = "a", .end = "z"},
               {.key = "l", .value = "x", .condition = ConditionKind::kAbsent}};
  kv::CommandView hashed;
  hashed.keyspace = kv::KeyspaceId(7 | kv::kHashedBit);
  hashed.ops = {{.key = "k", .value = "v"},
                {.kind = WriteKind::kDeleteRange, .key = "a", .end = "j"},
                {.key = "k", .value = "w", .condition = ConditionKind::kExists}};
  return {entry(1000, {put}), entry(1000, {hashed}) + entry(1001, {hashed}),
          entry(1000, {put, cas}) + entry(1001, {put, erase}),
          entry(1000, {put}) + entry(2000, {erase, cas}) + entry(2001, {})};
}

}  // namespace flotilla::fuzz
