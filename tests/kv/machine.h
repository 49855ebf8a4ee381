// Machine: the groups of one node on one simulated disk, each fed from a log of its own.
//
// It can lose power, at any call of the disk; what a split made is opened as a node would.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "kv/inline_env.h"
#include "kv/key_codec.h"
#include "kv/store.h"
#include "kv/txn/command.h"
#include "tests/sim/sim_file_system.h"

namespace flotilla::kv {

inline constexpr GroupId kParent{2};
inline constexpr GroupId kChild{3};

inline std::string Encoded(std::string_view key) { return EncodeKey(kDefaultKeyspace, key); }
inline WriteOp Put(std::string_view key, std::string_view value, std::uint64_t ttl_ms = 0) {
  return {.key = key, .value = value, .ttl_ms = ttl_ms};
}
inline WriteOp Delete(std::string_view key) { return {.kind = WriteKind::kDelete, .key = key}; }
inline WriteOp DeleteRange(std::string_view start, std::string_view end) {
  return {.kind = WriteKind::kDeleteRange, .key = start, .end = end};
}
inline Split SplitAt(std::string_view key, GroupId child = kChild) {
  return {.child = child, .split_key = Encoded(key)};
}

class Machine {
 public:
  explicit Machine(StoreOptions options = {});
  ~Machine();

  Store& store(GroupId group = kParent) { return *stores_.at(group); }
  bool Has(GroupId group) const { return stores_.contains(group); }
  sim::SimFileSystem& disk() { return *disk_; }
  ReaderHorizon& readers() { return *resources_.readers; }
  std::vector<GroupId> groups() const;
  // The one whose range has the key; there is one.
  GroupId Holder(std::string_view key);

  // One entry with these commands.
  std::vector<WriteResult> Write(GroupId group, const std::vector<CommandView>& commands,
                                 std::uint64_t advance_ms = 1);
  WriteResult Write(GroupId group, const WriteOp& op, const Session& session = {});
  WriteResult Write(const WriteOp& op) { return Write(kParent, op); }
  // One entry with these steps of transactions.
  std::vector<WriteResult> Step(GroupId group, const std::vector<TxnCommand>& steps,
                                std::uint64_t advance_ms = 1);
  // A timestamp above all entries, and below those to come.
  TxnId Begin() {
    timestamp_ = Timestamp(timestamp_.value() + (1ull << kTimestampCounterBits));
    return TxnId(timestamp_.value());
  }
  // One control entry, which expects the group's epoch unless told otherwise.
  ControlResult Control(GroupId group, decltype(ControlCommand::change) change,
                        std::optional<Epoch> expected = {});
  // The log has it, nobody applies it yet.
  void Log(GroupId group, raft::EntryKind kind, Bytes payload);
  void LogWrite(GroupId group, const std::vector<CommandView>& commands,
                std::uint64_t advance_ms = 1);
  void LogSteps(GroupId group, const std::vector<TxnCommand>& steps, std::uint64_t advance_ms = 1);
  void LogControl(GroupId group, Epoch expected, decltype(ControlCommand::change) change);
  // What the log has beyond the state, in batches of this many; then opens what was split off.
  Status Replay(GroupId group, std::size_t batch = 100);
  // The power goes at this call of the disk from here on, or when this goes; 0: never.
  void CutAt(std::uint64_t call);
  // And comes back; every group that has a directory is opened.
  void PowerCut(std::uint64_t seed);
  // The same, and it goes again at this call; false when that was before all groups were open.
  bool TryPowerCut(std::uint64_t seed, std::uint64_t cut_at);
  // The process ends; the disk keeps all that it was given. Then as above.
  void Kill();
  // Freezes the group; what then absorbs it.
  Absorb FreezeFor(GroupId right);
  // The group goes from this machine, with its log.
  void Remove(GroupId group);
  // Opens every group that has a directory and is not open.
  Status OpenAll();

  std::optional<std::string> Get(GroupId group, std::string_view key);
  std::map<std::string, std::string> All(GroupId group);
  std::uint64_t Hash(GroupId group = kParent);
  const std::map<GroupId, std::vector<raft::Entry>>& logs() const { return logs_; }
  void TakeLogs(const Machine& other) { logs_ = other.logs_; }
  // How often this child was announced.
  int Births(GroupId child) { return births_[child]; }

 private:
  class StillClock final : public Clock {
   public:
    MonoTime Now() const override { return MonoTime(std::chrono::seconds(1)); }
    std::chrono::microseconds WallNow() const override { return std::chrono::seconds(1); }
  };

  static std::string DirectoryOf(GroupId group);
  Status OpenGroup(GroupId group);
  // A child's first entry comes after the one that it was born with.
  static std::uint64_t FirstIndex(GroupId group) { return group == kParent ? 1 : 2; }
  Status ApplyLast(GroupId group, std::unique_ptr<raft::Proposal> proposal);
  void LogBatch(GroupId group, const std::vector<std::string>& commands, std::uint64_t advance_ms);
  std::vector<WriteResult> ApplyWrites(GroupId group, std::size_t count);
  Status PowerOn();
  void LosePower(std::uint64_t seed);
  // With all that it has in memory.
  void EndProcess();

  StillClock clock_;
  std::shared_ptr<sim::SimFileSystem> disk_ = std::make_shared<sim::SimFileSystem>();
  StoreOptions options_;
  std::unique_ptr<InlineEnv> env_;
  StoreResources resources_;
  std::map<GroupId, std::shared_ptr<Store>> stores_;
  std::map<GroupId, std::vector<raft::Entry>> logs_;
  std::map<GroupId, int> births_;
  Timestamp timestamp_{1000ull << kTimestampCounterBits};
};

}  // namespace flotilla::kv
