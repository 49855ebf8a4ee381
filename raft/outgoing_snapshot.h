// OutgoingSnapshot: one snapshot on its way to one node.
//
//   open: the receiver says how far it is ──▶ part ──▶ part ──▶ ... ──▶ all parts are sent ──▶ OK
//     ▲                                        │ a call failed
//     └─────────────── a pause ◀───────────────┘
//
// Place in the picture: a task of snapshot_transfer.h, on its blocking strand.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "base/task.h"
#include "raft/log/page_memory.h"
#include "raft/peer_calls.h"
#include "raft/snapshot_wire.h"
#include "raft/state_machine.h"

namespace rocksdb {
class FileSystem;
class FSRandomAccessFile;
}  // namespace rocksdb

namespace flotilla::raft {

// Bounds the bytes per second of all transfers of a node together. Transfer strand.
class TransferRate {
 public:
  TransferRate(const Clock* clock, std::uint64_t bytes_per_second_max)
      : clock_(clock), bytes_per_second_max_(bytes_per_second_max) {}

  // Counts bytes that were sent: how long to wait before the next ones. Zero or less: not at all.
  Duration Spend(std::uint64_t bytes);

 private:
  const Clock* const clock_;
  const std::uint64_t bytes_per_second_max_;
  MonoTime free_at_{};  // when the next byte may leave
};

class OutgoingSnapshot {
 public:
  struct Options {
    std::uint64_t id = 0;  // of this checkpoint, see snapshot_wire.h
    GroupId group;
    NodeId to;
    std::size_t part_bytes = 0;
    Duration part_timeout{0};
    int attempts_max = 0;  // failures in a row
    bool direct_io = false;
    // Asked before each call.
    std::function<bool()> wanted;
  };
  // The pointers outlive it.
  OutgoingSnapshot(const Options& options, const SnapshotInfo& snapshot, rocksdb::FileSystem* files,
                   PeerCalls* calls, TransferRate* rate);
  ~OutgoingSnapshot();

  // Sends everything. OK once the receiver has it on disk; the error of the last call when too many
  // failed in a row; NODE_STOPPING when the scope is stopped; at once what this node's disk says,
  // and NOT_LEADER when it is not wanted any more. Once; this object outlives the task.
  Task<Status> Send();

 private:
  Task<StatusOr<std::string>> Call(PeerMethod method, std::string body);
  std::string Open() const;
  // Reads the next part that the receiver lacks. Its data is valid until the next call.
  StatusOr<SnapshotPart> NextPart();
  StatusOr<std::string_view> ReadData(std::uint64_t file, std::uint64_t offset);
  Status OpenFile(std::uint64_t number, const std::string& path);

  const Options options_;
  const SnapshotInfo snapshot_;
  rocksdb::FileSystem* const files_;
  PeerCalls* const calls_;
  TransferRate* const rate_;

  std::vector<std::uint64_t> received_;  // bytes of each file
  std::uint64_t open_file_ = 0;          // the number of `reader_`'s
  std::unique_ptr<rocksdb::FSRandomAccessFile> reader_;
  bool direct_;
  // With room for the pages around a part.
  log::PageMemory buffer_;
};

}  // namespace flotilla::raft
